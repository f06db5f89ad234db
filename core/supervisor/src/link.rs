//! The worker's end: it asks for sockets, tells how it is, and is told what to do.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::message::{FromWorker, Place, ToWorker, receive, send};

/// How long the supervisor may take to bind a socket. It does nothing that takes time.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What the supervisor wants of the worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Change no state any more and say so: a successor is about to start.
    HandOver,
    /// There is no successor, for this reason: go on as before.
    Resume {
        /// Why, for people.
        reason: String,
    },
    /// Stop accepting, let what is in progress finish, and end.
    Drain,
    /// End at once.
    Stop,
    /// Take the document from its file again.
    Reload,
    /// Open log files again.
    ReopenLogs,
    /// The supervisor is gone, and with it who would start a successor: drain.
    Orphaned,
}

/// The worker's end of the link.
#[derive(Debug)]
pub struct Link {
    socket: Arc<OwnedFd>,
    /// Locked from the question to its answer.
    answers: Mutex<Receiver<Answer>>,
}

/// There is no supervisor at the other end.
#[derive(Debug, thiserror::Error)]
#[error("there is no supervisor to serve for")]
pub struct LinkError(#[source] io::Error);

impl LinkError {
    /// What to do.
    pub fn help(&self) -> String {
        "call `lbctl run` without flags that only its own processes get".to_owned()
    }
}

#[derive(Debug)]
enum Answer {
    Sockets(Vec<OwnedFd>),
    Refused(i32),
}

impl Link {
    /// Takes the link that the supervisor has left on the standard input, which is empty from then
    /// on.
    ///
    /// # Errors
    /// The standard input is no such link.
    pub fn take() -> Result<(Self, mpsc::Receiver<Command>), LinkError> {
        let take = || -> io::Result<OwnedFd> {
            let stdin = rustix::stdio::stdin();
            rustix::net::sockopt::socket_domain(stdin)?;
            let socket = rustix::io::fcntl_dupfd_cloexec(stdin, 3)?;
            rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
            Ok(socket)
        };
        Self::over(take().map_err(LinkError)?).map_err(LinkError)
    }

    /// A link over this socket.
    pub(crate) fn over(socket: OwnedFd) -> io::Result<(Self, mpsc::Receiver<Command>)> {
        let socket = Arc::new(socket);
        let (answer, answers) = channel();
        let (command, commands) = mpsc::channel(16);
        let reading = Arc::clone(&socket);
        std::thread::Builder::new()
            .name("link".to_owned())
            .spawn(move || read(&reading, &answer, &command))?;
        let answers = Mutex::new(answers);
        Ok((Self { socket, answers }, commands))
    }

    /// Listening sockets for this purpose, as many as asked for, bound to one address and port.
    /// Sockets that were bound for the same purpose and address before, by this worker or by one
    /// that is no more, come back with the connections that wait in them.
    ///
    /// # Errors
    /// What the system said when they were bound, or that the supervisor does not answer.
    pub fn listen(
        &self,
        purpose: &str,
        address: SocketAddr,
        count: usize,
    ) -> io::Result<Vec<TcpListener>> {
        let sockets = self.ask(Place::internet(purpose, address), count)?;
        Ok(sockets.into_iter().map(TcpListener::from).collect())
    }

    /// Sockets for datagrams, otherwise as [`listen`](Self::listen).
    ///
    /// # Errors
    /// As [`listen`](Self::listen).
    pub fn listen_datagram(
        &self,
        purpose: &str,
        address: SocketAddr,
        count: usize,
    ) -> io::Result<Vec<UdpSocket>> {
        let sockets = self.ask(Place::datagram(purpose, address), count)?;
        Ok(sockets.into_iter().map(UdpSocket::from).collect())
    }

    /// The Unix socket at this path. It stays while workers come and go; the supervisor removes it
    /// at its own end.
    ///
    /// # Errors
    /// As [`listen`](Self::listen).
    pub fn listen_unix(&self, path: &Path) -> io::Result<UnixListener> {
        let sockets = self.ask(Place::unix(path.to_path_buf()), 1)?;
        let socket = sockets.into_iter().next();
        Ok(socket.ok_or(io::ErrorKind::NotConnected)?.into())
    }

    fn ask(&self, place: Place, count: usize) -> io::Result<Vec<OwnedFd>> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        self.say(&FromWorker::Listen { place, count })?;
        match answers.recv_timeout(ANSWER_WITHIN) {
            Ok(Answer::Sockets(sockets)) => Ok(sockets),
            Ok(Answer::Refused(errno)) => Err(io::Error::from_raw_os_error(errno)),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Sockets that are no longer used; the supervisor closes them when no other worker uses them.
    pub fn release(&self, purpose: &str, address: SocketAddr) {
        let place = Place::internet(purpose, address);
        self.tell(&FromWorker::Release { place });
    }

    /// The same for sockets for datagrams.
    pub fn release_datagram(&self, purpose: &str, address: SocketAddr) {
        let place = Place::datagram(purpose, address);
        self.tell(&FromWorker::Release { place });
    }

    /// Tells that this worker serves.
    pub fn ready(&self) {
        self.tell(&FromWorker::Ready);
    }

    /// Asks to be replaced by the program that is on disk now.
    pub fn upgrade(&self) {
        self.tell(&FromWorker::Upgrade);
    }

    /// Tells that this worker changes no state any more.
    pub fn handed_over(&self) {
        self.tell(&FromWorker::HandedOver);
    }

    /// A supervisor that is gone is told by [`Command::Orphaned`].
    fn tell(&self, message: &FromWorker) {
        if let Err(error) = self.say(message) {
            tracing::warn!(%error, "the supervisor cannot be told");
        }
    }

    fn say(&self, message: &FromWorker) -> io::Result<()> {
        send(&self.socket, message, &[])
    }
}

/// Passes on what the supervisor says, for as long as there is one and somebody listens.
fn read(socket: &OwnedFd, answers: &Sender<Answer>, commands: &mpsc::Sender<Command>) {
    loop {
        let command = match receive(socket) {
            Ok(Some((message, descriptors))) => match message {
                ToWorker::Sockets => {
                    // Nobody waits for an answer that came too late; its sockets are closed.
                    drop(answers.send(Answer::Sockets(descriptors)));
                    continue;
                }
                ToWorker::Refused { errno } => {
                    drop(answers.send(Answer::Refused(errno)));
                    continue;
                }
                ToWorker::HandOver => Command::HandOver,
                ToWorker::Resume { reason } => Command::Resume { reason },
                ToWorker::Drain => Command::Drain,
                ToWorker::Stop => Command::Stop,
                ToWorker::Reload => Command::Reload,
                ToWorker::ReopenLogs => Command::ReopenLogs,
            },
            Ok(None) => Command::Orphaned,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                tracing::error!(%error, "the link to the supervisor is broken");
                Command::Orphaned
            }
        };
        let last = command == Command::Orphaned;
        if commands.blocking_send(command).is_err() || last {
            return;
        }
    }
}
