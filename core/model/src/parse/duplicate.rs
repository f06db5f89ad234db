//! Where in TOML a key stands that is given again: the parser tells only the second place.

use toml::de::DeTable;

use super::node::{Node, Value};
use super::toml::entries;
use crate::problem::Path;

/// The longest text that is read again to find a header.
const REREAD_BYTES_MAX: usize = 1 << 18;

/// The tables of a document that have a place of their own: the root, inline tables and those with
/// a header, in the order of the text.
pub(super) struct Tables<'n, 't> {
    text: &'n str,
    tables: Vec<(&'n Node<'t>, Path)>,
}

impl<'n, 't> Tables<'n, 't> {
    pub(super) fn of(text: &'n str, root: &'n Node<'t>) -> Self {
        let mut found = Self {
            text,
            tables: vec![(root, Path::root())],
        };
        found.collect(root, &Path::root());
        found.tables.sort_by_key(|(node, _)| node.span.start);
        found
    }

    /// Where a key that is given again at `again` was given first, if that can be told.
    pub(super) fn earlier(&self, key: &str, again: usize) -> Option<usize> {
        let before = self
            .tables
            .partition_point(|(node, _)| node.span.start <= again);
        let around = self.tables.get(..before)?.iter().rev();
        let (table, path) = around
            .into_iter()
            .find(|(node, _)| !self.opens_with(node, '{') || node.span.contains(&again))?;
        if self.opens_with(table, '[') && table.span.contains(&again) {
            return self.earlier_header(table, path);
        }
        let Value::Table(entries) = &table.value else {
            return None;
        };
        let key = key.trim_matches(['"', '\'']);
        let first = entries.iter().find(|entry| entry.key == key)?;
        Some(first.key_span.start).filter(|start| *start < again)
    }

    /// Of two headers for one table the tree keeps the last; the text before it has the first.
    fn earlier_header(&self, table: &Node<'_>, path: &Path) -> Option<usize> {
        let before = self.text.get(..table.span.start)?;
        if before.len() > REREAD_BYTES_MAX {
            return None;
        }
        let (table, _) = DeTable::parse_recoverable(before);
        let value = Value::Table(entries(table.into_inner()));
        Node { span: 0..0, value }
            .locate(path)
            .map(|span| span.start)
    }

    fn collect(&mut self, node: &'n Node<'t>, path: &Path) {
        match &node.value {
            Value::Table(entries) => {
                if self.opens_with(node, '[') || self.opens_with(node, '{') {
                    self.tables.push((node, path.clone()));
                }
                for entry in entries {
                    self.collect(&entry.value, &path.key(&entry.key));
                }
            }
            Value::List(nodes) => {
                for (i, node) in nodes.iter().enumerate() {
                    self.collect(node, &path.index(i));
                }
            }
            Value::Boolean(_)
            | Value::Broken
            | Value::Integer(_)
            | Value::Null
            | Value::Other(_)
            | Value::Text(_) => {}
        }
    }

    fn opens_with(&self, node: &Node<'_>, c: char) -> bool {
        !node.span.is_empty()
            && self
                .text
                .get(node.span.clone())
                .is_some_and(|t| t.starts_with(c))
    }
}
