//! The parts of a document that are changed, guarded and allowed one by one, and what tells their
//! versions apart.

use std::fmt;
use std::str::FromStr;

use lb_model::Config;
use lb_model::value::Name;
use serde::{Deserialize, Serialize};

use crate::Digest;

/// What kind of object it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Noun {
    /// A virtual service.
    VirtualService,
    /// A rule of a virtual service.
    Rule,
    /// A pool.
    Pool,
    /// A server of a pool.
    Server,
    /// What the whole balancer may use.
    Limits,
    /// Metrics and access log.
    Telemetry,
}

/// One object of a document. Its text is its path in the API, such as `pools/web/servers/iis1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    /// A virtual service.
    VirtualService(Name),
    /// A rule of a virtual service.
    Rule(Name, Name),
    /// A pool.
    Pool(Name),
    /// A server of a pool.
    Server(Name, Name),
    /// What the whole balancer may use.
    Limits,
    /// Metrics and access log.
    Telemetry,
}

/// A text that names no [`Object`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the path of an object, such as `pools/web/servers/iis1`")]
pub struct ObjectError(String);

/// The version of an object: two versions that differ have different tags. An object's tag covers
/// what is below it, so that of a pool changes with each of its servers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Etag(String);

/// What must still be true of an object when it is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// It is there, in this version (`If-Match: "…"`).
    Is(Object, Etag),
    /// It is there (`If-Match: *`).
    Exists(Object),
    /// It is not there (`If-None-Match: *`).
    Absent(Object),
}

impl Object {
    /// What kind of object it is.
    pub const fn noun(&self) -> Noun {
        match self {
            Self::VirtualService(_) => Noun::VirtualService,
            Self::Rule(..) => Noun::Rule,
            Self::Pool(_) => Noun::Pool,
            Self::Server(..) => Noun::Server,
            Self::Limits => Noun::Limits,
            Self::Telemetry => Noun::Telemetry,
        }
    }

    /// The object that it is a part of.
    pub fn holder(&self) -> Option<Self> {
        match self {
            Self::Rule(service, _) => Some(Self::VirtualService(service.clone())),
            Self::Server(pool, _) => Some(Self::Pool(pool.clone())),
            Self::VirtualService(_) | Self::Pool(_) | Self::Limits | Self::Telemetry => None,
        }
    }

    /// Its version in this document, when it is there.
    pub fn etag(&self, config: &Config) -> Option<Etag> {
        let Config {
            virtual_services,
            pools,
            limits,
            telemetry,
        } = config;
        match self {
            Self::VirtualService(name) => virtual_services.get(name).map(etag),
            Self::Rule(service, name) => {
                let rules = &virtual_services.get(service)?.rules;
                rules.iter().find(|rule| rule.name == *name).map(etag)
            }
            Self::Pool(name) => pools.get(name).map(etag),
            Self::Server(pool, name) => pools.get(pool)?.servers.get(name).map(etag),
            Self::Limits => Some(etag(limits)),
            Self::Telemetry => Some(etag(telemetry)),
        }
    }
}

fn etag(value: &impl Serialize) -> Etag {
    // Keys are texts and numbers are whole, so that nothing can fail; an error would only make a
    // version that is like no other.
    let json = serde_json::to_vec(value).unwrap_or_default();
    Etag(Digest::of(&json).short())
}

impl Etag {
    /// The tag that a caller has sent, without its quotes.
    pub fn sent(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The tag as text, without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Guard {
    /// The object that is guarded.
    pub const fn object(&self) -> &Object {
        match self {
            Self::Is(object, _) | Self::Exists(object) | Self::Absent(object) => object,
        }
    }

    /// Whether it is still true.
    pub(crate) fn holds(&self, config: &Config) -> bool {
        match self {
            Self::Is(object, tag) => object.etag(config).as_ref() == Some(tag),
            Self::Exists(object) => object.etag(config).is_some(),
            Self::Absent(object) => object.etag(config).is_none(),
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VirtualService(name) => write!(f, "virtual_services/{name}"),
            Self::Rule(service, name) => write!(f, "virtual_services/{service}/rules/{name}"),
            Self::Pool(name) => write!(f, "pools/{name}"),
            Self::Server(pool, name) => write!(f, "pools/{pool}/servers/{name}"),
            Self::Limits => f.write_str("limits"),
            Self::Telemetry => f.write_str("telemetry"),
        }
    }
}

impl FromStr for Object {
    type Err = ObjectError;

    fn from_str(text: &str) -> Result<Self, ObjectError> {
        let wrong = || ObjectError(text.to_owned());
        let name = |text: &str| text.parse::<Name>().map_err(|_| wrong());
        let steps: Vec<&str> = text.split('/').collect();
        Ok(match steps[..] {
            ["virtual_services", service] => Self::VirtualService(name(service)?),
            ["virtual_services", service, "rules", rule] => Self::Rule(name(service)?, name(rule)?),
            ["pools", pool] => Self::Pool(name(pool)?),
            ["pools", pool, "servers", server] => Self::Server(name(pool)?, name(server)?),
            ["limits"] => Self::Limits,
            ["telemetry"] => Self::Telemetry,
            _ => return Err(wrong()),
        })
    }
}

#[cfg(test)]
mod tests {
    use lb_model::Format;

    use super::*;

    fn document(weight: u16) -> Config {
        let text = format!(
            r#"{{ "virtual_services": {{ "shop": {{ "address": "127.0.0.1:80", "pool": "web" }} }},
                "pools": {{ "web": {{ "servers": {{
                    "iis1": {{ "address": "10.0.0.1:80", "weight": {weight} }},
                    "iis2": {{ "address": "10.0.0.2:80" }} }} }} }} }}"#
        );
        lb_model::read(&text, Format::Json)
            .unwrap()
            .config()
            .clone()
    }

    #[test]
    fn the_tag_of_an_object_follows_it_and_what_is_below_it_alone() {
        let (before, after) = (document(10), document(20));
        let same = |path: &str| {
            let object: Object = path.parse().unwrap();
            assert_eq!(object.to_string(), path);
            object.etag(&before).unwrap() == object.etag(&after).unwrap()
        };
        assert!(!same("pools/web/servers/iis1"));
        assert!(!same("pools/web"));
        for unrelated in ["pools/web/servers/iis2", "virtual_services/shop", "limits"] {
            assert!(same(unrelated), "{unrelated}");
        }
    }

    #[test]
    fn a_guard_holds_only_while_what_it_says_is_true() {
        let config = document(10);
        let object = |path: &str| path.parse::<Object>().unwrap();
        let tag = object("pools/web").etag(&config).unwrap();
        assert!(Guard::Is(object("pools/web"), tag.clone()).holds(&config));
        assert!(!Guard::Is(object("pools/web"), Etag::sent("")).holds(&config));
        assert!(!Guard::Is(object("pools/none"), tag).holds(&config));
        assert!(!Guard::Exists(object("pools/none")).holds(&config));
        assert!(Guard::Absent(object("pools/none")).holds(&config));
        assert!(!Guard::Absent(object("limits")).holds(&config));
    }

    #[test]
    fn a_path_that_names_no_object_is_refused() {
        for wrong in [
            "",
            "pools",
            "pools/",
            "pools/a b",
            "pools/web/servers",
            "limits/x",
            "/pools/web",
        ] {
            assert!(wrong.parse::<Object>().is_err(), "{wrong}");
        }
    }
}
