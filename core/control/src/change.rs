//! Which objects differ between two documents: for the summary of a revision, and for what somebody
//! may change.

use std::collections::{BTreeMap, BTreeSet};

use lb_model::Config;
use lb_model::config::{Pool, Server, VirtualService};
use lb_model::value::Name;

use crate::Object;

/// How many objects a summary names.
const NAMED_MAX: usize = 3;

/// An object that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChangedObject {
    pub(crate) object: Object,
    pub(crate) sign: Sign,
    pub(crate) extent: Extent,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    Added,
    Removed,
    Changed,
}

/// How far the change goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Nothing but whether a server gets traffic.
    ServerState,
    Any,
}

impl Sign {
    const fn as_char(self) -> char {
        match self {
            Self::Added => '+',
            Self::Removed => '-',
            Self::Changed => '~',
        }
    }
}

/// Every object that differs. What came or went as a whole is one change, unless it holds objects
/// of its own: somebody who may only change pools must not bring servers in with one.
pub(crate) fn changed(before: &Config, after: &Config) -> Vec<ChangedObject> {
    let mut found = Vec::new();
    // Destructured, so that a new part of the document does not compile until it is compared.
    let Config {
        virtual_services,
        pools,
        limits,
        telemetry,
    } = before;
    compare(virtual_services, &after.virtual_services, |name, pair| {
        service(&mut found, name, pair);
    });
    compare(pools, &after.pools, |name, pair| {
        pool(&mut found, name, pair)
    });
    if *limits != after.limits {
        found.push(any(Object::Limits, Sign::Changed));
    }
    if *telemetry != after.telemetry {
        found.push(any(Object::Telemetry, Sign::Changed));
    }
    found
}

/// A change in one line, such as `~ pools.web.servers.iis1, + pools.api, and 3 more`.
pub(crate) fn summary(changed: &[ChangedObject]) -> String {
    // What came or went with its holder goes without saying.
    let whole: BTreeSet<&Object> = changed
        .iter()
        .filter(|change| change.sign != Sign::Changed)
        .map(|change| &change.object)
        .collect();
    let own: Vec<_> = changed
        .iter()
        .filter(|change| {
            !change
                .object
                .holder()
                .is_some_and(|holder| whole.contains(&holder))
        })
        .collect();
    let named = own.iter().take(NAMED_MAX).map(|change| {
        let path = change.object.to_string().replace('/', ".");
        format!("{} {path}", change.sign.as_char())
    });
    let mut text = named.collect::<Vec<_>>().join(", ");
    if let Some(more) = own.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        text.extend([", and ", &more.to_string(), " more"]);
    }
    text
}

/// What was under a name before and what is now; they differ, and one of them is there.
type Pair<'a, T> = (Option<&'a T>, Option<&'a T>);

fn compare<'a, T: PartialEq>(
    before: &'a BTreeMap<Name, T>,
    after: &'a BTreeMap<Name, T>,
    mut differs: impl FnMut(&'a Name, Pair<'a, T>),
) {
    for (name, old) in before {
        let new = after.get(name);
        if new != Some(old) {
            differs(name, (Some(old), new));
        }
    }
    for (name, new) in after {
        if !before.contains_key(name) {
            differs(name, (None, Some(new)));
        }
    }
}

fn sign<T>(pair: Pair<'_, T>) -> Sign {
    match pair {
        (None, _) => Sign::Added,
        (_, None) => Sign::Removed,
        (Some(_), Some(_)) => Sign::Changed,
    }
}

const fn any(object: Object, sign: Sign) -> ChangedObject {
    let extent = Extent::Any;
    ChangedObject {
        object,
        sign,
        extent,
    }
}

fn service(found: &mut Vec<ChangedObject>, name: &Name, pair: Pair<'_, VirtualService>) {
    let own = |service: &VirtualService| VirtualService {
        rules: Vec::new(),
        ..service.clone()
    };
    // The order of rules is a matter of their service.
    let order = |service: &VirtualService, common: &BTreeSet<Name>| -> Vec<Name> {
        let names = service.rules.iter().map(|rule| rule.name.clone());
        names.filter(|name| common.contains(name)).collect()
    };
    let by_name = |service: Option<&VirtualService>| -> BTreeMap<Name, _> {
        let rules = service.map(|service| service.rules.clone());
        let rules = rules.unwrap_or_default().into_iter();
        rules.map(|rule| (rule.name.clone(), rule)).collect()
    };
    let (old, new) = (by_name(pair.0), by_name(pair.1));
    let common: BTreeSet<Name> = old
        .keys()
        .filter(|k| new.contains_key(*k))
        .cloned()
        .collect();
    let same = matches!(pair, (Some(a), Some(b))
        if own(a) == own(b) && order(a, &common) == order(b, &common));
    if !same {
        found.push(any(Object::VirtualService(name.clone()), sign(pair)));
    }
    compare(&old, &new, |rule, pair| {
        found.push(any(Object::Rule(name.clone(), rule.clone()), sign(pair)));
    });
}

fn pool(found: &mut Vec<ChangedObject>, name: &Name, pair: Pair<'_, Pool>) {
    let own = |pool: &Pool| Pool {
        servers: BTreeMap::new(),
        ..pool.clone()
    };
    if !matches!(pair, (Some(a), Some(b)) if own(a) == own(b)) {
        found.push(any(Object::Pool(name.clone()), sign(pair)));
    }
    let none = BTreeMap::new();
    let servers = |pool: Option<&'_ Pool>| pool.map(|pool| pool.servers.clone());
    let (old, new) = (servers(pair.0), servers(pair.1));
    compare(
        old.as_ref().unwrap_or(&none),
        new.as_ref().unwrap_or(&none),
        |server, pair| {
            let object = Object::Server(name.clone(), server.clone());
            let extent = match pair {
                (Some(old), Some(new)) if is_same_but_for_state(old, new) => Extent::ServerState,
                _ => Extent::Any,
            };
            found.push(ChangedObject {
                object,
                sign: sign(pair),
                extent,
            });
        },
    );
}

fn is_same_but_for_state(old: &Server, new: &Server) -> bool {
    let state = new.state;
    *new == Server {
        state,
        ..old.clone()
    }
}
