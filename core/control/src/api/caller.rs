//! Who asks: the user at the other end of a Unix socket, the bearer of a token, or of a certificate.

use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use lb_model::api::{ApiError, ErrorCode, Role};
use lb_model::value::Name;
use rustls::pki_types::CertificateDer;

use super::certificate;
use super::route::Route;
use crate::Caller;

/// What the system says of the other end of a connection.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// The user, on a Unix socket.
    user: Option<u32>,
    /// The address, over the network.
    address: Option<IpAddr>,
    /// The certificate that was shown, when an authority vouches for it.
    certified: Option<Certified>,
}

/// What a certificate says of who shows it.
#[derive(Clone, Debug)]
pub(super) struct Certified {
    /// The user that it names, if it names one.
    pub(super) user: Option<Name>,
}

impl Certified {
    pub(super) fn of(leaf: &CertificateDer<'_>) -> Self {
        let user = certificate::user_of(leaf);
        Self { user }
    }
}

impl Peer {
    /// Somebody on this machine.
    pub(super) const fn local(user: Option<u32>) -> Self {
        Self {
            user,
            address: None,
            certified: None,
        }
    }

    /// Somebody at this address, with a certificate or without.
    pub(super) const fn remote(address: IpAddr, certified: Option<Certified>) -> Self {
        Self {
            user: None,
            address: Some(address),
            certified,
        }
    }

    /// The address, over the network.
    pub(super) const fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The certificate, if one was shown.
    pub(super) const fn certified(&self) -> Option<&Certified> {
        self.certified.as_ref()
    }
}

/// The token of a request.
///
/// # Errors
/// 401 for an `Authorization` that is none of ours: whoever sends one relies on it, so that it is
/// never passed over.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let Some(field) = fields.next() else {
        return Ok(None);
    };
    let unreadable = || {
        ApiError::new(
            ErrorCode::Unauthorized,
            "the `Authorization` cannot be read",
        )
        .help("send it once, as `Authorization: Bearer TOKEN`")
    };
    if fields.next().is_some() {
        return Err(unreadable());
    }
    let text = field.to_str().map_err(|_| unreadable())?;
    let (scheme, token) = text.split_once(' ').ok_or_else(unreadable)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(unreadable());
    }
    Ok(Some(token.trim()))
}

/// The caller without a token: root and the user that runs the balancer may do everything, nobody
/// else may do anything.
pub(super) fn without_token(peer: &Peer) -> Result<Caller, ApiError> {
    let ours = rustix::process::geteuid().as_raw();
    match peer.user {
        Some(0) => Ok(Caller::administrator("root")),
        Some(user) if user == ours => Ok(Caller::administrator(format!("user {user}"))),
        Some(_) | None => Err(
            ApiError::new(ErrorCode::Unauthorized, "a token is needed").help(
                "send `Authorization: Bearer TOKEN`, with lbctl from `--token-file FILE` or \
                 LBCTL_TOKEN; `lbctl token create` on the machine of the balancer makes one",
            ),
        ),
    }
}

/// The only place that says whether somebody may do something.
pub(super) fn authorise(caller: &Caller, route: &Route) -> Result<(), ApiError> {
    if caller.role.may(route.role) {
        // Who may decide about everybody else could give themselves what is out of their scope.
        if route.role == Role::Administer && !caller.scope.is_everything() {
            let name = &caller.name;
            let message = format!("`{name}` may not do this, as it is limited to a scope");
            return Err(ApiError::new(ErrorCode::Forbidden, message)
                .help("use a token with the role `administer` and no scope"));
        }
        return Ok(());
    }
    let (name, role, needed) = (&caller.name, caller.role, route.role);
    let message = format!("`{name}` has the role `{role}`; this needs `{needed}`");
    let help = format!("use a token with the role `{needed}`");
    Err(ApiError::new(ErrorCode::Forbidden, message).help(help))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn an_authorization_that_cannot_be_read_is_refused_and_never_passed_over() {
        let mut headers = HeaderMap::new();
        assert_eq!(bearer(&headers).unwrap(), None);
        headers.insert(AUTHORIZATION, HeaderValue::from_static("bearer lbctl_1"));
        assert_eq!(bearer(&headers).unwrap(), Some("lbctl_1"));
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer lbctl_2"));
        assert!(bearer(&headers).is_err());
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Basic cm9vdDo="));
        assert!(bearer(&headers).is_err());
    }

    #[test]
    fn a_stranger_on_the_socket_may_do_nothing() {
        let stranger = rustix::process::geteuid().as_raw() + 1;
        assert!(without_token(&Peer::local(Some(stranger))).is_err());
        assert!(without_token(&Peer::local(None)).is_err());
        assert!(without_token(&Peer::remote("127.0.0.1".parse().unwrap(), None)).is_err());
        assert!(without_token(&Peer::local(Some(0))).is_ok());
    }
}
