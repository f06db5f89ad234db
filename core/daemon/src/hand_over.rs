//! What a worker leaves to its successor: a file in the state directory, written when nobody changes the
//! state any more and taken away by whoever starts next.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use lb_model::api::Timestamp;
use lb_proxy::Memory;

const FILE: &str = "hand-over";

/// What the file begins with. Another version of the program that keeps it otherwise has another one,
/// and forgets.
const FORMAT: &[u8] = b"lbctl hand-over 2\n";

/// What is older is of a worker whose successor did not come.
const AGE_MAX: Duration = Duration::from_mins(2);

/// Leaves this to the successor. Without it sessions by address or by cookies of the servers begin
/// anew: no reason not to go on.
pub(crate) fn leave(state_dir: &Path, memory: &Memory) {
    let write = || -> io::Result<()> {
        let left = (lb_control::now(), memory);
        let bytes = postcard::to_allocvec(&left).map_err(io::Error::other)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(state_dir.join(FILE))?;
        file.write_all(FORMAT)?;
        file.write_all(&bytes)
    };
    if let Err(error) = write() {
        tracing::warn!(%error, "tables of persistence are not handed over");
        forget(state_dir);
    }
}

/// What a predecessor has left, once.
pub(crate) fn take(state_dir: &Path) -> Memory {
    let read = fs::read(state_dir.join(FILE));
    forget(state_dir);
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(%error, "what a former process has left cannot be read");
            }
            return Memory::default();
        }
    };
    let decoded = bytes.strip_prefix(FORMAT).map(postcard::from_bytes);
    let Some(Ok((left_at, memory))) = decoded else {
        tracing::warn!(
            "what a former process has left is of another form; sessions by address or by cookies of the servers begin anew"
        );
        return Memory::default();
    };
    let left_at: Timestamp = left_at;
    let age = lb_control::now()
        .unix_millis()
        .abs_diff(left_at.unix_millis());
    if Duration::from_millis(age) > AGE_MAX {
        return Memory::default();
    }
    memory
}

/// Nobody shall take what was left.
pub(crate) fn forget(state_dir: &Path) {
    if let Err(error) = fs::remove_file(state_dir.join(FILE))
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "what was left to a successor cannot be removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_or_of_another_version_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        leave(folder.path(), &Memory::default());
        let whole = fs::read(&path).unwrap();
        assert_eq!(take(folder.path()), Memory::default());
        assert!(!path.exists(), "it is taken once");
        for bytes in [&whole[..whole.len() - 1], b"lbctl hand-over 3\nxyz", b""] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(take(folder.path()), Memory::default());
            assert!(!path.exists());
        }
    }
}
