//! The walk over two documents at once, along the schema.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value};

use super::sequence::{self, Mark};
use super::{Action, Change, Place};
use crate::config::Config;
use crate::problem::{Path, Step};
use crate::schema::{Kind, Spot};
use crate::value::Name;

/// Every change from one document to another, in the order of the schema.
pub(super) fn changes(from: &Config, to: &Config) -> Vec<Change> {
    let (from, to) = differing(from, to);
    let mut walk = Walk {
        path: Vec::new(),
        changes: Vec::new(),
    };
    walk.value(&Spot::root(), Some(&from), Some(&to));
    walk.changes
}

/// What the two documents do not have in common, as JSON: large documents mostly have nearly
/// everything in common, and to find that out costs less than to walk it.
fn differing(from: &Config, to: &Config) -> (Value, Value) {
    let Config {
        virtual_services,
        pools,
        certificates,
        authorities,
        acme_accounts,
        limits,
        telemetry,
        admin,
    } = from;
    let mut pair = Pair::default();
    pair.map("virtual_services", virtual_services, &to.virtual_services);
    pair.map("pools", pools, &to.pools);
    pair.map("certificates", certificates, &to.certificates);
    pair.map("authorities", authorities, &to.authorities);
    pair.map("acme_accounts", acme_accounts, &to.acme_accounts);
    pair.value("limits", limits, &to.limits);
    pair.value("telemetry", telemetry, &to.telemetry);
    pair.value("admin", admin, &to.admin);
    (Value::Object(pair.from), Value::Object(pair.to))
}

#[derive(Default)]
struct Pair {
    from: Map<String, Value>,
    to: Map<String, Value>,
    scratch: (Vec<u8>, Vec<u8>),
}

impl Pair {
    fn value<T: PartialEq + Serialize>(&mut self, key: &str, from: &T, to: &T) {
        if !self.same(from, to) {
            self.from.insert(key.to_owned(), json(from));
            self.to.insert(key.to_owned(), json(to));
        }
    }

    fn map<T>(&mut self, key: &str, from: &BTreeMap<Name, T>, to: &BTreeMap<Name, T>)
    where
        T: PartialEq + Serialize,
    {
        let mut maps = (Map::new(), Map::new());
        for (name, value) in from {
            let other = to.get(name);
            if !other.is_some_and(|other| self.same(value, other)) {
                maps.0.insert(name.to_string(), json(value));
                let other = other.map(|other| (name.to_string(), json(other)));
                maps.1.extend(other);
            }
        }
        let added = to.iter().filter(|(name, _)| !from.contains_key(*name));
        maps.1
            .extend(added.map(|(name, value)| (name.to_string(), json(value))));
        self.from.insert(key.to_owned(), Value::Object(maps.0));
        self.to.insert(key.to_owned(), Value::Object(maps.1));
    }

    /// Whether two values are written the same. To be equal is not enough: names of header fields
    /// are equal in any case, and yet it matters how they are sent.
    fn same<T: PartialEq + Serialize>(&mut self, from: &T, to: &T) -> bool {
        let (a, b) = &mut self.scratch;
        a.clear();
        b.clear();
        from == to
            && serde_json::to_writer(&mut *a, from).is_ok()
            && serde_json::to_writer(&mut *b, to).is_ok()
            && a == b
    }
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("keys are texts and numbers are whole")
}

struct Walk {
    path: Vec<Step>,
    changes: Vec<Change>,
}

impl Walk {
    fn value(&mut self, spot: &Spot<'_>, from: Option<&Value>, to: Option<&Value>) {
        match (&spot.shape.kind, from, to) {
            (Kind::Table(fields), Some(Value::Object(from)), Some(Value::Object(to))) => {
                for field in fields {
                    self.below(
                        spot,
                        &field.name,
                        from.get(&field.name),
                        to.get(&field.name),
                    );
                }
            }
            (Kind::Map { .. }, Some(Value::Object(from)), Some(Value::Object(to))) => {
                self.map(spot, from, to);
            }
            (Kind::Choice(_), Some(Value::Object(from)), Some(Value::Object(to)))
                if from.keys().eq(to.keys()) =>
            {
                for (name, from) in from {
                    self.below(spot, name, Some(from), to.get(name));
                }
            }
            (Kind::List { .. } | Kind::Map { .. }, Some(_), None)
            | (Kind::List { .. } | Kind::Map { .. }, _, Some(_))
                if spot.shape.objects().is_some() =>
            {
                self.objects(spot, from, to);
            }
            _ => self.whole(spot, from, to),
        }
    }

    fn below(&mut self, spot: &Spot<'_>, key: &str, from: Option<&Value>, to: Option<&Value>) {
        if let Some(spot) = spot.key(key) {
            self.path.push(Step::Key(key.into()));
            self.value(&spot, from, to);
            self.path.pop();
        }
    }

    fn map(&mut self, spot: &Spot<'_>, from: &Map<String, Value>, to: &Map<String, Value>) {
        let keys: BTreeSet<_> = from.keys().chain(to.keys()).collect();
        for key in keys {
            self.below(spot, key, from.get(key), to.get(key));
        }
    }

    /// Objects with names. Where there are none, their key may be left out.
    fn objects(&mut self, spot: &Spot<'_>, from: Option<&Value>, to: Option<&Value>) {
        let (no_map, no_list) = (Map::new(), Vec::new());
        if let Kind::Map { .. } = spot.shape.kind {
            let (old, new) = (
                from.and_then(Value::as_object),
                to.and_then(Value::as_object),
            );
            return self.map(spot, old.unwrap_or(&no_map), new.unwrap_or(&no_map));
        }
        let (old, new) = (from.and_then(Value::as_array), to.and_then(Value::as_array));
        if !self.list(spot, old.unwrap_or(&no_list), new.unwrap_or(&no_list)) {
            self.whole(spot, from, to);
        }
    }

    /// A value that is changed as a whole.
    fn whole(&mut self, spot: &Spot<'_>, from: Option<&Value>, to: Option<&Value>) {
        if from == to {
            return;
        }
        let action = match (from, to) {
            (None, _) if spot.is_object => Action::Add,
            (_, None) if spot.is_object => Action::Remove,
            _ => Action::Change,
        };
        self.changes.push(Change {
            path: Path::from(&self.path[..]),
            action,
            effect: spot.effect(from, to),
            before: from.cloned(),
            after: to.cloned(),
            from: None,
            to: None,
            connections: None,
        });
    }

    /// A list of objects with names. It is left alone when a name is twice in it, as in no valid
    /// document.
    fn list(&mut self, spot: &Spot<'_>, from: &[Value], to: &[Value]) -> bool {
        let (old, new) = (names(from), names(to));
        let Some(steps) = sequence::steps(&old, &new) else {
            return false;
        };
        let place = |mark: Option<Mark>| {
            let name = match mark {
                None => return Some(Place::First),
                Some(Mark::Old(at)) => old.get(at),
                Some(Mark::New(at)) => new.get(at),
            };
            name?.parse().ok().map(Place::After)
        };
        for step in steps {
            let (name, before, after, from, to) = match step {
                sequence::Step::Add { new: at, behind } => {
                    (new[at], None, Some(&to[at]), None, place(behind))
                }
                sequence::Step::Remove { old: at, behind } => {
                    (old[at], Some(&from[at]), None, place(behind), None)
                }
                sequence::Step::Move {
                    old: at,
                    from: left,
                    to,
                } => {
                    self.moved(spot, old[at], &from[at], (place(left), place(to)));
                    continue;
                }
            };
            self.below(spot, name, before, after);
            if let Some(change) = self.changes.last_mut() {
                (change.from, change.to) = (from, to);
            }
        }
        let by_name: BTreeMap<_, _> = old.iter().zip(from).collect();
        for (name, to) in new.iter().zip(to) {
            if let Some(from) = by_name.get(name) {
                self.below(spot, name, Some(from), Some(to));
            }
        }
        true
    }

    fn moved(
        &mut self,
        spot: &Spot<'_>,
        name: &str,
        value: &Value,
        (from, to): (Option<Place>, Option<Place>),
    ) {
        let Some(spot) = spot.key(name) else {
            return;
        };
        self.changes.push(Change {
            path: Path::from(&self.path[..]).key(name),
            action: Action::Move,
            effect: spot.effect(Some(value), Some(value)),
            before: None,
            after: None,
            from,
            to,
            connections: None,
        });
    }
}

fn names(list: &[Value]) -> Vec<&str> {
    let names = list.iter().map(|value| value["name"].as_str());
    names.map(Option::unwrap_or_default).collect()
}
