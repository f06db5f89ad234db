//! One step on a machine. Each can be done again: what is there already is done.

use std::sync::atomic::{AtomicU64, Ordering};

use lb_model::api::NewToken;

use super::connection::{Connection, Input, Progress};
use super::error::SshError;
use super::plan::Work;
use super::script;
use crate::event::{Event, Events};
use crate::target::Left;
use crate::wanted::{Access, Wanted, WantedProgram};

/// For how many seconds a release is watched before the one before it is given up.
const WATCH_SECONDS: &str = "3";

/// Does it.
pub(crate) async fn run(
    connection: &Connection,
    wanted: &Wanted,
    work: &Work,
    events: &Events,
) -> Result<Left, SshError> {
    let owner = serde_json::to_string(&wanted.owner).unwrap_or_default();
    let owner = owner.as_str();
    let done = match work {
        Work::Claim { take_over } => {
            let script = if *take_over {
                script::ADOPT
            } else {
                script::CLAIM
            };
            connection.script(script, &[owner], Input::Nothing).await
        }
        Work::Account => {
            connection
                .script(script::ACCOUNT, &[owner], Input::Nothing)
                .await
        }
        Work::Release => release(connection, wanted, owner, events).await,
        Work::Unit => {
            let unit = script::unit();
            connection
                .script(script::UNIT, &[owner], Input::Text(&unit))
                .await
        }
        Work::File => {
            let first = wanted.first_document();
            let input = first
                .as_ref()
                .map_or(Input::Nothing, |document| Input::Text(&document.text));
            connection.script(script::FILE, &[owner], input).await
        }
        Work::Switch(release) => {
            let args = [owner, release, WATCH_SECONDS];
            connection
                .script(script::SWITCH, &args, Input::Nothing)
                .await
        }
        Work::Document => {
            connection
                .script(script::DOCUMENT, &[owner], document(wanted))
                .await
        }
        Work::Access => return access(connection, wanted, owner).await,
        Work::Prune(releases) => {
            let names = releases.iter().map(String::as_str);
            let args: Vec<&str> = [owner].into_iter().chain(names).collect();
            connection
                .script(script::PRUNE, &args, Input::Nothing)
                .await
        }
        Work::Destroy => {
            connection
                .script(script::DESTROY, &[owner], Input::Nothing)
                .await?;
            return Ok(Left::Gone);
        }
        Work::Forget => return Ok(Left::Gone),
    };
    done.map(|_| Left::Nothing)
}

fn document(wanted: &Wanted) -> Input<'_> {
    let document = wanted.document.as_ref();
    document.map_or(Input::Nothing, |document| Input::Text(&document.text))
}

async fn release(
    connection: &Connection,
    wanted: &Wanted,
    owner: &str,
    events: &Events,
) -> Result<String, SshError> {
    let (WantedProgram::This(program) | WantedProgram::AsItIs(program)) = &wanted.program;
    let (name, kib) = (program.release(), program.bytes.div_ceil(1024).to_string());
    let args = [owner, &name, &program.sha256, &kib];
    let told = Told {
        wanted,
        total: program.bytes,
        hundredths: AtomicU64::new(0),
        events,
    };
    let input = Input::Program(program, &told);
    connection.script(script::RELEASE, &args, input).await
}

async fn access(connection: &Connection, wanted: &Wanted, owner: &str) -> Result<Left, SshError> {
    let name = format!("provision-{}", wanted.owner.fleet);
    let args = [owner, name.as_str()];
    let told = connection
        .script(script::ACCESS, &args, Input::Nothing)
        .await?;
    let made: NewToken = serde_json::from_str(&told).map_err(|error| SshError::Script {
        host: connection.host().to_owned(),
        told: format!("the token that it made cannot be read: {error}"),
    })?;
    let told = connection.script(script::LOOK, &[], Input::Nothing).await?;
    let status = super::Observed::read(&told).status.unwrap_or_default();
    let fingerprint = status["admin"]["fingerprint"].as_str();
    let address = wanted.balancer.admin_address();
    Ok(address.map_or(Left::Nothing, |address| {
        Left::Access(Access {
            address: address.socket_addr(),
            token: made.secret,
            fingerprint: fingerprint.and_then(|text| text.parse().ok()),
        })
    }))
}

/// Tells of an upload, a hundred times at most.
#[derive(Debug)]
struct Told<'t> {
    wanted: &'t Wanted,
    total: u64,
    hundredths: AtomicU64,
    events: &'t Events,
}

impl Progress for Told<'_> {
    fn sent(&self, bytes: u64) {
        let now = bytes.saturating_mul(100) / self.total.max(1);
        if self.hundredths.swap(now, Ordering::Relaxed) != now {
            self.events.tell(Event::Progress {
                balancer: self.wanted.name.clone(),
                step: "release",
                done: bytes,
                total: self.total,
            });
        }
    }
}
