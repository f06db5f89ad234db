//! Where a balancer is administered.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The address of a balancer's admin API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket on this machine.
    Unix(PathBuf),
}

/// A text that is not the address of a balancer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the address of a balancer")]
pub struct InvalidAddress(String);

impl InvalidAddress {
    /// What to do.
    pub fn help(&self) -> String {
        "use the path of its socket, such as unix:/var/lib/lbctl/admin.sock".to_owned()
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = || InvalidAddress(text.to_owned());
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

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
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
}
