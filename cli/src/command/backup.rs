//! `lbctl backup` and `restore`: what a balancer remembers, as one file.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use lb_model::api::{AccessCopy, ApplyRequest, Source, Wanted};
use lb_model::backup::{self, About, Backup, BackupError};
use serde::Serialize;

use super::change::{agree, ask, ask_for_plan, tell_applied, told};
use crate::args::{BackupArgs, RestoreArgs};
use crate::balancer::Balancer;
use crate::output;
use crate::report::{Exit, Explained, Failure};
use crate::screen::Screen;
use crate::settings::Settings;

/// The largest file that is read; a backup is at most half as large.
const BYTES_MAX: u64 = 64 << 20;

/// Why there is no backup, or why it is not taken.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("cannot write `{}`", _0.display())]
    Write(PathBuf, #[source] io::Error),
    #[error("cannot read `{}`", _0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error("`{}` cannot be restored", _0.display())]
    NotABackup(PathBuf, #[source] BackupError),
    #[error("what the balancer sent cannot be relied on; nothing was written")]
    Sent(#[source] BackupError),
}

impl Explained for FileError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Write(path, _) => {
                let folder = path.parent().unwrap_or(path).display();
                format!("see who may write there, and whether there is room: ls -ld {folder}")
            }
            Self::Read(path, _) => format!("see who may read it: ls -l {}", path.display()),
            Self::NotABackup(_, error) | Self::Sent(error) => error.help().to_owned(),
        })
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Read(..) | Self::NotABackup(..) => Exit::Misuse,
            Self::Write(..) | Self::Sent(_) => Exit::Failed,
        }
    }
}

/// What was written.
#[derive(Debug, Serialize)]
struct Written<'a> {
    file: &'a Path,
    bytes: usize,
    about: &'a About,
    revisions: usize,
    users: usize,
    tokens: usize,
    audit_entries: usize,
}

pub(super) fn backup(
    args: &BackupArgs,
    settings: &Settings,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let balancer = Balancer::of(settings)?;
    let bytes = balancer.wait(balancer.client.backup())?;
    let whole = backup::read(&bytes).map_err(FileError::Sent)?;
    write(&args.file, &bytes).map_err(|error| FileError::Write(args.file.clone(), error))?;
    let written = Written {
        file: &args.file,
        bytes: bytes.len(),
        about: &whole.about,
        revisions: whole.revisions.len(),
        users: whole.access.users.len(),
        tokens: whole.access.tokens.len(),
        audit_entries: whole.audit.len(),
    };
    output::print(screen, settings.output, &written, |written| {
        format!(
            "{}: revision {} of {} with {} earlier ones, {} users, {} tokens\n",
            written.file.display(),
            written.about.revision,
            written.about.balancer,
            written.revisions - 1,
            written.users,
            written.tokens
        )
    })?;
    Ok(Exit::Done)
}

/// Writes a file for its owner alone, in the place of one that is there: all of it or nothing.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

pub(super) fn restore(
    args: &RestoreArgs,
    settings: &Settings,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let backup = read(&args.file)?;
    let About {
        balancer: host,
        version,
        made_at,
        revision,
    } = &backup.about;
    screen.note(&format!(
        "revision {revision} of {host}, kept by lbctl {version} at {made_at}\n"
    ));
    let balancer = Balancer::of(settings)?;
    let name = args.file.display().to_string();
    let document = backup.document().cloned().unwrap_or_default();
    let wanted = Wanted::Document(document);
    let planned = match ask_for_plan(&balancer, wanted.clone()) {
        Ok(planned) => planned,
        Err(error) => return told(error, &name, screen),
    };
    if args.access {
        tell_access(&balancer, &backup.access, screen)?;
    }
    agree(&planned.plan, &args.manner, screen)?;
    if args.access && planned.plan.is_empty() && !args.manner.yes {
        ask("Replace users and tokens?", screen)?;
    }
    let comment = args.manner.comment.clone();
    let request = ApplyRequest {
        change: wanted,
        parent: Some(planned.parent),
        comment: comment.or_else(|| Some(format!("restored: revision {revision} of {host}"))),
        confirm: args.manner.confirm,
        source: Source::Cli,
    };
    let applied = match balancer.wait(balancer.client.apply(&request)) {
        Ok(applied) => applied,
        Err(error) => return told(error, &name, screen),
    };
    if args.access {
        // Last: the token of this very call may end with it.
        balancer.wait(balancer.client.put_access(&backup.access))?;
    }
    tell_applied(&applied, settings, screen)
}

fn read(path: &Path) -> Result<Backup, FileError> {
    let failed = |error| FileError::Read(path.to_owned(), error);
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    backup::read(&bytes).map_err(|error| FileError::NotABackup(path.to_owned(), error))
}

/// Tells whose tokens end, and whose are good again.
fn tell_access(balancer: &Balancer, copy: &AccessCopy, screen: &Screen) -> Result<(), Failure> {
    let now = balancer.wait(balancer.client.tokens())?;
    let mut text = String::new();
    let mut lines = |sign: char, what: &str, names: Vec<String>| {
        if !names.is_empty() {
            let names = names.join(", ");
            writeln!(text, "{sign} {what}: {names}").expect("a String takes every write");
        }
    };
    let had = |name: &lb_model::value::Name| now.iter().any(|token| token.name == *name);
    let kept =
        |name: &lb_model::value::Name| copy.tokens.iter().any(|kept| kept.token.name == *name);
    let ended = now.iter().filter(|token| !kept(&token.name));
    lines(
        '-',
        "tokens that end",
        ended.map(|t| t.name.to_string()).collect(),
    );
    let again = copy.tokens.iter().filter(|kept| !had(&kept.token.name));
    lines(
        '+',
        "tokens that are good again",
        again.map(|k| k.token.name.to_string()).collect(),
    );
    screen.note(&text);
    Ok(())
}
