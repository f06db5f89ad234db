//! What has been seen on a machine.

use std::collections::BTreeMap;

use lb_model::api::PlanAnswer;
use lb_model::plan::Plan;
use serde::Serialize;
use serde_json::Value;

/// How much room a release and its predecessors want below `/opt`, in KiB.
const FREE_KIB: u64 = 512 << 10;

/// What there is on a machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, told by a line of its own"
)]
pub struct Observed {
    /// What `uname -m` says.
    pub machine: String,
    #[serde(skip)]
    pub(crate) system: String,
    #[serde(skip)]
    pub(crate) systemd: bool,
    #[serde(skip)]
    pub(crate) owner: Option<String>,
    /// The releases, and what version each says it is.
    pub releases: BTreeMap<String, String>,
    #[serde(skip)]
    pub(crate) digests: BTreeMap<String, String>,
    /// The release that a start would run.
    pub current: Option<String>,
    /// The release that serves.
    pub serving: Option<String>,
    /// The releases that were in force, the newest last.
    pub past: Vec<String>,
    #[serde(skip)]
    pub(crate) unit: Option<String>,
    #[serde(skip)]
    pub(crate) program: Option<String>,
    #[serde(skip)]
    pub(crate) foreign: Option<String>,
    #[serde(skip)]
    pub(crate) account: bool,
    /// What systemd says of the service.
    pub active: String,
    #[serde(skip)]
    pub(crate) enabled: bool,
    #[serde(skip)]
    pub(crate) state: bool,
    #[serde(skip)]
    pub(crate) settings: bool,
    #[serde(skip)]
    pub(crate) file: Option<String>,
    /// How much room there is below `/opt`, in KiB.
    pub free_kib: u64,
    /// What the balancer says of itself.
    pub status: Option<Value>,
    #[serde(skip)]
    pub(crate) plan: Option<Plan>,
    #[serde(skip)]
    pub(crate) refused: Option<String>,
}

impl Observed {
    /// What the script that looks has written. Lines that nobody knows are passed over, as those of a
    /// shell that greets whoever logs in.
    pub(super) fn read(text: &str) -> Self {
        let mut seen = Self::default();
        for line in text.lines() {
            let (word, value) = line.split_once(' ').unwrap_or((line, ""));
            seen.fact(word, value.trim());
        }
        seen
    }

    fn fact(&mut self, word: &str, value: &str) {
        let some = || (!value.is_empty()).then(|| value.to_owned());
        match word {
            "machine" => value.clone_into(&mut self.machine),
            "system" => value.clone_into(&mut self.system),
            "systemd" => self.systemd = true,
            "owner" => self.owner = some(),
            "release" => {
                let mut words = value.splitn(3, ' ');
                if let (Some(name), Some(digest)) = (words.next(), words.next()) {
                    let version = words.next().unwrap_or_default().replace("lbctl ", "");
                    self.releases.insert(name.to_owned(), version);
                    self.digests.insert(name.to_owned(), digest.to_owned());
                }
            }
            "current" => self.current = some(),
            "serving" => self.serving = some(),
            "past" => self.past.extend(some()),
            "unit" => self.unit = some(),
            "program" => self.program = some(),
            "foreign" => self.foreign = some(),
            "account" => self.account = true,
            "active" => value.clone_into(&mut self.active),
            "enabled" => self.enabled = value == "enabled",
            "state" => self.state = true,
            "settings" => self.settings = true,
            "file" => self.file = some(),
            "free" => self.free_kib = value.parse().unwrap_or_default(),
            "status" => self.status = serde_json::from_str(value).ok(),
            "plan" => match serde_json::from_str::<PlanAnswer>(value) {
                Ok(answer) => self.plan = Some(answer.plan),
                Err(error) => self.refused = Some(format!("its plan cannot be read: {error}")),
            },
            "refused" => self.refused = some(),
            _ => {}
        }
    }

    pub(crate) fn diagnosis(&self) -> Result<String, (String, String)> {
        let mebibytes = self.free_kib >> 10;
        if self.free_kib < FREE_KIB {
            return Err((
                format!("there are {mebibytes} MiB below /opt, which is little"),
                "make room, or future releases may not fit".to_owned(),
            ));
        }
        Ok(format!(
            "reached, root, systemd, {}, {mebibytes} MiB below /opt",
            self.machine
        ))
    }

    /// A release in words: its version, when it says one.
    pub(crate) fn release_words(&self, release: &str) -> String {
        match self
            .releases
            .get(release)
            .filter(|version| !version.is_empty())
        {
            Some(version) => format!("{version} ({release})"),
            None => release.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_among_what_a_shell_says_by_itself() {
        let seen = Observed::read(
            "Welcome to lb1\nmachine x86_64\nsystem Linux\nsystemd yes\nrelease 0a1b 99ff lbctl 0.1.0\n\
             current 0a1b\nserving \npast 1111\npast 0a1b\nactive active\nenabled enabled\nfree 2048\n\
             status {\"version\":\"0.1.0\"}\nplan {\"parent\":1,\"plan\":{\"changes\":[]}}\n",
        );
        assert_eq!(seen.releases["0a1b"], "0.1.0");
        assert_eq!(seen.digests["0a1b"], "99ff");
        assert_eq!((seen.serving, seen.free_kib), (None, 2048));
        assert_eq!(seen.past, ["1111", "0a1b"]);
        assert!(seen.enabled && seen.systemd && seen.plan.unwrap().is_empty());
        assert_eq!(seen.status.unwrap()["version"], "0.1.0");
    }
}
