//! The provider itself: which balancer is meant when a resource names none, and how we show who we are.

use std::collections::HashMap;
use std::env;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use lb_client::{Address, Client, ClientCertificate, Trust};
use lb_model::value::Fingerprint;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::schema::{Attribute, Kind, Presence, Scalar, TEXT};
use crate::value::Value;

/// The largest file with a token.
const TOKEN_BYTES_MAX: u64 = 4096;

/// The balancer of this machine, when nobody says otherwise.
const LOCAL: &str = "unix:/var/lib/lbctl/admin.sock";

/// How balancers are reached.
pub(crate) struct Provider {
    settings: Settings,
    /// The ways to them, by address.
    clients: Mutex<HashMap<String, Arc<Client>>>,
}

/// What the block of the provider says.
struct Settings {
    /// Whether all of it is known: not so while it waits for another resource.
    is_known: bool,
    /// The balancer that is meant when a resource names none.
    endpoint: String,
    token: Option<String>,
    certificate: Option<ClientCertificate>,
    trust: Trust,
}

/// The attributes of the block of the provider.
pub(crate) fn attributes() -> Vec<Attribute> {
    let text = |name, about| Attribute::new(name, TEXT, Presence::Optional, about);
    let fingerprint = Kind::Scalar(Scalar::Text(Some("lb-fingerprint".to_owned())));
    vec![
        text(
            "endpoint",
            "The address of the balancer's admin API: `https://HOST:PORT`, or the path of its socket such \
             as `unix:/var/lib/lbctl/admin.sock`. Without it `LBCTL_BALANCER` in the environment, and then \
             the balancer of this machine.",
        ),
        text(
            "token",
            "What says to the balancer who we are: the secret that `lbctl token create` printed. Without \
             it `LBCTL_TOKEN` in the environment. A Unix socket needs none.",
        )
        .hidden(),
        text(
            "token_file",
            "The file that holds the token. Without it `LBCTL_TOKEN_FILE` in the environment.",
        ),
        text(
            "client_certificate_file",
            "The file with a certificate that says to the balancer who we are, in the place of a token, as \
             PEM. Without it `LBCTL_CLIENT_CERTIFICATE` in the environment.",
        ),
        text(
            "client_key_file",
            "The file with the private key of that certificate, as PEM. Without it `LBCTL_CLIENT_KEY` in \
             the environment.",
        ),
        text(
            "ca_file",
            "The file with the authorities, as PEM, that vouch for the balancer's certificate. Without it \
             `LBCTL_CA_FILE` in the environment, and then the authorities that the system trusts.",
        ),
        Attribute::new(
            "fingerprint",
            fingerprint,
            Presence::Optional,
            "The fingerprint of the balancer's certificate, `sha256:` and 64 hexadecimal digits, as `lbctl \
             status` shows it: the balancer is then believed whatever its certificate says. Without it \
             `LBCTL_FINGERPRINT` in the environment.",
        ),
    ]
}

impl Provider {
    /// Takes the block of the provider in. What is not known yet counts as not given: whoever needs a
    /// balancer before it is known is told so.
    pub(crate) fn configure(config: &Value) -> Result<Self, Diagnostics> {
        let endpoint = given(config, "endpoint", "LBCTL_BALANCER");
        let settings = Settings {
            is_known: config.is_known(),
            endpoint: endpoint.unwrap_or_else(|| LOCAL.to_owned()),
            token: token(config)?,
            certificate: certificate(config)?,
            trust: trust(config)?,
        };
        let provider = Self {
            settings,
            clients: Mutex::default(),
        };
        if provider.settings.is_known {
            let endpoint = &provider.settings.endpoint;
            provider
                .connect(endpoint)
                .map_err(|told| vec![told.of("endpoint")])?;
        }
        Ok(provider)
    }

    /// What is wrong with the block alone.
    pub(crate) fn validate(config: &Value) -> Diagnostics {
        let mut told = Vec::new();
        let given = |name: &str| config.get(name).text().map(str::to_owned);
        if let Some(endpoint) = given("endpoint")
            && let Err(error) = endpoint.parse::<Address>()
        {
            told.push(Diagnostic::error(error.to_string(), error.help()).of("endpoint"));
        }
        if let Some(text) = given("fingerprint")
            && let Err(error) = text.parse::<Fingerprint>()
        {
            let help = format!("Use {}.", error.mend);
            told.push(Diagnostic::error(error.reason, help).of("fingerprint"));
        }
        for (one, other) in [("token", "token_file"), ("fingerprint", "ca_file")] {
            if !config.get(one).is_null() && !config.get(other).is_null() {
                let summary = format!("`{one}` and `{other}` are both given");
                told.push(Diagnostic::error(summary, "Leave one of them out.").of(other));
            }
        }
        told
    }

    /// The way to the balancer that a resource names, or that the provider does; nothing while it is
    /// not known which that is.
    pub(crate) fn client(&self, balancer: &Value) -> Result<Option<Arc<Client>>, Diagnostic> {
        if balancer.is_unknown() || !self.settings.is_known {
            return Ok(None);
        }
        match balancer.text() {
            Some(endpoint) => self
                .connect(crate::ways::address(endpoint))
                .map(Some)
                .map_err(|told| told.of("balancer")),
            None => self.connect(&self.settings.endpoint).map(Some),
        }
    }

    fn connect(&self, endpoint: &str) -> Result<Arc<Client>, Diagnostic> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(endpoint) {
            return Ok(Arc::clone(client));
        }
        let address: Address = endpoint
            .parse()
            .map_err(|error: lb_client::InvalidAddress| {
                Diagnostic::error(error.to_string(), error.help())
            })?;
        let settings = &self.settings;
        let client = Client::new(
            address,
            settings.token.as_deref(),
            &settings.trust,
            settings.certificate.as_ref(),
        );
        let client = client.map_err(|error| {
            let help = error.help().unwrap_or_default();
            Diagnostic::error(error.to_string(), help)
        })?;
        let client = Arc::new(client);
        clients.insert(endpoint.to_owned(), Arc::clone(&client));
        Ok(client)
    }
}

/// What an attribute gives, or else a variable of the environment.
fn given(config: &Value, name: &str, variable: &str) -> Option<String> {
    let given = config.get(name).text().map(str::to_owned);
    given
        .or_else(|| env::var(variable).ok())
        .filter(|text| !text.is_empty())
}

fn token(config: &Value) -> Result<Option<String>, Diagnostics> {
    let named = config.get("token_file").text().map(PathBuf::from);
    let direct = config.get("token").text().map(str::to_owned);
    if let (None, Some(token)) = (&named, direct) {
        return Ok(Some(token));
    }
    let path = named.or_else(|| {
        let by_variable = env::var_os("LBCTL_TOKEN_FILE").map(PathBuf::from);
        by_variable
            .filter(|path| env::var_os("LBCTL_TOKEN").is_none() && !path.as_os_str().is_empty())
    });
    match path {
        Some(path) => read_token(&path).map(Some).map_err(|error| {
            let summary = format!("The token in `{}` cannot be used", path.display());
            let detail = format!(
                "{error}. Write the secret that `lbctl token create` printed into it, and nothing else."
            );
            vec![Diagnostic::error(summary, detail).of("token_file")]
        }),
        None => Ok(given(config, "token", "LBCTL_TOKEN")),
    }
}

fn read_token(path: &FilePath) -> std::io::Result<String> {
    use std::io::{Error, ErrorKind, Read};
    let mut text = String::new();
    std::fs::File::open(path)?
        .take(TOKEN_BYTES_MAX)
        .read_to_string(&mut text)?;
    let text = text.trim();
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err(Error::new(
            ErrorKind::InvalidData,
            "it does not hold one token alone",
        ));
    }
    Ok(text.to_owned())
}

fn certificate(config: &Value) -> Result<Option<ClientCertificate>, Diagnostics> {
    let certificate = given(
        config,
        "client_certificate_file",
        "LBCTL_CLIENT_CERTIFICATE",
    );
    let key = given(config, "client_key_file", "LBCTL_CLIENT_KEY");
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(ClientCertificate {
            certificate: certificate.into(),
            key: key.into(),
        })),
        (None, None) => Ok(None),
        (one, _) => {
            let (there, missing) = match one {
                Some(_) => ("client_certificate_file", "client_key_file"),
                None => ("client_key_file", "client_certificate_file"),
            };
            let summary = format!("`{there}` is given without `{missing}`");
            let help = format!("Give `{missing}`, too.");
            Err(vec![Diagnostic::error(summary, help).of(there)])
        }
    }
}

fn trust(config: &Value) -> Result<Trust, Diagnostics> {
    // What the block says goes before what the environment says.
    let block = |name: &str| config.get(name).text().map(str::to_owned);
    let variable = |name: &str| env::var(name).ok().filter(|text| !text.is_empty());
    let (fingerprint, ca_file) = match (block("fingerprint"), block("ca_file")) {
        (None, None) => (variable("LBCTL_FINGERPRINT"), variable("LBCTL_CA_FILE")),
        given => given,
    };
    if let Some(text) = fingerprint {
        let fingerprint = text
            .parse()
            .map_err(|error: lb_model::value::InvalidValue| {
                let help = format!("Use {}.", error.mend);
                vec![Diagnostic::error(error.reason, help).of("fingerprint")]
            })?;
        return Ok(Trust::Fingerprint(fingerprint));
    }
    Ok(ca_file.map_or(Trust::System, |path| Trust::Authority(path.into())))
}

/// What the provider is for.
pub(crate) const DESCRIPTION: &str = "Configures running balancers. Every object of their configuration is \
    a resource, each change is one of the balancer's own numbered revisions, and none loses a request.";
