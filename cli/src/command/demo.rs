//! `lbctl demo`: three small web servers with sessions, a balancer in front of them, and the
//! commands that show what it does.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lb_daemon::{Daemon, Options, workers_default};
use serde::Serialize;
use tempfile::TempDir;

use self::board::Board;
use self::farm::Farm;
use super::run::start_log;
use crate::args::DemoArgs;
use crate::document::Document;
use crate::output;
use crate::report::{Exit, Explained, Failure};
use crate::screen::{Paint, Screen};
use crate::settings::Settings;

mod board;
mod farm;

/// The servers of the demo.
const SERVERS: [&str; 3] = ["web1", "web2", "web3"];

/// The port that people expect a trial on.
const PORT: u16 = 8080;

/// How long open requests may take after Ctrl-C; whoever tries a demo wants it gone.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// Why the demo could not start.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("the web servers of the demo cannot start")]
    Servers(#[source] io::Error),
    #[error("cannot write the document of the demo in `{}`", _0.display())]
    Folder(PathBuf, #[source] io::Error),
}

impl Explained for DemoError {
    fn help(&self) -> Option<String> {
        match self {
            Self::Servers(_) => None,
            Self::Folder(..) => Some("name a directory you may write to in TMPDIR".to_owned()),
        }
    }

    fn exit(&self) -> Exit {
        Exit::Failed
    }
}

/// Where everything is.
#[derive(Debug, Serialize)]
struct Places {
    url: String,
    metrics: String,
    document: PathBuf,
    access_log: PathBuf,
    cookie_jar: PathBuf,
    servers: BTreeMap<String, SocketAddr>,
}

pub(super) fn run(args: &DemoArgs, settings: &Settings, screen: &Screen) -> Result<Exit, Failure> {
    let folder = tempfile::Builder::new()
        .prefix("lbctl-demo-")
        .tempdir()
        .map_err(|error| DemoError::Folder(std::env::temp_dir(), error))?;
    let farm = Farm::start(&SERVERS).map_err(DemoError::Servers)?;
    let port = args.port.unwrap_or_else(free_port);
    let path = write_document(&folder, &farm, port)?;
    let document = Document::read(&path)?;
    let config = match document.check_for_use(screen) {
        Ok(config) => config,
        Err(exit) => return Ok(exit),
    };
    start_log(settings, screen)?;
    let daemon = Daemon::start(
        &config,
        &Options {
            workers: settings.workers.unwrap_or_else(workers_default),
            state_dir: folder.path().join("state"),
            drain_timeout: DRAIN_TIMEOUT,
        },
    )?;
    let places = Places::of(&daemon, &farm, folder.path());
    let paint = screen.paint_stdout();
    output::print(screen, settings.output, &places, |places| {
        welcome(places, paint)
    })?;
    let board = screen
        .progress
        .then(|| Board::start(farm.tallies(), screen.paint()));
    let ended = daemon.run();
    drop(board);
    farm.stop();
    ended?;
    screen.note("the demo has ended; its files are gone\n");
    Ok(Exit::Done)
}

/// The usual port, or any when somebody has it.
fn free_port() -> u16 {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)) {
        Ok(_) => PORT,
        Err(_) => 0,
    }
}

fn write_document(folder: &TempDir, farm: &Farm, port: u16) -> Result<PathBuf, DemoError> {
    let path = folder.path().join("lb.toml");
    let log = folder.path().join("access.log");
    std::fs::write(&path, text(farm, port, &log))
        .map_err(|error| DemoError::Folder(folder.path().to_path_buf(), error))?;
    Ok(path)
}

fn text(farm: &Farm, port: u16, log: &Path) -> String {
    let mut text = format!(
        r#"# The document of `lbctl demo`.

[virtual_services.demo]
address = "127.0.0.1:{port}"
pool = "web"

# Rules come before the pool: this request is answered by the balancer itself.
[[virtual_services.demo.rules]]
name = "hello"
match = {{ path = {{ exact = "/hello" }} }}
action = {{ respond = {{ status = 200, body = "The balancer itself says hello.\n" }} }}

[pools.web]
balance = "round_robin"
persistence = {{ cookie = {{ name = "LB" }} }}
health_check = {{ interval = "1s", timeout = "500ms", probe = {{ http = {{ path = "/health" }} }} }}

[pools.web.servers]
"#
    );
    for (name, address) in farm.addresses() {
        writeln!(text, "{name} = {{ address = \"{address}\" }}")
            .expect("a String takes every write");
    }
    // A path may hold what ends a string in TOML; JSON escapes it in a way that TOML reads too.
    let log = serde_json::Value::from(log.to_string_lossy());
    write!(
        text,
        r#"
[telemetry]
metrics_address = "127.0.0.1:0"
access_log = {{ output = {{ file = {log} }} }}
"#
    )
    .expect("a String takes every write");
    text
}

impl Places {
    fn of(daemon: &Daemon, farm: &Farm, folder: &Path) -> Self {
        let balancer = daemon.addresses().values().next();
        let url = |address: Option<SocketAddr>, path: &str| {
            address.map_or_else(String::new, |address| format!("http://{address}{path}"))
        };
        Self {
            url: url(balancer.copied(), "/"),
            metrics: url(daemon.metrics_address(), "/metrics"),
            document: folder.join("lb.toml"),
            access_log: folder.join("access.log"),
            cookie_jar: folder.join("cookies"),
            servers: farm
                .addresses()
                .map(|(name, address)| (name.to_owned(), address))
                .collect(),
        }
    }
}

fn welcome(places: &Places, paint: Paint) -> String {
    let Places {
        url,
        metrics,
        document,
        access_log,
        cookie_jar,
        servers,
    } = places;
    let (document, log, jar) = (
        document.display(),
        access_log.display(),
        cookie_jar.display(),
    );
    let mut text = format!(
        "\n{} {} {}\n\n",
        paint.good("A balancer serves at"),
        paint.code(url),
        paint.good("in front of three web servers.")
    );
    let mut row = |title: &str, value: &str| {
        let title = paint.faint(format!("{title:11}"));
        writeln!(text, "  {title} {value}").expect("a String takes every write");
    };
    for (name, address) in servers {
        row(name, &address.to_string());
    }
    row("document", &document.to_string());
    row("access log", &log.to_string());
    row("metrics", metrics);
    let try_title = paint.strong("Try this in another terminal:");
    write!(text, "\n{try_title}\n").expect("a String takes every write");
    for (why, command) in [
        (
            "Every request is a new client: all three servers get their turn.",
            format!("for i in 1 2 3 4 5 6; do curl -s {url}; done"),
        ),
        (
            "One client with a cookie jar: it stays where its session is.",
            format!("jar={jar}; for i in 1 2 3 4 5 6; do curl -s -b $jar -c $jar {url}; done"),
        ),
        (
            "Which rule, pool and server a request gets, and why.",
            format!("lbctl explain --config {document} {url}"),
        ),
        (
            "What the balancer counts.",
            format!("curl -s {metrics} | grep lb_server_requests_total"),
        ),
    ] {
        let comment = paint.faint(format!("# {why}"));
        let command = paint.code(command);
        write!(text, "\n  {comment}\n  {command}\n").expect("a String takes every write");
    }
    text.push_str("\nCtrl-C ends it.\n\n");
    text
}
