//! The document as a flat list: every place that holds a value, with all that is known of it.

use serde_json::Value;

use super::{Choice, Effects, Field, Kind, Shape, shape};

/// A place of the document that holds a value. In its path `*` stands for a name that the operator
/// chooses and `[]` for an element of a list.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// Where, such as `pools.*.servers.*.weight`.
    pub path: String,
    /// What is written there, such as `text` or `whole number`.
    pub value_type: &'static str,
    /// What it is for.
    pub description: String,
    /// What holds when it is absent.
    pub default: Option<Value>,
    /// The smallest and the largest number.
    pub range: Option<(i128, i128)>,
    /// The words to choose from.
    pub choices: Vec<String>,
    /// Whether it must be there, when the table around it is.
    pub required: bool,
}

/// Every leaf of the document, in the order of the schema.
pub fn leaves() -> Vec<Leaf> {
    let mut leaves = Vec::new();
    collect(
        shape(),
        Place {
            path: "",
            about: None,
        },
        &mut leaves,
    );
    leaves
}

#[derive(Clone, Copy)]
struct Place<'a> {
    path: &'a str,
    about: Option<&'a Field>,
}

impl Place<'_> {
    fn below(self, step: &str) -> String {
        let dot = if self.path.is_empty() { "" } else { "." };
        format!("{}{dot}{step}", self.path)
    }
}

fn collect(shape: &Shape, place: Place<'_>, leaves: &mut Vec<Leaf>) {
    match &shape.kind {
        Kind::Table(fields) => {
            for field in fields {
                let path = place.below(&field.name);
                collect(
                    &field.shape,
                    Place {
                        path: &path,
                        about: Some(field),
                    },
                    leaves,
                );
            }
        }
        Kind::Map { values, .. } => {
            let path = place.below("*");
            collect(
                values,
                Place {
                    path: &path,
                    about: place.about,
                },
                leaves,
            );
        }
        Kind::List { items, .. } if !items.is_scalar() => {
            let path = format!("{}[]", place.path);
            collect(
                items,
                Place {
                    path: &path,
                    about: None,
                },
                leaves,
            );
        }
        Kind::Choice(choices) if !shape.is_scalar() => {
            collect_choices(shape, choices, place, leaves);
        }
        Kind::Choice(choices) => {
            let words = choices.iter().map(|c| c.name.clone()).collect();
            leaves.push(leaf(shape, place, words));
        }
        Kind::Boolean
        | Kind::Integer { .. }
        | Kind::IntegerOrText { .. }
        | Kind::List { .. }
        | Kind::Text { .. }
        | Kind::Unknown => leaves.push(leaf(shape, place, Vec::new())),
    }
}

fn collect_choices(shape: &Shape, choices: &[Choice], place: Place<'_>, leaves: &mut Vec<Leaf>) {
    let words = choices.iter().filter(|choice| choice.payload.is_none());
    let words: Vec<_> = words.map(|choice| choice.name.clone()).collect();
    if !words.is_empty() {
        leaves.push(leaf(shape, place, words));
    }
    for choice in choices {
        let Some(payload) = &choice.payload else {
            continue;
        };
        let field = Field {
            name: choice.name.clone(),
            description: choice.description.clone(),
            required: false,
            default: None,
            shape: payload.clone(),
            effects: Effects::default(),
            needs: Vec::new(),
        };
        let path = place.below(&choice.name);
        collect(
            payload,
            Place {
                path: &path,
                about: Some(&field),
            },
            leaves,
        );
    }
}

fn leaf(shape: &Shape, place: Place<'_>, choices: Vec<String>) -> Leaf {
    let description = place.about.map(|field| field.description.clone());
    Leaf {
        path: place.path.to_owned(),
        value_type: shape.type_name(),
        description: description.unwrap_or_else(|| shape.description.clone()),
        default: place.about.and_then(|field| field.default.clone()),
        range: match shape.kind {
            Kind::Integer { min, max } | Kind::IntegerOrText { min, max, .. } => Some((min, max)),
            Kind::Boolean
            | Kind::Choice(_)
            | Kind::List { .. }
            | Kind::Map { .. }
            | Kind::Table(_)
            | Kind::Text { .. }
            | Kind::Unknown => None,
        },
        choices,
        required: place.about.is_some_and(|field| field.required),
    }
}

impl Shape {
    /// What a value of this shape is called in a sentence, without an article.
    pub fn type_name(&self) -> &'static str {
        match &self.kind {
            Kind::Boolean => "boolean",
            Kind::Choice(_) if self.is_scalar() => "word",
            Kind::Choice(_) => "choice",
            Kind::Integer { .. } => "whole number",
            Kind::IntegerOrText { .. } => "whole number or text",
            Kind::List { .. } => "list",
            Kind::Map { .. } | Kind::Table(_) => "table",
            Kind::Text { .. } => "text",
            Kind::Unknown => "value",
        }
    }
}
