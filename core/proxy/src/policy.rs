//! What happens to a request on its way to a server and to a response on its way back, besides being
//! moved: header fields that tell about the client, and the header edits of rules.

pub(crate) mod forwarded;
pub(crate) mod header;
