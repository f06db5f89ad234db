//! One order: from the account to the certificate (RFC 8555 section 7).

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeStatus, ChallengeType,
    ExternalAccountKey, Identifier, KeyAuthorization, NewAccount, NewOrder, Order, OrderStatus,
    RetryPolicy,
};
use lb_model::config::{AcmeAccount, AcmeCertificate, AcmeChallenge, ExternalAccount};
use lb_model::value::Name;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::error::{AcmeError, words};
use super::fetch::Fetch;
use super::{Challenges, hook};
use crate::certificate::{Judged, Keeper, Part, Parts, judge, read_file};

/// How long an authority may take to look, and to issue.
pub(super) const POLL_MAX: Duration = Duration::from_mins(2);

/// What is ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) account: AcmeAccount,
    pub(super) order: AcmeCertificate,
}

/// Orders a certificate and waits for it.
pub(super) async fn run(
    keeper: &Keeper,
    challenges: &Arc<dyn Challenges>,
    wanted: &Wanted,
) -> Result<Judged, AcmeError> {
    let account = match account(keeper, wanted).await {
        Err(error) if error.ends_account() => {
            keeper.vault().forget_secret(&secret_name(wanted))?;
            return Err(error);
        }
        other => other?,
    };
    let names: Vec<_> = wanted.order.names.iter().map(ToString::to_string).collect();
    let identifiers: Vec<_> = names.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    // Its answers are taken back when this is dropped, however it ends.
    let mut proofs = Proofs::new(challenges);
    let proved = prove(&mut order, wanted, &mut proofs).await;
    proofs.clean_up().await;
    proved?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key)?;
    order.finalize_csr(request.der()).await?;
    let chain = order.poll_certificate(&patience()).await?;
    let key = Zeroizing::new(key.serialize_pem());
    let part = |bytes| Part {
        place: "what the authority has issued",
        bytes,
    };
    let parts = Parts {
        certificate: part(chain.as_bytes()),
        chain: None,
        key: Some(part(key.as_bytes())),
        password: None,
    };
    Ok(judge(parts.read()?, &|_| true)?)
}

fn patience() -> RetryPolicy {
    RetryPolicy::new().timeout(POLL_MAX)
}

/// The account that is kept, or a new one.
async fn account(keeper: &Keeper, wanted: &Wanted) -> Result<Account, AcmeError> {
    let AcmeAccount {
        description: _,
        directory,
        terms_of_service_agreed,
        contacts,
        authority,
        external_account,
    } = &wanted.account;
    let fetch = Box::new(Fetch::new(roots(keeper, authority.as_ref())?)?);
    let builder = Account::builder_with_http(fetch);
    let (name, of) = (secret_name(wanted), directory.as_str().as_bytes());
    // One that was sealed for another directory does not open, and is of no use here.
    let kept = keeper.vault().secret(&name, of)?;
    let kept = kept.and_then(|bytes| serde_json::from_slice::<AccountCredentials>(&bytes).ok());
    if let Some(credentials) = kept {
        return Ok(builder.from_credentials(credentials).await?);
    }
    let contacts: Vec<_> = contacts.iter().map(|c| format!("mailto:{c}")).collect();
    let contacts: Vec<_> = contacts.iter().map(String::as_str).collect();
    let new = NewAccount {
        contact: &contacts,
        terms_of_service_agreed: *terms_of_service_agreed,
        only_return_existing: false,
    };
    let outside = external_account.as_ref().map(outside_key).transpose()?;
    let made = builder.create(&new, directory.to_string(), outside.as_ref());
    let (account, credentials) = made.await?;
    let bytes = serde_json::to_vec(&credentials);
    let bytes = Zeroizing::new(bytes.map_err(|error| AcmeError::Protocol(error.to_string()))?);
    keeper.vault().keep_secret(&name, of, &bytes)?;
    tracing::info!(account = %wanted.order.account, %directory, "an account with an authority was made");
    Ok(account)
}

fn secret_name(wanted: &Wanted) -> String {
    format!("acme-account-{}", wanted.order.account)
}

/// Who vouches for the web server of the authority.
fn roots(keeper: &Keeper, authority: Option<&Name>) -> Result<Arc<RootCertStore>, AcmeError> {
    let Some(name) = authority else {
        return Ok(keeper.system());
    };
    let held = keeper.held_now();
    let held = held.authorities().get(name).and_then(|held| held.usable());
    let held = held.ok_or_else(|| {
        AcmeError::Document(format!("the authority `{name}` could not be loaded"))
    })?;
    let mut roots = RootCertStore::empty();
    let (_added, _unusable) = roots.add_parsable_certificates(held.certificates.iter().cloned());
    Ok(Arc::new(roots))
}

fn outside_key(model: &ExternalAccount) -> Result<ExternalAccountKey, AcmeError> {
    let ExternalAccount { key_id, key_file } = model;
    let unusable = |reason: String| AcmeError::Key {
        place: format!("`{}`", key_file.display()),
        reason,
    };
    let text = read_file(key_file).map_err(|error| unusable(error.to_string()))?;
    let text = Zeroizing::new(text);
    let text = text.trim_ascii();
    let key = URL_SAFE_NO_PAD
        .decode(text)
        .or_else(|_| STANDARD.decode(text));
    let key = Zeroizing::new(key.map_err(|error| unusable(format!("it is not base64: {error}")))?);
    Ok(ExternalAccountKey::new(key_id.clone(), &key))
}

/// Shows the authority that every host is ours.
async fn prove(
    order: &mut Order,
    wanted: &Wanted,
    proofs: &mut Proofs<'_>,
) -> Result<(), AcmeError> {
    let (kind, challenge, how) = match wanted.order.challenge {
        AcmeChallenge::Http => (
            ChallengeType::Http01,
            "http-01",
            "see that the host leads to this balancer on port 80 from the outside, and to a virtual service that speaks HTTP",
        ),
        AcmeChallenge::TlsAlpn => (
            ChallengeType::TlsAlpn01,
            "tls-alpn-01",
            "see that the host leads to this balancer on port 443 from the outside, and nothing before it ends TLS",
        ),
        AcmeChallenge::Dns(_) => (
            ChallengeType::Dns01,
            "dns-01",
            "see that all name servers of the domain have the record when the program ends",
        ),
    };
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let host = authorization.identifier().to_string();
        let Some(mut asked) = authorization.challenge(kind.clone()) else {
            return Err(AcmeError::NoChallenge { host, challenge });
        };
        let token = asked.token.clone();
        let answer = asked.key_authorization();
        proofs
            .show(&wanted.order.challenge, &host, &token, &answer)
            .await?;
        asked.set_ready().await?;
    }
    let outcome = order.poll_ready(&patience()).await;
    if let Ok(OrderStatus::Ready | OrderStatus::Valid) = outcome {
        return Ok(());
    }
    // Why stands with the host.
    let mut authorizations = order.authorizations();
    while let Some(Ok(authorization)) = authorizations.next().await {
        let failed = |status| status == ChallengeStatus::Invalid;
        let failed = authorization.challenges.iter().find(|c| failed(c.status));
        if let Some(problem) = failed.and_then(|challenge| challenge.error.as_ref()) {
            return Err(AcmeError::NotProved {
                host: authorization.identifier().to_string(),
                words: words(problem),
                how,
            });
        }
    }
    outcome?;
    Err(AcmeError::Protocol(
        "the order has become invalid without a reason".to_owned(),
    ))
}

/// What is shown to the authority while it looks.
struct Proofs<'a> {
    challenges: &'a Arc<dyn Challenges>,
    http: Vec<String>,
    tls: Vec<String>,
    dns: Vec<(std::path::PathBuf, String, String)>,
}

impl<'a> Proofs<'a> {
    const fn new(challenges: &'a Arc<dyn Challenges>) -> Self {
        Self {
            challenges,
            http: Vec::new(),
            tls: Vec::new(),
            dns: Vec::new(),
        }
    }

    async fn show(
        &mut self,
        challenge: &AcmeChallenge,
        host: &str,
        token: &str,
        answer: &KeyAuthorization,
    ) -> Result<(), AcmeError> {
        match challenge {
            AcmeChallenge::Http => {
                self.http.push(token.to_owned());
                self.challenges.answer_http(token, answer.as_str());
            }
            AcmeChallenge::TlsAlpn => {
                self.tls.push(host.to_owned());
                let certificate = proof(host, answer.digest().as_ref())?;
                self.challenges.answer_tls(host, Arc::new(certificate));
            }
            AcmeChallenge::Dns(dns) => {
                let domain = host.strip_prefix("*.").unwrap_or(host);
                let record = format!("_acme-challenge.{domain}");
                let value = answer.dns_value();
                // Also when the program fails: it may have done a part.
                self.dns
                    .push((dns.hook.clone(), record.clone(), value.clone()));
                hook::run(&dns.hook, "present", &record, &value).await?;
            }
        }
        Ok(())
    }

    /// Removes the records.
    async fn clean_up(&mut self) {
        for (program, record, value) in self.dns.drain(..) {
            if let Err(error) = hook::run(&program, "cleanup", &record, &value).await {
                tracing::warn!(%error, record, "a TXT record may be left");
            }
        }
    }
}

impl Drop for Proofs<'_> {
    fn drop(&mut self) {
        for token in &self.http {
            self.challenges.forget_http(token);
        }
        for host in &self.tls {
            self.challenges.forget_tls(host);
        }
    }
}

/// The certificate that shows over TLS that a host is ours (RFC 8737 section 3).
fn proof(host: &str, digest: &[u8]) -> Result<CertifiedKey, AcmeError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new([host.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let made = params.self_signed(&key)?;
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let signing = any_supported_type(&der);
    let signing = signing.map_err(|error| AcmeError::Request(error.to_string()))?;
    Ok(CertifiedKey::new(vec![made.der().clone()], signing))
}
