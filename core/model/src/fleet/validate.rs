//! What contradicts itself in a fleet.

use std::collections::BTreeMap;

use super::{Fleet, SshTarget, Target};
use crate::problem::{Code, Path, Problem};
use crate::validate::{Found, file_name};
use crate::value::{ListenAddress, Name};

/// The errors, and the warnings.
pub(super) fn check(fleet: &Fleet) -> (Vec<Problem>, Vec<Problem>) {
    let mut found = Found::default();
    machines(fleet, &mut found);
    files(fleet, &mut found);
    appliances(fleet, &mut found);
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
        let Target::Ssh(SshTarget { host, port, .. }) = &balancer.target else {
            continue;
        };
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
        let target = place(name).key("target");
        let of_target = match &balancer.target {
            Target::Ssh(ssh) => {
                let key = target.key("ssh").key("identity_file");
                (ssh.identity_file.as_ref(), key, "id_ed25519")
            }
            Target::Vm(vm) => {
                let key = target.key("vm").key("image");
                (Some(&vm.image), key, "lbctl.qcow2")
            }
        };
        let (document, program) = (place(name).key("document"), place(name).key("program"));
        let named = [
            (balancer.document.as_ref(), document, "lb.toml"),
            (balancer.program.as_ref(), program, "dist/lbctl"),
            of_target,
        ];
        for (file, path, example) in named {
            if let Some(file) = file {
                file_name(file, path, example, found);
            }
        }
    }
}

/// What is made from an image is reached in the ways that the fleet gives it alone.
fn appliances(fleet: &Fleet, found: &mut Found) {
    let mut taken: BTreeMap<ListenAddress, &Name> = BTreeMap::new();
    for (name, balancer) in &fleet.balancers {
        if balancer.program.is_some() && balancer.target.is_appliance() {
            let message = "the image of this machine has a program in it already";
            let help = "leave it out, and name an image with the program that it shall run";
            found.report(
                Code::ProgramOfImage,
                place(name).key("program"),
                message,
                help,
            );
        }
        let (Target::Vm(vm), Some(admin)) = (&balancer.target, balancer.admin_address()) else {
            continue;
        };
        let forwards = place(name).key("target").key("vm").key("forwards");
        let port = admin.socket_addr().port();
        if !vm.forwards.iter().any(|forward| forward.port == port) {
            let message = format!("nothing is passed on to port {port}, where its admin API is");
            let help = format!("add `{{ address = \"127.0.0.1:{port}\", port = {port} }}`");
            found.report(Code::NoWayToAdmin, forwards.clone(), message, help);
        }
        for (index, forward) in vm.forwards.iter().enumerate() {
            let clash = taken.iter().find(|(other, _)| {
                other.covers(forward.address) || forward.address.covers(**other)
            });
            if let Some((address, other)) = clash {
                let message = format!("the balancer `{other}` is reached at {address} already");
                let help = "give each of them another port";
                let path = forwards.clone().index(index).key("address");
                found.report(Code::ForwardTwice, path, message, help);
            }
            taken.insert(forward.address, name);
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
