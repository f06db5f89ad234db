//! What goes wrong with a machine of EC2, and what to do about it.

use lb_aws::CloudError;
use lb_client::ClientError;

use crate::files::FilesError;

/// Why something could not be done to a machine of EC2.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// This program was built without it.
    #[error("this lbctl was built without the target `aws`")]
    NotBuilt,
    /// EC2 did not do something.
    #[error("{doing}: {why}")]
    Cloud {
        /// What was being done.
        doing: String,
        /// Why not.
        why: CloudError,
    },
    /// It was not ready in time.
    #[error("{what} within {seconds} s")]
    TooSlow {
        /// What did not happen.
        what: String,
        /// For how long it was waited.
        seconds: u64,
    },
    /// The machine has ended by itself.
    #[error("the machine {id} has ended: {why}")]
    Ended {
        /// Which.
        id: String,
        /// Why, as EC2 says.
        why: String,
    },
    /// The name of the security group is somebody else's.
    #[error("there is a security group `{name}` in {vpc} that is not of this fleet")]
    NameTaken {
        /// The name.
        name: String,
        /// The network.
        vpc: String,
    },
    /// The machine has no address that can be reached.
    #[error("the machine {0} has no address")]
    NoAddress(String),
    /// The balancer in it does not answer as it should.
    #[error("the balancer in the machine {id} does not answer: {why}{console}")]
    Balancer {
        /// Which machine.
        id: String,
        /// The end of what stands on its console.
        console: String,
        /// Why.
        why: Box<ClientError>,
    },
    /// A machine that was made anew is not well; the one before serves.
    #[error(
        "bad image: the machine that was made of {image} is not well and was terminated; the one before serves on: {why}{console}"
    )]
    BadImage {
        /// The image.
        image: String,
        /// What was wrong.
        why: String,
        /// The end of what stood on its console.
        console: String,
    },
    /// Somebody has changed it meanwhile.
    #[error("the machine is not as it was a moment ago: {0}")]
    Changed(String),
    /// There is no chance to be had.
    #[error(transparent)]
    Random(#[from] FilesError),
}

impl AwsError {
    /// What went wrong while this was being done.
    pub(super) fn while_(doing: impl Into<String>) -> impl FnOnce(CloudError) -> Self {
        let doing = doing.into();
        move |why| Self::Cloud { doing, why }
    }

    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::NotBuilt => {
                "build it with the target: cargo build --release -p lbctl --features aws".to_owned()
            }
            Self::Cloud { why, .. } => help(why),
            Self::TooSlow { .. } => {
                "see the health of EC2 in the region; the same command goes on where it was".to_owned()
            }
            Self::Ended { .. } => {
                "the same command makes another one; when EC2 takes spot machines away too often, leave `spot` out"
                    .to_owned()
            }
            Self::NameTaken { name, .. } => format!(
                "see whose it is, and remove or rename it, or give the balancer another name: aws ec2 \
                 describe-security-groups --filters Name=group-name,Values={name}"
            ),
            Self::NoAddress(_) => {
                "say `elastic_address = true`, or name a subnet that gives its machines public addresses".to_owned()
            }
            Self::Balancer { why, .. } => {
                let more = "see that `admin_networks` has the address that you come from, and that `image` is the \
                            appliance (packer/README.md)";
                match why.help() {
                    Some(help) => format!("{help}; {more}"),
                    None => more.to_owned(),
                }
            }
            Self::BadImage { .. } => {
                "nothing is lost; name an image of the appliance (packer/README.md), or see what the console says"
                    .to_owned()
            }
            Self::Changed(_) => "look again: `lbctl provision plan`".to_owned(),
            Self::Random(error) => error.help(),
        })
    }
}

/// What to do about what EC2 did not do.
fn help(error: &CloudError) -> String {
    match error {
        CloudError::NoCredentials { .. } => {
            "log in as for the command line of AWS: `aws sso login`, `aws configure`, AWS_PROFILE, or \
             AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; or name a `profile` in the fleet's document"
        }
        CloudError::Credentials { code, .. } if code.contains("Expired") => {
            "they have expired: log in again, such as with `aws sso login`"
        }
        CloudError::Credentials { .. } => {
            "see who you are with `aws sts get-caller-identity`, whether the key was revoked, the region is enabled \
             for the account, and the clock of this machine is right"
        }
        CloudError::Denied { action, .. } => {
            return format!(
                "add `{action}` to the policy of whoever provisions; docs/provisioning.md has the whole policy"
            );
        }
        CloudError::Region { .. } => "enable the region for the account, or name another `region`",
        CloudError::Unreachable { .. } => {
            "see whether `region` is the name of a region (`aws ec2 describe-regions`), whether `endpoint` is right, \
             and whether this machine reaches it"
        }
        CloudError::Throttled { .. } => "wait a minute; the same command goes on where it was",
        CloudError::Quota { .. } => {
            "ask for more in the console of AWS (Service Quotas), give back what nobody uses, or name another \
             `instance_type` or `region`"
        }
        CloudError::NoCapacity { .. } => {
            "try again later, or name another `instance_type`, another `subnet` (another zone), or leave `spot` out"
        }
        CloudError::NotFound { code, .. } if code.starts_with("InvalidAMIID") => {
            "images are of one region and one account: see `aws ec2 describe-images`, or make one (packer/README.md)"
        }
        CloudError::NotFound { .. } => "look again: `lbctl provision plan`",
        CloudError::Exists { .. } => {
            "see whose it is; remove it or give the balancer another name"
        }
        CloudError::InUse { .. } => {
            "see what else uses it: `aws ec2 describe-network-interfaces --filters Name=group-id,Values=…`; then the \
             same command again"
        }
        CloudError::TokenUsed | CloudError::TokenOver | CloudError::WouldWork => {
            "the same command goes on where it was"
        }
        CloudError::Other { code, .. } if code == "InvalidParameterValue" || code == "Unsupported" => {
            "see whether `instance_type`, `image` and `subnet` go together: processor, zone, virtualisation"
        }
        CloudError::Other { .. } => {
            "the same command goes on where it was; the support of AWS asks for the id of the request"
        }
    }
    .to_owned()
}
