//! Where a balancer is administered.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The port of HTTPS, when an address names none.
const PORT: u16 = 443;

/// The address of a balancer's admin API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket on this machine.
    Unix(PathBuf),
    /// A host and a port, over TLS.
    Tls {
        /// A name or an address; one of IPv6 in brackets.
        host: String,
        /// The port.
        port: u16,
    },
}

/// A text that is not the address of a balancer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the address of a balancer")]
pub struct InvalidAddress(String);

impl InvalidAddress {
    /// What to do.
    pub fn help(&self) -> String {
        if self.0.starts_with("http:") {
            return "the admin API is never served without TLS: use https://".to_owned();
        }
        "use https://HOST:PORT, or the path of its socket, such as unix:/var/lib/lbctl/admin.sock"
            .to_owned()
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = || InvalidAddress(text.to_owned());
        if let Some(rest) = text.strip_prefix("https://") {
            return tls(rest).ok_or_else(invalid);
        }
        let path = match text.split_once(':') {
            Some(("unix", path)) => path,
            Some(_) | None if text.contains('/') && !text.contains("://") => text,
            Some(_) | None => return Err(invalid()),
        };
        if path.is_empty() || path.contains('\0') {
            return Err(invalid());
        }
        Ok(Self::Unix(path.into()))
    }
}

fn tls(text: &str) -> Option<Address> {
    let authority = text.strip_suffix('/').unwrap_or(text);
    let colon = authority.rfind(':');
    // In brackets colons are part of the address.
    let colon = colon.filter(|at| authority.rfind(']').is_none_or(|end| end < *at));
    let (host, port) = match colon {
        Some(at) => (authority.get(..at)?, authority.get(at + 1..)?.parse().ok()?),
        None => (authority, PORT),
    };
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let legal = if let Some(bare) = bare {
        bare.parse::<std::net::Ipv6Addr>().is_ok()
    } else {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        !host.is_empty() && host.chars().all(legal)
    };
    (legal && port != 0).then(|| Address::Tls {
        host: host.to_owned(),
        port,
    })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tls { host, port } => write!(f, "https://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_socket_is_an_address_with_or_without_its_scheme() {
        for text in ["unix:/run/lb.sock", "/run/lb.sock"] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), "unix:/run/lb.sock");
        }
        for wrong in ["", "unix:", "ftp://x/y", "balancer"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_host_is_an_address_with_tls_alone() {
        for (text, shown) in [
            ("https://lb1:9443", "https://lb1:9443"),
            ("https://lb1.example/", "https://lb1.example:443"),
            ("https://10.0.0.5:9443", "https://10.0.0.5:9443"),
            ("https://[2001:db8::5]:9443", "https://[2001:db8::5]:9443"),
            ("https://[::1]", "https://[::1]:443"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
        }
        for wrong in [
            "http://lb1:9443",
            "https://",
            "https://lb1:x",
            "https://lb1:0",
            "https://lb1:70000",
            "https://lb1/path",
            "https://user@lb1",
            "https://[lb1]",
        ] {
            let error = wrong.parse::<Address>().unwrap_err();
            assert!(error.help().contains("https://"), "{wrong}");
        }
    }
}
