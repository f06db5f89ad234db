//! From what was given on the command line to a merge patch.

use clap::ArgMatches;
use serde_json::{Map, Value};

use super::flag::{Flags, Form};
use crate::report::{Exit, Explained};

/// What is to be taken away: a value, or one entry of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Removal {
    /// As it was given.
    pub(super) name: String,
    /// Where it is, from the object on.
    pub(super) steps: Vec<String>,
}

/// What was given contradicts itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PatchError {
    #[error("`--unset {0}` takes away what another flag gives")]
    GivenAndUnset(String),
    #[error("nothing to change was given")]
    Nothing(String),
}

impl Explained for PatchError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::GivenAndUnset(_) => "leave one of the two out".to_owned(),
            Self::Nothing(command) => format!("see what can be changed: {command} --help"),
        })
    }

    fn exit(&self) -> Exit {
        Exit::Misuse
    }
}

impl Flags {
    /// What the flags give, as a part of an object.
    pub(super) fn given(&self, matches: &ArgMatches) -> Value {
        let mut value = Value::Object(Map::new());
        for flag in &self.each {
            match &flag.form {
                Form::Switch => {
                    if matches.get_flag(&flag.name) {
                        at(&mut value, &flag.steps);
                    }
                }
                Form::Value(_) => {
                    if let Some(given) = matches.get_one::<Value>(&flag.name) {
                        *at(&mut value, &flag.steps) = given.clone();
                    }
                }
                Form::List(_) => {
                    if let Some(given) = matches.get_many::<Value>(&flag.name) {
                        *at(&mut value, &flag.steps) = given.cloned().collect();
                    }
                }
                Form::Entries { .. } => {
                    let given = matches.get_many::<(String, Value)>(&flag.name);
                    for (key, entry) in given.into_iter().flatten() {
                        let steps = [&flag.steps[..], std::slice::from_ref(key)].concat();
                        *at(&mut value, &steps) = entry.clone();
                    }
                }
            }
        }
        value
    }

    /// What `--unset` names.
    pub(super) fn removal(&self, text: &str) -> Result<Removal, String> {
        let plain = text.trim_start_matches("--");
        let (name, key) = match plain.split_once('=') {
            Some((name, key)) => (name, Some(key)),
            None => (plain, None),
        };
        let Some(optional) = self.optional.get(name) else {
            let known = self.optional.keys().map(String::as_str);
            let near = lb_model::nearest(name, known);
            let near = near.map(|near| format!("did you mean `{near}`?"));
            let required = self.each.iter().any(|flag| flag.name == name);
            let why = if required {
                "it cannot be absent"
            } else {
                "no flag has this name"
            };
            return Err(near.filter(|_| !required).unwrap_or_else(|| why.to_owned()));
        };
        if key.is_some() && !optional.is_map {
            return Err(format!("`{name}` has no keys: write --unset {name}"));
        }
        let mut steps = optional.steps.clone();
        steps.extend(key.map(str::to_owned));
        Ok(Removal {
            name: text.to_owned(),
            steps,
        })
    }
}

/// Adds to what was given that which is to be taken away.
pub(crate) fn with_removals(mut value: Value, removals: &[Removal]) -> Result<Value, PatchError> {
    let mut removals: Vec<_> = removals.iter().collect();
    removals.sort_by_key(|removal| removal.steps.len());
    let mut gone: Vec<&[String]> = Vec::new();
    for Removal { name, steps } in removals {
        // What holds it goes already.
        if gone.iter().any(|above| steps.starts_with(above)) {
            continue;
        }
        let given = steps.iter().try_fold(&value, |value, step| value.get(step));
        if given.is_some() {
            return Err(PatchError::GivenAndUnset(name.clone()));
        }
        *at(&mut value, steps) = Value::Null;
        gone.push(steps);
    }
    Ok(value)
}

/// The place at the end of some steps; tables are made on the way. Where flags exclude each other,
/// which the command line refuses, the last one stays.
fn at<'v>(value: &'v mut Value, steps: &[String]) -> &'v mut Value {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let Some((first, rest)) = steps.split_first() else {
        return value;
    };
    let Value::Object(table) = value else {
        return value;
    };
    let below = table.entry(first.as_str()).or_insert(Value::Null);
    if rest.is_empty() && !below.is_null() {
        return below;
    }
    if rest.is_empty() {
        *below = Value::Object(Map::new());
        return below;
    }
    at(below, rest)
}
