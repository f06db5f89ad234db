//! What is known of a revision without its document.

use lb_model::api::Revision;

use crate::Digest;

/// A revision as it is stored, without its document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionRecord {
    /// How it came to be. `confirm_until` is there only while somebody must confirm it.
    pub revision: Revision,
    /// The digest of its document as canonical JSON.
    pub digest: Digest,
    /// How large that is.
    pub document_bytes: u64,
}

impl RevisionRecord {
    /// Its number.
    pub fn number(&self) -> u64 {
        self.revision.number
    }

    /// Whether it is taken back unless somebody confirms it.
    pub fn is_awaiting(&self) -> bool {
        self.revision.confirm_until.is_some()
    }
}
