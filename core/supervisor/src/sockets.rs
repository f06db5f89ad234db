//! The listening sockets, which outlive every worker.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use crate::message::{Address, DESCRIPTORS_MAX, Place};

/// How sockets are bound. They are non-blocking.
#[derive(Clone, Copy, Debug)]
pub struct Bind {
    /// Binds this many sockets to one address and port, while those others are bound already.
    pub internet: fn(SocketAddr, usize, &[SocketAddr]) -> io::Result<Vec<TcpListener>>,
    /// The same for datagrams.
    pub datagram: fn(SocketAddr, usize, &[SocketAddr]) -> io::Result<Vec<UdpSocket>>,
    /// Binds a socket to a path, in the place of whatever was left there.
    pub unix: fn(&Path) -> io::Result<UnixListener>,
}

/// The sockets that are bound, by what they are for.
#[derive(Debug)]
pub(crate) struct Sockets {
    bind: Bind,
    bound: BTreeMap<Place, Bound>,
}

/// The sockets of one place.
#[derive(Debug)]
struct Bound {
    sockets: Vec<OwnedFd>,
    /// The real address, or the file that stands for the socket.
    at: At,
}

#[derive(Debug)]
enum At {
    Internet(SocketAddr),
    Datagram(SocketAddr),
    /// A path and its inode: somebody else's socket may have taken its place.
    Unix(PathBuf, u64),
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
        let present = self.bound.get(place);
        if present.is_none_or(|bound| bound.sockets.len() != count) {
            let bound = self.bind(place, count)?;
            self.bound.insert(place.clone(), bound);
        }
        let sockets = self.bound.get(place).into_iter();
        Ok(sockets
            .flat_map(|bound| &bound.sockets)
            .map(AsFd::as_fd)
            .collect())
    }

    fn bind(&self, place: &Place, count: usize) -> io::Result<Bound> {
        match &place.address {
            Address::Internet(address) => {
                // A former worker may still hold what is replaced here: the port stays.
                let former = self.bound.get(place).and_then(Bound::internet);
                let ours: Vec<_> = self.bound.values().filter_map(Bound::internet).collect();
                let sockets = (self.bind.internet)(former.unwrap_or(*address), count, &ours)?;
                let first = sockets.first().ok_or(io::ErrorKind::NotConnected)?;
                let at = At::Internet(first.local_addr()?);
                let sockets = sockets.into_iter().map(OwnedFd::from).collect();
                Ok(Bound { sockets, at })
            }
            Address::Datagram(address) => {
                let former = self.bound.get(place).and_then(Bound::datagram);
                let ours: Vec<_> = self.bound.values().filter_map(Bound::datagram).collect();
                let sockets = (self.bind.datagram)(former.unwrap_or(*address), count, &ours)?;
                let first = sockets.first().ok_or(io::ErrorKind::NotConnected)?;
                let at = At::Datagram(first.local_addr()?);
                let sockets = sockets.into_iter().map(OwnedFd::from).collect();
                Ok(Bound { sockets, at })
            }
            Address::Unix(path) => {
                let socket = (self.bind.unix)(path)?;
                let inode = fs::metadata(path)?.ino();
                Ok(Bound {
                    sockets: vec![socket.into()],
                    at: At::Unix(path.clone(), inode),
                })
            }
        }
    }

    /// Closes every socket that nobody wants.
    pub(crate) fn keep(&mut self, wanted: impl Fn(&Place) -> bool) {
        self.bound.retain(|place, _| wanted(place));
    }
}

impl Bound {
    const fn internet(&self) -> Option<SocketAddr> {
        match self.at {
            At::Internet(address) => Some(address),
            At::Datagram(_) | At::Unix(..) => None,
        }
    }

    const fn datagram(&self) -> Option<SocketAddr> {
        match self.at {
            At::Datagram(address) => Some(address),
            At::Internet(_) | At::Unix(..) => None,
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let At::Unix(path, inode) = &self.at
            && fs::metadata(path).is_ok_and(|found| found.ino() == *inode)
        {
            // One that stays is taken over by the next.
            drop(fs::remove_file(path));
        }
    }
}
