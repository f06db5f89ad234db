//! Machines: made once for each attempt, started, stopped, and enrolled.

use std::time::Duration;

use lb_aws::{By, Cloud, CloudError, Instance, Launch, State, Tags};
use lb_client::{ClientError, Distrust};
use lb_model::api::{ErrorCode, token};
use lb_model::seed;
use tokio::time::{self, sleep};

use super::error::AwsError;
use super::facts::Facts;
use super::marks;
use super::plan::USER_DATA_BYTES_MAX;
use super::site::{Balancers, SETTLED, Site, VISIBLE, until};
use crate::files::random;
use crate::program::hex;
use crate::target::{appliance, seed as own_seed};
use crate::wanted::{Access, Document, sha256};

/// How tokens are called that are made here; those of runs of old are revoked.
pub(super) const TOKEN_PREFIX: &str = "provision-";

/// How many machines of one balancer may have been taken away without a trace.
const ATTEMPTS: u32 = 20;

/// Between two tries of a launch.
const PAUSE: Duration = Duration::from_secs(1);

/// What a machine is made of.
#[derive(Debug)]
pub(super) struct Made<'m> {
    pub(super) image: &'m str,
    pub(super) root_device: &'m str,
    pub(super) group: &'m str,
    pub(super) document: Option<&'m Document>,
}

/// The name of the key pair: that of another key is another one.
pub(super) fn key_name<C: Cloud, B: Balancers>(site: &Site<'_, C, B>) -> Option<String> {
    let owner = &site.wanted.owner;
    super::plan::key_name(site.target, owner)
}

/// The user data with a token that nobody knows yet. A document that is too large for it is given when the
/// balancer answers.
pub(super) fn user_data<C: Cloud, B: Balancers>(
    site: &Site<'_, C, B>,
    document: Option<&Document>,
) -> Result<String, AwsError> {
    let token = token::text(&random()?);
    let whole = own_seed::of(site.wanted, document, Some(&token)).to_user_data();
    if whole.len() <= USER_DATA_BYTES_MAX {
        return Ok(whole);
    }
    Ok(own_seed::of(site.wanted, None, Some(&token)).to_user_data())
}

/// Everything that EC2 is told to make a machine.
pub(super) fn launch_of<C: Cloud, B: Balancers>(
    site: &Site<'_, C, B>,
    made: &Made<'_>,
    attempt: u32,
    user_data: String,
) -> Launch {
    let target = site.target;
    let mut tags = marks::of(&site.wanted.owner, target);
    tags.insert(marks::ATTEMPT.to_owned(), attempt.to_string());
    if let Some(size) = target.disk_gib {
        tags.insert(marks::DISK.to_owned(), size.to_string());
    }
    Launch {
        token: client_token(made.group, attempt),
        image: made.image.to_owned(),
        root_device: made.root_device.to_owned(),
        disk_gib: target.disk_gib.map(i32::from),
        kind: target.instance_type.to_string(),
        subnet: target.subnet.as_ref().map(ToString::to_string),
        group: made.group.to_owned(),
        key: key_name(site),
        is_spot: target.spot,
        user_data,
        tags,
        is_trial: false,
    }
}

/// The same for each try of a launch, and another one for each launch. What is launched is not in it: a fleet
/// that was changed after an interruption must not make a second machine beside one that cannot be seen yet.
pub(super) fn client_token(group: &str, attempt: u32) -> String {
    let digest = sha256(&format!("{group}/{attempt}"));
    let digits: String = digest.chars().take(32).collect();
    format!("lbctl-{digits}")
}

/// Makes a machine, or finds the one that an interrupted run has made.
pub(super) async fn launch<C: Cloud, B: Balancers>(
    site: &Site<'_, C, B>,
    facts: &Facts,
    made: &Made<'_>,
) -> Result<Instance, AwsError> {
    let first = facts.next_attempt();
    let user_data = user_data(site, made.document)?;
    for attempt in first..first + ATTEMPTS {
        let launch = launch_of(site, made, attempt, user_data.clone());
        let found = match visible(|| site.cloud.launch(&launch)).await {
            Ok(instance) => instance,
            Err(CloudError::TokenOver) => continue,
            // What it was made of then may be something else: the next plan sees that.
            Err(CloudError::TokenUsed) => by_token(site, &launch.token).await?,
            Err(error) => return Err(AwsError::while_("making the machine")(error)),
        };
        if !found.state.is_gone() {
            return Ok(found);
        }
    }
    Err(AwsError::Changed(
        "each machine that was made of it is gone".to_owned(),
    ))
}

/// Asks again as long as EC2 does not see what it has made a moment ago.
async fn visible<F>(ask: impl Fn() -> F) -> Result<Instance, CloudError>
where
    F: Future<Output = Result<Instance, CloudError>>,
{
    let end = time::Instant::now() + VISIBLE;
    loop {
        match ask().await {
            Err(CloudError::NotFound { code, .. })
                if (code.starts_with("InvalidGroup") || code.starts_with("InvalidKeyPair"))
                    && time::Instant::now() < end =>
            {
                sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}

async fn by_token<C: Cloud, B: Balancers>(
    site: &Site<'_, C, B>,
    token: &str,
) -> Result<Instance, AwsError> {
    let by = By::Token(token.to_owned());
    until!(
        VISIBLE,
        || too_slow("EC2 did not show the machine that it has made", VISIBLE),
        {
            let found = site.cloud.instances(&by).await;
            let found = found.map_err(AwsError::while_("looking for the machine"))?;
            Ok(found.into_iter().next())
        }
    )
}

pub(super) fn too_slow(what: &str, limit: Duration) -> AwsError {
    AwsError::TooSlow {
        what: what.to_owned(),
        seconds: limit.as_secs(),
    }
}

/// Waits until a machine is in one of these states. Nothing that EC2 does not show yet is taken for gone.
pub(super) async fn reaches<C: Cloud, B: Balancers>(
    site: &Site<'_, C, B>,
    id: &str,
    states: &[State],
) -> Result<Instance, AwsError> {
    let by = By::Id(id.to_owned());
    let word = states.first().map_or("", |state| state.as_str());
    let late = || too_slow(&format!("the machine {id} did not become {word}"), SETTLED);
    until!(SETTLED, late, {
        let found = match site.cloud.instances(&by).await {
            Err(error) if error.is_not_found() => return Ok(None),
            found => found.map_err(AwsError::while_("looking at the machine"))?,
        };
        let Some(instance) = found.into_iter().next() else {
            return Ok(None);
        };
        if states.contains(&instance.state) {
            return Ok(Some(instance));
        }
        if instance.state.is_gone() {
            return Err(ended(&instance));
        }
        Ok(None)
    })
}

/// That a machine has ended by itself.
pub(super) fn ended(instance: &Instance) -> AwsError {
    AwsError::Ended {
        id: instance.id.clone(),
        why: reason(instance),
    }
}

/// Why a machine is not running, in words.
pub(super) fn reason(instance: &Instance) -> String {
    match instance.reason.as_deref() {
        Some(reason) if reason.contains("Spot") => {
            format!("EC2 took the spot machine away ({reason})")
        }
        Some(reason) => reason.to_owned(),
        None => format!("it is {}", instance.state.as_str()),
    }
}

/// Starts a machine that does not run, and waits until it does.
pub(super) async fn start<C: Cloud, B: Balancers>(
    site: &Site<'_, C, B>,
    id: &str,
) -> Result<Instance, AwsError> {
    let settled = [State::Running, State::Stopped];
    let instance = reaches(site, id, &settled).await?;
    if instance.state == State::Stopped {
        let started = site.cloud.start(id).await;
        started.map_err(AwsError::while_("starting the machine"))?;
    }
    reaches(site, id, &[State::Running]).await
}

/// Stops a machine as its power button does, so that open requests finish first, and waits for that.
pub(super) async fn stop<C: Cloud, B: Balancers>(
    site: &Site<'_, C, B>,
    id: &str,
) -> Result<(), AwsError> {
    let settled = [State::Running, State::Stopped];
    let instance = reaches(site, id, &settled).await?;
    if instance.state == State::Running {
        let stopped = site.cloud.stop(id).await;
        stopped.map_err(AwsError::while_("stopping the machine"))?;
    }
    reaches(site, id, &[State::Stopped]).await.map(drop)
}

/// Takes a machine away, and waits until it is gone. One that can be stopped finishes open requests first.
pub(super) async fn terminate<C: Cloud, B: Balancers>(
    site: &Site<'_, C, B>,
    instance: &Instance,
    drains: bool,
) -> Result<(), AwsError> {
    let id = instance.id.as_str();
    if drains && !instance.is_spot && !instance.state.is_gone() {
        match stop(site, id).await {
            Ok(()) | Err(AwsError::Ended { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    match site.cloud.terminate(id).await {
        Err(error) if error.is_not_found() => return Ok(()),
        done => done.map_err(AwsError::while_("terminating the machine"))?,
    }
    let by = By::Id(id.to_owned());
    let late = || too_slow(&format!("the machine {id} did not end"), SETTLED);
    until!(SETTLED, late, {
        let found = match site.cloud.instances(&by).await {
            Err(error) if error.is_not_found() => return Ok(Some(())),
            found => found.map_err(AwsError::while_("looking at the machine"))?,
        };
        let is_there = found.iter().any(|found| found.state != State::Terminated);
        Ok((!is_there).then_some(()))
    })
}

/// Makes the first token of the balancer in a machine that runs, and marks the machine with its certificate.
pub(super) async fn enrol<C: Cloud, B: Balancers>(
    site: &Site<'_, C, B>,
    instance: &Instance,
    document: Option<&Document>,
) -> Result<Access, AwsError> {
    let name = format!("{TOKEN_PREFIX}{}", hex(&random::<4>()?));
    let access = match try_to_enrol(site, instance, &name).await? {
        Err(Some(error)) if is_over(&error) && instance.is_spot => {
            // It cannot be stopped, and thus be told nothing else.
            terminate(site, instance, false).await?;
            return Err(AwsError::Ended {
                id: instance.id.clone(),
                why: "its token was used, and a spot machine can be given no other one".to_owned(),
            });
        }
        Err(error) if error.as_ref().is_none_or(is_over) => {
            stop(site, &instance.id).await?;
            let user_data = user_data(site, document)?;
            let put = site.cloud.put_user_data(&instance.id, &user_data).await;
            put.map_err(AwsError::while_("putting another seed into the user data"))?;
            let instance = start(site, &instance.id).await?;
            match try_to_enrol(site, &instance, &name).await? {
                Ok(access) => access,
                Err(Some(error)) => return Err(told(site, &instance, error).await),
                Err(None) => return Err(AwsError::Changed("its user data is gone".to_owned())),
            }
        }
        Err(Some(error)) => return Err(told(site, instance, error).await),
        Err(None) => return Err(AwsError::Changed("its user data is gone".to_owned())),
        Ok(access) => access,
    };
    let certificate = access.fingerprint.map(|found| found.to_string());
    let tags = Tags::from([(
        marks::CERTIFICATE.to_owned(),
        certificate.unwrap_or_default(),
    )]);
    let marked = site
        .cloud
        .tag(std::slice::from_ref(&instance.id), &tags)
        .await;
    marked.map_err(AwsError::while_("marking the machine"))?;
    Ok(access)
}

/// Whether the token of the seed is none any more: it was used, is too old, or is not the one that was read.
fn is_over(error: &ClientError) -> bool {
    error.code() == Some(ErrorCode::NotFound)
        || matches!(
            error,
            ClientError::Distrusted {
                source: Distrust::OtherToken,
                ..
            }
        )
}

/// The token that a machine was told, if there is one in its user data.
async fn token_of<C: Cloud, B: Balancers>(
    site: &Site<'_, C, B>,
    instance: &Instance,
) -> Result<Option<String>, AwsError> {
    let text = site.cloud.user_data(&instance.id).await;
    let text = text.map_err(AwsError::while_("reading the user data"))?;
    let found = text.and_then(|text| seed::read(&text).ok());
    Ok(found.and_then(|seed| seed.admin.enrolment_token))
}

/// Nothing as the error when there is no token in the user data.
async fn try_to_enrol<C: Cloud, B: Balancers>(
    site: &Site<'_, C, B>,
    instance: &Instance,
    name: &str,
) -> Result<Result<Access, Option<ClientError>>, AwsError> {
    let Some(token) = token_of(site, instance).await? else {
        return Ok(Err(None));
    };
    let address = site.address(instance);
    let address = address.ok_or_else(|| AwsError::NoAddress(instance.id.clone()))?;
    let Ok(name) = name.parse() else {
        return Ok(Err(Some(ClientError::Unspeakable(name.to_owned()))));
    };
    let patience = site.patience();
    let enrolled = site.balancers.enrol(address, &token, &name, patience).await;
    Ok(enrolled.map_err(Some))
}

/// Waits until the balancer in a machine answers.
pub(super) async fn well<C: Cloud, B: Balancers>(
    site: &Site<'_, C, B>,
    instance: &Instance,
    access: &Access,
) -> Result<(), AwsError> {
    match site.balancers.is_well(access, site.patience()).await {
        Ok(()) => Ok(()),
        Err(error) => Err(told(site, instance, error).await),
    }
}

/// An error with what stands on the console, which often says why.
pub(super) async fn told<C: Cloud, B: Balancers>(
    site: &Site<'_, C, B>,
    instance: &Instance,
    error: ClientError,
) -> AwsError {
    AwsError::Balancer {
        id: instance.id.clone(),
        console: console(site, &instance.id).await,
        why: Box::new(error),
    }
}

/// The end of what stands on the console, as the end of a sentence.
async fn console<C: Cloud, B: Balancers>(site: &Site<'_, C, B>, id: &str) -> String {
    let text = site.cloud.console(id).await.unwrap_or_default();
    let end = appliance::console_end(&text);
    end.unwrap_or_else(|| "; nothing stands on its console".to_owned())
}
