//! The ways to balancers that this provider has put on machines itself. Their tokens are in no attribute:
//! they are kept in what Terraform calls private, with the balancer and with each resource that it has, so
//! that a run which changes nothing but a pool reaches the balancer too.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use lb_client::{Address, Client, ClientError, Trust};
use lb_provision::Access;
use serde::{Deserialize, Serialize};

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

/// Every balancer of which something is known, by its address.
#[derive(Default)]
pub(crate) struct Ways {
    known: Mutex<HashMap<String, Way>>,
    clients: Mutex<HashMap<String, (Access, Arc<Client>)>>,
}

/// The address of a balancer as resources name it.
pub(crate) fn endpoint(access: &Access) -> String {
    format!("https://{}", access.address)
}

impl Ways {
    /// What has just been seen.
    pub(crate) fn learn(&self, endpoint: &str, way: Way) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(endpoint.to_owned(), way);
    }

    /// What was kept with a resource, which may be of old: it counts when nothing else is known.
    pub(crate) fn recall(&self, private: &Private) {
        if let Some(access) = &private.access {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let way = known.entry(endpoint(access));
            way.or_insert_with(|| Way::Open(access.clone()));
        }
    }

    pub(crate) fn way(&self, endpoint: &str) -> Option<Way> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(endpoint).cloned()
    }

    /// What is to be kept with a resource of this balancer.
    pub(crate) fn access(&self, endpoint: Option<&str>) -> Option<Access> {
        match self.way(endpoint?)? {
            Way::Open(access) => Some(access),
            Way::Closed(access) => access,
            Way::Gone => None,
        }
    }

    /// The way to a balancer of ours; nothing when it is not one.
    pub(crate) fn client(&self, balancer: &str) -> Option<Result<Arc<Client>, ClientError>> {
        let access = self.access(Some(balancer))?;
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
        let kept = Private {
            access: Some(access("old")),
            ..Private::default()
        };
        let kept = Private::read(&kept.write());
        ways.recall(&kept);
        let at = "https://10.0.0.5:9443";
        assert_eq!(ways.access(Some(at)).unwrap().token, "old");
        ways.learn(at, Way::Open(access("new")));
        ways.recall(&kept);
        assert_eq!(ways.access(Some(at)).unwrap().token, "new");
        ways.learn(at, Way::Gone);
        ways.recall(&kept);
        assert_eq!(ways.access(Some(at)), None);
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
