//! Real programs behind the balancer: NGINX, Python servers, ASP.NET on Mono.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::process::Command;

use crate::{Addressed, Process, free_port};

/// One NGINX process.
#[derive(Debug)]
pub struct Nginx {
    name: String,
    address: SocketAddr,
    folder: TempDir,
    process: Process,
}

impl Nginx {
    /// An NGINX that answers everything with its name.
    pub async fn start(name: &str) -> Self {
        let location = format!("location / {{ return 200 \"{name}\\n\"; }}");
        Self::with(name, &location).await
    }

    /// An NGINX with these locations.
    pub async fn with(name: &str, locations: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = free_port();
        let text = format!(
            "daemon off; master_process off; worker_rlimit_nofile 4096; pid {path}/pid;\n\
             error_log stderr warn;\nevents {{ worker_connections 2048; }}\n\
             http {{ access_log off; keepalive_requests 1000000;\n\
             client_body_temp_path {path}/body; proxy_temp_path {path}/proxy;\n\
             fastcgi_temp_path {path}/fastcgi; uwsgi_temp_path {path}/uwsgi;\n\
             scgi_temp_path {path}/scgi; include /etc/nginx/mime.types;\n\
             server {{ listen {address} reuseport; root {path}; client_max_body_size 0;\n\
             add_header X-Server {name};\n{locations} }} }}\n",
            path = folder.path().display(),
        );
        std::fs::write(folder.path().join("nginx.conf"), text).expect("write the configuration");
        let process = Self::process(folder.path(), address).await;
        Self {
            name: name.to_owned(),
            address,
            folder,
            process,
        }
    }

    /// What clients have put to `/stored/NAME`, where a location allows that.
    pub fn stored(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.path().join("stored").join(name)).expect("what was stored")
    }

    /// Kills it with SIGKILL.
    pub async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// Starts it again on the same port.
    pub async fn restart(&mut self) {
        self.process = Self::process(self.folder.path(), self.address).await;
    }

    async fn process(folder: &Path, address: SocketAddr) -> Process {
        let mut command = Command::new("nginx");
        let mut process = Process::start(
            command
                .arg("-c")
                .arg(folder.join("nginx.conf"))
                .arg("-p")
                .arg(folder),
        );
        process.accepts(address).await;
        process
    }
}

impl Addressed for Nginx {
    fn name(&self) -> &str {
        &self.name
    }

    fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A Python program of `tests/peers` that serves and prints its address first.
#[derive(Debug)]
pub struct PythonServer {
    name: String,
    address: SocketAddr,
    process: Process,
}

/// Starts `tests/peers/<script>` as a server with this name.
pub async fn python_server(script: &str, name: &str, args: &[&str]) -> PythonServer {
    let mut process = Process::start(python(script).arg(name).args(args));
    let Some(line) = process.line().await else {
        panic!("{script} did not start\n{}", process.stderr());
    };
    let address = line
        .parse()
        .unwrap_or_else(|e| panic!("{e} in {line:?} of {script}"));
    PythonServer {
        name: name.to_owned(),
        address,
        process,
    }
}

/// The Python of the tests with a program of `tests/peers`.
pub fn python(script: &str) -> Command {
    let mut command = Command::new(interpreter());
    command.arg(peer_file(script));
    command
}

/// The Python of the tests.
pub(crate) fn interpreter() -> PathBuf {
    std::env::var_os("LB_TESTS_PYTHON").map_or_else(
        || {
            let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
            let home =
                || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
            cache
                .unwrap_or_else(home)
                .join("lbctl-tests/venv/bin/python")
        },
        PathBuf::from,
    )
}

/// A file of `tests/peers`.
pub fn peer_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("peers")
        .join(name)
}

impl PythonServer {
    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

impl Addressed for PythonServer {
    fn name(&self) -> &str {
        &self.name
    }

    fn address(&self) -> SocketAddr {
        self.address
    }
}

/// An ASP.NET node: a Mono process that keeps sessions in its own memory, behind an NGINX.
#[derive(Debug)]
pub struct AspNet {
    web: Nginx,
    // Only held: the node lives as long as its application.
    _application: Process,
    _folder: TempDir,
}

/// Starts an ASP.NET node with this name that serves `tests/peers/aspnet`.
pub async fn aspnet(name: &str) -> AspNet {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let site = folder.path().join("site");
    copy_files(&peer_file("aspnet"), &site);
    let socket = folder.path().join("fastcgi");
    let application = Process::start(
        Command::new("fastcgi-mono-server4")
            .arg(format!("/applications=/:{}", site.display()))
            .arg(format!("/socket=unix:{}", socket.display()))
            .env("NODE", name)
            .env("MONO_REGISTRY_PATH", folder.path().join("registry"))
            .env("TMPDIR", folder.path()),
    );
    crate::eventually("the ASP.NET application has its socket", async || {
        socket.exists().then_some(())
    })
    .await;
    let locations = format!(
        "location / {{ fastcgi_pass unix:{socket}; fastcgi_index Default.aspx;\n\
         include /etc/nginx/fastcgi_params; fastcgi_param PATH_INFO \"\";\n\
         fastcgi_param SCRIPT_FILENAME {site}$fastcgi_script_name; fastcgi_read_timeout 60s; }}",
        socket = socket.display(),
        site = site.display(),
    );
    let web = Nginx::with(name, &locations).await;
    AspNet {
        web,
        _application: application,
        _folder: folder,
    }
}

impl Addressed for AspNet {
    fn name(&self) -> &str {
        self.web.name()
    }

    fn address(&self) -> SocketAddr {
        self.web.address()
    }
}

fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("make a folder");
    for entry in std::fs::read_dir(from).expect("list the files of the site") {
        let entry = entry.expect("list the files of the site");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copy a file of the site");
    }
}
