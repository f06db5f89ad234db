//! Programs that tests start: peers that serve, and clients that run to their end.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

use crate::{eventually, within};

/// What a program left when it ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Finished {
    /// The exit code; a program that a signal ended has none.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    /// The output of a program that must have done its work.
    pub fn expect_success(self, what: &str) -> String {
        let Self {
            status,
            stdout,
            stderr,
        } = self;
        assert!(status.success(), "{what}: {status}\n{stdout}\n{stderr}");
        stdout
    }
}

/// Runs a program to its end, for at most a minute.
pub async fn run(program: impl AsRef<Path>, args: &[&str]) -> Finished {
    run_within(
        Duration::from_mins(1),
        Command::new(program.as_ref()).args(args),
    )
    .await
}

/// Runs this command to its end.
pub async fn run_within(limit: Duration, command: &mut Command) -> Finished {
    let shown = format!("{:?}", command.as_std());
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = within(&shown, limit, output).await;
    let output = output.unwrap_or_else(|e| panic!("start {shown}: {e}"));
    Finished {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A program that runs beside the test; it is killed when the test lets go of it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: Option<Lines<BufReader<ChildStdout>>>,
    folder: TempDir,
    shown: String,
}

impl Process {
    /// Starts a program; what it writes to standard error is printed if the test fails.
    pub fn start(command: &mut Command) -> Self {
        let shown = format!("{:?}", command.as_std());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = std::fs::File::create(folder.path().join("stderr")).expect("a file for stderr");
        let command = command
            // What it leaves there when it is killed goes with the rest.
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = command
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|e| panic!("start {shown}: {e}; tests/run installs what is missing"));
        let stdout = child.stdout.take().expect("its standard output is a pipe");
        let stdout = Some(BufReader::new(stdout).lines());
        Self {
            child,
            stdout,
            folder,
            shown,
        }
    }

    /// The next line of its standard output, or nothing when it has closed it.
    ///
    /// A program has a minute for it: Python reads its libraries from a cold disk beside other tests.
    pub async fn line(&mut self) -> Option<String> {
        let what = format!("a line of {}", self.shown);
        let lines = self.stdout.as_mut().expect("nobody collects the lines");
        within(&what, Duration::from_mins(1), lines.next_line())
            .await
            .expect("standard output is text")
    }

    /// Reads its further lines from now on, so that it never waits for a reader.
    pub fn collect_lines(&mut self) -> Arc<Mutex<Vec<String>>> {
        let collected = Arc::<Mutex<Vec<String>>>::default();
        let mut lines = self.stdout.take().expect("nobody collects the lines");
        let sink = Arc::clone(&collected);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                sink.lock().expect("not poisoned").push(line);
            }
        });
        collected
    }

    /// Waits until somebody accepts connections at this address.
    pub async fn accepts(&mut self, address: SocketAddr) {
        let shown = self.shown.clone();
        eventually(
            &format!("{shown} accepts connections at {address}"),
            async || {
                if let Ok(Some(status)) = self.child.try_wait() {
                    panic!("{shown} ended: {status}\n{}", self.stderr());
                }
                TcpStream::connect(address).await.ok().map(drop)
            },
        )
        .await;
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default()
    }

    /// Its process id, while it runs.
    pub fn id(&self) -> Pid {
        let id = self
            .child
            .id()
            .expect("the process has not been waited for");
        Pid::from_raw(id.cast_signed()).expect("a process id is not 0")
    }

    /// Whether its end has not been waited for.
    pub fn is_running(&self) -> bool {
        self.child.id().is_some()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.id(), signal).expect("the process is ours");
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("the process is ours");
    }

    /// Waits for its end.
    pub async fn ended(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("{} ends", self.shown);
        within(&what, limit, self.child.wait())
            .await
            .expect("the process is ours")
    }
}

/// Resident memory of a process in bytes.
pub(crate) fn memory(process: Pid) -> u64 {
    let path = format!("/proc/{process}/status");
    let status = std::fs::read_to_string(path).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.expect("the kernel tells resident memory in kB") * 1024
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            note(&format!(
                "--- standard error of {}\n{}---",
                self.shown,
                self.stderr()
            ));
        }
    }
}

/// Tells whoever runs the tests something.
#[expect(
    clippy::print_stderr,
    reason = "the test runner shows it with the test"
)]
pub fn note(text: &str) {
    eprintln!("{text}");
}

/// A port for a program that cannot take port 0 and tell. It lies below the range from which the
/// system serves everybody else, so that nobody takes it before the program does, or while the
/// program is down.
pub fn free_port() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 10_000).expect("less than 10,000");
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + (start + step % 10_000) % 10_000;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
