//! What is about to be done, written down before, and what became of it. Who comes after an interruption
//! learns from it where to look.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use lb_model::value::Name;
use serde::{Deserialize, Serialize};

/// Beyond this length a journal begins anew; what has not ended is taken along.
const BYTES_MAX: u64 = 1 << 20;

/// A journal that is written at its end.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    open: BTreeMap<Name, String>,
}

/// A line of it.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    balancer: Name,
    step: String,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    Begun,
    Done,
    Failed,
}

impl Journal {
    /// Opens the journal in a directory. Its last line may be half written: then nothing had begun.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join("journal.jsonl");
        let mut open = BTreeMap::new();
        let mut is_cut_off = false;
        match fs::read_to_string(&path) {
            Ok(text) => {
                is_cut_off = !text.is_empty() && !text.ends_with('\n');
                for line in text.lines() {
                    let Ok(entry) = serde_json::from_str::<Entry>(line) else {
                        continue;
                    };
                    match entry.phase {
                        Phase::Begun => drop(open.insert(entry.balancer, entry.step)),
                        Phase::Done | Phase::Failed => drop(open.remove(&entry.balancer)),
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut options = OpenOptions::new();
        let options = options.append(true).create(true).mode(0o600);
        let mut journal = Self {
            file: options.open(&path)?,
            path,
            open,
        };
        if journal.file.metadata()?.len() > BYTES_MAX {
            journal.begin_anew()?;
        } else if is_cut_off {
            journal.file.write_all(b"\n")?;
        }
        Ok(journal)
    }

    /// The steps that had begun and not ended when this was opened, and since.
    pub(crate) const fn interrupted(&self) -> &BTreeMap<Name, String> {
        &self.open
    }

    /// A step is about to begin: on disk before anything happens.
    pub(crate) fn begin(&mut self, balancer: &Name, step: &str) -> io::Result<()> {
        self.open.insert(balancer.clone(), step.to_owned());
        self.write(balancer, step, Phase::Begun)
    }

    /// A step has ended.
    pub(crate) fn end(&mut self, balancer: &Name, step: &str, is_done: bool) -> io::Result<()> {
        self.open.remove(balancer);
        let phase = if is_done { Phase::Done } else { Phase::Failed };
        self.write(balancer, step, phase)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn write(&mut self, balancer: &Name, step: &str, phase: Phase) -> io::Result<()> {
        let entry = Entry {
            balancer: balancer.clone(),
            step: step.to_owned(),
            phase,
        };
        let line = serde_json::to_string(&entry)? + "\n";
        self.file.write_all(line.as_bytes())?;
        self.file.sync_data()
    }

    fn begin_anew(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        for (balancer, step) in self.open.clone() {
            self.write(&balancer, &step, Phase::Begun)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_not_ended_is_known_after_an_interruption_even_in_the_middle_of_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two): (Name, Name) = ("lb1".parse().unwrap(), "lb2".parse().unwrap());
        let mut journal = Journal::open(folder.path()).unwrap();
        journal.begin(&one, "release").unwrap();
        journal.begin(&two, "claim").unwrap();
        journal.end(&two, "claim", true).unwrap();
        let path = journal.path().to_owned();
        drop(journal);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"balancer\":\"lb2\",\"ste").unwrap();
        let mut journal = Journal::open(folder.path()).unwrap();
        let open = [(one.clone(), "release".to_owned())].into();
        assert_eq!(journal.interrupted(), &open);
        journal.end(&one, "release", false).unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        assert!(journal.interrupted().is_empty());
    }

    #[test]
    fn a_long_journal_begins_anew_with_what_has_not_ended() {
        let folder = tempfile::tempdir().unwrap();
        let name: Name = "lb1".parse().unwrap();
        let mut journal = Journal::open(folder.path()).unwrap();
        journal.begin(&name, "release").unwrap();
        journal.file.set_len(BYTES_MAX + 1).unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        assert_eq!(journal.interrupted().len(), 1);
        assert!(fs::metadata(journal.path()).unwrap().len() < 200);
    }
}
