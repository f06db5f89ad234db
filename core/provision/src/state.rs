//! What whoever provisions remembers: a directory beside the fleet's document. Machines say themselves
//! whose they are, so that losing it loses no machine: `adopt` takes them up again.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use lb_model::fleet::Balancer;
use lb_model::value::Name;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::program::hex;
use crate::wanted::Access;

/// The form of the state that this version writes.
const SCHEMA: u32 = 1;

/// The largest state that is read.
const STATE_BYTES_MAX: u64 = 16 << 20;

/// A directory with the state of a fleet, which nobody else uses as long as this is there.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    state: State,
    lock: File,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    schema: u32,
    /// Made once, by chance: what tells this state from another one of a fleet with the same name.
    lineage: String,
    /// Counts what was written.
    serial: u64,
    fleet: Name,
    balancers: BTreeMap<Name, Recorded>,
}

/// What is remembered of a balancer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recorded {
    /// Where it is, so that one that was taken out of the fleet's document can be taken away.
    pub(crate) balancer: Balancer,
}

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be read or written.
    #[error("cannot use the state in `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else uses it.
    #[error("the state in `{}` is in use{by}", dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
        /// By whom, when they said so.
        by: String,
    },
    /// It is damaged, or of a later version.
    #[error("the state `{}` cannot be read: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// It is that of another fleet.
    #[error("the state in `{}` is that of the fleet {there}, not of {wanted}", dir.display())]
    OtherFleet {
        /// The directory.
        dir: PathBuf,
        /// The fleet whose state it is.
        there: Name,
        /// The fleet that was asked for.
        wanted: Name,
    },
    /// There is no chance to be had.
    #[error("the system gives no random numbers")]
    Random(#[source] io::Error),
}

impl StoreError {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::Io { path, .. } => {
                format!(
                    "see who may write there, and whether there is room: ls -ld {}",
                    path.display()
                )
            }
            Self::Locked { .. } => "wait for it to end; the lock ends with that process".to_owned(),
            Self::Unreadable { path, .. } => format!(
                "put it back from a copy; or move {} away and take the machines up again with \
                 `lbctl provision adopt`",
                path.display()
            ),
            Self::OtherFleet { .. } => {
                "name another directory with `--state`, or give the fleet its name back".to_owned()
            }
            Self::Random(_) => "see whether /dev/urandom is there".to_owned(),
        }
    }
}

impl Store {
    /// Opens the state of a fleet, and makes it when there is none.
    ///
    /// # Errors
    /// Somebody else uses it, or it cannot be used.
    pub fn open(dir: &Path, fleet: &Name) -> Result<Self, StoreError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Io { path, source }
        };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(io(dir))?;
        let lock = lock(dir)?;
        let path = dir.join("state.json");
        let state = match read(&path) {
            Ok(text) => parse(&path, &text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => State {
                schema: SCHEMA,
                lineage: lineage().map_err(StoreError::Random)?,
                serial: 0,
                fleet: fleet.clone(),
                balancers: BTreeMap::new(),
            },
            Err(error) => return Err(io(&path)(error)),
        };
        if state.fleet != *fleet {
            return Err(StoreError::OtherFleet {
                dir: dir.to_owned(),
                there: state.fleet,
                wanted: fleet.clone(),
            });
        }
        let mut store = Self {
            dir: dir.to_owned(),
            state,
            lock,
        };
        if store.state.serial == 0 {
            store.save()?;
        }
        Ok(store)
    }

    /// What tells this state from others.
    pub(crate) fn lineage(&self) -> &str {
        &self.state.lineage
    }

    /// The balancers that there are or may be.
    pub(crate) fn recorded(&self) -> &BTreeMap<Name, Recorded> {
        &self.state.balancers
    }

    /// Remembers a balancer; before anything is done to its machine.
    pub(crate) fn record(&mut self, name: &Name, recorded: Recorded) -> Result<(), StoreError> {
        if self.state.balancers.get(name) == Some(&recorded) {
            return Ok(());
        }
        self.state.balancers.insert(name.clone(), recorded);
        self.save()
    }

    /// Forgets a balancer that is gone.
    pub(crate) fn forget(&mut self, name: &Name) -> Result<(), StoreError> {
        let folder = self.folder(name);
        match fs::remove_dir_all(&folder) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::Io {
                    path: folder,
                    source,
                });
            }
            Ok(()) | Err(_) => {}
        }
        self.state.balancers.remove(name);
        self.save()
    }

    /// How to talk to a balancer, when there is a token for it.
    pub(crate) fn access(&self, name: &Name) -> Option<Access> {
        let folder = self.folder(name);
        let token = read(&folder.join("token")).ok()?.trim().to_owned();
        let settings = read(&folder.join("settings.toml")).unwrap_or_default();
        let value = |key: &str| {
            let mut lines = settings.lines().filter_map(|line| line.split_once(" = "));
            let (_, value) = lines.find(|(found, _)| *found == key)?;
            Some(value.trim_matches('"').to_owned())
        };
        Some(Access {
            address: value("balancer")?.strip_prefix("https://")?.parse().ok()?,
            token,
            fingerprint: value("fingerprint").and_then(|text| text.parse().ok()),
        })
    }

    /// Keeps how to talk to a balancer: its token, and settings for `lbctl --settings`.
    pub(crate) fn keep_access(&self, name: &Name, access: &Access) -> Result<(), StoreError> {
        let folder = self.folder(name);
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Io { path, source }
        };
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder);
        made.map_err(io(&folder))?;
        let token = folder.join("token");
        let fingerprint = access
            .fingerprint
            .map(|found| format!("fingerprint = \"{found}\"\n"));
        let settings = format!(
            "balancer = \"https://{}\"\n{}token_file = \"{}\"\n",
            access.address,
            fingerprint.unwrap_or_default(),
            fs::canonicalize(&folder)
                .map_err(io(&folder))?
                .join("token")
                .display()
        );
        let path = folder.join("settings.toml");
        replace(&path, &settings).map_err(io(&path))?;
        replace(&token, &format!("{}\n", access.token)).map_err(io(&token))
    }

    fn folder(&self, name: &Name) -> PathBuf {
        self.dir.join("balancers").join(name.as_str())
    }

    fn save(&mut self) -> Result<(), StoreError> {
        self.state.serial += 1;
        let path = self.dir.join("state.json");
        let text = serde_json::to_string_pretty(&self.state).unwrap_or_default() + "\n";
        replace(&path, &text).map_err(|source| StoreError::Io { path, source })
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // A child process that is just being started has the file open, too, for a moment.
        let _ = flock(&self.lock, FlockOperation::Unlock);
    }
}

/// Takes the lock, and says in it who has it. It ends with the process, however that ends.
fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("lock");
    let io = |source| StoreError::Io {
        path: path.clone(),
        source,
    };
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    let mut file = options.mode(0o600).open(&path).map_err(io)?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut by = String::new();
        // Who has it may not have written down yet who they are.
        drop((&file).take(200).read_to_string(&mut by));
        let by = by.trim();
        let by = if by.is_empty() {
            String::new()
        } else {
            format!(" by {by}")
        };
        return Err(StoreError::Locked {
            dir: dir.to_owned(),
            by,
        });
    }
    file.set_len(0).map_err(io)?;
    writeln!(file, "process {}", std::process::id()).map_err(io)?;
    Ok(file)
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(STATE_BYTES_MAX)
        .read_to_string(&mut text)?;
    Ok(text)
}

fn parse(path: &Path, text: &str) -> Result<State, StoreError> {
    let unreadable = |why: String| StoreError::Unreadable {
        path: path.to_owned(),
        why,
    };
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
    if value["schema"]
        .as_u64()
        .is_some_and(|schema| schema > u64::from(SCHEMA))
    {
        return Err(unreadable(
            "it was written by a later version of lbctl".to_owned(),
        ));
    }
    serde_json::from_value(value).map_err(|error| unreadable(error.to_string()))
}

/// Writes a file for its owner alone, at once or not at all, and waits until it would survive a power cut.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(true);
    let mut file = options.mode(0o600).open(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn lineage() -> io::Result<String> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let digest = Sha256::digest(bytes);
    Ok(hex(&digest).chars().take(16).collect())
}

#[cfg(test)]
mod tests;
