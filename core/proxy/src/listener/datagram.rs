//! Sockets for datagrams: QUIC over UDP. Those of one address are a group, in which the kernel gives each
//! datagram to the worker whose number stands in the connection identifier that it is for.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use nix::libc::{sock_filter, sock_fprog};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use super::socket::overlaps;

/// How much may wait in a socket in either direction; the kernel lowers this to `net.core.rmem_max` and
/// `wmem_max`.
const BUFFER: usize = 2 * 1024 * 1024;

/// Binds sockets for datagrams to one address, when some are bound already that are ours; see
/// [`bind_beside`](super::bind_beside).
///
/// # Errors
/// What the system said; also that another program has the port.
pub fn bind_datagram_beside(
    address: SocketAddr,
    count: usize,
    ours: &[SocketAddr],
) -> io::Result<Vec<UdpSocket>> {
    let mut address = address;
    if !ours.iter().any(|other| overlaps(address, *other)) {
        let probe = open(address, false)?;
        address = probe.local_addr()?;
    }
    let sockets: Vec<_> = (0..count)
        .map(|_| open(address, true))
        .collect::<io::Result<_>>()?;
    if let Some(first) = sockets.first() {
        steer(first, count);
    }
    Ok(sockets)
}

fn open(address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    // Smaller ones only make more datagrams get lost when there are many at once.
    drop(socket.set_recv_buffer_size(BUFFER));
    drop(socket.set_send_buffer_size(BUFFER));
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Has the kernel choose the socket by the first two bytes of the connection identifier: those that we
/// give say whose connection it is (`quic::Identifiers`), those that clients make up for their first
/// datagrams are random. Clients keep their connection when their address changes.
///
/// Without it, which is when the system does not allow it, the kernel chooses by addresses.
fn steer(socket: impl AsFd, count: usize) {
    const LOAD_BYTE: u16 = 0x30;
    const LOAD_HALF_WORD: u16 = 0x28;
    const JUMP_IF_SET: u16 = 0x45;
    const MODULO: u16 = 0x94;
    const RETURN_IT: u16 = 0x16;
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    let sockets = u32::try_from(count.max(1)).unwrap_or(u32::MAX);
    // A long header has the identifier behind its version and a length, a short one behind its first
    // byte (RFC 9000 section 17).
    let mut steps = [
        step(LOAD_BYTE, 0, 0, 0),
        step(JUMP_IF_SET, 0, 2, 0x80),
        step(LOAD_HALF_WORD, 0, 0, 6),
        step(0x05, 0, 0, 1), // jump over the next
        step(LOAD_HALF_WORD, 0, 0, 1),
        step(MODULO, 0, 0, sockets),
        step(RETURN_IT, 0, 0, 0),
    ];
    let program = sock_fprog {
        len: u16::try_from(steps.len()).unwrap_or(0),
        filter: steps.as_mut_ptr(),
    };
    if let Err(error) = setsockopt(&socket, sockopt::AttachReusePortCbpf, &program) {
        tracing::warn!(
            %error,
            "datagrams of QUIC are spread by address: clients whose address changes lose their connection"
        );
    }
}
