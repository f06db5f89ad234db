//! The protocols that clients speak.

pub(crate) mod http;
pub(crate) mod http2;
pub(crate) mod http3;
pub(crate) mod pass;
pub(crate) mod tcp;
pub(crate) mod transfer;
pub(crate) mod tunnel;
