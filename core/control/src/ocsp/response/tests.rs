use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use proptest::collection::vec;
use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use x509_parser::parse_x509_certificate;

use super::super::der::value;
use super::*;

const ECDSA_WITH_SHA256: [u8; 12] = [
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02,
];
const GOOD: (u8, &[u8]) = (0x80, b"");

/// An authority that has issued a certificate.
struct Authority {
    key: KeyPair,
    params: CertificateParams,
    subject: Subject,
}

fn now() -> Timestamp {
    "2030-06-01T12:00:00.000Z".parse().unwrap()
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(2030, 1, 1);
    params.not_after = rcgen::date_time_ymd(2031, 1, 1);
    params
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut own = params("authority.test");
        own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = own.self_signed(&key).unwrap();
        let leaf_key = KeyPair::generate().unwrap();
        let mut leaf = params("shop.test");
        // The highest bit is set, so that a zero stands before it.
        leaf.serial_number = Some(vec![0xff, 1, 2].into());
        let issuer = Issuer::from_params(&own, &key);
        let leaf = leaf.signed_by(&leaf_key, &issuer).unwrap();
        let (_, parsed) = parse_x509_certificate(certificate.der()).unwrap();
        let (_, parsed_leaf) = parse_x509_certificate(leaf.der()).unwrap();
        let subject = Subject::new(&parsed_leaf, &parsed, "http://a.test/".to_owned());
        Self {
            key,
            params: own,
            subject,
        }
    }

    /// The certificate of somebody, and his key.
    fn responder(&self, purposes: &[ExtendedKeyUsagePurpose], end: i32) -> (Vec<u8>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut made = params("responder.test");
        made.extended_key_usages = purposes.to_vec();
        made.not_after = rcgen::date_time_ymd(end, 1, 1);
        let issuer = Issuer::from_params(&self.params, &self.key);
        let made = made.signed_by(&key, &issuer).unwrap();
        (made.der().to_vec(), key)
    }

    /// An answer that is signed by the authority.
    fn says(&self, status: (u8, &[u8]), from: &str, until: Option<&str>) -> Vec<u8> {
        let one = single_response(&self.subject, status, from, until);
        signed(&data(&[&one]), &self.key, None)
    }
}

fn time_value(text: &str) -> Vec<u8> {
    value(GENERALIZED_TIME, &[text.as_bytes()])
}

fn single_response(
    subject: &Subject,
    (tag, content): (u8, &[u8]),
    from: &str,
    until: Option<&str>,
) -> Vec<u8> {
    let request = subject.request();
    // It has the identification in its middle.
    let mut reader = Reader::new(&request);
    for _ in 0..4 {
        reader = reader.enter(SEQUENCE).unwrap();
    }
    let id = reader.take(SEQUENCE).unwrap().whole;
    let until = until.map(|until| value(context(0), &[&time_value(until)]));
    value(
        SEQUENCE,
        &[
            id,
            &value(tag, &[content]),
            &time_value(from),
            &until.unwrap_or_default(),
        ],
    )
}

fn data(singles: &[&[u8]]) -> Vec<u8> {
    let by_key = value(context(2), &[&value(OCTET_STRING, &[&[7; 20]])]);
    let made_at = time_value("20300601000000Z");
    value(SEQUENCE, &[&by_key, &made_at, &value(SEQUENCE, singles)])
}

fn signed(data: &[u8], key: &KeyPair, certificate: Option<&[u8]>) -> Vec<u8> {
    let own = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &key.serialize_der());
    let signature = own.unwrap().sign(&SystemRandom::new(), data).unwrap();
    let signature = value(BIT_STRING, &[&[0], signature.as_ref()]);
    let certificates = certificate.map(|one| value(context(0), &[&value(SEQUENCE, &[one])]));
    let basic = value(
        SEQUENCE,
        &[
            data,
            &ECDSA_WITH_SHA256,
            &signature,
            &certificates.unwrap_or_default(),
        ],
    );
    let envelope = value(
        SEQUENCE,
        &[
            &value(OBJECT_IDENTIFIER, &[&BASIC]),
            &value(OCTET_STRING, &[&basic]),
        ],
    );
    value(
        SEQUENCE,
        &[
            &value(ENUMERATED, &[&[0]]),
            &value(context(0), &[&envelope]),
        ],
    )
}

const FROM: &str = "20300601000000Z";
const UNTIL: Option<&str> = Some("20300608000000Z");

#[test]
fn a_good_answer_of_the_authority_is_told_on_until_its_end() {
    let authority = Authority::new();
    let bytes = authority.says(GOOD, FROM, UNTIL);
    let answer = check(&bytes, &authority.subject, now()).unwrap();
    assert_eq!(answer.next_update.to_string(), "2030-06-08T00:00:00.000Z");
    assert_eq!(answer.refresh_at().to_string(), "2030-06-04T12:00:00.000Z");
    // One that does not say how long it is good is so for an hour.
    let bytes = authority.says(GOOD, "20300601113000Z", None);
    let answer = check(&bytes, &authority.subject, now()).unwrap();
    assert_eq!(answer.next_update.to_string(), "2030-06-01T12:30:00.000Z");
}

#[test]
fn it_is_asked_for_again_at_half_of_its_time_and_later_ever_sooner() {
    let authority = Authority::new();
    let bytes = authority.says(GOOD, FROM, UNTIL);
    let answer = check(&bytes, &authority.subject, now()).unwrap();
    let again = |at: &str| answer.again_at(at.parse().unwrap()).to_string();
    assert_eq!(
        again("2030-06-01T12:00:00.000Z"),
        "2030-06-04T12:00:00.000Z"
    );
    // A responder that says the same for all of its time is not asked all the time.
    assert_eq!(
        again("2030-06-04T13:00:00.000Z"),
        "2030-06-05T13:00:00.000Z"
    );
    assert_eq!(
        again("2030-06-07T20:00:00.000Z"),
        "2030-06-07T22:00:00.000Z"
    );
    assert_eq!(
        again("2030-06-07T23:59:59.000Z"),
        "2030-06-08T00:00:04.000Z"
    );
}

#[test]
fn what_was_said_of_another_time_says_nothing_of_now() {
    let authority = Authority::new();
    let revoked = time_value("20300401000000Z");
    let bytes = authority.says((0xa1, &revoked), "20300501000000Z", Some("20300508000000Z"));
    let found = check(&bytes, &authority.subject, now());
    assert!(matches!(found, Err(Unfit::Time { .. })), "{found:?}");
}

#[test]
fn nothing_but_good_is_told_on() {
    let authority = Authority::new();
    let verdict = |status| {
        check(
            &authority.says(status, FROM, UNTIL),
            &authority.subject,
            now(),
        )
    };
    let revoked = time_value("20300501000000Z");
    assert_eq!(
        verdict((0xa1, &revoked)).unwrap_err().to_string(),
        "the certificate was revoked on 2030-05-01T00:00:00.000Z"
    );
    assert_eq!(verdict((0x82, b"")), Err(Unfit::Unknown));
    assert!(matches!(verdict((0x83, b"")), Err(Unfit::Malformed(_))));
    let other = Authority::new();
    let one = single_response(&other.subject, GOOD, FROM, UNTIL);
    let about_other = signed(&data(&[&one]), &authority.key, None);
    assert_eq!(
        check(&about_other, &authority.subject, now()),
        Err(Unfit::Other)
    );
    // Ours among others.
    let own = single_response(&authority.subject, GOOD, FROM, UNTIL);
    let both = signed(&data(&[&one, &own]), &authority.key, None);
    assert!(check(&both, &authority.subject, now()).is_ok());
    for (code, word) in [
        (1, "malformedRequest"),
        (3, "tryLater"),
        (6, "unauthorized"),
        (9, "no standard"),
    ] {
        let refused = value(SEQUENCE, &[&value(ENUMERATED, &[&[code]])]);
        let error = check(&refused, &authority.subject, now()).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn an_answer_is_told_on_in_its_time_alone() {
    let authority = Authority::new();
    for (from, until) in [
        ("20300501000000Z", Some("20300601000000Z")),
        ("20300601110000Z", None),
        ("20300601120600Z", UNTIL),
        ("20300601120100Z", Some("20300601120100Z")),
    ] {
        let found = check(
            &authority.says(GOOD, from, until),
            &authority.subject,
            now(),
        );
        assert!(matches!(found, Err(Unfit::Time { .. })), "{from} {found:?}");
    }
    // Our clock may be late.
    let bytes = authority.says(GOOD, "20300601120400Z", UNTIL);
    assert!(check(&bytes, &authority.subject, now()).is_ok());
}

#[test]
fn who_says_it_is_the_authority_or_whom_it_has_made_a_responder() {
    let authority = Authority::new();
    let own = data(&[&single_response(&authority.subject, GOOD, FROM, UNTIL)]);
    let verdict = |(certificate, key): &(Vec<u8>, KeyPair)| {
        check(
            &signed(&own, key, Some(certificate)),
            &authority.subject,
            now(),
        )
    };
    let purpose = [ExtendedKeyUsagePurpose::OcspSigning];
    let responder = authority.responder(&purpose, 2031);
    assert!(verdict(&responder).is_ok());
    for (who, word) in [
        (authority.responder(&purpose, 2030), "over"),
        (
            authority.responder(&[ExtendedKeyUsagePurpose::ServerAuth], 2031),
            "not made for that",
        ),
        (authority.responder(&[], 2031), "not made for that"),
        (
            Authority::new().responder(&purpose, 2031),
            "another authority",
        ),
    ] {
        let error = verdict(&who).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
    // The certificate of one, the signature of another.
    let (certificate, _) = responder;
    let stranger = (certificate, KeyPair::generate().unwrap());
    assert!(matches!(verdict(&stranger), Err(Unfit::Signature(_))));
    let unsigned = signed(&own, &KeyPair::generate().unwrap(), None);
    let found = check(&unsigned, &authority.subject, now());
    assert!(matches!(found, Err(Unfit::Signature(_))));
}

#[test]
fn an_answer_that_was_changed_or_cut_is_refused_without_panic() {
    let authority = Authority::new();
    let (certificate, key) = authority.responder(&[ExtendedKeyUsagePurpose::OcspSigning], 2031);
    let own = data(&[&single_response(&authority.subject, GOOD, FROM, UNTIL)]);
    let bytes = signed(&own, &key, Some(&certificate));
    assert!(check(&bytes, &authority.subject, now()).is_ok());
    for at in 0..bytes.len() {
        assert!(check(&bytes[..at], &authority.subject, now()).is_err());
        for bit in [1, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= bit;
            let found = check(&changed, &authority.subject, now());
            // Nothing about the answer can be changed; some of what is around it says nothing.
            let same = check(&bytes, &authority.subject, now());
            assert!(found.is_err() || found == same, "{at} {bit:x}");
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(mut bytes in vec(any::<u8>(), 0..200), at in 0..400_usize) {
        let authority = authority_for_all();
        prop_assert!(check(&bytes, &authority.subject, now()).is_err());
        // Deep inside of what is well formed.
        let mut whole = authority.says(GOOD, FROM, UNTIL);
        let at = at.min(whole.len());
        let rest = whole.split_off(at);
        bytes.truncate(rest.len());
        let kept = rest.len() - bytes.len();
        let changed = [&whole[..], &bytes, &rest[rest.len() - kept..]].concat();
        let _verdict = check(&changed, &authority.subject, now());
    }
}

fn authority_for_all() -> &'static Authority {
    static AUTHORITY: std::sync::LazyLock<Authority> = std::sync::LazyLock::new(Authority::new);
    &AUTHORITY
}
