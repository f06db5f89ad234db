//! What whoever provisions remembers: in a directory of its own, or with somebody who keeps states already.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use lb_model::fleet::Balancer;
use lb_model::value::Name;

use crate::journal::Journal;
use crate::state::{Recorded, Store, StoreError};
use crate::target::Left;
use crate::wanted::Access;

/// What is remembered from one command to the next, and written down as it happens.
pub(crate) trait Memory: fmt::Debug + Send {
    /// What tells this memory from others of a fleet with the same name.
    fn lineage(&self) -> &str;
    /// The balancers that there are or may be.
    fn recorded(&self) -> &BTreeMap<Name, Recorded>;
    /// How to talk to a balancer, when there is a token for it.
    fn access(&self, balancer: &Name) -> Option<Access>;
    /// The steps that had begun and not ended.
    fn interrupted(&self) -> &BTreeMap<Name, String>;
    /// A step is about to begin: nothing happens before this is done.
    fn begins(&mut self, name: &Name, recorded: Recorded, step: &str) -> Result<(), StoreError>;
    /// A step has ended; without anything left when it failed.
    fn ended(&mut self, name: &Name, step: &str, left: Option<Left>) -> Result<(), StoreError>;
}

/// A directory beside the fleet's document, which nobody else uses meanwhile.
#[derive(Debug)]
pub(crate) struct Directory {
    store: Store,
    journal: Journal,
}

impl Directory {
    pub(crate) fn open(dir: &Path, fleet: &Name) -> Result<Self, StoreError> {
        let store = Store::open(dir, fleet)?;
        let journal = Journal::open(dir).map_err(|source| StoreError::Io {
            path: dir.to_owned(),
            source,
        })?;
        Ok(Self { store, journal })
    }

    fn of_journal(&self, done: std::io::Result<()>) -> Result<(), StoreError> {
        let path = self.journal.path().to_owned();
        done.map_err(|source| StoreError::Io { path, source })
    }
}

impl Memory for Directory {
    fn lineage(&self) -> &str {
        self.store.lineage()
    }

    fn recorded(&self) -> &BTreeMap<Name, Recorded> {
        self.store.recorded()
    }

    fn access(&self, balancer: &Name) -> Option<Access> {
        self.store.access(balancer)
    }

    fn interrupted(&self) -> &BTreeMap<Name, String> {
        self.journal.interrupted()
    }

    fn begins(&mut self, name: &Name, recorded: Recorded, step: &str) -> Result<(), StoreError> {
        self.store.record(name, recorded)?;
        let begun = self.journal.begin(name, step);
        self.of_journal(begun)
    }

    fn ended(&mut self, name: &Name, step: &str, left: Option<Left>) -> Result<(), StoreError> {
        let is_done = left.is_some();
        match left {
            Some(Left::Access(access)) => self.store.keep_access(name, &access)?,
            Some(Left::Gone) => self.store.forget(name)?,
            Some(Left::Nothing) | None => {}
        }
        let ended = self.journal.end(name, step, is_done);
        self.of_journal(ended)
    }
}

/// What somebody remembers who keeps states already, as Terraform does: it is given when a session begins,
/// and taken back at its end. Machines say themselves whose they are, so that a session whose end nobody
/// hears of is taken up by another one with the same lineage.
#[derive(Clone, Debug, Default)]
pub struct Held {
    lineage: String,
    recorded: BTreeMap<Name, Recorded>,
    access: BTreeMap<Name, Access>,
    documents: BTreeMap<Name, String>,
    interrupted: BTreeMap<Name, String>,
}

impl Held {
    /// Nothing is remembered yet. Machines are marked with the lineage, beside the fleet.
    pub fn new(lineage: impl Into<String>) -> Self {
        Self {
            lineage: lineage.into(),
            ..Self::default()
        }
    }

    /// Something has been done to the machine of this balancer before.
    pub fn record(&mut self, name: Name, balancer: Balancer) {
        self.recorded.insert(name, Recorded { balancer });
    }

    /// How to talk to this balancer.
    pub fn keep_access(&mut self, name: Name, access: Access) {
        self.access.insert(name, access);
    }

    /// The text of the document of this balancer, in the place of a file.
    pub fn give_document(&mut self, name: Name, text: String) {
        self.documents.insert(name, text);
    }

    pub(crate) const fn documents(&self) -> &BTreeMap<Name, String> {
        &self.documents
    }
}

impl Memory for Held {
    fn lineage(&self) -> &str {
        &self.lineage
    }

    fn recorded(&self) -> &BTreeMap<Name, Recorded> {
        &self.recorded
    }

    fn access(&self, balancer: &Name) -> Option<Access> {
        self.access.get(balancer).cloned()
    }

    fn interrupted(&self) -> &BTreeMap<Name, String> {
        &self.interrupted
    }

    fn begins(&mut self, name: &Name, recorded: Recorded, step: &str) -> Result<(), StoreError> {
        self.recorded.insert(name.clone(), recorded);
        self.interrupted.insert(name.clone(), step.to_owned());
        Ok(())
    }

    fn ended(&mut self, name: &Name, _: &str, left: Option<Left>) -> Result<(), StoreError> {
        self.interrupted.remove(name);
        match left {
            Some(Left::Access(access)) => drop(self.access.insert(name.clone(), access)),
            Some(Left::Gone) => {
                self.access.remove(name);
                self.recorded.remove(name);
            }
            Some(Left::Nothing) | None => {}
        }
        Ok(())
    }
}
