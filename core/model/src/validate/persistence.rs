//! Cookies: what browsers would refuse or misread.

use std::collections::{BTreeMap, BTreeSet};

use super::found::{Found, pool_path};
use super::reference::pools_of;
use crate::config::{Config, CookiePersistence, Persistence, SameSite};
use crate::problem::{Code, Path};

pub(super) fn cookies(config: &Config, found: &mut Found) {
    for (name, pool) in &config.pools {
        let Some(Persistence::Cookie(cookie)) = &pool.persistence else {
            continue;
        };
        let path = pool_path(name).key("persistence").key("cookie");
        attributes(cookie, &path, found);
        lifetime(cookie, &path, found);
        needs_secure(cookie, &path, found);
        host_prefix(cookie, &path, found);
    }
}

/// `Domain` and `Path` end at the first `;` and are not quoted (RFC 6265 section 4.1.1).
fn attributes(cookie: &CookiePersistence, path: &Path, found: &mut Found) {
    let breaks = |c: &char| !c.is_ascii_graphic() || matches!(c, ';' | ',');
    let domain = cookie.domain.as_ref().map(|domain| ("domain", domain));
    for (key, text) in domain.into_iter().chain([("path", &cookie.path)]) {
        if let Some(c) = text.as_str().chars().find(breaks) {
            let message = format!(
                "`{text}` holds `{}`, which ends the attribute",
                c.escape_debug()
            );
            let help = "use ASCII without spaces, commas and semicolons";
            found.report(Code::BadCookie, path.key(key), message, help);
        }
    }
    if cookie
        .domain
        .as_ref()
        .is_some_and(|domain| domain.as_str().is_empty())
    {
        let help = "remove it: the cookie is then for the host of the request alone";
        found.report(
            Code::BadCookie,
            path.key("domain"),
            "the domain is empty",
            help,
        );
    }
    if !cookie.path.as_str().starts_with('/') {
        let message = format!("browsers ignore the path `{}`", cookie.path);
        let help = "use a path that starts with `/`";
        found.report(Code::BadCookie, path.key("path"), message, help);
    }
}

fn lifetime(cookie: &CookiePersistence, path: &Path, found: &mut Found) {
    if let Some(max_age) = cookie.max_age
        && max_age.duration().subsec_millis() != 0
    {
        let message = format!("browsers count in whole seconds, not {max_age}");
        found.report(
            Code::BadCookie,
            path.key("max_age"),
            message,
            "use a period such as \"8h\"",
        );
    }
}

fn needs_secure(cookie: &CookiePersistence, path: &Path, found: &mut Found) {
    let name = cookie.name.as_str().to_ascii_lowercase();
    let prefixed = name.starts_with("__secure-") || name.starts_with("__host-");
    let (key, message) = if cookie.secure {
        return;
    } else if cookie.same_site == Some(SameSite::None) {
        (
            "same_site",
            "browsers refuse a cookie with `SameSite=None` that is not `Secure`".into(),
        )
    } else if prefixed {
        (
            "name",
            format!(
                "browsers refuse a cookie `{}` that is not `Secure`",
                cookie.name
            ),
        )
    } else {
        return;
    };
    let help = "add `secure = true`; the cookie is then sent over HTTPS only";
    found.report(Code::CookieNeedsSecure, path.key(key), message, help);
}

fn host_prefix(cookie: &CookiePersistence, path: &Path, found: &mut Found) {
    let prefixed = cookie
        .name
        .as_str()
        .to_ascii_lowercase()
        .starts_with("__host-");
    if prefixed && (cookie.domain.is_some() || cookie.path.as_str() != "/") {
        let message = format!(
            "browsers refuse a cookie `{}` with a domain or path",
            cookie.name
        );
        let help = "remove `domain` and `path`, or use a name without `__Host-`";
        found.report(Code::BadCookie, path.key("name"), message, help);
    }
}

/// One cookie can name one server: two pools that share it take each other's clients away.
pub(super) fn cookies_shared(config: &Config, found: &mut Found) {
    let mut reported = BTreeSet::new();
    for (name, service) in &config.virtual_services {
        let mut first = BTreeMap::new();
        for (_, pool_name) in pools_of(name, service) {
            let Some(pool) = config.pools.get(pool_name) else {
                continue;
            };
            let Some(Persistence::Cookie(cookie)) = &pool.persistence else {
                continue;
            };
            let key = (cookie.name.as_str(), cookie.domain.as_ref(), &cookie.path);
            let earlier = *first.entry(key).or_insert(pool_name);
            if earlier == pool_name || !reported.insert((earlier, pool_name)) {
                continue;
            }
            let message = format!(
                "the pools `{earlier}` and `{pool_name}` of the virtual service `{name}` set the \
                 same cookie `{}`, each in place of the other's",
                cookie.name
            );
            let path = pool_path(pool_name)
                .key("persistence")
                .key("cookie")
                .key("name");
            let help = "give each pool a cookie name of its own";
            found.report(Code::CookieShared, path, message, help);
        }
    }
}
