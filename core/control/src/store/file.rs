//! One revision as a file: a line that says what it is, its header as JSON, the digest of both, and
//! the document, whose length and digest are in the header.
//!
//! ```text
//! lbctl revision 1
//! {"number":7,"parent":6,…,"document_bytes":512,"document_sha256":"…"}
//! <SHA-256 of the two lines above>
//! {"virtual_services":…}
//! ```

use lb_model::api::{Revision, Source, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Digest, RevisionRecord};

/// The version of this format.
const VERSION: u32 = 1;

/// What each file begins with.
const MAGIC: &str = "lbctl revision ";

/// The most bytes of the three lines before the document.
pub(super) const HEAD_BYTES_MAX: usize = 64 << 10;

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It is no revision.
    #[error("it is no revision of lbctl")]
    Foreign,
    /// A newer version of this program wrote it.
    #[error("it has format {found}, and this lbctl knows {VERSION}")]
    Newer {
        /// The version of its format.
        found: u32,
    },
    /// Its beginning is not as it was written.
    #[error("its header is damaged")]
    Header,
    /// It ends too early.
    #[error("it ends after {found} bytes of a document of {expected}")]
    Truncated {
        /// The bytes that are there.
        found: u64,
        /// The bytes that there were.
        expected: u64,
    },
    /// Something follows the document.
    #[error("{0} bytes follow its document")]
    Longer(u64),
    /// Its document is not as it was written.
    #[error("its document is damaged: its digest is {found}, not {expected}")]
    Document {
        /// What was written.
        expected: Digest,
        /// What is there.
        found: Digest,
    },
    /// It is that of another number.
    #[error("it is revision {0} under another name")]
    Misnumbered(u64),
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// This version of the program does not take its document.
    #[error("this lbctl does not take its document: {0}")]
    Refused(String),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    number: u64,
    parent: Option<u64>,
    made_at: Timestamp,
    author: String,
    source: Source,
    comment: Option<String>,
    summary: String,
    confirm_until: Option<Timestamp>,
    document_bytes: u64,
    document_sha256: Digest,
}

/// The lines before the document.
pub(super) fn head(record: &RevisionRecord) -> String {
    let RevisionRecord {
        revision,
        digest,
        document_bytes,
    } = record.clone();
    let Revision {
        number,
        parent,
        made_at,
        author,
        source,
        comment,
        summary,
        confirm_until,
    } = revision;
    let header = Header {
        number,
        parent,
        made_at,
        author,
        source,
        comment,
        summary,
        confirm_until,
        document_bytes,
        document_sha256: digest,
    };
    // Nothing in it can fail; should it, the file is told as damaged when it is read.
    let json = serde_json::to_string(&header).unwrap_or_default();
    let lines = format!("{MAGIC}{VERSION}\n{json}\n");
    let digest = Digest::of(lines.as_bytes());
    format!("{lines}{digest}\n")
}

/// The document in a whole file that should be the revision with this number.
pub(super) fn document(bytes: &[u8], number: u64) -> Result<&[u8], Damage> {
    let record = read_start(bytes, bytes.len() as u64, number)?;
    // It is the end of its file.
    let length = usize::try_from(record.document_bytes).unwrap_or(usize::MAX);
    let document = &bytes[bytes.len().saturating_sub(length)..];
    let (expected, found) = (record.digest, Digest::of(document));
    if found != expected {
        return Err(Damage::Document { expected, found });
    }
    Ok(document)
}

/// Looks at the beginning of a file that should be the revision with this number, and at its length.
pub(super) fn read_start(bytes: &[u8], length: u64, number: u64) -> Result<RevisionRecord, Damage> {
    let (record, head_bytes) = read_head(bytes)?;
    let (found, expected) = (length - head_bytes as u64, record.document_bytes);
    if found < expected {
        return Err(Damage::Truncated { found, expected });
    }
    if found > expected {
        return Err(Damage::Longer(found - expected));
    }
    if record.number() != number {
        return Err(Damage::Misnumbered(record.number()));
    }
    Ok(record)
}

/// The header, and how many bytes come before the document.
fn read_head(bytes: &[u8]) -> Result<(RevisionRecord, usize), Damage> {
    let head = bytes.get(..HEAD_BYTES_MAX).unwrap_or(bytes);
    let version = head.strip_prefix(MAGIC.as_bytes()).ok_or(Damage::Foreign)?;
    let version = version.split(|byte| *byte == b'\n').next();
    let version = version.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    match version {
        Some(VERSION) => {}
        Some(found) if found > VERSION => return Err(Damage::Newer { found }),
        Some(_) | None => return Err(Damage::Header),
    }
    let mut ends = head.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let mut end = || ends.next().map(|(at, _)| at + 1).ok_or(Damage::Header);
    let (first, second, third) = (end()?, end()?, end()?);
    let (lines, digest) = (&bytes[..second], &bytes[second..third - 1]);
    let digest = std::str::from_utf8(digest)
        .ok()
        .and_then(|text| text.parse().ok());
    if digest != Some(Digest::of(lines)) {
        return Err(Damage::Header);
    }
    let header = serde_json::from_slice(&lines[first..]).map_err(|_| Damage::Header)?;
    let Header {
        number,
        parent,
        made_at,
        author,
        source,
        comment,
        summary,
        confirm_until,
        document_bytes,
        document_sha256,
    } = header;
    let revision = Revision {
        number,
        parent,
        made_at,
        author,
        source,
        comment,
        summary,
        confirm_until,
    };
    let record = RevisionRecord {
        revision,
        digest: document_sha256,
        document_bytes,
    };
    Ok((record, third))
}
