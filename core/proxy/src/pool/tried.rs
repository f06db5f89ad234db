//! The servers that a request has tried.

use super::ServerIndex;

/// As many servers as a request may try: the first, and the model's most retries.
const TRIED_MAX: usize = 11;

/// The servers that a request has tried in vain.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tried {
    servers: [Option<ServerIndex>; TRIED_MAX],
}

impl Tried {
    /// Adds a server. Beyond the most that a request may try, it takes the place of the last.
    pub(crate) fn add(&mut self, server: ServerIndex) {
        let free = self.servers.iter().position(Option::is_none);
        self.servers[free.unwrap_or(TRIED_MAX - 1)] = Some(server);
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
