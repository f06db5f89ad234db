//! A machine of its own: systemd, sshd and a network, in namespaces on this one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command as Blocking;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::{Finished, Process, eventually, peer_file, run};

/// A machine with Linux and systemd, to which root and the user `admin` log in with a key.
#[derive(Debug)]
pub struct Machine {
    name: String,
    address: String,
    systemd: Process,
    folder: TempDir,
}

/// Counts the machines of this process.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// What starts at boot beside sshd.
const JOURNAL: [&str; 2] = ["systemd-journald.socket", "systemd-journald.service"];

const SSHD: &str = "\
HostKey /etc/ssh/host_key
AuthorizedKeysFile /etc/ssh/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PermitRootLogin prohibit-password
MaxStartups 100
";

const SSHD_UNIT: &str = "\
[Unit]
Description=OpenSSH server
[Service]
RuntimeDirectory=sshd
ExecStart=/usr/sbin/sshd -D -e -f /etc/ssh/trial_config
Restart=always
RestartSec=100ms
";

impl Machine {
    /// Boots a machine, and waits until somebody can log in.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        write_files(folder.path()).await;
        let number = free_number("lbm", &NEXT);
        let (high, low) = (number / 64, number % 64 * 4 + 2);
        let name = format!("lbm{number}");
        // What is set aside for tests of networks (RFC 2544).
        let address = format!("198.18.{high}.{low}");
        let mut command = Command::new(peer_file("machine"));
        command.arg(folder.path()).args([&name, &address]);
        let machine = Self {
            systemd: Process::start(&mut command),
            name,
            address,
            folder,
        };
        eventually("somebody can log in", async || {
            let address = (machine.address.as_str(), 22);
            let mut stream = TcpStream::connect(address).await.ok()?;
            // Before its network is there, whoever is on the way may answer in its place.
            let mut banner = [0; 4];
            stream.read_exact(&mut banner).await.ok()?;
            (&banner == b"SSH-").then_some(())
        })
        .await;
        machine
    }

    /// Where it is reached.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The value of `target` in a fleet, for a login as root.
    pub fn target(&self) -> String {
        self.target_as("root")
    }

    /// The value of `target` in a fleet, for a login as this user.
    pub fn target_as(&self, user: &str) -> String {
        let Self {
            address, folder, ..
        } = self;
        format!(
            "{{ ssh = {{ host = \"{address}\", user = \"{user}\", identity_file = \"{}\", host_key = \"{}\" }} }}",
            folder.path().join("key").display(),
            self.host_key()
        )
    }

    /// Its public host key.
    pub fn host_key(&self) -> String {
        let path = self.folder.path().join("root/etc/ssh/host_key.pub");
        let key = fs::read_to_string(path).expect("the host key");
        key.split(' ').take(2).collect::<Vec<_>>().join(" ")
    }

    /// The file with the private key of whoever logs in.
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    /// Its first process, as this machine counts them.
    fn first_process(&self) -> String {
        let outside = self.systemd.id().as_raw_nonzero();
        let children = format!("/proc/{outside}/task/{outside}/children");
        let child = fs::read_to_string(children).unwrap_or_default();
        child.trim().to_owned()
    }

    /// Copies a file into it.
    pub fn put(&self, file: &Path, to: &str) {
        let path = format!("/proc/{}/root{to}", self.first_process());
        fs::copy(file, &path).unwrap_or_else(|e| panic!("copy {} to {path}: {e}", file.display()));
    }

    /// Runs a command in there, as root.
    pub async fn run(&self, command: &[&str]) -> Finished {
        let target = self.first_process();
        let enter = [
            "--target", &target, "--mount", "--net", "--pid", "--root", "--wd=/",
        ];
        run("nsenter", &[&enter[..], command].concat()).await
    }

    /// Runs a command that must work in there, and gives what it says.
    pub async fn must(&self, command: &[&str]) -> String {
        let finished = self.run(command).await;
        finished.expect_success(&command.join(" "))
    }

    /// Whether there is a file or directory in there.
    pub async fn has(&self, path: &str) -> bool {
        let finished = self.run(&["test", "-e", path]).await;
        finished.status.success()
    }
}

/// A number that no network of a machine has: other tests have machines too, and a run that was killed leaves some.
pub(crate) fn free_number(prefix: &str, next: &AtomicU16) -> u16 {
    let process = u16::try_from(std::process::id() % 250).unwrap_or_default();
    loop {
        let count = next.fetch_add(1, Ordering::Relaxed);
        let number = process.wrapping_mul(64).wrapping_add(count) % 16_000;
        let name = format!("{prefix}{number}");
        let is_taken = |folder: &str| fs::symlink_metadata(Path::new(folder).join(&name)).is_ok();
        if !is_taken("/run/netns") && !is_taken("/sys/class/net") {
            return number;
        }
    }
}

/// What the machine has that this one has not.
async fn write_files(folder: &Path) {
    let root = folder.join("root");
    let (ssh, units) = (root.join("etc/ssh"), root.join("etc/systemd/system"));
    for directory in [&ssh, &units.join("trial.target.wants")] {
        fs::create_dir_all(directory).expect("a directory");
    }
    for (file, comment) in [(folder.join("key"), "test"), (ssh.join("host_key"), "host")] {
        let file = file.display().to_string();
        let args = ["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", &file];
        run("ssh-keygen", &args).await.expect_success("ssh-keygen");
    }
    let authorized = ssh.join("authorized_keys");
    fs::copy(folder.join("key.pub"), &authorized).expect("the key of whoever logs in");
    fs::set_permissions(&authorized, fs::Permissions::from_mode(0o644)).expect("its mode");
    let write = |path: &Path, text: &str| fs::write(path, text).expect("a file");
    write(&ssh.join("trial_config"), SSHD);
    write(&units.join("trial-sshd.service"), SSHD_UNIT);
    write(&units.join("trial.target"), "[Unit]\n");
    let wants = units.join("trial.target.wants");
    symlink(
        "/etc/systemd/system/trial-sshd.service",
        wants.join("trial-sshd.service"),
    )
    .expect("a link");
    for unit in JOURNAL {
        symlink(format!("/usr/lib/systemd/system/{unit}"), wants.join(unit)).expect("a link");
    }
    // A user who becomes root with sudo, and one who does not.
    let users = fs::read_to_string("/etc/passwd").expect("the users");
    let added = "admin:x:7001:7001::/tmp:/bin/bash\nguest:x:7002:7002::/tmp:/bin/bash\n";
    write(&root.join("etc/passwd"), &(users + added));
    let secrets = fs::read_to_string("/etc/shadow").expect("their passwords");
    write(
        &root.join("etc/shadow"),
        &(secrets + "admin:*:19000::::::\nguest:*:19000::::::\n"),
    );
    let sudoers = root.join("etc/sudoers.d");
    fs::create_dir_all(&sudoers).expect("a directory");
    write(&sudoers.join("admin"), "admin ALL=(ALL) NOPASSWD: ALL\n");
    fs::set_permissions(sudoers.join("admin"), fs::Permissions::from_mode(0o440))
        .expect("its mode");
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The kernel kills everything in there with this process.
        if self.systemd.is_running() {
            self.systemd.signal(Signal::KILL);
        }
        // The namespaces end with it; the name of the network, and what was made for it, do not.
        for args in [["netns", "del", &self.name], ["link", "del", &self.name]] {
            drop(Blocking::new("ip").args(args).output());
        }
        for hierarchy in ["", "unified", "systemd"] {
            let group = Path::new("/sys/fs/cgroup").join(hierarchy).join(&self.name);
            // A group can be removed as soon as the last process has left it.
            for _ in 0..100 {
                remove_groups(&group);
                if !group.exists() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// Takes control groups away, those below first.
fn remove_groups(group: &Path) {
    let Ok(below) = fs::read_dir(group) else {
        return;
    };
    for entry in below.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    drop(fs::remove_dir(group));
}
