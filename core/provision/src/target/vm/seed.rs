//! What a machine is told when it starts for the first time.

use lb_model::seed::{Seed, SeedAdmin};
use lb_model::value::Name;

use super::folder::Shape;
use crate::wanted::Wanted;

/// The label of a disk that is nothing but state, by which the appliance knows it.
pub(super) const STATE_LABEL: &str = "lbctl-data";

pub(super) fn meta_data(instance: &str, name: &Name) -> String {
    format!("instance-id: {instance}\nlocal-hostname: {name}\n")
}

/// The user data; with the token that makes the first one of the balancer, when it has none yet.
pub(super) fn user_data(wanted: &Wanted, shape: &Shape, token: Option<&str>) -> String {
    let seed = Seed {
        hostname: wanted.name.as_str().parse().ok(),
        document: wanted
            .document
            .as_ref()
            .map(|document| document.text.clone()),
        admin: SeedAdmin {
            address: wanted.balancer.admin_address(),
            enrolment_token: token.map(str::to_owned),
        },
        network: shape.network.clone(),
        install: None,
    };
    seed.to_user_data()
}
