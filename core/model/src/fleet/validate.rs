//! What contradicts itself in a fleet.

use std::collections::BTreeMap;

use super::{Fleet, SshTarget, Target};
use crate::problem::{Code, Path, Problem};
use crate::validate::{Found, file_name};
use crate::value::Name;

/// The errors, and the warnings.
pub(super) fn check(fleet: &Fleet) -> (Vec<Problem>, Vec<Problem>) {
    let mut found = Found::default();
    machines(fleet, &mut found);
    files(fleet, &mut found);
    clusters(fleet, &mut found);
    (found.errors, found.warnings)
}

fn place(name: &Name) -> Path {
    Path::root().key("balancers").key(name.as_str())
}

/// Each machine is one balancer.
fn machines(fleet: &Fleet, found: &mut Found) {
    let mut taken = BTreeMap::new();
    for (name, balancer) in &fleet.balancers {
        let Target::Ssh(SshTarget { host, port, .. }) = &balancer.target;
        let Some(other) = taken.insert((host, *port), name) else {
            continue;
        };
        let message = format!("the balancer `{other}` is on the machine {host} already");
        let help = "give each balancer a machine of its own, or leave one of them out";
        let path = place(name).key("target").key("ssh").key("host");
        found.report(Code::MachineTwice, path, message, help);
    }
}

fn files(fleet: &Fleet, found: &mut Found) {
    for (name, balancer) in &fleet.balancers {
        let Target::Ssh(ssh) = &balancer.target;
        let key = place(name).key("target").key("ssh").key("identity_file");
        let named = [
            (&balancer.document, place(name).key("document"), "lb.toml"),
            (&balancer.program, place(name).key("program"), "dist/lbctl"),
            (&ssh.identity_file, key, "id_ed25519"),
        ];
        for (file, path, example) in named {
            if let Some(file) = file {
                file_name(file, path, example, found);
            }
        }
    }
}

/// Who is alone in a cluster was most likely meant to be in another one.
fn clusters(fleet: &Fleet, found: &mut Found) {
    let mut members: BTreeMap<&Name, Vec<&Name>> = BTreeMap::new();
    for (name, balancer) in &fleet.balancers {
        if let Some(cluster) = &balancer.cluster {
            members.entry(cluster).or_default().push(name);
        }
    }
    for (cluster, members) in members {
        if let [alone] = &members[..] {
            let message = format!("`{alone}` is the only one in the cluster `{cluster}`");
            let help = "give the others the same cluster, or leave it out";
            let path = place(alone).key("cluster");
            found.report(Code::ClusterOfOne, path, message, help);
        }
    }
}
