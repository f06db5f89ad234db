//! TLS: certificates and authorities must exist and should be used, and what excludes what.

use std::collections::BTreeSet;

use super::found::{Found, pool_path, service_path};
use super::machine::file_name;
use super::reference::unknown;
use crate::config::{
    Authority, AuthoritySource, Certificate, CertificateFiles, CertificateSource, ClientTls,
    Config, Protocol, ServerTls, TlsHeaders, VirtualService,
};
use crate::problem::{Code, Path};
use crate::value::Name;

/// Every mention of a certificate, with where it stands.
fn certificates_of(config: &Config) -> impl Iterator<Item = (Path, &Name)> {
    let shown = config.virtual_services.iter().flat_map(|(name, service)| {
        let list = service.tls.iter().flat_map(|tls| &tls.certificates);
        let place = service_path(name).key("tls").key("certificates");
        list.enumerate()
            .map(move |(i, certificate)| (place.index(i), certificate))
    });
    let own = config.pools.iter().filter_map(|(name, pool)| {
        let certificate = pool.tls.as_ref()?.certificate.as_ref()?;
        Some((pool_path(name).key("tls").key("certificate"), certificate))
    });
    shown.chain(own)
}

/// Every mention of an authority, with where it stands.
fn authorities_of(config: &Config) -> impl Iterator<Item = (Path, &Name)> {
    let of_clients = config.virtual_services.iter().flat_map(|(name, service)| {
        let tls = service.tls.as_ref();
        let clients = tls.and_then(|tls| tls.client_certificates.as_ref());
        let place = service_path(name).key("tls").key("client_certificates");
        let list = clients.into_iter().flat_map(|clients| &clients.authorities);
        list.enumerate()
            .map(move |(i, authority)| (place.key("authorities").index(i), authority))
    });
    let of_servers = config.pools.iter().flat_map(|(name, pool)| {
        let list = pool.tls.iter().flat_map(|tls| &tls.authorities);
        let place = pool_path(name).key("tls").key("authorities");
        list.enumerate()
            .map(move |(i, authority)| (place.index(i), authority))
    });
    let of_accounts = config.acme_accounts.iter().filter_map(|(name, account)| {
        let place = account_path(name).key("authority");
        Some((place, account.authority.as_ref()?))
    });
    of_clients.chain(of_servers).chain(of_accounts)
}

pub(super) fn unknown_certificates(config: &Config, found: &mut Found) {
    for (path, name) in certificates_of(config) {
        if !config.certificates.contains_key(name) {
            let known = config.certificates.keys();
            unknown(
                "certificate",
                Code::UnknownCertificate,
                (path, name),
                known,
                found,
            );
        }
    }
}

pub(super) fn unknown_authorities(config: &Config, found: &mut Found) {
    for (path, name) in authorities_of(config) {
        if !config.authorities.contains_key(name) {
            let known = config.authorities.keys();
            unknown(
                "authority",
                Code::UnknownAuthority,
                (path, name),
                known,
                found,
            );
        }
    }
}

pub(super) fn unused(config: &Config, found: &mut Found) {
    let used: BTreeSet<&Name> = certificates_of(config).map(|(_, name)| name).collect();
    for name in config
        .certificates
        .keys()
        .filter(|name| !used.contains(name))
    {
        let message = format!("nothing shows the certificate `{name}`");
        let help = "name it in `tls.certificates` of a virtual service, or remove it";
        found.report(
            Code::UnusedCertificate,
            certificate_path(name),
            message,
            help,
        );
    }
    let used: BTreeSet<&Name> = authorities_of(config).map(|(_, name)| name).collect();
    for name in config
        .authorities
        .keys()
        .filter(|name| !used.contains(name))
    {
        let message = format!("nothing trusts the authority `{name}`");
        let help =
            "name it in `tls` of a pool or virtual service, or in an account of ACME, or remove it";
        found.report(Code::UnusedAuthority, authority_path(name), message, help);
    }
}

pub(super) fn files(config: &Config, found: &mut Found) {
    for (name, Certificate { source, .. }) in &config.certificates {
        let CertificateSource::Files(CertificateFiles { certificate, key }) = source else {
            continue;
        };
        let path = certificate_path(name).key("source").key("files");
        file_name(
            certificate,
            path.key("certificate"),
            "/etc/lbctl/shop.pem",
            found,
        );
        file_name(key, path.key("key"), "/etc/lbctl/shop-key.pem", found);
    }
    for (name, authority) in &config.authorities {
        let Authority {
            description: _,
            source,
            revocation_list,
        } = authority;
        let path = authority_path(name);
        if let AuthoritySource::File(file) = source {
            let path = path.key("source").key("file");
            file_name(file, path, "/etc/lbctl/corp-ca.pem", found);
        }
        if let Some(file) = revocation_list {
            let path = path.key("revocation_list");
            file_name(file, path, "/etc/lbctl/corp.crl", found);
        }
    }
}

/// TLS with clients, where there can be any, and what of it only HTTP has.
pub(super) fn with_clients(config: &Config, found: &mut Found) {
    for (name, service) in &config.virtual_services {
        redirect(name, service, found);
        let Some(tls) = &service.tls else {
            without_tls(name, service, found);
            continue;
        };
        let path = service_path(name).key("tls");
        match service.protocol {
            Protocol::Http => {}
            Protocol::Tcp => http_only(tls, &path, found),
            Protocol::Tls => {
                let message = "what `protocol = \"tls\"` passes to servers is not decrypted here";
                let help = "remove `tls`, or set `protocol` to \"http\" or \"tcp\" to decrypt it";
                found.report(Code::TlsPassedThrough, path, message, help);
            }
        }
    }
}

fn redirect(name: &Name, service: &VirtualService, found: &mut Found) {
    if !service.redirect_to_https {
        return;
    }
    let path = service_path(name).key("redirect_to_https");
    if service.tls.is_some() {
        let message =
            "a virtual service with `tls` cannot send its clients to https: they are there";
        let help =
            "make another virtual service for plain HTTP, usually on port 80, and set it there";
        found.report(Code::RedirectInCircles, path, message, help);
    } else if service.pool.is_some() || !service.rules.is_empty() {
        let message = "every request is sent to https, so neither the pool nor the rules are used";
        let help = "remove `pool` and `rules`, or `redirect_to_https`";
        found.report(Code::RedirectsEverything, path, message, help);
    }
}

fn without_tls(name: &Name, service: &VirtualService, found: &mut Found) {
    if service.http3 && service.protocol == Protocol::Http {
        let message = "HTTP/3 is always encrypted, and this virtual service has no `tls`";
        let help = "add `tls = { certificates = [\"…\"] }`, or remove `http3`";
        let path = service_path(name).key("http3");
        found.report(Code::Http3NeedsTls, path, message, help);
    }
}

fn http_only(tls: &ClientTls, path: &Path, found: &mut Found) {
    let given = [
        ("hsts", tls.hsts.is_some()),
        ("headers", tls.headers != TlsHeaders::default()),
    ];
    for (key, _) in given.iter().filter(|(_, given)| *given) {
        let message = format!("`{key}` in a virtual service with `protocol = \"tcp\"`");
        let help = "remove it, or use `protocol = \"http\"`";
        found.report(Code::HttpOnly, path.key(key), message, help);
    }
}

/// How servers are known for who they are.
pub(super) fn with_servers(config: &Config, found: &mut Found) {
    for (name, pool) in &config.pools {
        let Some(ServerTls {
            authorities,
            server_name: _,
            pins,
            insecure: true,
            certificate: _,
            policy: _,
        }) = &pool.tls
        else {
            continue;
        };
        let path = pool_path(name).key("tls").key("insecure");
        if authorities.is_empty() && pins.is_empty() {
            let message = format!(
                "the servers of the pool `{name}` may show any certificate: whoever gets between \
                 can read and change everything"
            );
            let help = "name the authority of the servers in `authorities`, or their certificates \
                        in `pins`";
            found.report(Code::InsecureServers, path, message, help);
        } else {
            let message =
                "`insecure` takes any certificate, so `authorities` and `pins` say nothing";
            let help = "remove `insecure`, or the others";
            found.report(Code::InsecureAndVerified, path, message, help);
        }
    }
}

pub(super) fn certificate_path(name: &Name) -> Path {
    Path::root().key("certificates").key(name.as_str())
}

pub(super) fn account_path(name: &Name) -> Path {
    Path::root().key("acme_accounts").key(name.as_str())
}

fn authority_path(name: &Name) -> Path {
    Path::root().key("authorities").key(name.as_str())
}
