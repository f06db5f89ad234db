//! What a URL says about a request: authority, port, path and query. Nothing is normalised, because
//! what is explained is what a client would send.

/// The parts of a URL that a request is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// What goes into the `Host` field; none when only a path was given.
    pub(super) authority: Option<String>,
    /// The port that the URL means, also when it does not write it.
    pub(super) port: Option<u16>,
    /// What goes into the request line.
    pub(super) path_and_query: String,
}

/// A URL that no request can be made of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a URL")]
pub(super) struct InvalidUrl(String);

impl InvalidUrl {
    /// What to do.
    pub(super) const HELP: &'static str =
        "use a URL such as http://shop.example/basket, or a path such as /basket";
}

impl Target {
    /// Takes a URL or a path apart.
    pub(super) fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let invalid = || InvalidUrl(text.to_owned());
        // A fragment stays in the browser.
        let sent = text.split('#').next().unwrap_or_default();
        if sent.is_empty() || sent.contains(|c: char| c.is_control() || c == ' ') {
            return Err(invalid());
        }
        if sent.starts_with('/') || sent == "*" {
            return Ok(Self {
                authority: None,
                port: None,
                path_and_query: sent.to_owned(),
            });
        }
        let (scheme, rest) = sent.split_once("://").unwrap_or(("http", sent));
        let port = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => 80,
            "https" | "wss" => 443,
            _ => return Err(invalid()),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).ok_or_else(invalid)?;
        let path_and_query = match path {
            "" => "/".to_owned(),
            path if path.starts_with('?') => format!("/{path}"),
            path => path.to_owned(),
        };
        // Clients do not send what stands before an `@`.
        let authority = authority.rsplit('@').next().unwrap_or_default();
        let port = match port_of(authority) {
            Some(written) => written.parse().map_err(|_| invalid())?,
            None => port,
        };
        if authority.is_empty() {
            return Err(invalid());
        }
        Ok(Self {
            authority: Some(authority.to_owned()),
            port: Some(port),
            path_and_query,
        })
    }
}

/// The port that an authority writes; the colons of an IPv6 address are not before one.
fn port_of(authority: &str) -> Option<&str> {
    let (_, port) = authority.rsplit_once(':')?;
    (!port.ends_with(']')).then_some(port)
}
