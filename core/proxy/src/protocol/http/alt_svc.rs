//! How clients over TCP learn that HTTP/3 is spoken (RFC 7838).

use super::Connection;
use super::codec::{FieldKind, ResponseHead, Version};
use crate::policy::forwarded::write_number;
use crate::stream::Stream;

/// What an answer says about HTTP/3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AltSvc {
    Nothing,
    /// It is spoken at this port.
    At(u16),
    /// It is spoken no longer.
    NoMore,
}

impl AltSvc {
    /// What is said beside a response of a server, which may have said something about it itself.
    pub(super) fn beside(self, head: &ResponseHead, bytes: &[u8]) -> Self {
        if self == Self::Nothing {
            return self;
        }
        let mut others = head.fields.of(FieldKind::Other);
        let says_itself = others.any(|field| field.name(bytes).eq_ignore_ascii_case(b"alt-svc"));
        if says_itself || head.status < 200 {
            return Self::Nothing;
        }
        self
    }

    pub(super) fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Nothing => {}
            Self::At(port) => {
                out.extend_from_slice(b"Alt-Svc: h3=\":");
                write_number(u64::from(port), out);
                // A day, as others say.
                out.extend_from_slice(b"\"; ma=86400\r\n");
            }
            Self::NoMore => out.extend_from_slice(b"Alt-Svc: clear\r\n"),
        }
    }
}

impl<S: Stream> Connection<S> {
    /// What answers to this version say about HTTP/3.
    pub(super) fn alt_svc(&self, version: Version) -> AltSvc {
        let speaks = self.live.look(|service| service.quic.is_some());
        if !speaks || version == Version::Http3 {
            AltSvc::Nothing
        } else if self.worker.is_draining() && !self.worker.is_succeeded() {
            AltSvc::NoMore
        } else {
            AltSvc::At(self.client.local.port())
        }
    }
}
