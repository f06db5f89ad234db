use std::fs;

use super::*;

fn entry(detail: &str) -> NewEntry {
    NewEntry {
        author: "anna".to_owned(),
        action: "apply",
        detail: Some(detail.to_owned()),
        ..NewEntry::default()
    }
}

fn open(folder: &Path) -> Audit {
    Audit::open(folder, crate::now).unwrap()
}

fn first_file(folder: &Path) -> PathBuf {
    folder.join("audit/0000000001.jsonl")
}

fn with_five() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let audit = open(folder.path());
    for number in 0..4 {
        audit.add(&[entry(&format!("change {number}"))]);
    }
    audit.add_refusal("bob", "apply", "stale");
    folder
}

#[test]
fn entries_are_chained_over_starts_and_read_the_newest_first() {
    let folder = with_five();
    let audit = open(folder.path());
    audit.add(&[entry("change 4"), entry("change 5")]);
    assert_eq!(audit.verify().unwrap().entries, 7);
    let newest = audit.entries(3).unwrap();
    let details: Vec<_> = newest
        .iter()
        .map(|e| e.detail.as_deref().unwrap())
        .collect();
    assert_eq!(details, ["change 5", "change 4", "stale"]);
    assert!(newest[2].refused);
    assert_eq!(newest[0].sequence, 7);
    assert_eq!(audit.entries(100).unwrap().len(), 7);
}

#[test]
fn a_line_that_was_changed_taken_away_or_put_in_is_found_and_named() {
    type Harm = fn(&mut Vec<String>);
    let cases: &[(usize, Harm)] = &[
        (3, |lines| lines[1] = lines[1].replace("anna", "eve")),
        (2, |lines| drop(lines.remove(1))),
        (3, |lines| lines.insert(1, lines[1].clone())),
        (2, |lines| lines.swap(1, 2)),
        (3, |lines| lines[2] = "{}".to_owned()),
    ];
    for (line, harm) in cases {
        let folder = with_five();
        let path = first_file(folder.path());
        let text = fs::read_to_string(&path).unwrap();
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        harm(&mut lines);
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        // It goes on, and the break stays to be seen.
        let audit = open(folder.path());
        audit.add(&[entry("later")]);
        let error = audit.verify().unwrap_err();
        let AuditError::Broken { line: found, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(found, *line, "{error}");
    }
}

#[test]
fn half_a_line_of_a_process_that_was_killed_is_cut_off_and_that_is_noted() {
    let folder = with_five();
    let path = first_file(folder.path());
    let text = fs::read(&path).unwrap();
    fs::write(&path, &text[..text.len() - 10]).unwrap();
    let audit = open(folder.path());
    assert_eq!(audit.verify().unwrap().entries, 5);
    assert_eq!(audit.entries(1).unwrap()[0].action, "audit_repair");
}

#[test]
fn the_chain_goes_on_over_files_and_over_those_that_were_too_old_to_be_kept() {
    let folder = tempfile::tempdir().unwrap();
    let audit = open(folder.path());
    let long = entry(&"x".repeat(TEXT_CHARS_MAX));
    let group: Vec<_> = (0..1000).map(|_| long.clone()).collect();
    for _ in 0..4 * (FILES_MAX + 2) {
        audit.write(&group, false);
    }
    assert_eq!(audit.files().unwrap().len(), FILES_MAX);
    let verified = audit.verify().unwrap();
    assert!(verified.entries > 10_000, "{verified:?}");
    drop(audit);
    let audit = open(folder.path());
    audit.add(&[entry("after all")]);
    assert_eq!(audit.verify().unwrap().entries, verified.entries + 1);
}
