//! Whether the conditions of a rule hold. The data plane asks this of each request, and whoever wants to
//! know beforehand asks it of a request that nobody has sent.

use std::net::IpAddr;

use crate::config::{HeaderMatch, Match, PathMatch};
use crate::value::HeaderName;

/// What the conditions of rules look at in a request.
pub trait Asked {
    /// The address of the client.
    fn client(&self) -> IpAddr;
    /// The method.
    fn method(&self) -> &[u8];
    /// The host in lower case, without port and final dot.
    fn host(&self) -> &[u8];
    /// The path without the query, as it was sent.
    fn path(&self) -> &[u8];
    /// The values of the fields of this name.
    fn values(&self, name: &HeaderName) -> impl Iterator<Item = &[u8]>;
}

impl Match {
    /// Which condition does not hold; none when all do. `alpn` is not looked at: there are no requests
    /// where it counts.
    #[inline]
    pub fn mismatch(&self, asked: &impl Asked) -> Option<&'static str> {
        let Self {
            host,
            path,
            method,
            header,
            source,
            alpn: _,
        } = self;
        if !source.is_empty() && !source.iter().any(|net| net.contains(asked.client())) {
            return Some("the client is in none of the networks of `source`");
        }
        if !method.is_empty()
            && !method
                .iter()
                .any(|m| m.as_str().as_bytes() == asked.method())
        {
            return Some("the method is not in `method`");
        }
        if !host.is_empty() && !host.iter().any(|pattern| pattern.matches(asked.host())) {
            return Some("the host is not in `host`");
        }
        let path_matches = match path {
            None => true,
            Some(PathMatch::Exact(exact)) => asked.path() == exact.as_str().as_bytes(),
            Some(PathMatch::Prefix(prefix)) => asked.path().starts_with(prefix.as_str().as_bytes()),
            Some(PathMatch::Regex(pattern)) => pattern.is_match(asked.path()),
        };
        if !path_matches {
            return Some("the path does not match `path`");
        }
        for (name, condition) in header {
            let mut values = asked.values(name);
            let matches = match condition {
                HeaderMatch::Present(present) => values.next().is_some() == *present,
                HeaderMatch::Exact(text) => values.any(|v| v == text.as_str().as_bytes()),
                HeaderMatch::Prefix(text) => {
                    values.any(|v| v.starts_with(text.as_str().as_bytes()))
                }
                HeaderMatch::Regex(pattern) => values.any(|v| pattern.is_match(v)),
            };
            if !matches {
                return Some("a header field does not match `header`");
            }
        }
        None
    }
}
