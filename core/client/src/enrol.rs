//! The first token of a balancer that nobody has seen before: who has what makes it can tell the balancer from
//! somebody who answers in its place, and needs no fingerprint for that.

use aws_lc_rs::hmac;
use lb_model::api::{Enrolment, NewToken};
use lb_model::value::{Fingerprint, Name};

use crate::address::Address;
use crate::client::Client;
use crate::error::ClientError;
use crate::tls::{self, Distrust, Trust};

/// A balancer that has a token now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// The fingerprint of its certificate, which is to be pinned.
    pub fingerprint: Fingerprint,
    /// The token, which may do everything.
    pub made: NewToken,
}

/// Makes the first token of the balancer at this address, with the one that was put into its state
/// directory. The balancer must prove first that it has the same one; it is sent to nobody else.
///
/// # Errors
/// Nobody answers, they prove nothing, or the token was used or is too old.
pub async fn enrol(address: Address, token: &str, name: &Name) -> Result<Enrolled, ClientError> {
    let (connector, seen) = tls::onlooker()?;
    let stranger = Client::through(address.clone(), connector);
    let told = stranger.enrolment().await?;
    let distrusted = || ClientError::Distrusted {
        address: address.clone(),
        source: Distrust::OtherToken,
    };
    let fingerprint = *seen.get().ok_or_else(distrusted)?;
    if !is_proved(token, &fingerprint, &told) {
        return Err(distrusted());
    }
    let trust = Trust::Fingerprint(fingerprint);
    let client = Client::new(address, Some(token), &trust, None)?;
    let made = client.bootstrap(name).await?;
    Ok(Enrolled { fingerprint, made })
}

/// In constant time.
fn is_proved(token: &str, fingerprint: &Fingerprint, told: &Enrolment) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes());
    let key = hmac::sign(&key, Enrolment::KEY.as_bytes());
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_ref());
    // The proof has the form of a fingerprint, which reads 64 hexadecimal digits.
    told.proof
        .parse::<Fingerprint>()
        .is_ok_and(|proof| hmac::verify(&key, fingerprint.bytes(), proof.bytes()).is_ok())
}
