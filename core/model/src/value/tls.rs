//! Names of TLS: of hosts in certificates, of servers, of protocols; and certificates as text.

use std::net::IpAddr;
use std::str::FromStr;

use super::{InvalidValue, as_str, text_value};

/// A host that a certificate is for: a name, `*.` and a domain for every name right below it, or an IP
/// address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateName(Box<str>);

/// A host that a server answers for: a name or an IP address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerName(Box<str>);

/// What a client offers to speak behind TLS (ALPN, RFC 7301), such as `h2`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlpnName(Box<str>);

/// One certificate or more, as PEM (RFC 7468).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PemCertificates(Box<str>);

/// The longest text with certificates, in bytes.
const PEM_BYTES_MAX: usize = 256 * 1024;

const PEM_BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const PEM_END: &str = "-----END CERTIFICATE-----";

as_str!(CertificateName, ServerName, AlpnName, PemCertificates);

/// Whether this is a host name (RFC 1123 section 2.1, with `_` as Windows names have it).
fn is_host_name(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let label = |label: &str| {
        let whole = !label.starts_with('-') && !label.ends_with('-');
        whole && (1..=63).contains(&label.len()) && label.bytes().all(legal)
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// The host in the form in which it is compared.
fn host(text: &str) -> Option<Box<str>> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_string().into());
    }
    is_host_name(text).then(|| text.to_ascii_lowercase().into())
}

impl FromStr for CertificateName {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let name = match text.strip_prefix("*.") {
            Some(domain) if domain.parse::<IpAddr>().is_ok() => None,
            Some(domain) => host(domain).map(|domain| format!("*.{domain}").into()),
            None => host(text),
        };
        name.map(Self).ok_or_else(|| {
            InvalidValue::new(
                format!("`{}` is not a host of a certificate", text.escape_debug()),
                "a host name such as \"shop.example\", \"*.shop.example\" for every name right \
                 below a domain, or an IP address",
            )
        })
    }
}

impl FromStr for ServerName {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        host(text).map(Self).ok_or_else(|| {
            InvalidValue::new(
                format!("`{}` is not the name of a server", text.escape_debug()),
                "a host name such as \"iis.corp.example\", or an IP address, without a port",
            )
        })
    }
}

impl FromStr for AlpnName {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let legal = text.bytes().all(|b| b.is_ascii_graphic());
        if legal && (1..=255).contains(&text.len()) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidValue::new(
                format!("`{}` is not the name of a protocol", text.escape_debug()),
                "a name that clients offer with ALPN, such as \"h2\" or \"http/1.1\"",
            ))
        }
    }
}

impl FromStr for PemCertificates {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let invalid = |reason: &str| {
            InvalidValue::new(
                reason,
                "certificates as PEM, each from `-----BEGIN CERTIFICATE-----` to \
                 `-----END CERTIFICATE-----`",
            )
        };
        if text.len() > PEM_BYTES_MAX {
            return Err(invalid("the certificates are more than 256 KiB"));
        }
        if text.contains("PRIVATE KEY-----") {
            return Err(invalid("there is a private key beside the certificates"));
        }
        let mut rest = text;
        let mut count = 0;
        while let Some((_, after)) = rest.split_once(PEM_BEGIN) {
            let (body, after) = after
                .split_once(PEM_END)
                .ok_or_else(|| invalid("a certificate does not end"))?;
            if !is_base64(body) {
                return Err(invalid("a certificate is not base64"));
            }
            count += 1;
            rest = after;
        }
        if count == 0 {
            return Err(invalid("there is no certificate in the text"));
        }
        Ok(Self(text.into()))
    }
}

/// Whether this could be the inside of a PEM block: whether it is a certificate is for those to say
/// who use it.
fn is_base64(body: &str) -> bool {
    let legal = |b: &u8| b.is_ascii_alphanumeric() || b"+/=".contains(b);
    let text: Vec<u8> = body.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    !text.is_empty() && text.len().is_multiple_of(4) && text.iter().all(legal)
}

text_value!(
    CertificateName,
    format: "lb-certificate-name",
    example: "*.shop.example",
    "A host name, `*.` and a domain for every name right below it, or an IP address."
);
text_value!(
    ServerName,
    format: "lb-server-name",
    example: "iis.corp.example",
    "A host name or an IP address, without a port."
);
text_value!(
    AlpnName,
    format: "lb-alpn",
    example: "h2",
    "A protocol that clients offer with ALPN."
);
text_value!(
    PemCertificates,
    format: "lb-pem-certificates",
    example: "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    "One certificate or more, as PEM."
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_certificates_are_names_wildcards_and_addresses() {
        for (text, canonical) in [
            ("Shop.Example", "shop.example"),
            ("*.Shop.example", "*.shop.example"),
            ("10.0.0.1", "10.0.0.1"),
            ("2001:DB8::1", "2001:db8::1"),
            ("iis_1", "iis_1"),
        ] {
            let name: CertificateName = text.parse().unwrap();
            assert_eq!(name.as_str(), canonical);
        }
        for wrong in [
            "",
            "*",
            "*.",
            "a..b",
            "-a",
            "a.*.b",
            "*.10.0.0.1",
            "a:443",
            "a b",
            "ü.de",
        ] {
            assert!(wrong.parse::<CertificateName>().is_err(), "{wrong}");
        }
        assert!("*.a".parse::<ServerName>().is_err());
        assert!("iis.corp".parse::<ServerName>().is_ok());
    }

    #[test]
    fn certificates_as_text_are_whole_and_have_no_key_beside_them() {
        let one = format!("# corp\n{PEM_BEGIN}\nMIIB\nAAA=\n{PEM_END}\n");
        assert!(one.parse::<PemCertificates>().is_ok());
        assert!(format!("{one}{one}").parse::<PemCertificates>().is_ok());
        let key = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n";
        for wrong in [
            "",
            "MIIB",
            &one.replace(PEM_END, ""),
            &one.replace("MIIB", "MI?B"),
            &one.replace("MIIB", "MII"),
            &format!("{one}{key}"),
        ] {
            assert!(wrong.parse::<PemCertificates>().is_err(), "{wrong}");
        }
    }
}
