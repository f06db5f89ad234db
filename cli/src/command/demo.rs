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

/// A server that waits to be added.
const SPARE: &str = "web4";

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
    /// A server that the pool does not have yet.
    spare: SocketAddr,
    /// The address of the admin API.
    balancer: String,
    /// What to type next: why, and a command line for a shell.
    invitations: Vec<Invitation>,
}

/// Something to try.
#[derive(Debug, Serialize)]
struct Invitation {
    why: &'static str,
    command: String,
}

pub(super) fn run(args: &DemoArgs, settings: &Settings, screen: &Screen) -> Result<Exit, Failure> {
    let folder = tempfile::Builder::new()
        .prefix("lbctl-demo-")
        .tempdir()
        .map_err(|error| DemoError::Folder(std::env::temp_dir(), error))?;
    let farm = Farm::start(&[&SERVERS[..], &[SPARE]].concat()).map_err(DemoError::Servers)?;
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
balance = "weighted_round_robin"
persistence = {{ cookie = {{ name = "LB" }} }}
health_check = {{ interval = "1s", timeout = "500ms", probe = {{ http = {{ path = "/health" }} }} }}

[pools.web.servers]
"#
    );
    for (name, address) in farm.addresses().filter(|(name, _)| *name != SPARE) {
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
        let balancer = daemon.addresses().into_values().next();
        let url = |address: Option<SocketAddr>, path: &str| {
            address.map_or_else(String::new, |address| format!("http://{address}{path}"))
        };
        let service = url(balancer, "/");
        let servers: BTreeMap<String, SocketAddr> = farm
            .addresses()
            .map(|(name, address)| (name.to_owned(), address))
            .collect();
        let admin = format!("unix:{}", folder.join("state/admin.sock").display());
        // The farm has every server that it was started with.
        let spare = servers[SPARE];
        Self {
            invitations: invitations(&program(), &admin, &service, spare),
            url: service,
            metrics: url(daemon.metrics_address(), "/metrics"),
            document: folder.join("lb.toml"),
            access_log: folder.join("access.log"),
            cookie_jar: folder.join("cookies"),
            servers: servers
                .into_iter()
                .filter(|(name, _)| name != SPARE)
                .collect(),
            spare,
            balancer: admin,
        }
    }
}

/// Every step of a change that loses nothing, on the balancer of this demo.
fn invitations(program: &str, balancer: &str, url: &str, spare: SocketAddr) -> Vec<Invitation> {
    let lbctl = format!("{program} -b {}", quoted(balancer));
    let invitation = |why, command| Invitation { why, command };
    vec![
        invitation(
            "Add a server: it gets its share at once.",
            format!("{lbctl} server add web/{SPARE} --address {spare}"),
        ),
        invitation(
            "Drain one: its sessions stay with it, new clients go elsewhere.",
            format!("{lbctl} drain web/web1"),
        ),
        invitation(
            "Change a weight: a fifth of what the others get.",
            format!("{lbctl} server set web/web2 --weight 20"),
        ),
        invitation(
            "See what it does to new clients, and how the servers are.",
            format!("for i in 1 2 3 4 5 6; do curl -s {url}; done; {lbctl} status"),
        ),
        invitation(
            "See who changed what, and go back to the beginning.",
            format!("{lbctl} history && {lbctl} rollback 1 --yes"),
        ),
    ]
}

/// What a shell finds this program by: its name, or its path when the name is not it.
fn program() -> String {
    let Ok(own) = std::env::current_exe() else {
        return "lbctl".to_owned();
    };
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths)
        .map(|folder| folder.join("lbctl"))
        .find(|path| path.is_file());
    match found.and_then(|path| path.canonicalize().ok()) {
        Some(path) if path == own => "lbctl".to_owned(),
        Some(_) | None => quoted(&own.display().to_string()),
    }
}

/// A text as one word of a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:+=@%,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
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
        spare: _,
        balancer: _,
        invitations,
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
        text.push_str(&step(why, &command, paint));
    }
    let change_title = paint.strong("Then change it while it serves; no request is lost:");
    write!(text, "\n{change_title}\n").expect("a String takes every write");
    for Invitation { why, command } in invitations {
        text.push_str(&step(why, command, paint));
    }
    text.push_str("\nCtrl-C ends it.\n\n");
    text
}

fn step(why: &str, command: &str, paint: Paint) -> String {
    let comment = paint.faint(format!("# {why}"));
    let command = paint.code(command);
    format!("\n  {comment}\n  {command}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_anything_in_it_is_one_word_of_a_shell() {
        assert_eq!(
            quoted("unix:/tmp/x-1/admin.sock"),
            "unix:/tmp/x-1/admin.sock"
        );
        assert_eq!(quoted("/tmp/a b's"), r"'/tmp/a b'\''s'");
    }
}
