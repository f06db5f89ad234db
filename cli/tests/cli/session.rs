//! A folder to work in, and the program in it.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A document that is valid and listens nowhere in particular.
pub(crate) const DOCUMENT: &str = r#"
[virtual_services.shop]
address = "127.0.0.1:0"
pool = "web"

[pools.web]
health_check = {}

[pools.web.servers]
iis1 = { address = "127.0.0.1:9" }
"#;

/// A folder to work in.
pub(crate) struct Session {
    folder: TempDir,
}

impl Session {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A folder that holds a valid document.
    pub(crate) fn with_document() -> Self {
        Self::new().file("lb.toml", DOCUMENT)
    }

    /// Writes a file.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.path(name), text).unwrap();
        self
    }

    /// Where a file of the folder is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program, without the settings of whoever runs the tests.
    pub(crate) fn lbctl(&self, args: &[&str]) -> Command {
        self.isolated(Command::new(env!("CARGO_BIN_EXE_lbctl")), args)
    }

    /// The program under a shell that has prepared something for it.
    pub(crate) fn lbctl_after(&self, preparation: &str, args: &[&str]) -> Command {
        let mut shell = Command::new("sh");
        shell.arg("-c");
        shell.arg(format!("{preparation}; exec \"$0\" \"$@\""));
        shell.arg(env!("CARGO_BIN_EXE_lbctl"));
        self.isolated(shell, args)
    }

    fn isolated(&self, mut command: Command, args: &[&str]) -> Command {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("LBCTL_") {
                command.env_remove(name);
            }
        }
        command.env_remove("COLUMNS").env_remove("NO_COLOR");
        command.env("LBCTL_SETTINGS", "/dev/null");
        command.current_dir(self.folder.path()).args(args);
        command.stdin(Stdio::null());
        command
    }

    /// What the program prints and how it ends, as one text.
    pub(crate) fn transcript(&self, args: &[&str]) -> String {
        self.show(&self.lbctl(args).output().unwrap())
    }

    /// The same for a program that reads this.
    pub(crate) fn transcript_of_input(&self, args: &[&str], input: &str) -> String {
        let mut command = self.lbctl(args);
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        self.show(&child.wait_with_output().unwrap())
    }

    /// An end of the program as one text.
    pub(crate) fn show(&self, output: &Output) -> String {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let shown = format!(
            "exit {}\n--- stdout\n{}--- stderr\n{}",
            output.status.code().unwrap_or(-1),
            text(&output.stdout),
            text(&output.stderr)
        );
        shown.replace(&self.folder.path().display().to_string(), "FOLDER")
    }

    /// Starts the program and waits for the JSON that it prints when it is ready.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let mut command = self.lbctl(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        let ready = loop {
            let read = stdout.read_line(&mut text).unwrap();
            if let Ok(ready) = serde_json::from_str(&text) {
                break ready;
            }
            assert!(read > 0, "it ended: {:?}", child.wait_with_output());
        };
        Running {
            child,
            stdout,
            ready,
        }
    }
}

/// A program that runs; it is killed when the test lets go of it.
pub(crate) struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub(crate) ready: serde_json::Value,
}

impl Running {
    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = Pid::from_child(&self.child);
        kill_process(id, signal).unwrap();
    }

    /// The next line of the standard output.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    /// Waits for the end; how it was, and what it wrote to the standard error.
    pub(crate) fn ended(mut self) -> (ExitStatus, String) {
        let mut stderr = String::new();
        let mut pipe = self.child.stderr.take().unwrap();
        std::io::Read::read_to_string(&mut pipe, &mut stderr).unwrap();
        (self.child.wait().unwrap(), stderr)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Sends a request to `http://ADDRESS/PATH` and gives the whole answer.
pub(crate) fn get(url: &str, fields: &[&str]) -> String {
    let rest = url.strip_prefix("http://").unwrap();
    let (address, path) = rest.split_once('/').unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let request = format!("GET /{path} HTTP/1.1");
    let host = format!("Host: {address}");
    let head = [&[&*request, &*host, "Connection: close"], fields, &["", ""]].concat();
    let head = head.join("\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    answer
}
