//! A cookie of the balancer's own. Its value names the server, so that nothing is kept here: it
//! works on every balancer with the same document, and after a restart.

use std::fmt::Write;

use lb_model::config::{CookiePersistence, SameSite};

use super::Tag;

/// The digits of a value.
const DIGITS: usize = 16;

#[derive(Debug)]
pub(super) struct Cookie {
    name: Box<[u8]>,
    /// What follows the value.
    attributes: String,
}

impl Cookie {
    pub(super) fn build(model: &CookiePersistence) -> Self {
        let CookiePersistence {
            name,
            domain,
            path,
            secure,
            http_only,
            same_site,
            max_age,
            // Looked after by `Persistence`.
            fallback: _,
        } = model;
        let mut attributes = format!("; Path={path}");
        let mut add = |attribute: std::fmt::Arguments<'_>| {
            attributes
                .write_fmt(attribute)
                .expect("writing to a String cannot fail");
        };
        if let Some(domain) = domain {
            add(format_args!("; Domain={domain}"));
        }
        if let Some(max_age) = max_age {
            add(format_args!(
                "; Max-Age={}",
                max_age.duration().as_secs().max(1)
            ));
        }
        if *secure {
            add(format_args!("; Secure"));
        }
        if *http_only {
            add(format_args!("; HttpOnly"));
        }
        match same_site {
            Some(SameSite::Lax) => add(format_args!("; SameSite=Lax")),
            Some(SameSite::None) => add(format_args!("; SameSite=None")),
            Some(SameSite::Strict) => add(format_args!("; SameSite=Strict")),
            None => {}
        }
        Self {
            name: name.as_str().as_bytes().into(),
            attributes,
        }
    }

    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }

    /// The whole header line, ready to be sent.
    pub(super) fn set_cookie(&self, tag: Tag) -> Box<[u8]> {
        let Tag(number) = tag;
        let rest = format!("={number:016x}{}\r\n", self.attributes);
        [b"Set-Cookie: ", &self.name[..], rest.as_bytes()]
            .concat()
            .into()
    }

    /// The server that a value names; nothing when it is not a value of ours.
    pub(super) fn read(value: &[u8]) -> Option<Tag> {
        if value.len() != DIGITS {
            return None;
        }
        value
            .iter()
            .try_fold(0_u64, |number, byte| {
                let digit = match byte {
                    b'0'..=b'9' => byte - b'0',
                    b'a'..=b'f' => byte - b'a' + 10,
                    _ => return None,
                };
                Some(number << 4 | u64::from(digit))
            })
            .map(Tag)
    }
}
