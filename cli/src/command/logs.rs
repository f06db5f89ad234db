//! `lbctl logs`: the end of the access log, and what is added to it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lb_client::Address;
use lb_model::config::AccessLogOutput;

use crate::args::LogsArgs;
use crate::balancer::Balancer;
use crate::report::{Exit, Explained, Failure};
use crate::screen::Screen;
use crate::settings::Settings;

/// How often to look for new lines.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// The most that is read at a time, and so the most of the end of a log that is shown at once.
const READ_BYTES_MAX: u64 = 1 << 20;

/// Why there is no log to show.
#[derive(Debug, thiserror::Error)]
enum LogsError {
    #[error("this balancer writes no access log")]
    NoLog,
    #[error("the access log goes to the standard output of the balancer")]
    ToStdout,
    #[error("the access log is a file on the machine of the balancer, `{}`", _0.display())]
    Elsewhere(PathBuf),
    #[error("cannot read `{}`", _0.display())]
    Read(PathBuf, #[source] io::Error),
}

impl Explained for LogsError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::NoLog => "write one with `telemetry.access_log` in the document".to_owned(),
            Self::ToStdout => "see whoever started it: journalctl -u lbctl".to_owned(),
            Self::Elsewhere(_) => "run `lbctl logs` there".to_owned(),
            Self::Read(path, _) => format!(
                "it is a file on the balancer's machine; see who may read it: ls -l {}",
                path.display()
            ),
        })
    }

    fn exit(&self) -> Exit {
        Exit::Failed
    }
}

pub(super) fn run(args: &LogsArgs, settings: &Settings, screen: &Screen) -> Result<Exit, Failure> {
    let balancer = Balancer::of(settings)?;
    let config = balancer.wait(balancer.client.config())?.value;
    let log = config.telemetry.access_log.ok_or(LogsError::NoLog)?;
    let path = match log.output {
        AccessLogOutput::File(path) => path,
        AccessLogOutput::Stdout => return Err(LogsError::ToStdout.into()),
    };
    if let Address::Tls { .. } = balancer.client.address() {
        return Err(LogsError::Elsewhere(path).into());
    }
    let unreadable = |error| LogsError::Read(path.clone(), error);
    let mut tail = Tail::open(&path).map_err(unreadable)?;
    let end = tail.last_lines(args.lines).map_err(unreadable)?;
    let mut wanted = screen.stream(&end)? && args.follow;
    while wanted {
        let added = tail.added().map_err(unreadable)?;
        if added.is_empty() {
            std::thread::sleep(LOOK_INTERVAL);
        } else {
            wanted = screen.stream(&added)?;
        }
    }
    Ok(Exit::Done)
}

/// A file that grows, and that is replaced when it is rotated.
struct Tail {
    path: PathBuf,
    file: File,
    /// How far it was read.
    offset: u64,
}

impl Tail {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_path_buf(),
            file: File::open(path)?,
            offset: 0,
        })
    }

    /// The last lines that are whole.
    fn last_lines(&mut self, count: usize) -> io::Result<String> {
        let length = self.file.metadata()?.len();
        self.offset = length.saturating_sub(READ_BYTES_MAX);
        let from_middle = self.offset > 0;
        let text = self.read()?;
        let mut lines: Vec<&str> = text.lines().collect();
        if from_middle && !lines.is_empty() {
            lines.remove(0);
        }
        let rest = lines.split_off(lines.len().saturating_sub(count));
        Ok(rest.iter().flat_map(|line| [line, "\n"]).collect())
    }

    /// What was added since the last look; of a new file, its beginning.
    fn added(&mut self) -> io::Result<String> {
        let text = self.read()?;
        if !text.is_empty() {
            return Ok(text);
        }
        // The old file has been read to its end, so that nothing is missed.
        let open = self.file.metadata()?;
        if let Ok(named) = std::fs::metadata(&self.path)
            && (named.ino(), named.dev()) != (open.ino(), open.dev())
        {
            *self = Self::open(&self.path)?;
        } else if open.len() < self.offset {
            self.offset = 0;
        }
        self.read()
    }

    /// Whole lines from where reading ended.
    fn read(&mut self) -> io::Result<String> {
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(self.offset))?;
        let mut part = (&self.file).take(READ_BYTES_MAX);
        part.read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n');
        bytes.truncate(whole.map_or(0, |last| last + 1));
        self.offset += bytes.len() as u64;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn lines_are_shown_whole_and_rotation_loses_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let mut log = File::create(&path).unwrap();
        log.write_all(b"1\n2\n3\npart").unwrap();
        let mut tail = Tail::open(&path).unwrap();
        assert_eq!(tail.last_lines(2).unwrap(), "2\n3\n");
        assert_eq!(tail.added().unwrap(), "");
        log.write_all(b" of 4\n").unwrap();
        assert_eq!(tail.added().unwrap(), "part of 4\n");
        log.write_all(b"5\n").unwrap();
        std::fs::rename(&path, folder.path().join("access.log.1")).unwrap();
        std::fs::write(&path, "6\n").unwrap();
        assert_eq!(tail.added().unwrap(), "5\n");
        assert_eq!(tail.added().unwrap(), "6\n");
        std::fs::write(&path, "").unwrap();
        assert_eq!(tail.added().unwrap(), "");
        std::fs::write(&path, "7\n").unwrap();
        assert_eq!(tail.added().unwrap(), "7\n", "a file that was emptied");
    }
}
