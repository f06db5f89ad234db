//! A document as it was written: values with their places in the text, whatever the format.

use std::borrow::Cow;
use std::ops::Range;

use crate::problem::{Path, Step};

/// A value and where it stands in the text.
#[derive(Debug)]
pub(super) struct Node<'t> {
    pub(super) span: Range<usize>,
    pub(super) value: Value<'t>,
}

#[derive(Debug)]
pub(super) enum Value<'t> {
    Boolean(bool),
    /// Where a syntax error left nothing to read.
    Broken,
    /// Saturated: what is shown to people is the text at the span.
    Integer(i128),
    List(Vec<Node<'t>>),
    /// A null of JSON.
    Null,
    /// A number with a fraction, or a date of TOML: no key of ours takes one.
    Other(&'static str),
    Table(Vec<Entry<'t>>),
    Text(Cow<'t, str>),
}

/// A key of a table with its value.
#[derive(Debug)]
pub(super) struct Entry<'t> {
    pub(super) key: Cow<'t, str>,
    pub(super) key_span: Range<usize>,
    pub(super) value: Node<'t>,
}

impl Node<'_> {
    /// What the value is called in a sentence.
    pub(super) fn type_name(&self) -> &'static str {
        match &self.value {
            Value::Boolean(_) => "a boolean",
            Value::Broken => "nothing",
            Value::Integer(_) => "a number",
            Value::List(_) => "a list",
            Value::Null => "null",
            Value::Other(name) => name,
            Value::Table(_) => "a table",
            Value::Text(_) => "a text",
        }
    }

    /// The part of the text that stands for a place of the document: the value, or for a table its
    /// key. A place that is not written, such as a default, is that of the table around it.
    pub(super) fn locate(&self, path: &Path) -> Option<Range<usize>> {
        let (mut node, mut span) = (self, None);
        for step in path.steps() {
            let below = match (step, &node.value) {
                (Step::Key(key), Value::Table(entries)) => {
                    let entry = entries.iter().find(|entry| *entry.key == **key);
                    entry.map(|entry| (&entry.value, entry.span()))
                }
                (Step::Index(index), Value::List(items)) => {
                    items.get(*index).map(|item| (item, item.span.clone()))
                }
                (Step::Key(_) | Step::Index(_), _) => None,
            };
            let Some((value, place)) = below else { break };
            (node, span) = (value, Some(place));
        }
        span
    }
}

impl Entry<'_> {
    /// The part of the text to point at: the value, or the key where the value is large.
    fn span(&self) -> Range<usize> {
        match self.value.value {
            Value::List(_) | Value::Table(_) => self.key_span.clone(),
            Value::Boolean(_)
            | Value::Broken
            | Value::Integer(_)
            | Value::Null
            | Value::Other(_)
            | Value::Text(_) => self.value.span.clone(),
        }
    }
}
