use super::*;

const FOLDER: usize = 20;

const PLACE: usize = 24;

const PLACE_BYTES: usize = 4096;

/// An entry of a folder: where something is, how long, and what it is called.
fn entry(at: usize, length: usize, name: &[u8]) -> Vec<u8> {
    let size = 33 + name.len() + 1 - name.len() % 2;
    let mut entry = vec![0; size];
    entry[0] = u8::try_from(size).unwrap();
    entry[2..6].copy_from_slice(&u32::try_from(at).unwrap().to_le_bytes());
    entry[10..14].copy_from_slice(&u32::try_from(length).unwrap().to_le_bytes());
    entry[32] = u8::try_from(name.len()).unwrap();
    entry[33..33 + name.len()].copy_from_slice(name);
    entry
}

/// A CD with this label, and these entries in the folder of everything.
fn cd(label: &str, entries: &[Vec<u8>]) -> Vec<u8> {
    let mut image = vec![0; (PLACE + 4) * BLOCK];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    let descriptor = 16 * BLOCK;
    put(descriptor, b"\x01CD001");
    put(descriptor + 40, format!("{label:32}").as_bytes());
    put(descriptor + 156, &entry(FOLDER, 2 * BLOCK, &[0]));
    let mut at = FOLDER * BLOCK;
    for entry in entries {
        // None reaches over the end of a block.
        if at % BLOCK + entry.len() > BLOCK {
            at += BLOCK - at % BLOCK;
        }
        put(at, entry);
        at += entry.len();
    }
    let place = format!("{SLOT}\n{:1$}", "", PLACE_BYTES - SLOT.len() - 1);
    put(PLACE * BLOCK, place.as_bytes());
    put(PLACE * BLOCK + PLACE_BYTES, b"behind it");
    image
}

fn place(name: &[u8]) -> Vec<u8> {
    entry(PLACE, PLACE_BYTES, name)
}

/// The CD of the appliance, with so many other files.
fn ours(others: usize) -> Vec<u8> {
    let others = (0..others).map(|number| entry(PLACE, 1, format!("F{number:03}.;1").as_bytes()));
    let itself = [
        entry(FOLDER, 2 * BLOCK, &[0]),
        entry(FOLDER, 2 * BLOCK, &[1]),
    ];
    let name = format!("{SLOT_FILE};1");
    let all = itself
        .into_iter()
        .chain(others)
        .chain([place(name.as_bytes())]);
    cd(CD_LABEL, &all.collect::<Vec<_>>())
}

fn written(image: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), image).unwrap();
    file
}

fn why(error: &RedfishError) -> &str {
    let RedfishError::Image { why, .. } = error else {
        panic!("{error}");
    };
    why
}

#[test]
fn a_seed_comes_into_its_place_and_nothing_else_changes() {
    let image = ours(3);
    let begin = PLACE * BLOCK;
    for seed in ["#cloud-config\n{}\n".to_owned(), "x".repeat(PLACE_BYTES)] {
        let made = filled(written(&image).path(), &seed).unwrap();
        assert_eq!(made.len(), image.len());
        assert_eq!(made[..begin], image[..begin]);
        assert_eq!(made[begin + PLACE_BYTES..], image[begin + PLACE_BYTES..]);
        let (there, rest) = made[begin..begin + PLACE_BYTES].split_at(seed.len());
        assert_eq!(there, seed.as_bytes());
        assert!(rest.iter().all(|byte| *byte == b' '));
        // One that has a seed is nobody else's to be given one.
        let again = check(&made, Path::new("made")).unwrap_err();
        assert!(why(&again).contains("has one already"), "{again}");
    }
}

#[test]
fn a_place_behind_many_files_and_without_a_version_is_found() {
    // So many that the folder has a second block.
    check(&ours(60), Path::new("many")).unwrap();
    let bare = cd(CD_LABEL, &[place(SLOT_FILE.as_bytes())]);
    check(&bare, Path::new("bare")).unwrap();
}

#[test]
fn a_seed_that_is_too_long_is_refused_with_both_lengths() {
    let image = written(&ours(0));
    let refused = filled(image.path(), &"x".repeat(PLACE_BYTES + 1)).unwrap_err();
    assert_eq!(
        why(&refused),
        "its place for a seed has 4096 bytes, and the seed 4097"
    );
}

#[test]
fn what_is_not_the_cd_of_the_appliance_is_refused_with_the_reason() {
    let none = "it has no place for a seed";
    let name = format!("{SLOT_FILE};1");
    let name = name.as_bytes();
    let beyond = entry(1 << 20, PLACE_BYTES, name);
    let too_long = entry(PLACE, usize::try_from(u32::MAX).unwrap(), name);
    let mut no_folder = ours(0);
    no_folder[16 * BLOCK + 158..16 * BLOCK + 162].fill(0xff);
    let mut later = ours(0);
    later[PLACE * BLOCK + SLOT.len() - 1] = b'2';
    for (image, reason) in [
        (Vec::new(), "it is no image of a CD"),
        (vec![0; 64 << 10], "it is no image of a CD"),
        (cd("DEBIAN", &[place(name)]), "it has another label"),
        (cd(CD_LABEL, &[]), none),
        (cd(CD_LABEL, &[place(b"SEED.SLX;1")]), none),
        (no_folder, none),
        (cd(CD_LABEL, &[beyond]), "it ends too soon"),
        (cd(CD_LABEL, &[too_long]), "it ends too soon"),
        (
            later,
            "the place for a seed has one already, or that of a later version",
        ),
    ] {
        let refused = check(&image, Path::new("other")).unwrap_err();
        assert_eq!(why(&refused), reason);
    }
}

#[test]
fn an_image_that_is_cut_anywhere_is_refused_and_no_more() {
    let image = ours(2);
    for length in (0..PLACE * BLOCK + PLACE_BYTES).step_by(97) {
        check(&image[..length], Path::new("cut")).unwrap_err();
    }
}

#[test]
fn an_image_that_is_larger_than_what_is_served_is_not_cut_short() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(IMAGE_BYTES_MAX + 1).unwrap();
    let refused = read(file.path()).unwrap_err();
    assert!(why(&refused).contains("more than"), "{refused}");
}

proptest::proptest! {
    #[test]
    fn a_folder_of_anything_harms_nobody(
        folder in proptest::collection::vec(proptest::num::u8::ANY, 2 * BLOCK),
        root in proptest::collection::vec(proptest::num::u8::ANY, 34),
        takes_root in proptest::bool::ANY,
    ) {
        let mut image = ours(0);
        image[FOLDER * BLOCK..(FOLDER + 2) * BLOCK].copy_from_slice(&folder);
        if takes_root {
            image[16 * BLOCK + 156..16 * BLOCK + 190].copy_from_slice(&root);
        }
        drop(check(&image, Path::new("anything")));
    }
}
