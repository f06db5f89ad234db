//! What a machine is told when it starts for the first time.

use std::collections::BTreeMap;

use lb_model::seed::{Seed, SeedAdmin};
use lb_model::value::Name;

use crate::wanted::{Document, Wanted};

/// The label of a disk that is nothing but state, by which the appliance knows it.
pub(crate) const STATE_LABEL: &str = "lbctl-data";

/// What tells a machine from its copies, as `NoCloud` has it.
pub(crate) fn meta_data(instance: &str, name: &Name) -> String {
    format!("instance-id: {instance}\nlocal-hostname: {name}\n")
}

/// What every machine is told: its document, and the token that makes the first one of the balancer, when it has none
/// yet.
pub(crate) fn of(wanted: &Wanted, document: Option<&Document>, token: Option<&str>) -> Seed {
    Seed {
        hostname: wanted.name.as_str().parse().ok(),
        document: document.map(|document| document.text.clone()),
        admin: SeedAdmin {
            address: wanted.balancer.admin_address(),
            enrolment_token: token.map(str::to_owned),
        },
        network: BTreeMap::new(),
        install: None,
    }
}
