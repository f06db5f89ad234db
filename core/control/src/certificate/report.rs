//! How the certificates are, for people and programs.

use std::time::Duration;

use lb_model::Config;
use lb_model::api::{CertificateStatus, CertificateWarning, Certificates, OcspStatus, Timestamp};
use lb_model::config::{Certificate, CertificateSource};
use lb_model::value::Name;

use super::{Keeper, Unusable, Usable};
use crate::ocsp::Unanswered;

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
            let unanswered = self.unanswered().get(name).cloned();
            warnings.extend(unanswered.iter().map(|found| found.warning.clone()));
            CertificateStatus {
                facts: usable.map(|usable| usable.facts.clone()),
                warnings,
                ocsp: held
                    .filter(|held| held.model().ocsp_stapling)
                    .and_then(|held| stapled(held.usable()?, unanswered.as_ref())),
                problem: held
                    .and_then(|held| held.problem())
                    .map(told)
                    .or_else(|| self.not_issued(name)),
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

fn stapled(usable: &Usable, unanswered: Option<&Unanswered>) -> Option<OcspStatus> {
    let subject = usable.subject.as_ref()?;
    let staple = usable.staple;
    let next = unanswered.map(|unanswered| unanswered.next_at);
    Some(OcspStatus {
        responder: subject.responder.clone(),
        good_until: staple.map(|answer| answer.until),
        next_question_at: next.or(staple.map(|answer| answer.refresh_at())),
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
