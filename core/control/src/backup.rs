//! A backup: what a balancer remembers, as one file.

use lb_model::backup::{About, KeptRevision, Record, Writer};
use serde_json::Value;

use crate::{Access, AccessError, Controller, Engine};

/// How large a backup gets by older revisions, and then by the audit. The document in force is always
/// in it.
const REVISIONS_BYTES_MAX: usize = 24 << 20;
const BYTES_MAX: usize = 32 << 20;

/// The most older revisions.
const REVISIONS_MAX: usize = 1000;

/// The name of this machine.
pub(crate) fn host() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

/// What a balancer remembers: the newest of it, when all would be too much.
pub(crate) fn backup<E: Engine>(
    controller: &Controller<E>,
    access: &Access,
) -> Result<Vec<u8>, AccessError> {
    let current = controller.current();
    let entries = access.audit()?;
    let history = controller.revisions(Some(current.number), REVISIONS_MAX);
    let about = About {
        balancer: host(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        made_at: crate::now(),
        revision: current.number,
    };
    let mut writer = Writer::new(&about);
    let document = serde_json::to_value(current.config.config()).unwrap_or_default();
    writer.add(&revision(current.revision.clone(), document));
    writer.add(&Record::Access(access.copy()));
    for found in history {
        // One that is damaged is left out: the log of the start told about it.
        let Ok((kept, config)) = controller.revision(found.number) else {
            continue;
        };
        let document = serde_json::to_value(&config).unwrap_or_default();
        let record = revision(kept, document);
        if !writer.add_within(&record, REVISIONS_BYTES_MAX) {
            break;
        }
    }
    for entry in entries {
        let entry = serde_json::to_value(&entry).unwrap_or_default();
        if !writer.add_within(&Record::Audit(entry), BYTES_MAX) {
            break;
        }
    }
    Ok(writer.finish())
}

fn revision(revision: lb_model::api::Revision, document: Value) -> Record {
    Record::Revision(Box::new(KeptRevision { revision, document }))
}
