use super::disk::{Holds, pick};
use super::*;
use crate::block::Disk;

#[test]
fn the_entry_of_the_cd_becomes_that_of_a_disk_and_nothing_else_changes() {
    let mut image = vec![7; 4096];
    let entry = b"# lbctl\ntitle lbctl\noptions quiet lbctl.installer\n";
    image[1024..1024 + entry.len()].copy_from_slice(entry);
    // The same word in a kernel is none of ours.
    image[2048..2048 + INSTALLER.len()].copy_from_slice(INSTALLER);
    let before = image.clone();
    for_disk(&mut image);
    let shown = String::from_utf8_lossy(&image[1024..1024 + entry.len()]).into_owned();
    assert_eq!(shown.trim_end(), "# lbctl\ntitle lbctl\noptions quiet");
    let changed = image.iter().zip(&before).filter(|(a, b)| a != b).count();
    assert_eq!(changed, INSTALLER.len());
}

#[test]
fn what_a_disk_holds_is_told_by_its_ends() {
    let with = |at: usize, magic: &[u8]| {
        let mut head = vec![0; 1 << 20];
        head[at..at + magic.len()].copy_from_slice(magic);
        Holds::of(&head, &vec![0; 1 << 20])
    };
    assert_eq!(with(0, &[]), Holds::Nothing);
    assert_eq!(Holds::of(&[0xff; 4096], &[0xff; 4096]), Holds::Nothing);
    for (at, magic, words) in [
        (510, &b"\x55\xaa"[..], "MBR"),
        (512, b"EFI PART", "GPT"),
        (3, b"NTFS    ", "Windows"),
        (1080, &[0x53, 0xef], "Linux"),
        (512, b"LABELONE", "LVM"),
        (700_000, b"?", "not empty"),
    ] {
        let Holds::Else(what) = with(at, magic) else {
            panic!("{words}")
        };
        assert!(what.contains(words), "{what}");
    }
    // So does the end alone: a second table, or a part of a RAID.
    let mut tail = vec![0; 1 << 20];
    tail[(1 << 20) - 512] = 1;
    assert!(matches!(
        Holds::of(&vec![0; 1 << 20], &tail),
        Holds::Else(_)
    ));
}

#[test]
fn a_name_that_could_mean_another_disk_at_the_next_start_is_not_relied_on() {
    let disk = |name: &str, serial: &str| Disk {
        name: name.to_owned(),
        sectors: 1 << 22,
        sector_bytes: 512,
        model: String::new(),
        serial: serial.to_owned(),
        wwn: String::new(),
        can_go: false,
        is_read_only: false,
    };
    let two = [disk("sda", "A1"), disk("sdb", "B2")];
    let picked = |name: &str, all: &[Disk]| pick(name, all, |_| true).map(|disk| disk.name);
    assert_eq!(picked("b2", &two).unwrap(), "sdb");
    for name in ["sda", "sdb"] {
        let error = picked(name, &two).unwrap_err().in_full();
        for words in [name, "A1", "B2", "for sure", "serial number"] {
            assert!(error.contains(words), "{words}: {error}");
        }
    }
    let error = picked("sdc", &two).unwrap_err().in_full();
    assert!(error.contains("no disk `sdc`"), "{error}");
    // It is the only one, or has nothing else to be called by.
    assert_eq!(picked("sda", &two[..1]).unwrap(), "sda");
    let (other, stick) = (disk("vda", ""), disk("sdb", "B2"));
    assert_eq!(picked("vda", &[other.clone(), stick]).unwrap(), "vda");
    assert_eq!(picked("vda", &[other, disk("vdb", "")]).unwrap(), "vda");
    let one = pick("sda", &two, |disk| disk.name == "sda");
    assert_eq!(one.unwrap().name, "sda");
    // Two ways to one disk, or two parts of it, have the same number.
    let same = [disk("sda", "A1"), disk("sdb", "A1")];
    assert!(matches!(
        picked("A1", &same),
        Err(InstallError::Ambiguous { .. })
    ));
}
