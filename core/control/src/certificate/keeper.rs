//! What the document names: loaded once, held as long as it stays the same, and read again when its
//! files change.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use lb_model::Config;
use lb_model::api::{CertificateWarning, Timestamp};
use lb_model::config::{
    AcmeCertificate, Authority as AuthorityModel, AuthoritySource, Certificate as CertificateModel,
    CertificateFiles, CertificateSource, SelfSigned, StoredCertificate,
};
use lb_model::value::{CertificateName, Name};
use rustls::RootCertStore;
use rustls::sign::CertifiedKey;

use super::file::{self, Stamp};
use super::pem::{Part, Parts};
use super::vault::is_due;
use super::{Authority, Unusable, Usable, Vault, judge};
use crate::Clock;
use crate::acme::Orders;
use crate::ocsp::{self, Questions};

/// Has the certificates and authorities of the document in force.
pub struct Keeper {
    clock: Clock,
    vault: Vault,
    held: Mutex<Loaded>,
    orders: Orders,
    questions: Questions,
    system: OnceLock<Arc<RootCertStore>>,
}

/// The certificates and authorities of one document. What two documents have in common is the same
/// object in both.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    certificates: All<CertificateModel, Usable>,
    authorities: All<AuthorityModel, Authority>,
}

/// All of one kind, by name.
pub type All<M, T> = BTreeMap<Name, Arc<Held<M, T>>>;

/// Something that the document names, as it was loaded.
#[derive(Debug)]
pub struct Held<M, T> {
    model: M,
    /// Of its files, before they were read.
    stamps: Box<[Option<Stamp>]>,
    usable: Option<T>,
    problem: Option<Unusable>,
}

/// A change names something that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotLoaded {
    /// `certificates` or `authorities`.
    kind: &'static str,
    name: Name,
    reason: Unusable,
}

impl fmt::Display for NotLoaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, reason } = self;
        write!(f, "{kind}.{name}: {reason}")
    }
}

impl std::error::Error for NotLoaded {}

impl NotLoaded {
    /// What to do.
    pub fn help(&self) -> String {
        self.reason.help()
    }
}

impl<M, T> Held<M, T> {
    /// What the document says of it.
    pub(crate) const fn model(&self) -> &M {
        &self.model
    }

    /// What is used; none when there never was anything that can be.
    pub const fn usable(&self) -> Option<&T> {
        self.usable.as_ref()
    }

    /// What is wrong with what the document names now. What was loaded before goes on being used.
    pub const fn problem(&self) -> Option<&Unusable> {
        self.problem.as_ref()
    }
}

impl Loaded {
    /// The certificates by name.
    pub const fn certificates(&self) -> &All<CertificateModel, Usable> {
        &self.certificates
    }

    /// The authorities by name.
    pub const fn authorities(&self) -> &All<AuthorityModel, Authority> {
        &self.authorities
    }
}

fn hosts(names: &[CertificateName]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// Which of these hosts a certificate is not for.
fn missing(usable: &Usable, names: &[CertificateName]) -> String {
    let known = |name: &str| {
        usable
            .facts
            .names
            .iter()
            .any(|k| k.eq_ignore_ascii_case(name))
    };
    let missing: Vec<_> = names
        .iter()
        .map(CertificateName::as_str)
        .filter(|name| !known(name))
        .collect();
    missing.join(", ")
}

/// What the keeper can load and hold under a name.
trait Source: Clone + PartialEq {
    type Usable: Clone;
    const KIND: &'static str;

    /// What it is made of on the disk, as far as others write that.
    fn paths(&self, name: &Name, keeper: &Keeper) -> Vec<PathBuf>;

    /// Loads it, also when its time is over or has not come.
    fn load(&self, name: &Name, keeper: &Keeper) -> Result<Self::Usable, Unusable>;

    /// Whether it could be loaded. Nothing is made for that.
    fn judge(&self, name: &Name, keeper: &Keeper) -> Result<(), Unusable> {
        let usable = self.load(name, keeper)?;
        Self::check_time(&usable, keeper)
    }

    /// Whether it is to be loaded again although its files are as they were.
    fn is_due(&self, _: Option<&Self::Usable>, _: &Keeper) -> bool {
        false
    }

    /// What was loaded before and is used on, although it cannot be loaded now.
    fn as_before(&self, _: &Name, usable: &Self::Usable, _: &Keeper) -> Self::Usable {
        usable.clone()
    }

    /// Whether its time is now.
    fn check_time(usable: &Self::Usable, keeper: &Keeper) -> Result<(), Unusable>;

    fn is_same(one: &Self::Usable, other: &Self::Usable) -> bool;

    /// Whether the log is told when the other one takes the place of this one.
    fn is_news(_: &Self::Usable, _: &Self::Usable) -> bool {
        true
    }
}

impl Source for CertificateModel {
    type Usable = Usable;
    const KIND: &'static str = "certificates";

    fn paths(&self, name: &Name, keeper: &Keeper) -> Vec<PathBuf> {
        let mut paths = match &self.source {
            CertificateSource::Files(CertificateFiles { certificate, key }) => {
                vec![certificate.clone(), key.clone()]
            }
            CertificateSource::Stored(StoredCertificate { fingerprint }) => {
                vec![keeper.vault.imported(fingerprint)]
            }
            CertificateSource::Acme(_) => vec![keeper.vault.issued_path(name)],
            CertificateSource::SelfSigned(_) => Vec::new(),
        };
        if self.ocsp_stapling {
            paths.push(keeper.vault.staple_path(name));
        }
        paths
    }

    fn load(&self, name: &Name, keeper: &Keeper) -> Result<Usable, Unusable> {
        let usable = match &self.source {
            CertificateSource::Files(files) => keeper.files(files),
            CertificateSource::Stored(StoredCertificate { fingerprint }) => keeper
                .vault
                .get(fingerprint, &|issuer| keeper.is_root(issuer)),
            CertificateSource::SelfSigned(SelfSigned { names }) => {
                keeper.vault.self_signed(name, &hosts(names), keeper.now())
            }
            CertificateSource::Acme(order) => keeper.issued(name, order),
        }?;
        Ok(self.as_before(name, &usable, keeper))
    }

    fn as_before(&self, name: &Name, usable: &Usable, keeper: &Keeper) -> Usable {
        keeper.stapled(name, usable, self.ocsp_stapling)
    }

    fn judge(&self, name: &Name, keeper: &Keeper) -> Result<(), Unusable> {
        match self.source {
            // The balancer makes something in any case.
            CertificateSource::SelfSigned(_) | CertificateSource::Acme(_) => return Ok(()),
            CertificateSource::Files(_) | CertificateSource::Stored(_) => {}
        }
        Self::check_time(&self.load(name, keeper)?, keeper)
    }

    fn is_due(&self, usable: Option<&Usable>, keeper: &Keeper) -> bool {
        let is_over = |usable: &Usable| {
            let staple = usable.staple;
            staple.is_some_and(|answer| keeper.now() >= answer.next_update)
        };
        let is_own = matches!(self.source, CertificateSource::SelfSigned(_));
        usable.is_some_and(is_over)
            || is_own && usable.is_none_or(|usable| is_due(usable, keeper.now()))
    }

    fn check_time(usable: &Usable, keeper: &Keeper) -> Result<(), Unusable> {
        usable.check_time(keeper.now())
    }

    fn is_same(one: &Usable, other: &Usable) -> bool {
        // The key belongs to the certificate, so it is the same, too.
        one.certified.cert == other.certified.cert && one.certified.ocsp == other.certified.ocsp
    }

    fn is_news(one: &Usable, other: &Usable) -> bool {
        // Who asks responders tells of their answers.
        one.certified.cert != other.certified.cert
    }
}

impl Source for AuthorityModel {
    type Usable = Authority;
    const KIND: &'static str = "authorities";

    fn paths(&self, _: &Name, _: &Keeper) -> Vec<PathBuf> {
        let file = match &self.source {
            AuthoritySource::File(path) => Some(path),
            AuthoritySource::Pem(_) => None,
        };
        file.into_iter()
            .chain(&self.revocation_list)
            .cloned()
            .collect()
    }

    fn load(&self, _: &Name, _: &Keeper) -> Result<Authority, Unusable> {
        Authority::load(self)
    }

    fn check_time(_: &Authority, _: &Keeper) -> Result<(), Unusable> {
        // Whoever is checked against it is told, with the reason.
        Ok(())
    }

    fn is_same(one: &Authority, other: &Authority) -> bool {
        one.says_the_same(other)
    }
}

impl Keeper {
    /// Has nothing yet but what is kept in the state directory.
    pub fn new(vault: Vault, clock: Clock) -> Self {
        Self {
            clock,
            vault,
            held: Mutex::default(),
            orders: Orders::default(),
            questions: Questions::default(),
            system: OnceLock::new(),
        }
    }

    /// Loads what a document names, for the start: what cannot be used is left out and told, because
    /// the rest is better than nothing. What has expired is used: clients decide.
    pub fn start(&self, document: &Config) -> Loaded {
        let loaded = Loaded {
            certificates: self.start_all(&document.certificates),
            authorities: self.start_all(&document.authorities),
        };
        self.hold(loaded.clone());
        loaded
    }

    /// Loads what a document brings in or changes. What stays as it is does not hinder a change, and
    /// is not read again.
    ///
    /// # Errors
    /// Something that is new cannot be used.
    pub fn load(&self, document: &Config) -> Result<Loaded, NotLoaded> {
        let held = self.held().clone();
        Ok(Loaded {
            certificates: self.load_all(&held.certificates, &document.certificates)?,
            authorities: self.load_all(&held.authorities, &document.authorities)?,
        })
    }

    /// Whether [`load`](Self::load) would do; nothing is made or held.
    ///
    /// # Errors
    /// Something that is new cannot be used.
    pub fn judge(&self, document: &Config) -> Result<(), NotLoaded> {
        let held = self.held().clone();
        self.judge_all(&held.certificates, &document.certificates)?;
        self.judge_all(&held.authorities, &document.authorities)
    }

    /// Reads again what has changed on the disk; none when nothing did. What cannot be used is told,
    /// and what was there before is used on.
    pub fn look_again(&self) -> Option<Loaded> {
        let held = self.held().clone();
        let certificates = self.look_at_all(&held.certificates);
        let authorities = self.look_at_all(&held.authorities);
        if certificates.is_none() && authorities.is_none() {
            return None;
        }
        Some(Loaded {
            certificates: certificates.unwrap_or(held.certificates),
            authorities: authorities.unwrap_or(held.authorities),
        })
    }

    /// Holds this from now on, as it is in force.
    pub fn hold(&self, loaded: Loaded) {
        *self.held() = loaded;
    }

    /// What is held.
    pub fn held_now(&self) -> Loaded {
        self.held().clone()
    }

    /// The authorities that the system trusts. They are read when they are needed first.
    pub fn system(&self) -> Arc<RootCertStore> {
        let read = || {
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::warn!(%error, "some authorities of the system cannot be read");
            }
            let mut roots = RootCertStore::empty();
            // Every system has some that are too old for anybody.
            let (_added, _ignored) = roots.add_parsable_certificates(found.certs);
            Arc::new(roots)
        };
        Arc::clone(self.system.get_or_init(read))
    }

    /// Orders that did not end well.
    pub(crate) const fn orders(&self) -> &Orders {
        &self.orders
    }

    /// How questions whether certificates are revoked went.
    pub(crate) const fn questions(&self) -> &Questions {
        &self.questions
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    pub(crate) const fn vault(&self) -> &Vault {
        &self.vault
    }

    fn held(&self) -> MutexGuard<'_, Loaded> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start_all<S: Source>(&self, models: &BTreeMap<Name, S>) -> All<S, S::Usable> {
        let start = |(name, model): (&Name, &S)| {
            let read = self.read(name, model);
            if let Some(problem) = &read.problem {
                let help = problem.help();
                if read.usable.is_some() {
                    tracing::error!(%name, error = %problem, help, "clients will not trust a certificate");
                } else {
                    let kind = S::KIND;
                    tracing::error!(kind, %name, error = %problem, help, "it cannot be used; what needs it refuses, the rest serves");
                }
            }
            (name.clone(), Arc::new(read))
        };
        models.iter().map(start).collect()
    }

    fn load_all<S: Source>(
        &self,
        held: &All<S, S::Usable>,
        models: &BTreeMap<Name, S>,
    ) -> Result<All<S, S::Usable>, NotLoaded> {
        let load = |(name, model): (&Name, &S)| {
            if let Some(held) = held.get(name).filter(|held| held.model == *model) {
                return Ok((name.clone(), Arc::clone(held)));
            }
            let new = self.read(name, model);
            match new.problem {
                Some(reason) => Err(NotLoaded {
                    kind: S::KIND,
                    name: name.clone(),
                    reason,
                }),
                None => Ok((name.clone(), Arc::new(new))),
            }
        };
        models.iter().map(load).collect()
    }

    fn judge_all<S: Source>(
        &self,
        held: &All<S, S::Usable>,
        models: &BTreeMap<Name, S>,
    ) -> Result<(), NotLoaded> {
        let mut new = models
            .iter()
            .filter(|(name, model)| held.get(*name).is_none_or(|held| held.model != **model));
        new.try_for_each(|(name, model)| {
            model.judge(name, self).map_err(|reason| NotLoaded {
                kind: S::KIND,
                name: name.clone(),
                reason,
            })
        })
    }

    fn look_at_all<S: Source>(&self, held: &All<S, S::Usable>) -> Option<All<S, S::Usable>> {
        let mut after = None;
        for (name, old) in held {
            let is_due = old.model.is_due(old.usable.as_ref(), self);
            if !is_due && self.stamps(name, &old.model) == old.stamps {
                continue;
            }
            let new = self.read_again(name, old);
            after
                .get_or_insert_with(|| held.clone())
                .insert(name.clone(), Arc::new(new));
        }
        after
    }

    fn read<S: Source>(&self, name: &Name, model: &S) -> Held<S, S::Usable> {
        // Before the files: one that changes meanwhile is read once more.
        let stamps = self.stamps(name, model);
        let (usable, problem) = match model.load(name, self) {
            Ok(usable) => {
                let problem = S::check_time(&usable, self).err();
                (Some(usable), problem)
            }
            Err(problem) => (None, Some(problem)),
        };
        Held {
            model: model.clone(),
            stamps,
            usable,
            problem,
        }
    }

    /// What cannot be used takes the place of nothing that can.
    fn read_again<S: Source>(&self, name: &Name, old: &Held<S, S::Usable>) -> Held<S, S::Usable> {
        let mut new = self.read(name, &old.model);
        let kind = S::KIND;
        if let Some(problem) = &new.problem {
            let help = problem.help();
            tracing::error!(kind, %name, error = %problem, help, "its files have changed and are not taken");
            if let Some(before) = &old.usable {
                new.usable = Some(old.model.as_before(name, before, self));
            }
            return new;
        }
        match (&old.usable, &mut new.usable) {
            // The object stays, so that nothing is built anew for it.
            (Some(before), Some(after)) if S::is_same(before, after) => after.clone_from(before),
            (Some(before), Some(after)) if !S::is_news(before, after) => {}
            _ => tracing::info!(kind, %name, "its files have changed and are taken"),
        }
        new
    }

    fn stamps<S: Source>(&self, name: &Name, model: &S) -> Box<[Option<Stamp>]> {
        let paths = model.paths(name, self);
        paths.iter().map(|path| file::stamp(path)).collect()
    }

    /// The same certificate with what its responder has said last, if that may be shown now.
    fn stapled(&self, name: &Name, usable: &Usable, is_wanted: bool) -> Usable {
        let said = usable.subject.as_ref().filter(|_| is_wanted);
        let said = said.and_then(|subject| {
            let said = self.vault.staple(name)?;
            // It may be about another certificate that had this name, or too old: it is asked again.
            let answer = ocsp::check(&said, subject, self.now()).ok()?;
            Some((said, answer))
        });
        let (said, staple) = said.unzip();
        let mut usable = usable.clone();
        if usable.certified.ocsp != said {
            let mut certified = CertifiedKey::clone(&usable.certified);
            certified.ocsp = said;
            usable.certified = Arc::new(certified);
        }
        usable.staple = staple;
        usable
    }

    /// What an authority has issued, or one of our own that stands in until it has.
    fn issued(&self, name: &Name, order: &AcmeCertificate) -> Result<Usable, Unusable> {
        match self.vault.issued(name) {
            Ok(Some(mut usable)) => {
                // Whatever it is for is served on while another one is ordered.
                let missing = missing(&usable, &order.names);
                if !missing.is_empty() {
                    usable.stands_in = true;
                    usable.warnings.push(CertificateWarning {
                        message: format!("it is not for {missing} yet"),
                        help: "wait a minute; if it stays so, the reason is here and in the log"
                            .to_owned(),
                    });
                }
                return Ok(usable);
            }
            Ok(None) => {}
            Err(error) => {
                let help = error.help();
                tracing::error!(%name, %error, help, "a certificate that was issued cannot be used; another one is ordered");
            }
        }
        let hosts = hosts(&order.names);
        let mut stand_in = self.vault.self_signed(name, &hosts, self.now())?;
        stand_in.stands_in = true;
        stand_in.warnings.push(CertificateWarning {
            message: "the balancer has signed it itself, and it stands in until the authority has \
                      issued one"
                .to_owned(),
            help:
                "wait a minute; if it stays so, the reason is in `lbctl certificate status` and in \
                   the log"
                    .to_owned(),
        });
        Ok(stand_in)
    }

    fn files(&self, files: &CertificateFiles) -> Result<Usable, Unusable> {
        let (certificate, certificate_place) = file::open_small(&files.certificate)?;
        let (key, key_place) = file::open_small(&files.key)?;
        let key = zeroize::Zeroizing::new(key);
        let parts = Parts {
            certificate: Part {
                place: &certificate_place,
                bytes: &certificate,
            },
            chain: None,
            key: Some(Part {
                place: &key_place,
                bytes: &key,
            }),
            password: None,
        };
        let judged = judge(parts.read()?, &|issuer| self.is_root(issuer))?;
        Ok(judged.usable)
    }

    /// Whether the system trusts an authority of this name.
    pub(super) fn is_root(&self, subject: &[u8]) -> bool {
        let system = self.system();
        system
            .roots
            .iter()
            .any(|root| inner(subject) == Some(root.subject.as_ref()))
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

/// What is in a sequence of DER: a trust anchor has its subject without what is around it.
fn inner(der: &[u8]) -> Option<&[u8]> {
    let (first, rest) = der.split_first_chunk::<2>()?;
    let [0x30, length] = *first else {
        return None;
    };
    let long = usize::from(length & 0x7f);
    let rest = if length & 0x80 == 0 {
        rest
    } else {
        rest.get(long..)?
    };
    Some(rest)
}

#[cfg(test)]
mod tests;
