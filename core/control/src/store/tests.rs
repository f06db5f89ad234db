use std::fs;
use std::sync::Arc;

use lb_model::api::{Revision, Source, Timestamp};

use super::*;
use crate::Digest;
use crate::disk::Machine;

mod killed;
mod power;

/// A revision whose document names its number.
pub(super) fn revision(number: u64, confirm_until: Option<u64>) -> NewRevision {
    let document = format!(r#"{{"limits":{{"connections_max":{}}}}}"#, 1000 + number).into_bytes();
    let record = RevisionRecord {
        revision: Revision {
            number,
            parent: (number > 1).then(|| number - 1),
            made_at: Timestamp::from_unix_millis(number),
            author: "anna".to_owned(),
            source: Source::Cli,
            comment: Some("line\nline \u{1f512}".to_owned()),
            summary: "~ limits".to_owned(),
            confirm_until: confirm_until.map(Timestamp::from_unix_millis),
        },
        digest: Digest::of(&document),
        document_bytes: document.len() as u64,
    };
    NewRevision {
        record: Arc::new(record),
        document,
    }
}

pub(super) fn connections(config: &ValidConfig) -> u64 {
    config.config().limits.connections_max.map_or(0, u64::from)
}

fn open(folder: &Path) -> Result<Store, StoreError> {
    Store::open(
        Arc::new(Machine),
        folder.join("revisions"),
        Retention::default(),
    )
}

/// A store with three revisions, and the path of the newest.
fn three() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    for number in 1..=3 {
        store.append(&[revision(number, None)]).unwrap();
    }
    let newest = folder.path().join("revisions/0000000003.revision");
    assert!(newest.exists());
    (folder, newest)
}

#[test]
fn what_was_stored_is_read_back_after_a_start() {
    let (folder, _) = three();
    let store = open(folder.path()).unwrap();
    assert_eq!(store.bounds(), Some((1, 3)));
    assert_eq!(store.next_number(), 4);
    for number in 1..=3 {
        let (record, config) = store.document(number).unwrap().unwrap();
        assert_eq!(*record, *revision(number, None).record);
        assert_eq!(connections(&config), 1000 + number);
    }
    assert!(store.document(4).unwrap().is_none());
    let numbers = |before| {
        store
            .records(before, 2)
            .iter()
            .map(|r| r.number())
            .collect::<Vec<_>>()
    };
    assert_eq!(numbers(None), [3, 2]);
    assert_eq!(numbers(Some(2)), [1]);
}

#[test]
fn every_kind_of_damage_is_named_and_the_last_good_revision_is_the_newest() {
    type Harm = fn(&Path, Vec<u8>);
    let cases: &[(&str, Harm)] = &[
        ("no revision of lbctl", |path, _| {
            fs::write(path, "[pools]\n").unwrap();
        }),
        ("no revision of lbctl", |path, _| {
            fs::write(path, "").unwrap();
        }),
        ("has format 2", |path, bytes| {
            let text = String::from_utf8(bytes).unwrap();
            fs::write(path, text.replacen("revision 1", "revision 2", 1)).unwrap();
        }),
        ("header is damaged", |path, mut bytes| {
            let at = bytes.windows(4).position(|w| w == b"anna").unwrap();
            bytes[at] ^= 1;
            fs::write(path, bytes).unwrap();
        }),
        ("header is damaged", |path, bytes| {
            fs::write(path, &bytes[..40]).unwrap();
        }),
        ("ends after", |path, bytes| {
            fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
        }),
        ("1 bytes follow", |path, mut bytes| {
            bytes.push(b'\n');
            fs::write(path, bytes).unwrap();
        }),
        ("document is damaged", |path, mut bytes| {
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(path, bytes).unwrap();
        }),
        ("revision 2 under another name", |path, _| {
            fs::copy(path.with_file_name("0000000002.revision"), path).unwrap();
        }),
        ("cannot be read", |path, _| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }),
        ("cannot be read", |path, _| {
            fs::remove_file(path).unwrap();
            std::os::unix::fs::symlink("/dev/zero", path).unwrap();
        }),
    ];
    for (words, harm) in cases {
        let (folder, newest) = three();
        harm(&newest, fs::read(&newest).unwrap());
        let store = open(folder.path()).unwrap();
        assert_eq!(store.bounds(), Some((1, 2)), "{words}");
        let error = store.document(3).unwrap_err();
        assert!(error.to_string().contains(words), "{words}: {error}");
        assert!(error.to_string().starts_with("revision 3 "), "{error}");
        assert!(error.help().unwrap().contains("lbctl rollback"), "{error}");
        assert_eq!(store.damaged().len(), 1);
        assert_eq!(store.next_number(), 4, "no number is given twice");
    }
}

#[test]
fn damage_that_comes_later_is_found_when_it_is_read_and_by_the_check() {
    let (folder, newest) = three();
    let store = open(folder.path()).unwrap();
    let oldest = newest.with_file_name("0000000001.revision");
    let mut bytes = fs::read(&oldest).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&oldest, bytes).unwrap();
    assert!(store.record(1).is_some());
    while store.check_another() {}
    assert!(store.record(1).is_none());
    assert!(store.document(1).is_err());
    assert_eq!(store.damaged().len(), 1);
}

#[test]
fn a_history_without_a_good_revision_is_refused_with_both_ways_back() {
    let (folder, newest) = three();
    for number in 1..=3 {
        fs::write(newest.with_file_name(format!("{number:010}.revision")), "x").unwrap();
    }
    let error = open(folder.path()).map(|_| ()).unwrap_err();
    assert!(
        error.to_string().contains("none of the 3 revisions"),
        "{error}"
    );
    let help = error.help().unwrap();
    assert!(help.contains("backup") && help.contains("mv "), "{help}");
}

#[test]
fn what_others_put_there_is_left_alone_and_what_was_never_whole_is_taken_away() {
    let (folder, newest) = three();
    let named = |name| newest.with_file_name(name);
    for name in [
        "notes.txt",
        "3.revision",
        "0000000000.revision",
        "0000000004.revision.bak",
    ] {
        fs::write(named(name), "x").unwrap();
    }
    fs::write(named("0000000004.writing"), "lbctl rev").unwrap();
    let store = open(folder.path()).unwrap();
    assert_eq!(store.next_number(), 4);
    assert!(store.damaged().is_empty());
    assert!(named("notes.txt").exists() && !named("0000000004.writing").exists());
}

#[test]
fn a_revision_waits_on_disk_until_it_is_confirmed_or_followed() {
    let (folder, newest) = three();
    let store = open(folder.path()).unwrap();
    store.append(&[revision(4, Some(9999))]).unwrap();
    drop(store);
    let store = open(folder.path()).unwrap();
    let record = store.record(4).unwrap();
    assert_eq!(
        record.revision.confirm_until,
        Some(Timestamp::from_unix_millis(9999))
    );
    let record = store.confirm(&record).unwrap();
    assert!(!record.is_awaiting());
    assert!(newest.with_file_name("0000000004.revision").exists());

    store
        .append(&[revision(5, Some(9999)), revision(6, None)])
        .unwrap();
    assert!(!store.record(5).unwrap().is_awaiting(), "6 has followed");
    drop(store);
    // Without 6, it is still true that nobody has confirmed 5.
    fs::write(newest.with_file_name("0000000006.revision"), "x").unwrap();
    assert!(
        open(folder.path())
            .unwrap()
            .record(5)
            .unwrap()
            .is_awaiting()
    );
}

#[test]
fn history_is_bounded_and_keeps_what_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let retention = Retention {
        count_max: 3,
        bytes_max: u64::MAX,
    };
    let open = |retention| {
        Store::open(
            Arc::new(Machine),
            folder.path().join("revisions"),
            retention,
        )
        .unwrap()
    };
    let store = open(retention);
    for number in 1..=10 {
        store.append(&[revision(number, None)]).unwrap();
        store.forget(&store.record(number).unwrap());
    }
    assert_eq!(store.bounds(), Some((8, 10)));
    drop(store);
    let store = open(Retention {
        count_max: 1,
        bytes_max: 1,
    });
    assert_eq!(store.bounds(), Some((8, 10)));
    store.append(&[revision(11, Some(1))]).unwrap();
    store.forget(&store.record(11).unwrap());
    assert_eq!(
        store.bounds(),
        Some((10, 11)),
        "what is in force, and what it came from"
    );
}
