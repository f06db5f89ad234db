//! What a service supervisor such as systemd is told (`sd_notify(3)`).

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The socket that systemd names to services of `Type=notify`.
const VARIABLE: &str = "NOTIFY_SOCKET";

/// Tells the state, if anybody wants to know. A failure is logged: traffic does not depend on it.
pub(crate) fn notify(state: &str) {
    let Some(name) = std::env::var_os(VARIABLE) else {
        return;
    };
    let send = || -> io::Result<()> {
        let address = match name.as_bytes().split_first() {
            Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(&name)?,
        };
        UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address)?;
        Ok(())
    };
    if let Err(error) = send() {
        tracing::warn!(%error, variable = VARIABLE, "the service supervisor cannot be told");
    }
}
