//! The network interfaces, by the programs that every small system has: `ip` and `udhcpc`.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use lb_model::seed::Interface;
use lb_model::value::{HostAddress, Name};

use crate::Report;
use crate::error::FirstBootError;

const CARDS: &str = "/sys/class/net";

const RESOLVER: &str = "/etc/resolv.conf";

/// Between two looks for cards that come up.
const PAUSE: Duration = Duration::from_millis(100);

/// Sets up the interfaces of a seed; all that there are with DHCP, when it has none.
pub(crate) fn set_up(wanted: &BTreeMap<Name, Interface>, patience: Duration, report: &mut Report) {
    report.note(call("ip", &["link", "set", "dev", "lo", "up"]).map(drop));
    let cards = wait_for_cards(wanted, patience);
    if wanted.is_empty() {
        for card in cards.keys() {
            dhcp(card, report);
        }
        return;
    }
    let mut nameservers = Vec::new();
    for (name, interface) in wanted {
        match find(name, interface, &cards) {
            Some(card) => one(card, interface, report),
            None => report.errors.push(FirstBootError::NoInterface {
                name: interface
                    .mac
                    .map_or_else(|| name.to_string(), |mac| mac.to_string()),
                there: cards.keys().cloned().collect::<Vec<_>>().join(", "),
            }),
        }
        nameservers.extend(&interface.nameservers);
    }
    resolver(&nameservers, report);
}

fn resolver(nameservers: &[HostAddress], report: &mut Report) {
    if nameservers.is_empty() {
        return;
    }
    let lines = nameservers
        .iter()
        .map(|server| format!("nameserver {server}\n"));
    let written = fs::write(RESOLVER, lines.collect::<String>());
    report.note(written.map_err(|source| FirstBootError::File {
        path: RESOLVER.into(),
        source,
    }));
}

/// The network cards by name, with their addresses.
fn cards() -> BTreeMap<String, String> {
    let entries = fs::read_dir(CARDS)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let cards = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let mac = fs::read_to_string(entry.path().join("address")).ok()?;
        // Ethernet (ARPHRD_ETHER): neither a loopback nor a tunnel.
        let kind = fs::read_to_string(entry.path().join("type")).ok()?;
        (kind.trim() == "1").then(|| (name, mac.trim().to_owned()))
    });
    cards.collect()
}

fn wait_for_cards(
    wanted: &BTreeMap<Name, Interface>,
    patience: Duration,
) -> BTreeMap<String, String> {
    let until = Instant::now() + patience;
    loop {
        let cards = cards();
        let is_there =
            |(name, interface): (&Name, &Interface)| find(name, interface, &cards).is_some();
        if !cards.is_empty() && wanted.iter().all(is_there) || Instant::now() >= until {
            return cards;
        }
        sleep(PAUSE);
    }
}

fn find<'c>(
    name: &Name,
    interface: &Interface,
    cards: &'c BTreeMap<String, String>,
) -> Option<&'c str> {
    let mac = interface.mac.map(|mac| mac.to_string());
    let is_it = |(card, address): &(&String, &String)| match &mac {
        Some(mac) => *address == mac,
        None => *card == name.as_str(),
    };
    cards.iter().find(is_it).map(|(card, _)| card.as_str())
}

fn one(card: &str, interface: &Interface, report: &mut Report) {
    if interface.addresses.is_empty() {
        dhcp(card, report);
        return;
    }
    report.note(call("ip", &["link", "set", "dev", card, "up"]).map(drop));
    for address in &interface.addresses {
        let address = address.to_string();
        match call("ip", &["address", "replace", &address, "dev", card]) {
            Ok(_) => report.did(format!("{card} has {address}")),
            Err(error) => report.errors.push(error),
        }
    }
    for gateway in &interface.gateways {
        let family = if gateway.ip().is_ipv4() { "-4" } else { "-6" };
        let gateway = gateway.to_string();
        let args = [
            family, "route", "replace", "default", "via", &gateway, "dev", card,
        ];
        report.note(call("ip", &args).map(drop));
    }
}

/// Asks for an address, and leaves behind who renews it; without an answer it goes on asking.
fn dhcp(card: &str, report: &mut Report) {
    report.note(call("ip", &["link", "set", "dev", card, "up"]).map(drop));
    let pid = format!("/run/udhcpc.{card}.pid");
    let args = [
        "-i", card, "-p", &pid, "-b", "-S", "-t", "5", "-T", "1", "-A", "5",
    ];
    if let Err(error) = call("udhcpc", &args) {
        report.errors.push(error);
        return;
    }
    let shown = call("ip", &["-4", "-o", "address", "show", "dev", card]).unwrap_or_default();
    let mut words = shown
        .split_whitespace()
        .skip_while(|word| *word != "inet")
        .skip(1);
    report.did(match words.next() {
        Some(address) => format!("{card} has {address} from DHCP"),
        None => format!("{card} has no address yet: nobody answers DHCP"),
    });
}

fn call(program: &str, args: &[&str]) -> Result<String, FirstBootError> {
    let failed = |told: String| FirstBootError::Failed {
        command: format!("{program} {}", args.join(" ")),
        told,
    };
    // Who stays behind must not hold on to what it inherits: its output goes nowhere.
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    if program == "udhcpc" {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let status = command
            .status()
            .map_err(|error| failed(error.to_string()))?;
        return status
            .success()
            .then(String::new)
            .ok_or_else(|| failed(status.to_string()));
    }
    let ended = command
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if ended.status.success() {
        return Ok(String::from_utf8_lossy(&ended.stdout).into_owned());
    }
    Err(failed(
        String::from_utf8_lossy(&ended.stderr).trim().to_owned(),
    ))
}
