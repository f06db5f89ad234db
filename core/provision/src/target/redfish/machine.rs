//! A machine as its controller describes it, and what can be done to it. Controllers differ in where they have what; so
//! everything is looked for.

mod drive;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::client::{Client, plain};
use super::error::RedfishError;
pub(super) use drive::CD_PATH;

const ROOT: &str = "/redfish/v1/";

/// The most links of a collection that are followed.
const MEMBERS_MAX: usize = 64;

const PAUSE: Duration = Duration::from_millis(500);

/// For how long a machine may take to be switched on, or off without asking it.
const SWITCH: Duration = Duration::from_mins(2);

/// A machine.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    path: String,
    pub(super) id: String,
    /// `On`, `Off`, or on the way.
    power: String,
    /// What somebody has written on it. Nothing where it cannot be written.
    pub(super) tag: Option<String>,
    mode: Option<String>,
    reset: Option<String>,
    /// The ways to switch that it has; empty when it does not say.
    resets: Vec<String>,
    /// Where its virtual media are.
    media: Option<String>,
    /// Who looks after it, and may have virtual media for it.
    managers: Vec<String>,
}

impl Machine {
    /// The machine with this name, or the only one.
    pub(super) async fn find(client: &Client, wanted: Option<&str>) -> Result<Self, RedfishError> {
        let root = client.get(ROOT).await?.body;
        let systems = link(&root["Systems"]).unwrap_or_else(|| format!("{ROOT}Systems"));
        let paths = members(client, &systems).await?;
        let id = |path: &String| plain(bare(path).rsplit('/').next().unwrap_or_default());
        let there = || paths.iter().map(id).collect::<Vec<_>>().join(", ");
        let path = match (wanted, paths.as_slice()) {
            (None, [path]) => path,
            (None, []) => {
                return Err(RedfishError::NoSystem {
                    wanted: String::new(),
                    there: "none".to_owned(),
                });
            }
            (None, _) => return Err(RedfishError::SeveralSystems(there())),
            (Some(wanted), _) => {
                let found = paths.iter().find(|path| id(path) == wanted);
                found.ok_or_else(|| RedfishError::NoSystem {
                    wanted: wanted.to_owned(),
                    there: there(),
                })?
            }
        };
        Self::read(client, path).await
    }

    async fn read(client: &Client, path: &str) -> Result<Self, RedfishError> {
        let system = client.get(path).await?.body;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let reset = &system["Actions"]["#ComputerSystem.Reset"];
        let types = reset["ResetType@Redfish.AllowableValues"].as_array();
        let types = types.into_iter().flatten().filter_map(text).collect();
        let managers = system["Links"]["ManagedBy"].as_array();
        let managers = managers.into_iter().flatten().filter_map(link);
        Ok(Self {
            path: path.to_owned(),
            id: system["Id"].as_str().map(plain).unwrap_or_default(),
            power: text(&system["PowerState"]).unwrap_or_default(),
            tag: system["AssetTag"].as_str().map(plain),
            mode: text(&system["Boot"]["BootSourceOverrideMode"]),
            reset: text(&reset["target"]),
            resets: types,
            media: link(&system["VirtualMedia"]),
            managers: managers.take(MEMBERS_MAX).collect(),
        })
    }

    /// Looks again.
    pub(super) async fn again(&self, client: &Client) -> Result<Self, RedfishError> {
        Self::read(client, &self.path).await
    }

    pub(super) fn is_off(&self) -> bool {
        self.power == "Off"
    }

    /// What it is doing, in a word.
    pub(super) fn condition(&self) -> &'static str {
        match self.power.as_str() {
            "On" => "on",
            "Off" => "off",
            "PoweringOn" => "powering on",
            "PoweringOff" => "powering off",
            _ => "unknown",
        }
    }

    /// Writes on it whose it is, where that can be written.
    pub(super) async fn mark(&self, client: &Client, tag: &str) {
        if self.tag.is_some() {
            // Many a controller shows a tag that it does not let anybody change; the disk says the same.
            drop(client.patch(&self.path, &json!({ "AssetTag": tag })).await);
        }
    }

    /// Has it start from there, once.
    pub(super) async fn start_from(&self, client: &Client, from: &str) -> Result<(), RedfishError> {
        let mut boot = json!({
            "BootSourceOverrideTarget": from,
            "BootSourceOverrideEnabled": "Once",
        });
        // Some take BIOS for what is meant when nothing is said.
        if let Some(mode) = &self.mode {
            boot["BootSourceOverrideMode"] = json!(mode);
        }
        let changed = client.patch(&self.path, &json!({ "Boot": boot })).await;
        match (changed, &self.mode) {
            // Others do not let anybody say it, as it is a setting of the BIOS.
            (Err(RedfishError::Refused { .. }), Some(_)) => {
                let boot = json!({
                    "BootSourceOverrideTarget": from,
                    "BootSourceOverrideEnabled": "Once",
                });
                client.patch(&self.path, &json!({ "Boot": boot })).await
            }
            (changed, _) => changed,
        }
    }

    /// Switches it on, and waits until it is.
    pub(super) async fn switch_on(&self, client: &Client) -> Result<(), RedfishError> {
        if self.is_off() {
            self.reset(client, &["On", "ForceOn", "PushPowerButton"])
                .await?;
        }
        self.wait(client, false, SWITCH).await
    }

    /// Switches it off: as its power button does when there is somebody who is asked so long, then without asking.
    pub(super) async fn switch_off(
        &self,
        client: &Client,
        patience: Option<Duration>,
    ) -> Result<(), RedfishError> {
        if self.is_off() {
            return Ok(());
        }
        if let Some(patience) = patience {
            let asked = self
                .reset(client, &["GracefulShutdown", "PushPowerButton"])
                .await;
            if asked.is_ok() && self.wait(client, true, patience).await.is_ok() {
                return Ok(());
            }
        }
        self.reset(client, &["ForceOff"]).await?;
        self.wait(client, true, SWITCH).await
    }

    /// Switches in the first of these ways that it has.
    async fn reset(&self, client: &Client, ways: &[&str]) -> Result<(), RedfishError> {
        let default = format!("{}/Actions/ComputerSystem.Reset", bare(&self.path));
        let target = self.reset.as_deref().unwrap_or(&default);
        let has = |way: &&&str| self.resets.iter().any(|other| other == **way);
        let way = ways.iter().find(has).or_else(|| ways.first());
        client.post(target, &json!({ "ResetType": way })).await
    }

    /// Waits until it is off, or on.
    async fn wait(&self, client: &Client, off: bool, limit: Duration) -> Result<(), RedfishError> {
        let until = Instant::now() + limit;
        loop {
            let is_late = Instant::now() >= until;
            match self.again(client).await {
                Ok(now) if now.is_off() == off => return Ok(()),
                Ok(_) if is_late => {
                    return Err(RedfishError::DoesNotSwitch {
                        is: if off { "on" } else { "off" },
                        seconds: limit.as_secs(),
                    });
                }
                // Some controllers do not answer while they switch.
                Err(error) if is_late || !error.is_passing() => return Err(error),
                Ok(_) | Err(_) => {}
            }
            sleep(PAUSE).await;
        }
    }
}

/// The paths of the members of a collection.
async fn members(client: &Client, collection: &str) -> Result<Vec<String>, RedfishError> {
    let found = client.get(collection).await?.body;
    let members = found["Members"].as_array();
    let paths = members.into_iter().flatten().filter_map(link);
    Ok(paths.take(MEMBERS_MAX).collect())
}

/// Where a link leads.
fn link(value: &Value) -> Option<String> {
    value["@odata.id"].as_str().map(str::to_owned)
}

/// A path without the slash at its end, which some have and insist on.
fn bare(path: &str) -> &str {
    path.trim_end_matches('/')
}
