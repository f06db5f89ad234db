//! A machine with UEFI behind a controller that does everything differently.

use super::gateway::{self, FOREIGN, Gateway};
use super::machine::Firmware;
use super::{Redfish, SYSTEM};

impl Redfish {
    /// A machine that is off, with UEFI, behind a controller that does everything differently: see its gateway.
    pub async fn start_awkward() -> Self {
        let mut machine = Self::start_with(None, Firmware::Uefi).await;
        machine.gateway = Some(Gateway::start(machine.controller));
        machine
    }

    /// The name of the machine among those of its controller.
    pub fn id(&self) -> &'static str {
        SYSTEM
    }

    /// The name of the other machine of an awkward controller.
    pub fn other_id(&self) -> &'static str {
        gateway::OTHER
    }

    fn gateway(&self) -> &Gateway {
        let gateway = self.gateway.as_ref();
        gateway.expect("the controller is an awkward one")
    }

    /// How often an awkward controller gave such an answer, such as `PATCH 412`, or began such an action, such as
    /// `InsertMedia`.
    pub fn count(&self, what: &str) -> usize {
        self.gateway().count(what)
    }

    /// What is written on the machine.
    pub fn asset_tag(&self) -> String {
        self.gateway().asset_tag()
    }

    /// The next requests, so many, are told to come back later.
    pub fn be_busy(&self, times: usize) {
        self.gateway().be_busy(times);
    }

    /// Takes its virtual media away, or brings them back.
    pub fn have_no_media(&self, has_none: bool) {
        self.gateway().have_no_media(has_none);
    }

    /// Has tasks for an action, such as `InsertMedia`, end with this; or as they do.
    pub fn fail(&self, action: &str, told: Option<&str>) {
        self.gateway().fail(action, told);
    }

    /// Somebody else puts a CD into its drive; gives where it is.
    pub async fn put_in(&self) -> String {
        let image = format!("http://{}{FOREIGN}", self.gateway().address);
        let body = format!("{{\"Image\": \"{image}\"}}");
        let action = "/VirtualMedia/Cd/Actions/VirtualMedia.InsertMedia";
        self.act(action, &body).await;
        image
    }
}
