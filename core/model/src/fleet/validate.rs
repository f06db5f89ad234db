//! What contradicts itself in a fleet.

use std::collections::BTreeMap;

use super::{AwsTarget, Fleet, RedfishTarget, SshTarget, Target, VmTarget};
use crate::problem::{Code, Path, Problem};
use crate::seed::check_network;
use crate::validate::{Found, file_name};
use crate::value::{Cidr, ListenAddress, Name};

/// The errors, and the warnings.
pub(super) fn check(fleet: &Fleet) -> (Vec<Problem>, Vec<Problem>) {
    let mut found = Found::default();
    machines(fleet, &mut found);
    files(fleet, &mut found);
    appliances(fleet, &mut found);
    clusters(fleet, &mut found);
    (found.errors, found.warnings)
}

fn target(name: &Name, target: &Target) -> Path {
    place(name).key("target").key(target.word())
}

fn place(name: &Name) -> Path {
    Path::root().key("balancers").key(name.as_str())
}

/// Each machine is one balancer.
fn machines(fleet: &Fleet, found: &mut Found) {
    let mut taken = BTreeMap::new();
    for (name, balancer) in &fleet.balancers {
        let (machine, key) = match &balancer.target {
            Target::Ssh(SshTarget { host, port, .. }) => {
                let port = port.map(|port| format!(" port {port}"));
                (format!("{host}{}", port.unwrap_or_default()), "host")
            }
            Target::Redfish(RedfishTarget {
                controller, system, ..
            }) => {
                let system = system.as_ref().map(|system| format!(" system {system}"));
                (
                    format!("{controller}{}", system.unwrap_or_default()),
                    "controller",
                )
            }
            Target::Vm(_) | Target::Aws(_) => continue,
        };
        let Some(other) = taken.insert(machine.clone(), name) else {
            continue;
        };
        let message = format!("the balancer `{other}` is on the machine {machine} already");
        let help = "give each balancer a machine of its own, or leave one of them out";
        let path = target(name, &balancer.target).key(key);
        found.report(Code::MachineTwice, path, message, help);
    }
}

fn files(fleet: &Fleet, found: &mut Found) {
    for (name, balancer) in &fleet.balancers {
        let (document, program) = (place(name).key("document"), place(name).key("program"));
        let mut named = vec![
            (balancer.document.as_ref(), document, "lb.toml"),
            (balancer.program.as_ref(), program, "dist/lbctl"),
        ];
        let key = |key: &str| target(name, &balancer.target).key(key);
        match &balancer.target {
            Target::Ssh(ssh) => named.push((
                ssh.identity_file.as_ref(),
                key("identity_file"),
                "id_ed25519",
            )),
            Target::Vm(vm) => named.push((Some(&vm.image), key("image"), "lbctl.qcow2")),
            Target::Redfish(redfish) => named.extend([
                (Some(&redfish.image), key("image"), "lbctl.iso"),
                (
                    Some(&redfish.password_file),
                    key("password_file"),
                    "bmc-password",
                ),
            ]),
            Target::Aws(_) => {}
        }
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
        let at = target(name, &balancer.target);
        let Some(admin) = balancer.admin_address() else {
            continue;
        };
        match &balancer.target {
            Target::Ssh(_) => {}
            Target::Vm(vm) => virtual_machine(vm, admin, &at, found),
            Target::Aws(aws) => cloud(aws, admin, &at, found),
            Target::Redfish(redfish) => hardware(redfish, &at, found),
        }
        let Target::Vm(vm) = &balancer.target else {
            continue;
        };
        let forwards = at.key("forwards");
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

/// There must be a way to its admin API.
fn virtual_machine(vm: &VmTarget, admin: ListenAddress, at: &Path, found: &mut Found) {
    check_network(&vm.network, &at.clone().key("network"), found);
    let port = admin.socket_addr().port();
    let is_forwarded = vm.forwards.iter().any(|forward| forward.port == port);
    if vm.address.is_some() && vm.bridges.is_empty() {
        let message = "an address is told, and the machine is on no bridge";
        let help = "name the bridge in `bridges`, or leave the address out";
        let path = at.clone().key("address");
        found.report(Code::AddressNotReachable, path, message, help);
    } else if !is_forwarded && vm.address.is_none() {
        let message = format!("nothing is passed on to port {port}, where its admin API is");
        let mut help = format!("add `{{ address = \"127.0.0.1:{port}\", port = {port} }}`");
        if !vm.bridges.is_empty() {
            help.push_str(", or say the `address` that it has on a bridge");
        }
        found.report(
            Code::NoWayToAdmin,
            at.clone().key("forwards"),
            message,
            help,
        );
    }
}

/// The fewest bits that a network has from which a machine in a cloud is administered.
const ADMIN_PREFIX_MIN: (u8, u8) = (8, 16);

/// Nobody who is not meant may reach the admin API, and somebody must.
fn cloud(aws: &AwsTarget, admin: ListenAddress, at: &Path, found: &mut Found) {
    let path = at.clone().key("admin_networks");
    if aws.admin_networks.is_empty() {
        let message = "the admin API of the machine is open to nobody";
        let help = "name the networks that you administer it from, such as [\"203.0.113.7/32\"]";
        found.report(Code::AdminOpenToWorld, path.clone(), message, help);
    }
    let (v4, v6) = ADMIN_PREFIX_MIN;
    let is_world = |network: &Cidr| network.prefix() < if network.is_ipv4() { v4 } else { v6 };
    for (index, network) in aws.admin_networks.iter().enumerate() {
        if is_world(network) {
            let message = format!("{network} opens the admin API to the world");
            let help = "name the networks that you administer it from, such as \"203.0.113.7/32\"";
            let path = path.clone().index(index);
            found.report(Code::AdminOpenToWorld, path, message, help);
        }
    }
    for (index, opening) in aws.services.iter().enumerate() {
        let opens = opening.networks.is_empty() || opening.networks.iter().any(is_world);
        if opening.port == admin.socket_addr().port() && opens {
            let message = format!("port {} is that of the admin API", opening.port);
            let help = "leave it out: `admin_networks` opens it";
            let path = at.clone().key("services").index(index).key("port");
            found.report(Code::AdminOpenToWorld, path, message, help);
        }
    }
}

/// The controller must be able to fetch the image.
fn hardware(redfish: &RedfishTarget, at: &Path, found: &mut Found) {
    check_network(&redfish.network, &at.clone().key("network"), found);
    if redfish.media_address.socket_addr().ip().is_unspecified() {
        let message = "the controller cannot fetch the image from this address";
        let help =
            "use an address of this machine that the controller reaches, such as \"10.0.0.2:0\"";
        let path = at.clone().key("media_address");
        found.report(Code::AddressNotReachable, path, message, help);
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
