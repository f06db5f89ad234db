//! Who did what and who was refused what: lines that are only ever added, each with the digest of
//! the one before it, so that none can be changed or taken away from the middle unnoticed.
//!
//! Old files go when there are too many; the chain goes on over them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lb_model::api::{Source, Timestamp};
use serde::{Deserialize, Serialize};

use crate::disk::{Disk, Written};
use crate::{Clock, Digest};

/// The directory, in the state directory.
const DIRECTORY: &str = "audit";

/// How names end.
const ENDING: &str = ".jsonl";

/// How large a file gets before the next one is begun, and how many there are at most.
const FILE_BYTES_MAX: u64 = 4 << 20;
const FILES_MAX: usize = 16;

/// The most characters of a text in an entry: whoever is refused chooses some of them.
const TEXT_CHARS_MAX: usize = 1000;

/// What was done, or refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditEntry {
    /// Its number; each is one more than that of the entry before it.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub author: String,
    /// Where it came from, for changes of the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// What, such as `apply` or `token_create`.
    pub action: String,
    /// Whether it was refused.
    pub refused: bool,
    /// What it was about, or why it was refused. It holds no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The revision that came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The digest of the line before it.
    pub previous: Digest,
}

/// What shall be added.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewEntry {
    pub(crate) author: String,
    pub(crate) source: Option<Source>,
    pub(crate) action: &'static str,
    pub(crate) refused: bool,
    pub(crate) detail: Option<String>,
    pub(crate) revision: Option<u64>,
}

/// Why the audit cannot be read, or is not what was written.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// It cannot be read.
    #[error("the audit in `{}` cannot be read", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is not as it was written, or one before it is missing.
    #[error("line {line} of `{}` does not follow the one before it: {reason}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl AuditError {
    /// What to do.
    pub fn help(&self) -> String {
        match self {
            Self::Read { path, .. } => format!("see who may read it: ls -ld {}", path.display()),
            Self::Broken { path, .. } => format!(
                "somebody or a bad disk has changed it; compare `{}` with a backup",
                path.display()
            ),
        }
    }
}

/// How much of the audit is as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many entries there are.
    pub entries: u64,
    /// The digest of the last one: whoever writes it down can tell later that none is missing.
    pub last: Digest,
}

/// The audit of a balancer.
pub struct Audit {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    clock: Clock,
    end: Mutex<End>,
}

/// Where the next line goes.
struct End {
    /// The number of the file, and how much of it is whole.
    file: u64,
    length: u64,
    sequence: u64,
    last: Digest,
    /// Open, unless the last write failed.
    open: Option<Box<dyn Written>>,
}

impl Audit {
    /// Opens the audit in a state directory. One that is broken is told and goes on: the break stays
    /// to be seen.
    pub fn open(state_dir: &Path, clock: Clock) -> Result<Self, AuditError> {
        Self::open_on(Arc::new(crate::disk::Machine), state_dir, clock)
    }

    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        state_dir: &Path,
        clock: Clock,
    ) -> Result<Self, AuditError> {
        let directory = state_dir.join(DIRECTORY);
        disk.make_dir(&directory)
            .map_err(|source| AuditError::Read {
                path: directory.clone(),
                source,
            })?;
        let audit = Self {
            disk,
            directory,
            clock,
            end: Mutex::new(End {
                file: 1,
                length: 0,
                sequence: 0,
                last: Digest::of(b""),
                open: None,
            }),
        };
        if let Err(error) = audit.verify() {
            tracing::error!(%error, help = error.help(), "the audit is not as it was written");
        }
        let torn = audit.find_end()?;
        if torn > 0 {
            let detail = format!("{torn} bytes of a line that was never whole were taken away");
            audit.add(&[NewEntry {
                author: "lbctl".to_owned(),
                action: "audit_repair",
                detail: Some(detail),
                ..NewEntry::default()
            }]);
        }
        Ok(audit)
    }

    /// Looks where the last whole line ends, and how many bytes follow it.
    fn find_end(&self) -> Result<u64, AuditError> {
        let mut end = self.lock();
        let mut torn = 0;
        for file in self.files()? {
            let bytes = self.read(file)?;
            let whole = bytes
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |at| at + 1);
            end.file = file;
            end.length = whole as u64;
            torn = (bytes.len() - whole) as u64;
            if let Some(line) = lines(&bytes[..whole]).last() {
                end.last = Digest::of(line);
                let entry: Option<AuditEntry> = serde_json::from_slice(line).ok();
                end.sequence = entry.map_or(end.sequence + 1, |entry| entry.sequence);
            }
        }
        Ok(torn)
    }

    /// Adds entries durably. What cannot be written is told in the log: the audit holds up nothing
    /// that was done already.
    pub(crate) fn add(&self, entries: &[NewEntry]) {
        self.write(entries, true);
    }

    /// Adds something that was refused. Nobody waits for the disk: whoever is refused often would
    /// keep it busy.
    pub(crate) fn add_refusal(&self, author: &str, action: &'static str, detail: &str) {
        let entry = NewEntry {
            author: author.to_owned(),
            action,
            refused: true,
            detail: Some(detail.to_owned()),
            ..NewEntry::default()
        };
        self.write(&[entry], false);
    }

    fn write(&self, entries: &[NewEntry], durably: bool) {
        let mut end = self.lock();
        let mut text = Vec::new();
        let (mut sequence, mut last) = (end.sequence, end.last);
        for new in entries {
            sequence += 1;
            let entry = AuditEntry {
                sequence,
                at: (self.clock)(),
                author: short(&new.author),
                source: new.source,
                action: new.action.to_owned(),
                refused: new.refused,
                detail: new.detail.as_deref().map(short),
                revision: new.revision,
                previous: last,
            };
            // Nothing in it can fail.
            let line = serde_json::to_vec(&entry).unwrap_or_default();
            last = Digest::of(&line);
            text.extend(line);
            text.push(b'\n');
        }
        match self.append(&mut end, &text, durably) {
            Ok(()) => {
                end.length += text.len() as u64;
                end.sequence = sequence;
                end.last = last;
            }
            Err(error) => {
                // What was written of it is cut off before the next line.
                end.open = None;
                let path = self.path(end.file);
                let path = path.display();
                let count = entries.len();
                tracing::error!(%path, %error, count, "the audit cannot be written");
            }
        }
    }

    fn append(&self, end: &mut End, text: &[u8], durably: bool) -> io::Result<()> {
        if end.length > 0 && end.length + text.len() as u64 > FILE_BYTES_MAX {
            end.file += 1;
            end.length = 0;
            end.open = None;
        }
        if end.open.is_none() {
            end.open = Some(self.disk.append(&self.path(end.file), end.length)?);
            self.disk.sync_dir(&self.directory)?;
            self.forget();
        }
        let Some(file) = &mut end.open else {
            return Ok(());
        };
        file.write(text)?;
        if durably { file.sync() } else { Ok(()) }
    }

    /// Takes the oldest files away, when there are too many.
    fn forget(&self) {
        let files = self.files().unwrap_or_default();
        for file in files.iter().take(files.len().saturating_sub(FILES_MAX)) {
            let path = self.path(*file);
            if let Err(error) = self.disk.remove(&path) {
                let path = path.display();
                tracing::warn!(%path, %error, "an old file of the audit cannot be taken away");
            }
        }
    }

    /// Whether every line is as it was written, and follows the one before it.
    pub fn verify(&self) -> Result<Verified, AuditError> {
        // Nothing is written meanwhile.
        let _end = self.lock();
        let mut last: Option<(Digest, u64)> = None;
        let mut entries = 0;
        for file in self.files()? {
            let bytes = self.read(file)?;
            // What is not a whole line was never promised to anybody.
            let whole = bytes
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |at| at + 1);
            for (at, line) in lines(&bytes[..whole]).enumerate() {
                let broken = |reason: String| AuditError::Broken {
                    path: self.path(file),
                    line: at + 1,
                    reason,
                };
                let entry: AuditEntry = serde_json::from_slice(line)
                    .map_err(|_| broken("it is no entry".to_owned()))?;
                if let Some((digest, sequence)) = last {
                    if entry.sequence != sequence + 1 {
                        let (found, expected) = (entry.sequence, sequence + 1);
                        let reason = format!("it is entry {found}, and {expected} should be here");
                        return Err(broken(reason));
                    }
                    if entry.previous != digest {
                        return Err(broken("the one before it was changed".to_owned()));
                    }
                } else if entry.sequence == 1 && entry.previous != Digest::of(b"") {
                    return Err(broken("it is not the first".to_owned()));
                }
                last = Some((Digest::of(line), entry.sequence));
                entries += 1;
            }
        }
        let last = last.map_or(Digest::of(b""), |(digest, _)| digest);
        Ok(Verified { entries, last })
    }

    /// The newest entries, the newest first; lines that are none are left out.
    pub fn entries(&self, count_max: usize) -> Result<Vec<AuditEntry>, AuditError> {
        let _end = self.lock();
        let mut found = Vec::new();
        for file in self.files()?.into_iter().rev() {
            let bytes = self.read(file)?;
            let all: Vec<_> = lines(&bytes).collect();
            let entries = all
                .iter()
                .rev()
                .filter_map(|line| serde_json::from_slice(line).ok());
            found.extend(entries.take(count_max - found.len()));
            if found.len() == count_max {
                break;
            }
        }
        Ok(found)
    }

    fn files(&self) -> Result<Vec<u64>, AuditError> {
        let names = self
            .disk
            .list(&self.directory)
            .map_err(|source| AuditError::Read {
                path: self.directory.clone(),
                source,
            })?;
        let number = |name: &std::ffi::OsString| name.to_str()?.strip_suffix(ENDING)?.parse().ok();
        let mut files: Vec<u64> = names.iter().filter_map(number).collect();
        files.sort_unstable();
        Ok(files)
    }

    fn read(&self, file: u64) -> Result<Vec<u8>, AuditError> {
        let path = self.path(file);
        let bytes = self.disk.read(&path, FILE_BYTES_MAX * 2);
        bytes.map_err(|source| AuditError::Read { path, source })
    }

    fn path(&self, file: u64) -> PathBuf {
        self.directory.join(format!("{file:010}{ENDING}"))
    }

    fn lock(&self) -> MutexGuard<'_, End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
}

fn short(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests;
