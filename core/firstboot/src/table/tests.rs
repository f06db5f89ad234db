use std::os::unix::fs::FileExt;
use std::process::Command;

use super::*;

const GIB: u64 = (1 << 30) / SECTOR;

fn disk(pieces: &[Piece], sectors: u64) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(sectors * SECTOR).unwrap();
    write(file.as_file(), pieces).unwrap();
    file
}

/// The ends of a disk, as they are looked at.
fn ends(file: &tempfile::NamedTempFile, sectors: u64) -> (Vec<u8>, Vec<u8>) {
    let read = |at: u64| {
        let mut bytes = vec![0; 1 << 20];
        file.as_file().read_exact_at(&mut bytes, at).unwrap();
        bytes
    };
    (read(0), read((sectors * SECTOR) - (1 << 20)))
}

#[test]
fn what_was_written_is_read_again_and_grows_with_the_disk() {
    let table = Table::of_disk(2 * GIB).unwrap();
    let file = disk(&table.pieces(2 * GIB, &[0x90; 440]), 2 * GIB);
    let (head, tail) = ends(&file, 2 * GIB);
    assert_eq!(Table::of_ends(&head, &tail), Some(Some(table)));
    let grown = table.grown(3 * GIB);
    assert_eq!(grown.boot, table.boot);
    assert_eq!(grown.state.bytes(), table.state.bytes() + (1 << 30));
    // A smaller disk takes nothing away.
    assert_eq!(table.grown(GIB), table);
    assert_eq!(Table::of_disk(Table::bytes_min() / SECTOR - MIB), None);
    assert!(Table::of_disk(Table::bytes_min() / SECTOR).is_some());
}

#[test]
fn a_table_that_is_not_whole_is_ours_from_its_header_on() {
    let table = Table::of_disk(2 * GIB).unwrap();
    let pieces = table.pieces(2 * GIB, &[]);
    let read = |pieces: &[Piece]| {
        let (head, tail) = ends(&disk(pieces, 2 * GIB), 2 * GIB);
        Table::of_ends(&head, &tail)
    };
    assert_eq!(read(&pieces[..0]), None);
    assert_eq!(read(&pieces[..1]), Some(None));
    assert_eq!(read(&pieces[..2]), Some(Some(table)));
    // The second table stands in for the first.
    assert_eq!(
        read(&[&pieces[..1], &pieces[2..4]].concat()),
        Some(Some(table))
    );
    let blank = vec![0xff; 64 << 10];
    assert_eq!(Table::of_ends(&blank, &blank), None);
    assert_eq!(Table::of_ends(&[], &[]), None);
}

#[test]
fn others_read_the_same() {
    let table = Table::of_disk(2 * GIB).unwrap();
    let file = disk(&table.pieces(2 * GIB, &[0; 440]), 2 * GIB);
    let told = Command::new("sfdisk")
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .args(["--verify", "--dump"])
        .arg(file.path())
        .output();
    let told = String::from_utf8(told.expect("sfdisk of Debian's fdisk").stdout).unwrap();
    for words in [
        "label: gpt",
        "label-id: 4C424354-4C00-4000-8000-000000000001",
        "start=        2048, size=      524288, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
        "name=\"lbctl-boot\", attrs=\"LegacyBIOSBootable\"",
        "start=      526336, size=     3665920, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4",
        "name=\"lbctl-state\"",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
}
