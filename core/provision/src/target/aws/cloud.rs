//! The way to EC2, when this program has one.

use std::sync::Mutex;

use lb_model::fleet::AwsTarget;

use super::error::AwsError;
use crate::wanted::Access;

/// EC2 in the region of a balancer.
#[derive(Debug)]
pub(crate) struct Place {
    pub(super) cloud: Live,
    pub(super) target: AwsTarget,
    pub(super) made: Mutex<Option<Access>>,
}

#[cfg(feature = "aws")]
pub(super) type Live = lb_aws::Ec2;

#[cfg(not(feature = "aws"))]
pub(super) type Live = absent::Absent;

impl Place {
    /// The way there. Nothing is asked yet, and no credentials are looked for.
    #[cfg(feature = "aws")]
    #[expect(
        clippy::unnecessary_wraps,
        reason = "a program without the feature has no way there"
    )]
    pub(crate) fn new(target: &AwsTarget) -> Result<Self, AwsError> {
        let options = lb_aws::Options {
            region: target.region.to_string(),
            profile: target.profile.as_ref().map(ToString::to_string),
            endpoint: target.endpoint.as_ref().map(ToString::to_string),
        };
        Ok(Self {
            cloud: lb_aws::Ec2::new(options),
            target: target.clone(),
            made: Mutex::default(),
        })
    }

    /// There is none.
    #[cfg(not(feature = "aws"))]
    pub(crate) fn new(_target: &AwsTarget) -> Result<Self, AwsError> {
        Err(AwsError::NotBuilt)
    }
}

/// Nobody: what a program without the feature `aws` has.
#[cfg(not(feature = "aws"))]
mod absent {
    use lb_aws::{
        Address, Answer, By, Cloud, Group, Image, Instance, Key, Launch, Network, NewGroup, Rule,
        Tags,
    };

    #[derive(Debug)]
    pub(crate) enum Absent {}

    impl Cloud for Absent {
        async fn network(&self, _: Option<&str>) -> Answer<Option<Network>> {
            match *self {}
        }
        async fn image(&self, _: &str) -> Answer<Option<Image>> {
            match *self {}
        }
        async fn instances(&self, _: &By) -> Answer<Vec<Instance>> {
            match *self {}
        }
        async fn groups(&self, _: &By) -> Answer<Vec<Group>> {
            match *self {}
        }
        async fn keys(&self, _: &By) -> Answer<Vec<Key>> {
            match *self {}
        }
        async fn addresses(&self, _: &By) -> Answer<Vec<Address>> {
            match *self {}
        }
        async fn make_group(&self, _: &NewGroup) -> Answer<String> {
            match *self {}
        }
        async fn open(&self, _: &str, _: &[Rule]) -> Answer<()> {
            match *self {}
        }
        async fn shut(&self, _: &str, _: &[Rule]) -> Answer<()> {
            match *self {}
        }
        async fn delete_group(&self, _: &str) -> Answer<()> {
            match *self {}
        }
        async fn import_key(&self, _: &str, _: &str, _: &Tags) -> Answer<()> {
            match *self {}
        }
        async fn delete_key(&self, _: &str) -> Answer<()> {
            match *self {}
        }
        async fn launch(&self, _: &Launch) -> Answer<Instance> {
            match *self {}
        }
        async fn start(&self, _: &str) -> Answer<()> {
            match *self {}
        }
        async fn stop(&self, _: &str) -> Answer<()> {
            match *self {}
        }
        async fn terminate(&self, _: &str) -> Answer<()> {
            match *self {}
        }
        async fn change_kind(&self, _: &str, _: &str) -> Answer<()> {
            match *self {}
        }
        async fn user_data(&self, _: &str) -> Answer<Option<String>> {
            match *self {}
        }
        async fn put_user_data(&self, _: &str, _: &str) -> Answer<()> {
            match *self {}
        }
        async fn allocate(&self, _: &Tags) -> Answer<Address> {
            match *self {}
        }
        async fn associate(&self, _: &str, _: &str) -> Answer<()> {
            match *self {}
        }
        async fn disassociate(&self, _: &str) -> Answer<()> {
            match *self {}
        }
        async fn release(&self, _: &str) -> Answer<()> {
            match *self {}
        }
        async fn tag(&self, _: &[String], _: &Tags) -> Answer<()> {
            match *self {}
        }
        async fn untag(&self, _: &[String], _: &[String]) -> Answer<()> {
            match *self {}
        }
        async fn console(&self, _: &str) -> Answer<String> {
            match *self {}
        }
    }
}
