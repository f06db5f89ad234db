//! Material that real programs write, and what is wrong with it.

use std::path::Path;
use std::process::Command;

use lb_model::api::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
};
use tempfile::TempDir;

use super::*;

/// A root, an authority under it, and a certificate of that one: as PEM.
pub(super) struct Family {
    pub(super) root: String,
    pub(super) middle: String,
    pub(super) leaf: String,
    pub(super) key: String,
}

impl Family {
    pub(super) fn new(name: &str) -> Self {
        Self::with(name, |_| {}, &KeyPair::generate().unwrap())
    }

    pub(super) fn with(
        name: &str,
        set: impl FnOnce(&mut CertificateParams),
        key: &KeyPair,
    ) -> Self {
        let (root_key, middle_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let root_params = authority("Root");
        let root = root_params.self_signed(&root_key).unwrap();
        let root_issuer = Issuer::from_params(&root_params, &root_key);
        let middle_params = authority("Middle");
        let middle = middle_params.signed_by(&middle_key, &root_issuer).unwrap();
        let middle_issuer = Issuer::from_params(&middle_params, &middle_key);
        let mut params =
            CertificateParams::new(vec![name.to_owned(), "192.0.2.7".to_owned()]).unwrap();
        set(&mut params);
        let leaf = params.signed_by(key, &middle_issuer).unwrap();
        Self {
            root: root.pem(),
            middle: middle.pem(),
            leaf: leaf.pem(),
            key: key.serialize_pem(),
        }
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

pub(super) fn read(certificate: &str, key: &str) -> Result<Material, Unusable> {
    Parts {
        certificate: Part {
            place: "`shop.pem`",
            bytes: certificate.as_bytes(),
        },
        chain: None,
        key: Some(Part {
            place: "`shop-key.pem`",
            bytes: key.as_bytes(),
        }),
        password: None,
    }
    .read()
}

fn judged(certificate: &str, key: &str) -> Result<Judged, Unusable> {
    judge(read(certificate, key)?, &|_| false)
}

/// Runs openssl in a folder, as an administrator would.
pub(super) fn openssl(folder: &TempDir, args: &str) {
    let output = Command::new("openssl")
        .args(args.split_whitespace())
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {args}: {said}");
}

pub(super) fn put(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

fn take(folder: &TempDir, name: &str) -> Vec<u8> {
    std::fs::read(folder.path().join(name)).unwrap()
}

#[test]
fn a_chain_in_any_order_is_put_in_order_and_says_what_it_is() {
    let Family {
        root,
        middle,
        leaf,
        key,
    } = Family::new("www.shop.test");
    let stranger = Family::new("other.test").leaf;
    for mixed in [
        format!("{leaf}{middle}"),
        format!("{root}{middle}{leaf}"),
        format!("{middle}{stranger}{leaf}{root}{leaf}"),
        // Text between, as `openssl x509 -text` and Windows with its line ends write it.
        format!("Certificate:\r\n  Data:\r\n{middle}# comment\n{leaf}").replace('\n', "\r\n"),
    ] {
        let Judged { usable, .. } = judged(&mixed, &key).unwrap();
        assert_eq!(usable.certified.cert.len(), 2, "{mixed}");
        assert_eq!(usable.facts.names, ["www.shop.test", "192.0.2.7"]);
        assert_eq!(usable.facts.key, "ECDSA P-256");
        assert!(usable.facts.issuer.contains("CN=Middle"));
        assert_eq!(usable.facts.intermediates, 1);
        assert_eq!(usable.warnings, []);
    }
}

#[test]
fn a_chain_that_is_not_complete_is_a_warning_with_the_name_of_what_is_missing() {
    let family = Family::new("www.shop.test");
    let Judged { usable, .. } = judged(&family.leaf, &family.key).unwrap();
    let [warning] = usable.warnings.as_slice() else {
        panic!("{:?}", usable.warnings);
    };
    assert!(warning.message.contains("CN=Middle"), "{}", warning.message);
    assert!(
        warning.help.contains("clients know this issuer"),
        "{}",
        warning.help
    );
    // Where clients know the issuer, nothing is missing.
    let material = read(&family.leaf, &family.key).unwrap();
    let Judged { usable, .. } = judge(material, &|_| true).unwrap();
    assert_eq!(usable.warnings, []);
}

#[test]
fn the_authority_of_the_same_name_that_did_not_sign_is_not_taken() {
    let (family, other) = (Family::new("www.shop.test"), Family::new("www.shop.test"));
    let mixed = format!("{}{}{}", family.leaf, other.middle, family.middle);
    let Judged { usable, .. } = judged(&mixed, &family.key).unwrap();
    let expected = ::pem::parse(&family.middle).unwrap();
    assert_eq!(usable.certified.cert[1].as_ref(), expected.contents());
}

#[test]
fn keys_of_every_kind_and_form_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let make = [
        (
            "ECDSA P-256",
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out k.pem",
        ),
        ("ECDSA P-384", "ecparam -name secp384r1 -genkey -out k.pem"),
        (
            "ECDSA P-521",
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out k.pem",
        ),
        ("RSA 2048", "genrsa -traditional -out k.pem 2048"),
        (
            "RSA 3072",
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out k.pem",
        ),
        ("Ed25519", "genpkey -algorithm ED25519 -out k.pem"),
    ];
    for (kind, command) in make {
        openssl(&folder, command);
        openssl(
            &folder,
            "req -x509 -key k.pem -out c.pem -days 5 -subj /CN=a.test -addext subjectAltName=DNS:a.test",
        );
        openssl(&folder, "x509 -in c.pem -outform DER -out c.der");
        openssl(&folder, "pkey -in k.pem -outform DER -out k.der");
        for (certificate, key) in [("c.pem", "k.pem"), ("c.der", "k.der")] {
            let (certificate, key) = (take(&folder, certificate), take(&folder, key));
            let material = Parts {
                certificate: Part {
                    place: "c",
                    bytes: &certificate,
                },
                chain: None,
                key: Some(Part {
                    place: "k",
                    bytes: &key,
                }),
                password: None,
            }
            .read()
            .unwrap();
            let Judged { usable, .. } = judge(material, &|_| false).unwrap();
            assert_eq!(usable.facts.key, kind);
            assert_eq!(usable.warnings, [], "{kind}");
        }
    }
}

#[test]
fn encrypted_keys_are_opened_with_their_password_alone() {
    let folder = tempfile::tempdir().unwrap();
    let family = Family::new("www.shop.test");
    put(folder.path(), "k.pem", &family.key);
    for cipher in [
        "-v2 aes-256-cbc",
        "-v2 aes-128-cbc -v2prf hmacWithSHA1",
        "-v2 des3",
        "-scrypt",
    ] {
        openssl(
            &folder,
            &format!("pkcs8 -topk8 {cipher} -in k.pem -out e.pem -passout pass:se:cret"),
        );
        openssl(
            &folder,
            "pkcs8 -topk8 -in k.pem -outform DER -out e.der -passout pass:se:cret",
        );
        for file in ["e.pem", "e.der"] {
            let bytes = take(&folder, file);
            let key = |password: Option<&Password>| {
                let part = Part {
                    place: "`e`",
                    bytes: &bytes,
                };
                pem::read_key(part, password)
            };
            assert!(
                key(Some(&Password::new("se:cret"))).is_ok(),
                "{cipher} {file}"
            );
            let wrong = key(Some(&Password::new("secret"))).unwrap_err();
            assert!(
                matches!(wrong, Unusable::WrongPassword { .. }),
                "{cipher} {file}: {wrong}"
            );
            let none = key(None).unwrap_err();
            assert!(
                matches!(none, Unusable::NoPassword { .. }),
                "{cipher} {file}: {none}"
            );
        }
    }
    openssl(
        &folder,
        "ec -aes256 -in k.pem -out old.pem -passout pass:secret",
    );
    let old = take(&folder, "old.pem");
    let part = Part {
        place: "`old`",
        bytes: &old,
    };
    let error = pem::read_key(part, Some(&Password::new("secret"))).unwrap_err();
    assert!(error.help().contains("openssl pkcs8 -topk8"), "{error}");
}

#[test]
fn pfx_of_today_and_of_long_ago_is_read_and_a_wrong_password_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let family = Family::new("www.shop.test");
    put(folder.path(), "k.pem", &family.key);
    put(folder.path(), "c.pem", &family.leaf);
    put(
        folder.path(),
        "chain.pem",
        &format!("{}{}", family.root, family.middle),
    );
    for (how, password) in [
        ("", "geheim"),
        ("", "Grüße"),
        ("", ""),
        ("-legacy", "geheim"),
        ("-legacy -descert", "geheim"),
        (
            "-keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg sha1",
            "geheim",
        ),
        ("-keypbe AES-128-CBC -certpbe NONE -macalg sha512", "geheim"),
        ("-iter 100000", "geheim"),
    ] {
        openssl(
            &folder,
            &format!(
                "pkcs12 -export {how} -inkey k.pem -in c.pem -certfile chain.pem -name shop -out s.pfx -passout pass:{password}"
            ),
        );
        let bytes = take(&folder, "s.pfx");
        let part = Part {
            place: "`s.pfx`",
            bytes: &bytes,
        };
        let material = read_pfx(part, &Password::new(password)).unwrap();
        let Judged { usable, .. } = judge(material, &|_| false).unwrap();
        assert_eq!(usable.certified.cert.len(), 2, "{how}");
        assert_eq!(usable.warnings, [], "{how}");
        let wrong = read_pfx(part, &Password::new("other")).unwrap_err();
        assert!(
            matches!(wrong, Unusable::WrongPassword { .. }),
            "{how}: {wrong}"
        );
    }
    openssl(
        &folder,
        "pkcs12 -export -nokeys -in c.pem -out n.pfx -passout pass:geheim",
    );
    let bytes = take(&folder, "n.pfx");
    let none = read_pfx(
        Part {
            place: "`n.pfx`",
            bytes: &bytes,
        },
        &Password::new("geheim"),
    );
    let none = none.unwrap_err();
    assert!(none.help().contains("exportable"), "{none}");
}

#[test]
fn what_cannot_be_used_says_what_where_why_and_the_mend() {
    let (family, other) = (Family::new("www.shop.test"), Family::new("other.test"));
    let folder = tempfile::tempdir().unwrap();
    openssl(&folder, "genrsa -out small.pem 1024");
    let small = String::from_utf8(take(&folder, "small.pem")).unwrap();
    let broken = family.leaf.replace("MII", "MIJ");
    let cut = family.leaf.chars().take(200).collect::<String>();
    put(folder.path(), "c.pem", &family.leaf);
    openssl(&folder, "crl2pkcs7 -nocrl -certfile c.pem -out p7.pem");
    let pkcs7 = String::from_utf8(take(&folder, "p7.pem")).unwrap();
    let both = format!("{}{}", family.key, other.key);
    let told: Vec<_> = [
        (&*family.leaf, &*other.key),
        (&family.leaf, &small),
        (&family.leaf, &family.leaf),
        (&family.leaf, &both),
        (&family.key, &family.key),
        (&broken, &family.key),
        (&cut, &family.key),
        (&pkcs7, &family.key),
        ("", &family.key),
        (&family.leaf, "\u{0}\u{30}\u{82}"),
    ]
    .into_iter()
    .map(|(certificate, key)| {
        let error = judged(certificate, key).unwrap_err();
        format!("{error}\n  {}\n", error.help())
    })
    .collect();
    let expected = include_str!("tests/unusable.txt");
    let told = told.concat();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write("src/certificate/tests/unusable.txt", &told).unwrap();
        return;
    }
    assert_eq!(told, expected);
}

#[test]
fn a_certificate_has_its_time() {
    let key = KeyPair::generate().unwrap();
    let family = Family::with(
        "www.shop.test",
        |params| {
            params.not_before = rcgen::date_time_ymd(2026, 1, 1);
            params.not_after = rcgen::date_time_ymd(2026, 4, 1);
        },
        &key,
    );
    let Judged { usable, .. } = judged(&family.leaf, &family.key).unwrap();
    let at = |text: &str| usable.check_time(text.parse::<Timestamp>().unwrap());
    assert_eq!(at("2026-03-31T23:59:59.000Z"), Ok(()));
    let early = at("2025-12-31T23:59:59.999Z").unwrap_err();
    assert!(matches!(early, Unusable::NotYet { .. }), "{early}");
    let late = at("2026-04-01T00:00:00.001Z").unwrap_err();
    assert!(
        late.to_string()
            .contains("`www.shop.test` in `shop.pem` ended on 2026-04-01"),
        "{late}"
    );
}

#[test]
fn no_private_key_is_in_what_is_printed_for_debugging() {
    for algorithm in [
        &PKCS_ECDSA_P256_SHA256,
        &PKCS_ECDSA_P384_SHA384,
        &PKCS_ED25519,
    ] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let family = Family::with("www.shop.test", |_| {}, &key);
        let material = read(&family.leaf, &family.key).unwrap();
        let printed = format!("{material:?}");
        let judged = judge(material, &|_| false).unwrap();
        let printed = format!("{printed}{judged:?}{:?}", Password::new("geheim"));
        let secret = key.serialize_der();
        assert!(!printed.contains(&format!("{:?}", &secret[secret.len() - 20..])));
        assert!(printed.contains("***") && !printed.contains("geheim"));
    }
}
