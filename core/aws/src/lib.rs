//! What lbctl asks of EC2, and nothing of what it does with it: [`Cloud`] has the calls, in plain words. With the
//! feature `sdk` there is [`Ec2`], which asks the real one.

mod cloud;
mod error;
#[cfg(feature = "sdk")]
mod sdk;

pub use cloud::{
    Address, Answer, By, Cloud, Group, Image, Instance, Key, Launch, Network, NewGroup, Rule,
    State, Tags,
};
pub use error::CloudError;
#[cfg(feature = "sdk")]
pub use sdk::{Ec2, Options};
