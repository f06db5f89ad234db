//! A spot of the schema: where a path of the document leads, with all that is inherited on the way.

use serde_json::Value;

use super::{Effect, Effects, Kind, Shape, shape};
use crate::problem::Step;

/// Where a path of the document leads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot<'s> {
    /// What is there.
    pub(crate) shape: &'s Shape,
    /// Whether it is an object: something with a name that is added and removed as a whole.
    pub(crate) is_object: bool,
    /// The effect of a change, of an addition and of a removal.
    changed: Effect,
    added: Effect,
    removed: Effect,
    /// What the field says of the objects in it.
    of_objects: Effects,
}

impl<'s> Spot<'s> {
    /// The whole document.
    pub(crate) fn root() -> Spot<'static> {
        Spot::at(shape())
    }

    /// The root of any shape.
    pub(crate) fn at(shape: &'s Shape) -> Self {
        let effect = Effect::default();
        Self {
            shape,
            is_object: false,
            changed: effect,
            added: effect,
            removed: effect,
            of_objects: Effects::default(),
        }
    }

    /// Where a path of names leads, when the schema has such a place.
    pub(crate) fn of_path(steps: &[Step]) -> Option<Spot<'static>> {
        steps
            .iter()
            .try_fold(Self::root(), |spot, step| match step {
                Step::Key(key) => spot.key(key),
                Step::Index(_) => None,
            })
    }

    /// The spot under a key: of a table, a map, a choice, or the name of an element.
    pub(crate) fn key(&self, key: &str) -> Option<Self> {
        if let Some(objects) = self.shape.objects() {
            return Some(Self {
                shape: objects,
                is_object: true,
                added: self.of_objects.added.unwrap_or(self.changed),
                removed: self.of_objects.removed.unwrap_or(self.changed),
                of_objects: Effects::default(),
                ..*self
            });
        }
        match &self.shape.kind {
            Kind::Table(fields) => {
                let field = fields.iter().find(|field| field.name == key)?;
                let effects = field.effects;
                Some(self.below(&field.shape, effects))
            }
            Kind::Map { values, .. } => Some(self.below(values, Effects::default())),
            Kind::Choice(choices) => {
                let choice = choices.iter().find(|choice| choice.name == key)?;
                let payload = choice.payload.as_ref()?;
                Some(self.below(payload, Effects::default()))
            }
            Kind::Boolean
            | Kind::Integer { .. }
            | Kind::IntegerOrText { .. }
            | Kind::List { .. }
            | Kind::Text { .. }
            | Kind::Unknown => None,
        }
    }

    /// The effect of what was there becoming what will be.
    pub(crate) fn effect(&self, before: Option<&Value>, after: Option<&Value>) -> Effect {
        match (before, after) {
            (_, None) => self.removed,
            (None, Some(after)) => self.of_choice(after).unwrap_or(self.added),
            (Some(_), Some(after)) => self.of_choice(after).unwrap_or(self.changed),
        }
    }

    fn of_choice(&self, value: &Value) -> Option<Effect> {
        let name = match value {
            Value::String(word) => word,
            Value::Object(table) => table.keys().next()?,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => return None,
        };
        let mut choices = self.shape.choices().iter();
        choices.find(|choice| choice.name == *name)?.effect
    }

    fn below(&self, shape: &'s Shape, effects: Effects) -> Self {
        let changed = effects.changed.unwrap_or(self.changed);
        Self {
            shape,
            is_object: false,
            changed,
            added: changed,
            removed: changed,
            of_objects: effects,
        }
    }
}
