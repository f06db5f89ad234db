//! Where a seed comes from.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use lb_model::seed::{self, Seed};
use lb_model::value::HostName;

use crate::error::FirstBootError;
use crate::state::SEED;
use crate::{medium, metadata, nocloud};

/// Between two looks for disks that come up.
const PAUSE: Duration = Duration::from_millis(100);

/// The largest file of a seed that is read.
pub(crate) const BYTES_MAX: u64 = 1 << 20;

/// Where a seed is.
#[derive(Debug)]
pub(crate) enum Source {
    /// A folder with `user-data` and perhaps `meta-data`, or a file with the user data.
    Path(PathBuf),
    /// A disk with the label `cidata`.
    Disk(PathBuf),
    /// The place for a seed on the CD of the appliance.
    Medium(PathBuf),
    /// What the installer has left with the state.
    State(PathBuf),
    /// The metadata service of EC2.
    Metadata,
}

/// A seed that was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// Where, for people.
    pub(crate) from: String,
    /// What tells this machine from its copies.
    pub(crate) instance: String,
    /// What whoever made the machine calls it.
    pub(crate) hostname: Option<HostName>,
    pub(crate) user_data: Option<String>,
    /// The same without what is good once, where that is to be left in its place.
    pub(crate) lasting: Option<String>,
}

impl Source {
    /// Looks for a seed: the one that is named; a disk; the CD; what the installer left; the cloud, on a machine of
    /// a cloud.
    pub(crate) fn find(named: Option<&Path>, state_dir: &Path, timeout: Duration) -> Option<Self> {
        if let Some(path) = named {
            return Some(Self::Path(path.to_owned()));
        }
        if let Some(found) = Self::now() {
            return Some(found);
        }
        let left = state_dir.join(SEED);
        if left.exists() {
            return Some(Self::State(left));
        }
        if is_ec2() {
            return Some(Self::Metadata);
        }
        // Disks may come up a moment after the system.
        let until = Instant::now() + timeout.min(Duration::from_secs(2));
        while Instant::now() < until {
            sleep(PAUSE);
            if let Some(found) = Self::now() {
                return Some(found);
            }
        }
        None
    }

    /// A seed on a disk or a CD that is there.
    pub(crate) fn now() -> Option<Self> {
        let disk = nocloud::now().map(Self::Disk);
        disk.or_else(|| {
            let device = medium::now()?;
            let is_filled = medium::seed(&device).is_ok_and(|seed| seed.is_some());
            is_filled.then_some(Self::Medium(device))
        })
    }

    pub(crate) fn read(&self, timeout: Duration) -> Result<Found, FirstBootError> {
        match self {
            Self::Path(path) if path.is_dir() => folder(path, path.display().to_string()),
            Self::Path(path) => Ok(Found {
                from: path.display().to_string(),
                instance: "seed".to_owned(),
                hostname: None,
                user_data: Some(text(path)?),
                lasting: None,
            }),
            Self::Medium(device) => Ok(Found {
                from: format!("the CD in {}", device.display()),
                instance: "cd".to_owned(),
                hostname: None,
                user_data: medium::seed(device)?,
                lasting: None,
            }),
            Self::State(path) => {
                let user_data = text(path)?;
                let lasting = seed::read(&user_data).ok().and_then(without_token);
                Ok(Found {
                    from: "the installation".to_owned(),
                    instance: "installed".to_owned(),
                    hostname: None,
                    user_data: Some(user_data),
                    lasting,
                })
            }
            Self::Disk(device) => nocloud::with(device, |path| {
                folder(path, format!("the disk {}", device.display()))
            }),
            Self::Metadata => metadata::read(timeout),
        }
    }
}

/// Reads a seed as `NoCloud` has it: `meta-data` in lines of `key: value`.
pub(crate) fn folder(path: &Path, from: String) -> Result<Found, FirstBootError> {
    let meta_data = optional(&path.join("meta-data"))?.unwrap_or_default();
    let value = |key: &str| {
        let mut lines = meta_data.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = lines.find(|(found, _)| found.trim().trim_matches('"') == key)?;
        Some(value.trim().trim_matches(['"', '\'']).to_owned())
    };
    Ok(Found {
        from,
        instance: value("instance-id").unwrap_or_else(|| "seed".to_owned()),
        hostname: value("local-hostname").and_then(|name| name.parse().ok()),
        user_data: optional(&path.join("user-data"))?,
        lasting: None,
    })
}

/// The seed without the token in it, when it has one.
fn without_token(mut seed: Seed) -> Option<String> {
    seed.admin.enrolment_token.take()?;
    Some(seed.to_user_data())
}

fn optional(path: &Path) -> Result<Option<String>, FirstBootError> {
    match text(path) {
        Err(FirstBootError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        read => read.map(Some),
    }
}

fn text(path: &Path) -> Result<String, FirstBootError> {
    let failed = |source| FirstBootError::File {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(FirstBootError::TooLarge {
            path: path.to_owned(),
            limit: BYTES_MAX,
        });
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether this is a machine of EC2, as its firmware says; or whoever starts it.
fn is_ec2() -> bool {
    let says = |path: &str, word: &str| {
        fs::read_to_string(path).is_ok_and(|text| text.to_ascii_lowercase().contains(word))
    };
    metadata::is_named()
        || says("/proc/cmdline", "lbctl.seed=ec2")
        || says("/sys/class/dmi/id/sys_vendor", "amazon ec2")
        || says("/sys/hypervisor/uuid", "ec2")
}
