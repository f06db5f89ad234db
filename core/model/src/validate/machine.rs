//! What is taken from the machine: addresses to listen on, each once, and the file of the log.

use std::collections::HashMap;
use std::net::IpAddr;

use super::found::{Found, service_path};
use crate::config::{AccessLog, AccessLogOutput, Admin, AdminCertificate, Config};
use crate::problem::{Code, Path};
use crate::value::ListenAddress;

/// Who listens where, so that each new address is compared with at most three others.
#[derive(Default)]
struct Taken<'a> {
    by_address: HashMap<(IpAddr, u16), &'a str>,
    /// Some address of the family on that port; `true` is IPv4.
    by_family: HashMap<(bool, u16), &'a str>,
}

impl<'a> Taken<'a> {
    /// Takes an address; if it overlaps with one that is taken, returns the name it has.
    fn take(&mut self, address: ListenAddress, name: &'a str) -> Option<&'a str> {
        let socket = address.socket_addr();
        let (ip, port, family) = (socket.ip(), socket.port(), socket.is_ipv4());
        if port == 0 {
            return None;
        }
        let any = if family {
            IpAddr::from([0; 4])
        } else {
            IpAddr::from([0_u8; 16])
        };
        let clash = if ip.is_unspecified() {
            self.by_family.get(&(family, port))
        } else {
            self.by_address
                .get(&(any, port))
                .or_else(|| self.by_address.get(&(ip, port)))
        };
        let clash = clash.copied();
        self.by_address.entry((ip, port)).or_insert(name);
        self.by_family.entry((family, port)).or_insert(name);
        clash
    }
}

pub(super) fn addresses_taken(config: &Config, found: &mut Found) {
    let mut taken = Taken::default();
    let enabled = config
        .virtual_services
        .iter()
        .filter(|(_, service)| service.enabled);
    for (name, service) in enabled {
        let address = service.address;
        if let Some(other) = taken.take(address, name.as_str()) {
            let message = format!("the virtual service `{other}` already listens on {address}");
            let help = "give one of them another address or port, or set `enabled = false`";
            found.report(
                Code::AddressTaken,
                service_path(name).key("address"),
                message,
                help,
            );
        }
    }
    if let Some(address) = config.telemetry.metrics_address
        && let Some(other) = taken.take(address, "metrics")
    {
        let message = format!("the virtual service `{other}` already listens on {address}");
        let help = "serve metrics on another port";
        found.report(Code::AddressTaken, metrics_path(), message, help);
    }
    if let Some(address) = config.admin.address
        && let Some(other) = taken.take(address, "admin")
    {
        let message = format!("`{other}` already listens on {address}");
        let help = "serve the admin API on another port";
        found.report(
            Code::AddressTaken,
            admin_path().key("address"),
            message,
            help,
        );
    }
}

pub(super) fn metrics_exposed(config: &Config, found: &mut Found) {
    let Some(address) = config.telemetry.metrics_address else {
        return;
    };
    if !address.socket_addr().ip().is_loopback() {
        let message = format!("everybody who reaches {address} can read the metrics");
        let help = "use a loopback address such as \"127.0.0.1:9100\", or make sure that only \
                    the management network reaches it";
        found.report(Code::MetricsExposed, metrics_path(), message, help);
    }
}

fn metrics_path() -> Path {
    Path::root().key("telemetry").key("metrics_address")
}

/// A file name that no system could open.
pub(super) fn log_file_name(config: &Config, found: &mut Found) {
    let Some(AccessLog {
        output: AccessLogOutput::File(file),
        ..
    }) = &config.telemetry.access_log
    else {
        return;
    };
    let path = Path::root()
        .key("telemetry")
        .key("access_log")
        .key("output")
        .key("file");
    file_name(file, path, "/var/log/lbctl/access.log", found);
}

/// The files of the certificate of the admin API.
pub(super) fn admin_certificate(config: &Config, found: &mut Found) {
    if let Some(file) = &config.admin.client_authorities {
        let path = admin_path().key("client_authorities");
        file_name(file, path, "/etc/lbctl/admins-ca.pem", found);
    }
    let Some(AdminCertificate { file, key }) = &config.admin.certificate else {
        return;
    };
    let path = |name| admin_path().key("certificate").key(name);
    file_name(file, path("file"), "/etc/lbctl/admin.pem", found);
    file_name(key, path("key"), "/etc/lbctl/admin-key.pem", found);
}

pub(super) fn certificate_unused(config: &Config, found: &mut Found) {
    let Admin {
        address,
        certificate,
        client_authorities: _,
        connections_max: _,
    } = &config.admin;
    if certificate.is_some() && address.is_none() {
        let message = "the admin API has a certificate and no address to show it on";
        let help = "add `address`, such as \"10.0.0.5:9443\", or leave out `certificate`";
        let path = admin_path().key("certificate");
        found.report(Code::CertificateUnused, path, message, help);
    }
}

fn admin_path() -> Path {
    Path::root().key("admin")
}

pub(crate) fn file_name(file: &std::path::Path, path: Path, example: &str, found: &mut Found) {
    let usable = |name: &str| !name.is_empty() && !name.contains('\0') && !name.ends_with('/');
    if !file.to_str().is_some_and(usable) {
        let message = format!("`{}` is not the name of a file", file.display());
        let help = format!("use a path such as \"{example}\"");
        found.report(Code::NotAFileName, path, message, help);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clashes(addresses: &[&str]) -> usize {
        let mut taken = Taken::default();
        let clash = |text: &&&str| taken.take(text.parse().unwrap(), "x").is_some();
        addresses.iter().filter(clash).count()
    }

    #[test]
    fn an_address_is_taken_once_in_whatever_order_and_form() {
        assert_eq!(clashes(&["10.0.0.1:80", "10.0.0.1:80"]), 1);
        assert_eq!(clashes(&["10.0.0.1:80", "0.0.0.0:80"]), 1);
        assert_eq!(clashes(&["0.0.0.0:80", "10.0.0.1:80"]), 1);
        assert_eq!(clashes(&["[::]:80", "[2001:db8::1]:80"]), 1);
        assert_eq!(
            clashes(&["10.0.0.1:80", "10.0.0.2:80", "10.0.0.1:81", "[::]:80"]),
            0
        );
        assert_eq!(clashes(&["0.0.0.0:0", "0.0.0.0:0"]), 0);
    }
}
