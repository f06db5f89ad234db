//! Certificates between who keeps them and who shows them, and what operators are told of them.

use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lb_control::certificate::{Authority, Keeper, Loaded};
use lb_model::api::OcspStatus;
use lb_model::config::Config;
use lb_model::value::Name;
use lb_proxy::{AuthorityMaterial, Challenges, Material};
use rustls::sign::CertifiedKey;

/// How often the log tells of what is wrong.
const REMIND_EVERY: Duration = Duration::from_hours(24);

/// What the data plane needs of what was loaded.
pub(crate) fn material(
    keeper: &Keeper,
    loaded: &Loaded,
    document: &Config,
    challenges: &Arc<Challenges>,
) -> Material {
    let certificates = loaded.certificates().iter().filter_map(|(name, held)| {
        let certified = Arc::clone(&held.usable()?.certified);
        Some((name.clone(), certified))
    });
    let authorities = loaded.authorities().iter().filter_map(|(name, held)| {
        let Authority {
            certificates,
            revocation_lists,
        } = held.usable()?.clone();
        let authority = AuthorityMaterial {
            certificates,
            revocation_lists,
        };
        Some((name.clone(), authority))
    });
    let mut tls = document.pools.values().filter_map(|pool| pool.tls.as_ref());
    Material {
        certificates: certificates.collect(),
        authorities: authorities.collect(),
        // Most balancers need none of those hundreds.
        system: if tls.any(|tls| tls.authorities.is_empty()) {
            keeper.system()
        } else {
            Material::default().system
        },
        challenges: Arc::clone(challenges),
    }
}

/// The data plane as the place of answers for authorities.
#[derive(Debug)]
pub(crate) struct Answers(pub(crate) Arc<Challenges>);

impl lb_control::Challenges for Answers {
    fn answer_http(&self, token: &str, answer: &str) {
        self.0.answer_http(token, answer);
    }

    fn forget_http(&self, token: &str) {
        self.0.forget_http(token);
    }

    fn answer_tls(&self, host: &str, certificate: Arc<CertifiedKey>) {
        self.0.answer_tls(host, certificate);
    }

    fn forget_tls(&self, host: &str) {
        self.0.forget_tls(host);
    }
}

/// Appends what is known of certificates to a page of metrics.
pub(crate) fn write(page: &mut String, keeper: &Keeper) {
    write_ends(page, keeper);
    let asked = keeper.ocsp();
    let each = |value: fn(&OcspStatus) -> Option<u64>| {
        let values = asked
            .iter()
            .map(move |(name, status)| (name, value(status)));
        values.filter_map(|(name, value)| Some((name, value?)))
    };
    let until = each(|status| Some(status.good_until?.unix_millis() / 1000));
    write_gauge(page, OCSP_EXPIRY, until);
    write_gauge(
        page,
        OCSP_FAILURES,
        each(|status| Some(status.failures.into())),
    );
    let revoked = each(|status| Some(status.revoked_at.is_some().into()));
    write_gauge(page, REVOKED, revoked);
}

/// A name with what it says.
type Metric = (&'static str, &'static str);

const EXPIRY: Metric = (
    "lb_certificate_expiry_timestamp_seconds",
    "When the certificate that is in use ends, since 1970.",
);
const OCSP_EXPIRY: Metric = (
    "lb_certificate_ocsp_expiry_timestamp_seconds",
    "Until when clients are told that the certificate is not revoked, since 1970.",
);
const OCSP_FAILURES: Metric = (
    "lb_certificate_ocsp_failures",
    "How often in a row the OCSP responder was asked in vain.",
);
const REVOKED: Metric = (
    "lb_certificate_revoked",
    "Whether the authority says that the certificate is revoked.",
);

fn write_ends(page: &mut String, keeper: &Keeper) {
    let held = keeper.held_now();
    let ends = held.certificates().iter().filter_map(|(name, held)| {
        let end = held.usable()?.facts.not_after;
        Some((name, end.unix_millis() / 1000))
    });
    write_gauge(page, EXPIRY, ends);
}

/// Appends a value for each certificate, if there are any.
fn write_gauge<'a>(
    page: &mut String,
    (metric, help): Metric,
    values: impl Iterator<Item = (&'a Name, u64)>,
) {
    let mut values = values.peekable();
    if values.peek().is_none() {
        return;
    }
    write!(page, "# HELP {metric} {help}\n# TYPE {metric} gauge\n")
        .expect("a String takes every write");
    for (name, value) in values {
        writeln!(page, "{metric}{{certificate=\"{name}\"}} {value}")
            .expect("a String takes every write");
    }
}

/// Tells the log once a day what is wrong with certificates, or will be soon.
#[derive(Debug, Default)]
pub(crate) struct Reminder(Mutex<Option<Instant>>);

impl Reminder {
    /// Tells it, unless it was told within the last day.
    pub(crate) fn remind(&self, keeper: &Keeper, document: &Config) {
        let now = Instant::now();
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_some_and(|at| now.duration_since(at) < REMIND_EVERY) {
            return;
        }
        *told = Some(now);
        for (name, status) in keeper.report(document).certificates {
            for found in status.problem.iter().chain(&status.warnings) {
                let help = &found.help;
                tracing::warn!(certificate = %name, reason = found.message, help, "a certificate needs somebody");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lb_control::certificate::Vault;
    use lb_model::parse::{Format, parse};

    use super::*;

    #[test]
    fn the_end_of_each_certificate_is_a_metric() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = Keeper::new(Vault::new(folder.path()), lb_control::now);
        let mut page = String::new();
        write(&mut page, &keeper);
        assert_eq!(page, "");
        let text = "[certificates.shop]\nsource = { self_signed = { names = [\"a.test\"] } }\n\
                    [certificates.gone]\nsource = { files = { certificate = \"/no\", key = \"/no\" } }\n";
        keeper.start(&parse(text, Format::Toml).unwrap());
        write(&mut page, &keeper);
        let samples: Vec<_> = page.lines().filter(|line| !line.starts_with('#')).collect();
        let [sample] = samples[..] else {
            panic!("{page}");
        };
        let (name, value) = sample.split_once(' ').unwrap();
        assert_eq!(
            name,
            "lb_certificate_expiry_timestamp_seconds{certificate=\"shop\"}"
        );
        let left = value.parse::<u64>().unwrap() - lb_control::now().unix_millis() / 1000;
        assert!((390 * 86_400..=397 * 86_400).contains(&left), "{left}");
    }
}
