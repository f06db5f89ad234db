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

use lb_model::api::ExplainRequest;
use lb_model::status::Status;
use lb_model::{ValidConfig, nearest};
use serde_json::Value;
use tokio::net::UnixListener;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use self::serve::Service;
use crate::{Access, Controller, Engine};

mod answer;
mod caller;
mod connection;
mod event;
mod handle;
mod openapi;
mod request;
mod route;
mod serve;

pub use openapi::openapi;

/// The name of the socket in the state directory.
pub const SOCKET: &str = "admin.sock";

/// The longest path of a Unix socket, in bytes; the system allows no more.
const PATH_BYTES_MAX: usize = 107;

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
}

/// The API, until this is dropped.
#[derive(Debug)]
pub struct Api {
    path: PathBuf,
    /// The socket file that is ours; a successor may have put its own in its place.
    inode: u64,
    stop: Option<oneshot::Sender<()>>,
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
    /// Serves the API on `admin.sock` in the state directory. The directory is ours: a socket that
    /// is there was left by a balancer that ended.
    pub fn start<E: Engine + Observable>(
        state_dir: &Path,
        controller: Arc<Controller<E>>,
        access: Arc<Access>,
    ) -> Result<Self, ApiStartError> {
        let path = state_dir.join(SOCKET);
        let (listener, inode) = listen(&path)?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(serve::READS_MAX + serve::CHANGES_MAX)
            .thread_name("admin-work")
            .build()
            .map_err(ApiStartError::Thread)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let listener = {
            let _context = runtime.enter();
            UnixListener::from_std(listener).map_err(ApiStartError::Thread)?
        };
        let service = Arc::new(Service::new(controller, access));
        let thread = std::thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = connection::serve_unix(listener, service) => {}
                        // An error means that whoever holds the API is gone: the same.
                        _ = stopped => {}
                    }
                });
                // What still waits for a disk finishes by itself.
                runtime.shutdown_background();
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
        if fs::metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            drop(fs::remove_file(&self.path));
        }
    }
}

fn listen(path: &Path) -> Result<(StdUnixListener, u64), ApiStartError> {
    if path.as_os_str().len() > PATH_BYTES_MAX {
        return Err(ApiStartError::PathTooLong(path.to_path_buf()));
    }
    let bind = || {
        if let Err(error) = fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let listener = StdUnixListener::bind(path)?;
        // Whoever connects before this is asked for a token: `caller` does not rely on the mode.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok((listener, fs::metadata(path)?.ino()))
    };
    bind().map_err(|source| ApiStartError::Listen {
        path: path.to_path_buf(),
        source,
    })
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
        let path = folder.path().join(SOCKET);
        drop(listen(&path).unwrap());
        let (_listener, inode) = listen(&path).unwrap();
        let found = fs::metadata(&path).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o600);
        assert_eq!(found.ino(), inode);
        let long = folder.path().join("x".repeat(100)).join(SOCKET);
        assert!(
            listen(&long)
                .unwrap_err()
                .help()
                .unwrap()
                .contains("--state-dir")
        );
    }
}
