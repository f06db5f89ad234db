//! Questions of authorities that want to see that a host is ours (RFC 8555 section 8, RFC 8737), and the
//! answers that somebody has put here for them. Mostly there are none.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::sign::CertifiedKey;

/// Where authorities ask over HTTP (RFC 8555 section 8.3).
const PATH: &[u8] = b"/.well-known/acme-challenge/";
/// What they offer with ALPN when they ask over TLS (RFC 8737 section 6.2).
pub(crate) const ALPN: &[u8] = b"acme-tls/1";

/// Answers for authorities, the same for all workers.
#[derive(Default)]
pub struct Challenges {
    /// How many there are: what every request looks at.
    count: AtomicUsize,
    answers: Mutex<Answers>,
}

#[derive(Default)]
struct Answers {
    /// By the last part of the path.
    http: HashMap<Box<[u8]>, Box<str>>,
    /// By host in lower case.
    tls: HashMap<Box<str>, Arc<CertifiedKey>>,
}

impl std::fmt::Debug for Challenges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Challenges")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

impl Challenges {
    /// Answers whoever asks over HTTP for this token.
    pub fn answer_http(&self, token: &str, answer: &str) {
        self.change(|answers| {
            answers.http.insert(token.as_bytes().into(), answer.into());
        });
    }

    /// Answers nobody who asks for this token any more.
    pub fn forget_http(&self, token: &str) {
        self.change(|answers| drop(answers.http.remove(token.as_bytes())));
    }

    /// Shows this certificate to whoever asks for this host over TLS as authorities do.
    pub fn answer_tls(&self, host: &str, certificate: Arc<CertifiedKey>) {
        self.change(|answers| {
            let host = host.to_ascii_lowercase().into_boxed_str();
            answers.tls.insert(host, certificate);
        });
    }

    /// Shows nothing for this host any more.
    pub fn forget_tls(&self, host: &str) {
        self.change(|answers| drop(answers.tls.remove(host.to_ascii_lowercase().as_str())));
    }

    /// The answer to a request for this path.
    pub(crate) fn to_http(&self, path: &[u8]) -> Option<Box<str>> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let token = path.strip_prefix(PATH)?;
        self.answers().http.get(token).cloned()
    }

    /// The certificate for a handshake with [`ALPN`].
    pub(crate) fn to_tls(&self, host: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let host = host?.to_ascii_lowercase();
        self.answers().tls.get(host.as_str()).cloned()
    }

    fn change(&self, change: impl FnOnce(&mut Answers)) {
        let mut answers = self.answers();
        change(&mut answers);
        let count = answers.http.len() + answers.tls.len();
        self.count.store(count, Ordering::Relaxed);
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_put_there_is_answered_and_only_there() {
        let challenges = Challenges::default();
        let ask = |path: &str| challenges.to_http(path.as_bytes());
        assert_eq!(ask("/.well-known/acme-challenge/abc"), None);
        challenges.answer_http("abc", "abc.thumb");
        challenges.answer_http("def", "def.thumb");
        assert_eq!(
            ask("/.well-known/acme-challenge/abc").as_deref(),
            Some("abc.thumb")
        );
        for path in [
            "/abc",
            "/.well-known/acme-challenge/",
            "/.well-known/acme-challenge/abcd",
        ] {
            assert_eq!(ask(path), None, "{path}");
        }
        challenges.forget_http("abc");
        assert_eq!(ask("/.well-known/acme-challenge/abc"), None);
        assert_eq!(
            ask("/.well-known/acme-challenge/def").as_deref(),
            Some("def.thumb")
        );
    }
}
