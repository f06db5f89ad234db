//! Between whoever asks and the emulator: a controller that does everything differently, as far as Redfish lets it
//! (DSP0266). It sends on to paths with a slash at the end, is busy now and then, does everything later in a task, wants
//! to know which version is changed, has a second system, and its manager has the virtual media.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

use super::SYSTEM;
use super::http::{Asked, Given, forward, serve};
use super::tasks::{Task, action};

const ROOT: &str = "/redfish/v1";

/// The other system.
pub(super) const OTHER: &str = "blade-2";

/// Where somebody else's CD is.
pub(super) const FOREIGN: &str = "/rescue/disc.iso";

/// Each so many requests one is told to come back.
const BUSY_EVERY: usize = 5;

/// How the version of a system is told for the next change.
#[derive(Clone, Copy, Debug)]
enum Version {
    Field,
    /// A weak one never matches, and only `*` does.
    Weak,
    /// In the body alone.
    Body,
    /// Not at all, though one is demanded.
    Untold,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// How often what was answered how, such as `PATCH 412`, and how often an action was asked for.
    counts: BTreeMap<String, usize>,
    requests: usize,
    changes: usize,
    /// How many requests are told to come back later.
    busy: usize,
    pub(super) tasks: Vec<Task>,
    /// What tasks of an action end with.
    pub(super) failing: BTreeMap<String, String>,
    pub(super) asset_tag: String,
    has_no_media: bool,
}

#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) backend: SocketAddr,
    pub(super) address: SocketAddr,
    state: Mutex<State>,
}

impl Gateway {
    /// Serves it until this process ends.
    pub(super) fn start(backend: SocketAddr) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let gateway = Arc::new(Self {
            backend,
            address: listener.local_addr().expect("its address"),
            state: Mutex::default(),
        });
        let served = Arc::clone(&gateway);
        serve(listener, move |asked| served.answer(asked));
        gateway
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    pub(super) fn count(&self, what: &str) -> usize {
        self.state().counts.get(what).copied().unwrap_or_default()
    }

    pub(super) fn asset_tag(&self) -> String {
        self.state().asset_tag.clone()
    }

    pub(super) fn be_busy(&self, times: usize) {
        self.state().busy = times;
    }

    pub(super) fn have_no_media(&self, has_none: bool) {
        self.state().has_no_media = has_none;
    }

    pub(super) fn fail(&self, action: &str, told: Option<&str>) {
        let failing = &mut self.state().failing;
        match told {
            Some(told) => failing.insert(action.to_owned(), told.to_owned()),
            None => failing.remove(action),
        };
    }

    fn answer(&self, asked: &Asked) -> Given {
        if asked.path == FOREIGN {
            return Given::new(200, "a CD");
        }
        let given = self.handle(asked);
        let counts = &mut self.state().counts;
        let what = format!("{} {}", asked.method, given.status);
        *counts.entry(what).or_default() += 1;
        if given.status == 202 && asked.method == "POST" {
            *counts.entry(action(asked).to_owned()).or_default() += 1;
        }
        given
    }

    fn handle(&self, asked: &Asked) -> Given {
        if let Some(given) = self.later() {
            return given;
        }
        if let Some(number) = asked.path.strip_prefix("/tasks/") {
            return self.task(number.trim_end_matches('/'));
        }
        let is_action = asked.method == "POST";
        if !is_action && !asked.path.ends_with('/') {
            return Given::new(308, "").with("Location", &format!("{}/", asked.path));
        }
        match asked.method.as_str() {
            "GET" => self.look(asked),
            "PATCH" => self.change(asked),
            _ => self.take_on(asked),
        }
    }

    /// Comes first: a controller that is busy looks at nothing.
    fn later(&self) -> Option<Given> {
        let state = &mut *self.state();
        state.requests += 1;
        let busy = || error(503, "The service is temporarily unavailable.");
        if state.busy > 0 {
            state.busy -= 1;
            return Some(busy().with("Retry-After", "1"));
        }
        state.requests.is_multiple_of(BUSY_EVERY).then(busy)
    }

    /// What there is, with the version that the next change names.
    fn look(&self, asked: &Asked) -> Given {
        let (status, mut value) = self.shown(asked);
        let Some(tag) = version(&value).filter(|_| status == 200) else {
            return Given::new(status, &value);
        };
        match self.version() {
            Version::Field => Given::new(status, &value).with("ETag", &format!("\"{tag}\"")),
            Version::Weak => Given::new(status, &value).with("ETag", &format!("W/\"{tag}\"")),
            Version::Body => {
                value["@odata.etag"] = json!(format!("\"{tag}\""));
                Given::new(status, &value)
            }
            Version::Untold => Given::new(status, &value),
        }
    }

    fn version(&self) -> Version {
        let all = [
            Version::Field,
            Version::Weak,
            Version::Body,
            Version::Untold,
        ];
        all[self.state().changes % all.len()]
    }

    /// What the emulator has there, and what it has not.
    fn shown(&self, asked: &Asked) -> (u16, Value) {
        let path = asked.path.trim_end_matches('/');
        let backend = Asked {
            method: "GET".to_owned(),
            path: if path == ROOT {
                format!("{ROOT}/")
            } else {
                path.to_owned()
            },
            body: String::new(),
            ..asked.clone()
        };
        let given = forward(self.backend, &backend);
        let mut value = serde_json::from_str(&given.body).unwrap_or(Value::Null);
        let state = self.state();
        if path == ROOT {
            // The one link without its slash, so that somebody is sent on.
            return (given.status, value);
        }
        if path == format!("{ROOT}/Systems")
            && let Some(members) = value["Members"].as_array_mut()
        {
            members.push(json!({ "@odata.id": format!("{path}/{OTHER}") }));
        }
        if path == format!("{ROOT}/Systems/{SYSTEM}") {
            value["AssetTag"] = json!(state.asset_tag);
            value["VirtualMedia"] = Value::Null;
        }
        if path.contains("/Managers/") && state.has_no_media {
            value["VirtualMedia"] = Value::Null;
        }
        drop(state);
        with_slashes(&mut value);
        (given.status, value)
    }

    /// A change, when its version is the right one.
    fn change(&self, asked: &Asked) -> Given {
        let (_, now) = self.shown(asked);
        let strong = format!("\"{}\"", version(&now).unwrap_or_default());
        let right = match self.version() {
            Version::Field | Version::Body => strong.as_str(),
            Version::Weak | Version::Untold => "*",
        };
        match asked.if_match.as_deref() {
            None => error(428, "The request has to name a version."),
            Some(named) if named != right => error(412, "The version is another one."),
            Some(_) => {
                self.state().changes += 1;
                self.take_on(asked)
            }
        }
    }
}

pub(super) fn error(status: u16, told: &str) -> Given {
    let messages = json!([{ "MessageId": "Base.1.18.GeneralError", "Message": told }]);
    let summary = "See @Message.ExtendedInfo.";
    Given::new(
        status,
        &json!({ "error": {
            "code": "Base.1.18.GeneralError", "message": summary, "@Message.ExtendedInfo": messages,
        }}),
    )
}

/// The version of what is shown.
fn version(value: &Value) -> Option<String> {
    let mut hasher = DefaultHasher::new();
    value.as_object()?;
    value.to_string().hash(&mut hasher);
    Some(format!("{:x}", hasher.finish()))
}

/// Has every link end with a slash.
fn with_slashes(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                if let (Value::String(path), "@odata.id") = (&mut *value, name.as_str())
                    && !path.ends_with('/')
                {
                    path.push('/');
                }
                with_slashes(value);
            }
        }
        Value::Array(members) => members.iter_mut().for_each(with_slashes),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
