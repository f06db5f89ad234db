//! Functions: they ask nobody, and give the same for the same arguments.

use std::net::IpAddr;

use lb_model::api::Timestamp;
use lb_model::value::ListenAddress;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value as Json, json};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;

use crate::certificate;
use crate::value::Value;
use crate::wire;
use crate::wire::number::MARKDOWN;

mod rules;

/// A function.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) description: &'static str,
    pub(crate) parameters: &'static [Parameter],
    /// The type of what it gives, as Terraform writes types.
    pub(crate) gives: fn() -> Json,
    compute: fn(&[Value]) -> Result<Value, Wrong>,
}

/// An argument.
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    /// Its type, as Terraform writes types.
    pub(crate) kind: &'static str,
    pub(crate) description: &'static str,
}

/// An argument that nothing can be made of.
#[derive(Debug, PartialEq)]
pub(crate) struct Wrong {
    pub(crate) argument: i64,
    pub(crate) text: String,
}

/// Every function.
pub(crate) const FUNCTIONS: &[Function] = &[
    Function {
        name: "parse_address",
        summary: "The parts of an address",
        description: "The host and the port of an address such as `10.0.0.11:80` or `[2001:db8::11]:80`, as \
                      servers and virtual services have it.",
        parameters: &[Parameter {
            name: "address",
            kind: STRING,
            description: "An IP address and a port.",
        }],
        gives: || json!(["object", { "host": "string", "port": "number", "is_ipv6": "bool" }]),
        compute: parse_address,
    },
    Function {
        name: "pem_info",
        summary: "What certificates say of themselves",
        description: "What each certificate in a text of PEM says of itself, in their order: whom it is for, \
                      who signed it, from when until when it is valid (RFC 3339), and its fingerprint.",
        parameters: &[Parameter {
            name: "pem",
            kind: STRING,
            description: "Certificates as PEM.",
        }],
        gives: || {
            json!(["list", ["object", {
                "fingerprint": "string",
                "is_authority": "bool",
                "issuer": "string",
                "names": ["list", "string"],
                "not_after": "string",
                "not_before": "string",
                "subject": "string",
            }]])
        },
        compute: pem_info,
    },
    Function {
        name: "match_rule",
        summary: "Which rule decides on a request",
        description: "The name of the rule that would decide on a request, as the balancer would find it; null \
                      when none does, and the virtual service's own pool gets it. For checks and tests.",
        parameters: &[
            Parameter {
                name: "rules",
                kind: "\"dynamic\"",
                description: "The rules, as `lbctl_virtual_service` has them.",
            },
            Parameter {
                name: "method",
                kind: STRING,
                description: "The method of the request, such as `GET`.",
            },
            Parameter {
                name: "url",
                kind: STRING,
                description: "Where the request goes, such as `http://shop.example.com/api/`.",
            },
            Parameter {
                name: "headers",
                kind: "[\"map\",\"string\"]",
                description: "Further fields of its header.",
            },
            Parameter {
                name: "client",
                kind: STRING,
                description: "The address of the client.",
            },
        ],
        gives: || json!("string"),
        compute: rules::match_rule,
    },
];

const STRING: &str = "\"string\"";

impl Function {
    pub(crate) fn to_wire(&self) -> wire::Function {
        let parameter = |parameter: &Parameter| wire::Parameter {
            name: parameter.name.to_owned(),
            kind: parameter.kind.as_bytes().to_vec(),
            allow_null_value: false,
            allow_unknown_values: false,
            description: parameter.description.to_owned(),
            description_kind: MARKDOWN,
        };
        wire::Function {
            parameters: self.parameters.iter().map(parameter).collect(),
            variadic_parameter: None,
            gives: Some(wire::Return {
                kind: (self.gives)().to_string().into_bytes(),
            }),
            summary: self.summary.to_owned(),
            description: self.description.to_owned(),
            description_kind: MARKDOWN,
        }
    }

    pub(crate) fn call(&self, arguments: &[Value]) -> Result<Value, Wrong> {
        (self.compute)(arguments)
    }
}

fn text(arguments: &[Value]) -> &str {
    arguments.first().and_then(Value::text).unwrap_or_default()
}

fn parse_address(arguments: &[Value]) -> Result<Value, Wrong> {
    let address: ListenAddress = text(arguments).parse().map_err(|error| {
        let lb_model::value::InvalidValue { reason, mend } = error;
        Wrong {
            argument: 0,
            text: format!("{reason}: use {mend}"),
        }
    })?;
    let address = address.socket_addr();
    Ok(Value::from([
        ("host", Value::Text(address.ip().to_string())),
        ("port", Value::Number(address.port().into())),
        ("is_ipv6", Value::Bool(address.is_ipv6())),
    ]))
}

fn pem_info(arguments: &[Value]) -> Result<Value, Wrong> {
    let wrong = |text: String| Wrong { argument: 0, text };
    let mut all = Vec::new();
    for found in CertificateDer::pem_slice_iter(text(arguments).as_bytes()) {
        let der = found.map_err(|error| wrong(format!("the text is not PEM: {error}")))?;
        let parsed = X509Certificate::from_der(&der);
        let (_, certificate) = parsed.map_err(|error| {
            wrong(format!(
                "certificate {} cannot be read: {error}",
                all.len() + 1
            ))
        })?;
        all.push(Value::from([
            (
                "fingerprint",
                Value::Text(certificate::fingerprint_of(&der)),
            ),
            ("is_authority", Value::Bool(certificate.is_ca())),
            ("issuer", Value::Text(certificate.issuer().to_string())),
            ("names", Value::List(names(&certificate))),
            ("not_after", moment(certificate.validity().not_after)),
            ("not_before", moment(certificate.validity().not_before)),
            ("subject", Value::Text(certificate.subject().to_string())),
        ]));
    }
    if all.is_empty() {
        let mend = "give lines that begin with `-----BEGIN CERTIFICATE-----`";
        return Err(wrong(format!("no certificate is in it: {mend}")));
    }
    Ok(Value::List(all))
}

fn names(certificate: &X509Certificate<'_>) -> Vec<Value> {
    let Ok(Some(alternatives)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let name = |name: &GeneralName<'_>| {
        if let GeneralName::DNSName(host) = name {
            return Some(Value::from(*host));
        }
        let GeneralName::IPAddress(bytes) = name else {
            return None;
        };
        let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
        let address = v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
        address.ok().map(|address| Value::Text(address.to_string()))
    };
    alternatives
        .value
        .general_names
        .iter()
        .filter_map(name)
        .collect()
}

/// A moment as text; one before 1970 counts as that.
fn moment(time: ASN1Time) -> Value {
    let seconds = u64::try_from(time.timestamp()).unwrap_or(0);
    let text = Timestamp::from_unix_millis(seconds.saturating_mul(1000)).to_string();
    Value::Text(text.replace(".000Z", "Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, argument: &str) -> Result<Value, Wrong> {
        let function = FUNCTIONS
            .iter()
            .find(|function| function.name == name)
            .unwrap();
        function.call(&[argument.into()])
    }

    #[test]
    fn addresses_have_parts_and_what_is_none_is_told_with_the_mend() {
        let parsed = call("parse_address", "[2001:db8::11]:8443").unwrap();
        assert_eq!(parsed.get("host").text(), Some("2001:db8::11"));
        assert_eq!(*parsed.get("port"), Value::Number(8443));
        assert_eq!(*parsed.get("is_ipv6"), Value::Bool(true));
        let wrong = call("parse_address", "10.0.0.1").unwrap_err();
        assert!(
            wrong.text.contains("use an IP address and a port"),
            "{}",
            wrong.text
        );
    }

    #[test]
    fn certificates_say_whom_they_are_for() {
        let key = rcgen::KeyPair::generate().unwrap();
        let names = vec!["shop.example.com".to_owned(), "10.0.0.1".to_owned()];
        let params = rcgen::CertificateParams::new(names).unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let Value::List(all) = call("pem_info", &format!("{pem}{pem}")).unwrap() else {
            panic!("no list");
        };
        assert_eq!(all.len(), 2);
        let expected = vec![Value::from("shop.example.com"), Value::from("10.0.0.1")];
        assert_eq!(*all[0].get("names"), Value::List(expected));
        assert!(
            all[0]
                .get("fingerprint")
                .text()
                .unwrap()
                .starts_with("sha256:")
        );
        assert!(
            all[0]
                .get("not_before")
                .text()
                .unwrap()
                .ends_with("00:00:00Z")
        );
        for wrong in [
            "",
            "none",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            assert!(call("pem_info", wrong).is_err(), "{wrong}");
        }
    }
}
