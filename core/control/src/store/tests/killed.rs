//! The process is killed, with the real disk, at 100 random points.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::*;

/// The directory of the child; without it, this is no child.
const DIRECTORY: &str = "LB_CONTROL_KILLED_STORE";

/// Not a test of its own: the child, which stores revisions until it is killed.
#[test]
fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let store = open(Path::new(&directory)).unwrap();
    loop {
        let number = store.next_number();
        let group: Vec<_> = (number..=number + number % 3)
            .map(|n| revision(n, None))
            .collect();
        let last = &group.last().unwrap().record;
        println!("begun {}", last.number());
        store.append(&group).unwrap();
        println!("done {}", last.number());
        store.forget(last);
    }
}

#[test]
fn after_each_of_100_kills_the_newest_revision_is_whole_and_none_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (mut stored, mut chance) = (0, 0x9e37_79b9_7f4a_7c15_u64);
    for kill in 0..100 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::killed::child", "--nocapture"])
            .env(DIRECTORY, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // It is at work; then a random moment, which needs no more than to be another each time.
        lines
            .find(|line| line.as_ref().unwrap().contains("begun"))
            .unwrap()
            .unwrap();
        chance = chance
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(kill);
        let until = Instant::now() + Duration::from_micros(chance >> 50);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let said: Vec<String> = lines.map_while(Result::ok).collect();
        let told = |word: &str| {
            let numbers = said
                .iter()
                .filter_map(|line| line.split_once(word)?.1.trim().parse().ok());
            numbers.max().unwrap_or(0)
        };
        let done: u64 = told("done ").max(stored);
        let store = open(folder.path()).unwrap();
        assert!(
            store.damaged().is_empty(),
            "kill {kill}: {:?}",
            store.damaged()
        );
        let (_, newest) = store.bounds().unwrap_or_default();
        assert!(
            newest >= done,
            "kill {kill}: {newest} is there, {done} was promised"
        );
        if newest > 0 {
            let (_, config) = store.document(newest).unwrap().unwrap();
            assert_eq!(connections(&config), 1000 + newest, "kill {kill}");
        }
        stored = newest;
    }
    assert!(stored > 100, "{stored}");
}
