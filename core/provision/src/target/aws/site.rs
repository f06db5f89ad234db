//! One balancer in EC2: the cloud, the way to balancers, and what is wanted.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lb_aws::{Cloud, Instance};
use lb_client::ClientError;
use lb_model::fleet::AwsTarget;
use lb_model::value::Name;
use tokio::time::{Instant, sleep};

use super::error::AwsError;
use super::facts::Facts;
use crate::target::appliance::{self, Told};
use crate::wanted::{Access, Document, Wanted};

/// Between two looks at something that changes: it begins with the first and ends with the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// For how long EC2 may not show what it has made.
pub(super) const VISIBLE: Duration = Duration::from_mins(2);

/// For how long a machine may take from one state to another.
pub(super) const SETTLED: Duration = Duration::from_mins(10);

/// How balancers are talked to.
pub(super) trait Balancers: Send + Sync {
    fn look(
        &self,
        access: &Access,
        document: Option<&Document>,
    ) -> impl Future<Output = Told> + Send;
    fn enrol(
        &self,
        address: SocketAddr,
        token: &str,
        name: &Name,
        within: Duration,
    ) -> impl Future<Output = Result<Access, ClientError>> + Send;
    fn is_well(
        &self,
        access: &Access,
        within: Duration,
    ) -> impl Future<Output = Result<(), ClientError>> + Send;
    fn apply(
        &self,
        access: &Access,
        document: &Document,
    ) -> impl Future<Output = Result<(), ClientError>> + Send;
    /// The document that it serves.
    fn document(&self, access: &Access)
    -> impl Future<Output = Result<String, ClientError>> + Send;
}

/// The real ones.
#[derive(Debug)]
pub(super) struct Network;

impl Balancers for Network {
    async fn look(&self, access: &Access, document: Option<&Document>) -> Told {
        appliance::look(access, document).await
    }

    async fn enrol(
        &self,
        address: SocketAddr,
        token: &str,
        name: &Name,
        within: Duration,
    ) -> Result<Access, ClientError> {
        let access = appliance::enrol(address, token, name, within).await?;
        appliance::revoke_others(&access, super::machine::TOKEN_PREFIX, name).await?;
        Ok(access)
    }

    async fn is_well(&self, access: &Access, within: Duration) -> Result<(), ClientError> {
        appliance::is_well(access, within).await
    }

    async fn apply(&self, access: &Access, document: &Document) -> Result<(), ClientError> {
        appliance::apply(access, document).await
    }

    async fn document(&self, access: &Access) -> Result<String, ClientError> {
        appliance::document(access).await
    }
}

/// One balancer in EC2.
#[derive(Debug)]
pub(super) struct Site<'s, C, B> {
    pub(super) cloud: &'s C,
    pub(super) balancers: &'s B,
    pub(super) target: &'s AwsTarget,
    pub(super) wanted: &'s Wanted,
    /// How to talk to a balancer that was enrolled a moment ago.
    pub(super) made: &'s Mutex<Option<Access>>,
}

impl<C: Cloud, B: Balancers> Site<'_, C, B> {
    /// How to talk to the balancer in a machine, when whoever provisions has a token for that one.
    pub(super) fn access(&self, instance: &Instance) -> Option<Access> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let access = made.as_ref().or(self.wanted.access.as_ref())?;
        let certificate = instance.tags.get(super::marks::CERTIFICATE)?;
        let is_it = access.fingerprint?.to_string() == *certificate;
        let address = self.address(instance).filter(|_| is_it)?;
        Some(Access {
            address,
            ..access.clone()
        })
    }

    /// Remembers how to talk to a balancer, for the steps that follow.
    pub(super) fn remember(&self, access: &Access) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        *made = Some(access.clone());
    }

    /// Where its admin API is.
    pub(super) fn address(&self, instance: &Instance) -> Option<SocketAddr> {
        let port = self.wanted.balancer.admin_address()?.socket_addr().port();
        Some(SocketAddr::from((reached(instance)?, port)))
    }

    /// For how long a balancer may take to answer.
    pub(super) fn patience(&self) -> Duration {
        self.target.start_timeout.duration()
    }

    /// Looks until what was made can be seen, and nothing of it is somebody else's.
    pub(super) async fn facts_with(
        &self,
        what: &'static str,
        is_there: impl Fn(&Facts) -> bool,
    ) -> Result<Facts, AwsError> {
        let gone = || AwsError::Changed(format!("the {what} is not there any more"));
        until!(VISIBLE, gone, {
            let facts = self.ours().await?;
            Ok(is_there(&facts).then_some(facts))
        })
    }

    /// What there is, which must not be somebody else's.
    pub(super) async fn ours(&self) -> Result<Facts, AwsError> {
        let facts = Facts::find(self.cloud, &self.wanted.owner).await?;
        match facts.stranger(&self.wanted.owner) {
            Some(_) => Err(AwsError::Changed("it is somebody else's".to_owned())),
            None => Ok(facts),
        }
    }
}

/// Where a machine is reached.
pub(super) fn reached(instance: &Instance) -> Option<IpAddr> {
    instance.public.or(instance.private)
}

/// How long to go on asking.
#[derive(Debug)]
pub(super) struct Patience {
    end: Instant,
    pause: Duration,
}

impl Patience {
    pub(super) fn of(limit: Duration) -> Self {
        Self {
            end: Instant::now() + limit,
            pause: PAUSES.0,
        }
    }

    /// Waits, each time longer. Gives whether to ask again.
    pub(super) async fn pause(&mut self) -> bool {
        if Instant::now() >= self.end {
            return false;
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 3 / 2).min(PAUSES.1);
        true
    }
}

/// Asks again and again until there is an answer, ever more slowly. No function, as what asks would have to be
/// a closure, and futures of those cannot be sent to another thread.
macro_rules! until {
    ($limit:expr, $too_late:expr, $ask:block) => {{
        let mut patience = crate::target::aws::site::Patience::of($limit);
        loop {
            let asked: Result<Option<_>, AwsError> = async { $ask }.await;
            match asked {
                Ok(Some(answer)) => break Ok(answer),
                Ok(None) if patience.pause().await => {}
                Ok(None) => break Err(($too_late)()),
                Err(error) => break Err(error),
            }
        }
    }};
}

pub(super) use until;
