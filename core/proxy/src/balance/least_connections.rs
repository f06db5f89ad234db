//! The server with the fewest requests and connections in progress; equals take turns.

use super::{Field, ServerIndex};

pub(super) fn pick(field: &Field<'_>) -> Option<ServerIndex> {
    let mut least = u64::MAX;
    let mut first = None;
    let mut equals = 0;
    for candidate in field.participants() {
        let load = (field.load)(candidate.index);
        if load < least || first.is_none() {
            (least, first, equals) = (load, Some(candidate.index), 1);
        } else if load == least {
            equals += 1;
        }
    }
    if equals < 2 {
        return first;
    }
    // Other workers may have changed the loads meanwhile; then the first of the equals is as good.
    let turn = field.cursor.of(equals);
    field
        .participants()
        .map(|candidate| candidate.index)
        .filter(|index| (field.load)(*index) <= least)
        .nth(turn)
        .or(first)
}
