//! What supervisor and worker say to each other: one message is one packet of a socket pair, with
//! the descriptors of listening sockets beside it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The most descriptors that the kernel passes with one message (`SCM_MAX_FD`).
pub(crate) const DESCRIPTORS_MAX: usize = 253;

/// The longest message; ours are far shorter.
const BYTES_MAX: usize = 4096;

/// A listening address and what it is for. Two may ask for any port on the same address, and get
/// their own again after a restart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Empty where the address says it all: who uses it may change.
    pub(crate) purpose: String,
    pub(crate) address: Address,
}

/// Where a socket listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Address {
    Internet(SocketAddr),
    /// For datagrams.
    Datagram(SocketAddr),
    Unix(PathBuf),
}

impl Place {
    /// An address of the network. One with a port is known by that alone: it may go from one
    /// purpose to another. A free port is found for one purpose.
    pub(crate) fn internet(purpose: &str, address: SocketAddr) -> Self {
        let purpose = if address.port() == 0 { purpose } else { "" };
        Self {
            purpose: purpose.to_owned(),
            address: Address::Internet(address),
        }
    }

    /// An address of the network for datagrams, known as one for connections is.
    pub(crate) fn datagram(purpose: &str, address: SocketAddr) -> Self {
        Self {
            address: Address::Datagram(address),
            ..Self::internet(purpose, address)
        }
    }

    /// The path of a Unix socket.
    pub(crate) fn unix(path: PathBuf) -> Self {
        Self {
            purpose: String::new(),
            address: Address::Unix(path),
        }
    }
}

/// What a worker says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FromWorker {
    /// It wants this many sockets, all bound to this place.
    Listen { place: Place, count: usize },
    /// It no longer uses them.
    Release { place: Place },
    /// It serves.
    Ready,
    /// An operator wants it replaced by what is on disk now.
    Upgrade,
    /// It changes no state any more; the next worker may.
    HandedOver,
}

/// What the supervisor says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ToWorker {
    /// The sockets that were asked for, with their descriptors.
    Sockets,
    /// They could not be bound: the number of the system's error.
    Refused { errno: i32 },
    /// Change no state any more and say so: a successor is about to start.
    HandOver,
    /// There is no successor, for this reason: go on as before.
    Resume { reason: String },
    /// Stop accepting, let what is in progress finish, and end.
    Drain,
    /// End at once.
    Stop,
    /// Take the document from its file again.
    Reload,
    /// Open log files again.
    ReopenLogs,
}

/// Both ends of a link. The kernel keeps the bounds of messages.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let pair = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    Ok(pair)
}

/// Sends a message.
///
/// # Errors
/// What the system says; the other end is gone, or does not read.
pub(crate) fn send(
    socket: impl AsFd,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fits = descriptors.is_empty() || control.push(SendAncillaryMessage::ScmRights(descriptors));
    if !fits || bytes.len() > BYTES_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(
        socket,
        &[IoSlice::new(&bytes)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Receives a message; nothing when the other end is gone.
///
/// # Errors
/// What the system says, or that the message is none of ours.
pub(crate) fn receive<M: DeserializeOwned>(
    socket: impl AsFd,
) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
    let mut bytes = [0; BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    if received.bytes == 0 {
        return Ok(None);
    }
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    let text = bytes.get(..received.bytes).unwrap_or_default();
    Ok(Some((serde_json::from_slice(text)?, descriptors)))
}
