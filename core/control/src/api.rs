//! The admin API: the one door through which the command line, Terraform, the console and programs
//! of others see and change a running balancer.
//!
//! It runs on a thread of its own: overloaded, it leaves traffic alone, and overloaded traffic leaves
//! it alone. Everything that comes in is bounded in size, number and time. `route` is the table of
//! all it does; `caller` says who may.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use lb_model::api::{AdminStatus, ExplainRequest, UpgradeState};
use lb_model::status::Status;
use lb_model::{ValidConfig, nearest};
use serde_json::Value;
use tokio::net::UnixListener;
use tokio::runtime::Builder;
use tokio::sync::watch;

use self::serve::Service;
use self::stop::Stop;
use crate::certificate::Keeper;
use crate::{Access, Controller, Engine};

mod answer;
mod attempts;
mod caller;
mod certificate;
mod connection;
mod event;
mod handle;
mod openapi;
mod remote;
mod request;
mod route;
mod serve;
mod stop;

pub use certificate::CertificateError;
pub use openapi::openapi;
pub use remote::{Place, Remote, Socket};

/// The name of the socket in the state directory.
pub const SOCKET: &str = "admin.sock";

/// The longest path of a Unix socket, in bytes; the system allows no more.
const PATH_BYTES_MAX: usize = 107;

/// How long what callers have begun may take when the API stops.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// What the API tells of a data plane, besides what the [`Engine`] does.
pub trait Observable: Send + Sync + 'static {
    /// What it is doing now.
    fn status(&self) -> Status;

    /// What it counts, as Prometheus reads it.
    fn metrics(&self) -> String;

    /// Where a request would go, and why.
    ///
    /// # Errors
    /// Why that cannot be said.
    fn explain(&self, config: &ValidConfig, request: &ExplainRequest) -> Result<Value, String>;

    /// Who has the certificates.
    fn keeper(&self) -> &Keeper;

    /// Where the API is served over the network, if anywhere.
    fn admin(&self) -> Option<AdminStatus>;

    /// How far an upgrade is.
    fn upgrade_state(&self) -> UpgradeState;

    /// Asks for a process with the program that is on disk now to take over.
    ///
    /// # Errors
    /// Nobody could start it.
    fn upgrade(&self) -> Result<(), NoSupervisor>;
}

/// This process was started without a supervisor, which alone could replace it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this balancer runs without a supervisor that could start another program")]
pub struct NoSupervisor;

/// The API, until this is dropped.
#[derive(Debug)]
pub struct Api {
    path: PathBuf,
    /// The socket file, if it is ours to remove; a successor may have put its own in its place.
    inode: Option<u64>,
    stop: Option<Stop>,
    thread: Option<JoinHandle<()>>,
}

/// Why the API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ApiStartError {
    /// The socket.
    #[error("cannot listen on `{}`", path.display())]
    Listen {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The path of the socket.
    #[error("the path `{}` is too long for a socket: {} bytes, the most is {PATH_BYTES_MAX}",
        _0.display(), _0.as_os_str().len())]
    PathTooLong(PathBuf),
    /// The thread.
    #[error("the thread of the admin API cannot start")]
    Thread(#[source] io::Error),
}

impl ApiStartError {
    /// What to do, when there is something.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Listen { path, .. } => {
                let folder = path.parent().unwrap_or(path).display();
                Some(format!("see who may write to it: ls -ld {folder}"))
            }
            Self::PathTooLong(_) => {
                Some("name a shorter state directory with `--state-dir DIR`".to_owned())
            }
            Self::Thread(_) => None,
        }
    }
}

impl Api {
    /// Serves the API on `admin.sock` in the state directory, or on the socket that somebody else
    /// has bound there. The directory is ours: a socket that is there was left by a balancer that
    /// ended. Over the network it is served wherever `places` says.
    pub fn start<E: Engine + Observable>(
        state_dir: &Path,
        lent: Option<StdUnixListener>,
        places: watch::Receiver<Place>,
        controller: Arc<Controller<E>>,
        access: Arc<Access>,
    ) -> Result<Self, ApiStartError> {
        let path = socket_path(state_dir)?;
        let (listener, inode) = if let Some(listener) = lent {
            (listener, None)
        } else {
            let listener = bind_socket(&path).map_err(|source| ApiStartError::Listen {
                path: path.clone(),
                source,
            })?;
            (listener, fs::metadata(&path).ok().map(|file| file.ino()))
        };
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(serve::READS_MAX + serve::CHANGES_MAX)
            .thread_name("admin-work")
            .build()
            .map_err(ApiStartError::Thread)?;
        let (stop, stopping) = stop::stop();
        let listener = {
            let _context = runtime.enter();
            UnixListener::from_std(listener).map_err(ApiStartError::Thread)?
        };
        let service = Arc::new(Service::new(controller, access, stopping.clone()));
        let thread = std::thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || {
                crate::background::step_back();
                runtime.block_on(async {
                    let network = remote::follow(places, Arc::clone(&service), stopping.clone());
                    let socket = connection::serve_unix(listener, service, stopping);
                    tokio::join!(network, socket);
                });
                // What was begun is finished before the state goes to somebody else.
                runtime.shutdown_timeout(STOP_WITHIN);
            })
            .map_err(ApiStartError::Thread)?;
        Ok(Self {
            path,
            inode,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it is served.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        if let Some(inode) = self.inode
            && fs::metadata(&self.path).is_ok_and(|found| found.ino() == inode)
        {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Where the socket of a balancer with this state directory is.
///
/// # Errors
/// The path is too long for a socket.
pub fn socket_path(state_dir: &Path) -> Result<PathBuf, ApiStartError> {
    let path = state_dir.join(SOCKET);
    if path.as_os_str().len() > PATH_BYTES_MAX {
        return Err(ApiStartError::PathTooLong(path));
    }
    Ok(path)
}

/// Binds a socket for its owner alone, in the place of one that was left.
///
/// # Errors
/// What the system said.
pub fn bind_socket(path: &Path) -> io::Result<StdUnixListener> {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let listener = StdUnixListener::bind(path)?;
    // Whoever connects before this is asked for a token: `caller` does not rely on the mode.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// What was probably meant, as something to do.
fn nearest_help<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<String> {
    let found = nearest(name, candidates.clone());
    if let Some(found) = found {
        return Some(format!("did you mean `{found}`?"));
    }
    let mut all = candidates.into_iter().take(20).peekable();
    all.peek()?;
    Some(format!("there are {}", all.collect::<Vec<_>>().join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_for_its_owner_alone_and_one_that_was_left_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = socket_path(folder.path()).unwrap();
        drop(bind_socket(&path).unwrap());
        let _listener = bind_socket(&path).unwrap();
        let found = fs::metadata(&path).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o600);
        let long = folder.path().join("x".repeat(100));
        let error = socket_path(&long).unwrap_err();
        assert!(error.help().unwrap().contains("--state-dir"));
    }
}
