//! A backup of a balancer: one file of text that says itself whether it is whole.
//!
//! Its first line is `lbctl-backup` and the number of its form, the second the SHA-256 of everything
//! else, and each that follows is a record as JSON.

use std::fmt::Write;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::api::{AccessCopy, Revision, Timestamp};

/// What the first line begins with, and the form that this program writes.
const MAGIC: &str = "lbctl-backup";
const FORM: u64 = 1;

/// What the second line begins with, and the length of what follows there.
const SUM: &str = "sha256 ";
const DIGITS: usize = 64;

/// What a balancer remembered.
#[derive(Clone, Debug, PartialEq)]
pub struct Backup {
    /// Where it comes from.
    pub about: About,
    /// Revisions, the newest first; the one that was in force is among them.
    pub revisions: Vec<KeptRevision>,
    /// Users and tokens, of which digests are kept alone.
    pub access: AccessCopy,
    /// Entries of the audit, the newest first.
    pub audit: Vec<Value>,
}

/// Where a backup comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// The machine of the balancer.
    pub balancer: String,
    /// The version of the program.
    pub version: String,
    /// When it was made.
    pub made_at: Timestamp,
    /// The revision that was in force.
    pub revision: u64,
}

/// A revision with its document, as it was written by the version that made it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptRevision {
    /// How it came to be.
    pub revision: Revision,
    /// The document.
    pub document: Value,
}

/// One line of a backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// Where it comes from; the first.
    About(About),
    /// A revision.
    Revision(Box<KeptRevision>),
    /// Users and tokens.
    Access(AccessCopy),
    /// An entry of the audit.
    Audit(Value),
}

/// Why a file is not taken for a backup.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// It is something else.
    #[error("it is no backup of lbctl")]
    Foreign,
    /// A newer program wrote it.
    #[error("it was made by a newer lbctl: its form is {0}, and this one reads {FORM}")]
    Newer(u64),
    /// It is not as it was written.
    #[error("it is damaged: {0}")]
    Damaged(String),
}

impl BackupError {
    /// What to do.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Foreign => "name a file that `lbctl backup FILE` has written",
            Self::Newer(_) => {
                "use an lbctl as new as the one that made it, here and on the balancer"
            }
            Self::Damaged(_) => "take another copy of it; nothing of this one can be relied on",
        }
    }
}

/// Writes a backup.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Begins a backup.
    pub fn new(about: &About) -> Self {
        let sum = "0".repeat(DIGITS);
        let mut writer = Self {
            bytes: format!("{MAGIC} {FORM}\n{SUM}{sum}\n").into_bytes(),
        };
        writer.add(&Record::About(about.clone()));
        writer
    }

    /// Adds a record.
    pub fn add(&mut self, record: &Record) {
        // Keys are texts, so that nothing can fail.
        let line = serde_json::to_vec(record).unwrap_or_default();
        self.bytes.extend(line);
        self.bytes.push(b'\n');
    }

    /// Adds a record unless the backup would get larger than this.
    pub fn add_within(&mut self, record: &Record, bytes_max: usize) -> bool {
        let before = self.bytes.len();
        self.add(record);
        let fits = self.bytes.len() <= bytes_max;
        if !fits {
            self.bytes.truncate(before);
        }
        fits
    }

    /// The whole file.
    pub fn finish(self) -> Vec<u8> {
        let mut bytes = self.bytes;
        let first = format!("{MAGIC} {FORM}\n").len();
        let body = first + SUM.len() + DIGITS + 1;
        let sum = sum(&bytes[..first], &bytes[body..]);
        bytes[first + SUM.len()..body - 1].copy_from_slice(sum.as_bytes());
        bytes
    }
}

/// Reads a backup: all of it is as it was written, or it is refused.
///
/// # Errors
/// Why it is refused.
pub fn read(bytes: &[u8]) -> Result<Backup, BackupError> {
    let damaged = |what: &str| BackupError::Damaged(what.to_owned());
    let (first, rest) = line(bytes).ok_or(BackupError::Foreign)?;
    let form = std::str::from_utf8(first).ok();
    let form = form.and_then(|text| text.strip_prefix(MAGIC)?.strip_prefix(' '));
    let form: u64 = match form.map(str::parse) {
        None => return Err(BackupError::Foreign),
        Some(Ok(form)) if form > FORM => return Err(BackupError::Newer(form)),
        Some(Ok(FORM)) => FORM,
        Some(Ok(_) | Err(_)) => return Err(damaged("its first line names no form")),
    };
    let (second, body) = line(rest).ok_or_else(|| damaged("it breaks off"))?;
    let found = second.strip_prefix(SUM.as_bytes());
    let first = format!("{MAGIC} {form}\n");
    if found != Some(sum(first.as_bytes(), body).as_bytes()) {
        return Err(damaged(
            "its content does not have the SHA-256 in its second line",
        ));
    }
    let mut records = body.split_inclusive(|byte| *byte == b'\n').map(|line| {
        serde_json::from_slice(line).map_err(|error| BackupError::Damaged(error.to_string()))
    });
    let Some(Record::About(about)) = records.next().transpose()? else {
        return Err(damaged("it does not say where it comes from"));
    };
    let mut backup = Backup {
        about,
        revisions: Vec::new(),
        access: AccessCopy::default(),
        audit: Vec::new(),
    };
    for record in records {
        match record? {
            Record::About(_) => return Err(damaged("it says twice where it comes from")),
            Record::Revision(revision) => backup.revisions.push(*revision),
            Record::Access(access) => backup.access = access,
            Record::Audit(entry) => backup.audit.push(entry),
        }
    }
    if backup.document().is_none() {
        return Err(damaged("the document that was in force is not in it"));
    }
    Ok(backup)
}

impl Backup {
    /// The document that was in force.
    pub fn document(&self) -> Option<&Value> {
        let mut revisions = self.revisions.iter();
        let found = revisions.find(|kept| kept.revision.number == self.about.revision);
        found.map(|kept| &kept.document)
    }
}

fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

fn sum(first: &[u8], body: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(first);
    hash.update(body);
    let mut text = String::with_capacity(DIGITS);
    for byte in hash.finalize() {
        write!(text, "{byte:02x}").expect("a String takes every write");
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::api::Source;

    fn backup() -> Vec<u8> {
        let at = Timestamp::from_unix_millis(1_700_000_000_000);
        let mut writer = Writer::new(&About {
            balancer: "lb1".to_owned(),
            version: "0.1.0".to_owned(),
            made_at: at,
            revision: 7,
        });
        for number in [7, 6] {
            writer.add(&Record::Revision(Box::new(KeptRevision {
                revision: Revision {
                    number,
                    parent: Some(number - 1),
                    made_at: at,
                    author: "anna".to_owned(),
                    source: Source::Cli,
                    comment: None,
                    summary: "+ pools.web".to_owned(),
                    confirm_until: None,
                },
                document: json!({ "limits": { "connections_max": number } }),
            })));
        }
        writer.add(&Record::Access(AccessCopy::default()));
        writer.add(&Record::Audit(json!({ "sequence": 1 })));
        writer.finish()
    }

    #[test]
    fn what_was_written_is_read() {
        let read = read(&backup()).unwrap();
        assert_eq!(read.about.balancer, "lb1");
        assert_eq!(read.revisions.len(), 2);
        assert_eq!(read.document().unwrap()["limits"]["connections_max"], 7);
        assert_eq!(read.audit.len(), 1);
    }

    #[test]
    fn what_is_something_else_or_newer_is_told_apart_from_what_is_damaged() {
        for foreign in [
            "",
            "\n",
            "[pools.web]\n",
            "lbctl-backupp 1\n",
            "PK\u{3}\u{4}",
        ] {
            assert_eq!(
                read(foreign.as_bytes()),
                Err(BackupError::Foreign),
                "{foreign}"
            );
        }
        let text = String::from_utf8(backup()).unwrap();
        let newer = text.replacen("lbctl-backup 1", "lbctl-backup 2", 1);
        assert_eq!(read(newer.as_bytes()), Err(BackupError::Newer(2)));
        let older = text.replacen("lbctl-backup 1", "lbctl-backup 01", 1);
        assert_eq!(
            read(older.as_bytes()).map(|_| ()),
            Ok(()),
            "a leading zero says the same"
        );
    }

    proptest! {
        #[test]
        fn no_byte_can_be_changed_and_no_end_cut_off(at in 0..10_000_usize, bits in 1..=255_u8) {
            let mut bytes = backup();
            let at = at % bytes.len();
            bytes[at] ^= bits;
            prop_assert!(read(&bytes).is_err(), "byte {}", at);
            let whole = backup();
            prop_assert!(read(&whole[..at]).is_err(), "cut at {}", at);
        }

        #[test]
        fn bytes_of_any_kind_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(read(&bytes));
            let headed = [b"lbctl-backup 1\nsha256 ", &bytes[..]].concat();
            prop_assert!(read(&headed).is_err());
        }
    }
}
