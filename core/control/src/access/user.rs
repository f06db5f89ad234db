//! Users: people whose tokens may never do more than they may, and none once they are disabled.

use lb_model::api::{Role, User, UserChange, UserRequest};
use lb_model::value::Name;

use super::{Access, AccessError, Kept, NotGood, USERS_MAX};
use crate::{Caller, Scope};

impl Access {
    /// Every user.
    pub fn users(&self) -> Vec<User> {
        self.lock().users.clone()
    }

    /// The user that a certificate names, which an authority of the document vouches for.
    pub(crate) fn certified(&self, name: Option<&Name>) -> Result<Caller, NotGood> {
        let name = name.ok_or(NotGood::Nameless)?;
        let kept = self.lock();
        let user = kept
            .user(name)
            .ok_or_else(|| NotGood::NoUser(name.clone()))?;
        if user.disabled {
            return Err(NotGood::Disabled(name.clone()));
        }
        Ok(Caller {
            name: name.to_string(),
            role: user.role,
            scope: user.scope.clone(),
        })
    }

    /// Makes a user.
    pub fn create_user(&self, request: UserRequest, author: &str) -> Result<User, AccessError> {
        let UserRequest { name, role, scope } = request;
        known(&scope)?;
        let made_at = (self.clock)();
        let user = self.change(|next| {
            if next.users.iter().any(|user| user.name == name) {
                return Err(AccessError::UserTaken(name));
            }
            if next.users.len() >= USERS_MAX {
                return Err(AccessError::TooManyUsers);
            }
            let user = User {
                name,
                role,
                scope,
                disabled: false,
                made_at,
            };
            next.users.push(user.clone());
            Ok(user)
        })?;
        self.note(author, "user_create", told(&user));
        Ok(user)
    }

    /// Changes what a user may do, and so all of their tokens.
    pub fn change_user(
        &self,
        name: &Name,
        change: UserChange,
        author: &str,
    ) -> Result<User, AccessError> {
        let UserChange {
            role,
            scope,
            disabled,
        } = change;
        scope.as_ref().map_or(Ok(()), known)?;
        let user = self.change(|next| {
            let user = next.users.iter_mut().find(|user| user.name == *name);
            let user = user.ok_or_else(|| AccessError::UnknownUser(name.clone()))?;
            user.role = role.unwrap_or(user.role);
            user.scope = scope.unwrap_or_else(|| user.scope.clone());
            user.disabled = disabled.unwrap_or(user.disabled);
            Ok(user.clone())
        })?;
        self.note(author, "user_change", told(&user));
        Ok(user)
    }

    /// Takes a user away, and all of their tokens.
    pub fn delete_user(&self, name: &Name, author: &str) -> Result<User, AccessError> {
        let (user, tokens) = self.change(|next| {
            let at = next.users.iter().position(|user| user.name == *name);
            let at = at.ok_or_else(|| AccessError::UnknownUser(name.clone()))?;
            let before = next.tokens.len();
            next.tokens
                .retain(|kept| kept.token.user.as_ref() != Some(name));
            Ok((next.users.remove(at), before - next.tokens.len()))
        })?;
        let detail = format!("{} and {tokens} tokens", user.name);
        self.note(author, "user_delete", detail);
        Ok(user)
    }
}

impl Kept {
    /// The most that a token of this user may do.
    pub(super) fn user(&self, name: &Name) -> Option<&User> {
        self.users.iter().find(|user| user.name == *name)
    }

    /// Refuses a token that would do more than its user may.
    pub(super) fn check_user(&self, user: Option<&Name>, role: Role) -> Result<(), AccessError> {
        let Some(name) = user else { return Ok(()) };
        let unknown = || AccessError::UnknownUser(name.clone());
        let has = self.user(name).ok_or_else(unknown)?.role;
        if has.may(role) {
            return Ok(());
        }
        Err(AccessError::BeyondUser {
            user: name.clone(),
            has,
            wanted: role,
        })
    }
}

/// Refuses a scope that names what no document has.
pub(super) fn known(scope: &Scope) -> Result<(), AccessError> {
    let unknown = scope.unknown_nouns().next();
    unknown.map_or(Ok(()), |noun| Err(AccessError::Noun(noun.to_owned())))
}

fn told(user: &User) -> String {
    let state = if user.disabled { ", disabled" } else { "" };
    let scope = if user.scope.is_everything() {
        String::new()
    } else {
        // Names and words alone.
        let scope = serde_json::to_string(&user.scope).unwrap_or_default();
        format!(", in {scope}")
    };
    format!("{} ({}{scope}{state})", user.name, user.role)
}
