//! From one order of names to another in few steps, each of which says behind which name something is
//! put. Steps are made one after the other, so each is exact for the list as the ones before left it.

use std::collections::HashMap;

/// One step. Names are given as their positions in the old or the new list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The new name at this position is put behind another.
    Add { new: usize, behind: Option<Mark> },
    /// The old name at this position is put behind another.
    Move {
        old: usize,
        from: Option<Mark>,
        to: Option<Mark>,
    },
    /// The old name at this position is taken out from behind another.
    Remove { old: usize, behind: Option<Mark> },
}

/// A name by its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Old(usize),
    New(usize),
}

/// The steps from `old` to `new`; nothing when a name is in a list twice.
pub(super) fn steps(old: &[&str], new: &[&str]) -> Option<Vec<Step>> {
    let old_at = positions(old)?;
    positions(new)?;
    // Which old name each new one is.
    let known: Vec<Option<usize>> = new.iter().map(|name| old_at.get(name).copied()).collect();
    let stays = longest_increasing(&known, old.len());
    let mut line = Line::new(old.len(), new.len());
    let mut steps = Vec::new();
    let mut before = None;
    for (at, known) in known.iter().enumerate() {
        let behind = before.map(|node| line.mark(node));
        let Some(old) = *known else {
            steps.push(Step::Add { new: at, behind });
            line.link(line.new_node(at), before);
            before = Some(line.new_node(at));
            continue;
        };
        let node = line.old(old);
        let from = line.before(node);
        if !stays[old] && from != before {
            line.unlink(node);
            line.link(node, before);
            let from = from.map(|node| line.mark(node));
            let to = behind;
            steps.push(Step::Move { old, from, to });
        }
        before = Some(node);
    }
    let mut kept = vec![false; old.len()];
    known.iter().flatten().for_each(|old| kept[*old] = true);
    for old in (0..old.len()).filter(|old| !kept[*old]) {
        let behind = line.before(line.old(old)).map(|node| line.mark(node));
        line.unlink(line.old(old));
        steps.push(Step::Remove { old, behind });
    }
    Some(steps)
}

fn positions<'n>(names: &[&'n str]) -> Option<HashMap<&'n str, usize>> {
    let at: HashMap<_, _> = names.iter().enumerate().map(|(at, n)| (*n, at)).collect();
    (at.len() == names.len()).then_some(at)
}

/// Which old positions stay: the most that are in the same order in both lists.
fn longest_increasing(known: &[Option<usize>], old_count: usize) -> Vec<bool> {
    // The last of the best run of each length, and what came before each in its run.
    let mut ends: Vec<usize> = Vec::new();
    let mut previous = vec![None; old_count];
    for old in known.iter().flatten().copied() {
        let length = ends.partition_point(|end| *end < old);
        previous[old] = length.checked_sub(1).map(|shorter| ends[shorter]);
        match ends.get_mut(length) {
            Some(end) => *end = old,
            None => ends.push(old),
        }
    }
    let mut stays = vec![false; old_count];
    let mut next = ends.last().copied();
    while let Some(old) = next {
        stays[old] = true;
        next = previous[old];
    }
    stays
}

/// The list while it changes, linked, so that a step costs the same in a long one. Node 0 is its
/// start; old names follow, then new ones.
struct Line {
    before: Vec<usize>,
    after: Vec<usize>,
    old_count: usize,
}

impl Line {
    fn new(old_count: usize, new_count: usize) -> Self {
        let nodes = 1 + old_count + new_count;
        let before = (0..nodes).map(|node| node.saturating_sub(1)).collect();
        let after = (1..=nodes).collect();
        Self {
            before,
            after,
            old_count,
        }
    }

    fn old(&self, position: usize) -> usize {
        debug_assert!(position < self.old_count);
        1 + position
    }

    fn new_node(&self, position: usize) -> usize {
        1 + self.old_count + position
    }

    fn mark(&self, node: usize) -> Mark {
        if node <= self.old_count {
            Mark::Old(node - 1)
        } else {
            Mark::New(node - 1 - self.old_count)
        }
    }

    /// The node before this one; nothing for the first.
    fn before(&self, node: usize) -> Option<usize> {
        Some(self.before[node]).filter(|before| *before != 0)
    }

    fn unlink(&mut self, node: usize) {
        let (before, after) = (self.before[node], self.after[node]);
        self.after[before] = after;
        if let Some(link) = self.before.get_mut(after) {
            *link = before;
        }
    }

    fn link(&mut self, node: usize, behind: Option<usize>) {
        let before = behind.unwrap_or(0);
        let after = self.after[before];
        self.before[node] = before;
        self.after[node] = after;
        self.after[before] = node;
        if let Some(link) = self.before.get_mut(after) {
            *link = node;
        }
    }
}
