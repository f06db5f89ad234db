//! Values as they are written on the command line.

use lb_model::schema::{Kind, Shape};
use lb_model::value::{InvalidValue, check_format};
use serde_json::{Map, Value, json};

/// A value of this shape, which is on one line.
pub(super) fn scalar(shape: &Shape, text: &str) -> Result<Value, String> {
    let in_range = |min: i128, max: i128| {
        let number: i128 = text.parse().ok()?;
        let fits = (min..=max).contains(&number);
        fits.then(|| i64::try_from(number).ok().map(Value::from))
            .flatten()
    };
    match &shape.kind {
        Kind::Boolean => text
            .parse()
            .map(Value::Bool)
            .map_err(|_| "use true or false".to_owned()),
        Kind::Integer { min, max } => {
            in_range(*min, *max).ok_or_else(|| format!("use a whole number from {min} to {max}"))
        }
        Kind::IntegerOrText { min, max, format } => match in_range(*min, *max) {
            Some(number) => Ok(number),
            None => form(format, text),
        },
        Kind::Text {
            format: Some(format),
            ..
        } => form(format, text),
        // Words are compared by the parser of the command line, which suggests the nearest.
        Kind::Choice(_)
        | Kind::List { .. }
        | Kind::Map { .. }
        | Kind::Table(_)
        | Kind::Text { .. }
        | Kind::Unknown => Ok(text.into()),
    }
}

/// An entry of a map, `KEY=VALUE`.
pub(super) fn entry(
    keys: &str,
    values: &Shape,
    choice: Option<&str>,
    text: &str,
) -> Result<(String, Value), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| "write it as KEY=VALUE".to_owned())?;
    form(keys, key)?;
    let value = scalar(values, value)?;
    let value = match choice {
        Some(choice) => Value::Object(Map::from_iter([(choice.to_owned(), value)])),
        None => value,
    };
    Ok((key.to_owned(), value))
}

fn form(format: &str, text: &str) -> Result<Value, String> {
    match check_format(format, text) {
        Ok(()) => Ok(json!(text)),
        Err(InvalidValue { reason, mend }) => Err(format!("{reason}; use {mend}")),
    }
}
