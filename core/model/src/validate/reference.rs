//! Names of pools: each must exist, and each pool should be used.

use std::collections::BTreeSet;

use super::found::{Found, pool_path, service_path};
use crate::config::{Action, Config, Unavailable, VirtualService};
use crate::nearest::did_you_mean;
use crate::problem::{Code, Path};
use crate::value::Name;

/// Every mention of a pool in a virtual service, with where it stands.
pub(super) fn pools_of<'a>(
    name: &Name,
    service: &'a VirtualService,
) -> impl Iterator<Item = (Path, &'a Name)> {
    let place = service_path(name);
    let sorry = match &service.unavailable {
        Some(Unavailable::Pool(pool)) => Some((place.key("unavailable").key("pool"), pool)),
        Some(Unavailable::Close(_) | Unavailable::Redirect(_) | Unavailable::Respond(_)) | None => {
            None
        }
    };
    let default = service.pool.as_ref().map(|pool| (place.key("pool"), pool));
    let rules = service
        .rules
        .iter()
        .enumerate()
        .filter_map(move |(i, rule)| match &rule.action {
            Some(Action::Pool(pool)) => {
                Some((place.key("rules").index(i).key("action").key("pool"), pool))
            }
            Some(Action::Redirect(_) | Action::Respond(_)) | None => None,
        });
    default.into_iter().chain(rules).chain(sorry)
}

pub(super) fn unknown_pools(config: &Config, found: &mut Found) {
    for (name, service) in &config.virtual_services {
        for (path, pool) in pools_of(name, service) {
            if !config.pools.contains_key(pool) {
                unknown(
                    "pool",
                    Code::UnknownPool,
                    (path, pool),
                    config.pools.keys(),
                    found,
                );
            }
        }
    }
}

/// Reports a name of something that is not there, with the nearest that is.
pub(super) fn unknown<'a>(
    noun: &str,
    code: Code,
    (path, name): (Path, &Name),
    known: impl Iterator<Item = &'a Name>,
    found: &mut Found,
) {
    let near = if found.is_full() {
        String::new()
    } else {
        did_you_mean(name.as_str(), known.map(Name::as_str))
    };
    let plural = crate::schema::noun(noun).map_or(noun, |noun| noun.plural);
    let help = format!("{near}define it as [{plural}.{name}], or name one that exists");
    found.report(
        code,
        path,
        format!("there is no {} `{name}`", noun.replace('_', " ")),
        help,
    );
}

pub(super) fn unused_pools(config: &Config, found: &mut Found) {
    let services = config.virtual_services.iter();
    let used: BTreeSet<&Name> = services
        .flat_map(|(name, service)| pools_of(name, service))
        .map(|(_, pool)| pool)
        .collect();
    for name in config.pools.keys().filter(|name| !used.contains(name)) {
        let message = format!("no virtual service uses the pool `{name}`");
        let help = "name it in a virtual service or in a rule, or remove it";
        found.report(Code::UnusedPool, pool_path(name), message, help);
    }
}

pub(super) fn sorry_pool_is_pool(config: &Config, found: &mut Found) {
    for (name, service) in &config.virtual_services {
        let Some(Unavailable::Pool(sorry)) = &service.unavailable else {
            continue;
        };
        if service.pool.as_ref() == Some(sorry) {
            let path = service_path(name).key("unavailable").key("pool");
            let message = format!("the pool `{sorry}` cannot stand in for itself");
            found.report(Code::SorryPoolIsPool, path, message, "name another pool");
        }
    }
}
