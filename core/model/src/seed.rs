//! The seed: what a machine that is made from an image is told when it starts for the first time. It is
//! beside the balancer's document, under the same rules: these types are its only description.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use toml::Table;

use crate::parse::{Draft, Format};
use crate::problem::{Code, Path, Problem};
use crate::schema::{Shape, tidy};
use crate::validate::Found;
use crate::value::{
    ApiUrl, DiskName, HostAddress, HostName, InterfaceAddress, ListenAddress, MacAddress, Name,
};

/// What stands on a CD of the appliance where the seed of one machine may be put, up to the end of the place, which
/// spaces fill.
pub const SLOT: &str = "#lbctl-seed-slot 1";

/// The name of that place in the CD's folder.
pub const SLOT_FILE: &str = "SEED.SLT";

/// The label of such a CD.
pub const CD_LABEL: &str = "LBCTL";

/// The first line of user data that is a seed.
pub const FIRST_LINE: &str = "#lbctl";

/// What a machine is told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Seed {
    /// The name of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<HostName>,
    /// The document that the balancer begins with, as text in TOML. Later it is changed as any other; the
    /// one in the seed is not looked at again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// How it is administered.
    #[serde(default)]
    pub admin: SeedAdmin,
    /// Its network interfaces, by name; or by any name when the address of the card is given. Without any, all
    /// of them ask for an address (DHCP).
    #[serde(default)]
    pub network: BTreeMap<Name, Interface>,
    /// A machine that has started from the CD of the appliance installs it on a disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install: Option<Install>,
}

/// How the appliance is installed on a disk. What a balancer remembers on that disk stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Install {
    /// The disk, by its serial number or WWN where there are several; when absent, the only one that is neither removable
    /// nor on USB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskName>,
    /// Overwrite a disk that holds something else.
    #[serde(default)]
    pub wipe: bool,
    /// Whose balancer it is. It is written to the disk, and one of somebody else is left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<DiskOwner>,
    /// Take over a disk with the balancer of another owner.
    #[serde(default)]
    pub adopt: bool,
    /// Where the installer tells what it does, as texts that it posts; nobody has to be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tell: Option<ApiUrl>,
    /// What the machine does when it is installed.
    #[serde(default)]
    pub then: Then,
}

/// Whose balancer is on a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiskOwner {
    /// The fleet.
    pub fleet: Name,
    /// The balancer.
    pub balancer: Name,
    /// Which state of that fleet provisions it.
    pub lineage: Name,
}

/// What a machine does when it is installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// It switches off, so that the CD can be taken out.
    #[default]
    PowerOff,
    /// It starts again.
    Restart,
}

/// How a new machine is administered.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeedAdmin {
    /// Where the admin API is served over the network, unless the document says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<ListenAddress>,
    /// What makes the first token of the balancer, once and within 30 minutes of its start: a text like that of
    /// any token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrolment_token: Option<String>,
}

impl fmt::Debug for SeedAdmin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeedAdmin")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// The address of the network card, in the place of the name of the interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddress>,
    /// Its addresses. Without any it asks for one (DHCP).
    #[serde(default)]
    pub addresses: Vec<InterfaceAddress>,
    /// The routers to everywhere else: one of IPv4, one of IPv6.
    #[serde(default)]
    pub gateways: Vec<HostAddress>,
    /// The name servers.
    #[serde(default)]
    pub nameservers: Vec<HostAddress>,
}

impl Seed {
    /// The seed as user data, which machines read again.
    pub fn to_user_data(&self) -> String {
        // Every value has a form in TOML: there are no nulls among what is written.
        let table = Table::try_from(self).unwrap_or_default();
        format!("{FIRST_LINE}\n{table}")
    }
}

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let mut schema = schemars::schema_for!(Seed).to_value();
    tidy(&mut schema);
    schema
});

static SHAPE: LazyLock<Shape> = LazyLock::new(|| Shape::of_schema(&SCHEMA));

/// The JSON Schema of the seed (draft 2020-12).
pub fn json_schema() -> &'static Value {
    &SCHEMA
}

/// The shape of the seed.
pub fn shape() -> &'static Shape {
    &SHAPE
}

/// Reads and checks a seed. The document in it is not looked at.
///
/// # Errors
/// Everything that is wrong with it, with the places in the text.
pub fn read(text: &str) -> Result<Seed, Vec<Problem>> {
    let mut draft = Draft::<Seed>::read(text, Format::Toml);
    let Some(seed) = draft.document.take() else {
        return Err(draft.into_problems(Vec::new()));
    };
    let mut found = Found::default();
    check(&seed, &mut found);
    let errors = found.errors;
    if errors.is_empty() && draft.is_sound() {
        return Ok(seed);
    }
    Err(if draft.is_sound() {
        draft.locate(errors)
    } else {
        draft.into_problems(errors)
    })
}

fn check(seed: &Seed, found: &mut Found) {
    let token = seed.admin.enrolment_token.as_ref();
    if token.is_some_and(|token| !crate::api::token::is_text(token)) {
        let path = Path::root().key("admin").key("enrolment_token");
        let help =
            "use one as `lbctl provision` makes it, or leave it out and take `bootstrap-token`";
        found.report(
            Code::NotAToken,
            path,
            "this is not the text of a token",
            help,
        );
    }
    check_network(&seed.network, &Path::root().key("network"), found);
}

/// What contradicts itself in the interfaces of a machine, which stand at this place.
pub(crate) fn check_network(network: &BTreeMap<Name, Interface>, at: &Path, found: &mut Found) {
    for (name, interface) in network {
        let path = at.clone().key(name.as_str()).key("gateways");
        if !interface.gateways.is_empty() && interface.addresses.is_empty() {
            let help = "give it addresses, or leave the gateways to DHCP";
            found.report(
                Code::GatewayOfDhcp,
                path,
                "who asks for an address is told the gateway, too",
                help,
            );
        }
    }
}
