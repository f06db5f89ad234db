//! What Terraform knows of our objects: attributes, made from the shape of the document. Nothing here
//! knows a field of the model, so that a new one is an attribute as soon as it is declared.

use std::fmt::Write;
use std::sync::Arc;

use lb_model::schema::{Choice, Field, Kind as ShapeKind, Shape};
use serde_json::{Value as Json, json};

use crate::document;
use crate::value::Value;
use crate::wire::{self, number};

/// An attribute of a resource or of an object in one.
#[derive(Clone, Debug)]
pub(crate) struct Attribute {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) kind: Kind,
    pub(crate) presence: Presence,
    /// Whether Terraform shows `(sensitive value)` for it.
    pub(crate) sensitive: bool,
    /// Whether another value means another object.
    pub(crate) replaces: bool,
}

/// Who gives an attribute its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Presence {
    /// The configuration always does.
    Required,
    /// The configuration may; absent means that something is off, or is managed elsewhere.
    Optional,
    /// The configuration may; otherwise it is this, which is known when it is planned.
    Defaulted(Value),
    /// The balancer does.
    Computed,
    /// The configuration does, and it is never kept: secrets.
    WriteOnly,
}

/// What an attribute holds.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Scalar(Scalar),
    List(Scalar),
    Map(Scalar),
    Nested(Nesting, Arc<[Attribute]>),
}

/// A value without others in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scalar {
    Bool,
    Number,
    /// A text, in the form that the model calls so.
    Text(Option<String>),
}

/// How objects are in an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nesting {
    Single,
    List,
    Map,
}

/// Text that may be anything.
pub(crate) const TEXT: Kind = Kind::Scalar(Scalar::Text(None));

impl Attribute {
    /// An attribute that no field of the model stands behind.
    pub(crate) fn new(name: &str, kind: Kind, presence: Presence, description: &str) -> Self {
        Self {
            name: name.to_owned(),
            description: description.to_owned(),
            kind,
            presence,
            sensitive: false,
            replaces: false,
        }
    }

    /// The same, whose other value means another object.
    pub(crate) fn replacing(mut self) -> Self {
        self.replaces = true;
        self
    }

    /// The same, that Terraform does not show.
    pub(crate) fn hidden(mut self) -> Self {
        self.sensitive = true;
        self
    }

    /// The same and all below it, as the balancer gives it: for what is only read.
    pub(crate) fn computed(&self) -> Self {
        let kind = match &self.kind {
            Kind::Nested(nesting, attributes) => {
                Kind::Nested(*nesting, attributes.iter().map(Self::computed).collect())
            }
            Kind::Scalar(_) | Kind::List(_) | Kind::Map(_) => self.kind.clone(),
        };
        Self {
            kind,
            presence: Presence::Computed,
            replaces: false,
            ..self.clone()
        }
    }

    /// How Terraform is told of it.
    pub(crate) fn to_wire(&self) -> wire::Attribute {
        let nested_type = match &self.kind {
            Kind::Nested(nesting, attributes) => Some(wire::Nested {
                attributes: attributes.iter().map(Self::to_wire).collect(),
                nesting: match nesting {
                    Nesting::Single => number::NESTED_SINGLE,
                    Nesting::List => number::NESTED_LIST,
                    Nesting::Map => number::NESTED_MAP,
                },
            }),
            Kind::Scalar(_) | Kind::List(_) | Kind::Map(_) => None,
        };
        let is_nested = nested_type.is_some();
        wire::Attribute {
            name: self.name.clone(),
            kind: if is_nested {
                Vec::new()
            } else {
                self.kind.type_json().to_string().into()
            },
            nested_type,
            description: self.description.clone(),
            required: self.presence == Presence::Required,
            optional: matches!(
                self.presence,
                Presence::Optional | Presence::Defaulted(_) | Presence::WriteOnly
            ),
            computed: matches!(self.presence, Presence::Computed | Presence::Defaulted(_)),
            sensitive: self.sensitive,
            description_kind: number::MARKDOWN,
            write_only: self.presence == Presence::WriteOnly,
        }
    }
}

impl Kind {
    /// The type, as Terraform writes types in JSON.
    pub(crate) fn type_json(&self) -> Json {
        match self {
            Self::Scalar(scalar) => scalar.type_json(),
            Self::List(scalar) => json!(["list", scalar.type_json()]),
            Self::Map(scalar) => json!(["map", scalar.type_json()]),
            Self::Nested(nesting, attributes) => {
                let types = attributes
                    .iter()
                    .map(|a| (a.name.clone(), a.kind.type_json()));
                let object = json!(["object", Json::Object(types.collect())]);
                match nesting {
                    Nesting::Single => object,
                    Nesting::List => json!(["list", object]),
                    Nesting::Map => json!(["map", object]),
                }
            }
        }
    }
}

impl Scalar {
    fn type_json(&self) -> Json {
        match self {
            Self::Bool => "bool".into(),
            Self::Number => "number".into(),
            Self::Text(_) => "string".into(),
        }
    }
}

/// How Terraform is told of attributes that are a whole.
pub(crate) fn to_wire(attributes: &[Attribute], description: &str) -> wire::Schema {
    wire::Schema {
        version: 0,
        block: Some(wire::Block {
            version: 0,
            attributes: attributes.iter().map(Attribute::to_wire).collect(),
            description: description.to_owned(),
            description_kind: number::MARKDOWN,
        }),
    }
}

/// The attributes of an object of this shape: a table's keys, or one for each choice.
pub(crate) fn attributes(shape: &Shape) -> Vec<Attribute> {
    match &shape.kind {
        ShapeKind::Table(fields) => fields.iter().map(of_field).collect(),
        ShapeKind::Choice(choices) => choices.iter().map(of_choice).collect(),
        ShapeKind::Boolean
        | ShapeKind::Integer { .. }
        | ShapeKind::IntegerOrText { .. }
        | ShapeKind::List { .. }
        | ShapeKind::Map { .. }
        | ShapeKind::Text { .. }
        | ShapeKind::Unknown => Vec::new(),
    }
}

fn of_field(field: &Field) -> Attribute {
    let default = field.default.as_ref();
    Attribute {
        name: attribute_name(&field.name),
        description: description(&field.description, &field.shape, default),
        kind: kind(&field.shape),
        presence: match default {
            _ if field.required => Presence::Required,
            Some(default) => Presence::Defaulted(document::to_value(default, &field.shape)),
            None => Presence::Optional,
        },
        sensitive: field.shape.secret,
        replaces: false,
    }
}

/// A choice is an object of which one attribute is set: what comes with the choice, or `true` for one
/// that nothing comes with.
fn of_choice(choice: &Choice) -> Attribute {
    let (about, kind) = if let Some(payload) = &choice.payload {
        let about = description(&choice.description, payload, None);
        (about, kind(payload))
    } else {
        let about = format!("{} Set it to `true`.", choice.description);
        (about, Kind::Scalar(Scalar::Bool))
    };
    Attribute::new(
        &attribute_name(&choice.name),
        kind,
        Presence::Optional,
        &about,
    )
}

fn kind(shape: &Shape) -> Kind {
    if let Some(scalar) = scalar(shape) {
        return Kind::Scalar(scalar);
    }
    match &shape.kind {
        ShapeKind::List { items, .. } => match scalar(items) {
            Some(scalar) => Kind::List(scalar),
            None => Kind::Nested(Nesting::List, attributes(items).into()),
        },
        ShapeKind::Map { values, .. } => match scalar(values) {
            Some(scalar) => Kind::Map(scalar),
            None => Kind::Nested(Nesting::Map, attributes(values).into()),
        },
        ShapeKind::Boolean
        | ShapeKind::Choice(_)
        | ShapeKind::Integer { .. }
        | ShapeKind::IntegerOrText { .. }
        | ShapeKind::Table(_)
        | ShapeKind::Text { .. }
        | ShapeKind::Unknown => Kind::Nested(Nesting::Single, attributes(shape).into()),
    }
}

fn scalar(shape: &Shape) -> Option<Scalar> {
    match &shape.kind {
        ShapeKind::Boolean => Some(Scalar::Bool),
        ShapeKind::Integer { .. } => Some(Scalar::Number),
        // Terraform makes a text of a number where one is asked for.
        ShapeKind::IntegerOrText { format, .. } => Some(Scalar::Text(Some(format.clone()))),
        ShapeKind::Text { format, .. } => Some(Scalar::Text(format.clone())),
        ShapeKind::Choice(_) if shape.is_scalar() => Some(Scalar::Text(None)),
        ShapeKind::Choice(_)
        | ShapeKind::List { .. }
        | ShapeKind::Map { .. }
        | ShapeKind::Table(_)
        | ShapeKind::Unknown => None,
    }
}

/// The name of an attribute, which has to begin with a letter to be written after a dot.
pub(crate) fn attribute_name(key: &str) -> String {
    if key.starts_with(|c: char| c.is_ascii_digit()) {
        format!("status_{key}")
    } else {
        key.to_owned()
    }
}

/// What an attribute is for, which values it takes, and what holds without one.
fn description(about: &str, shape: &Shape, default: Option<&Json>) -> String {
    let mut text = about.trim().to_owned();
    match &shape.kind {
        ShapeKind::Choice(choices) if shape.is_scalar() => {
            let words: Vec<_> = choices
                .iter()
                .map(|choice| format!("`{}`", choice.name))
                .collect();
            append(&mut text, &format!("One of {}.", words.join(", ")));
        }
        ShapeKind::Choice(_) => append(&mut text, "Exactly one of its attributes is set."),
        ShapeKind::Integer { min, max } if *max < i128::from(i64::MAX) => {
            append(&mut text, &format!("From {min} to {max}."));
        }
        ShapeKind::Text {
            example: Some(example),
            ..
        } if default.is_none() => append(&mut text, &format!("Such as `{example}`.")),
        ShapeKind::Boolean
        | ShapeKind::Integer { .. }
        | ShapeKind::IntegerOrText { .. }
        | ShapeKind::List { .. }
        | ShapeKind::Map { .. }
        | ShapeKind::Table(_)
        | ShapeKind::Text { .. }
        | ShapeKind::Unknown => {}
    }
    if let Some(default) = default.filter(|default| !default.is_object() && !default.is_array()) {
        append(&mut text, "Default: ");
        let shown = default
            .as_str()
            .map_or_else(|| default.to_string(), str::to_owned);
        let _written = write!(text, "`{shown}`.");
    }
    text
}

fn append(text: &mut String, sentence: &str) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(sentence);
}
