//! Certificates whose material is given with Terraform: the private key reaches the balancer and is
//! kept nowhere else. The document then names what was given by its fingerprint.

use std::collections::BTreeMap;

use lb_client::Client;
use lb_model::api::CertificateImport;
use lb_model::value::Fingerprint;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::schema::{Attribute, Kind, Presence, Scalar, TEXT};
use crate::value::Value;

const PEM: &str = "certificate_pem";
const KEY: &str = "private_key_wo";
const VERSION: &str = "private_key_wo_version";
const FINGERPRINT: &str = "fingerprint";
const SOURCE: &str = "source";

/// Adds the attributes for material, in whose place `source` may be given.
pub(crate) fn extend(attributes: &mut Vec<Attribute>) {
    for attribute in attributes
        .iter_mut()
        .filter(|attribute| attribute.name == SOURCE)
    {
        attribute.presence = Presence::Optional;
        let about = format!(" Without it, `{PEM}` is the certificate.");
        attribute.description.push_str(&about);
    }
    attributes.extend([
        Attribute::new(
            PEM,
            TEXT,
            Presence::Optional,
            "The certificate, with those between it and a root that clients know, as PEM. It is given to \
             the balancer with `private_key_wo`, and kept there.",
        ),
        Attribute::new(
            KEY,
            TEXT,
            Presence::WriteOnly,
            "The private key of `certificate_pem`, as PEM and not encrypted. It is in no plan and no \
             state.",
        )
        .hidden(),
        Attribute::new(
            VERSION,
            Kind::Scalar(Scalar::Number),
            Presence::Optional,
            "Another number has `certificate_pem` and `private_key_wo` given to the balancer once more. A \
             certificate that changes is given in any case.",
        ),
        Attribute::new(
            FINGERPRINT,
            TEXT,
            Presence::Computed,
            "The fingerprint of `certificate_pem`: its SHA-256.",
        ),
    ]);
}

/// What is wrong with the material in a configuration, apart from what the model says.
pub(crate) fn validate(config: &Value) -> Diagnostics {
    let (source, pem) = (config.get(SOURCE), config.get(PEM));
    let mut told = Vec::new();
    if source.is_null() && pem.is_null() {
        let help = format!("Give `{PEM}` and `{KEY}`, or `{SOURCE}`.");
        told.push(Diagnostic::error(
            "The certificate comes from nowhere",
            help,
        ));
    }
    if !source.is_null() && !pem.is_null() && !source.is_unknown() && !pem.is_unknown() {
        let summary = format!("`{SOURCE}` and `{PEM}` are both given");
        told.push(Diagnostic::error(summary, "Leave one of them out.").of(PEM));
    }
    for name in [KEY, VERSION] {
        if pem.is_null() && !config.get(name).is_null() {
            let summary = format!("`{name}` is given without `{PEM}`");
            told.push(Diagnostic::error(summary, format!("Give `{PEM}`, too.")).of(name));
        }
    }
    if let Some(text) = pem.text() {
        if fingerprint(text).is_none() {
            let help = "Give a text with lines that begin with `-----BEGIN CERTIFICATE-----`, such as \
                        `file(\"shop.pem\")`.";
            told.push(Diagnostic::error("No certificate is in it", help).of(PEM));
        }
        if config.get(KEY).is_null() {
            let summary = "The private key is missing";
            let help =
                format!("Give it as `{KEY}`: it reaches the balancer, and stays in no state.");
            told.push(Diagnostic::error(summary, help).of(PEM));
        }
    }
    told
}

/// Puts a source in its place that the material will have, for an object that is to be checked.
pub(crate) fn stand_in(object: &mut Json) {
    if object.get(SOURCE).is_none() {
        object[SOURCE] = json!({ "stored": { FINGERPRINT: format!("sha256:{:064}", 0) } });
    }
}

/// Plans the fingerprint, which the certificate tells.
pub(crate) fn plan(planned: &mut Value) {
    let pem = planned.get(PEM);
    let print = if pem.is_unknown() {
        Value::Unknown
    } else {
        let print = pem.text().and_then(fingerprint);
        print.map_or(Value::Null, Value::Text)
    };
    if let Value::Map(entries) = planned {
        entries.insert(FINGERPRINT.to_owned(), print);
    }
}

/// Brings back the material of the prior state when the balancer still uses it.
pub(crate) fn read(entries: &mut BTreeMap<String, Value>, prior: &Value) {
    let stored = |entries: &BTreeMap<String, Value>| {
        let source = entries.get(SOURCE).unwrap_or(&Value::Null);
        let stored = source.get("stored").get(FINGERPRINT);
        stored
            .text()
            .and_then(|text| text.parse::<Fingerprint>().ok())
    };
    let given = prior
        .get(FINGERPRINT)
        .text()
        .and_then(|text| text.parse::<Fingerprint>().ok());
    let is_given = given.is_some() && given == stored(entries);
    for name in [PEM, VERSION, FINGERPRINT] {
        let value = if is_given {
            prior.get(name).clone()
        } else {
            Value::Null
        };
        entries.insert(name.to_owned(), value);
    }
    entries.insert(KEY.to_owned(), Value::Null);
    if is_given {
        entries.insert(SOURCE.to_owned(), Value::Null);
    }
}

/// Gives the balancer the material, when there is some, and makes the object name it.
pub(crate) async fn import(
    client: &Client,
    config: &Value,
    prior: &Value,
    state: &mut Value,
    wanted: &mut Json,
) -> Result<(), Diagnostics> {
    let Some(pem) = state.get(PEM).text().map(str::to_owned) else {
        return Ok(());
    };
    let print = fingerprint(&pem).ok_or_else(|| validate(config))?;
    let is_kept = *prior.get(FINGERPRINT) == Value::Text(print.clone())
        && prior.get(VERSION) == state.get(VERSION);
    if !is_kept {
        let request = CertificateImport {
            certificate: pem,
            key: config.get(KEY).text().map(str::to_owned),
            chain: None,
            password: None,
        };
        client.import_certificate(&request).await.map_err(|error| {
            let what = "The certificate was not taken";
            Diagnostic::of_client(&error, what, |_| None)
                .into_iter()
                .map(|told| told.of(PEM))
                .collect::<Vec<_>>()
        })?;
    }
    wanted[SOURCE] = json!({ "stored": { FINGERPRINT: print } });
    if let Value::Map(entries) = state {
        entries.insert(FINGERPRINT.to_owned(), Value::Text(print));
    }
    Ok(())
}

/// The fingerprint of the first certificate in a text.
fn fingerprint(pem: &str) -> Option<String> {
    CertificateDer::from_pem_slice(pem.as_bytes())
        .ok()
        .map(|der| fingerprint_of(&der))
}

/// The fingerprint of a certificate.
pub(crate) fn fingerprint_of(der: &[u8]) -> String {
    Fingerprint::new(Sha256::digest(der).into()).to_string()
}
