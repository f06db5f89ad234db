//! TOML text → nodes. A half-written document is read as far as it goes.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

use super::duplicate::Tables;
use super::finding::Findings;
use super::node::{Entry, Node, Value};
use crate::problem::{Code, Path, Problem};

/// The longest document in which more than the first syntax error is looked for: each one found
/// takes memory, and a hostile text could hold one in every two bytes.
const RECOVERY_BYTES_MAX: usize = 1 << 20;

/// Reads the text; where it cannot be read, says why and goes on.
pub(super) fn read<'t>(text: &'t str, findings: &mut Findings) -> Node<'t> {
    let (table, errors) = match DeTable::parse(text) {
        Ok(table) => (table, Vec::new()),
        Err(_) if text.len() <= RECOVERY_BYTES_MAX => DeTable::parse_recoverable(text),
        Err(first) => (Spanned::new(0..0, DeTable::new()), vec![first]),
    };
    let root = Node {
        span: 0..0,
        value: Value::Table(entries(table.into_inner())),
    };
    if !errors.is_empty() {
        let tables = Tables::of(text, &root);
        for error in &errors {
            report(text, &tables, error, findings);
        }
    }
    root
}

fn node(value: Spanned<DeValue<'_>>) -> Node<'_> {
    let span = value.span();
    let value = match value.into_inner() {
        // What the parser puts where it found no value.
        DeValue::Integer(_) if span.is_empty() => Value::Broken,
        DeValue::Array(items) => Value::List(items.into_iter().map(node).collect()),
        DeValue::Boolean(value) => Value::Boolean(value),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Integer(digits) => Value::Integer(integer(digits.as_str(), digits.radix())),
        DeValue::String(text) => Value::Text(text),
        DeValue::Table(table) => Value::Table(entries(table)),
    };
    Node { span, value }
}

pub(super) fn entries<'t>(table: DeTable<'t>) -> Vec<Entry<'t>> {
    let entry = |(key, value): (Spanned<Cow<'t, str>>, _)| Entry {
        key_span: key.span(),
        key: key.into_inner(),
        value: node(value),
    };
    table.into_iter().map(entry).collect()
}

/// The number, or the nearest that fits: no key of ours has a range that reaches so far.
fn integer(digits: &str, radix: u32) -> i128 {
    let saturated = if digits.starts_with('-') {
        i128::MIN
    } else {
        i128::MAX
    };
    i128::from_str_radix(digits, radix).unwrap_or(saturated)
}

fn report(text: &str, tables: &Tables<'_, '_>, error: &Error, findings: &mut Findings) {
    let span = error.span().unwrap_or(0..0);
    let (message, expected) = match error.message().split_once(", expected ") {
        Some((message, expected)) => (message, Some(expected)),
        None => (error.message(), None),
    };
    let (code, message, help) = match message {
        "duplicate key" => {
            let key = text.get(span.clone()).unwrap_or_default();
            let earlier = tables.earlier(key, span.start);
            return findings.push_duplicate(key, span, earlier);
        }
        "recursion limit" | "cannot recurse further; max recursion depth met" => {
            let help = "no part of a document needs more than 10 levels";
            (Code::TooDeep, "values are nested too deep", help.to_owned())
        }
        "string values must be quoted" if span.is_empty() => {
            let help = "write a value after `=`, or remove the key";
            (Code::Syntax, "the value is missing", help.to_owned())
        }
        "string values must be quoted" => {
            let help = format!("write \"{}\"", text.get(span.clone()).unwrap_or_default());
            (Code::Syntax, "a text must be in quotes", help)
        }
        message => {
            let help = expected.map(|expected| format!("expected {expected} here"));
            (
                Code::Syntax,
                message,
                help.unwrap_or_else(|| "correct the TOML here".to_owned()),
            )
        }
    };
    findings.push(Problem::new(code, Path::root(), message, help), Some(span));
}
