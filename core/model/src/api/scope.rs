//! Where somebody may change something.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::edit::ObjectPath;
use crate::schema::noun;
use crate::value::Name;

/// The objects that somebody may change. What is absent restricts nothing; as soon as virtual
/// services or pools are named, only these and what is in them can be changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// Only objects of these kinds, such as `server`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nouns: Option<BTreeSet<String>>,
    /// Only these virtual services and what they hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_services: Option<BTreeSet<Name>>,
    /// Only these pools and what they hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pools: Option<BTreeSet<Name>>,
}

impl Scope {
    /// Whether nothing is out of it.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the object is in it.
    pub fn covers(&self, object: &ObjectPath) -> bool {
        let Self {
            nouns: _,
            virtual_services,
            pools,
        } = self;
        let mut top = object.clone();
        while let Some(holder) = top.holder() {
            top = holder;
        }
        let selected = match top.noun().singular {
            "virtual_service" => virtual_services,
            "pool" => pools,
            // What is neither cannot be selected.
            _ => &None,
        };
        let in_selection = match (selected, top.names().first()) {
            (Some(names), Some(name)) => names.contains(name),
            (_, _) => !self.selects(),
        };
        in_selection && self.has_noun(object.noun().singular)
    }

    /// Whether objects of this kind are in it.
    pub fn has_noun(&self, singular: &str) -> bool {
        self.nouns
            .as_ref()
            .is_none_or(|nouns| nouns.contains(singular))
    }

    /// The kinds of object in it that no document has.
    pub fn unknown_nouns(&self) -> impl Iterator<Item = &str> {
        let nouns = self.nouns.iter().flatten().map(String::as_str);
        nouns.filter(|singular| noun(singular).is_none_or(|noun| noun.singular != *singular))
    }

    /// What is in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let nouns = both(self.nouns.as_ref(), other.nouns.as_ref());
        if !(self.selects() && other.selects()) {
            let one = if self.selects() { self } else { other };
            return Self {
                nouns,
                ..one.clone()
            };
        }
        // Both select: what one of them does not name is not in it.
        let common = |ours: &Option<BTreeSet<Name>>, theirs: &Option<BTreeSet<Name>>| {
            let (ours, theirs) = (ours.iter().flatten(), theirs.iter().flatten());
            let theirs: BTreeSet<_> = theirs.collect();
            Some(ours.filter(|name| theirs.contains(name)).cloned().collect())
        };
        Self {
            nouns,
            virtual_services: common(&self.virtual_services, &other.virtual_services),
            pools: common(&self.pools, &other.pools),
        }
    }

    fn selects(&self) -> bool {
        self.virtual_services.is_some() || self.pools.is_some()
    }
}

fn both(
    ours: Option<&BTreeSet<String>>,
    theirs: Option<&BTreeSet<String>>,
) -> Option<BTreeSet<String>> {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => Some(ours.intersection(theirs).cloned().collect()),
        (one, other) => one.or(other).cloned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names<T>(all: &'static [&'static str]) -> impl Strategy<Value = Option<BTreeSet<T>>>
    where
        T: std::str::FromStr<Err: std::fmt::Debug> + Ord + std::fmt::Debug,
    {
        let some = proptest::sample::subsequence(all, 0..=all.len());
        let some = some.prop_map(|names| names.iter().map(|name| name.parse().unwrap()).collect());
        proptest::option::of(some)
    }

    fn scope() -> impl Strategy<Value = Scope> {
        let nouns = names(&["server", "pool", "rule", "limits"]);
        (nouns, names(&["shop", "mail"]), names(&["web", "api"])).prop_map(
            |(nouns, virtual_services, pools)| Scope {
                nouns,
                virtual_services,
                pools,
            },
        )
    }

    proptest! {
        #[test]
        fn what_two_scopes_have_in_common_is_what_both_cover(ours in scope(), theirs in scope()) {
            for path in [
                "limits", "telemetry", "pools/web", "pools/api/servers/a", "pools/web/servers/a",
                "virtual_services/shop", "virtual_services/mail/rules/r", "pools/other",
            ] {
                let object: ObjectPath = path.parse().unwrap();
                let expected = ours.covers(&object) && theirs.covers(&object);
                prop_assert_eq!(ours.and(&theirs).covers(&object), expected, "{}", path);
            }
        }
    }
}
