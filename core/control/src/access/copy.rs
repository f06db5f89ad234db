//! Users and tokens as a backup has them.

use std::collections::BTreeSet;

use lb_model::api::{AccessCopy, TokenCopy};
use lb_model::value::Name;

use super::{Access, AccessError, Kept, KeptToken, TOKENS_MAX, Token, USERS_MAX, user};

impl Access {
    /// Everybody who may come in; of secrets there are digests alone.
    pub fn copy(&self) -> AccessCopy {
        let kept = self.lock();
        let tokens = kept.tokens.iter().map(|kept| TokenCopy {
            token: kept.token.clone().into(),
            sha256: kept.sha256.to_string(),
        });
        AccessCopy {
            users: kept.users.clone(),
            tokens: tokens.collect(),
        }
    }

    /// Makes users and tokens be those of a copy. Whoever is not in it may come in no more.
    pub fn restore(&self, copy: AccessCopy, author: &str) -> Result<(), AccessError> {
        let (users, tokens) = (copy.users.len(), copy.tokens.len());
        let restored = kept(copy)?;
        self.change(|next| {
            *next = restored;
            Ok(())
        })?;
        if tokens > 0 {
            self.remove_bootstrap_file();
        }
        let detail = format!("{users} users and {tokens} tokens");
        self.note(author, "access_restore", detail);
        Ok(())
    }
}

/// A copy as it is kept, if it makes sense.
fn kept(copy: AccessCopy) -> Result<Kept, AccessError> {
    let AccessCopy { users, tokens } = copy;
    if users.len() > USERS_MAX {
        return Err(AccessError::TooManyUsers);
    }
    if tokens.len() > TOKENS_MAX {
        return Err(AccessError::TooMany);
    }
    unique(users.iter().map(|user| &user.name))?;
    unique(tokens.iter().map(|kept| &kept.token.name))?;
    users
        .iter()
        .try_for_each(|found| user::known(&found.scope))?;
    let mut kept = Kept {
        users,
        ..Kept::default()
    };
    for TokenCopy { token, sha256 } in tokens {
        let name = &token.name;
        let wrong = |what: &str| AccessError::Copy(format!("the token `{name}` {what}"));
        user::known(&token.scope)?;
        if let Some(owner) = &token.user
            && kept.user(owner).is_none()
        {
            return Err(wrong("belongs to a user who is not among them"));
        }
        let sha256 = sha256.parse().map_err(|_| wrong("has no digest"))?;
        let expires_at = token.expires_at.ok_or_else(|| wrong("has no end"))?;
        let token = Token {
            name: token.name,
            user: token.user,
            role: token.role,
            scope: token.scope,
            made_at: token.made_at,
            expires_at,
            last_used_at: token.last_used_at,
        };
        kept.tokens.push(KeptToken { token, sha256 });
    }
    Ok(kept)
}

fn unique<'a>(names: impl Iterator<Item = &'a Name>) -> Result<(), AccessError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(AccessError::Copy(format!("`{name}` is there twice")));
        }
    }
    Ok(())
}
