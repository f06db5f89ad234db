//! Carrying a plan out on a document. It makes no choices: what is not as the plan says stops it.

use serde_json::{Map, Value, json};

use super::{Action, Change, Place};
use crate::config::Config;
use crate::problem::Step;
use crate::schema::{Kind, Spot};

/// Why a plan could not be carried out. The document is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The document is not the one that the plan was made for.
    #[error("the plan is stale: `{}` is not as it was", _0.path)]
    Stale(Box<Change>),
    /// The plan was not made by this program, or by another version of it.
    #[error("the plan does not lead to a document")]
    Unreadable(#[source] serde_json::Error),
}

impl ApplyError {
    /// What to do.
    pub fn help(&self) -> String {
        match self {
            Self::Stale(change) => format!(
                "somebody changed the document meanwhile: make a new plan (this one has `{change}`)"
            ),
            Self::Unreadable(_) => "make a new plan with this version of the program".to_owned(),
        }
    }
}

pub(super) fn apply(changes: &[Change], config: &Config) -> Result<Config, ApplyError> {
    let document = serde_json::to_value(config);
    let mut document = document.map_err(ApplyError::Unreadable)?;
    for change in changes {
        step(&mut document, change).ok_or_else(|| ApplyError::Stale(Box::new(change.clone())))?;
    }
    serde_json::from_value(document).map_err(ApplyError::Unreadable)
}

/// Makes one change; nothing when it does not fit.
fn step(document: &mut Value, change: &Change) -> Option<()> {
    let (Step::Key(key), above) = change.path.steps().split_last()? else {
        return None;
    };
    match holder(document, above)? {
        Value::Object(table) => set(table, key, change),
        Value::Array(list) => arrange(list, key, change),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// The table or list at a path of names.
fn holder<'d>(document: &'d mut Value, path: &[Step]) -> Option<&'d mut Value> {
    let mut spot = Spot::root();
    let mut at = document;
    for step in path {
        let Step::Key(key) = step else {
            return None;
        };
        spot = spot.key(key)?;
        at = match at {
            Value::Object(table) => {
                // Where there are no objects, their key may be left out.
                if !table.contains_key(&**key) && spot.shape.objects().is_some() {
                    let is_list = matches!(spot.shape.kind, Kind::List { .. });
                    let none = if is_list { json!([]) } else { json!({}) };
                    table.insert(key.to_string(), none);
                }
                table.get_mut(&**key)?
            }
            Value::Array(list) => {
                let index = find(list, key)?;
                list.get_mut(index)?
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
        };
    }
    Some(at)
}

fn set(table: &mut Map<String, Value>, key: &str, change: &Change) -> Option<()> {
    if change.action == Action::Move || table.get(key) != change.before.as_ref() {
        return None;
    }
    match &change.after {
        Some(value) => table.insert(key.to_owned(), value.clone()),
        None => table.shift_remove(key),
    };
    Some(())
}

/// Adds, moves or removes an object of a list.
fn arrange(list: &mut Vec<Value>, name: &str, change: &Change) -> Option<()> {
    let taken = match find(list, name) {
        Some(index) => {
            let is_there =
                change.action == Action::Move || list.get(index) == change.before.as_ref();
            let behind = index.checked_sub(1).and_then(|before| list.get(before));
            if !is_there || !is_behind(change.from.as_ref()?, behind) {
                return None;
            }
            Some(list.remove(index))
        }
        None if change.before.is_some() || change.action == Action::Move => return None,
        None => None,
    };
    let Some(to) = &change.to else {
        return Some(());
    };
    let index = match to {
        Place::First => 0,
        Place::After(name) => find(list, name.as_str())? + 1,
    };
    let value = match change.action {
        Action::Move => taken?,
        Action::Add | Action::Change | Action::Remove => change.after.clone()?,
    };
    list.insert(index, value);
    Some(())
}

fn is_behind(place: &Place, behind: Option<&Value>) -> bool {
    match place {
        Place::After(name) => behind.is_some_and(|object| object["name"] == name.as_str()),
        Place::First => behind.is_none(),
    }
}

fn find(list: &[Value], name: &str) -> Option<usize> {
    list.iter().position(|object| object["name"] == name)
}
