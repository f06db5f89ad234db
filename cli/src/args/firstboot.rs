//! The arguments of `lbctl firstboot`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueHint};
use lb_model::value::Period;

/// Make this machine what its seed says: name, network, document, enrolment.
///
/// The image of the appliance calls it as root at each start, before the balancer. It looks for a seed on a
/// disk with the label `cidata`, then in the metadata of EC2. The name and the network are set each time; the
/// document and what makes the first token are put into the state directory once for each seed, and a
/// document that was changed since stays. docs/seed.md describes the seed.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  lbctl firstboot
  lbctl firstboot --seed /mnt/seed --no-network --state-dir /var/lib/lbctl")]
pub(crate) struct FirstbootArgs {
    /// The seed: a folder with `user-data` and `meta-data`, or a file with the user data.
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) seed: Option<PathBuf>,
    /// The state directory of the balancer [default: /var/lib/lbctl].
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) state_dir: Option<PathBuf>,
    /// Leave the name and the network of this machine as they are.
    #[arg(long)]
    pub(crate) no_network: bool,
    /// For how long network cards and the metadata of a cloud are waited for.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub(crate) timeout: Period,
}
