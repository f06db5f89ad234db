//! The servers that a request has tried.

use super::ServerIndex;

/// As many servers as a request may try: the first, and the model's most retries.
const TRIED_MAX: usize = 11;

/// The servers that a request has tried in vain.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tried {
    servers: [Option<ServerIndex>; TRIED_MAX],
    idle_failed: bool,
    not_in_http2: bool,
}

impl Tried {
    /// Adds a server. Beyond the most that a request may try, it takes the place of the last.
    pub(crate) fn add(&mut self, server: ServerIndex) {
        let free = self.servers.iter().position(Option::is_none);
        self.servers[free.unwrap_or(TRIED_MAX - 1)] = Some(server);
    }

    /// Remembers that an idle connection was dead. Its server may well be alive, but when it is not,
    /// all its idle connections are dead, and each would take a retry that another server needs.
    pub(crate) fn distrust_idle(&mut self) {
        self.idle_failed = true;
    }

    /// Whether a further attempt may use an idle connection.
    pub(crate) const fn trusts_idle(&self) -> bool {
        !self.idle_failed
    }

    /// Remembers that a server wants the request over HTTP/1.1.
    pub(crate) fn avoid_http2(&mut self) {
        self.not_in_http2 = true;
    }

    /// Whether the request must not go over HTTP/2.
    pub(crate) const fn avoids_http2(&self) -> bool {
        self.not_in_http2
    }

    /// Whether this server was tried.
    pub(crate) fn contains(&self, server: ServerIndex) -> bool {
        self.servers
            .iter()
            .map_while(|tried| *tried)
            .any(|tried| tried == server)
    }

    /// Whether this is the first attempt.
    pub(crate) const fn is_empty(&self) -> bool {
        self.servers[0].is_none()
    }
}
