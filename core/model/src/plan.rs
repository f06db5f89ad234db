//! What it takes to make one document of another: a list of changes, each with what it does to
//! traffic. A plan is made from the two documents and the schema alone; it knows no field by name, and
//! nothing of how a change is carried out.
//!
//! `apply(between(a, b), a)` is `b`, and a plan that no longer fits is refused.

use std::fmt;

use schemars::JsonSchema;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::config::Config;
use crate::problem::Path;
use crate::schema::Spot;
use crate::value::Name;

mod apply;
mod difference;
mod order;
mod render;
mod secret;
mod sequence;

pub use crate::schema::Effect;
pub use apply::ApplyError;
pub use render::{render, render_ansi};

/// The difference between two documents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The changes, in the order in which they are made: what others need first, removals last.
    pub changes: Vec<Change>,
}

/// One step of a plan.
#[derive(Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Where in the document, by names; those of rules stand for their positions.
    pub path: Path,
    /// What is done there.
    pub action: Action,
    /// What it does to traffic.
    pub effect: Effect,
    /// What is there before; nothing when there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What is there after; nothing when there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// Where an object of a list is before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Place>,
    /// Where an object of a list is after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Place>,
    /// How many open connections use what is changed, when somebody has counted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
}

/// What a change does.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ChangeAction")]
pub enum Action {
    /// An object is added as a whole.
    Add,
    /// A value is changed, set or taken away.
    Change,
    /// An object gets another place in its list.
    Move,
    /// An object is removed as a whole.
    Remove,
}

/// A place in a list of objects with names.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Right behind the object with this name.
    After(Name),
    /// Before all others.
    First,
}

impl Plan {
    /// What it takes to make `to` of `from`.
    pub fn between(from: &Config, to: &Config) -> Self {
        let mut changes = difference::changes(from, to);
        order::sort(&mut changes);
        Self { changes }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The strongest effect of its changes.
    pub fn effect(&self) -> Effect {
        let effects = self.changes.iter().map(|change| change.effect);
        effects.max().unwrap_or_default()
    }

    /// Carries the plan out on a document. The result may be contradictory.
    ///
    /// # Errors
    /// The first change that does not fit the document.
    pub fn apply(&self, config: &Config) -> Result<Config, ApplyError> {
        apply::apply(&self.changes, config)
    }

    /// The plan that undoes this one.
    #[must_use]
    pub fn invert(&self) -> Self {
        Self {
            changes: self.changes.iter().rev().map(Change::invert).collect(),
        }
    }

    /// The plan in one line, such as `~ pools.web.servers.iis1.weight`.
    pub fn summary(&self) -> String {
        match &self.changes[..] {
            [] => "no changes".to_owned(),
            [one] => one.title(),
            [first, rest @ ..] => {
                let changes = if rest.len() == 1 { "change" } else { "changes" };
                format!("{} and {} more {changes}", first.title(), rest.len())
            }
        }
    }
}

impl Change {
    /// The object that is changed, added or removed, such as `pools.web.servers.iis1`; the table of
    /// the document for what belongs to no object with a name.
    pub fn object(&self) -> Path {
        let steps = self.path.steps();
        let is_object = |end: &usize| {
            let steps = steps.get(..*end).unwrap_or_default();
            Spot::of_path(steps).is_some_and(|spot| spot.is_object)
        };
        let end = (1..=steps.len()).rev().find(is_object).unwrap_or(1);
        Path::from(steps.get(..end).unwrap_or_default())
    }

    fn invert(&self) -> Self {
        let Self {
            path,
            action,
            effect,
            before,
            after,
            from,
            to,
            connections,
        } = self.clone();
        let spot = Spot::of_path(path.steps());
        let (before, after) = (after, before);
        Self {
            action: match action {
                Action::Add => Action::Remove,
                Action::Change | Action::Move => action,
                Action::Remove => Action::Add,
            },
            effect: match action {
                Action::Add | Action::Change | Action::Remove => {
                    spot.map_or(effect, |spot| spot.effect(before.as_ref(), after.as_ref()))
                }
                Action::Move => effect,
            },
            path,
            before,
            after,
            from: to,
            to: from,
            connections,
        }
    }

    fn title(&self) -> String {
        format!("{} {}", self.action.sign(), self.path)
    }

    /// The values before and after, with secrets made unreadable.
    fn shown(&self) -> (Option<Value>, Option<Value>) {
        let spot = Spot::of_path(self.path.steps());
        let shown = |value: &Option<Value>| {
            let value = value.as_ref()?;
            Some(spot.map_or_else(|| value.clone(), |spot| secret::hide(spot.shape, value)))
        };
        (shown(&self.before), shown(&self.after))
    }
}

impl Action {
    /// The sign that stands for it in texts.
    pub const fn sign(self) -> char {
        match self {
            Self::Add => '+',
            Self::Change => '~',
            Self::Move => '>',
            Self::Remove => '-',
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(name) => write!(f, "after {name}"),
            Self::First => f.write_str("first"),
        }
    }
}

/// Secrets do not leave the process in a plan.
impl Serialize for Change {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self {
            path,
            action,
            effect,
            before: _,
            after: _,
            from,
            to,
            connections,
        } = self;
        let (before, after) = self.shown();
        let optional = [
            before.is_some(),
            after.is_some(),
            from.is_some(),
            to.is_some(),
            connections.is_some(),
        ];
        let length = 3 + optional.iter().filter(|there| **there).count();
        let mut fields = serializer.serialize_struct("Change", length)?;
        fields.serialize_field("path", path)?;
        fields.serialize_field("action", action)?;
        fields.serialize_field("effect", effect)?;
        macro_rules! optional {
            ($($name:literal: $value:expr),*) => {$(
                match $value {
                    Some(value) => fields.serialize_field($name, value)?,
                    None => fields.skip_field($name)?,
                }
            )*};
        }
        optional!("before": &before, "after": &after, "from": from, "to": to, "connections": connections);
        fields.end()
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = self.shown();
        f.debug_struct("Change")
            .field("path", &self.path.to_string())
            .field("action", &self.action)
            .field("effect", &self.effect)
            .field("before", &before)
            .field("after", &after)
            .field("from", &self.from)
            .field("to", &self.to)
            .field("connections", &self.connections)
            .finish()
    }
}
