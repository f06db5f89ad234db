//! Each server in turn, whatever its weight.

use super::{Field, ServerIndex};

pub(super) fn pick(field: &Field<'_>) -> Option<ServerIndex> {
    if field.taking_part.is_none() {
        let turn = field.cursor.of(field.candidates.len());
        return field.candidates.get(turn).map(|c| c.index);
    }
    // The turn counts those that take part: were a server that is left out replaced by the next in
    // the list, that one would carry the load of two.
    let turn = field.cursor.of(field.participants().count());
    field.participants().nth(turn).map(|c| c.index)
}
