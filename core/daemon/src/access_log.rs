//! The thread that writes the access log.
//!
//! Workers hand over finished lines and never wait: what does not fit into the queue is dropped and
//! counted. Lines are gathered for a few milliseconds and written together, because a system call
//! for each would cost more than the request it tells of.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use lb_model::config::AccessLogOutput;
use lb_proxy::AccessSink;

/// The most lines that wait.
const LINES_MAX: usize = 8192;

/// The most bytes that wait. One line may be large: a client chooses what is in it.
const BYTES_MAX: usize = 8 << 20;

/// How many bytes are written at a time.
const BATCH_BYTES: usize = 256 << 10;

/// How long lines are gathered before they are written.
const GATHER: Duration = Duration::from_millis(5);

/// The access log could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the access log `{}`", path.display())]
pub struct OpenLogError {
    path: PathBuf,
    source: io::Error,
}

impl OpenLogError {
    /// What to do.
    pub fn help(&self) -> String {
        let folder = self.path.parent().unwrap_or(Path::new("/")).display();
        if self.source.kind() == io::ErrorKind::NotFound {
            format!("make its directory: mkdir -p {folder}")
        } else {
            format!("see who may write there: ls -ld {folder}")
        }
    }
}

/// The access log of a running balancer.
#[derive(Debug)]
pub(crate) struct LogWriter {
    lines: SyncSender<Message>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What workers and the writing thread both know.
#[derive(Debug, Default)]
struct Shared {
    queued_bytes: AtomicUsize,
    failed_lines: AtomicU64,
    reopen: AtomicBool,
}

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    /// The flag to open the file again is set.
    Wake,
    /// No line follows. In the queue rather than a flag, so that it comes behind every line and
    /// cannot be missed.
    End,
}

impl LogWriter {
    /// Opens the log and starts its thread.
    pub(crate) fn start(output: &AccessLogOutput) -> Result<Self, OpenLogError> {
        let path = match output {
            AccessLogOutput::File(path) => Some(path.clone()),
            AccessLogOutput::Stdout => None,
        };
        let failed = |source| OpenLogError {
            path: path.clone().unwrap_or_default(),
            source,
        };
        let target: Box<dyn Write + Send> = match &path {
            Some(path) => Box::new(append(path).map_err(failed)?),
            None => Box::new(io::stdout()),
        };
        let (lines, receiver) = sync_channel(LINES_MAX);
        let shared = Arc::new(Shared::default());
        let writing = Writing {
            lines: receiver,
            shared: Arc::clone(&shared),
            path: path.clone(),
            target,
            batch: Vec::new(),
            ended: false,
            torn: false,
            failing: false,
        };
        let thread = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || writing.run())
            .map_err(failed)?;
        Ok(Self {
            lines,
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Opens the file again, after rotation has moved it away.
    pub(crate) fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Release);
        self.wake();
    }

    /// Lines that were taken but could not be written.
    pub(crate) fn failed_lines(&self) -> u64 {
        self.shared.failed_lines.load(Ordering::Relaxed)
    }

    /// Writes what waits and ends the thread.
    pub(crate) fn finish(&self) {
        // Waits for room. It fails only when the thread is gone.
        drop(self.lines.send(Message::End));
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            // A thread that panicked has nothing left to write.
            drop(thread.join());
        }
    }

    fn wake(&self) {
        // A full queue means that the thread is awake.
        drop(self.lines.try_send(Message::Wake));
    }
}

impl AccessSink for LogWriter {
    fn write(&self, line: Vec<u8>) -> bool {
        let length = line.len();
        let queued = self
            .shared
            .queued_bytes
            .fetch_add(length, Ordering::Relaxed);
        let taken =
            queued + length <= BYTES_MAX && self.lines.try_send(Message::Line(line)).is_ok();
        if !taken {
            self.shared
                .queued_bytes
                .fetch_sub(length, Ordering::Relaxed);
        }
        taken
    }
}

/// The writing thread.
struct Writing {
    lines: Receiver<Message>,
    shared: Arc<Shared>,
    path: Option<PathBuf>,
    target: Box<dyn Write + Send>,
    batch: Vec<u8>,
    /// Whether the last line has been taken.
    ended: bool,
    /// Whether the last thing written was part of a line.
    torn: bool,
    /// Whether the last write failed.
    failing: bool,
}

impl Writing {
    fn run(mut self) {
        while let Ok(message) = self.lines.recv() {
            self.take(message);
            if !self.ended {
                std::thread::sleep(GATHER);
            }
            self.write_what_waits();
            if self.shared.reopen.swap(false, Ordering::AcqRel) {
                self.reopen();
            }
            if self.ended {
                return;
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Line(line) => {
                self.shared
                    .queued_bytes
                    .fetch_sub(line.len(), Ordering::Relaxed);
                self.batch.extend_from_slice(&line);
            }
            Message::Wake => {}
            Message::End => self.ended = true,
        }
    }

    /// Writes all lines that wait now, a batch at a time.
    fn write_what_waits(&mut self) {
        while let Ok(message) = self.lines.try_recv() {
            self.take(message);
            if self.batch.len() >= BATCH_BYTES {
                self.write_batch();
            }
        }
        self.write_batch();
    }

    /// Writes the batch; what cannot be written is given up, so that a full disk takes no memory.
    fn write_batch(&mut self) {
        if self.torn && !self.batch.is_empty() {
            self.batch.insert(0, b'\n');
        }
        let (written, result) = write_all(&mut *self.target, &self.batch);
        let (done, lost) = self.batch.split_at(written.min(self.batch.len()));
        if let Some(last) = done.last() {
            self.torn = *last != b'\n';
        }
        // A line that was begun counts as lost: its end is what is missing.
        let lines = lost.split_inclusive(|byte| *byte == b'\n').count();
        self.shared
            .failed_lines
            .fetch_add(lines as u64, Ordering::Relaxed);
        self.batch.clear();
        match (result, self.failing) {
            (Err(error), false) => {
                tracing::error!(%error, "the access log cannot be written; its lines are lost");
                self.failing = true;
            }
            (Ok(()), true) if written > 0 => {
                tracing::info!("the access log is written again");
                self.failing = false;
            }
            (Ok(()) | Err(_), _) => {}
        }
    }

    /// Goes on with the old file when the new one cannot be opened.
    fn reopen(&mut self) {
        let Some(path) = &self.path else {
            return;
        };
        match append(path) {
            Ok(file) => {
                self.target = Box::new(file);
                self.torn = false;
                tracing::info!(path = %path.display(), "the access log is open again");
            }
            Err(error) => {
                let path = path.display();
                tracing::error!(%path, %error, "the access log cannot be opened; the old file goes on");
            }
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    // Lines hold addresses of people: others have no business with them.
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
}

/// Writes as much as can be; how much that was, and what stopped it.
fn write_all(target: &mut dyn Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match target.write(rest) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(length) => written += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, target.flush())
}

#[cfg(test)]
mod tests;
