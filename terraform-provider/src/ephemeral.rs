//! What is there for the time of one run and in no state: tokens, and private keys for certificates.

use lb_client::Client;
use lb_model::api::TokenRequest;
use lb_model::schema::shape_of;
use lb_model::value::{CertificateName, InvalidValue, Name};
use rcgen::{
    CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
};

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::document::to_json;
use crate::resource::{BALANCER, balancer};
use crate::schema::{Attribute, Kind, Presence, Scalar, TEXT, attributes};
use crate::value::Value;

/// How long a token is good when nobody says: a run is shorter.
const LIFETIME: &str = "1h";

/// An ephemeral resource.
pub(crate) struct Ephemeral {
    pub(crate) type_name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) attributes: Vec<Attribute>,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Token,
    PrivateKey,
}

/// What was opened, and what is needed to close it.
pub(crate) struct Opened {
    pub(crate) result: Value,
    pub(crate) private: Vec<u8>,
}

/// Every ephemeral resource.
pub(crate) fn ephemerals() -> Vec<Ephemeral> {
    let mut token = vec![balancer()];
    token.extend(attributes(&shape_of::<TokenRequest>()));
    for attribute in token
        .iter_mut()
        .filter(|attribute| attribute.name == "lifetime")
    {
        attribute.description =
            format!("How long it is good, unless the run ends before; `{LIFETIME}` without it.");
    }
    token.push(computed("secret", "What its bearer sends.").hidden());
    let names = Attribute::new(
        "names",
        Kind::List(Scalar::Text(Some("lb-certificate-name".to_owned()))),
        Presence::Required,
        "The hosts that the certificate will be for.",
    );
    let algorithm = Attribute::new(
        "algorithm",
        TEXT,
        Presence::Optional,
        "The kind of the key: `ecdsa_p256`, which holds without it, or `ecdsa_p384`.",
    );
    vec![
        Ephemeral {
            type_name: "lbctl_token",
            description: "A token of a balancer that is good for this run: it is revoked when the run ends.",
            attributes: token,
            what: What::Token,
        },
        Ephemeral {
            type_name: "lbctl_private_key",
            description: "A new private key with a request for a certificate for it. It is made anew in each \
                          run, and kept nowhere.",
            attributes: vec![
                names,
                algorithm,
                computed("private_key_pem", "The key (PKCS#8), as PEM.").hidden(),
                computed(
                    "request_pem",
                    "The request for a certificate (PKCS#10), as PEM.",
                ),
            ],
            what: What::PrivateKey,
        },
    ]
}

fn computed(name: &str, about: &str) -> Attribute {
    Attribute::new(name, TEXT, Presence::Computed, about)
}

impl Ephemeral {
    /// Whether a balancer is asked.
    pub(crate) fn needs_balancer(&self) -> bool {
        self.what == What::Token
    }

    /// What is wrong with a configuration.
    pub(crate) fn validate(&self, config: &Value) -> Diagnostics {
        match self.what {
            What::PrivateKey => {
                let hosts = config.get("names").elements();
                let wrong = hosts.iter().filter_map(|name| {
                    let error = name.text()?.parse::<CertificateName>().err()?;
                    Some(told(error, "names"))
                });
                let mut all: Diagnostics = wrong.collect();
                if let Some(word) = config.get("algorithm").text()
                    && !["ecdsa_p256", "ecdsa_p384"].contains(&word)
                {
                    let summary = format!("`{word}` is no kind of key");
                    let help = "Use `ecdsa_p256` or `ecdsa_p384`.";
                    all.push(Diagnostic::error(summary, help).of("algorithm"));
                }
                all
            }
            What::Token => {
                let name = config.get("name").text().map(str::parse::<Name>);
                name.and_then(Result::err)
                    .map(|error| told(error, "name"))
                    .into_iter()
                    .collect()
            }
        }
    }

    /// Makes it.
    pub(crate) async fn open(
        &self,
        client: Option<&Client>,
        config: &Value,
    ) -> Result<Opened, Diagnostics> {
        match (self.what, client) {
            (What::Token, Some(client)) => self.open_token(client, config).await,
            (What::PrivateKey, _) => private_key(config),
            (What::Token, None) => {
                let detail =
                    "The provider `lbctl` is not configured with a balancer that is known.";
                Err(vec![Diagnostic::error(
                    "There is no balancer to ask",
                    detail,
                )])
            }
        }
    }

    async fn open_token(&self, client: &Client, config: &Value) -> Result<Opened, Diagnostics> {
        let mut wanted = to_json(config, &shape_of::<TokenRequest>());
        if wanted.get("lifetime").is_none() {
            wanted["lifetime"] = LIFETIME.into();
        }
        let request: TokenRequest = serde_json::from_value(wanted).map_err(|error| {
            let detail = "See the documentation of `lbctl_token` for what its attributes may be.";
            vec![Diagnostic::error(error.to_string(), detail)]
        })?;
        let made = client
            .create_token(&request)
            .await
            .map_err(|error| Diagnostic::of_client(&error, "The token was not made", |_| None))?;
        let mut result = config.clone();
        if let Value::Map(entries) = &mut result {
            entries.insert("secret".to_owned(), Value::Text(made.secret));
        }
        let private =
            serde_json::json!({ "name": made.token.name, BALANCER: config.get(BALANCER).text() });
        Ok(Opened {
            result,
            private: private.to_string().into_bytes(),
        })
    }

    /// The balancer that has what was opened.
    pub(crate) fn balancer_of(private: &[u8]) -> Value {
        Value::decode_json(private).map_or(Value::Null, |value| value.get(BALANCER).clone())
    }

    /// Takes it away.
    pub(crate) async fn close(&self, client: &Client, private: &[u8]) -> Diagnostics {
        let private = Value::decode_json(private).unwrap_or_default();
        let Some(Ok(name)) = private.get("name").text().map(str::parse::<Name>) else {
            return Vec::new();
        };
        match client.revoke_token(&name).await {
            Ok(_) => Vec::new(),
            Err(error) => Diagnostic::of_client(&error, "The token was not revoked", |_| None),
        }
    }
}

fn private_key(config: &Value) -> Result<Opened, Diagnostics> {
    let failed = |error: rcgen::Error| {
        vec![Diagnostic::error(
            "The key cannot be made",
            format!("{error}."),
        )]
    };
    let algorithm = match config.get("algorithm").text() {
        Some("ecdsa_p384") => &PKCS_ECDSA_P384_SHA384,
        _ => &PKCS_ECDSA_P256_SHA256,
    };
    let names = config.get("names").elements().iter();
    let names: Vec<_> = names
        .filter_map(|name| name.text().map(str::to_owned))
        .collect();
    let key = KeyPair::generate_for(algorithm).map_err(failed)?;
    let mut params = CertificateParams::new(names).map_err(failed)?;
    params.distinguished_name = DistinguishedName::new();
    let request = params
        .serialize_request(&key)
        .and_then(|request| request.pem())
        .map_err(failed)?;
    let mut result = config.clone();
    if let Value::Map(entries) = &mut result {
        entries.insert(
            "private_key_pem".to_owned(),
            Value::Text(key.serialize_pem()),
        );
        entries.insert("request_pem".to_owned(), Value::Text(request));
    }
    Ok(Opened {
        result,
        private: Vec::new(),
    })
}

fn told(error: InvalidValue, attribute: &str) -> Diagnostic {
    Diagnostic::error(error.reason, format!("Use {}.", error.mend)).of(attribute)
}
