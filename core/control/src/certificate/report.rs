//! How the certificates are, for people and programs.

use std::time::Duration;

use lb_model::Config;
use lb_model::api::{CertificateStatus, CertificateWarning, Certificates, OcspStatus, Timestamp};
use lb_model::config::{Certificate, CertificateSource};
use lb_model::value::Name;

use super::{Held, Keeper, Unusable, Usable};
use crate::ocsp::Question;

/// When somebody should begin to think of the next one.
const SOON: Duration = Duration::from_hours(30 * 24);
const DAY_MILLIS: u64 = 24 * 3600 * 1000;

impl Keeper {
    /// How the certificates are that a document names. It is the one in force.
    pub fn report(&self, document: &Config) -> Certificates {
        let held = self.held_now();
        let now = self.now();
        let status = |name: &Name| {
            let held = held.certificates().get(name);
            let usable = held.and_then(|held| held.usable());
            let mut warnings = usable.map_or_else(Vec::new, |usable| usable.warnings.clone());
            // What the balancer renews by itself is worth a word when that fails, which is told.
            let renews = document.certificates.get(name).is_some_and(renews_itself);
            let ends = usable.and_then(|usable| ends(usable, now));
            warnings.extend(ends.filter(|_| !renews));
            let question = held.and_then(|held| self.question(name, held));
            warnings.extend(usable.and_then(|usable| unanswered(usable, question.as_ref())));
            warnings.extend(usable.and_then(must_staple));
            CertificateStatus {
                facts: usable.map(|usable| usable.facts.clone()),
                warnings,
                problem: held
                    .and_then(|held| held.problem())
                    .map(told)
                    .or_else(|| self.not_issued(name)),
                ocsp: held.and_then(|held| ocsp(held, question.as_ref())),
                virtual_services: document
                    .virtual_services
                    .iter()
                    .filter(|(_, service)| {
                        let tls = service.tls.as_ref();
                        tls.is_some_and(|tls| tls.certificates.contains(name))
                    })
                    .map(|(service, _)| service.clone())
                    .collect(),
                pools: document
                    .pools
                    .iter()
                    .filter(|(_, pool)| {
                        let tls = pool.tls.as_ref();
                        tls.is_some_and(|tls| tls.certificate.as_ref() == Some(name))
                    })
                    .map(|(pool, _)| pool.clone())
                    .collect(),
            }
        };
        Certificates {
            certificates: document
                .certificates
                .keys()
                .map(|name| (name.clone(), status(name)))
                .collect(),
        }
    }
}

impl Keeper {
    /// What is known of whether each certificate in use is revoked, where somebody is asked.
    pub fn ocsp(&self) -> Vec<(Name, OcspStatus)> {
        let held = self.held_now();
        let all = held.certificates().iter();
        all.filter_map(|(name, held)| {
            let question = self.question(name, held);
            Some((name.clone(), ocsp(held, question.as_ref())?))
        })
        .collect()
    }

    /// How the latest question about it went, if it is to be asked about.
    fn question(&self, name: &Name, held: &Held<Certificate, Usable>) -> Option<Question> {
        let subject = held.usable()?.subject.as_ref()?;
        let latest = self.questions().latest(name, subject);
        latest.filter(|_| held.model().ocsp_stapling)
    }

    /// Why an authority has not issued it.
    fn not_issued(&self, name: &Name) -> Option<CertificateWarning> {
        let failed = self.orders().failed(name)?;
        Some(CertificateWarning {
            message: format!(
                "{}; it is ordered again at {}",
                failed.reason, failed.again_at
            ),
            help: failed.help,
        })
    }
}

fn ocsp(held: &Held<Certificate, Usable>, question: Option<&Question>) -> Option<OcspStatus> {
    let usable = held.usable().filter(|_| held.model().ocsp_stapling)?;
    Some(OcspStatus {
        responder: usable.subject.as_ref()?.responder.clone(),
        good_until: usable.staple.map(|answer| answer.next_update),
        revoked_at: question.and_then(|question| question.revoked_at),
        next_question_at: question.map(|question| question.again_at),
        failures: question.map_or(0, |question| question.failures),
    })
}

/// Why there is no new answer, and what clients are told meanwhile.
fn unanswered(usable: &Usable, question: Option<&Question>) -> Option<CertificateWarning> {
    let question = question?;
    let CertificateWarning { message, help } = question.refusal.clone()?;
    let meanwhile = match usable.staple.map(|answer| answer.next_update) {
        Some(until) => format!("its former answer is shown until {until}"),
        None => "clients are told nothing".to_owned(),
    };
    let again_at = question.again_at;
    Some(CertificateWarning {
        message: format!("{message}; {meanwhile}, and it is asked again at {again_at}"),
        help,
    })
}

/// That clients will refuse it.
fn must_staple(usable: &Usable) -> Option<CertificateWarning> {
    if !usable.facts.must_staple || usable.staple.is_some() {
        return None;
    }
    let help = if usable.subject.is_some() {
        "see that `ocsp_stapling` of the certificate is on, and what is said of its responder"
    } else {
        "it names no responder over HTTP, or the certificate of its issuer is not with it: add that behind it"
    };
    Some(CertificateWarning {
        message:
            "it says that clients are to refuse it without an OCSP answer (must-staple), and there \
                  is none"
                .to_owned(),
        help: help.to_owned(),
    })
}

fn renews_itself(certificate: &Certificate) -> bool {
    match certificate.source {
        CertificateSource::Acme(_) | CertificateSource::SelfSigned(_) => true,
        CertificateSource::Files(_) | CertificateSource::Stored(_) => false,
    }
}

fn told(problem: &Unusable) -> CertificateWarning {
    CertificateWarning {
        message: problem.to_string(),
        help: problem.help(),
    }
}

/// That it ends soon.
fn ends(usable: &Usable, now: Timestamp) -> Option<CertificateWarning> {
    let end = usable.facts.not_after;
    let left = end.unix_millis().saturating_sub(now.unix_millis());
    if u128::from(left) >= SOON.as_millis() {
        return None;
    }
    let message = match left / DAY_MILLIS {
        0 if left == 0 => format!("it ended on {end}, and no browser takes it"),
        0 => format!("it ends today, on {end}"),
        1 => format!("it ends tomorrow, on {end}"),
        days => format!("it ends in {days} days, on {end}"),
    };
    Some(CertificateWarning {
        message,
        help: "get a new one from whoever issued it, and give it here: `lbctl certificate import`, or \
               put it in its files"
            .to_owned(),
    })
}
