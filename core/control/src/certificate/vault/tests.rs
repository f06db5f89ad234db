use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::super::tests::Family;
use super::*;

struct Stand {
    folder: TempDir,
    vault: Vault,
}

impl Stand {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::new(folder.path());
        Self { folder, vault }
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.path().join(DIRECTORY)).unwrap();
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    fn get(&self, fingerprint: &Fingerprint) -> Result<Usable, Unusable> {
        self.vault.get(fingerprint, &|_| true)
    }
}

fn judged(certificate: &str, key: &str) -> Judged {
    let material = super::super::tests::read(certificate, key).unwrap();
    judge(material, &|_| true).unwrap()
}

fn at(days: u64) -> Timestamp {
    let now = crate::now().unix_millis();
    Timestamp::from_unix_millis(now + days * 24 * 3600 * 1000)
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

#[test]
fn what_is_kept_comes_back_and_its_key_is_nowhere_in_the_open() {
    let stand = Stand::new();
    let family = Family::new("a.test");
    let judged = judged(&format!("{}{}", family.leaf, family.middle), &family.key);
    let fingerprint = stand.vault.keep(&judged).unwrap();
    let found = stand.get(&fingerprint).unwrap();
    assert_eq!(found.certified.cert, judged.usable.certified.cert);
    assert_eq!(found.facts, judged.usable.facts);
    found.certified.keys_match().unwrap();

    let der = judged.key.der();
    let der = der.secret_der();
    // Of a key of P-256 the secret is a string of 32 bytes; the rest is in its certificate, too.
    let begin = der.windows(2).position(|two| *two == [4, 32]).unwrap() + 2;
    let secret = &der[begin..begin + 32];
    for path in stand.files() {
        let bytes = fs::read(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        assert!(
            !bytes
                .windows(16)
                .any(|part| secret.windows(16).any(|own| own == part))
        );
        let opened = pem::parse_many(&bytes).unwrap_or_default();
        let holds = |section: &pem::Pem| {
            let contents = section.contents();
            contents
                .windows(16)
                .any(|part| secret.windows(16).any(|own| own == part))
        };
        assert!(!opened.iter().any(holds), "{}", path.display());
    }
    let mode = fs::metadata(stand.folder.path().join(DIRECTORY))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn another_way_to_a_root_takes_the_place_of_the_former_one() {
    let stand = Stand::new();
    let family = Family::new("a.test");
    let alone = stand
        .vault
        .keep(&judged(&family.leaf, &family.key))
        .unwrap();
    assert_eq!(stand.get(&alone).unwrap().facts.intermediates, 0);
    let chain = format!("{}{}", family.leaf, family.middle);
    let again = stand.vault.keep(&judged(&chain, &family.key)).unwrap();
    assert_eq!(again, alone);
    assert_eq!(stand.get(&alone).unwrap().facts.intermediates, 1);
}

#[test]
fn what_was_changed_or_lost_is_named_and_nothing_is_written_over_it() {
    let stand = Stand::new();
    let (one, two) = (Family::new("a.test"), Family::new("b.test"));
    let first = stand.vault.keep(&judged(&one.leaf, &one.key)).unwrap();
    let second = stand.vault.keep(&judged(&two.leaf, &two.key)).unwrap();
    let unknown = Fingerprint::new([7; 32]);
    assert_eq!(stand.get(&unknown).unwrap_err(), Unusable::NotKept(unknown));

    // The key of one beside the certificate of the other.
    let path = |fingerprint| stand.vault.imported(fingerprint);
    let sealed = |fingerprint| {
        let bytes = fs::read(path(fingerprint)).unwrap();
        pem::parse_many(&bytes).unwrap().pop().unwrap()
    };
    let mixed = pem::encode_many(&[pem::parse(&one.leaf).unwrap(), sealed(&second)]);
    let good = fs::read(path(&first)).unwrap();
    fs::write(path(&first), mixed).unwrap();
    let error = stand.get(&first).unwrap_err();
    assert!(matches!(error, Unusable::Sealed { .. }), "{error}");
    fs::write(path(&first), &good[..good.len() / 2]).unwrap();
    assert!(stand.get(&first).is_err());
    fs::write(path(&first), &good).unwrap();
    stand.get(&first).unwrap();

    let key = stand.vault.key_path();
    let text = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let error = stand.get(&first).unwrap_err();
    assert!(matches!(error, Unusable::VaultKey { .. }), "{error}");
    let three = Family::new("c.test");
    let error = stand
        .vault
        .keep(&judged(&three.leaf, &three.key))
        .unwrap_err();
    assert!(matches!(error, Unusable::VaultKey { .. }), "{error}");
    fs::write(&key, text).unwrap();
    stand.get(&first).unwrap();
}

#[test]
fn a_certificate_of_our_own_stays_until_a_third_of_its_life_is_left() {
    let stand = Stand::new();
    let hosts = ["shop.test", "*.shop.test", "192.0.2.7", "2001:db8::1"].map(str::to_owned);
    let own = |days| {
        stand
            .vault
            .self_signed(&name("shop"), &hosts, at(days))
            .unwrap()
    };
    let first = own(0);
    assert_eq!(first.facts.names, hosts);
    first.check_time(at(0)).unwrap();
    assert_eq!(own(250).facts, first.facts);
    let second = own(270);
    assert_ne!(second.facts.fingerprint, first.facts.fingerprint);
    second.check_time(at(270)).unwrap();

    let other = ["shop.test".to_owned()];
    let third = stand
        .vault
        .self_signed(&name("shop"), &other, at(270))
        .unwrap();
    assert_eq!(third.facts.names, other);
    let path = stand
        .folder
        .path()
        .join(DIRECTORY)
        .join("self-signed-shop.pem");
    fs::write(&path, "damaged").unwrap();
    let fourth = stand
        .vault
        .self_signed(&name("shop"), &other, at(270))
        .unwrap();
    assert_ne!(fourth.facts.fingerprint, third.facts.fingerprint);
}

#[test]
fn the_first_certificates_may_be_kept_all_at_once() {
    for _ in 0..20 {
        let stand = Stand::new();
        let start = std::sync::Barrier::new(8);
        let hosts = vec!["a.test".to_owned()];
        std::thread::scope(|scope| {
            for number in 0..8 {
                // Two of each: the same file is written at once, too.
                let name = name(&format!("n{}", number / 2));
                let (stand, start, hosts) = (&stand, &start, &hosts);
                scope.spawn(move || {
                    start.wait();
                    stand.vault.self_signed(&name, hosts, at(0)).unwrap();
                });
            }
        });
        // All of them are sealed with the key that is there in the end.
        for number in 0..4 {
            let path = stand
                .vault
                .directory
                .join(format!("self-signed-n{number}.pem"));
            assert!(stand.vault.read(&path, &|_| true).unwrap().is_some());
        }
    }
}
