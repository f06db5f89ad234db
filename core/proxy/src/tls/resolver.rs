//! Which certificate a client sees: the one for the host that it asks for (RFC 6066 section 3), by the
//! names in the certificate (RFC 9525), of the best kind that the client knows.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use crate::challenge::{self, Challenges};
use rustc_hash::FxBuildHasher;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, SignatureAlgorithm, SignatureScheme};

/// The longest host name (RFC 1035 section 2.3.4).
const HOST_MAX: usize = 255;

thread_local! {
    static ASKED: RefCell<Asked> = RefCell::default();
}

/// What the client asked for whose hello was looked at last on this thread: rustls does not tell.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) server_name: Option<Box<str>>,
    /// Whether it is refused because no certificate is for the host.
    pub(super) refused: bool,
}

/// Takes what was noted since it was last taken.
pub(super) fn take_asked() -> Asked {
    ASKED.with(RefCell::take)
}

/// The certificates of one virtual service.
#[derive(Debug)]
pub(super) struct Resolver {
    /// By host in lower case; `*.` stands for one label.
    hosts: HashMap<Box<str>, Choice, FxBuildHasher>,
    /// For all other hosts, and when none is asked for.
    fallback: Choice,
    refuses: bool,
    challenges: Arc<Challenges>,
}

/// Certificates for the same host, those that are quicker to work with first.
type Choice = Vec<Arc<CertifiedKey>>;

impl Resolver {
    /// A resolver for certificates, of which the first is for all other hosts unless those are refused.
    pub(super) fn new(
        certificates: &[Arc<CertifiedKey>],
        refuses: bool,
        challenges: Arc<Challenges>,
    ) -> Self {
        let mut hosts: HashMap<Box<str>, Choice, FxBuildHasher> = HashMap::default();
        for certificate in certificates {
            for name in names(certificate) {
                add(hosts.entry(name).or_default(), certificate);
            }
        }
        let mut fallback = Choice::new();
        if let Some(first) = certificates.first() {
            // Others with its name may know algorithms that it does not.
            let name = names(first).into_iter().next();
            let same = name.and_then(|name| hosts.get(&name).cloned());
            fallback = same.unwrap_or_default();
            add(&mut fallback, first);
        }
        Self {
            hosts,
            fallback,
            refuses,
            challenges,
        }
    }

    fn of_host(&self, host: &str) -> Option<&Choice> {
        let host = host.strip_suffix('.').unwrap_or(host);
        let mut room = [0; HOST_MAX];
        let lower = room.get_mut(..host.len())?;
        lower.copy_from_slice(host.as_bytes());
        lower.make_ascii_lowercase();
        let lower = std::str::from_utf8(lower).ok()?;
        if let Some(choice) = self.hosts.get(lower) {
            return Some(choice);
        }
        // A wildcard stands for one whole label (RFC 9525 section 6.3).
        let (label, domain) = lower.split_once('.')?;
        if label.is_empty() {
            return None;
        }
        let mut wildcard = String::with_capacity(HOST_MAX);
        wildcard.push_str("*.");
        wildcard.push_str(domain);
        self.hosts.get(wildcard.as_str())
    }

    fn choose(
        &self,
        host: Option<&str>,
        known: &Known<'_>,
    ) -> Result<Option<&Arc<CertifiedKey>>, Refused> {
        let choice = match host.and_then(|host| self.of_host(host)) {
            Some(choice) => choice,
            None if self.refuses => return Err(Refused),
            None => &self.fallback,
        };
        let usable = choice.iter().find(|certificate| known.knows(certificate));
        // When the client knows none of them, rustls says so to it.
        Ok(usable.or(choice.first()))
    }
}

/// No certificate is for the host.
struct Refused;

/// What a client can check.
struct Known<'a> {
    schemes: &'a [SignatureScheme],
    suites: &'a [CipherSuite],
}

impl Known<'_> {
    fn knows(&self, certificate: &CertifiedKey) -> bool {
        let scheme = certificate.key.choose_scheme(self.schemes);
        let is_rsa = certificate.key.algorithm() == SignatureAlgorithm::RSA;
        // Before TLS 1.3, the kind of the key was part of the cipher suite.
        let suite = |suite: &CipherSuite| {
            let name = suite.as_str().unwrap_or_default();
            name.starts_with("TLS13_")
                || if is_rsa {
                    name.starts_with("TLS_ECDHE_RSA_")
                } else {
                    name.starts_with("TLS_ECDHE_ECDSA_")
                }
        };
        scheme.is_some() && self.suites.iter().any(suite)
    }
}

fn add(choice: &mut Choice, certificate: &Arc<CertifiedKey>) {
    if !choice.iter().any(|other| Arc::ptr_eq(other, certificate)) {
        choice.push(Arc::clone(certificate));
        choice.sort_by_key(|certificate| certificate.key.algorithm() == SignatureAlgorithm::RSA);
    }
}

/// The hosts that a certificate is for, in lower case.
fn names(certificate: &CertifiedKey) -> Vec<Box<str>> {
    let Ok(end) = certificate.end_entity_cert() else {
        return Vec::new();
    };
    let Ok(end) = webpki::EndEntityCert::try_from(end) else {
        return Vec::new();
    };
    end.valid_dns_names()
        .map(|name| name.to_ascii_lowercase().into())
        .collect()
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // An authority offers this alone (RFC 8737 section 3).
        let mut offered = hello.alpn().into_iter().flatten();
        if offered.next() == Some(challenge::ALPN) && offered.next().is_none() {
            let shown = self.challenges.to_tls(hello.server_name());
            ASKED.with(|asked| {
                asked.replace(Asked {
                    server_name: None,
                    refused: shown.is_none(),
                })
            });
            return shown;
        }
        let known = Known {
            schemes: hello.signature_schemes(),
            suites: hello.cipher_suites(),
        };
        let chosen = self.choose(hello.server_name(), &known);
        ASKED.with(|asked| {
            asked.replace(Asked {
                server_name: hello.server_name().map(Into::into),
                refused: chosen.is_err(),
            })
        });
        chosen.ok().flatten().cloned()
    }
}
