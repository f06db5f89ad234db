//! Revisions on disk: each a file of its own that is written once, numbered, and never changed.
//!
//! A revision is there as a whole or not at all, whenever the process is killed or the power is cut:
//! it is written beside, made durable, and only then given its name. One that waits to be confirmed
//! has another name, and gets its final one when it is confirmed.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use lb_model::{Format, ValidConfig};

use crate::RevisionRecord;
use crate::disk::Disk;

mod error;
mod file;
mod index;

pub use error::StoreError;
pub use file::Damage;
use index::{Ending, Entry, Index, ending, parse_name, without_deadline};

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 128 << 20;

/// How much history is kept. What is in force, what came before it and what waits to be confirmed
/// stays in any case.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// The most revisions.
    pub count_max: usize,
    /// The most bytes of all of them.
    pub bytes_max: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            count_max: 1000,
            bytes_max: 256 << 20,
        }
    }
}

/// The revisions of a balancer.
pub(crate) struct Store {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    index: RwLock<Index>,
    retention: Retention,
}

/// A revision that is about to be stored.
#[derive(Debug)]
pub(crate) struct NewRevision {
    pub(crate) record: Arc<RevisionRecord>,
    pub(crate) document: Vec<u8>,
}

impl Store {
    /// Opens the revisions in a directory, and tells those that cannot be used.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        directory: PathBuf,
        retention: Retention,
    ) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Directory {
            directory: directory.clone(),
            source,
        };
        disk.make_dir(&directory).map_err(failed)?;
        let mut index = Index::default();
        let mut names = disk.list(&directory).map_err(failed)?;
        names.sort_unstable();
        for name in names {
            let path = directory.join(&name);
            match parse_name(&name.to_string_lossy()) {
                Some((_, Ending::Writing)) => disk.remove(&path).map_err(failed)?,
                Some((number, ending)) => index.add(&*disk, number, path, ending),
                None => {
                    let path = path.display();
                    tracing::warn!(%path, "this is no revision, and is left alone");
                }
            }
        }
        let store = Self {
            disk,
            directory,
            index: RwLock::new(index),
            retention,
        };
        store.check_newest()?;
        Ok(store)
    }

    /// Reads the newest revision and what it came from; one that is damaged makes an older one the
    /// newest.
    fn check_newest(&self) -> Result<(), StoreError> {
        while let Some((_, newest)) = self.bounds() {
            let Ok(Some((record, _))) = self.document(newest) else {
                continue;
            };
            if let Some(parent) = record.revision.parent {
                // Damage is remembered.
                drop(self.document(parent));
            }
            break;
        }
        let mut index = self.write_index();
        index.settle();
        match (index.good.is_empty(), index.damaged.last_key_value()) {
            (true, Some((_, (_, damage)))) => Err(StoreError::NothingGood {
                directory: self.directory.clone(),
                count: index.damaged.len(),
                damage: damage.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Reads one revision that nobody has looked at since the start: damage is better found before
    /// it is needed. Whether there was one.
    pub(crate) fn check_another(&self) -> bool {
        let Some(number) = self.write_index().unread.pop_last() else {
            return false;
        };
        if let Err(error) = self.document(number) {
            tracing::error!(%error, help = error.help(), "a revision is damaged");
        }
        true
    }

    /// Whether a file with this name is a revision.
    pub(crate) fn is_revision(name: &OsStr) -> bool {
        let parsed = name.to_str().and_then(parse_name);
        parsed.is_some_and(|(_, ending)| ending != Ending::Writing)
    }

    /// The number of the next revision: one that no file has had, also none that is damaged.
    pub(crate) fn next_number(&self) -> u64 {
        let index = self.read_index();
        let good = index.good.last_key_value().map(|(number, _)| *number);
        let damaged = index.damaged.last_key_value().map(|(number, _)| *number);
        good.max(damaged).unwrap_or_default() + 1
    }

    /// What is known of a revision.
    pub(crate) fn record(&self, number: u64) -> Option<Arc<RevisionRecord>> {
        let index = self.read_index();
        Some(Arc::clone(&index.good.get(&number)?.record))
    }

    /// Revisions with lower numbers than this, the newest first.
    pub(crate) fn records(
        &self,
        before: Option<u64>,
        count_max: usize,
    ) -> Vec<Arc<RevisionRecord>> {
        let index = self.read_index();
        let below = index.good.range(..before.unwrap_or(u64::MAX)).rev();
        let records = below.map(|(_, entry)| Arc::clone(&entry.record));
        records.take(count_max).collect()
    }

    /// The revisions that cannot be used.
    pub(crate) fn damaged(&self) -> Vec<StoreError> {
        let index = self.read_index();
        let numbers = index.damaged.keys();
        numbers.filter_map(|number| index.damage(*number)).collect()
    }

    /// The lowest and the highest number that can be used.
    pub(crate) fn bounds(&self) -> Option<(u64, u64)> {
        let index = self.read_index();
        Some((
            *index.good.first_key_value()?.0,
            *index.good.last_key_value()?.0,
        ))
    }

    /// A revision with its document, read again from the disk; none if there is none.
    pub(crate) fn document(
        &self,
        number: u64,
    ) -> Result<Option<(Arc<RevisionRecord>, ValidConfig)>, StoreError> {
        let Entry { record, path } = {
            let index = self.read_index();
            if let Some(damaged) = index.damage(number) {
                return Err(damaged);
            }
            match index.good.get(&number) {
                Some(entry) => entry.clone(),
                None => return Ok(None),
            }
        };
        match read_document(&*self.disk, &path, number) {
            Ok(config) => {
                self.write_index().unread.remove(&number);
                Ok(Some((record, config)))
            }
            // It was too old to be kept, just now.
            Err(_) if self.record(number).is_none() => Ok(None),
            Err(damage) => {
                let mut index = self.write_index();
                index.good.remove(&number);
                index.unread.remove(&number);
                index.damaged.insert(number, (path.clone(), damage.clone()));
                Err(StoreError::Damaged {
                    number,
                    path,
                    damage,
                })
            }
        }
    }

    /// Stores revisions, in the order of their numbers: all of them or none.
    pub(crate) fn append(&self, revisions: &[NewRevision]) -> Result<(), StoreError> {
        let Some(first) = revisions.first() else {
            return Ok(());
        };
        self.take_away_what_is_left()?;
        if let Err(source) = self.write(revisions) {
            self.undo(revisions);
            let (number, directory) = (first.record.number(), self.directory.clone());
            let kind = source.kind();
            let no_room =
                [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded].contains(&kind);
            return Err(if no_room {
                StoreError::Full {
                    number,
                    directory,
                    source,
                }
            } else {
                StoreError::Write {
                    number,
                    directory,
                    source,
                }
            });
        }
        let mut index = self.write_index();
        for NewRevision { record, .. } in revisions {
            let (number, record) = (record.number(), Arc::clone(record));
            let path = self.path(number, ending(&record));
            index.good.insert(number, Entry { record, path });
        }
        index.settle();
        Ok(())
    }

    fn write(&self, revisions: &[NewRevision]) -> io::Result<()> {
        for NewRevision { record, document } in revisions {
            let mut file = self
                .disk
                .create(&self.path(record.number(), Ending::Writing))?;
            file.write(file::head(record).as_bytes())?;
            file.write(document)?;
            file.sync()?;
        }
        for NewRevision { record, .. } in revisions {
            let number = record.number();
            let from = self.path(number, Ending::Writing);
            self.disk
                .rename(&from, &self.path(number, ending(record)))?;
        }
        self.disk.sync_dir(&self.directory)
    }

    /// Takes away what an attempt has written: left there, a start would take it for what is in
    /// force.
    fn undo(&self, revisions: &[NewRevision]) {
        let mut left = Vec::new();
        // The last first: should the process end here, what is there is still a history.
        for NewRevision { record, .. } in revisions.iter().rev() {
            let number = record.number();
            for ending in [ending(record), Ending::Writing] {
                let path = self.path(number, ending);
                if remove(&*self.disk, &path).is_err() {
                    left.push(path);
                }
            }
        }
        if self.disk.sync_dir(&self.directory).is_err() {
            // Names that are gone may come back with a power cut.
            let records = revisions.iter().rev().map(|new| &new.record);
            left.extend(records.map(|record| self.path(record.number(), ending(record))));
        }
        self.write_index().left.extend(left);
    }

    fn take_away_what_is_left(&self) -> Result<(), StoreError> {
        let mut index = self.write_index();
        let Some(last) = index.left.last().cloned() else {
            return Ok(());
        };
        for path in &index.left {
            let path = path.clone();
            remove(&*self.disk, &path).map_err(|source| StoreError::Left { path, source })?;
        }
        let synced = self.disk.sync_dir(&self.directory);
        synced.map_err(|source| StoreError::Left { path: last, source })?;
        index.left.clear();
        Ok(())
    }

    /// A revision that waited to be confirmed stays. It is durable when this returns.
    pub(crate) fn confirm(
        &self,
        record: &RevisionRecord,
    ) -> Result<Arc<RevisionRecord>, StoreError> {
        let number = record.number();
        let (from, to) = (
            self.path(number, Ending::Awaiting),
            self.path(number, Ending::Stored),
        );
        let renamed = self.disk.rename(&from, &to).or_else(|error| {
            // An attempt that could not be made durable has renamed it already.
            let done = error.kind() == io::ErrorKind::NotFound
                && read_document(&*self.disk, &to, number).is_ok();
            if done { Ok(()) } else { Err(error) }
        });
        let durable = renamed.and_then(|()| self.disk.sync_dir(&self.directory));
        durable.map_err(|source| StoreError::Write {
            number,
            directory: self.directory.clone(),
            source,
        })?;
        let record = Arc::new(without_deadline(record));
        let entry = Entry {
            record: Arc::clone(&record),
            path: to,
        };
        self.write_index().good.insert(number, entry);
        Ok(record)
    }

    /// Forgets the oldest revisions, as far as there are more than are kept. What is in force, what it
    /// came from and what waits to be confirmed stays.
    pub(crate) fn forget(&self, current: &RevisionRecord) {
        let spared = [Some(current.number()), current.revision.parent];
        let mut index = self.write_index();
        let mut count = index.good.len();
        let mut bytes: u64 = index.good.values().map(|e| e.record.document_bytes).sum();
        let mut gone = Vec::new();
        for (number, Entry { record, path }) in &index.good {
            if count <= self.retention.count_max && bytes <= self.retention.bytes_max {
                break;
            }
            if spared.contains(&Some(*number)) || record.is_awaiting() {
                continue;
            }
            if let Err(error) = remove(&*self.disk, path) {
                let path = path.display();
                tracing::warn!(%path, %error, "an old revision cannot be taken away");
                break;
            }
            count -= 1;
            bytes -= record.document_bytes;
            gone.push(*number);
        }
        for number in gone {
            index.good.remove(&number);
            index.unread.remove(&number);
        }
    }

    fn path(&self, number: u64, ending: Ending) -> PathBuf {
        let ending = ending.as_str();
        self.directory.join(format!("{number:010}.{ending}"))
    }

    fn read_index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_index(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_document(disk: &dyn Disk, path: &Path, number: u64) -> Result<ValidConfig, Damage> {
    let bytes = disk.read(path, FILE_BYTES_MAX);
    let bytes = bytes.map_err(|error| Damage::Unreadable(error.to_string()))?;
    let document = file::document(&bytes, number)?;
    let text = std::str::from_utf8(document).map_err(|_| Damage::Header)?;
    lb_model::read(text, Format::Json).map_err(|problems| {
        let first = problems.first().map(ToString::to_string);
        Damage::Refused(first.unwrap_or_default())
    })
}

/// Takes a file away, if it is there.
fn remove(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests;
