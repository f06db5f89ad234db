//! Virtual services by themselves, and what only HTTP has.

use super::found::{Found, service_path};
use super::reference::pools_of;
use crate::config::{
    Action, Config, ForwardedHeaders, Match, Persistence, Pool, Protocol, Rule, Unavailable,
    VirtualService,
};
use crate::problem::{Code, Path};
use crate::value::Name;

pub(super) fn nowhere_to_go(config: &Config, found: &mut Found) {
    for (name, service) in &config.virtual_services {
        let answers = service.redirect_to_https || !service.rules.is_empty();
        if service.pool.is_none() && !answers {
            let message = format!("the virtual service `{name}` has neither a pool nor rules");
            let help = "add `pool = \"…\"` with the name of a pool";
            found.report(Code::NowhereToGo, service_path(name), message, help);
        }
    }
}

pub(super) fn service_disabled(config: &Config, found: &mut Found) {
    for (name, service) in &config.virtual_services {
        if !service.enabled {
            let message = format!("no client can connect to the virtual service `{name}`");
            let help = "this is right during maintenance; else remove `enabled = false`";
            found.report(
                Code::ServiceDisabled,
                service_path(name).key("enabled"),
                message,
                help,
            );
        }
    }
}

pub(super) fn close_false(config: &Config, found: &mut Found) {
    for (name, service) in &config.virtual_services {
        if service.unavailable == Some(Unavailable::Close(false)) {
            let path = service_path(name).key("unavailable").key("close");
            let message = "`close = false` does not say what clients get instead";
            let help = "remove `unavailable` for a plain 503, or set `close = true`";
            found.report(Code::CloseFalse, path, message, help);
        }
    }
}

pub(super) fn target_above_head(config: &Config, found: &mut Found) {
    for (name, service) in &config.virtual_services {
        let head = &service.head;
        if head.target_bytes_max > head.bytes_max {
            let message = format!(
                "a target of {} bytes never fits into a header of {} bytes",
                head.target_bytes_max, head.bytes_max
            );
            let path = service_path(name).key("head").key("target_bytes_max");
            let help = "lower `target_bytes_max` or raise `bytes_max`";
            found.report(Code::TargetAboveHead, path, message, help);
        }
    }
}

/// TCP and TLS that is not decrypted carry no requests: nothing of their virtual services may depend on
/// one.
pub(super) fn http_only(config: &Config, found: &mut Found) {
    for (name, service) in &config.virtual_services {
        only_in_pass_through(name, service, found);
        if service.protocol == Protocol::Http {
            continue;
        }
        let path = service_path(name);
        for (i, rule) in service.rules.iter().enumerate() {
            let path = path.key("rules").index(i);
            http_only_in_rule(rule, service.protocol, &path, found);
        }
        http_only_in_service(service, &path, found);
        for (path, pool) in pools_of(name, service) {
            if config.pools.get(pool).is_some_and(has_cookie) {
                let message =
                    format!("the pool `{pool}` keeps clients by a cookie, which only HTTP has");
                let help = "give the pool `persistence = { source = {} }`, or make another pool \
                            with the same servers";
                found.report(Code::HttpOnly, path, message, help);
            }
        }
    }
}

/// What only TLS that is not decrypted has.
fn only_in_pass_through(name: &Name, service: &VirtualService, found: &mut Found) {
    if service.protocol == Protocol::Tls {
        return;
    }
    for (i, rule) in service.rules.iter().enumerate() {
        if !rule.matches.alpn.is_empty() {
            let path = service_path(name).key("rules").index(i);
            let message = "a condition on what clients offer with ALPN, where nobody looks at it";
            let help = "remove it, or use `protocol = \"tls\"`";
            found.report(
                Code::PassThroughOnly,
                path.key("match").key("alpn"),
                message,
                help,
            );
        }
    }
}

fn http_only_in_service(service: &VirtualService, path: &Path, found: &mut Found) {
    if service.redirect_to_https {
        not_in_tcp(&path.key("redirect_to_https"), "a redirect", found);
    }
    if !service.http2 {
        not_in_tcp(&path.key("http2"), "a word about HTTP/2", found);
    }
    if service.http3 {
        not_in_tcp(&path.key("http3"), "HTTP/3", found);
    }
    if service.forwarded != ForwardedHeaders::default() {
        not_in_tcp(&path.key("forwarded"), "header fields for servers", found);
    }
    let unavailable = path.key("unavailable");
    match &service.unavailable {
        Some(Unavailable::Redirect(_)) => {
            not_in_tcp(&unavailable.key("redirect"), "a redirect", found);
        }
        Some(Unavailable::Respond(_)) => not_in_tcp(&unavailable.key("respond"), "a page", found),
        Some(Unavailable::Close(_) | Unavailable::Pool(_)) | None => {}
    }
}

fn http_only_in_rule(rule: &Rule, protocol: Protocol, path: &Path, found: &mut Found) {
    let Match {
        host,
        path: url_path,
        method,
        header,
        source: _,
        alpn: _,
    } = &rule.matches;
    let conditions = [
        ("host", protocol == Protocol::Tcp && !host.is_empty()),
        ("path", url_path.is_some()),
        ("method", !method.is_empty()),
        ("header", !header.is_empty()),
    ];
    for (key, _) in conditions.iter().filter(|(_, given)| *given) {
        not_in_tcp(
            &path.key("match").key(key),
            &format!("a condition on the {key}"),
            found,
        );
    }
    match &rule.action {
        Some(Action::Redirect(_)) => {
            not_in_tcp(&path.key("action").key("redirect"), "a redirect", found);
        }
        Some(Action::Respond(_)) => {
            not_in_tcp(
                &path.key("action").key("respond"),
                "an answer of our own",
                found,
            );
        }
        Some(Action::Pool(_)) | None => {}
    }
    for (key, edits) in [
        ("request_headers", &rule.request_headers),
        ("response_headers", &rule.response_headers),
    ] {
        if !edits.is_empty() {
            not_in_tcp(&path.key(key), "header edits", found);
        }
    }
}

fn not_in_tcp(path: &Path, what: &str, found: &mut Found) {
    let message = format!("{what} in a virtual service that does not speak HTTP");
    let help = "remove it, or use `protocol = \"http\"`";
    found.report(Code::HttpOnly, path.clone(), message, help);
}

fn has_cookie(pool: &Pool) -> bool {
    match &pool.persistence {
        Some(Persistence::Cookie(_) | Persistence::PassiveCookie(_)) => true,
        Some(Persistence::Source(_)) | None => false,
    }
}
