//! What to write instead of a value that was refused: for people as help, and for the checks that
//! go on as a value that stands in.

use serde_json::{Map, Value as Json};

use super::node::{Node, Value};
use crate::schema::{Choice, Field, Kind, Shape};
use crate::value::check_format;

/// Some value that fits the shape and clashes with no other: port 0 listens nowhere in particular.
pub(super) fn stand_in(shape: &Shape) -> Json {
    match &shape.kind {
        Kind::Boolean => true.into(),
        Kind::Choice(choices) => {
            choices
                .first()
                .map_or(Json::Null, |choice| match &choice.payload {
                    None => choice.name.as_str().into(),
                    Some(payload) => serde_json::json!({ &choice.name: stand_in(payload) }),
                })
        }
        Kind::Integer { min, .. } | Kind::IntegerOrText { min, .. } => {
            i64::try_from(*min).unwrap_or_default().into()
        }
        Kind::List {
            items, length_min, ..
        } => std::iter::repeat_with(|| stand_in(items))
            .take(*length_min)
            .collect(),
        Kind::Map { .. } => Json::Object(Map::new()),
        Kind::Table(fields) => {
            let required = fields.iter().filter(|field| field.required);
            let entry = |field: &Field| (field.name.clone(), stand_in(&field.shape));
            Json::Object(required.map(entry).collect())
        }
        Kind::Text {
            format,
            example,
            length_min,
            ..
        } => match format.as_deref() {
            Some("lb-listen-address") => "0.0.0.0:0".into(),
            Some("lb-name") => "unreadable".into(),
            Some(_) => example.as_deref().unwrap_or_default().into(),
            None => "x".repeat(*length_min).into(),
        },
        Kind::Unknown => Json::Null,
    }
}

/// A value of this shape as an operator would write it, when there is a short one.
pub(super) fn example(shape: &Shape) -> Option<String> {
    match &shape.kind {
        Kind::Boolean => Some("true".to_owned()),
        Kind::Choice(choices) => choices.first().and_then(|choice| match &choice.payload {
            None => Some(format!("\"{}\"", choice.name)),
            Some(payload) => Some(format!("{{ {} = {} }}", choice.name, example(payload)?)),
        }),
        Kind::Integer { min, .. } | Kind::IntegerOrText { min, .. } => Some(min.to_string()),
        Kind::Map { .. } => Some("{}".to_owned()),
        Kind::Table(fields) => {
            let required: Option<Vec<String>> = fields
                .iter()
                .filter(|field| field.required)
                .map(|field| Some(format!("{} = {}", field.name, example(&field.shape)?)))
                .collect();
            let required = required?;
            Some(if required.is_empty() {
                "{}".to_owned()
            } else {
                format!("{{ {} }}", required.join(", "))
            })
        }
        Kind::Text {
            example, format, ..
        } => match (example, format.as_deref()) {
            (Some(example), _) => Some(format!("{example:?}")),
            (None, _) => None,
        },
        Kind::List { .. } | Kind::Unknown => None,
    }
}

/// What to write instead of a value of the wrong type.
pub(super) fn type_help(node: &Node<'_>, shape: &Shape) -> String {
    match (&shape.kind, &node.value) {
        (Kind::Boolean, Value::Text(text)) if matches!(&**text, "true" | "false") => {
            format!("write {text} without quotes")
        }
        (Kind::Boolean, _) => "use true or false".to_owned(),
        (Kind::Integer { min, max }, Value::Text(text)) if text.parse::<i64>().is_ok() => {
            format!("write {text} without quotes; the range is {min} to {max}")
        }
        (Kind::Integer { min, max }, _) => format!("use a whole number from {min} to {max}"),
        (
            Kind::IntegerOrText { format, .. }
            | Kind::Text {
                format: Some(format),
                ..
            },
            _,
        ) => {
            // Empty text fits no format of ours that has a mend to tell.
            match check_format(format, "") {
                Err(invalid) => format!("use {}", invalid.mend),
                Ok(()) => "write the text in quotes".to_owned(),
            }
        }
        (Kind::Text { format: None, .. }, _) => "write the text in quotes".to_owned(),
        (Kind::List { items, .. }, Value::Text(_)) if items.is_scalar() => {
            "put the value in brackets, as a list of one".to_owned()
        }
        (Kind::List { items, .. }, _) => match example(items) {
            Some(example) => format!("use a list, such as [{example}]"),
            None => "use a list".to_owned(),
        },
        (Kind::Choice(choices), _) => format!("use one of {}", quoted(choices)),
        (Kind::Map { values, .. }, _) => {
            let example = example(values).unwrap_or_else(|| "…".to_owned());
            format!("use a table with a name for each, such as {{ name = {example} }}")
        }
        (Kind::Table(fields), _) => {
            let names: Vec<_> = fields
                .iter()
                .map(|field| format!("`{}`", field.name))
                .collect();
            format!("use a table; its keys are {}", names.join(", "))
        }
        (Kind::Unknown, _) => String::new(),
    }
}

/// The choices as they are written: words in quotes, tables in braces.
pub(super) fn quoted(choices: &[Choice]) -> String {
    let written = choices.iter().map(|choice| match choice.payload {
        None => format!("\"{}\"", choice.name),
        Some(_) => format!("{{ {} = … }}", choice.name),
    });
    written.collect::<Vec<_>>().join(", ")
}

/// The noun with its article.
pub(super) fn article(noun: &str) -> String {
    format!("a {noun}")
}
