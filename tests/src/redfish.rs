//! Hardware with a management controller: `sushy-tools` of `OpenStack` in front of libvirt and QEMU.

mod awkward;
mod gateway;
mod http;
mod machine;
mod tasks;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command as Blocking;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::peers::interpreter;
use crate::{Authority, Process, free_port, peer_file, run, within};
use gateway::Gateway;
use machine::{Firmware, machine};

/// The user of the controller, and the password, as Apache's tools write them.
const USERS: &str = "lbctl:$2b$04$y1nT9YoqDKMuCWHxCeNCw.q7zoLL2Re4pWNsMziyOQFBr1Wr8HloC\n";

/// The password.
const PASSWORD: &str = "secret";

/// What tells the machine from others behind its controller.
const SYSTEM: &str = "4c424354-0000-4000-8000-000000000001";

/// A machine with nothing on its disk, and its controller.
#[derive(Debug)]
pub struct Redfish {
    folder: TempDir,
    process: Process,
    controller: SocketAddr,
    admin: SocketAddr,
    http: SocketAddr,
    /// Where the machine reaches this one.
    here: String,
    fingerprint: Option<String>,
    /// What stands before the controller, when something does.
    gateway: Option<Arc<Gateway>>,
}

/// Counts the machines of this process.
static NEXT: AtomicU16 = AtomicU16::new(0);

impl Redfish {
    /// A controller that is spoken to without TLS, and a machine that is off.
    pub async fn start() -> Self {
        Self::start_with(None, Firmware::Bios).await
    }

    /// The same with a certificate that nobody vouches for.
    pub async fn start_tls() -> Self {
        let authority = Authority::new("the maker of the controller").await;
        authority.issue("tls", &["bmc.example"], "30").await;
        Self::start_with(Some(&authority), Firmware::Bios).await
    }

    async fn start_with(authority: Option<&Authority>, firmware: Firmware) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path();
        let (controller, admin, http) = (free_port(), free_port(), free_port());
        // What is set aside for tests of networks (RFC 2544), where the machines of the cloud are not.
        let process = u16::try_from(std::process::id() % 1_000).unwrap_or_default();
        let number = process.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 1_000;
        let here = format!("198.19.{}.{}", 251 + number / 250, number % 250 + 1);
        let added = run(
            "ip",
            &["address", "replace", &format!("{here}/32"), "dev", "lo"],
        )
        .await;
        added.expect_success("an address of this machine");
        let write = |name: &str, text: &str| fs::write(path.join(name), text).expect("a file");
        write("users", USERS);
        write("password", PASSWORD);
        write("machine.xml", &machine(path, admin, http, firmware));
        let disk = fs::File::create(path.join("disk.img")).expect("a disk");
        disk.set_len(2 << 30).expect("a disk");
        let mut fingerprint = None;
        if let Some(authority) = authority {
            for file in ["tls.pem", "tls-key.pem"] {
                fs::copy(authority.path(file), path.join(file)).expect("copy");
            }
            fingerprint = Some(sha256_of(&authority.file("tls.pem")).await);
        }
        let mut command = Command::new(peer_file("redfish"));
        command.arg(path).arg(controller.port().to_string());
        command.arg(interpreter());
        let machine = Self {
            process: Process::start(&mut command),
            folder,
            controller,
            admin,
            http,
            here,
            fingerprint,
            gateway: None,
        };
        machine.answers().await;
        machine
    }

    /// libvirt reads what the processor of the machine can do first.
    async fn answers(&self) {
        let patience = Duration::from_mins(2);
        let answer = async {
            while self.system().await.is_none() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        within("the controller answers", patience, answer).await;
    }

    /// The value of `target` in a fleet, and what else it says.
    pub fn target(&self, image: &Path, more: &str) -> String {
        let pinned = self.fingerprint.as_ref();
        let pinned = pinned.map(|pinned| format!(", fingerprint = \"{pinned}\""));
        format!(
            "{{ redfish = {{ controller = \"{}\", user = \"lbctl\", password_file = \"{}\", image = \"{}\", \
             media_address = \"{}:0\", address = \"127.0.0.1\"{}{more} }} }}",
            self.url(),
            self.folder.path().join("password").display(),
            image.display(),
            self.here,
            pinned.unwrap_or_default()
        )
    }

    /// Where the controller is.
    pub fn url(&self) -> String {
        let gateway = self.gateway.as_ref();
        gateway.map_or_else(
            || self.direct_url(),
            |gateway| format!("http://{}", gateway.address),
        )
    }

    /// The same, past whatever stands before it.
    fn direct_url(&self) -> String {
        let scheme = if self.fingerprint.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}", self.controller)
    }

    /// The fingerprint of its certificate.
    pub fn fingerprint(&self) -> Option<&str> {
        self.fingerprint.as_deref()
    }

    /// Where the admin API of the machine listens; its port is the same from here.
    pub fn admin_address(&self) -> String {
        format!("0.0.0.0:{}", self.admin.port())
    }

    /// What the balancer on the machine answers, when it does.
    pub async fn get(&self) -> Option<String> {
        let url = format!("http://{}/", self.http);
        let got = run("curl", &["--silent", "--fail", "--max-time", "10", &url]).await;
        got.status.success().then_some(got.stdout)
    }

    /// What the controller says of the machine, when it answers.
    pub async fn system(&self) -> Option<Value> {
        self.ask("").await
    }

    async fn ask(&self, below: &str) -> Option<Value> {
        let url = format!("{}/redfish/v1/Systems/{SYSTEM}{below}", self.direct_url());
        let user = format!("lbctl:{PASSWORD}");
        let args = ["--silent", "--insecure", "--fail", "--user", &user, &url];
        let told = run("curl", &args).await;
        serde_json::from_str(&told.stdout).ok()
    }

    /// Whether the machine is on.
    pub async fn is_on(&self) -> bool {
        let system = self.system().await.expect("the controller answers");
        system["PowerState"] == "On"
    }

    /// What is in its drive for CDs.
    pub async fn media(&self) -> Option<String> {
        let drive = self.ask("/VirtualMedia/Cd").await?;
        let image = drive["Image"].as_str()?;
        (!image.is_empty()).then(|| image.to_owned())
    }

    /// Switches the machine, as somebody at the controller does.
    pub async fn reset(&self, kind: &str) {
        let body = format!("{{\"ResetType\": \"{kind}\"}}");
        self.act("/Actions/ComputerSystem.Reset", &body).await;
    }

    async fn act(&self, below: &str, body: &str) {
        let url = format!("{}/redfish/v1/Systems/{SYSTEM}{below}", self.direct_url());
        let user = format!("lbctl:{PASSWORD}");
        let json = "Content-Type: application/json";
        let head = ["--silent", "--insecure", "--fail", "--header", json];
        let rest = ["--user", &user, "--data", body, &url];
        let done = run("curl", &[&head[..], &rest].concat()).await;
        done.expect_success("an action of the controller");
    }

    /// What stands on its serial line.
    pub fn console(&self) -> String {
        let bytes = fs::read(self.folder.path().join("console")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The file that is its disk.
    pub fn disk(&self) -> PathBuf {
        self.folder.path().join("disk.img")
    }

    /// The file with the password of the controller.
    pub fn password_file(&self) -> PathBuf {
        self.folder.path().join("password")
    }
}

impl Drop for Redfish {
    fn drop(&mut self) {
        if self.process.is_running() {
            self.process.signal(Signal::KILL);
        }
        let address = format!("{}/32", self.here);
        drop(
            Blocking::new("ip")
                .args(["address", "del", &address, "dev", "lo"])
                .output(),
        );
    }
}

/// The fingerprint of a certificate, as fleets have it.
async fn sha256_of(file: &str) -> String {
    let args = ["x509", "-noout", "-fingerprint", "-sha256", "-in", file];
    let told = run("openssl", &args).await.expect_success("openssl");
    let digits = told.trim().rsplit('=').next().unwrap_or_default();
    format!("sha256:{}", digits.replace(':', "").to_lowercase())
}
