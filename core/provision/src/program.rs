//! The program that balancers run: a file, known by its digest.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The largest file that is taken for a program.
const BYTES_MAX: u64 = 1 << 30;

/// A program that can be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The file.
    pub path: PathBuf,
    /// The SHA-256 of it, in hexadecimal digits.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
    /// What machines it is for, as `uname -m` calls them.
    pub machine: &'static str,
}

/// Why a file is no program that a balancer could run.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It cannot be read.
    #[error("cannot read the program `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not for Linux, or for a machine that nobody knows here.
    #[error("`{}` is not a program for Linux on x86-64 or ARM64", .0.display())]
    NotElf(PathBuf),
}

impl ProgramError {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::Read { path, .. } => {
                format!(
                    "see whether it is there, and who may read it: ls -l {}",
                    path.display()
                )
            }
            Self::NotElf(_) => "name the `lbctl` that the balancers shall run".to_owned(),
        }
    }
}

impl Program {
    /// The program in this file.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn read(path: &Path) -> Result<Self, ProgramError> {
        let failed = |source| ProgramError::Read {
            path: path.to_owned(),
            source,
        };
        let mut file = File::open(path).map_err(failed)?.take(BYTES_MAX);
        let mut head = [0; 20];
        let mut digest = Sha256::new();
        match file.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(ProgramError::NotElf(path.to_owned()));
            }
            read => read.map_err(failed)?,
        }
        let machine = machine(&head).ok_or_else(|| ProgramError::NotElf(path.to_owned()))?;
        digest.update(head);
        let mut buffer = vec![0; 1 << 16];
        let mut bytes = head.len() as u64;
        loop {
            let count = file.read(&mut buffer).map_err(failed)?;
            if count == 0 {
                break;
            }
            bytes += count as u64;
            digest.update(buffer.get(..count).unwrap_or_default());
        }
        Ok(Self {
            path: path.to_owned(),
            sha256: hex(&digest.finalize()),
            bytes,
            machine,
        })
    }

    /// What it is called on a machine: the first sixteen digits of its digest.
    pub fn release(&self) -> String {
        self.sha256.chars().take(16).collect()
    }
}

/// The machine that an ELF file with 64 bits and the little end first is for (System V ABI, ELF
/// header).
fn machine(head: &[u8; 20]) -> Option<&'static str> {
    let [0x7f, b'E', b'L', b'F', 2, 1, .., low, high] = head else {
        return None;
    };
    match u16::from_le_bytes([*low, *high]) {
        62 => Some("x86_64"),
        183 => Some("aarch64"),
        _ => None,
    }
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    let digits = bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    digits.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_that_runs_is_one_and_a_text_is_none() {
        let own = std::env::current_exe().unwrap();
        let program = Program::read(&own).unwrap();
        assert_eq!(program.machine, std::env::consts::ARCH);
        assert_eq!(program.bytes, std::fs::metadata(&own).unwrap().len());
        assert_eq!(program.release().len(), 16);
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("lbctl");
        for content in ["", "#!/bin/sh\nexit 0\n# and more than a head\n"] {
            std::fs::write(&text, content).unwrap();
            assert!(matches!(Program::read(&text), Err(ProgramError::NotElf(_))));
        }
        assert_eq!(hex(&[0, 255, 0x1a]), "00ff1a");
    }
}
