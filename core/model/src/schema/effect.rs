//! What a change does to traffic. Fields say it where they are declared, in their schema:
//! `#[schemars(extend("x-effect" = "drain"))]`, and what is below a field inherits it. Where nothing
//! is said, a change is live.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a change does to traffic; each is more than those before it.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The next request or connection sees it; nothing is closed.
    #[default]
    Live,
    /// What uses it finishes, and nothing new uses it.
    Drain,
    /// A socket is opened or closed; connections that were accepted on it finish.
    Rebind,
    /// It is only in force after the process was replaced.
    Restart,
}

impl Effect {
    /// Every effect.
    pub const ALL: [Self; 4] = [Self::Live, Self::Drain, Self::Rebind, Self::Restart];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Drain => "drain",
            Self::Rebind => "rebind",
            Self::Restart => "restart",
        }
    }

    pub(super) fn of_schema(word: &Value) -> Option<Self> {
        Self::ALL.into_iter().find(|effect| word == effect.as_str())
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the schema says of changes of a field; what it does not say is inherited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Of a change of the field and of all below it: `x-effect`.
    pub changed: Option<Effect>,
    /// Of an object that is added to the field: `x-effect-added`.
    pub added: Option<Effect>,
    /// Of an object that is removed from the field: `x-effect-removed`.
    pub removed: Option<Effect>,
}

impl Effects {
    pub(super) fn of_schema(schema: &Value) -> Self {
        Self {
            changed: Effect::of_schema(&schema["x-effect"]),
            added: Effect::of_schema(&schema["x-effect-added"]),
            removed: Effect::of_schema(&schema["x-effect-removed"]),
        }
    }
}
