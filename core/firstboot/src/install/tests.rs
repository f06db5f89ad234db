use super::disk::Holds;
use super::*;

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
