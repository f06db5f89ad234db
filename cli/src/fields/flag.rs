//! The flags of a noun: one for each place of its objects that holds a value.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use lb_model::schema::{Choice, Field, Kind, Noun, Shape, nouns};
use serde_json::Value;

/// All that is given on the command line for the objects of one noun.
#[derive(Debug)]
pub(super) struct Flags {
    /// The name of its command, such as `virtual-service`.
    pub(super) command: String,
    /// What an object is named by, such as `POOL/SERVER`.
    pub(super) value_name: String,
    /// The flags, in the order of the schema.
    pub(super) each: Vec<Flag>,
    /// What may be taken away, by the name that flags begin with.
    pub(super) optional: BTreeMap<String, Optional>,
}

/// One flag.
#[derive(Debug)]
pub(super) struct Flag {
    /// Its name, such as `health-check-interval`.
    pub(super) name: String,
    /// Where its value belongs, from the object on.
    pub(super) steps: Vec<String>,
    /// What it is for.
    pub(super) help: String,
    /// The section of the help that it stands in.
    pub(super) heading: String,
    /// What its value is called in the help.
    pub(super) value_name: String,
    pub(super) form: Form,
    /// Whether a new object needs it.
    pub(super) required: bool,
    /// The choices it is part of: where each one is, and which it is.
    pub(super) choices: Vec<(String, String)>,
}

/// What a flag takes.
#[derive(Debug)]
pub(super) enum Form {
    /// `KEY=VALUE`, as often as it is given; with a choice, this is the one that the value is of.
    Entries {
        keys: String,
        values: Arc<Shape>,
        choice: Option<String>,
    },
    /// One value each time it is given; together they are the list.
    List(Arc<Shape>),
    /// Nothing: a table in which every key has its default.
    Switch,
    /// A value.
    Value(Arc<Shape>),
}

/// What may be taken away.
#[derive(Debug)]
pub(super) struct Optional {
    /// Where it is, from the object on.
    pub(super) steps: Vec<String>,
    /// Whether it has keys of its own, which may be taken away one by one.
    pub(super) is_map: bool,
}

static FLAGS: LazyLock<Vec<Flags>> = LazyLock::new(|| nouns().iter().map(Flags::of).collect());

/// The flags of every noun, in the order of [`nouns`].
pub(super) fn all() -> impl Iterator<Item = (&'static Noun, &'static Flags)> {
    nouns().iter().zip(FLAGS.iter())
}

/// The noun and the flags of a command.
pub(super) fn of_command(name: &str) -> Option<(&'static Noun, &'static Flags)> {
    all().find(|(_, flags)| flags.command == name)
}

impl Flags {
    fn of(noun: &Noun) -> Self {
        let mut walk = Walk {
            flags: Vec::new(),
            optional: BTreeMap::new(),
        };
        if let Kind::Table(fields) = &noun.shape.kind {
            let own = Spot {
                steps: Vec::new(),
                choices: Vec::new(),
                heading: title(&noun.words()),
                about: "",
                default: None,
                required: true,
            };
            // The name of an object is not given as a flag, and what it holds has its own command.
            let is_name = |field: &Field| noun.is_list && field.name == "name";
            let fields = fields
                .iter()
                .filter(|f| !is_name(f) && f.shape.objects().is_none());
            for field in fields {
                let mut spot = own.field(field);
                if !is_one_flag(&field.shape) {
                    spot.heading = title(&field.name.replace('_', " "));
                }
                walk.field(field, &spot);
            }
        }
        Self {
            command: kebab(noun.singular),
            value_name: names(noun),
            each: walk.flags,
            optional: walk.optional,
        }
    }
}

/// Where the walk along the schema is.
#[derive(Clone)]
struct Spot<'s> {
    steps: Vec<String>,
    choices: Vec<(String, String)>,
    heading: String,
    about: &'s str,
    default: Option<&'s Value>,
    /// Whether a new object needs a value here.
    required: bool,
}

impl<'s> Spot<'s> {
    fn field(&self, field: &'s Field) -> Self {
        let mut spot = self.clone();
        spot.steps.push(field.name.clone());
        spot.about = &field.description;
        spot.default = field.default.as_ref();
        spot.required = self.required && field.required;
        spot
    }

    fn choice(&self, choice: &'s Choice) -> Self {
        let mut spot = self.clone();
        spot.choices.push((self.name(), choice.name.clone()));
        spot.steps.push(choice.name.clone());
        spot.about = &choice.description;
        spot.default = None;
        spot.required = false;
        spot
    }

    fn name(&self) -> String {
        kebab(&self.steps.join("-"))
    }
}

struct Walk {
    flags: Vec<Flag>,
    optional: BTreeMap<String, Optional>,
}

impl Walk {
    fn field(&mut self, field: &Field, spot: &Spot<'_>) {
        if !field.required {
            let optional = Optional {
                steps: spot.steps.clone(),
                is_map: matches!(field.shape.kind, Kind::Map { .. }),
            };
            self.optional.insert(spot.name(), optional);
        }
        let is_off = !field.required && field.default.is_none();
        if is_off && has_defaults(&field.shape) {
            self.switch(spot);
        }
        self.value(&field.shape, spot);
    }

    fn value(&mut self, shape: &Arc<Shape>, spot: &Spot<'_>) {
        match &shape.kind {
            Kind::Table(fields) => {
                for field in fields {
                    self.field(field, &spot.field(field));
                }
            }
            Kind::Choice(choices) if !shape.is_scalar() => self.choices(shape, choices, spot),
            Kind::Map { keys, values } => self.map(keys, values, spot),
            Kind::List { items, .. } => self.push(spot, items, Form::List(Arc::clone(items))),
            Kind::Boolean
            | Kind::Choice(_)
            | Kind::Integer { .. }
            | Kind::IntegerOrText { .. }
            | Kind::Text { .. } => self.push(spot, shape, Form::Value(Arc::clone(shape))),
            Kind::Unknown => {}
        }
    }

    /// A choice with more to say: its words are values of its own flag, its tables have flags each.
    fn choices(&mut self, shape: &Arc<Shape>, choices: &[Choice], spot: &Spot<'_>) {
        if choices.iter().any(|choice| choice.payload.is_none()) {
            self.push(spot, shape, Form::Value(Arc::clone(shape)));
        }
        for choice in choices {
            let Some(payload) = &choice.payload else {
                continue;
            };
            let spot = spot.choice(choice);
            if is_all_optional(payload) {
                self.switch(&spot);
            }
            self.value(payload, &spot);
        }
    }

    fn map(&mut self, keys: &str, values: &Arc<Shape>, spot: &Spot<'_>) {
        let entries = |values: &Arc<Shape>, choice: Option<String>| Form::Entries {
            keys: keys.to_owned(),
            values: Arc::clone(values),
            choice,
        };
        if values.is_scalar() {
            return self.push(spot, values, entries(values, None));
        }
        for choice in values.choices() {
            if let Some(payload) = choice
                .payload
                .as_ref()
                .filter(|payload| payload.is_scalar())
            {
                // Several entries may each be of another choice, so these do not exclude each other.
                let spot = Spot {
                    choices: spot.choices.clone(),
                    steps: spot.steps.clone(),
                    about: spot.about,
                    ..spot.choice(choice)
                };
                let form = entries(payload, Some(choice.name.clone()));
                self.push(&spot, payload, form);
                if let Some(flag) = self.flags.last_mut() {
                    flag.name = format!("{}-{}", flag.name, kebab(&choice.name));
                    flag.help = format!("{} {}", spot.about, choice.description);
                }
            }
        }
    }

    fn switch(&mut self, spot: &Spot<'_>) {
        self.flags.push(Flag {
            help: format!("{} Alone, it has its defaults.", spot.about),
            ..flag(spot, String::new(), Form::Switch)
        });
    }

    fn push(&mut self, spot: &Spot<'_>, shape: &Shape, form: Form) {
        let name = value_name(shape);
        let name = match &form {
            Form::Entries { .. } => format!("KEY={name}"),
            Form::List(_) | Form::Switch | Form::Value(_) => name,
        };
        self.flags.push(flag(spot, name, form));
    }
}

fn flag(spot: &Spot<'_>, value_name: String, form: Form) -> Flag {
    let notes = notes(spot, &form);
    let help = match spot.about.strip_suffix('.') {
        Some(about) if !notes.is_empty() => format!("{about} [{notes}]."),
        Some(_) | None => spot.about.to_owned(),
    };
    Flag {
        name: spot.name(),
        steps: spot.steps.clone(),
        help,
        heading: spot.heading.clone(),
        value_name,
        form,
        required: spot.required,
        choices: spot.choices.clone(),
    }
}

/// What a value may be, and what holds without it.
fn notes(spot: &Spot<'_>, form: &Form) -> String {
    let range = match form {
        Form::List(shape) | Form::Value(shape) | Form::Entries { values: shape, .. } => {
            match shape.kind {
                Kind::Integer { min, max } => Some(format!("{min} to {max}")),
                Kind::Boolean
                | Kind::Choice(_)
                | Kind::IntegerOrText { .. }
                | Kind::List { .. }
                | Kind::Map { .. }
                | Kind::Table(_)
                | Kind::Text { .. }
                | Kind::Unknown => None,
            }
        }
        Form::Switch => None,
    };
    let repeated = match form {
        Form::Entries { .. } | Form::List(_) => Some("may be repeated".to_owned()),
        Form::Switch | Form::Value(_) => None,
    };
    let default = spot.default.and_then(|default| match default {
        Value::String(text) => Some(format!("default: {text}")),
        Value::Bool(_) | Value::Number(_) => Some(format!("default: {default}")),
        Value::Array(list) if !list.is_empty() => {
            let texts = list
                .iter()
                .map(|v| v.as_str().map_or(v.to_string(), str::to_owned));
            Some(format!("default: {}", texts.collect::<Vec<_>>().join(", ")))
        }
        Value::Array(_) | Value::Null | Value::Object(_) => None,
    });
    let notes = [range, repeated, default];
    notes.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// Whether a value of this shape is given with a single flag.
fn is_one_flag(shape: &Shape) -> bool {
    match &shape.kind {
        Kind::List { items, .. } => items.is_scalar(),
        Kind::Boolean
        | Kind::Choice(_)
        | Kind::Integer { .. }
        | Kind::IntegerOrText { .. }
        | Kind::Map { .. }
        | Kind::Table(_)
        | Kind::Text { .. }
        | Kind::Unknown => shape.is_scalar(),
    }
}

/// Whether `{}` is a whole value of this shape.
fn is_all_optional(shape: &Shape) -> bool {
    matches!(&shape.kind, Kind::Table(fields) if fields.iter().all(|field| !field.required))
}

/// Whether `{}` says something: keys that are left out have defaults.
fn has_defaults(shape: &Shape) -> bool {
    let Kind::Table(fields) = &shape.kind else {
        return false;
    };
    is_all_optional(shape) && fields.iter().any(|field| field.default.is_some())
}

/// What a value is called in help texts, such as `PERIOD`.
fn value_name(shape: &Shape) -> String {
    let format_name = |format: &str| {
        let name = format.trim_start_matches("lb-");
        let name = name.rsplit_once('-').map_or(name, |(of, last)| match last {
            "address" => last,
            _ => {
                if of.is_empty() {
                    last
                } else {
                    name
                }
            }
        });
        name.to_ascii_uppercase()
    };
    match &shape.kind {
        Kind::Boolean => "true|false".to_owned(),
        Kind::Choice(_) => "CHOICE".to_owned(),
        Kind::Integer { .. } => "NUMBER".to_owned(),
        Kind::IntegerOrText { format, .. } => format_name(format),
        Kind::Text { format, .. } => format.as_deref().map_or("TEXT".to_owned(), format_name),
        Kind::List { .. } | Kind::Map { .. } | Kind::Table(_) | Kind::Unknown => "VALUE".to_owned(),
    }
}

/// `POOL/SERVER` for a server.
fn names(noun: &Noun) -> String {
    let above = noun.holder().map(|holder| names(holder) + "/");
    above.unwrap_or_default() + &kebab(noun.singular).to_ascii_uppercase()
}

/// `health_check` as `health-check`.
pub(super) fn kebab(name: &str) -> String {
    name.replace('_', "-")
}

/// `health check` as `Health check`.
fn title(words: &str) -> String {
    let mut chars = words.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use lb_model::schema::leaves;

    use super::*;

    /// The places of a noun in the document, as leaves have them.
    fn prefix(noun: &Noun) -> String {
        let above = noun
            .holder()
            .map(|holder| prefix(holder) + ".")
            .unwrap_or_default();
        let own = match (noun.keyed, noun.is_list) {
            (false, _) => "",
            (true, true) => "[]",
            (true, false) => ".*",
        };
        format!("{above}{}{own}", noun.plural)
    }

    #[test]
    fn every_value_of_the_document_has_its_flag_and_no_two_have_the_same() {
        let mut places = BTreeSet::new();
        for (noun, flags) in all() {
            let names: BTreeSet<_> = flags.each.iter().map(|flag| &flag.name).collect();
            assert_eq!(names.len(), flags.each.len(), "{}", flags.command);
            for flag in &flags.each {
                let mut place = format!("{}.{}", prefix(noun), flag.steps.join("."));
                if let Form::Entries { choice, .. } = &flag.form {
                    place += ".*";
                    place.extend(choice.iter().map(|choice| format!(".{choice}")));
                }
                assert!(flag.help.contains('.'), "{place}");
                places.insert(place);
            }
        }
        for leaf in leaves() {
            let is_name = leaf.path.ends_with("rules[].name");
            assert!(is_name || places.contains(&leaf.path), "{}", leaf.path);
        }
    }
}
