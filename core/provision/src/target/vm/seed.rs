//! What a machine is told when it starts for the first time.

use std::collections::BTreeMap;

use lb_model::seed::{Seed, SeedAdmin};
use lb_model::value::Name;

use crate::wanted::Wanted;

/// The label of a disk that is nothing but state, by which the appliance knows it.
pub(super) const STATE_LABEL: &str = "lbctl-data";

pub(super) fn meta_data(instance: &str, name: &Name) -> String {
    format!("instance-id: {instance}\nlocal-hostname: {name}\n")
}

pub(super) fn user_data(wanted: &Wanted, token: &str) -> String {
    let seed = Seed {
        hostname: wanted.name.as_str().parse().ok(),
        document: wanted
            .document
            .as_ref()
            .map(|document| document.text.clone()),
        admin: SeedAdmin {
            address: wanted.balancer.admin_address(),
            enrolment_token: Some(token.to_owned()),
        },
        network: BTreeMap::new(),
        install: None,
    };
    seed.to_user_data()
}
