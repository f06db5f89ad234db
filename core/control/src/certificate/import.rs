//! What somebody sends to be kept.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lb_model::api::CertificateImport;
use zeroize::Zeroizing;

use super::{Judged, Keeper, Part, Parts, Password, Unusable, Usable, judge, read_pfx};

const CERTIFICATE: &str = "`certificate`";
const CHAIN: &str = "`chain`";
const KEY: &str = "`key`";

/// What is at the beginning of the content of a PFX file: its version, a number (RFC 7292 section 4).
const DER_NUMBER: u8 = 2;

impl Keeper {
    /// Judges what somebody sends, and keeps it.
    ///
    /// # Errors
    /// Why it cannot be used; nothing is kept then.
    pub fn import(&self, request: CertificateImport) -> Result<Usable, Unusable> {
        let Judged { usable, key } = self.read_import(request)?;
        usable.check_time(self.now())?;
        let judged = Judged { usable, key };
        self.vault().keep(&judged)?;
        self.request_is_done(&judged);
        Ok(judged.usable)
    }

    fn read_import(&self, request: CertificateImport) -> Result<Judged, Unusable> {
        let CertificateImport {
            certificate,
            key,
            chain,
            password,
        } = request;
        let password = password.map(Password::new);
        let certificate = bytes(certificate, CERTIFICATE)?;
        let key = key.map(|text| bytes(text, KEY)).transpose()?;
        let chain = chain.map(|text| bytes(text, CHAIN)).transpose()?;
        let certificate = Part {
            place: CERTIFICATE,
            bytes: &certificate,
        };
        let mut material = if is_pfx(certificate.bytes) {
            let password = password.unwrap_or_else(|| Password::new(""));
            read_pfx(certificate, &password)?
        } else {
            let chain = chain.as_deref().map(|bytes| Part {
                place: CHAIN,
                bytes,
            });
            // A file of PEM may hold both.
            let key = key.as_deref().map(|bytes| Part { place: KEY, bytes });
            let key = key.or_else(|| holds_key(certificate.bytes).then_some(certificate));
            Parts {
                certificate,
                chain,
                key,
                password: password.as_ref(),
            }
            .read()?
        };
        if material.key.is_none() {
            self.requested_key(&mut material)?;
        }
        judge(material, &|issuer| self.is_root(issuer))
    }
}

/// The bytes of a file that was sent as text: PEM as it is, all else as base64.
fn bytes(text: String, place: &str) -> Result<Zeroizing<Vec<u8>>, Unusable> {
    let text = Zeroizing::new(text);
    if text.contains("-----BEGIN") {
        return Ok(Zeroizing::new(text.as_bytes().to_vec()));
    }
    let packed: Zeroizing<String> =
        Zeroizing::new(text.chars().filter(|c| !c.is_ascii_whitespace()).collect());
    match STANDARD.decode(packed.as_bytes()) {
        Ok(bytes) => Ok(Zeroizing::new(bytes)),
        Err(error) => Err(Unusable::Damaged {
            place: place.to_owned(),
            what: "base64",
            reason: error.to_string(),
        }),
    }
}

fn holds_key(bytes: &[u8]) -> bool {
    let mark = b"PRIVATE KEY-----";
    bytes.windows(mark.len()).any(|part| part == mark)
}

/// Both begin with a sequence; the first thing in a certificate is another one.
fn is_pfx(der: &[u8]) -> bool {
    let long = match der {
        [0x30, length, ..] if length & 0x80 != 0 => usize::from(length & 0x7f),
        [0x30, ..] => 0,
        _ => return false,
    };
    der.get(2 + long) == Some(&DER_NUMBER)
}
