//! Whether certificates are revoked, told to clients with the certificate (OCSP stapling, RFC 6960 and RFC
//! 6066 section 8): asked of the authority in the background, checked, and shown until it is too old.

mod der;
mod fetch;
mod question;
mod refusal;
mod request;
mod response;
mod stapler;

pub(crate) use fetch::ANSWER_BYTES_MAX;
pub(crate) use question::{Question, Questions};
pub(crate) use request::Subject;
pub(crate) use response::{Answer, check};
pub use stapler::Stapler;
