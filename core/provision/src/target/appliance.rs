//! What all machines have in common that are made from an image: nobody logs in to them. They are reached
//! through their admin API, whose first token is in the seed that they start with.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use lb_client::{Address, Client, ClientError, Distrust, Enrolled, Trust};
use lb_model::Format;
use lb_model::api::{ApplyRequest, ErrorCode, PlanRequest, Source, Wanted as Change};
use lb_model::plan::Plan;
use lb_model::value::Name;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

use crate::wanted::{Access, Document};

/// How long to wait between two looks at a machine that starts.
const PAUSE: Duration = Duration::from_millis(250);

/// For how long one that does not answer is asked, when nobody waits for it to start.
const LOOK: Duration = Duration::from_secs(10);

/// How much of the end of a console is told.
const CONSOLE_LINES: usize = 8;

/// What a balancer says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Told {
    pub(crate) status: Option<Value>,
    /// What the document that is wanted would change.
    pub(crate) plan: Option<Plan>,
    /// Why it does not take that document.
    pub(crate) refused: Option<String>,
    /// Why it says nothing.
    pub(crate) silent: Option<String>,
}

/// Asks a balancer how it is, and what the document would change.
pub(crate) async fn look(access: &Access, document: Option<&Document>) -> Told {
    match timeout_at(Instant::now() + LOOK, ask(access, document)).await {
        Ok(Ok(told)) => told,
        Ok(Err(error)) => Told {
            silent: Some(in_full(&error)),
            ..Told::default()
        },
        Err(_) => Told {
            silent: Some(format!("it does not answer at {}", access.address)),
            ..Told::default()
        },
    }
}

async fn ask(access: &Access, document: Option<&Document>) -> Result<Told, ClientError> {
    let client = client(access)?;
    let status = client.status().await?;
    let mut told = Told {
        status: serde_json::to_value(status).ok(),
        ..Told::default()
    };
    if let Some(document) = document {
        let request = PlanRequest {
            change: change(document),
            parent: None,
        };
        match client.plan(&request).await {
            Ok(answer) => told.plan = Some(answer.plan),
            Err(ClientError::Refused(refusal)) => told.refused = Some(refusal.to_string()),
            Err(error) => return Err(error),
        }
    }
    Ok(told)
}

/// Makes the first token of a machine that is starting, as soon as it answers.
pub(crate) async fn enrol(
    address: SocketAddr,
    token: &str,
    name: &Name,
    within: Duration,
) -> Result<Access, ClientError> {
    let until = Instant::now() + within;
    let to = Address::Tls {
        host: address.ip().to_string(),
        port: address.port(),
    };
    loop {
        match lb_client::enrol(to.clone(), token, name).await {
            Ok(Enrolled { fingerprint, made }) => {
                return Ok(Access {
                    address,
                    token: made.secret,
                    fingerprint: Some(fingerprint),
                });
            }
            Err(error) if is_final(&error) || Instant::now() >= until => return Err(error),
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// Ends tokens that runs of old have made.
pub(crate) async fn revoke_others(
    access: &Access,
    prefix: &str,
    own: &Name,
) -> Result<(), ClientError> {
    let client = client(access)?;
    for token in client.tokens().await? {
        if token.name.as_str().starts_with(prefix) && token.name != *own {
            client.revoke_token(&token.name).await?;
        }
    }
    Ok(())
}

/// Waits until a balancer answers whoever has the token.
pub(crate) async fn is_well(access: &Access, within: Duration) -> Result<(), ClientError> {
    let until = Instant::now() + within;
    loop {
        match client(access)?.status().await {
            Ok(_) => return Ok(()),
            Err(error) if is_final(&error) || Instant::now() >= until => return Err(error),
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// Gives a balancer its document.
pub(crate) async fn apply(access: &Access, document: &Document) -> Result<(), ClientError> {
    let request = ApplyRequest {
        change: change(document),
        parent: None,
        comment: Some("lbctl provision".to_owned()),
        confirm: None,
        source: Source::Cli,
    };
    client(access)?.apply(&request).await.map(|_| ())
}

/// The document that a balancer serves.
pub(crate) async fn document(access: &Access) -> Result<String, ClientError> {
    client(access)?.config_toml().await
}

/// Where an address that listens can be reached from here.
pub(crate) fn reached_at(listens: SocketAddr) -> SocketAddr {
    match listens.ip() {
        ip if !ip.is_unspecified() => listens,
        IpAddr::V4(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, listens.port())),
        IpAddr::V6(_) => SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, listens.port())),
    }
}

/// The end of what stands on the console of a machine, as the end of a sentence; nothing when nothing stands there.
pub(crate) fn console_end(text: &str) -> Option<String> {
    let lines = text.lines().map(str::trim_end);
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    let end = lines.get(lines.len().saturating_sub(CONSOLE_LINES)..)?;
    (!end.is_empty()).then(|| format!("; its console says\n{}\n", end.join("\n")))
}

/// An error with its causes.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.extend([": ", &error.to_string()]);
        cause = error.source();
    }
    text
}

/// Whether to try again is of no use.
fn is_final(error: &ClientError) -> bool {
    match error {
        ClientError::Distrusted { source, .. } => {
            matches!(
                source,
                Distrust::OtherToken | Distrust::OtherCertificate { .. }
            )
        }
        ClientError::Refused(_) => {
            !matches!(error.code(), Some(ErrorCode::Busy | ErrorCode::Internal))
        }
        ClientError::Trust(_) | ClientError::Unspeakable(_) => true,
        ClientError::Connect { .. }
        | ClientError::Lost { .. }
        | ClientError::TimedOut { .. }
        | ClientError::NotOurs { .. } => false,
    }
}

fn client(access: &Access) -> Result<Client, ClientError> {
    let address = Address::Tls {
        host: access.address.ip().to_string(),
        port: access.address.port(),
    };
    let trust = access.fingerprint.map_or(Trust::System, Trust::Fingerprint);
    Client::new(address, Some(&access.token), &trust, None)
}

/// The document was read before; what is left of one that cannot be is refused by the balancer.
fn change(document: &Document) -> Change {
    let read = lb_model::read(&document.text, Format::Toml);
    let value = read.map(|valid| serde_json::to_value(valid.config()));
    Change::Document(value.map_or(Value::Null, Result::unwrap_or_default))
}
