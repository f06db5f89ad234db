//! Who manages the objects that another one holds, such as the servers of a pool: the resource of the
//! pool, or resources of their own. In one configuration it cannot be both: each would undo the other.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use lb_model::schema::Noun;

use crate::diagnostic::Diagnostic;
use crate::resource::{BALANCER, Resource, Subject};
use crate::value::Value;
use crate::ways;

/// What was seen in this run.
#[derive(Default)]
pub(super) struct Owners {
    seen: Mutex<HashSet<(String, Way)>>,
}

/// How objects are managed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Way {
    Inline,
    Attached,
}

impl Owners {
    /// Takes a planned resource in, and says whether another one manages the same objects in the other
    /// way.
    pub(super) fn conflict(&self, resource: &Resource, planned: &Value) -> Option<Diagnostic> {
        let Subject::Object(noun) = resource.subject else {
            return None;
        };
        let balancer = ways::key(planned.get(BALANCER).text().unwrap_or_default());
        let id = resource.id_of(planned);
        let id = id.text()?;
        for held in noun.held().filter(|held| held.keyed && !held.is_list) {
            let key = format!("{balancer} {}/{id}/{}", noun.plural, held.plural);
            let is_inline = !planned.get(held.plural).is_null();
            if is_inline && self.clashes(key, Way::Inline) {
                return Some(told(noun, id, held).of(held.plural));
            }
        }
        let holder = noun.holder()?;
        let (above, _) = id.rsplit_once('/')?;
        let key = format!("{balancer} {}/{above}/{}", holder.plural, noun.plural);
        self.clashes(key, Way::Attached)
            .then(|| told(holder, above, noun).of(holder.singular))
    }

    fn clashes(&self, key: String, way: Way) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let other = match way {
            Way::Inline => Way::Attached,
            Way::Attached => Way::Inline,
        };
        let clashes = seen.contains(&(key.clone(), other));
        seen.insert((key, way));
        clashes
    }
}

fn told(holder: &Noun, id: &str, held: &Noun) -> Diagnostic {
    let (plural, singular) = (held.plural, held.singular);
    let summary = format!(
        "The {plural} of {} `{id}` are managed in two ways",
        holder.words()
    );
    let detail = format!(
        "`{plural}` of `lbctl_{}` manages all of them, and a `lbctl_{singular}` manages one. Leave out \
         `{plural}`, or move what the other resources have into it.",
        holder.singular
    );
    Diagnostic::error(summary, detail)
}
