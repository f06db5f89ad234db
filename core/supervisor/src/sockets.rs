//! The listening sockets, which outlive every worker.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};

use crate::message::{DESCRIPTORS_MAX, Place};

/// Binds this many sockets to one address and port.
pub(crate) type Bind = fn(SocketAddr, usize) -> io::Result<Vec<TcpListener>>;

/// The sockets that are bound, by what they are for.
#[derive(Debug)]
pub(crate) struct Sockets {
    bind: Bind,
    bound: BTreeMap<Place, Vec<TcpListener>>,
}

impl Sockets {
    pub(crate) fn new(bind: Bind) -> Self {
        Self {
            bind,
            bound: BTreeMap::new(),
        }
    }

    /// The sockets of a place; they are bound if they are not yet. A worker that wants another
    /// number of them than its predecessor gets new ones, as no connection may wait in a socket
    /// that nobody accepts from.
    pub(crate) fn lend(&mut self, place: &Place, count: usize) -> io::Result<Vec<BorrowedFd<'_>>> {
        if count == 0 || count > DESCRIPTORS_MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if self
            .bound
            .get(place)
            .is_none_or(|bound| bound.len() != count)
        {
            let former = self.bound.remove(place);
            let address = former
                .as_ref()
                .and_then(|sockets| sockets.first()?.local_addr().ok())
                .unwrap_or(place.address);
            drop(former);
            self.bound
                .insert(place.clone(), (self.bind)(address, count)?);
        }
        let sockets = self.bound.get(place).into_iter().flatten();
        Ok(sockets.map(AsFd::as_fd).collect())
    }

    /// Closes every socket that nobody wants.
    pub(crate) fn keep(&mut self, wanted: impl Fn(&Place) -> bool) {
        self.bound.retain(|place, _| wanted(place));
    }
}
