//! The order of changes: what others need comes first, what has nothing to do with others comes after
//! them, and objects are removed last, after those that used them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::{Action, Change};
use crate::problem::Step;
use crate::schema::{Field, Kind, shape};

/// How many keys of the document must be there before each, at the most, one after the other.
static RANKS: LazyLock<BTreeMap<&str, usize>> = LazyLock::new(|| {
    let Kind::Table(fields) = &shape().kind else {
        return BTreeMap::new();
    };
    let alone = |field: &Field| {
        field.needs.is_empty() && !fields.iter().any(|f| f.needs.contains(&field.name))
    };
    let ranks = fields.iter().map(|field| {
        let rank = if alone(field) {
            fields.len()
        } else {
            rank(field, fields)
        };
        (&*field.name, rank)
    });
    ranks.collect()
});

/// Brings changes into order. Those of one object stay as they are.
pub(super) fn sort(changes: &mut [Change]) {
    changes.sort_by_key(|change| {
        let rank = match change.path.steps().first() {
            Some(Step::Key(key)) => RANKS.get(&**key).copied().unwrap_or_default(),
            Some(Step::Index(_)) | None => 0,
        };
        match change.action {
            Action::Add | Action::Change | Action::Move => (0, rank),
            Action::Remove => (1, usize::MAX - rank),
        }
    });
}

/// The schema has no circle of needs: a test would not end.
fn rank(field: &Field, fields: &[Field]) -> usize {
    let needed = fields.iter().filter(|f| field.needs.contains(&f.name));
    needed.map(|f| 1 + rank(f, fields)).max().unwrap_or(0)
}
