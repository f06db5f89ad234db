//! The ways to balancers that this provider has put on machines itself. A resource names such a balancer by
//! its `access`, which is all that it takes: Terraform calls a provider for what changes and for nothing else,
//! so that the apply of a pool alone knows nothing of its balancer. What was seen in the same run counts
//! more, as a token may be another one meanwhile.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use lb_client::{Address, Client, ClientError, Trust};
use lb_provision::Access;
use serde::{Deserialize, Serialize};

use crate::value::Value;

/// What is kept with a resource and shown to nobody.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Private {
    /// It was imported, and has not been read or taken over yet.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) is_imported: bool,
    /// It takes the place of another one, which is still there when this is planned.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) is_successor: bool,
    /// How to talk to the balancer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) access: Option<Access>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl Private {
    /// What was kept; of what cannot be read, nothing was.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        if *self == Self::default() {
            return Vec::new();
        }
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// What is known of a balancer in this run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Way {
    /// It is reached like this.
    Open(Access),
    /// It is there, and does not answer now.
    Closed(Option<Access>),
    /// Its machine is gone, with everything that it had.
    Gone,
}

/// Every balancer of which something is known, by its name and by its address.
#[derive(Default)]
pub(crate) struct Ways {
    /// Those that make way for one of another name.
    leaving: Mutex<HashSet<String>>,
    known: Mutex<HashMap<String, Way>>,
    clients: Mutex<HashMap<String, (Access, Arc<Client>)>>,
}

/// The address of a balancer as resources name it.
pub(crate) fn endpoint(access: &Access) -> String {
    format!("https://{}", access.address)
}

/// Everything that it takes to talk to the balancer that is called so, in one text. It is a secret.
pub(crate) fn to_text(id: &str, access: &Access) -> String {
    let fingerprint = access.fingerprint.map(|found| found.to_string());
    let (at, fingerprint) = (endpoint(access), fingerprint.unwrap_or_default());
    format!("{at}#{fingerprint}#{id}#{}", access.token)
}

/// The address in what a resource names as its balancer.
pub(crate) fn address(balancer: &str) -> &str {
    balancer.split('#').next().unwrap_or_default()
}

/// What tells a balancer from others: the name of one of ours, which keeps it when its address is another one;
/// else its address. Nobody needs to hide it.
pub(crate) fn key(balancer: &str) -> &str {
    balancer.split('#').nth(2).unwrap_or(balancer)
}

/// Whether it is one of ours that is named.
pub(crate) fn is_ours(balancer: &Value) -> bool {
    balancer.text().is_some_and(|text| text.contains('#'))
}

/// What a resource names as its balancer, without what is secret.
pub(crate) fn shown(balancer: &Value) -> Value {
    match balancer.text() {
        Some(text) => key(text).into(),
        None => balancer.clone(),
    }
}

fn of_text(text: &str) -> Option<Access> {
    let mut parts = text.splitn(4, '#');
    let address = parts.next()?.strip_prefix("https://")?.parse().ok()?;
    let fingerprint = parts.next()?;
    let fingerprint = (!fingerprint.is_empty()).then_some(fingerprint);
    let _id = parts.next()?;
    Some(Access {
        address,
        fingerprint: fingerprint.map(str::parse).transpose().ok()?,
        token: parts.next()?.to_owned(),
    })
}

impl Ways {
    /// A balancer goes, and one of another name comes in its place.
    pub(crate) fn leave(&self, id: &str) {
        let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        leaving.insert(id.to_owned());
    }

    pub(crate) fn is_leaving(&self, balancer: &Value) -> bool {
        let leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        let named = balancer.text();
        named.is_some_and(|balancer| leaving.contains(key(balancer)))
    }

    /// What has just been seen.
    pub(crate) fn learn(&self, key: &str, way: Way) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(key.to_owned(), way);
    }

    pub(crate) fn way(&self, balancer: &str) -> Option<Way> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.get(key(balancer)).cloned();
        found.or_else(|| {
            // Another one of ours is at its address: it has gone from there.
            let is_taken = key(balancer) != balancer && known.contains_key(address(balancer));
            is_taken.then_some(Way::Gone)
        })
    }

    /// How to talk to a balancer of ours, which is named by its `access` or by its address.
    pub(crate) fn access(&self, balancer: &str) -> Option<Access> {
        let known = match self.way(balancer) {
            Some(Way::Open(access)) => Some(access),
            Some(Way::Closed(access)) => access,
            Some(Way::Gone) => return None,
            None => None,
        };
        known.or_else(|| of_text(balancer))
    }

    /// The way to a balancer of ours; nothing when it is not one.
    pub(crate) fn client(&self, balancer: &str) -> Option<Result<Arc<Client>, ClientError>> {
        let access = self.access(balancer)?;
        let balancer = key(balancer);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((held, client)) = clients.get(balancer)
            && *held == access
        {
            return Some(Ok(Arc::clone(client)));
        }
        let address = Address::Tls {
            host: host(&access),
            port: access.address.port(),
        };
        let trust = access.fingerprint.map_or(Trust::System, Trust::Fingerprint);
        let client = Client::new(address, Some(&access.token), &trust, None);
        Some(client.map(|client| {
            let client = Arc::new(client);
            clients.insert(balancer.to_owned(), (access, Arc::clone(&client)));
            client
        }))
    }
}

fn host(access: &Access) -> String {
    match access.address.ip() {
        std::net::IpAddr::V4(ip) => ip.to_string(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(token: &str) -> Access {
        Access {
            address: "10.0.0.5:9443".parse().unwrap(),
            token: token.to_owned(),
            fingerprint: None,
        }
    }

    #[test]
    fn what_was_just_seen_counts_more_than_what_was_kept() {
        let ways = Ways::default();
        let at = "https://10.0.0.5:9443";
        let named = to_text("shop/lb1", &access("old"));
        assert_eq!((address(&named), address(at)), (at, at));
        assert_eq!((key(&named), key(at)), ("shop/lb1", at));
        assert_eq!(ways.access(at), None);
        assert_eq!(ways.access(&named), Some(access("old")));
        for key in [at, "shop/lb1"] {
            ways.learn(key, Way::Open(access("new")));
        }
        assert_eq!(ways.access(&named).unwrap().token, "new");
        assert_eq!(ways.access(at).unwrap().token, "new");
        ways.learn("shop/lb1", Way::Gone);
        assert_eq!(ways.access(&named), None);
        // Whose address another one has is gone, too.
        let other = to_text("shop/lb2", &access("old"));
        assert_eq!(ways.way(&other), Some(Way::Gone));
        assert_eq!(ways.way(&other.replace("10.0.0.5", "10.0.0.6")), None);
    }

    #[test]
    fn a_text_that_is_not_ours_is_no_way() {
        for text in [
            "",
            "unix:/run/a#b#c#d",
            "https://lb:9443##i#t",
            "https://10.0.0.5:9443#sha256:x#i#t",
            "#",
        ] {
            assert_eq!(of_text(text), None, "{text}");
        }
        let mut pinned = access("t#t");
        pinned.fingerprint = format!("sha256:{}", "0a".repeat(32)).parse().ok();
        assert_eq!(of_text(&to_text("shop/lb1", &pinned)), Some(pinned));
    }

    #[test]
    fn what_others_kept_is_nothing() {
        for bytes in [&b""[..], b"imported", b"{\"access\":7}"] {
            assert_eq!(Private::read(bytes), Private::default());
        }
        assert!(Private::default().write().is_empty());
        assert!(!format!("{:?}", access("hush")).contains("hush"));
    }
}
