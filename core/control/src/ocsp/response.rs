//! What a responder says (RFC 6960 section 4.2), and whether it may be believed.

use std::time::Duration;

use lb_model::api::Timestamp;
use x509_parser::asn1_rs::{BitString, FromDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::time::ASN1Time;
use x509_parser::verify::verify_signature;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

use super::der::{
    BIT_STRING, ENUMERATED, GENERALIZED_TIME, INTEGER, NotDer, OBJECT_IDENTIFIER, OCTET_STRING,
    Reader, SEQUENCE, context, context_primitive,
};
use super::request::Subject;
use crate::clock::later;

/// `id-pkix-ocsp-basic`.
const BASIC: [u8; 9] = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];
/// `sha1`.
const SHA1: [u8; 5] = [0x2b, 0x0e, 0x03, 0x02, 0x1a];

/// Signatures of RSA over SHA-1, under both of their names.
const WEAK: [&str; 2] = ["1.2.840.113549.1.1.5", "1.3.14.3.2.29"];

/// How late our clock may be.
const LATE: Duration = Duration::from_mins(5);
/// How long an answer is good that does not say it.
const UNTOLD: Duration = Duration::from_hours(1);
/// The shortest and longest pause before an answer is asked for again that is past its half.
const AGAIN_MIN: Duration = Duration::from_secs(5);
const AGAIN_MAX: Duration = Duration::from_hours(24);
/// The most certificates that a responder may send with its answer.
const CERTIFICATES_MAX: usize = 10;

/// A responder says that the certificate is not revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// When that was so.
    pub(crate) this_update: Timestamp,
    /// Until when it may be told on.
    pub(crate) next_update: Timestamp,
}

/// Why an answer may not be told on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    /// It cannot be read.
    #[error("its answer is malformed: {0}")]
    Malformed(&'static str),
    /// It does not answer the question.
    #[error("it answers: {0}")]
    NoAnswer(&'static str),
    /// It is about other certificates.
    #[error("its answer is about another certificate")]
    Other,
    /// The certificate is revoked.
    #[error("the certificate was revoked on {0}")]
    Revoked(Timestamp),
    /// The authority does not know it.
    #[error("its authority does not know the certificate")]
    Unknown,
    /// It is not signed by who may say so.
    #[error("its answer is not signed by the authority of the certificate: {0}")]
    Signature(&'static str),
    /// It is too old, or not yet true.
    #[error("its answer is good from {from} until {until}, and not now")]
    Time {
        /// From when.
        from: Timestamp,
        /// Until when.
        until: Timestamp,
    },
}

impl From<NotDer> for Unfit {
    fn from(NotDer(reason): NotDer) -> Self {
        Self::Malformed(reason)
    }
}

impl Answer {
    /// When to ask again: when half of its time is over.
    pub(crate) fn refresh_at(&self) -> Timestamp {
        let from = self.this_update;
        later(from, since(from, self.next_update) / 2)
    }

    /// When to ask again after it was given now. Many responders say the same for longer than half of
    /// its time: each further question comes after half of what is left.
    pub(super) fn again_at(&self, now: Timestamp) -> Timestamp {
        let half_left = since(now, self.next_update) / 2;
        self.refresh_at()
            .max(later(now, half_left.clamp(AGAIN_MIN, AGAIN_MAX)))
    }
}

/// Reads an answer about a certificate; nothing but a good one that is true now may be told on.
///
/// # Errors
/// Why it may not.
pub(crate) fn check(bytes: &[u8], subject: &Subject, now: Timestamp) -> Result<Answer, Unfit> {
    let mut outer = Reader::new(bytes);
    let mut response = outer.enter(SEQUENCE)?;
    outer.end()?;
    status(response.take(ENUMERATED)?.content)?;
    let mut envelope = response.enter(context(0))?.enter(SEQUENCE)?;
    if envelope.take(OBJECT_IDENTIFIER)?.content != BASIC {
        return Err(Unfit::Malformed("it is of an unknown kind"));
    }
    let inside = envelope.take(OCTET_STRING)?.content;
    let mut inside = Reader::new(inside);
    let mut basic = inside.enter(SEQUENCE)?;
    inside.end()?;
    let signed = basic.take(SEQUENCE)?;
    let algorithm = basic.take(SEQUENCE)?.whole;
    let signature = basic.take(BIT_STRING)?.whole;
    let certificates = basic.take_if(context(0))?;
    basic.end()?;
    let statement = Statement {
        signed: signed.whole,
        algorithm,
        signature,
    };
    statement.check(certificates.map(|c| c.content), subject, now)?;
    single(signed.content, subject, now)
}

/// What the whole response is (RFC 6960 section 4.2.1).
fn status(code: &[u8]) -> Result<(), Unfit> {
    Err(Unfit::NoAnswer(match code {
        [0] => return Ok(()),
        [1] => "malformedRequest, it did not understand the question",
        [2] => "internalError, it has a fault",
        [3] => "tryLater, it has no time now",
        [5] => "sigRequired, it wants questions to be signed",
        [6] => "unauthorized, it does not answer for this certificate",
        _ => "something that no standard knows",
    }))
}

/// What is said of our certificate.
fn single(data: &[u8], subject: &Subject, now: Timestamp) -> Result<Answer, Unfit> {
    let mut data = Reader::new(data);
    data.take_if(context(0))?;
    // Who says it: the signature tells.
    data.next()?;
    data.take(GENERALIZED_TIME)?;
    let mut list = data.enter(SEQUENCE)?;
    while let Some(one) = list.next()? {
        if one.tag != SEQUENCE {
            return Err(Unfit::Malformed("an answer is none"));
        }
        let mut one = Reader::new(one.content);
        if !is_about(one.take(SEQUENCE)?.content, subject)? {
            continue;
        }
        let status = one.next()?.ok_or(NotDer("an answer says nothing"))?;
        let from = time(one.take(GENERALIZED_TIME)?.whole)?;
        let until = match one.take_if(context(0))? {
            Some(next) => time(Reader::new(next.content).take(GENERALIZED_TIME)?.whole)?,
            None => later(from, UNTOLD),
        };
        if from > later(now, LATE) || now >= until || until <= from {
            return Err(Unfit::Time { from, until });
        }
        if status.tag == context(1) {
            let at = Reader::new(status.content).take(GENERALIZED_TIME)?.whole;
            return Err(Unfit::Revoked(time(at)?));
        } else if status.tag == context_primitive(2) {
            return Err(Unfit::Unknown);
        } else if status.tag != context_primitive(0) {
            return Err(Unfit::Malformed("an answer is neither good nor bad"));
        }
        return Ok(Answer {
            this_update: from,
            next_update: until,
        });
    }
    Err(Unfit::Other)
}

/// Whether this names our certificate. Responders name it in the way of the question.
fn is_about(id: &[u8], subject: &Subject) -> Result<bool, Unfit> {
    let mut id = Reader::new(id);
    let algorithm = id.enter(SEQUENCE)?.take(OBJECT_IDENTIFIER)?.content;
    let name = id.take(OCTET_STRING)?.content;
    let key = id.take(OCTET_STRING)?.content;
    let serial = id.take(INTEGER)?.content;
    let [own_name, own_key] = &subject.issuer;
    Ok(algorithm == SHA1 && name == own_name && key == own_key && serial == subject.serial)
}

/// What is signed, and how.
struct Statement<'a> {
    signed: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl Statement<'_> {
    /// Whether the authority that has issued the certificate has signed it, or somebody whom that has
    /// made a responder (RFC 6960 section 4.2.2.2).
    fn check(
        &self,
        certificates: Option<&[u8]>,
        subject: &Subject,
        now: Timestamp,
    ) -> Result<(), Unfit> {
        let damaged = Unfit::Malformed("the key of the authority");
        let (_, issuer) =
            SubjectPublicKeyInfo::from_der(&subject.issuer_key).map_err(|_| damaged)?;
        if self.is_by(&issuer) {
            return Ok(());
        }
        let Some(certificates) = certificates else {
            return Err(Unfit::Signature("and it names nobody else who may"));
        };
        let mut list = Reader::new(certificates).enter(SEQUENCE)?;
        let mut unfit = Unfit::Signature("and it names nobody else who may");
        for _ in 0..CERTIFICATES_MAX {
            let Some(found) = list.next()? else { break };
            let Ok((_, found)) = X509Certificate::from_der(found.whole) else {
                return Err(Unfit::Malformed("the certificate of the responder"));
            };
            if !self.is_by(found.public_key()) {
                continue;
            }
            match may_answer(&found, &issuer, subject, now) {
                Ok(()) => return Ok(()),
                Err(reason) => unfit = Unfit::Signature(reason),
            }
        }
        Err(unfit)
    }

    fn is_by(&self, key: &SubjectPublicKeyInfo<'_>) -> bool {
        let algorithm = AlgorithmIdentifier::from_der(self.algorithm);
        let signature = BitString::from_der(self.signature);
        let (Ok((_, algorithm)), Ok((_, signature))) = (algorithm, signature) else {
            return false;
        };
        // Somebody else may be able to make an answer with the same SHA-1.
        let is_weak = WEAK.contains(&algorithm.algorithm.to_id_string().as_str());
        !is_weak && verify_signature(key, &algorithm, &signature, self.signed).is_ok()
    }
}

/// Whether the authority has made this one a responder.
fn may_answer(
    responder: &X509Certificate<'_>,
    issuer: &SubjectPublicKeyInfo<'_>,
    subject: &Subject,
    now: Timestamp,
) -> Result<(), &'static str> {
    let same_name = responder.issuer().as_raw() == subject.issuer_name;
    if !same_name || responder.verify_signature(Some(issuer)).is_err() {
        return Err("another authority has made the responder one");
    }
    let usage = responder.extended_key_usage().ok().flatten();
    if !usage.is_some_and(|usage| usage.value.ocsp_signing) {
        return Err("the responder's certificate is not made for that");
    }
    let seconds = i64::try_from(now.unix_millis() / 1000).unwrap_or(i64::MAX);
    let is_now =
        ASN1Time::from_timestamp(seconds).is_ok_and(|now| responder.validity().is_valid_at(now));
    if !is_now {
        return Err("the responder's certificate is over, or not yet valid");
    }
    Ok(())
}

/// How long it is from one time to another that is later.
const fn since(from: Timestamp, until: Timestamp) -> Duration {
    Duration::from_millis(until.unix_millis().saturating_sub(from.unix_millis()))
}

fn time(whole: &[u8]) -> Result<Timestamp, Unfit> {
    let (_, time) = ASN1Time::from_der(whole).map_err(|_| Unfit::Malformed("a time is none"))?;
    let seconds = u64::try_from(time.timestamp()).unwrap_or_default();
    Ok(Timestamp::from_unix_millis(seconds.saturating_mul(1000)))
}

#[cfg(test)]
mod tests;
