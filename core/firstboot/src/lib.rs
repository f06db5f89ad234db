//! The first start of a machine that was made from an image. Its *seed* says what it is called, what its
//! network interfaces have, which document its balancer begins with, and what makes the balancer's first
//! token. The name and the network are set at each start, the rest once.
//!
//! A seed that is wrong or missing leaves a machine that can be reached: with addresses from DHCP, and with
//! what was wrong on its console.

mod block;
mod error;
mod install;
mod medium;
mod metadata;
mod network;
mod nocloud;
mod source;
mod state;
mod table;
mod tell;

use std::path::PathBuf;
use std::time::Duration;

use lb_model::problem;
use lb_model::seed::{self, Seed};
use lb_model::value::HostName;

pub use error::FirstBootError;
pub use install::{InstallError, install};
use source::{Found, Source};

/// What the first start is told by its caller.
#[derive(Clone, Debug)]
pub struct Options {
    /// The state directory of the balancer.
    pub state_dir: PathBuf,
    /// The seed: a folder with `user-data` and `meta-data`, or a file with the user data. When absent, it is
    /// looked for.
    pub seed: Option<PathBuf>,
    /// Leave the name and the network of the machine as they are.
    pub no_network: bool,
    /// For how long network cards, leases and metadata of a cloud are waited for.
    pub timeout: Duration,
}

/// What the first start has done and has found wrong.
#[derive(Debug, Default)]
pub struct Report {
    /// What was done, a line each.
    pub done: Vec<String>,
    /// What could not be done.
    pub errors: Vec<FirstBootError>,
}

impl Report {
    fn did(&mut self, what: impl Into<String>) {
        self.done.push(what.into());
    }

    fn note(&mut self, result: Result<(), FirstBootError>) {
        self.errors.extend(result.err());
    }
}

/// Makes the machine what its seed says. Whatever goes wrong, the rest is done.
pub fn run(options: &Options) -> Report {
    let mut report = Report::default();
    let found = match look(options, &mut report) {
        Ok(found) => found,
        Err(error) => {
            report.errors.push(error);
            None
        }
    };
    let seed = found.as_ref().and_then(|found| read(found, &mut report));
    if !options.no_network {
        let named = found.as_ref().and_then(|found| found.hostname.clone());
        let empty = Seed::default();
        let seed = seed.as_ref().unwrap_or(&empty);
        name(seed.hostname.as_ref().or(named.as_ref()), &mut report);
        network::set_up(&seed.network, options.timeout, &mut report);
    }
    if let Err(error) = state::put(
        &options.state_dir,
        found.as_ref(),
        seed.as_ref(),
        &mut report,
    ) {
        report.errors.push(error);
    }
    report
}

/// The disk for the state, which is waited for: one that is nothing but state, else the partition of the image.
pub fn state_disk() -> Option<PathBuf> {
    block::eventually(block::PATIENCE, || {
        let labels = ["lbctl-data", install::STATE_LABEL];
        let found = labels
            .into_iter()
            .find_map(|label| block::labelled(label, &[block::FileSystem::Ext]));
        found.map(|(device, _)| device)
    })
}

/// Looks for the seed. The metadata of a cloud can only be asked for over a network.
fn look(options: &Options, report: &mut Report) -> Result<Option<Found>, FirstBootError> {
    let source = Source::find(options.seed.as_deref(), &options.state_dir, options.timeout);
    if matches!(source, Some(Source::Metadata)) && !options.no_network {
        network::set_up(&std::collections::BTreeMap::new(), options.timeout, report);
    }
    let Some(source) = source else {
        report.did("there is no seed: addresses come from DHCP, and nobody administers it over the network");
        return Ok(None);
    };
    let found = source.read(options.timeout)?;
    report.did(format!(
        "the seed is that of {}, instance {}",
        found.from, found.instance
    ));
    Ok(Some(found))
}

fn read(found: &Found, report: &mut Report) -> Option<Seed> {
    let Some(text) = &found.user_data else {
        return Some(Seed::default());
    };
    let Some(text) = text.starts_with(seed::FIRST_LINE).then_some(text) else {
        report
            .errors
            .push(FirstBootError::NotASeed(found.from.clone()));
        return None;
    };
    match seed::read(text) {
        Ok(seed) => Some(seed),
        Err(problems) => {
            // The lines themselves are not shown: one of them may be the token.
            let shown = problem::render(&problems, "user-data", None);
            report.errors.push(FirstBootError::Seed { shown });
            None
        }
    }
}

fn name(name: Option<&HostName>, report: &mut Report) {
    let Some(name) = name else { return };
    let set = rustix::system::sethostname(name.as_str().as_bytes());
    match set {
        Ok(()) => report.did(format!("its name is {name}")),
        Err(error) => report.errors.push(FirstBootError::HostName {
            name: name.to_string(),
            source: error.into(),
        }),
    }
}
