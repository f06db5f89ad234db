//! `lbctl run`: the balancer, until a signal tells it to stop.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lb_daemon::{
    BIND, Daemon, DocumentFile, Ended, LinkError, Options, Reread, StartError, SuperviseError,
    Supervised, SupervisorOptions, Taken, file_digest, has_history, log, supervise,
    workers_default,
};
use lb_model::config::Protocol;
use lb_model::{Config, ValidConfig};
use serde::Serialize;

use crate::args::{LogFormat, Turn};
use crate::document::Document;
use crate::output;
use crate::report::{Exit, Explained, Failure};
use crate::screen::Screen;
use crate::settings::Settings;

/// How long a worker may take until it serves: the largest documents take a second.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// What a balancer that has started tells to programs, on one line.
#[derive(Debug, Serialize)]
struct Ready {
    virtual_services: BTreeMap<String, SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<SocketAddr>,
    revision: u64,
    workers: usize,
    process: u32,
}

impl Explained for StartError {
    fn help(&self) -> Option<String> {
        Self::help(self)
    }

    fn exit(&self) -> Exit {
        Exit::Failed
    }
}

impl Explained for log::LogError {
    fn help(&self) -> Option<String> {
        Self::help(self)
    }

    fn exit(&self) -> Exit {
        Exit::Misuse
    }
}

impl Explained for LinkError {
    fn help(&self) -> Option<String> {
        Some(Self::help(self))
    }

    fn exit(&self) -> Exit {
        Exit::Misuse
    }
}

impl Explained for SuperviseError {
    fn help(&self) -> Option<String> {
        None
    }

    fn exit(&self) -> Exit {
        Exit::Failed
    }
}

pub(super) fn run(
    settings: &Settings,
    worker: Option<Turn>,
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    start_log(settings, screen)?;
    if let Some(turn) = worker {
        return serve(settings, Some((Supervised::take()?, turn)), screen);
    }
    // What comes on the standard input cannot be read again by another process.
    if settings.config.as_os_str() == "-" {
        return serve(settings, None, screen);
    }
    supervise_worker(settings)
}

/// Where this program is: as it was called, when that is an absolute path. It may be a link, and an
/// upgrade shall follow it to where it leads then.
fn own_path() -> io::Result<PathBuf> {
    let found = std::env::current_exe()?;
    let called = std::env::args_os().next().map(PathBuf::from);
    let is_it = |called: &PathBuf| {
        called.is_absolute() && fs::canonicalize(called).is_ok_and(|path| path == found)
    };
    Ok(called.filter(is_it).unwrap_or(found))
}

/// The process that stays.
fn supervise_worker(settings: &Settings) -> Result<Exit, Failure> {
    let program = own_path().map_err(|source| SuperviseError::Start {
        program: "lbctl".into(),
        source,
    })?;
    let ended = supervise(SupervisorOptions {
        program,
        args: std::env::args_os().skip(1).collect(),
        first: Some("--supervised=first".into()),
        later: Some("--supervised=later".into()),
        bind: BIND,
        start_timeout: START_TIMEOUT,
        drain_timeout: settings.drain_timeout.duration(),
    })?;
    Ok(match ended.code {
        0 => Exit::Done,
        2 => Exit::Misuse,
        _ => Exit::Failed,
    })
}

/// The process that serves.
fn serve(
    settings: &Settings,
    supervised: Option<(Supervised, Turn)>,
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    // What people read as notes, programs find in the log.
    if settings.log_format == LogFormat::Json {
        screen.silence_notes();
    }
    let (supervised, turn) = supervised.unzip();
    let file = match document_file(settings, turn.unwrap_or(Turn::First), screen)? {
        Ok(file) => file,
        Err(exit) => return Ok(exit),
    };
    let options = Options {
        workers: settings.workers.unwrap_or_else(workers_default),
        state_dir: settings.state_dir.clone(),
        drain_timeout: settings.drain_timeout.duration(),
    };
    let daemon = Daemon::start_from(file, &options, supervised)?;
    let (config, _) = daemon.in_force();
    if settings.log_format == LogFormat::Json {
        log_warnings(&config);
    }
    announce(&daemon, &config, &options, settings, screen)?;
    let ended = daemon.run()?;
    if settings.log_format == LogFormat::Json {
        tracing::info!(?ended, "stopped");
    }
    Ok(tell_end(ended, settings, screen))
}

/// What the file of the document says, if it has to be taken. Where there is a history, the balancer
/// starts whatever is in the file: what was in force goes on. After an upgrade or a crash it is not
/// even looked at: nobody expects a change then.
fn document_file(
    settings: &Settings,
    turn: Turn,
    screen: &Screen,
) -> Result<Result<DocumentFile, Exit>, Failure> {
    let has_history = has_history(&settings.state_dir);
    let path = settings.config.clone();
    let is_stdin = path.as_os_str() == "-";
    let mut file = DocumentFile {
        taken: None,
        reread: (!is_stdin).then(|| Arc::new(move || reread(&path)) as Arc<Reread>),
    };
    if turn == Turn::Later && has_history {
        return Ok(Ok(file));
    }
    let document = match Document::read(&settings.config) {
        Ok(document) => document,
        Err(error) if has_history => {
            tracing::warn!(%error, "the document cannot be read; what was in force goes on");
            return Ok(Ok(file));
        }
        // Nobody has said that there is one: it comes through the API.
        Err(error)
            if Document::is_missing(&error) && settings.config == Settings::default().config =>
        {
            return Ok(Ok(file));
        }
        Err(error) => return Err(error.into()),
    };
    let digest = document.digest();
    if has_history && file_digest(&settings.state_dir) == Some(digest) {
        return Ok(Ok(file));
    }
    match document.check_for_use(screen) {
        Ok(config) => file.taken = Some(Taken { config, digest }),
        Err(_) if has_history => {
            let document = &document.name;
            tracing::error!(
                document,
                "the document is not valid; what was in force goes on"
            );
        }
        Err(exit) => return Ok(Err(exit)),
    }
    Ok(Ok(file))
}

/// Reads the document again, for a balancer that runs.
fn reread(path: &Path) -> Result<Taken, Box<dyn Error + Send + Sync>> {
    let document = Document::read(path)?;
    let digest = document.digest();
    let config = document.check().map_err(|problems| {
        let errors = problems.iter().filter(|problem| problem.is_error()).count();
        let first = problems
            .first()
            .map(ToString::to_string)
            .unwrap_or_default();
        let (name, plural) = (&document.name, if errors == 1 { "" } else { "s" });
        format!("`{name}` has {errors} error{plural}, the first: {first}")
    })?;
    Ok(Taken { config, digest })
}

/// Sets up the log of the program as the settings say.
pub(super) fn start_log(settings: &Settings, screen: &Screen) -> Result<(), log::LogError> {
    let format = match settings.log_format {
        LogFormat::Json => log::Format::Json,
        LogFormat::Text => log::Format::Text {
            color: screen.paint().is_on(),
        },
    };
    log::init(&settings.log_level, format)
}

fn log_warnings(config: &ValidConfig) {
    for problem in config.warnings() {
        let (code, path, message) = (problem.code, &problem.path, &problem.message);
        tracing::warn!(%code, %path, reason = message, "the document has a warning");
    }
}

fn announce(
    daemon: &Daemon,
    config: &ValidConfig,
    options: &Options,
    settings: &Settings,
    screen: &Screen,
) -> Result<(), Failure> {
    let addresses = daemon.addresses();
    let ready = Ready {
        virtual_services: addresses
            .iter()
            .map(|(name, address)| (name.to_string(), *address))
            .collect(),
        metrics: daemon.metrics_address(),
        revision: daemon.in_force().1,
        workers: options.workers.get(),
        process: std::process::id(),
    };
    if settings.log_format == LogFormat::Json {
        let Ready {
            virtual_services,
            metrics,
            revision,
            workers,
            process,
        } = &ready;
        tracing::info!(
            ?virtual_services,
            ?metrics,
            revision,
            workers,
            process,
            "serving"
        );
    }
    screen.note(&welcome(&ready, config.config(), screen));
    output::print_line(screen, settings.output, &ready).map(drop)
}

fn welcome(ready: &Ready, config: &Config, screen: &Screen) -> String {
    let paint = screen.paint();
    let width = ready.virtual_services.keys().map(String::len).max();
    let width = width.unwrap_or_default().max("metrics".len());
    let mut text = String::new();
    for (name, service) in &config.virtual_services {
        let protocol = match service.protocol {
            Protocol::Http if service.tls.is_some() => "https",
            Protocol::Http => "http",
            Protocol::Tcp if service.tls.is_none() => "tcp",
            Protocol::Tcp | Protocol::Tls => "tls",
        };
        let place = match ready.virtual_services.get(name.as_str()) {
            Some(address) => paint.code(format!("{protocol}://{address}")),
            None => paint.faint("not enabled"),
        };
        writeln!(text, "  {:width$}  {place}", name.as_str()).expect("a String takes every write");
    }
    if let Some(address) = ready.metrics {
        let url = paint.code(format!("http://{address}/metrics"));
        writeln!(text, "  {:width$}  {url}", "metrics").expect("a String takes every write");
    }
    let threads = ready.workers;
    let title = paint.good("lbctl serves");
    let plural = if threads == 1 { "" } else { "s" };
    let Ready {
        revision, process, ..
    } = ready;
    format!("{title} revision {revision} with {threads} worker{plural}, process {process}\n{text}")
}

fn tell_end(ended: Ended, settings: &Settings, screen: &Screen) -> Exit {
    match ended {
        Ended::Replaced { connections_cut } => {
            tracing::info!(connections_cut, "a former process has finished");
            Exit::Done
        }
        Ended::AtOnce => {
            screen.note("stopped at once by a second signal\n");
            Exit::Failed
        }
        Ended::Drained { connections_cut: 0 } => {
            screen.note("stopped; every open request has finished\n");
            Exit::Done
        }
        Ended::Drained { connections_cut } => {
            let timeout = settings.drain_timeout;
            let plural = if connections_cut == 1 {
                " was"
            } else {
                "s were"
            };
            screen.note(&format!(
                "stopped; {connections_cut} connection{plural} cut after {timeout}\n"
            ));
            Exit::Done
        }
    }
}
