//! A program with everything that it has started.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// This process and all below it, as they are at this moment.
pub fn process_tree(root: Pid) -> Vec<Pid> {
    let all = parents();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        let children = all.iter().filter(|(_, above)| *above == parent);
        found.extend(children.map(|(child, _)| *child));
        next += 1;
    }
    found
}

/// Every process with the one that started it.
fn parents() -> Vec<(Pid, Pid)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pair = |entry: fs::DirEntry| {
        let child: i32 = entry.file_name().to_str()?.parse().ok()?;
        // `PID (name) state parent …`, and the name may hold anything.
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (_, rest) = stat.rsplit_once(')')?;
        let parent: i32 = rest.split_whitespace().nth(1)?.parse().ok()?;
        Some((Pid::from_raw(child)?, Pid::from_raw(parent)?))
    };
    entries.filter_map(pair).collect()
}

/// Kills all of it with SIGKILL, the one that starts others first, so that nothing is left that could
/// write.
pub fn kill_tree(root: Pid) {
    for pid in process_tree(root) {
        // One that has ended meanwhile is what is wanted.
        let _ended = kill_process(pid, Signal::KILL);
    }
}

/// The resident memory of all of it that is its own, in bytes: pages of files come and go as the
/// kernel likes.
pub fn anonymous_memory(root: Pid) -> u64 {
    let of = |pid: &Pid| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    };
    process_tree(root).iter().map(of).sum()
}
