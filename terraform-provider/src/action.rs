//! Actions: what is done to a running balancer at once, and is no part of what it shall be.

use std::time::Duration;

use lb_client::{Change, Client, ClientError};
use lb_model::api::{RollbackRequest, Source};
use lb_model::config::ServerState;
use lb_model::value::{InvalidValue, Name, Period};
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep};

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::resource::balancer;
use crate::schema::{Attribute, Kind, Presence, Scalar};
use crate::value::Value;

/// How often it is looked whether a server is done.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// An action.
pub(crate) struct Action {
    pub(crate) type_name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) attributes: Vec<Attribute>,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    State(ServerState),
    Rollback,
}

/// Every action.
pub(crate) fn actions() -> Vec<Action> {
    let name = |name: &str, about: &str| {
        let kind = Kind::Scalar(Scalar::Text(Some("lb-name".to_owned())));
        Attribute::new(name, kind, Presence::Required, about)
    };
    let server = || {
        vec![
            balancer(),
            name("pool", "The pool of the server."),
            name("server", "The server."),
        ]
    };
    let wait = || {
        let kind = Kind::Scalar(Scalar::Text(Some("lb-period".to_owned())));
        let about = "How long to wait until nothing is in progress on the server; without it, it is not \
                     waited. Such as `60s`.";
        Attribute::new("wait", kind, Presence::Optional, about)
    };
    let number = {
        let about = "The number of the revision to go back to, as `lbctl history` shows it.";
        Attribute::new(
            "revision",
            Kind::Scalar(Scalar::Number),
            Presence::Required,
            about,
        )
    };
    let mut emptying = server();
    emptying.push(wait());
    vec![
        Action {
            type_name: "lbctl_enable",
            description: "Gives a server traffic again.",
            attributes: server(),
            what: What::State(ServerState::Enabled),
        },
        Action {
            type_name: "lbctl_drain",
            description: "Gives a server no new clients; it keeps those that it has.",
            attributes: emptying.clone(),
            what: What::State(ServerState::Draining),
        },
        Action {
            type_name: "lbctl_disable",
            description: "Takes a server out of traffic; what is in progress may finish.",
            attributes: emptying,
            what: What::State(ServerState::Disabled),
        },
        Action {
            type_name: "lbctl_rollback",
            description: "Goes back to what an earlier revision was, as a new revision.",
            attributes: vec![balancer(), number],
            what: What::Rollback,
        },
    ]
}

impl Action {
    /// What is wrong with a configuration.
    pub(crate) fn validate(&self, config: &Value) -> Diagnostics {
        let mut told = Vec::new();
        for attribute in &self.attributes {
            let Kind::Scalar(Scalar::Text(Some(format))) = &attribute.kind else {
                continue;
            };
            let text = config.get(&attribute.name).text();
            if let Some(Err(error)) = text.map(|text| lb_model::value::check_format(format, text)) {
                told.push(wrong(error, &attribute.name));
            }
        }
        told
    }

    /// Does it, and tells how it goes.
    pub(crate) async fn invoke(
        &self,
        client: &Client,
        config: &Value,
        progress: &Sender<String>,
    ) -> Result<(), Diagnostics> {
        match self.what {
            What::Rollback => {
                let number = config.get("revision").number();
                let number = number.and_then(|number| u64::try_from(number).ok());
                let number = number.unwrap_or_default();
                let request = RollbackRequest {
                    number,
                    parent: None,
                    comment: None,
                    confirm: None,
                };
                let done = client
                    .rollback(&request)
                    .await
                    .map_err(|error| failed(&error))?;
                say(
                    progress,
                    format!("revision {} is in force", done.revision.number),
                )
                .await;
                Ok(())
            }
            What::State(state) => set_state(client, config, state, progress).await,
        }
    }
}

async fn set_state(
    client: &Client,
    config: &Value,
    state: ServerState,
    progress: &Sender<String>,
) -> Result<(), Diagnostics> {
    let name = |key: &str| -> Result<Name, Diagnostics> {
        let text = config.get(key).text().unwrap_or_default();
        text.parse().map_err(|error| vec![wrong(error, key)])
    };
    let (pool, server) = (name("pool")?, name("server")?);
    let change = Change {
        source: Source::Terraform,
        ..Change::default()
    };
    let done = client
        .set_server_state(&pool, &server, state, &change)
        .await;
    let done = done.map_err(|error| failed(&error))?;
    say(
        progress,
        format!("revision {} is in force", done.revision.number),
    )
    .await;
    let wait = config.get("wait").text().map(str::parse::<Period>);
    let Some(Ok(wait)) = wait else {
        return Ok(());
    };
    let until = Instant::now() + wait.duration();
    let mut last = None;
    loop {
        let status = client
            .status()
            .await
            .map_err(|error| failed(&error))?
            .status;
        let found = status
            .pools
            .get(&pool)
            .and_then(|pool| pool.servers.get(&server));
        let left = found.map_or(0, |server| server.in_progress);
        if left == 0 {
            return Ok(());
        }
        if last != Some(left) {
            say(
                progress,
                format!("{left} requests or connections are in progress"),
            )
            .await;
            last = Some(left);
        }
        if Instant::now() >= until {
            let summary = format!(
                "{left} requests or connections are still in progress on `{pool}/{server}`"
            );
            let detail =
                "The server is drained on. Wait longer with `wait`, or see `lbctl status`.";
            return Err(vec![Diagnostic::error(summary, detail).of("wait")]);
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn say(progress: &Sender<String>, message: String) {
    // Whoever listened may be gone; what was asked for is done all the same.
    let _sent = progress.send(message).await;
}

fn wrong(error: InvalidValue, attribute: &str) -> Diagnostic {
    Diagnostic::error(error.reason, format!("Use {}.", error.mend)).of(attribute)
}

fn failed(error: &ClientError) -> Diagnostics {
    Diagnostic::of_client(error, "It was not done", |_| None)
}
