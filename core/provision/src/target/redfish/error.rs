//! What goes wrong with hardware, and what to do about it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use lb_client::{ClientError, Distrust, TrustError};

use crate::files::FilesError;

/// Why something could not be done to hardware.
#[derive(Debug, thiserror::Error)]
pub enum RedfishError {
    /// A file of whoever provisions cannot be used.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The file with the password holds none.
    #[error("there is no password in `{}`", .0.display())]
    NoPassword(PathBuf),
    /// The image is not the CD of the appliance.
    #[error("`{}` is not the CD of the appliance: {why}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The URL of the controller cannot be used.
    #[error("`{0}` is not where a management controller can be")]
    Url(String),
    /// Nobody can be trusted.
    #[error("the certificate of the management controller cannot be checked")]
    Trust(#[from] TrustError),
    /// The controller is not reached.
    #[error("the management controller {controller} is not reached")]
    Connect {
        /// The controller.
        controller: String,
        /// Why.
        source: io::Error,
    },
    /// The controller has another certificate.
    #[error("the management controller {controller} is not trusted")]
    Distrusted {
        /// The controller.
        controller: String,
        /// Why.
        source: Distrust,
    },
    /// The controller does not answer in time.
    #[error("the management controller {controller} did not answer within {seconds} s")]
    NoAnswer {
        /// The controller.
        controller: String,
        /// For how long it was waited.
        seconds: u64,
    },
    /// The user or the password is wrong.
    #[error("the management controller {controller} does not let the user {user} in")]
    Unauthorized {
        /// The controller.
        controller: String,
        /// The user.
        user: String,
    },
    /// What answers does not speak Redfish.
    #[error("{controller} does not answer as a management controller with Redfish does: {why}")]
    NotRedfish {
        /// The controller.
        controller: String,
        /// Why.
        why: String,
    },
    /// The controller refuses something.
    #[error("the management controller refuses {what} ({status}): {told}")]
    Refused {
        /// The method and the path.
        what: String,
        /// The status of HTTP.
        status: u16,
        /// What it said.
        told: String,
    },
    /// The machine is not there.
    #[error("the management controller has no system `{wanted}`; it has {there}")]
    NoSystem {
        /// The machine.
        wanted: String,
        /// Those that there are.
        there: String,
    },
    /// There is more than one machine.
    #[error("the management controller has several systems, and none is named: {0}")]
    SeveralSystems(String),
    /// The controller cannot play a CD.
    #[error("the management controller has no virtual media that takes a CD")]
    NoMedia,
    /// All of its drives are taken.
    #[error("the virtual media of the management controller has something else in it: {0}")]
    MediaBusy(String),
    /// The CD cannot be served.
    #[error("the CD cannot be served at {address}")]
    MediaAddress {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The installer says why it did not install.
    #[error("the machine is not installed; the installer says\n{0}")]
    Installer(String),
    /// The installer does not end.
    #[error("the machine was not installed within {seconds} s: {why}")]
    DoesNotEnd {
        /// For how long it was waited.
        seconds: u64,
        /// What is known.
        why: String,
    },
    /// It does not switch.
    #[error("the machine is still {is} after {seconds} s")]
    DoesNotSwitch {
        /// `on` or `off`.
        is: &'static str,
        /// For how long it was waited.
        seconds: u64,
    },
    /// The balancer does not answer as it should.
    #[error("the balancer on the machine does not answer{told}")]
    Balancer {
        /// What was installed, as the end of a sentence.
        told: String,
        /// Why.
        source: Box<ClientError>,
    },
    /// Somebody has changed it meanwhile.
    #[error("the machine is not as it was a moment ago: {0}")]
    Changed(String),
}

impl RedfishError {
    /// Whether the same may work a moment later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::NoAnswer { .. } | Self::Connect { .. } | Self::NotRedfish { .. } => true,
            Self::Refused { status, .. } => matches!(status, 429 | 500 | 502..=504),
            Self::Files(_)
            | Self::NoPassword(_)
            | Self::Image { .. }
            | Self::Url(_)
            | Self::Trust(_)
            | Self::Distrusted { .. }
            | Self::Unauthorized { .. }
            | Self::NoSystem { .. }
            | Self::SeveralSystems(_)
            | Self::NoMedia
            | Self::MediaBusy(_)
            | Self::MediaAddress { .. }
            | Self::Installer(_)
            | Self::DoesNotEnd { .. }
            | Self::DoesNotSwitch { .. }
            | Self::Balancer { .. }
            | Self::Changed(_) => false,
        }
    }

    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::Files(FilesError::Unreadable { path, .. }) => format!(
                "put it back from a copy; or move its folder away, {}, and take the machine up again with `lbctl provision adopt`",
                path.parent().unwrap_or(path).display()
            ),
            Self::Files(error) => error.help(),
            Self::NoPassword(path) => format!(
                "write the password of the controller's user into it, for you alone: chmod 600 {}",
                path.display()
            ),
            Self::Image { .. } => {
                "name the lbctl.iso that `packer/appliance/build --kernel hardware` makes".to_owned()
            }
            Self::Url(_) => "name it as https://HOST or https://HOST:PORT".to_owned(),
            Self::Trust(_) => {
                "pin its certificate with `fingerprint`: openssl s_client -connect HOST:443 </dev/null | openssl x509 \
                 -noout -fingerprint -sha256"
                    .to_owned()
            }
            Self::Connect { .. } | Self::NoAnswer { .. } => {
                "see `controller`, and whether the network for management can be reached from here".to_owned()
            }
            Self::Distrusted { .. } => {
                "compare the fingerprint with the one that the controller shows on its own screen, and pin it with \
                 `fingerprint`; when it is another one, somebody else answers in its place"
                    .to_owned()
            }
            Self::Unauthorized { .. } => {
                "see `user` and `password_file`; the user must be allowed to switch the machine and to use virtual media"
                    .to_owned()
            }
            Self::NotRedfish { .. } => {
                "see `controller`; Redfish may have to be switched on in its settings".to_owned()
            }
            Self::Refused { .. } => {
                "see what it says; its firmware may be too old, or need a licence for virtual media".to_owned()
            }
            Self::NoSystem { .. } | Self::SeveralSystems(_) => {
                "name one of those with `system`".to_owned()
            }
            Self::NoMedia => {
                "virtual media may need a licence, or be switched off in the settings of the controller".to_owned()
            }
            Self::MediaBusy(_) => {
                "eject it in the screens of the controller when nobody needs it".to_owned()
            }
            Self::MediaAddress { .. } => {
                "name an address of this machine that the controller reaches, with a port that is free or 0, as \
                 `media_address`; see who has it with `ss -lntp`"
                    .to_owned()
            }
            Self::Installer(_) => "the same command tries it again when that is mended".to_owned(),
            Self::DoesNotEnd { .. } => {
                "look at the screen of the machine, which says what it does; the same command tries it again".to_owned()
            }
            Self::DoesNotSwitch { .. } => {
                "look at the screen of the machine; the same command goes on".to_owned()
            }
            Self::Balancer { source, .. } => return source.help(),
            Self::Changed(_) => "look again: `lbctl provision plan`".to_owned(),
        })
    }
}
