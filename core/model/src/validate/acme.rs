//! Accounts of ACME and what is ordered with them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::found::Found;
use super::machine::file_name;
use super::reference::unknown;
use super::tls::{account_path, certificate_path};
use crate::config::{
    AcmeAccount, AcmeCertificate, AcmeChallenge, CertificateSource, Config, DnsHook,
    ExternalAccount, Protocol,
};
use crate::problem::{Code, Path};
use crate::value::Name;

/// Every certificate that is ordered, with where that stands.
fn orders(config: &Config) -> impl Iterator<Item = (Path, &AcmeCertificate)> {
    config
        .certificates
        .iter()
        .filter_map(|(name, certificate)| {
            let CertificateSource::Acme(order) = &certificate.source else {
                return None;
            };
            Some((certificate_path(name).key("source").key("acme"), order))
        })
}

pub(super) fn accounts(config: &Config, found: &mut Found) {
    let used: BTreeSet<&Name> = orders(config).map(|(_, order)| &order.account).collect();
    for (name, account) in &config.acme_accounts {
        let AcmeAccount {
            description: _,
            directory: _,
            terms_of_service_agreed,
            contacts: _,
            // Looked at with all authorities.
            authority: _,
            external_account,
        } = account;
        let path = account_path(name);
        if !used.contains(name) {
            let message = format!("no certificate is ordered with the account `{name}`");
            let help = "name it in `source.acme.account` of a certificate, or remove it";
            found.report(Code::UnusedAcmeAccount, path.clone(), message, help);
        }
        if !terms_of_service_agreed {
            let message = "the authority issues certificates only to those who agree to its terms";
            let help = "read them, and set `terms_of_service_agreed = true`";
            let path = path.key("terms_of_service_agreed");
            found.report(Code::TermsNotAgreed, path, message, help);
        }
        if let Some(ExternalAccount {
            key_id: _,
            key_file,
        }) = external_account
        {
            let path = path.key("external_account").key("key_file");
            file_name(key_file, path, "/etc/lbctl/acme-key", found);
        }
    }
}

pub(super) fn certificates(config: &Config, found: &mut Found) {
    for (path, order) in orders(config) {
        let AcmeCertificate {
            account,
            names,
            challenge,
        } = order;
        if !config.acme_accounts.contains_key(account) {
            unknown(
                "acme_account",
                Code::UnknownAcmeAccount,
                (path.key("account"), account),
                config.acme_accounts.keys(),
                found,
            );
        }
        let by_dns = matches!(challenge, AcmeChallenge::Dns(_));
        for (index, name) in names.iter().enumerate() {
            let path = path.key("names").index(index);
            if name.as_str().starts_with("*.") && !by_dns {
                let message = format!("an authority issues `{name}` only when DNS proves it");
                let help = "use `challenge = { dns = { hook = \"/path/of/a/program\" } }`, or name \
                            each host";
                found.report(Code::WildcardNeedsDns, path, message, help);
            } else if name.as_str().parse::<IpAddr>().is_ok() {
                let message = format!("`{name}` is an address, and names are what is proved");
                let help = "give the name of the host, or use a certificate from files";
                found.report(Code::AddressFromAcme, path, message, help);
            }
        }
        if let AcmeChallenge::Dns(DnsHook { hook }) = challenge {
            let path = path.key("challenge").key("dns").key("hook");
            file_name(hook, path, "/etc/lbctl/dns-hook", found);
        }
    }
}

/// Whether something listens where authorities ask.
pub(super) fn reached(config: &Config, found: &mut Found) {
    let listens = |port: u16, secure: bool| {
        config.virtual_services.values().any(|service| {
            service.enabled
                && service.protocol == Protocol::Http
                && service.tls.is_some() == secure
                && service.address.socket_addr().port() == port
        })
    };
    for (path, order) in orders(config) {
        let (port, secure, what) = match order.challenge {
            AcmeChallenge::Http => (80, false, "speaks HTTP on port 80"),
            AcmeChallenge::TlsAlpn => (443, true, "speaks HTTP over TLS on port 443"),
            AcmeChallenge::Dns(_) => continue,
        };
        if listens(port, secure) {
            continue;
        }
        let message = format!("the authority asks on port {port}, and no virtual service {what}");
        let help = "make one there, or lead that port to one that does; `redirect_to_https` is right \
                    for plain HTTP";
        found.report(
            Code::ChallengeNotReached,
            path.key("challenge"),
            message,
            help,
        );
    }
}
