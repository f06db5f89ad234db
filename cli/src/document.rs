//! Documents from files and from the standard input.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use lb_daemon::Digest;
use lb_model::fleet::{self, ValidFleet};
use lb_model::{Format, Problem, ValidConfig, problem};

use crate::report::{Exit, Explained};
use crate::screen::Screen;

/// The largest document that is read. The largest that makes sense is far smaller; a device or a
/// wrong file must not fill the memory.
const BYTES_MAX: u64 = 64 << 20;

/// The text of a document, and where it came from.
#[derive(Debug)]
pub(crate) struct Document {
    /// What to call it.
    pub(crate) name: String,
    text: String,
    format: Format,
}

/// Why a document could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DocumentError {
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{}` is larger than {} MiB", path.display(), BYTES_MAX >> 20)]
    TooLarge { path: PathBuf },
    #[error("`{}` is not UTF-8 text: byte {at} is wrong", path.display())]
    NotText { path: PathBuf, at: usize },
}

impl Explained for DocumentError {
    fn help(&self) -> Option<String> {
        match self {
            Self::Read { path, source } => read_help(path, source.kind()),
            Self::TooLarge { .. } => Some("see whether it is the right file".to_owned()),
            Self::NotText { .. } => Some("save it as UTF-8".to_owned()),
        }
    }

    fn exit(&self) -> Exit {
        Exit::Misuse
    }
}

fn read_help(path: &Path, kind: io::ErrorKind) -> Option<String> {
    let example = path.join("lb.toml");
    let path = path.display();
    if kind == io::ErrorKind::NotFound {
        let mend = "see whether the path is right; `lbctl demo` writes a document to begin with";
        Some(mend.to_owned())
    } else if kind == io::ErrorKind::PermissionDenied {
        Some(format!("see who may read it: ls -l {path}"))
    } else if kind == io::ErrorKind::IsADirectory {
        Some(format!("name a file in it, such as {}", example.display()))
    } else {
        None
    }
}

impl Document {
    /// Reads a document; `-` is the standard input.
    pub(crate) fn read(path: &Path) -> Result<Self, DocumentError> {
        let stdin = path.as_os_str() == "-";
        let mut bytes = Vec::new();
        let read = if stdin {
            io::stdin()
                .lock()
                .take(BYTES_MAX + 1)
                .read_to_end(&mut bytes)
        } else {
            File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes))
        };
        let path = || path.to_path_buf();
        read.map_err(|source| DocumentError::Read {
            path: path(),
            source,
        })?;
        if bytes.len() as u64 > BYTES_MAX {
            return Err(DocumentError::TooLarge { path: path() });
        }
        let text = String::from_utf8(bytes).map_err(|error| DocumentError::NotText {
            path: path(),
            at: error.utf8_error().valid_up_to(),
        })?;
        let format = if stdin && text.trim_start().starts_with('{') {
            Format::Json
        } else {
            Format::of_path(&path())
        };
        let name = if stdin {
            "standard input".to_owned()
        } else {
            path().display().to_string()
        };
        Ok(Self { name, text, format })
    }

    /// Whether it is not there at all.
    pub(crate) fn is_missing(error: &DocumentError) -> bool {
        matches!(error, DocumentError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// The digest of its text.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(self.text.as_bytes())
    }

    /// Checks the document.
    pub(crate) fn check(&self) -> Result<ValidConfig, Vec<Problem>> {
        lb_model::read(&self.text, self.format)
    }

    /// Checks the document of a fleet.
    pub(crate) fn check_fleet(&self) -> Result<ValidFleet, Vec<Problem>> {
        fleet::read(&self.text, self.format)
    }

    /// Checks a document that is about to be used, and tells what is wrong with it. Without a valid
    /// one there is nothing to go on with: the exit code is all that is left.
    pub(crate) fn check_for_use(&self, screen: &Screen) -> Result<ValidConfig, Exit> {
        let checked = self.check();
        match &checked {
            Ok(config) => self.tell(config.warnings(), screen),
            Err(problems) => self.tell(problems, screen),
        }
        checked.map_err(|_| Exit::Misuse)
    }

    /// Shows problems with the lines that they are about; warnings alone are notes.
    pub(crate) fn tell(&self, problems: &[Problem], screen: &Screen) {
        if problems.is_empty() {
            return;
        }
        let render = if screen.paint().is_on() {
            problem::render_ansi
        } else {
            problem::render
        };
        let mut text = render(problems, &self.name, Some(&self.text));
        if !text.ends_with('\n') {
            text.push('\n');
        }
        if problems.iter().any(Problem::is_error) {
            screen.error(&text);
        } else {
            screen.note(&text);
        }
    }
}
