//! Orders for QEMU, over the QEMU Machine Protocol: a line of JSON there, a line of JSON back, and events
//! in between (QEMU's docs/interop/qmp-spec).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use super::error::VmError;

/// The socket in the folder of a machine.
pub(super) const SOCKET: &str = "qmp";

/// For how long an answer is waited for.
const ANSWER: Duration = Duration::from_secs(10);

/// Between two looks whether it has ended.
const PAUSE: Duration = Duration::from_millis(20);

/// The longest line that is read.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// A machine that takes orders.
#[derive(Debug)]
pub(super) struct Qmp {
    stream: BufReader<UnixStream>,
}

impl Qmp {
    /// The machine with this folder; nothing when it does not run.
    pub(super) async fn of(folder: &Path) -> Result<Option<Self>, VmError> {
        let stream = match connect(folder).await {
            Ok(stream) => stream,
            Err(error) if is_stopped(&error) => return Ok(None),
            Err(error) => return Err(failed(&error)),
        };
        let mut qmp = Self {
            stream: BufReader::new(stream),
        };
        let greeted = timeout(ANSWER, qmp.line()).await.map_err(|_| silent())?;
        // One that just ends hangs up.
        if !greeted.is_ok_and(|greeting| greeting["QMP"].is_object()) {
            return Ok(None);
        }
        qmp.execute("qmp_capabilities", &json!({})).await?;
        Ok(Some(qmp))
    }

    /// Gives an order, and waits for what comes back.
    pub(super) async fn execute(
        &mut self,
        order: &str,
        arguments: &Value,
    ) -> Result<Value, VmError> {
        timeout(ANSWER, self.exchange(order, arguments))
            .await
            .map_err(|_| silent())?
    }

    async fn exchange(&mut self, order: &str, arguments: &Value) -> Result<Value, VmError> {
        let line = json!({ "execute": order, "arguments": arguments }).to_string() + "\n";
        let sent = self.stream.get_mut().write_all(line.as_bytes()).await;
        sent.map_err(|error| failed(&error))?;
        loop {
            let mut answer = self.line().await.map_err(|error| failed(&error))?;
            if let Some(error) = answer.get("error") {
                let told = format!("QEMU refuses {order}: {}", error["desc"]);
                return Err(VmError::Control { told });
            }
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
        }
    }

    async fn line(&mut self) -> io::Result<Value> {
        let mut line = Vec::new();
        let mut limited = (&mut self.stream).take(LINE_BYTES_MAX);
        if limited.read_until(b'\n', &mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_slice(&line)?)
    }

    /// Waits until QEMU has ended: it hangs up first, and lets its disks go a moment later.
    pub(super) async fn ended(mut self) {
        let id = self
            .stream
            .get_ref()
            .peer_cred()
            .ok()
            .and_then(|peer| peer.pid());
        while self.line().await.is_ok() {}
        let Some(id) = id else { return };
        // One that has ended and was not waited for has no directory any more.
        let directory = format!("/proc/{id}/cwd");
        while std::fs::read_link(&directory).is_ok() {
            sleep(PAUSE).await;
        }
    }
}

/// The path of a socket has at most 107 bytes, whereas that of a folder may have many more: the kernel is
/// given a short one, by way of a descriptor.
async fn connect(folder: &Path) -> io::Result<UnixStream> {
    let folder = File::open(folder)?;
    let path = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
    UnixStream::connect(path).await
}

fn is_stopped(error: &io::Error) -> bool {
    [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused].contains(&error.kind())
}

fn failed(error: &io::Error) -> VmError {
    VmError::Control {
        told: error.to_string(),
    }
}

fn silent() -> VmError {
    VmError::Control {
        told: format!("QEMU does not answer within {} s", ANSWER.as_secs()),
    }
}
