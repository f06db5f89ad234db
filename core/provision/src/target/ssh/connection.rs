//! The system's `ssh`, one connection for each machine that all commands share.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use lb_model::fleet::SshTarget;
use tempfile::TempDir;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, Command};

use super::error::SshError;
use super::quote::as_root;
use crate::program::Program;

/// The most that is read of what a machine says.
const ANSWER_BYTES_MAX: u64 = 32 << 20;

/// A machine that can be told to do something.
#[derive(Debug)]
pub(crate) struct Connection {
    /// What it is called in texts.
    host: String,
    /// The options of `ssh`, the destination last.
    options: Vec<String>,
    /// Holds the socket that all commands share, and the host key. Its name is short: the path of a
    /// socket has 108 bytes at most.
    folder: TempDir,
}

/// What a script reads from its standard input.
#[derive(Clone, Copy, Debug)]
pub(super) enum Input<'i> {
    Nothing,
    Text(&'i str),
    Program(&'i Program, &'i dyn Progress),
}

/// Hears how much of an upload is done.
pub(super) trait Progress: std::fmt::Debug + Send + Sync {
    fn sent(&self, bytes: u64);
}

impl Connection {
    /// Makes ready for a connection; nothing is connected yet.
    pub(crate) fn new(target: &SshTarget, base: &Path) -> Result<Self, SshError> {
        let SshTarget {
            host,
            port,
            user,
            identity_file,
            host_key,
        } = target;
        let local = |what: &str| {
            let what = what.to_owned();
            move |source| SshError::Local { what, source }
        };
        let folder = tempfile::Builder::new()
            .prefix("lbctl-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in("/tmp")
            .map_err(local("a temporary directory"))?;
        let socket = folder.path().join("%C");
        let mut options = vec![
            "-T".to_owned(),
            format!("-oControlPath={}", socket.display()),
        ];
        options.extend(FIXED.map(|option| format!("-o{option}")));
        if let Some(key) = host_key {
            let known = folder.path().join("known_hosts");
            // The name that the key is looked up by, whatever the machine is called by SSH's configuration.
            let line = format!("{NAME_OF_KEY} {key}\n");
            let written =
                fs::File::create(&known).and_then(|mut file| file.write_all(line.as_bytes()));
            written.map_err(local("the list of known hosts"))?;
            let kind = key.as_str().split(' ').next().unwrap_or_default();
            options.extend([
                format!("-oUserKnownHostsFile={}", known.display()),
                "-oGlobalKnownHostsFile=none".to_owned(),
                format!("-oHostKeyAlias={NAME_OF_KEY}"),
                format!("-oHostKeyAlgorithms={}", algorithms(kind)),
            ]);
        }
        if let Some(port) = port {
            options.push(format!("-p{port}"));
        }
        if let Some(user) = user {
            options.push(format!("-l{user}"));
        }
        if let Some(file) = identity_file {
            options.push(format!("-i{}", base.join(file).display()));
            options.push("-oIdentitiesOnly=yes".to_owned());
        }
        options.extend(["--".to_owned(), host.to_string()]);
        Ok(Self {
            host: host.to_string(),
            options,
            folder,
        })
    }

    /// Runs a script as root, and gives what it wrote to its standard output.
    pub(super) async fn script(
        &self,
        script: &str,
        args: &[&str],
        input: Input<'_>,
    ) -> Result<String, SshError> {
        let mut child = Command::new("ssh")
            .args(&self.options)
            .arg(as_root(script, args))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A Ctrl-C is for whoever provisions: the step that is under way is finished.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(SshError::Program)?;
        let (sent, (stdout, stderr)) = tokio::join!(send(child.stdin.take(), input), async {
            tokio::join!(text(child.stdout.take()), text(child.stderr.take()))
        });
        let status = child.wait().await.map_err(SshError::Program)?;
        if !status.success() {
            return Err(SshError::of(&self.host, status.code(), &stderr));
        }
        // A machine that took less than everything has said so with its exit code.
        sent?;
        Ok(stdout)
    }

    /// What the machine is called in texts.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Lets the connection go.
    pub(crate) async fn close(&self) {
        let mut command = Command::new("ssh");
        command.args(["-O", "exit"]).args(&self.options);
        let quiet = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // Without a connection there is nothing to let go.
        drop(quiet.status().await);
        drop(fs::remove_dir_all(self.folder.path()));
    }
}

/// What nobody may change: no questions, no unknown keys, one connection for all commands, and an end to
/// one that says nothing any more.
const FIXED: [&str; 9] = [
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "ControlMaster=auto",
    "ControlPersist=60",
    "ConnectTimeout=10",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "LogLevel=ERROR",
    "ClearAllForwardings=yes",
];

/// What the host key of a fleet's file is known by.
const NAME_OF_KEY: &str = "lbctl-machine";

/// The signatures that a key of this kind makes: a machine has several keys, and must show this one.
fn algorithms(kind: &str) -> &str {
    if kind == "ssh-rsa" {
        "rsa-sha2-512,rsa-sha2-256"
    } else {
        kind
    }
}

/// Gives a script what it reads, and closes its standard input.
async fn send(stdin: Option<ChildStdin>, input: Input<'_>) -> Result<(), SshError> {
    let Some(mut stdin) = stdin else {
        return Ok(());
    };
    let broken = |source| SshError::Local {
        what: "the standard input of `ssh`".to_owned(),
        source,
    };
    match input {
        Input::Nothing => Ok(()),
        Input::Text(text) => stdin.write_all(text.as_bytes()).await.map_err(broken),
        Input::Program(program, progress) => {
            let unreadable = |source| SshError::Local {
                what: format!("`{}`", program.path.display()),
                source,
            };
            let mut file = File::open(&program.path).await.map_err(unreadable)?;
            let mut buffer = vec![0; 1 << 17];
            let mut sent = 0;
            loop {
                let count = file.read(&mut buffer).await.map_err(unreadable)?;
                if count == 0 {
                    return Ok(());
                }
                let part = buffer.get(..count).unwrap_or_default();
                stdin.write_all(part).await.map_err(broken)?;
                sent += count as u64;
                progress.sent(sent);
            }
        }
    }
}

/// What a child writes, as far as it makes sense to read.
async fn text<R: tokio::io::AsyncRead + Unpin>(stream: Option<R>) -> String {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        // What was read before an error is all that there is to tell.
        drop(stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes).await);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
