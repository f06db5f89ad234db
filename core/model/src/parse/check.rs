//! Compares a document with the schema: every value, every problem. What comes out is the document
//! with each bad value left out or replaced, so that the checks that follow can go on; which places
//! were touched is remembered, so that nothing is said about them twice.

use serde_json::{Map, Value as Json};

use super::finding::Findings;
use super::mend::{article, example, quoted, stand_in, type_help};
use super::node::{Entry, Node, Value};
use crate::nearest::{did_you_mean, nearest};
use crate::problem::{Code, Path, Problem, Step};
use crate::schema::{Choice, Field, Kind, Shape};
use crate::value::check_format;

/// A document after the comparison.
#[derive(Debug)]
pub(super) struct Checked {
    /// It fits the schema.
    pub(super) document: Json,
    /// The places where it is not what was written.
    pub(super) mended: Vec<Path>,
}

/// Compares the document with its shape. `partial` says that a syntax error may have hidden some
/// of it, so that nothing is missed.
pub(super) fn check(
    text: &str,
    root: &Node<'_>,
    shape: &Shape,
    partial: bool,
    findings: &mut Findings,
) -> Checked {
    let mut check = Check {
        text,
        partial,
        path: Vec::new(),
        mended: Vec::new(),
        findings,
    };
    let document = check
        .value(root, shape)
        .unwrap_or_else(|| Json::Object(Map::new()));
    Checked {
        document,
        mended: check.mended,
    }
}

struct Check<'a> {
    text: &'a str,
    partial: bool,
    path: Vec<Step>,
    mended: Vec<Path>,
    findings: &'a mut Findings,
}

impl Check<'_> {
    /// The value if it fits the shape, else nothing after saying why.
    fn value(&mut self, node: &Node<'_>, shape: &Shape) -> Option<Json> {
        match (&shape.kind, &node.value) {
            (_, Value::Broken) => None,
            (Kind::Boolean, Value::Boolean(value)) => Some((*value).into()),
            (Kind::Choice(choices), _) => self.choice(node, choices, shape),
            (
                Kind::Integer { min, max } | Kind::IntegerOrText { min, max, .. },
                Value::Integer(number),
            ) => self.integer(node, *number, *min, *max),
            (Kind::IntegerOrText { format, .. }, Value::Text(text)) => {
                self.format(node, text, format)
            }
            (
                Kind::List {
                    items,
                    length_min,
                    length_max,
                },
                Value::List(nodes),
            ) => {
                self.length(node, nodes.len(), *length_min, *length_max, "elements")?;
                Some(self.list(nodes, items))
            }
            (Kind::Map { keys, values }, Value::Table(entries)) => {
                Some(self.map(entries, keys, values))
            }
            (Kind::Table(fields), Value::Table(entries)) => Some(self.table(node, entries, fields)),
            (
                Kind::Text {
                    format,
                    length_min,
                    length_max,
                    ..
                },
                Value::Text(text),
            ) => {
                if let Some(format) = format {
                    return self.format(node, text, format);
                }
                self.length(
                    node,
                    text.chars().count(),
                    *length_min,
                    *length_max,
                    "characters",
                )?;
                Some(Json::from(text.as_ref()))
            }
            (
                Kind::Boolean
                | Kind::Integer { .. }
                | Kind::IntegerOrText { .. }
                | Kind::List { .. }
                | Kind::Map { .. }
                | Kind::Table(_)
                | Kind::Text { .. }
                | Kind::Unknown,
                _,
            ) => self.wrong_type(node, shape),
        }
    }

    fn list(&mut self, nodes: &[Node<'_>], items: &Shape) -> Json {
        let mut values = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            self.path.push(Step::Index(index));
            let value = self.value(node, items);
            values.push(value.unwrap_or_else(|| self.stand_in(items)));
            self.path.pop();
        }
        Json::Array(values)
    }

    fn map(&mut self, entries: &[Entry<'_>], keys: &str, values: &Shape) -> Json {
        let mut map = Map::with_capacity(entries.len());
        let mut folded = std::collections::HashSet::new();
        for entry in entries {
            self.path.push(Step::Key(entry.key.as_ref().into()));
            let value = self.value(&entry.value, values);
            let value = value.unwrap_or_else(|| self.stand_in(values));
            if let Err(invalid) = check_format(keys, &entry.key) {
                self.at_key(
                    entry,
                    Code::BadFormat,
                    invalid.reason,
                    format!("use {}", invalid.mend),
                );
            } else if keys == "lb-header-name" && !folded.insert(entry.key.to_ascii_lowercase()) {
                let message = format!("`{}` is given twice in different case", entry.key);
                self.at_key(entry, Code::DuplicateKey, message, "keep one of the two");
            } else {
                map.insert(entry.key.to_string(), value);
            }
            self.path.pop();
        }
        Json::Object(map)
    }

    fn table(&mut self, node: &Node<'_>, entries: &[Entry<'_>], fields: &[Field]) -> Json {
        let mut table = Map::with_capacity(entries.len());
        let mut meant = Vec::new();
        for entry in entries {
            let Some(field) = fields.iter().find(|field| field.name == entry.key) else {
                meant.extend(self.unknown_key(entry, fields));
                continue;
            };
            self.path.push(Step::Key(entry.key.as_ref().into()));
            let value = self.value(&entry.value, &field.shape);
            let value = value.or_else(|| field.required.then(|| self.stand_in(&field.shape)));
            match value {
                Some(value) => drop(table.insert(field.name.clone(), value)),
                None => self.mark(),
            }
            self.path.pop();
        }
        for field in fields.iter().filter(|field| field.required) {
            if table.contains_key(&field.name) {
                continue;
            }
            if !self.partial && !meant.contains(&field.name.as_str()) {
                self.missing_key(node, entries, field);
            }
            self.path.push(Step::Key(field.name.as_str().into()));
            let value = self.stand_in(&field.shape);
            self.path.pop();
            table.insert(field.name.clone(), value);
        }
        Json::Object(table)
    }

    /// Reports a key that no table of this kind has; returns the key that was probably meant.
    fn unknown_key<'f>(&mut self, entry: &Entry<'_>, fields: &'f [Field]) -> Option<&'f str> {
        let names = || fields.iter().map(|field| field.name.as_str());
        let known = names()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", ");
        let help = format!(
            "{}known keys here: {known}",
            did_you_mean(&entry.key, names())
        );
        self.path.push(Step::Key(entry.key.as_ref().into()));
        self.at_key(
            entry,
            Code::UnknownKey,
            format!("`{}` is not a key here", entry.key),
            help,
        );
        self.path.pop();
        nearest(&entry.key, names())
    }

    fn missing_key(&mut self, node: &Node<'_>, entries: &[Entry<'_>], field: &Field) {
        let message = format!("the key `{}` is missing", field.name);
        let help = match example(&field.shape) {
            Some(example) => format!("add `{} = {example}`", field.name),
            None => format!("add `{}`, {}", field.name, article(field.shape.type_name())),
        };
        // A table that is spread over headers has no text of its own: its first key shows where.
        let span = match entries.first() {
            Some(first) if node.span.is_empty() => first.key_span.clone(),
            Some(_) | None => node.span.clone(),
        };
        let problem = Problem::new(Code::MissingKey, self.place(), message, help);
        self.findings.push(problem, Some(span));
    }

    fn choice(&mut self, node: &Node<'_>, choices: &[Choice], shape: &Shape) -> Option<Json> {
        match &node.value {
            Value::Text(word) => {
                let known = choices.iter().find(|choice| choice.name == *word);
                match known {
                    Some(Choice {
                        payload: None,
                        name,
                        ..
                    }) => Some(name.as_str().into()),
                    Some(Choice {
                        payload: Some(payload),
                        name,
                        ..
                    }) => {
                        let inner = example(payload).unwrap_or_else(|| "{}".to_owned());
                        let message = format!("`{name}` is a word where a table is needed");
                        let help = format!("write {{ {name} = {inner} }}");
                        self.at(node, Code::WrongType, message, help)
                    }
                    None => self.unknown_choice(node, word, choices),
                }
            }
            Value::Table(entries) if !shape.is_scalar() => match &entries[..] {
                [entry] => self.chosen(node, entry, choices),
                [] => {
                    let help = format!("use one of {}", quoted(choices));
                    self.at(
                        node,
                        Code::NotOneChoice,
                        "an empty table chooses nothing",
                        help,
                    )
                }
                [_, _, ..] => {
                    let keys: Vec<_> = entries.iter().map(|e| format!("`{}`", e.key)).collect();
                    let message = format!("{} exclude each other", keys.join(" and "));
                    for entry in entries
                        .iter()
                        .filter(|e| choices.iter().any(|c| c.name == e.key))
                    {
                        self.chosen(node, entry, choices);
                    }
                    let help = format!("keep one; the choices are {}", quoted(choices));
                    self.at(node, Code::NotOneChoice, message, help)
                }
            },
            Value::Boolean(_)
            | Value::Broken
            | Value::Integer(_)
            | Value::List(_)
            | Value::Null
            | Value::Other(_)
            | Value::Table(_) => self.wrong_type(node, shape),
        }
    }

    /// The one entry of a table that chooses.
    fn chosen(&mut self, node: &Node<'_>, entry: &Entry<'_>, choices: &[Choice]) -> Option<Json> {
        let Some(choice) = choices.iter().find(|choice| choice.name == entry.key) else {
            self.unknown_choice(node, &entry.key, choices);
            return None;
        };
        let Some(payload) = &choice.payload else {
            let message = format!("`{}` is a word, not a table", choice.name);
            let help = format!("write \"{}\"", choice.name);
            return self.at(node, Code::WrongType, message, help);
        };
        self.path.push(Step::Key(entry.key.as_ref().into()));
        let value = self.value(&entry.value, payload);
        let value = value.unwrap_or_else(|| self.stand_in(payload));
        self.path.pop();
        let mut table = Map::new();
        table.insert(choice.name.clone(), value);
        Some(Json::Object(table))
    }

    fn unknown_choice(&mut self, node: &Node<'_>, word: &str, choices: &[Choice]) -> Option<Json> {
        let near = did_you_mean(word, choices.iter().map(|choice| choice.name.as_str()));
        let help = format!("{near}use one of {}", quoted(choices));
        self.at(
            node,
            Code::UnknownChoice,
            format!("`{word}` is none of the choices"),
            help,
        )
    }

    fn integer(&mut self, node: &Node<'_>, number: i128, min: i128, max: i128) -> Option<Json> {
        if let Ok(fits) = i64::try_from(number)
            && (min..=max).contains(&number)
        {
            return Some(fits.into());
        }
        let message = format!(
            "{} is outside the range of {min} to {max}",
            self.shown(node)
        );
        self.at(
            node,
            Code::OutOfRange,
            message,
            format!("use a number from {min} to {max}"),
        )
    }

    fn format(&mut self, node: &Node<'_>, text: &str, format: &str) -> Option<Json> {
        match check_format(format, text) {
            Ok(()) => Some(text.into()),
            Err(invalid) => {
                let help = format!("use {}", invalid.mend);
                let reason = invalid.reason.replacen(text, &cut_short(text), 1);
                self.at(node, Code::BadFormat, reason, help)
            }
        }
    }

    fn length(
        &mut self,
        node: &Node<'_>,
        length: usize,
        min: usize,
        max: usize,
        of: &str,
    ) -> Option<()> {
        if (min..=max).contains(&length) {
            return Some(());
        }
        let allowed = match (min, max) {
            (0, max) => format!("at most {max}"),
            (min, usize::MAX) => format!("at least {min}"),
            (min, max) => format!("{min} to {max}"),
        };
        let wrong = if length < min { "short" } else { "long" };
        let message = format!("{} with {length} {of} is too {wrong}", node.type_name());
        self.at::<()>(
            node,
            Code::WrongLength,
            message,
            format!("use {allowed} {of}"),
        )
    }

    fn wrong_type(&mut self, node: &Node<'_>, shape: &Shape) -> Option<Json> {
        if matches!(node.value, Value::Null) {
            let message = "null says nothing here";
            return self.at(node, Code::WrongType, message, "leave the key out instead");
        }
        let needed = article(shape.type_name());
        let message = format!(
            "{} is {} where {needed} is needed",
            self.shown(node),
            node.type_name()
        );
        let message = match node.value {
            Value::List(_) | Value::Table(_) => {
                format!("{} where {needed} is needed", node.type_name())
            }
            Value::Boolean(_)
            | Value::Broken
            | Value::Integer(_)
            | Value::Null
            | Value::Other(_)
            | Value::Text(_) => message,
        };
        self.at(node, Code::WrongType, message, type_help(node, shape))
    }

    /// The value as it is written, cut short.
    fn shown(&self, node: &Node<'_>) -> String {
        let written = self.text.get(node.span.clone()).unwrap_or_default();
        format!("`{}`", cut_short(written))
    }

    fn place(&self) -> Path {
        Path::from(&self.path[..])
    }

    /// Reports a problem with the value.
    fn at<T>(
        &mut self,
        node: &Node<'_>,
        code: Code,
        message: impl AsRef<str>,
        help: impl AsRef<str>,
    ) -> Option<T> {
        if !self.findings.is_full() {
            let problem = Problem::new(code, self.place(), message, help);
            self.findings.push(problem, Some(node.span.clone()));
        }
        None
    }

    /// Reports a problem with the key of an entry, whose path is the present one.
    fn at_key(
        &mut self,
        entry: &Entry<'_>,
        code: Code,
        message: impl AsRef<str>,
        help: impl AsRef<str>,
    ) {
        let problem = Problem::new(code, self.place(), message, help);
        self.findings.push(problem, Some(entry.key_span.clone()));
        self.mark();
    }

    /// Remembers that the document is not what was written at this place.
    fn mark(&mut self) {
        if !self.findings.is_full() {
            self.mended.push(self.place());
        }
    }

    /// A value for a place that must have one, after its own was refused.
    fn stand_in(&mut self, shape: &Shape) -> Json {
        self.mark();
        stand_in(shape)
    }
}

fn cut_short(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let mut short: String = text.chars().take(CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
