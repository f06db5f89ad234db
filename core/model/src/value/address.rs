//! Network addresses: where a virtual service listens, where a server is, which networks match.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use super::{InvalidValue, text_value};

/// Where a virtual service accepts connections: an IP address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenAddress(SocketAddr);

/// Where a server is reached: an IP address and a port other than 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerAddress(SocketAddr);

/// A network in prefix notation; a bare address is the network of that one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr(ipnet::IpNet);

impl ListenAddress {
    /// This address.
    pub const fn new(address: SocketAddr) -> Self {
        Self(address)
    }

    /// The address as a socket address.
    pub const fn socket_addr(self) -> SocketAddr {
        self.0
    }

    /// Whether a socket bound to this address would also take what `other` asks for.
    pub fn covers(self, other: Self) -> bool {
        self.0.port() == other.0.port()
            && self.0.port() != 0
            && (self.0.ip() == other.0.ip()
                || self.0.ip().is_unspecified() && self.0.is_ipv4() == other.0.is_ipv4())
    }
}

impl ServerAddress {
    /// The address as a socket address.
    pub const fn socket_addr(self) -> SocketAddr {
        self.0
    }
}

impl Cidr {
    /// Whether the network holds this address. An IPv4 address that arrives in its IPv6-mapped
    /// form is compared as IPv4.
    pub fn contains(self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// How many bits all its addresses have in common.
    pub fn prefix(self) -> u8 {
        self.0.prefix_len()
    }

    /// Whether it is one of IPv4.
    pub const fn is_ipv4(self) -> bool {
        matches!(self.0, ipnet::IpNet::V4(_))
    }

    /// Whether every address of `other` is in this network.
    pub fn covers(self, other: Self) -> bool {
        self.0.contains(&other.0)
    }
}

impl FromStr for ListenAddress {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        text.parse().map(Self).map_err(|_| {
            InvalidValue::new(
                format!("`{text}` is not an address to listen on"),
                "an IP address and a port, such as \"0.0.0.0:80\", \"10.0.0.5:443\" or \"[::]:80\"",
            )
        })
    }
}

impl FromStr for ServerAddress {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let mend = "an IP address and a port from 1 to 65535, such as \"10.0.0.11:80\" or \
                    \"[2001:db8::11]:80\"";
        match text.parse::<SocketAddr>() {
            Ok(address) if address.port() == 0 => {
                Err(InvalidValue::new(format!("`{text}` has port 0"), mend))
            }
            Ok(address) if address.ip().is_unspecified() => Err(InvalidValue::new(
                format!("`{text}` is not the address of one server"),
                mend,
            )),
            Ok(address) => Ok(Self(address)),
            Err(_) => Err(InvalidValue::new(
                format!("`{text}` is not the address of a server"),
                mend,
            )),
        }
    }
}

impl FromStr for Cidr {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let net = text
            .parse::<ipnet::IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(Into::into));
        net.map(|net| Self(net.trunc())).map_err(|_| {
            InvalidValue::new(
                format!("`{text}` is not a network"),
                "an address with a prefix length, such as \"10.0.0.0/8\" or \"2001:db8::/32\", or a \
                 single address",
            )
        })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

text_value!(
    ListenAddress,
    format: "lb-listen-address",
    example: "0.0.0.0:80",
    "An IP address and a port; `0.0.0.0` or `[::]` listens on every address, port 0 takes a free port."
);
text_value!(
    ServerAddress,
    format: "lb-server-address",
    example: "10.0.0.11:80",
    "An IP address and a port from 1 to 65535."
);
text_value!(
    Cidr,
    format: "lb-cidr",
    example: "10.0.0.0/8",
    "A network as address and prefix length, or a single address."
);
