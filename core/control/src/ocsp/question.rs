//! What is known of the questions to responders, for who asks them and for who tells people.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lb_model::api::{CertificateWarning, Timestamp};
use lb_model::value::Name;

use super::request::Subject;

/// The latest question about each certificate, by its name in the document.
#[derive(Debug, Default)]
pub(crate) struct Questions(Mutex<BTreeMap<Name, Question>>);

/// How the latest question about a certificate went.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// Which certificate it was about: another one may have the name now.
    pub(crate) subject: Subject,
    /// When it may be asked again.
    pub(crate) again_at: Timestamp,
    /// How often in a row there was no answer that could be shown.
    pub(crate) failures: u32,
    /// Why there was none the last time.
    pub(crate) refusal: Option<CertificateWarning>,
    /// Since when the authority has revoked it, as far as it has said so.
    pub(crate) revoked_at: Option<Timestamp>,
}

impl Questions {
    /// How the latest question about this certificate under this name went.
    pub(crate) fn latest(&self, name: &Name, subject: &Subject) -> Option<Question> {
        let all = self.all();
        let found = all.get(name).filter(|found| found.subject == *subject);
        found.cloned()
    }

    /// Keeps how one went.
    pub(super) fn note(&self, name: &Name, question: Question) {
        self.all().insert(name.clone(), question);
    }

    /// Forgets all certificates but these.
    pub(super) fn keep(&self, is_asked: impl Fn(&Name) -> bool) {
        self.all().retain(|name, _| is_asked(name));
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Name, Question>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
