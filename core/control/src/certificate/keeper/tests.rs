use std::fs;

use lb_model::{Format, parse};
use rcgen::KeyPair;
use tempfile::TempDir;

use super::super::tests::{Family, openssl, put};
use super::*;

/// Files for certificates `a` and `b`, and a document that names them.
struct Stand {
    folder: TempDir,
    keeper: Keeper,
}

impl Stand {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::new(&folder.path().join("state"));
        let stand = Self {
            keeper: Keeper::new(vault, crate::now),
            folder,
        };
        stand.write("a", &Family::new("a.test"));
        stand.write("b", &Family::new("b.test"));
        stand
    }

    fn write(&self, name: &str, family: &Family) {
        let chain = format!("{}{}", family.leaf, family.middle);
        put(self.folder.path(), &format!("{name}.pem"), &chain);
        put(self.folder.path(), &format!("{name}-key.pem"), &family.key);
    }

    fn document(&self, names: &[&str], more: &str) -> Config {
        let folder = self.folder.path().display();
        let one = |name: &&str| {
            format!(
                "[certificates.{name}]\nsource = {{ files = {{ certificate = \"{folder}/{name}.pem\", \
                 key = \"{folder}/{name}-key.pem\" }} }}\n"
            )
        };
        let text =
            names.iter().map(one).collect::<String>() + &more.replace("DIR", &folder.to_string());
        parse(&text, Format::Toml).unwrap()
    }
}

fn key(loaded: &Loaded, name: &str) -> Option<*const CertifiedKey> {
    let held = loaded.certificates().get(name)?;
    Some(Arc::as_ptr(&held.usable()?.certified))
}

fn names(loaded: &Loaded, name: &str) -> Vec<String> {
    loaded.certificates()[name]
        .usable()
        .unwrap()
        .facts
        .names
        .clone()
}

#[test]
fn what_stays_as_it_is_stays_the_same_object_and_what_is_new_is_loaded() {
    let stand = Stand::new();
    let first = stand.keeper.start(&stand.document(&["a"], ""));
    let both = stand.keeper.load(&stand.document(&["a", "b"], "")).unwrap();
    assert_eq!(key(&both, "a"), key(&first, "a"));
    assert_eq!(names(&both, "b"), ["b.test", "192.0.2.7"]);
    // What was not put in force leaves no trace.
    let again = stand.keeper.load(&stand.document(&["a", "b"], "")).unwrap();
    assert_ne!(key(&again, "b"), key(&both, "b"));
}

#[test]
fn what_is_missing_at_the_start_is_left_out_and_taken_when_it_comes() {
    let stand = Stand::new();
    fs::remove_file(stand.folder.path().join("b-key.pem")).unwrap();
    let document = stand.document(&["a", "b"], "");
    let loaded = stand.keeper.start(&document);
    assert!(key(&loaded, "a").is_some() && key(&loaded, "b").is_none());
    let problem = loaded.certificates()["b"].problem().unwrap();
    assert!(matches!(problem, Unusable::File { .. }), "{problem}");
    // It hinders no other change.
    stand.keeper.load(&stand.document(&["b"], "")).unwrap();
    assert!(stand.keeper.look_again().is_none());

    stand.write("b", &Family::new("b.test"));
    let loaded = stand.keeper.look_again().unwrap();
    assert!(key(&loaded, "b").is_some());
    assert_eq!(loaded.certificates()["b"].problem(), None);
}

#[test]
fn a_change_that_names_what_cannot_be_used_is_refused_with_the_mend() {
    let stand = Stand::new();
    stand.keeper.start(&stand.document(&["a"], ""));
    let (other, late) = (
        Family::new("b.test"),
        |params: &mut rcgen::CertificateParams| {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        },
    );
    put(stand.folder.path(), "b-key.pem", &other.key);
    let refused = |document: &Config| stand.keeper.load(document).unwrap_err();
    let error = refused(&stand.document(&["a", "b"], ""));
    assert!(
        error
            .to_string()
            .starts_with("certificates.b: the private key in `"),
        "{error}"
    );
    assert!(error.help().contains("openssl pkey"), "{}", error.help());

    stand.write(
        "b",
        &Family::with("b.test", late, &KeyPair::generate().unwrap()),
    );
    let error = refused(&stand.document(&["a", "b"], ""));
    assert!(
        error.to_string().contains("`b.test`") && error.to_string().contains("ended on"),
        "{error}"
    );

    put(stand.folder.path(), "ca.pem", "nothing");
    let corp = "[authorities.corp]\nsource = { file = \"DIR/ca.pem\" }\n";
    let error = refused(&stand.document(&["a"], corp));
    assert!(
        error.to_string().starts_with("authorities.corp: "),
        "{error}"
    );
}

#[test]
fn changed_files_are_taken_and_broken_ones_are_not() {
    let stand = Stand::new();
    let first = stand.keeper.start(&stand.document(&["a", "b"], ""));
    assert!(stand.keeper.look_again().is_none());

    stand.write("a", &Family::new("renewed.test"));
    let second = stand.keeper.look_again().unwrap();
    assert_eq!(names(&second, "a"), ["renewed.test", "192.0.2.7"]);
    assert_eq!(key(&second, "b"), key(&first, "b"));
    stand.keeper.hold(second.clone());
    assert!(stand.keeper.look_again().is_none());

    // A key without its certificate, as it is between two copies.
    put(
        stand.folder.path(),
        "a-key.pem",
        &Family::new("next.test").key,
    );
    let broken = stand.keeper.look_again().unwrap();
    assert_eq!(key(&broken, "a"), key(&second, "a"));
    assert!(matches!(
        broken.certificates()["a"].problem(),
        Some(Unusable::OtherKey { .. })
    ));
    stand.keeper.hold(broken);
    assert!(stand.keeper.look_again().is_none(), "it is told once");
}

#[test]
fn a_file_that_is_written_again_with_the_same_changes_nothing() {
    let stand = Stand::new();
    let first = stand.keeper.start(&stand.document(&["a"], ""));
    let path = stand.folder.path().join("a.pem");
    let text = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(stand.folder.path().join("new"), &text).unwrap();
    fs::rename(stand.folder.path().join("new"), &path).unwrap();
    let again = stand.keeper.look_again().unwrap();
    assert_eq!(key(&again, "a"), key(&first, "a"));
}

#[test]
fn authorities_come_from_files_and_from_the_document_with_what_they_have_revoked() {
    let stand = Stand::new();
    let folder = &stand.folder;
    openssl(
        folder,
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca-key.pem -out ca.pem \
         -subj /CN=Corp -days 30",
    );
    put(folder.path(), "index", "");
    put(folder.path(), "number", "01");
    put(
        folder.path(),
        "ca.conf",
        "[ca]\ndefault_ca=c\n[c]\ndatabase=index\ncrlnumber=number\ndefault_md=sha256\ndefault_crl_days=30\n",
    );
    openssl(
        folder,
        "ca -config ca.conf -gencrl -cert ca.pem -keyfile ca-key.pem -out revoked.pem",
    );
    openssl(folder, "crl -in revoked.pem -outform DER -out revoked.der");
    let text = fs::read_to_string(folder.path().join("ca.pem")).unwrap();
    let document = stand.document(
        &[],
        &format!(
            "[authorities.file]\nsource = {{ file = \"DIR/ca.pem\" }}\nrevocation_list = \"DIR/revoked.pem\"\n\
             [authorities.text]\nsource = {{ pem = \"\"\"{text}\"\"\" }}\nrevocation_list = \"DIR/revoked.der\"\n"
        ),
    );
    let loaded = stand.keeper.start(&document);
    for name in ["file", "text"] {
        let held = &loaded.authorities()[name];
        assert_eq!(held.problem(), None);
        let authority = held.usable().unwrap();
        assert_eq!(
            (
                authority.certificates.len(),
                authority.revocation_lists.len()
            ),
            (1, 1)
        );
    }

    openssl(
        folder,
        "ca -config ca.conf -gencrl -cert ca.pem -keyfile ca-key.pem -out revoked.pem",
    );
    put(folder.path(), "revoked.der", "damaged");
    let again = stand.keeper.look_again().unwrap();
    let problem = again.authorities()["text"].problem().unwrap();
    assert!(problem.to_string().contains("revoked.der"), "{problem}");
    assert!(again.authorities()["text"].usable().is_some());
    let lists = |loaded: &Loaded| {
        let authority = loaded.authorities()["file"].usable().unwrap().clone();
        authority.revocation_lists.as_ptr()
    };
    assert_ne!(lists(&again), lists(&loaded));
}

#[test]
fn the_name_of_a_root_is_found_with_what_is_around_it() {
    assert_eq!(inner(&[0x30, 2, 1, 2]), Some(&[1, 2][..]));
    assert_eq!(inner(&[0x30, 0x81, 1, 7]), Some(&[7][..]));
    assert_eq!(inner(&[0x31, 0]), None);
    assert_eq!(inner(&[0x30, 0x84]), None);
    assert_eq!(inner(&[]), None);
}

#[test]
fn a_certificate_of_our_own_is_the_same_at_each_start_however_its_hosts_are_written() {
    let stand = Stand::new();
    let own = "[certificates.own]\nsource = { self_signed = { names = [\"Shop.TEST\", \"*.shop.test\", \
               \"2001:DB8:0::1\", \"::ffff:192.0.2.1\", \"192.0.2.1\", \"shop.test\"] } }\n";
    let document = stand.document(&[], own);
    let shown = || {
        let loaded = stand.keeper.start(&document);
        loaded.certificates()["own"]
            .usable()
            .unwrap()
            .facts
            .fingerprint
    };
    assert_eq!(shown(), shown());
}
