//! What a machine is called in its network, and what its interfaces have.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::{InvalidValue, as_str, text_value};

/// The name of a machine (RFC 1123, 2.1): at most 253 characters, in labels of at most 63 letters, digits
/// and `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(Box<str>);

impl FromStr for HostName {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.chars().all(legal)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if text.len() <= 253 && text.split('.').all(is_label) {
            return Ok(Self(text.into()));
        }
        let mend = "letters, digits, `-` and dots, such as `lb1` or `lb1.example`";
        let reason = format!("`{text}` is not the name of a machine");
        Err(InvalidValue::new(reason, mend))
    }
}

/// The address of a network card: six bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress([u8; 6]);

impl FromStr for MacAddress {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let invalid = || {
            InvalidValue::new(
                format!("`{text}` is not the address of a network card"),
                "six pairs of hexadecimal digits, such as `52:54:00:12:34:56`",
            )
        };
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2);
            let part = part.filter(|part| part.bytes().all(|b| b.is_ascii_hexdigit()));
            let value = part.and_then(|part| u8::from_str_radix(part, 16).ok());
            *byte = value.ok_or_else(invalid)?;
        }
        parts
            .next()
            .is_none()
            .then_some(Self(bytes))
            .ok_or_else(invalid)
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02x}")?;
        }
        Ok(())
    }
}

/// The address of one machine, without a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostAddress(IpAddr);

impl HostAddress {
    /// The address.
    pub const fn ip(self) -> IpAddr {
        self.0
    }
}

impl FromStr for HostAddress {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text.parse::<IpAddr>() {
            Ok(ip) if !ip.is_unspecified() && !ip.is_multicast() => Ok(Self(ip)),
            Ok(_) | Err(_) => Err(InvalidValue::new(
                format!("`{text}` is not the address of a machine"),
                "an IP address without a port, such as `10.0.0.1` or `2001:db8::1`",
            )),
        }
    }
}

impl fmt::Display for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The address of an interface, with the length of the prefix of its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceAddress(ipnet::IpNet);

impl InterfaceAddress {
    /// The address.
    pub fn ip(self) -> IpAddr {
        self.0.addr()
    }
}

impl FromStr for InterfaceAddress {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text.parse::<ipnet::IpNet>() {
            Ok(net) if !net.addr().is_unspecified() && !net.addr().is_multicast() => Ok(Self(net)),
            Ok(_) | Err(_) => Err(InvalidValue::new(
                format!("`{text}` is not the address of an interface"),
                "an address with the length of the prefix, such as `10.0.0.5/24` or `2001:db8::5/64`",
            )),
        }
    }
}

impl fmt::Display for InterfaceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

as_str!(HostName);
text_value!(
    HostName,
    format: "lb-host-name",
    example: "lb1.example",
    "The name of a machine: labels of letters, digits and `-`, with dots between them."
);
text_value!(
    MacAddress,
    format: "lb-mac-address",
    example: "52:54:00:12:34:56",
    "The address of a network card: six pairs of hexadecimal digits."
);
text_value!(
    HostAddress,
    format: "lb-host-address",
    example: "10.0.0.1",
    "An IP address without a port."
);
text_value!(
    InterfaceAddress,
    format: "lb-interface-address",
    example: "10.0.0.5/24",
    "An IP address with the length of the prefix of its network."
);
