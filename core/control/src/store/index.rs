//! What is known of the files in the directory, without reading them again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::{Damage, StoreError, file};
use crate::RevisionRecord;
use crate::disk::Disk;

/// What is known of the files.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) good: BTreeMap<u64, Entry>,
    pub(super) damaged: BTreeMap<u64, (PathBuf, Damage)>,
    /// Those of the good ones whose documents nobody has looked at since the start.
    pub(super) unread: BTreeSet<u64>,
    /// What could not be taken away when it should.
    pub(super) left: Vec<PathBuf>,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) record: Arc<RevisionRecord>,
    pub(super) path: PathBuf,
}

impl Index {
    pub(super) fn add(&mut self, disk: &dyn Disk, number: u64, path: PathBuf, ending: Ending) {
        let start = disk.read_start(&path, file::HEAD_BYTES_MAX as u64);
        let start = start.map_err(|error| Damage::Unreadable(error.to_string()));
        let read = start.and_then(|(bytes, length)| file::read_start(&bytes, length, number));
        // `0000000007.revision` comes after `0000000007.awaiting`: it was confirmed.
        match read {
            Ok(mut record) => {
                if ending == Ending::Stored {
                    record = without_deadline(&record);
                }
                let record = Arc::new(record);
                self.damaged.remove(&number);
                self.good.insert(number, Entry { record, path });
                self.unread.insert(number);
            }
            Err(damage) if !self.good.contains_key(&number) => {
                self.damaged.insert(number, (path, damage));
            }
            Err(_) => {}
        }
    }

    /// Nobody waits for an answer to a revision that others have followed. Its file keeps its name:
    /// should those turn out to be damaged, it was still never confirmed.
    pub(super) fn settle(&mut self) {
        for entry in self.good.values_mut().rev().skip(1) {
            if entry.record.is_awaiting() {
                entry.record = Arc::new(without_deadline(&entry.record));
            }
        }
    }

    pub(super) fn damage(&self, number: u64) -> Option<StoreError> {
        let (path, damage) = self.damaged.get(&number)?.clone();
        Some(StoreError::Damaged {
            number,
            path,
            damage,
        })
    }
}

/// How the name of a file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It is a revision.
    Stored,
    /// It is one that nobody has confirmed.
    Awaiting,
    /// It is not whole.
    Writing,
}

impl Ending {
    const ALL: [Self; 3] = [Self::Stored, Self::Awaiting, Self::Writing];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "revision",
            Self::Awaiting => "awaiting",
            Self::Writing => "writing",
        }
    }
}

pub(super) fn ending(record: &RevisionRecord) -> Ending {
    if record.is_awaiting() {
        Ending::Awaiting
    } else {
        Ending::Stored
    }
}

pub(super) fn parse_name(name: &str) -> Option<(u64, Ending)> {
    let (number, ending) = name.split_once('.')?;
    let digits = number.len() >= 10 && number.bytes().all(|byte| byte.is_ascii_digit());
    let ending = Ending::ALL
        .into_iter()
        .find(|known| known.as_str() == ending)?;
    let number = number.parse().ok().filter(|number| digits && *number > 0)?;
    Some((number, ending))
}

pub(super) fn without_deadline(record: &RevisionRecord) -> RevisionRecord {
    let mut record = record.clone();
    record.revision.confirm_until = None;
    record
}
