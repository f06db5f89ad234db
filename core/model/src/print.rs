//! A document as canonical text: what is as by default is left out, servers have a line each.

use std::fmt::Write;

use serde_json::{Map, Value};

use crate::config::Config;
use crate::schema::{Field, Kind, Shape, shape};

/// The document as TOML. Reading the text gives the document back.
///
/// # Panics
/// Never: the keys of a document are texts and its numbers are whole, which is all that JSON asks.
pub fn to_toml(config: &Config) -> String {
    let mut printer = Printer {
        out: String::new(),
        path: Vec::new(),
    };
    let document = serde_json::to_value(config).expect("keys are texts and numbers are whole");
    if let (Value::Object(table), Kind::Table(fields)) = (&document, &shape().kind) {
        for (field, value) in written(fields, table) {
            printer.path.push(key(&field.name));
            printer.section(&field.shape, value);
            printer.path.pop();
        }
    }
    printer.out
}

/// One object of a document as TOML, as it would stand under its header.
pub fn object_to_toml(shape: &Shape, object: &Value) -> String {
    let mut printer = Printer {
        out: String::new(),
        path: Vec::new(),
    };
    printer.fields(shape, object);
    printer.out
}

struct Printer {
    out: String,
    /// The keys of the present table, as they are written.
    path: Vec<String>,
}

impl Printer {
    /// A value with a header of its own.
    fn section(&mut self, shape: &Shape, value: &Value) {
        match (&shape.kind, value) {
            (Kind::Map { values, .. }, Value::Object(entries)) if has_only_scalars(values) => {
                self.header("[", "]");
                for (name, value) in entries {
                    self.line(&key(name), values, value);
                }
            }
            (Kind::Map { values, .. }, Value::Object(entries)) => {
                for (name, value) in entries {
                    self.path.push(key(name));
                    self.section(values, value);
                    self.path.pop();
                }
            }
            (Kind::List { items, .. }, Value::Array(elements)) => {
                for element in elements {
                    self.header("[[", "]]");
                    self.fields(items, element);
                }
            }
            _ => {
                self.header("[", "]");
                self.fields(shape, value);
            }
        }
    }

    /// The keys of a table: first those that fit on a line, then those with a header.
    fn fields(&mut self, shape: &Shape, value: &Value) {
        let (Kind::Table(fields), Value::Object(table)) = (&shape.kind, value) else {
            return;
        };
        let (below, lines): (Vec<_>, Vec<_>) =
            written(fields, table).partition(|(field, _)| needs_header(&field.shape));
        for (field, value) in lines {
            self.line(&field.name, &field.shape, value);
        }
        for (field, value) in below {
            self.path.push(key(&field.name));
            self.section(&field.shape, value);
            self.path.pop();
        }
    }

    fn header(&mut self, open: &str, close: &str) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        let line = [open, &self.path.join("."), close, "\n"];
        self.out.extend(line);
    }

    fn line(&mut self, key: &str, shape: &Shape, value: &Value) {
        self.out.extend([key, " = "]);
        inline(&mut self.out, shape, value);
        self.out.push('\n');
    }
}

/// The keys of a table that say something: those that are there and not as by default.
fn written<'a>(
    fields: &'a [Field],
    table: &'a Map<String, Value>,
) -> impl Iterator<Item = (&'a Field, &'a Value)> {
    fields.iter().filter_map(|field| {
        let value = table.get(&field.name)?;
        (field.default.as_ref() != Some(value)).then_some((field, value))
    })
}

/// Whether the value is a list or map of tables, which reads best under headers.
fn needs_header(shape: &Shape) -> bool {
    match &shape.kind {
        Kind::List { items: inner, .. } | Kind::Map { values: inner, .. } => {
            matches!(inner.kind, Kind::Table(_))
        }
        Kind::Boolean
        | Kind::Choice(_)
        | Kind::Integer { .. }
        | Kind::IntegerOrText { .. }
        | Kind::Table(_)
        | Kind::Text { .. }
        | Kind::Unknown => false,
    }
}

fn has_only_scalars(shape: &Shape) -> bool {
    match &shape.kind {
        Kind::Table(fields) => fields.iter().all(|field| field.shape.is_scalar()),
        Kind::Boolean
        | Kind::Choice(_)
        | Kind::Integer { .. }
        | Kind::IntegerOrText { .. }
        | Kind::List { .. }
        | Kind::Map { .. }
        | Kind::Text { .. }
        | Kind::Unknown => false,
    }
}

/// A value as it is written on one line.
pub fn on_one_line(shape: &Shape, value: &Value) -> String {
    let mut out = String::new();
    inline(&mut out, shape, value);
    out
}

fn inline(out: &mut String, shape: &Shape, value: &Value) {
    match (&shape.kind, value) {
        (Kind::Table(fields), Value::Object(table)) => {
            let entries = written(fields, table);
            let entries = entries.map(|(field, value)| (&field.name, &*field.shape, value));
            inline_table(out, entries);
        }
        (Kind::Map { values, .. }, Value::Object(table)) => {
            inline_table(
                out,
                table.iter().map(|(name, value)| (name, &**values, value)),
            );
        }
        (Kind::Choice(choices), Value::Object(table)) => {
            let payload = |name: &String| {
                choices
                    .iter()
                    .find(|choice| choice.name == *name)?
                    .payload
                    .as_ref()
            };
            let entries = table
                .iter()
                .filter_map(|(name, value)| Some((name, &**payload(name)?, value)));
            inline_table(out, entries);
        }
        (Kind::List { items, .. }, Value::Array(elements)) => {
            out.push('[');
            for (i, element) in elements.iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                inline(out, items, element);
            }
            out.push(']');
        }
        (_, Value::String(text)) => quote(out, text),
        // Booleans and whole numbers are written as in JSON.
        (_, scalar) => out.push_str(&scalar.to_string()),
    }
}

fn inline_table<'a>(
    out: &mut String,
    entries: impl Iterator<Item = (&'a String, &'a Shape, &'a Value)>,
) {
    let start = out.len();
    for (name, shape, value) in entries {
        out.push_str(if out.len() == start { "{ " } else { ", " });
        out.push_str(&key(name));
        out.push_str(" = ");
        inline(out, shape, value);
    }
    out.push_str(if out.len() == start { "{}" } else { " }" });
}

/// A key, in quotes where TOML needs them.
fn key(name: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let mut out = String::with_capacity(name.len());
    if !name.is_empty() && name.bytes().all(bare) {
        out.push_str(name);
    } else {
        quote(&mut out, name);
    }
    out
}

/// A text in quotes: in single ones where that saves escapes, as in regular expressions.
fn quote(out: &mut String, text: &str) {
    let literal = |c: char| c != '\'' && !c.is_control();
    if text.contains(['\\', '"']) && text.chars().all(literal) {
        out.extend(["'", text, "'"]);
        return;
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                // Writing to a `String` cannot fail.
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
