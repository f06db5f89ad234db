//! The arguments of `lbctl provision`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use lb_model::value::Name;

/// What to do about the machines of a fleet.
#[derive(Debug, Subcommand)]
pub(crate) enum ProvisionCommand {
    Plan(ProvisionPlanArgs),
    Apply(ProvisionApplyArgs),
    Status(ProvisionStatusArgs),
    Upgrade(ProvisionUpgradeArgs),
    Rollback(ProvisionRollbackArgs),
    Adopt(ProvisionAdoptArgs),
    Destroy(ProvisionDestroyArgs),
    Doctor(ProvisionDoctorArgs),
    /// Print the JSON Schema of the fleet's document.
    Schema,
}

/// Which fleet, and which balancers of it.
#[derive(Clone, Debug, Args)]
pub(crate) struct FleetArgs {
    /// The balancers [default: all].
    #[arg(value_name = "BALANCER")]
    pub(crate) balancers: Vec<Name>,
    /// The document of the fleet, TOML or (by the ending .json) JSON.
    #[arg(short, long, value_name = "FILE", default_value = "fleet.toml", value_hint = ValueHint::FilePath)]
    pub(crate) fleet: PathBuf,
    /// The directory for what must be remembered: whose machines these are, and tokens for them. Keep it,
    /// and keep it from others [default: the name of the fleet's file with the ending .state].
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) state: Option<PathBuf>,
}

/// How machines are changed.
#[derive(Clone, Debug, Args)]
pub(crate) struct CarryOutArgs {
    /// Do not ask.
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Print what happens, one JSON object on each line, to the standard output.
    #[arg(long)]
    pub(crate) events: bool,
}

/// Show what it takes to make the machines be what the fleet says.
///
/// Every machine is looked at, and nothing is changed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lbctl provision plan
  lbctl provision plan lb1 --fleet sites/berlin.toml
  lbctl provision plan --detailed-exitcode   # 3 when something would change
  lbctl provision plan -o json | jq '.balancers[].steps[].title'")]
pub(crate) struct ProvisionPlanArgs {
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
    /// Exit with 3 when something would change.
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
}

/// Make the machines be what the fleet says.
///
/// Shows the plan and asks first. Members of a cluster are changed one after the other, each only when
/// the one before is well; a release that does not serve is taken back. Ctrl-C ends it after the steps
/// that are under way, a second one at once. The same command goes on where an interrupted one was.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lbctl provision apply
  lbctl provision apply lb1 lb2 --yes
  lbctl provision apply --yes --events | jq -r .event")]
pub(crate) struct ProvisionApplyArgs {
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
    #[command(flatten)]
    pub(crate) manner: CarryOutArgs,
}

/// Show what the machines are doing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lbctl provision status
  lbctl provision status lb1 -o json")]
pub(crate) struct ProvisionStatusArgs {
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
}

/// Make the balancers run another program, without a failed request.
///
/// Documents are left as they are. A program that does not serve is taken back at once.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lbctl provision upgrade                          # to this program
  lbctl provision upgrade --program dist/lbctl lb1")]
pub(crate) struct ProvisionUpgradeArgs {
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
    /// The program [default: the one that the fleet names, else this one].
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) program: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) manner: CarryOutArgs,
}

/// Make the balancers run the program, or the image, that they ran before.
///
/// With a program no request fails; the last three are kept on each machine. Another image starts the machine
/// anew. To go back to an earlier document, `lbctl rollback` on the balancer, or apply the earlier one.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lbctl provision rollback lb1")]
pub(crate) struct ProvisionRollbackArgs {
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
    #[command(flatten)]
    pub(crate) manner: CarryOutArgs,
}

/// Take over machines that belong to somebody else, or whose state was lost.
///
/// What a balancer remembers and serves stays; the document and the program of the fleet come into force.
/// A balancer that was installed in another way is started anew as the fleet's.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lbctl provision adopt            # the state directory was lost
  lbctl provision adopt lb3        # lb3 was installed from a package")]
pub(crate) struct ProvisionAdoptArgs {
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
    #[command(flatten)]
    pub(crate) manner: CarryOutArgs,
}

/// Take balancers away from their machines, with everything they remember.
///
/// Open requests finish first. Asks for the name of the fleet.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lbctl provision destroy lb3
  lbctl provision destroy --confirm production   # all, without a question")]
pub(crate) struct ProvisionDestroyArgs {
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
    /// The name of the fleet, in the place of an answer.
    #[arg(long, value_name = "NAME")]
    pub(crate) confirm: Option<Name>,
    /// Print what happens, one JSON object on each line, to the standard output.
    #[arg(long)]
    pub(crate) events: bool,
}

/// See whether everything is there that provisioning needs, here and on the machines.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lbctl provision doctor
  lbctl provision doctor lb1 --fleet sites/berlin.toml")]
pub(crate) struct ProvisionDoctorArgs {
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
}
