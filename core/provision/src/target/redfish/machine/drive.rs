//! The drives of a machine that a CD can be put into.

use serde_json::{Value, json};

use super::super::client::{Client, plain};
use super::super::error::RedfishError;
use super::{Machine, link, members};

/// What the path of every CD of ours begins with.
pub(in super::super) const CD_PATH: &str = "/lbctl-";

/// A drive that a CD can be put into.
#[derive(Clone, Debug)]
struct Drive {
    path: String,
    /// What is in it.
    image: Option<String>,
    insert: Option<String>,
    eject: Option<String>,
}

impl Machine {
    /// The drives that take a CD: its own, or those of who looks after it.
    async fn drives(&self, client: &Client) -> Result<Vec<Drive>, RedfishError> {
        let mut drives = Vec::new();
        if let Some(media) = &self.media {
            drives = Drive::all(client, media).await?;
        }
        for manager in &self.managers {
            if !drives.is_empty() {
                break;
            }
            let manager = client.get(manager).await?.body;
            if let Some(media) = link(&manager["VirtualMedia"]) {
                drives = Drive::all(client, &media).await?;
            }
        }
        Ok(drives)
    }

    /// Takes CDs of ours out.
    pub(in super::super) async fn eject(&self, client: &Client) -> Result<(), RedfishError> {
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
    pub(in super::super) async fn insert(
        &self,
        client: &Client,
        url: &str,
    ) -> Result<(), RedfishError> {
        let drives = self.drives(client).await?;
        let mut taken = Vec::new();
        for drive in &drives {
            match &drive.image {
                Some(image) => taken.push(plain(image)),
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
    /// The drives of a collection that take a CD. Some name one that they do not have.
    async fn all(client: &Client, collection: &str) -> Result<Vec<Self>, RedfishError> {
        let paths = match members(client, collection).await {
            Err(RedfishError::Refused { status: 404, .. }) => Vec::new(),
            paths => paths?,
        };
        let mut drives = Vec::new();
        for path in paths {
            drives.extend(Self::read(client, path).await?);
        }
        Ok(drives)
    }

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
