//! The schema as a tree that programs walk: references resolved, every fact in a typed place.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::effect::{Effect, Effects};

/// What a value of the document may be.
#[derive(Clone, Debug)]
pub struct Shape {
    /// The name of the type, when it has one of its own, such as `Pool`.
    pub name: Option<String>,
    /// What the type is for.
    pub description: String,
    /// Which values it has.
    pub kind: Kind,
    /// Whether values are never shown again once they were given.
    pub secret: bool,
}

/// The kinds of value.
#[derive(Clone, Debug)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// One of several: a word, or a table with the one key that names the choice.
    Choice(Vec<Choice>),
    /// A whole number.
    Integer {
        /// The smallest.
        min: i128,
        /// The largest.
        max: i128,
    },
    /// A whole number in a range, or a text of this form.
    IntegerOrText {
        /// The smallest number.
        min: i128,
        /// The largest number.
        max: i128,
        /// The form of the text, for [`check_format`](crate::value::check_format).
        format: String,
    },
    /// A list.
    List {
        /// What its elements are.
        items: Arc<Shape>,
        /// The fewest elements.
        length_min: usize,
        /// The most elements.
        length_max: usize,
    },
    /// A table whose keys the operator chooses.
    Map {
        /// The form of the keys.
        keys: String,
        /// What each key holds.
        values: Arc<Shape>,
    },
    /// A table with known keys.
    Table(Vec<Field>),
    /// A text.
    Text {
        /// Its form, when it is not free.
        format: Option<String>,
        /// An example in that form.
        example: Option<String>,
        /// The fewest characters.
        length_min: usize,
        /// The most characters.
        length_max: usize,
    },
    /// Something that the schema says in words this tree does not have; a test keeps it unused.
    Unknown,
}

/// A key of a table.
#[derive(Clone, Debug)]
pub struct Field {
    /// The key.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Whether it must be there.
    pub required: bool,
    /// What holds when it is absent; nothing for a feature that is then off.
    pub default: Option<Value>,
    /// What it holds.
    pub shape: Arc<Shape>,
    /// What a change of it does to traffic, where the schema says so.
    pub effects: Effects,
    /// The keys of the same table whose objects this one names, so that they must be there first.
    pub needs: Vec<String>,
}

/// One of several.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The word that names it.
    pub name: String,
    /// What it means.
    pub description: String,
    /// What comes with it; nothing when the word alone is the value.
    pub payload: Option<Arc<Shape>>,
    /// What changing to it does to traffic, when that is not what any other change of the key does.
    pub effect: Option<Effect>,
}

impl Shape {
    /// The shape that a JSON Schema of ours describes. Schemas are trees: no type holds itself.
    pub(crate) fn of_schema(schema: &Value) -> Self {
        Reader {
            definitions: &schema["$defs"],
        }
        .shape(schema)
    }

    /// The words of a choice, or nothing for other kinds.
    pub fn choices(&self) -> &[Choice] {
        if let Kind::Choice(choices) = &self.kind {
            choices
        } else {
            &[]
        }
    }

    /// The shape of the objects in it: those of a map by name, or of a list whose elements have names.
    pub fn objects(&self) -> Option<&Arc<Self>> {
        match &self.kind {
            Kind::Map { keys, values } if keys == "lb-name" => {
                matches!(values.kind, Kind::Table(_)).then_some(values)
            }
            Kind::List { items, .. } => items.is_named().then_some(items),
            Kind::Boolean
            | Kind::Choice(_)
            | Kind::Integer { .. }
            | Kind::IntegerOrText { .. }
            | Kind::Map { .. }
            | Kind::Table(_)
            | Kind::Text { .. }
            | Kind::Unknown => None,
        }
    }

    /// Whether a value of this shape is a table that must have a name in it.
    fn is_named(&self) -> bool {
        let names = |shape: &Self| matches!(&shape.kind, Kind::Text { format, .. } if format.as_deref() == Some("lb-name"));
        let is_name = |field: &Field| field.name == "name" && field.required && names(&field.shape);
        matches!(&self.kind, Kind::Table(fields) if fields.iter().any(is_name))
    }

    /// Whether a value of this shape fits on one line: no table and no list of tables.
    pub fn is_scalar(&self) -> bool {
        match &self.kind {
            Kind::Boolean
            | Kind::Integer { .. }
            | Kind::IntegerOrText { .. }
            | Kind::Text { .. } => true,
            Kind::Choice(choices) => choices.iter().all(|choice| choice.payload.is_none()),
            Kind::List { .. } | Kind::Map { .. } | Kind::Table(_) | Kind::Unknown => false,
        }
    }
}

struct Reader<'a> {
    definitions: &'a Value,
}

impl Reader<'_> {
    fn shape(&self, schema: &Value) -> Shape {
        if let Some(name) = schema["$ref"]
            .as_str()
            .and_then(|r| r.strip_prefix("#/$defs/"))
        {
            let shape = self.shape(&self.definitions[name]);
            return Shape {
                name: Some(name.to_owned()),
                secret: shape.secret || is_secret(schema),
                ..shape
            };
        }
        Shape {
            name: None,
            description: text(&schema["description"]),
            kind: self.kind(schema),
            secret: is_secret(schema),
        }
    }

    fn kind(&self, schema: &Value) -> Kind {
        if let Some(choices) = schema["oneOf"].as_array() {
            return self.choice(choices);
        }
        match schema["type"].as_str() {
            Some("boolean") => Kind::Boolean,
            Some("integer") => Kind::Integer {
                min: integer_min(schema),
                max: integer_max(schema),
            },
            Some("string") => Kind::Text {
                format: schema["format"].as_str().map(str::to_owned),
                example: schema["examples"][0].as_str().map(str::to_owned),
                length_min: length(&schema["minLength"], 0),
                length_max: length(&schema["maxLength"], usize::MAX),
            },
            Some("array") => Kind::List {
                items: Arc::new(self.shape(&schema["items"])),
                length_min: length(&schema["minItems"], 0),
                length_max: length(&schema["maxItems"], usize::MAX),
            },
            Some("object") => self.object(schema),
            None if schema["type"] == serde_json::json!(["integer", "string"]) => {
                Kind::IntegerOrText {
                    min: integer_min(schema),
                    max: integer_max(schema),
                    format: text(&schema["format"]),
                }
            }
            Some(_) | None => Kind::Unknown,
        }
    }

    fn object(&self, schema: &Value) -> Kind {
        if let Some(properties) = schema["properties"].as_object() {
            let required = |name: &str| {
                schema["required"]
                    .as_array()
                    .is_some_and(|names| names.iter().any(|n| n == name))
            };
            let field = |(name, schema): (&String, &Value)| Field {
                name: name.clone(),
                description: text(&schema["description"]),
                required: required(name),
                default: schema
                    .get("default")
                    .filter(|value| !value.is_null())
                    .cloned(),
                shape: Arc::new(self.shape(schema)),
                effects: Effects::of_schema(schema),
                needs: texts(&schema["x-needs"]),
            };
            return Kind::Table(properties.iter().map(field).collect());
        }
        // Keys that are names are under their pattern, those that are header fields are not.
        let (keys, values) = match schema["patternProperties"].as_object() {
            Some(patterns) => ("lb-name", patterns.values().next()),
            None => ("lb-header-name", schema.get("additionalProperties")),
        };
        values.map_or(Kind::Unknown, |values| Kind::Map {
            keys: keys.to_owned(),
            values: Arc::new(self.shape(values)),
        })
    }

    fn choice(&self, choices: &[Value]) -> Kind {
        let choice = |schema: &Value| {
            let description = text(&schema["description"]);
            let effect = Effect::of_schema(&schema["x-effect"]);
            if let Some(name) = schema["const"].as_str() {
                return Some(Choice {
                    name: name.to_owned(),
                    description,
                    payload: None,
                    effect,
                });
            }
            let (name, payload) = schema["properties"].as_object()?.iter().next()?;
            let payload = Some(Arc::new(self.shape(payload)));
            Some(Choice {
                name: name.clone(),
                description,
                payload,
                effect,
            })
        };
        let choices: Option<Vec<_>> = choices.iter().map(choice).collect();
        choices.map_or(Kind::Unknown, Kind::Choice)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    let values = value.as_array().map_or(&[][..], Vec::as_slice);
    values.iter().map(text).collect()
}

fn is_secret(schema: &Value) -> bool {
    schema["writeOnly"] == true
}

fn length(value: &Value, otherwise: usize) -> usize {
    value
        .as_u64()
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or(otherwise)
}

fn integer_min(schema: &Value) -> i128 {
    schema["minimum"].as_i64().map_or(0, i128::from)
}

/// The largest number: what the schema says, or what the type can hold.
fn integer_max(schema: &Value) -> i128 {
    let bits = BTreeMap::from([("uint8", 8), ("uint16", 16), ("uint32", 32)]);
    let of_type = bits
        .get(schema["format"].as_str().unwrap_or_default())
        .map_or(i128::from(i64::MAX), |bits| (1 << bits) - 1);
    schema["maximum"].as_i64().map_or(of_type, i128::from)
}
