//! Objects in a document by their paths.

use serde_json::{Map, Value};

use super::ObjectPath;
use crate::nearest::did_you_mean;
use crate::plan::Place;
use crate::problem::{Code, Path, Problem};
use crate::value::Name;

/// An object, which must be there.
pub(super) fn object<'d>(
    document: &'d mut Value,
    path: &ObjectPath,
) -> Result<&'d mut Value, Problem> {
    let pointer = pointer(document, path)?;
    let object = document.pointer_mut(&pointer);
    object.ok_or_else(|| absent(path, []))
}

/// Makes an object be this. What holds it must be there.
pub(super) fn put(document: &mut Value, path: &ObjectPath, value: Value) -> Result<(), Problem> {
    let holder = match path.holder() {
        Some(holder) => object(document, &holder)?,
        None => document,
    };
    let Value::Object(table) = holder else {
        return Err(absent(path, []));
    };
    let (noun, Some(name)) = (path.noun(), path.names().last()) else {
        table.insert(path.noun().plural.to_owned(), value);
        return Ok(());
    };
    let none = if noun.is_list {
        Value::Array(Vec::new())
    } else {
        Value::Object(Map::new())
    };
    match table.entry(noun.plural).or_insert(none) {
        Value::Object(objects) => drop(objects.insert(name.to_string(), value)),
        Value::Array(list) => match position(list, name) {
            Some(index) => list[index] = value,
            None => list.push(value),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    Ok(())
}

/// Takes an object away, which must be there; one without a name gets its defaults.
pub(super) fn remove(document: &mut Value, path: &ObjectPath) -> Result<(), Problem> {
    let object = object(document, path)?;
    let Some(name) = path.names().last() else {
        *object = Value::Object(Map::new());
        return Ok(());
    };
    match siblings(document, path) {
        Some(Value::Object(objects)) => drop(objects.shift_remove(name.as_str())),
        Some(Value::Array(list)) => list.retain(|object| object["name"] != name.as_str()),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => {}
    }
    Ok(())
}

/// Puts an object, which must be there, to another place in its list.
pub(super) fn shift(document: &mut Value, path: &ObjectPath, place: &Place) -> Result<(), Problem> {
    object(document, path)?;
    let (Some(Value::Array(list)), Some(name)) = (siblings(document, path), path.names().last())
    else {
        let message = format!(
            "the order of {} says nothing",
            path.noun().plural.replace('_', " ")
        );
        let help = "only what stands in a list has a place, such as a rule";
        return Err(Problem::new(Code::NoOrder, path.place(), message, help));
    };
    let to = match place {
        Place::First => 0,
        Place::After(other) if other == name => return Ok(()),
        Place::After(other) => {
            let known = || list.iter().filter_map(name_of);
            let absent = || unknown(beside(path, other), path, other.as_str(), known());
            position(list, other).ok_or_else(absent)? + 1
        }
    };
    if let Some(from) = position(list, name) {
        let value = list.remove(from);
        list.insert(to - usize::from(from < to), value);
    }
    Ok(())
}

/// The list or table that an object is in.
fn siblings<'d>(document: &'d mut Value, path: &ObjectPath) -> Option<&'d mut Value> {
    let holder = match path.holder() {
        Some(holder) => object(document, &holder).ok()?,
        None => document,
    };
    holder.get_mut(path.noun().plural)
}

/// Where an object is, as a JSON pointer; names have nothing in them that is escaped there.
fn pointer(document: &Value, path: &ObjectPath) -> Result<String, Problem> {
    let above = path.holder().map(|holder| pointer(document, &holder));
    let objects = format!(
        "{}/{}",
        above.transpose()?.unwrap_or_default(),
        path.noun().plural
    );
    let Some(name) = path.names().last() else {
        return Ok(objects);
    };
    let found = match document.pointer(&objects) {
        Some(Value::Object(table)) if table.contains_key(name.as_str()) => Some(name.to_string()),
        Some(Value::Object(table)) => return Err(absent(path, table.keys().map(String::as_str))),
        Some(Value::Array(list)) => match position(list, name) {
            Some(index) => Some(index.to_string()),
            None => return Err(absent(path, list.iter().filter_map(name_of))),
        },
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => None,
    };
    match found {
        Some(last) => Ok(format!("{objects}/{last}")),
        None => Err(absent(path, [])),
    }
}

fn position(list: &[Value], name: &Name) -> Option<usize> {
    list.iter()
        .position(|object| object["name"] == name.as_str())
}

fn name_of(object: &Value) -> Option<&str> {
    object["name"].as_str()
}

fn absent<'n>(path: &ObjectPath, known: impl IntoIterator<Item = &'n str>) -> Problem {
    match path.names().last() {
        Some(name) => unknown(path.place(), path, name.as_str(), known),
        None => unknown(path.place(), path, path.noun().plural, known),
    }
}

/// Says that an object is not there, and which one may have been meant.
fn unknown<'n>(
    place: Path,
    path: &ObjectPath,
    name: &str,
    known: impl IntoIterator<Item = &'n str>,
) -> Problem {
    /// The most names that are listed.
    const NAMES_MAX: usize = 10;
    let words = path.noun().words();
    let known: Vec<_> = known.into_iter().collect();
    let of = path
        .holder()
        .map_or_else(String::new, |holder| format!(" in {}", holder.title()));
    let near = did_you_mean(name, known.iter().copied());
    let help = match known.len() {
        0 => format!("there is no {words}{of} at all"),
        1..=NAMES_MAX => format!("{near}there are: {}", known.join(", ")),
        more => format!("{near}there are {more} others"),
    };
    Problem::new(
        Code::UnknownObject,
        place,
        format!("there is no {words} `{name}`{of}"),
        help,
    )
}

/// The place of another object in the same list.
fn beside(path: &ObjectPath, name: &Name) -> Path {
    let above = path
        .holder()
        .map_or_else(Path::root, |holder| holder.place());
    above.key(path.noun().plural).key(name.as_str())
}
