//! `lbctl man`: the manual, from the same description as `--help`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_mangen::Man;

use crate::args::{Args, ManArgs};
use crate::report::{Exit, Explained, Failure};
use crate::screen::Screen;

#[cfg(test)]
mod reference;

/// Why the manual could not be written.
#[derive(Debug, thiserror::Error)]
enum ManError {
    #[error("cannot make the man page `{0}`")]
    Render(String, #[source] io::Error),
    #[error("cannot write `{}`", _0.display())]
    Write(PathBuf, #[source] io::Error),
}

impl Explained for ManError {
    fn help(&self) -> Option<String> {
        match self {
            Self::Render(..) => None,
            Self::Write(..) => Some("name a directory that you may write to".to_owned()),
        }
    }

    fn exit(&self) -> Exit {
        Exit::Failed
    }
}

pub(super) fn run(args: &ManArgs, screen: &Screen) -> Result<Exit, Failure> {
    let mut command = Args::command();
    command.build();
    let Some(dir) = &args.dir else {
        let page = render("lbctl", command)?;
        screen.result(&String::from_utf8_lossy(&page))?;
        return Ok(Exit::Done);
    };
    fs::create_dir_all(dir).map_err(|error| ManError::Write(dir.clone(), error))?;
    write_pages(dir, "lbctl", &command)?;
    screen.note(&format!("wrote the man pages to {}\n", dir.display()));
    Ok(Exit::Done)
}

/// One page for a command and one for each below it, named as git names its own.
fn write_pages(dir: &Path, name: &str, command: &clap::Command) -> Result<(), ManError> {
    write(dir, name, &render(name, command.clone())?)?;
    let below = command.get_subcommands();
    for command in below.filter(|c| c.get_name() != "help" && !c.is_hide_set()) {
        write_pages(dir, &format!("{name}-{}", command.get_name()), command)?;
    }
    Ok(())
}

fn render(name: &str, command: clap::Command) -> Result<Vec<u8>, ManError> {
    let mut page = Vec::new();
    Man::new(command)
        .render(&mut page)
        .map_err(|error| ManError::Render(name.to_owned(), error))?;
    Ok(page)
}

fn write(dir: &Path, name: &str, page: &[u8]) -> Result<(), ManError> {
    let path = dir.join(format!("{name}.1"));
    fs::write(&path, page).map_err(|error| ManError::Write(path, error))
}
