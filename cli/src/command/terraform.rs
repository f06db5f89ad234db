//! `lbctl terraform install`: the provider where Terraform finds it.

use std::env::consts::{ARCH, OS};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

use crate::args::{TerraformCommand, TerraformInstallArgs};
use crate::output;
use crate::report::{Exit, Explained, Failure};
use crate::screen::Screen;
use crate::settings::Settings;

/// The name of the provider's program.
const PROGRAM: &str = "terraform-provider-lbctl";

/// Where the provider would be if it were in Terraform's registry: what `lbctl/lbctl` means.
const SOURCE: &str = "registry.terraform.io/lbctl/lbctl";

/// Where Terraform looks for providers of a user before it asks a registry, below the home directory.
const MIRROR: &str = ".terraform.d/plugins";

/// What was installed.
#[derive(Debug, Serialize)]
struct Installed {
    source: &'static str,
    version: String,
    file: PathBuf,
}

#[derive(Debug, thiserror::Error)]
enum InstallError {
    #[error("there is no provider at `{}`", .0.display())]
    Missing(PathBuf),
    #[error("`{}` is not the provider", .0.display())]
    NotIt(PathBuf, #[source] Option<io::Error>),
    #[error("nobody knows where your home directory is")]
    Homeless,
    #[error("`{}` cannot be written", .0.display())]
    Write(PathBuf, #[source] io::Error),
}

impl Explained for InstallError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Missing(_) | Self::NotIt(..) => format!(
                "name it with `--provider FILE`; from the sources it is built with `cargo build --release -p {PROGRAM}`"
            ),
            Self::Homeless => "name the mirror with `--dir DIR`".to_owned(),
            Self::Write(path, _) => format!("see who may write there: ls -ld {}", path.display()),
        })
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Missing(_) | Self::NotIt(..) | Self::Homeless => Exit::Misuse,
            Self::Write(..) => Exit::Failed,
        }
    }
}

pub(super) fn run(
    command: &TerraformCommand,
    settings: &Settings,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let TerraformCommand::Install(args) = command;
    let installed = install(args)?;
    let paint = screen.paint_stdout();
    output::print(screen, settings.output, &installed, |installed| {
        let Installed { version, file, .. } = installed;
        let done = paint.good(format!("provider lbctl {version} is in {}", file.display()));
        format!(
            "{done}\n\nA configuration asks for it so, and `terraform init` finds it:\n\n\
             terraform {{\n  required_providers {{\n    lbctl = {{\n      source  = \"lbctl/lbctl\"\n      \
             version = \"{version}\"\n    }}\n  }}\n}}\n"
        )
    })?;
    if args.dir.is_some() {
        screen.note(
            "Terraform looks into `--dir` by itself only where it is one of its own places; elsewhere, \
             `provider_installation { filesystem_mirror { path = … } }` in ~/.terraformrc names it",
        );
    }
    Ok(Exit::Done)
}

fn install(args: &TerraformInstallArgs) -> Result<Installed, InstallError> {
    let provider = match &args.provider {
        Some(path) => path.clone(),
        None => beside(),
    };
    if !provider.is_file() {
        return Err(InstallError::Missing(provider));
    }
    let version = version(&provider)?;
    let mirror = match &args.dir {
        Some(dir) => dir.clone(),
        None => std::env::home_dir()
            .filter(|home| !home.as_os_str().is_empty())
            .ok_or(InstallError::Homeless)?
            .join(MIRROR),
    };
    let folder = mirror.join(SOURCE).join(&version).join(platform());
    let file = folder.join(format!("{PROGRAM}_v{version}"));
    let failed = |source| InstallError::Write(file.clone(), source);
    std::fs::create_dir_all(&folder).map_err(failed)?;
    // A run of Terraform that uses the former file goes on with it.
    let new = folder.join(format!(".{PROGRAM}.new"));
    std::fs::copy(&provider, &new).map_err(failed)?;
    std::fs::rename(&new, &file).map_err(failed)?;
    Ok(Installed {
        source: SOURCE,
        version,
        file,
    })
}

/// The provider beside this program.
fn beside() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.with_file_name(PROGRAM)
}

/// The version that the provider says it is.
fn version(provider: &Path) -> Result<String, InstallError> {
    let not_it = |source| InstallError::NotIt(provider.to_owned(), source);
    let said = Command::new(provider).arg("--version").output();
    let said = said.map_err(|error| not_it(Some(error)))?;
    let text = String::from_utf8_lossy(&said.stdout);
    let version = text.trim().strip_prefix(PROGRAM).map(str::trim);
    let legal = |version: &&str| {
        let part = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
        version.split(['.', '-']).all(part)
    };
    version
        .filter(legal)
        .map(str::to_owned)
        .ok_or_else(|| not_it(None))
}

/// This machine in Terraform's words.
fn platform() -> String {
    let arch = match ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{OS}_{arch}")
}
