//! The arguments of `lbctl firstboot`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueHint};
use lb_model::value::Period;

/// Make this machine what its seed says: name, network, document, enrolment.
///
/// The image of the appliance calls it as root at each start, before the balancer. It looks for a seed on a
/// disk with the label `cidata`, on the CD of the appliance, where the installer left it, then in the metadata of EC2. The name and the network are set each time; the
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
    /// Print the disk for the state, which is waited for, and do nothing else.
    #[arg(long, conflicts_with_all = ["seed", "no_network"])]
    pub(crate) state_disk: bool,
    /// For how long network cards and the metadata of a cloud are waited for.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub(crate) timeout: Period,
}

/// Install the appliance on a disk of this machine, which has started from its CD.
///
/// The CD calls it as root. It does what `install` in the seed says and keeps what a balancer that was there
/// remembers; without it, it does nothing. A disk that holds something else is left alone unless the seed says
/// `wipe`. What the machine is to do then is printed: `poweroff` or `reboot`. docs/appliance.md describes it.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  lbctl install")]
pub(crate) struct InstallArgs {
    /// For how long disks and network cards are waited for.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub(crate) timeout: Period,
}
