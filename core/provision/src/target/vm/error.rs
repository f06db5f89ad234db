//! What goes wrong with a virtual machine, and what to do about it.

use std::io;
use std::path::PathBuf;

use lb_client::ClientError;
use lb_model::value::InterfaceName;

use crate::files::FilesError;

/// Why something could not be done to a virtual machine.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// A file of whoever provisions cannot be used.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The image is none that a machine starts from.
    #[error("`{}` is no image of a disk: {why}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A program that is needed cannot be started.
    #[error("the program `{program}` cannot be started")]
    Program {
        /// The program.
        program: &'static str,
        /// The package that has it.
        package: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A program that is needed failed.
    #[error("`{program}` failed: {told}")]
    Failed {
        /// The program.
        program: &'static str,
        /// What it said.
        told: String,
    },
    /// The firmware for UEFI is not there.
    #[error("there is no firmware for UEFI on this machine")]
    NoFirmware,
    /// An address where the machine shall be reached is taken.
    #[error("QEMU cannot listen where the machine shall be reached: {told}")]
    AddressTaken {
        /// What it said.
        told: String,
    },
    /// There is no such bridge.
    #[error("there is no bridge `{bridge}` on this machine{}", if *is_there { ": the interface of that name is none" } else { "" })]
    NoBridge {
        /// The bridge.
        bridge: InterfaceName,
        /// Something else has this name.
        is_there: bool,
    },
    /// The machine cannot be connected to a bridge.
    #[error("the machine cannot be connected to the bridge `{bridge}`: {told}")]
    Bridge {
        /// The bridge.
        bridge: InterfaceName,
        /// What `ip` said.
        told: String,
    },
    /// QEMU does not take orders.
    #[error("the machine cannot be controlled: {told}")]
    Control {
        /// What went wrong.
        told: String,
    },
    /// It did not stop when it was told to.
    #[error("the machine did not stop within {seconds} s")]
    DoesNotStop {
        /// For how long it was waited.
        seconds: u64,
    },
    /// The balancer in it does not answer as it should.
    #[error("the balancer in the machine does not answer{console}")]
    Balancer {
        /// The end of what stands on its console.
        console: String,
        /// Why.
        source: Box<ClientError>,
    },
    /// The machine does not serve with a new image; it serves with the one before.
    #[error("the machine does not serve with the image {release}, and {before}{console}")]
    BadImage {
        /// The image, by its digest.
        release: String,
        /// What it does with the image from before, as the end of a sentence.
        before: String,
        /// The end of what stood on its console.
        console: String,
        /// Why.
        source: Box<ClientError>,
    },
    /// Somebody has taken the machine away meanwhile.
    #[error("the machine is not as it was a moment ago: {0}")]
    Changed(String),
}

impl VmError {
    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::Files(FilesError::Unreadable { path, .. }) => format!(
                "put it back from a copy; or end the machine and remove its folder, {}",
                path.parent().unwrap_or(path).display()
            ),
            Self::Files(error) => error.help(),
            Self::Image { .. } => {
                "name the image of the appliance, as qcow2 or raw; others are changed with \
                 `qemu-img convert -O qcow2 FILE lbctl.qcow2`"
                    .to_owned()
            }
            Self::Program { package, .. } => format!("install it, such as the package {package}"),
            Self::Failed { .. } => "the same command goes on where it was".to_owned(),
            Self::NoFirmware => {
                "install it, such as the package ovmf, or leave `firmware` out".to_owned()
            }
            Self::AddressTaken { .. } => {
                "see who has it with `ss -lntup`, or change `forwards`; ports below 1024 are for root".to_owned()
            }
            Self::NoBridge { bridge, .. } => format!(
                "see which there are: ip link show type bridge; or make it: ip link add {bridge} type bridge"
            ),
            Self::Bridge { .. } => {
                "only root may connect machines to bridges; `forwards` need no right".to_owned()
            }
            Self::Control { .. } => {
                "see whether the machine still runs: pgrep -af qemu-system".to_owned()
            }
            Self::DoesNotStop { .. } => {
                "something in it still works; try again, or end it: pkill -f qemu-system".to_owned()
            }
            Self::Balancer { source, .. } => return source.help(),
            Self::BadImage { .. } => {
                "what it remembers is kept; name another image, or see what the console says".to_owned()
            }
            Self::Changed(_) => "look again: `lbctl provision plan`".to_owned(),
        })
    }
}
