//! A machine of EC2, made from the image of the appliance.
//!
//! Everything of it has tags that say whose it is, in the calls that make it, and is found by them alone: a state
//! that is lost loses nothing. The security group comes first and goes last: its name can be taken once in a
//! network, and its id is in the token of each launch, so that no interruption makes a second machine.

mod cloud;
mod error;
mod facts;
#[cfg(test)]
mod fake;
mod look;
mod machine;
mod marks;
mod observed;
mod plan;
mod remove;
mod replace;
mod run;
mod site;

pub(crate) use cloud::Place;
pub use error::AwsError;
pub use observed::Observed;
pub(crate) use plan::{Work, plan};

use crate::event::Events;
use crate::target::Left;
use crate::wanted::Wanted;
use site::{Network, Site};

pub(crate) async fn look(place: &Place, wanted: &Wanted) -> Result<Observed, AwsError> {
    look::look(&site(place, wanted)).await
}

pub(crate) async fn run(
    place: &Place,
    wanted: &Wanted,
    work: &Work,
    _events: &Events,
) -> Result<Left, AwsError> {
    // The futures of the SDK are large.
    Box::pin(run::run(&site(place, wanted), work)).await
}

const fn site<'p>(place: &'p Place, wanted: &'p Wanted) -> Site<'p, cloud::Live, Network> {
    Site {
        cloud: &place.cloud,
        balancers: &Network,
        target: &place.target,
        wanted,
        made: &place.made,
    }
}
