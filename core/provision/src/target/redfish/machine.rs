//! A machine as its controller describes it, and what can be done to it. Controllers differ in where they have what; so
//! everything is looked for.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::client::Client;
use super::error::RedfishError;

const ROOT: &str = "/redfish/v1/";

/// The most links of a collection that are followed.
const MEMBERS_MAX: usize = 64;

const PAUSE: Duration = Duration::from_millis(500);

/// For how long a machine may take to be switched on, or off without asking it.
const SWITCH: Duration = Duration::from_mins(2);

/// What the path of every CD of ours begins with.
pub(super) const CD_PATH: &str = "/lbctl-";

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
    /// Where its virtual media may be.
    media: Vec<String>,
}

/// A drive that a CD can be put into.
#[derive(Clone, Debug)]
pub(super) struct Drive {
    path: String,
    /// What is in it.
    image: Option<String>,
    insert: Option<String>,
    eject: Option<String>,
}

impl Machine {
    /// The machine with this name, or the only one.
    pub(super) async fn find(client: &Client, wanted: Option<&str>) -> Result<Self, RedfishError> {
        let root = client.get(ROOT).await?.body;
        let systems = link(&root["Systems"]).unwrap_or_else(|| format!("{ROOT}Systems"));
        let paths = members(client, &systems).await?;
        let id = |path: &String| path.rsplit('/').next().unwrap_or_default().to_owned();
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
        // Where the system has none, one that looks after it does.
        let managers = system["Links"]["ManagedBy"].as_array();
        let managers = managers.into_iter().flatten().filter_map(link);
        let own = system.get("VirtualMedia").and_then(link);
        let media = own
            .into_iter()
            .chain(managers.map(|manager| format!("{manager}/VirtualMedia")));
        Ok(Self {
            path: path.trim_end_matches('/').to_owned(),
            id: text(&system["Id"]).unwrap_or_default(),
            power: text(&system["PowerState"]).unwrap_or_default(),
            tag: text(&system["AssetTag"]),
            mode: text(&system["Boot"]["BootSourceOverrideMode"]),
            reset: text(&reset["target"]),
            resets: types,
            media: media.collect(),
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
        let default = format!("{}/Actions/ComputerSystem.Reset", self.path);
        let target = self.reset.as_deref().unwrap_or(&default);
        let has = |way: &&&str| self.resets.iter().any(|other| other == **way);
        let way = ways.iter().find(has).or_else(|| ways.first());
        client.post(target, &json!({ "ResetType": way })).await
    }

    /// Waits until it is off, or on.
    async fn wait(&self, client: &Client, off: bool, limit: Duration) -> Result<(), RedfishError> {
        let until = Instant::now() + limit;
        loop {
            let now = self.again(client).await?;
            if now.is_off() == off {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(RedfishError::DoesNotSwitch {
                    is: if off { "on" } else { "off" },
                    seconds: limit.as_secs(),
                });
            }
            sleep(PAUSE).await;
        }
    }

    /// The drives that take a CD.
    async fn drives(&self, client: &Client) -> Result<Vec<Drive>, RedfishError> {
        let mut drives = Vec::new();
        for collection in &self.media {
            let paths = match members(client, collection).await {
                Err(RedfishError::Refused { status: 404, .. }) => continue,
                paths => paths?,
            };
            for path in paths {
                drives.extend(Drive::read(client, path).await?);
            }
            if !drives.is_empty() {
                break;
            }
        }
        Ok(drives)
    }

    /// Takes CDs of ours out.
    pub(super) async fn eject(&self, client: &Client) -> Result<(), RedfishError> {
        for drive in self.drives(client).await? {
            if drive
                .image
                .as_ref()
                .is_some_and(|image| image.contains(CD_PATH))
            {
                drive.take_out(client).await?;
            }
        }
        Ok(())
    }

    /// Puts a CD into the first drive that is empty.
    pub(super) async fn insert(&self, client: &Client, url: &str) -> Result<(), RedfishError> {
        let drives = self.drives(client).await?;
        let mut taken = Vec::new();
        for drive in &drives {
            match &drive.image {
                Some(image) => taken.push(image.as_str()),
                None => return drive.put_in(client, url).await,
            }
        }
        Err(match taken.as_slice() {
            [] => RedfishError::NoMedia,
            taken => RedfishError::MediaBusy(taken.join(", ")),
        })
    }
}

impl Drive {
    /// A drive; nothing when it takes no CD.
    async fn read(client: &Client, path: String) -> Result<Option<Self>, RedfishError> {
        let drive = client.get(&path).await?.body;
        let kinds = drive["MediaTypes"].as_array();
        let mut kinds = kinds.into_iter().flatten().filter_map(Value::as_str);
        if !kinds.any(|kind| matches!(kind, "CD" | "DVD")) {
            return Ok(None);
        }
        let action = |name: &str| {
            let target = drive["Actions"][format!("#VirtualMedia.{name}")]["target"].as_str();
            target.map(str::to_owned)
        };
        let image = drive["Image"].as_str().filter(|image| !image.is_empty());
        let image = image.or_else(|| drive["ImageName"].as_str().filter(|name| !name.is_empty()));
        // A drive may say that it has something in it, and not what.
        let is_taken = drive["Inserted"] == true && image.is_some();
        Ok(Some(Self {
            image: image.filter(|_| is_taken).map(str::to_owned),
            insert: action("InsertMedia"),
            eject: action("EjectMedia"),
            path,
        }))
    }

    async fn put_in(&self, client: &Client, url: &str) -> Result<(), RedfishError> {
        let full = json!({ "Image": url, "Inserted": true, "WriteProtected": true });
        let Some(action) = &self.insert else {
            return client.patch(&self.path, &full).await;
        };
        match client.post(action, &full).await {
            // Some take the image alone.
            Err(RedfishError::Refused { status: 400, .. }) => {
                client.post(action, &json!({ "Image": url })).await
            }
            put => put,
        }
    }

    async fn take_out(&self, client: &Client) -> Result<(), RedfishError> {
        if let Some(action) = &self.eject {
            return client.post(action, &json!({})).await;
        }
        let nothing = json!({ "Image": null, "Inserted": false });
        client.patch(&self.path, &nothing).await
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
    let path = value["@odata.id"].as_str()?;
    Some(path.trim_end_matches('/').to_owned())
}
