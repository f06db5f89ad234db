//! Every step fails, and the power is cut at every step: a disk in memory that knows what has
//! reached it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Mutex;

use super::*;
use crate::disk::{Disk, Written};

type Bytes = Arc<Mutex<Content>>;

/// A file: what was written, and how much of it would survive.
#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    safe: usize,
}

/// What happens at the step whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// It fails, and those after it work.
    Once(io::ErrorKind),
    /// It fails, and so do all that would write anything after it.
    Full,
    /// Nothing works any more.
    Cut,
}

#[derive(Debug, Default)]
struct State {
    /// Names as programs see them, and as they would survive.
    names: BTreeMap<PathBuf, Bytes>,
    safe_names: BTreeMap<PathBuf, Bytes>,
    steps: usize,
    fault: Option<(usize, Fault)>,
}

#[derive(Clone, Debug, Default)]
struct Memory(Arc<Mutex<State>>);

impl Memory {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn fail_at(&self, step: usize, fault: Fault) {
        let mut state = self.lock();
        state.fault = Some((state.steps + step, fault));
    }

    fn works(&self) {
        self.lock().fault = None;
    }

    /// One step of writing: whether it works.
    fn step(&self, grows: bool) -> io::Result<()> {
        let mut state = self.lock();
        let now = state.steps;
        state.steps += 1;
        match state.fault {
            Some((at, Fault::Once(kind))) if now == at => Err(kind.into()),
            Some((at, Fault::Full)) if now >= at && grows => Err(io::ErrorKind::StorageFull.into()),
            Some((at, Fault::Cut)) if now >= at => Err(io::Error::other("the power is cut")),
            _ => Ok(()),
        }
    }

    /// The disk after the power came back. What nobody waited for is there or not: `lucky` names
    /// and bytes have reached it.
    fn after_power_cut(&self, lucky: bool) -> Self {
        let state = self.lock();
        let names = if lucky {
            &state.names
        } else {
            &state.safe_names
        };
        let survive = |(path, content): (&PathBuf, &Bytes)| {
            let content = content.lock().unwrap();
            // Even with luck, only a half of what nobody waited for.
            let rest = content.bytes.len() - content.safe;
            let length = content.safe + if lucky { rest / 2 } else { 0 };
            let bytes = content.bytes[..length].to_vec();
            let content = Content {
                safe: length,
                bytes,
            };
            (path.clone(), Arc::new(Mutex::new(content)))
        };
        let names: BTreeMap<_, _> = names.iter().map(survive).collect();
        let state = State {
            safe_names: names.clone(),
            names,
            ..State::default()
        };
        Self(Arc::new(Mutex::new(state)))
    }

    fn open(&self) -> Result<Store, StoreError> {
        Store::open(
            Arc::new(self.clone()),
            "/state/revisions".into(),
            Retention::default(),
        )
    }
}

struct Open {
    disk: Memory,
    content: Bytes,
}

impl Written for Open {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let works = self.disk.step(true);
        let mut content = self.content.lock().unwrap();
        // A write that fails has written something.
        let written = if works.is_ok() {
            bytes.len()
        } else {
            bytes.len() / 2
        };
        content.bytes.extend_from_slice(&bytes[..written]);
        works
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.step(false)?;
        let mut content = self.content.lock().unwrap();
        content.safe = content.bytes.len();
        Ok(())
    }
}

impl Disk for Memory {
    fn make_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let state = self.lock();
        let inside = state
            .names
            .keys()
            .filter(|name| name.parent() == Some(path));
        Ok(inside
            .map(|name| name.file_name().unwrap().to_owned())
            .collect())
    }

    fn read_start(&self, path: &Path, bytes_max: u64) -> io::Result<(Vec<u8>, u64)> {
        let state = self.lock();
        let content = state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        let content = content.lock().unwrap();
        let length = content.bytes.len();
        let start = length.min(usize::try_from(bytes_max).unwrap());
        Ok((content.bytes[..start].to_vec(), length as u64))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Written>> {
        self.step(true)?;
        let content = Bytes::default();
        self.lock()
            .names
            .insert(path.to_owned(), Arc::clone(&content));
        let disk = self.clone();
        Ok(Box::new(Open { disk, content }))
    }

    fn append(&self, _: &Path, _: u64) -> io::Result<Box<dyn Written>> {
        unreachable!("revisions are never appended to")
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(true)?;
        let mut state = self.lock();
        let content = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step(false)?;
        let removed = self.lock().names.remove(path);
        removed
            .map(drop)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        self.step(false)?;
        let mut state = self.lock();
        state.safe_names = state.names.clone();
        Ok(())
    }
}

/// More steps than storing two revisions takes.
const STEPS: usize = 24;

fn with_two() -> (Memory, Store) {
    let disk = Memory::default();
    let store = disk.open().unwrap();
    store.append(&[revision(1, None)]).unwrap();
    store.append(&[revision(2, None)]).unwrap();
    (disk, store)
}

fn newest(store: &Store) -> u64 {
    let (_, newest) = store.bounds().unwrap();
    let (record, config) = store.document(newest).unwrap().unwrap();
    assert_eq!(record.number(), newest);
    assert_eq!(connections(&config), 1000 + newest);
    newest
}

#[test]
fn power_that_is_cut_at_any_step_leaves_the_old_or_the_new_revision() {
    for step in 0..STEPS {
        for lucky in [false, true] {
            let (disk, store) = with_two();
            disk.fail_at(step, Fault::Cut);
            let stored = store.append(&[revision(3, None), revision(4, Some(9))]);
            let after = disk.after_power_cut(lucky);
            let store = after.open().unwrap();
            assert!(
                store.damaged().is_empty(),
                "step {step}: {:?}",
                store.damaged()
            );
            let newest = newest(&store);
            match stored {
                Ok(()) => assert_eq!(newest, 4, "step {step}: it was promised"),
                Err(_) => assert!((2..=4).contains(&newest), "step {step}: {newest}"),
            }
        }
    }
}

#[test]
fn a_step_that_fails_refuses_the_change_and_leaves_nothing_of_it() {
    let faults = [
        Fault::Once(io::ErrorKind::Other),
        Fault::Once(io::ErrorKind::StorageFull),
        Fault::Full,
    ];
    for step in 0..STEPS {
        for fault in faults {
            let (disk, store) = with_two();
            disk.fail_at(step, fault);
            let stored = store.append(&[revision(3, None), revision(4, None)]);
            disk.works();
            if stored.is_ok() {
                assert_eq!(newest(&store), 4, "step {step} {fault:?}");
                continue;
            }
            let error = stored.unwrap_err();
            if fault == Fault::Full {
                assert!(
                    matches!(error, StoreError::Full { number: 3, .. }),
                    "{error:?}"
                );
                assert!(error.help().unwrap().contains("df -h"), "{error}");
            }
            assert_eq!(
                newest(&store),
                2,
                "step {step} {fault:?}: what is in force stays"
            );
            let files = disk.list(Path::new("/state/revisions")).unwrap();
            assert_eq!(files.len(), 2, "step {step} {fault:?}: {files:?}");
            // A smaller group that follows must not bring back a part of the larger one.
            store.append(&[revision(3, None)]).unwrap();
            for lucky in [false, true] {
                assert_eq!(
                    newest(&disk.after_power_cut(lucky).open().unwrap()),
                    3,
                    "step {step}"
                );
            }
        }
    }
}

#[test]
fn what_cannot_be_taken_away_stops_changes_until_it_can_and_is_named() {
    let (disk, store) = with_two();
    // The directory cannot be made durable, and then nothing works for a while.
    let steps = {
        let before = disk.lock().steps;
        store.append(&[revision(3, None)]).unwrap();
        disk.lock().steps - before
    };
    disk.fail_at(steps - 1, Fault::Cut);
    store.append(&[revision(4, None)]).unwrap_err();
    let error = store.append(&[revision(4, None)]).unwrap_err();
    assert!(matches!(error, StoreError::Left { .. }), "{error:?}");
    assert!(
        error
            .help()
            .unwrap()
            .starts_with("rm /state/revisions/0000000004"),
        "{error}"
    );
    disk.works();
    store.append(&[revision(4, None)]).unwrap();
    assert_eq!(newest(&store), 4);
}

#[test]
fn a_confirmation_is_there_or_not_whenever_the_power_is_cut_and_can_be_repeated() {
    for step in 0..4 {
        for lucky in [false, true] {
            let (disk, store) = with_two();
            store.append(&[revision(3, Some(9))]).unwrap();
            let record = store.record(3).unwrap();
            disk.fail_at(step, Fault::Cut);
            let confirmed = store.confirm(&record);
            let after = disk.after_power_cut(lucky).open().unwrap();
            assert_eq!(newest(&after), 3);
            if confirmed.is_ok() {
                assert!(!after.record(3).unwrap().is_awaiting(), "step {step}");
            } else {
                disk.works();
                assert!(
                    !store.confirm(&record).unwrap().is_awaiting(),
                    "step {step}"
                );
            }
        }
    }
}
