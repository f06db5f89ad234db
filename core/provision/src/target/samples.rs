//! What the tests of all targets begin with.

use lb_model::Format;
use lb_model::fleet::Balancer;

use crate::program::Program;
use crate::wanted::{Access, Document, Owner, Wanted, WantedProgram};

/// The only balancer of a fleet.
pub(crate) fn balancer(fleet: &str) -> Balancer {
    let fleet = lb_model::fleet::read(fleet, Format::Toml).unwrap();
    fleet.fleet().balancers.values().next().unwrap().clone()
}

pub(crate) fn owner(lineage: &str) -> Owner {
    Owner {
        fleet: "lab".parse().unwrap(),
        balancer: "lb1".parse().unwrap(),
        lineage: lineage.to_owned(),
    }
}

pub(crate) fn access() -> Access {
    Access {
        address: "127.0.0.1:9443".parse().unwrap(),
        token: "lbctl_1".to_owned(),
        fingerprint: None,
    }
}

/// A balancer with an empty document that is ours, and that whoever provisions can talk to.
pub(crate) fn wanted(balancer: Balancer) -> Wanted {
    Wanted {
        name: "lb1".parse().unwrap(),
        balancer,
        document: Some(Document::of(String::new())),
        program: WantedProgram::AsItIs(Program {
            path: "lbctl".into(),
            sha256: "0".repeat(64),
            bytes: 1,
            machine: "x86_64",
        }),
        owner: owner("ours"),
        access: Some(access()),
        is_recorded: true,
    }
}
