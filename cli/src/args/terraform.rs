//! Commands about Terraform.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

/// What to do about Terraform.
#[derive(Debug, Subcommand)]
pub(crate) enum TerraformCommand {
    Install(TerraformInstallArgs),
}

/// Put the provider where `terraform init` finds it without a network.
///
/// It goes into a folder of the form that Terraform calls a filesystem mirror. Those that Terraform looks
/// into by itself need nothing more; `terraform init` then writes a lock file as for any other provider.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lbctl terraform install
  lbctl terraform install --dir /usr/share/terraform/plugins          # for all users of this machine
  lbctl terraform install --provider ./target/release/terraform-provider-lbctl")]
pub(crate) struct TerraformInstallArgs {
    /// The provider [default: terraform-provider-lbctl beside this program].
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) provider: Option<PathBuf>,
    /// The mirror [default: ~/.terraform.d/plugins].
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
}
