//! Programs of operators that make TXT records.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::error::{AcmeError, printable};

/// How long a program may take: name servers need time to tell each other.
const HOOK_MAX: Duration = Duration::from_mins(5);

/// Has a program make or remove a record.
pub(super) async fn run(
    program: &Path,
    what: &'static str,
    name: &str,
    value: &str,
) -> Result<(), AcmeError> {
    let failed = |reason: String| AcmeError::Hook {
        program: format!("`{}`", program.display()),
        what,
        reason,
    };
    let mut command = Command::new(program);
    command
        .args([what, name, value])
        // Nothing of what the balancer was started with is its business.
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let output = match tokio::time::timeout(HOOK_MAX, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Err(_) => {
            return Err(failed(format!(
                "it took more than {} s",
                HOOK_MAX.as_secs()
            )));
        }
    };
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = printable(said.trim());
    let status = output.status;
    Err(failed(if said.is_empty() {
        status.to_string()
    } else {
        format!("{status}: {said}")
    }))
}
