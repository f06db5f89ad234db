//! One reader for each socket while two processes have it. A process that takes the place of another one
//! has the same sockets, and the kernel gives a datagram to whoever asks first. So each passes on what is
//! not for it, by the number of the process in the connection identifier, over a Unix socket of the other
//! one; and whoever leaves stops asking the kernel as soon as there is a successor.

use std::fmt;
use std::fs::{self, DirBuilder};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixDatagram as StdUnixDatagram;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use quinn::udp::{EcnCodepoint, RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::net::UnixDatagram;

use crate::quic::{IDENTIFIER, Place};

/// The longest datagram that is passed on, with what says where it came from. Nobody may send us longer
/// ones in QUIC.
const PASSED_MAX: usize = 2048;
/// How many bytes say where a datagram came from.
const ORIGIN: usize = 36;

/// A socket for datagrams that another process may have, too.
pub(super) struct SharedSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    relay: Relay,
    /// Whether this process asks the kernel for datagrams.
    reads: AtomicBool,
}

/// How datagrams go from one process to another.
struct Relay {
    folder: PathBuf,
    place: Place,
    local: SocketAddr,
    /// What others pass on.
    heard: UnixDatagram,
    /// Not one of the event loop, which would have to tell first that it can be written to.
    sender: StdUnixDatagram,
}

/// For whom a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    Us,
    /// Another process, so many after this one.
    Other(i16),
    /// Whoever accepts connections.
    Newest,
}

/// How many processes before and after this one may still have connections.
const GENERATIONS: i16 = 4;

impl SharedSocket {
    /// Shares a socket that is bound to `local`, over Unix sockets in this folder.
    ///
    /// # Errors
    /// What the system said.
    pub(super) fn new(
        inner: Arc<dyn AsyncUdpSocket>,
        folder: &Path,
        place: Place,
        local: SocketAddr,
    ) -> io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        sweep(folder);
        let path = path(folder, place.generation, place, local);
        let heard = StdUnixDatagram::bind(&path)?;
        heard.set_nonblocking(true)?;
        let sender = StdUnixDatagram::unbound()?;
        sender.set_nonblocking(true)?;
        Ok(Self {
            inner,
            relay: Relay {
                folder: folder.to_owned(),
                place,
                local,
                heard: UnixDatagram::from_std(heard)?,
                sender,
            },
            reads: AtomicBool::new(true),
        })
    }

    /// Leaves the socket to the successor, if there is one: what it gets for this process it passes on.
    /// Whether there is.
    pub(super) fn leave(&self) -> bool {
        let relay = &self.relay;
        let successor = relay.place.generation.wrapping_add(1);
        let has = path(&relay.folder, successor, relay.place, relay.local).exists();
        if has {
            self.reads.store(false, Ordering::Relaxed);
        }
        has
    }
}

/// Removes what processes have left that are no more.
fn sweep(folder: &Path) {
    let paths = fs::read_dir(folder).into_iter().flatten().flatten();
    for path in paths.map(|entry| entry.path()) {
        let probe = StdUnixDatagram::unbound().and_then(|socket| socket.connect(&path));
        if probe.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            drop(fs::remove_file(path));
        }
    }
}

impl Relay {
    fn send(&self, after: i16, datagram: &[u8], meta: &RecvMeta) -> bool {
        let generation = self.place.generation.wrapping_add_signed(after);
        let to = path(&self.folder, generation, self.place, self.local);
        let mut bytes = Vec::with_capacity(ORIGIN + datagram.len());
        write_origin(meta, &mut bytes);
        bytes.extend_from_slice(datagram);
        match self.sender.send_to(&bytes, &to) {
            Ok(_) => true,
            // It is full: a datagram may get lost.
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// Takes what others have passed on.
    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        meta: &mut RecvMeta,
    ) -> Poll<()> {
        loop {
            if ready!(self.heard.poll_recv_ready(cx)).is_err() {
                return Poll::Pending;
            }
            let mut room = [0; PASSED_MAX];
            let length = match self.heard.try_recv(&mut room) {
                Ok(length) => length,
                // Asked again, it tells when there is something.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(_) => return Poll::Pending,
            };
            let passed = room.get(..length).unwrap_or_default();
            let Some((origin, datagram)) = passed.split_at_checked(ORIGIN) else {
                continue;
            };
            let Some(place) = buffer.get_mut(..datagram.len()) else {
                continue;
            };
            if read_origin(origin, datagram.len(), meta).is_some() {
                place.copy_from_slice(datagram);
                return Poll::Ready(());
            }
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let path = path(&self.folder, self.place.generation, self.place, self.local);
        drop(fs::remove_file(path));
    }
}

/// Where the process of a number is told what is for it: by the socket and by how many there are, as
/// otherwise its workers have others.
fn path(folder: &Path, generation: u16, place: Place, local: SocketAddr) -> PathBuf {
    let Place {
        worker, workers, ..
    } = place;
    folder.join(format!("{generation:04x}-{worker}-{workers}-{local}"))
}

/// For whom a datagram is (RFC 9000 section 17).
fn whose(datagram: &[u8], own: u16) -> For {
    let Some(first) = datagram.first() else {
        return For::Us;
    };
    let long = first & 0x80 != 0;
    let initial = long && first & 0x30 == 0;
    let at = if long { 6 } else { 1 };
    let ours = !long || datagram.get(5).copied() == u8::try_from(IDENTIFIER).ok();
    let generation = datagram.get(at + 2..at + 4).filter(|_| ours);
    let Some(&[g0, g1]) = generation else {
        return if initial { For::Newest } else { For::Us };
    };
    let after = u16::from_be_bytes([g0, g1]).wrapping_sub(own).cast_signed();
    if after == 0 {
        For::Us
    } else if after.unsigned_abs() <= GENERATIONS.unsigned_abs() {
        For::Other(after)
    } else if initial {
        For::Newest
    } else {
        For::Us
    }
}

/// Address, port, the address that it came to, and the mark of congestion.
fn write_origin(meta: &RecvMeta, out: &mut Vec<u8>) {
    let ip = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    out.extend(ip(meta.addr.ip()).octets());
    out.extend(meta.addr.port().to_be_bytes());
    let to = meta.dst_ip.map(ip);
    out.push(u8::from(to.is_some()));
    out.extend(to.map_or([0; 16], |ip| ip.octets()));
    out.push(meta.ecn.map_or(0, |ecn| ecn as u8));
}

fn read_origin(origin: &[u8], length: usize, meta: &mut RecvMeta) -> Option<()> {
    let (from, rest) = origin.split_first_chunk::<16>()?;
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let (has_to, rest) = rest.split_first()?;
    let (to, rest) = rest.split_first_chunk::<16>()?;
    let ecn = rest.first()?;
    let ip = |octets: [u8; 16]| IpAddr::from(octets).to_canonical();
    *meta = RecvMeta::default();
    meta.addr = SocketAddr::new(ip(*from), u16::from_be_bytes(*port));
    meta.dst_ip = (*has_to == 1).then(|| ip(*to));
    meta.ecn = EcnCodepoint::from_bits(*ecn);
    meta.len = length;
    meta.stride = length;
    Some(())
}

impl AsyncUdpSocket for SharedSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.inner.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if let (Some(buffer), Some(meta)) = (buffers.first_mut(), metas.first_mut())
            && self.relay.poll_receive(cx, buffer, meta).is_ready()
        {
            return Poll::Ready(Ok(1));
        }
        if !self.reads.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        let count = ready!(self.inner.poll_recv(cx, buffers, metas))?;
        for (buffer, meta) in buffers.iter().zip(metas.iter_mut()).take(count) {
            let Some(bytes) = buffer.get(..meta.len) else {
                continue;
            };
            // The kernel puts together what comes from one client at once; it is for one process.
            let after = match whose(bytes, self.relay.place.generation) {
                For::Us => continue,
                For::Other(after) => after,
                For::Newest => 1,
            };
            let mut pieces = bytes.chunks(meta.stride.max(1));
            if pieces.all(|piece| self.relay.send(after, piece, meta)) {
                // Nothing is left of it for us.
                meta.len = 0;
            }
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

impl fmt::Debug for SharedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSocket")
            .field("local", &self.relay.local)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_tells_whose_it_is() {
        let short = |generation: u16| {
            let [g0, g1] = generation.to_be_bytes();
            [0x40, 9, 9, g0, g1, 1, 2, 3, 4, 5, 6, 7]
        };
        let long = |first: u8, length: u8, generation: u16| {
            let [g0, g1] = generation.to_be_bytes();
            [first, 0, 0, 0, 1, length, 9, 9, g0, g1, 1, 2, 3, 4, 5, 6]
        };
        assert_eq!(whose(&short(7), 7), For::Us);
        assert_eq!(whose(&short(6), 7), For::Other(-1));
        assert_eq!(
            whose(&short(0), u16::MAX),
            For::Other(1),
            "numbers go round"
        );
        assert_eq!(whose(&short(1000), 7), For::Us, "nobody knows whose");
        assert_eq!(whose(&long(0xe0, 10, 6), 7), For::Other(-1));
        assert_eq!(whose(&long(0xe0, 8, 6), 7), For::Us);
        assert_eq!(whose(&long(0xc0, 8, 7), 7), For::Newest);
        assert_eq!(whose(&long(0xc0, 10, 7), 7), For::Us);
        assert_eq!(whose(&long(0xc0, 10, 1000), 7), For::Newest);
        assert_eq!(whose(&[0xc0], 7), For::Newest);
        assert_eq!(whose(&[], 7), For::Us);
    }

    #[test]
    fn where_a_datagram_came_from_arrives_with_it() {
        for (from, to, ecn) in [
            (
                "192.0.2.1:4433",
                Some("198.51.100.7"),
                Some(EcnCodepoint::Ce),
            ),
            (
                "[2001:db8::1]:1",
                Some("2001:db8::2"),
                Some(EcnCodepoint::Ect0),
            ),
            ("127.0.0.1:65535", None, None),
        ] {
            let meta = RecvMeta {
                addr: from.parse().unwrap(),
                dst_ip: to.map(|to| to.parse().unwrap()),
                ecn,
                ..RecvMeta::default()
            };
            let mut bytes = Vec::new();
            write_origin(&meta, &mut bytes);
            assert_eq!(bytes.len(), ORIGIN);
            let mut read = RecvMeta::default();
            read_origin(&bytes, 5, &mut read).unwrap();
            let same = (read.addr, read.dst_ip, read.ecn, read.len, read.stride);
            assert_eq!(same, (meta.addr, meta.dst_ip, ecn, 5, 5));
        }
    }
}
