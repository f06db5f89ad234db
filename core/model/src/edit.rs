//! Changes of single objects of a document, as commands and programs ask for them: this object shall
//! be so, this one shall have other values, this one shall go. Several are made as one or not at all.
//!
//! What comes out may be contradictory, such as a rule that names a pool that was deleted: that is for
//! [`validate`](crate::validate()) to say.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::config::Config;
use crate::parse::check_value;
use crate::plan::Place;
use crate::problem::{Code, Path, Problem};
use crate::schema::Noun;

mod find;
mod merge;
mod path;

pub use path::ObjectPath;

/// A change of one object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Edit {
    /// The object is taken away; one without a name gets its defaults.
    Delete {
        /// Which object.
        path: ObjectPath,
    },
    /// The object gets another place in its list.
    Move {
        /// Which object; it must be one whose order counts, such as a rule.
        path: ObjectPath,
        /// Its new place.
        place: Place,
    },
    /// Some values of the object are changed (RFC 7396): `null` takes one away, tables are changed
    /// key by key, and naming another choice drops the one that was there.
    Patch {
        /// Which object; it must be there.
        path: ObjectPath,
        /// The values to change.
        value: Value,
    },
    /// The object becomes this, whether or not it was there; a new one in a list is its last.
    Put {
        /// Which object; what holds it must be there.
        path: ObjectPath,
        /// What it becomes.
        value: Value,
    },
}

/// Makes all edits, one after the other.
///
/// # Errors
/// Everything that is wrong with any of them; nothing is changed then.
pub fn edit(config: &Config, edits: &[Edit]) -> Result<Config, Vec<Problem>> {
    let mut document = json(config);
    let mut problems = Vec::new();
    for edit in edits {
        if let Err(found) = one(&mut document, edit) {
            problems.extend(found);
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    serde_json::from_value(document).map_err(|error| {
        let help = "the schema does not tell why; please report this";
        vec![Problem::new(
            Code::Unreadable,
            Path::root(),
            error.to_string(),
            help,
        )]
    })
}

/// One object of a document.
///
/// # Errors
/// What is not there, with the name that was probably meant.
pub fn object(config: &Config, path: &ObjectPath) -> Result<Value, Problem> {
    let mut document = json(config);
    find::object(&mut document, path).map(Value::take)
}

/// All objects of a noun that one object holds, or that the document holds: a table by name, or for
/// those whose order counts a list.
///
/// # Errors
/// What is not there, with the name that was probably meant.
pub fn objects(
    config: &Config,
    noun: &Noun,
    holder: Option<&ObjectPath>,
) -> Result<Value, Problem> {
    let mut value = match holder {
        Some(path) => object(config, path)?,
        None => json(config),
    };
    let none = if noun.is_list {
        Value::Array(Vec::new())
    } else {
        Value::Object(Map::new())
    };
    let found = value.get_mut(noun.plural).map(Value::take);
    Ok(found.unwrap_or(none))
}

impl Edit {
    /// The object that is changed.
    pub fn path(&self) -> &ObjectPath {
        match self {
            Self::Delete { path }
            | Self::Move { path, .. }
            | Self::Patch { path, .. }
            | Self::Put { path, .. } => path,
        }
    }
}

fn json(config: &Config) -> Value {
    serde_json::to_value(config).expect("keys are texts and numbers are whole")
}

fn one(document: &mut Value, edit: &Edit) -> Result<(), Vec<Problem>> {
    let done = match edit {
        Edit::Delete { path } => find::remove(document, path),
        Edit::Move { path, place } => find::shift(document, path, place),
        Edit::Patch { path, value: patch } => {
            let object = find::object(document, path).map_err(|problem| vec![problem])?;
            let mut value = object.clone();
            merge::merge(&mut value, patch, path.noun().shape);
            *object = checked(value, path)?;
            Ok(())
        }
        Edit::Put { path, value } => {
            let value = checked(value.clone(), path)?;
            find::put(document, path, value)
        }
    };
    done.map_err(|problem| vec![problem])
}

/// The object with its name in it, where objects have theirs in them, when nothing is wrong with it.
fn checked(mut value: Value, path: &ObjectPath) -> Result<Value, Vec<Problem>> {
    let mut problems = Vec::new();
    if let (true, Value::Object(table), Some(name)) =
        (path.noun().is_list, &mut value, path.names().last())
    {
        let name = name.as_str();
        if let Some(other) = table.get("name").filter(|other| *other != name) {
            let place = path.place().key("name");
            let message = format!("the name {other} is not that of the object, `{name}`");
            let help = "leave `name` out; to rename an object, add it anew and delete the old one";
            problems.push(Problem::new(Code::OtherName, place, message, help));
        }
        table.shift_insert(0, "name".to_owned(), name.into());
    }
    problems.extend(check_value(&value, path.noun().shape, &path.place()));
    if problems.is_empty() {
        Ok(value)
    } else {
        Err(problems)
    }
}
