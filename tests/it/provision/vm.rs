//! Balancers on virtual machines: real QEMU, and the image that `packer/appliance/build` makes.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use lb_tests::{eventually, free_port, run, run_within};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::Command;

mod bridge;

use super::resume::interrupt;
use super::{DOCUMENT, Fleet, PATIENCE, assert_told};

/// A fleet with one virtual machine, which ends with it.
pub(super) struct Lab {
    pub(super) fleet: Fleet,
    admin: SocketAddr,
    http: SocketAddr,
}

/// The image, as `tests/run image` has made it.
fn image(name: &str) -> PathBuf {
    let folder =
        std::env::var_os("LB_APPLIANCE").expect("LB_APPLIANCE: `tests/run image` makes it");
    PathBuf::from(folder).join(name)
}

impl Lab {
    pub(super) async fn new() -> Self {
        let lab = Self {
            fleet: Fleet::new().await,
            admin: free_port(),
            http: free_port(),
        };
        lab.describe(&image("lbctl.qcow2"), "");
        lab
    }

    fn describe(&self, image: &Path, more: &str) {
        let (image, admin, http) = (image.display(), self.admin, self.http);
        let text = format!(
            "name = \"lab\"\n[balancers.lb1]\ndocument = \"lb.toml\"\n[balancers.lb1.target.vm]\n\
             image = \"{image}\"\n{more}\nforwards = [{{ address = \"{admin}\", port = 9443 }}, \
             {{ address = \"{http}\", port = 80 }}]\n"
        );
        fs::write(self.fleet.path("fleet.toml"), text).unwrap();
    }

    /// The value of `target` in a fleet, with an image of this name; other keys come first.
    pub(super) fn target(&self, name: &str, more: &str) -> String {
        let (image, admin, http) = (image(name), self.admin, self.http);
        format!(
            "{{ vm = {{ {more}image = \"{}\", forwards = [{{ address = \"{admin}\", port = 9443 }}, \
             {{ address = \"{http}\", port = 80 }}] }} }}",
            image.display()
        )
    }

    pub(super) fn machine(&self) -> PathBuf {
        self.fleet.path("data/lbctl/machines/lab/lb1")
    }

    /// What the balancer in the machine answers, when it does.
    pub(super) async fn get(&self) -> Option<String> {
        let url = format!("http://{}/", self.http);
        let got = run("curl", &["--silent", "--fail", "--max-time", "10", &url]).await;
        got.status.success().then_some(got.stdout)
    }

    /// Asks it over the network, as the settings that were left behind say.
    async fn status(&self) -> Value {
        let settings = self.fleet.path("fleet.state/balancers/lb1/settings.toml");
        let mut command = self.fleet.program();
        command.args([
            "--settings",
            settings.to_str().unwrap(),
            "status",
            "-o",
            "json",
        ]);
        let told = run_within(PATIENCE, &mut command).await;
        assert_eq!(told.code(), 0, "{told:?}");
        serde_json::from_str(&told.stdout).unwrap()
    }

    /// The processes that run the machine.
    pub(super) fn processes(&self) -> Vec<Pid> {
        let folder = self.machine();
        let found = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let entry = entry.ok()?;
            let id = entry.file_name().to_str()?.parse().ok()?;
            let is_it = fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == folder);
            Pid::from_raw(id).filter(|_| is_it)
        });
        found.collect()
    }

    pub(super) async fn kill(&self) {
        for process in self.processes() {
            kill_process(process, Signal::KILL).unwrap();
        }
        eventually("QEMU is gone", async || {
            self.processes().is_empty().then_some(())
        })
        .await;
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for process in self.processes() {
            // It may end by itself meanwhile.
            let _ = kill_process(process, Signal::KILL);
        }
    }
}

#[tokio::test]
async fn a_machine_is_made_serves_is_changed_and_taken_away() {
    let lab = Lab::new().await;
    let began = Instant::now();
    lab.fleet.settle().await;
    assert_eq!(lab.get().await.as_deref(), Some("hello"));
    eprintln!(
        "from nothing to the first answer: {:.1} s",
        began.elapsed().as_secs_f64()
    );
    // It has begun with the document of its seed.
    assert_eq!(lab.status().await["revision"]["number"], 1);
    fs::write(
        lab.fleet.path("lb.toml"),
        DOCUMENT.replace("\"hello\" }", "\"again\" }"),
    )
    .unwrap();
    lab.fleet.settle().await;
    assert_eq!(lab.get().await.as_deref(), Some("again"));
    // Another machine with the same disk: what the balancer remembers is still there.
    lab.describe(&image("lbctl.raw"), "processors = 2\nfirmware = \"uefi\"");
    let plan = lab.fleet.must(&["plan"]).await;
    assert_told(
        &plan,
        &[
            "processors 1 -> 2",
            "firmware bios -> uefi",
            "nobody is served",
        ],
    );
    lab.fleet.settle().await;
    assert_eq!(lab.get().await.as_deref(), Some("again"));
    assert_eq!(lab.status().await["revision"]["number"], 2);
    let before = lab.fleet.json(&["status"]).await["lb1"]["machine"]["image"].clone();
    lab.fleet.must(&["rollback", "--yes"]).await;
    assert_ne!(
        lab.fleet.json(&["status"]).await["lb1"]["machine"]["image"],
        before
    );
    assert_eq!(lab.get().await.as_deref(), Some("again"));
    lab.fleet.must(&["destroy", "--confirm", "lab"]).await;
    assert!(!lab.machine().exists() && lab.processes().is_empty());
    assert_eq!(lab.get().await, None);
    lab.fleet.must(&["destroy", "--confirm", "lab"]).await;
}

#[tokio::test]
async fn a_kill_in_each_step_leaves_one_machine_that_the_same_command_finishes() {
    let lab = Lab::new().await;
    let mut steps = BTreeSet::new();
    loop {
        let apply = ["apply", "--yes", "--events"];
        let is_new = |step: &str| !steps.contains(step);
        let (step, _) = interrupt(&lab.fleet, &apply, Signal::KILL, is_new).await;
        let Some(step) = step else { break };
        assert!(lab.processes().len() <= 1);
        steps.insert(step);
    }
    let all = ["enrol", "machine", "start"].map(str::to_owned);
    assert!(steps.is_superset(&all.into()), "{steps:?}");
    lab.fleet.settle().await;
    assert_eq!(lab.get().await.as_deref(), Some("hello"));
    assert_eq!(lab.processes().len(), 1);
}

#[tokio::test]
async fn a_machine_that_stopped_or_is_somebody_elses_is_told_and_taken_up_again() {
    let lab = Lab::new().await;
    lab.fleet.settle().await;
    lab.kill().await;
    let told = lab.fleet.lbctl(&["status"]).await;
    assert_ne!(told.code(), 0);
    assert_told(&told, &["stopped"]);
    lab.fleet.settle().await;
    assert_eq!(lab.get().await.as_deref(), Some("hello"));
    // The state is lost: the machine says whose it was, and is not taken by chance.
    fs::rename(lab.fleet.path("fleet.state"), lab.fleet.path("lost")).unwrap();
    let plan = lab.fleet.lbctl(&["plan"]).await;
    assert_ne!(plan.code(), 0);
    assert_told(
        &plan,
        &["belongs to somebody else", "lbctl provision adopt"],
    );
    lab.fleet.must(&["adopt", "--yes"]).await;
    lab.fleet.settle().await;
    lab.status().await;
    // So is the token, which is with the machine, too: another seed gives another one.
    fs::remove_file(lab.machine().join("token")).unwrap();
    fs::remove_dir_all(lab.fleet.path("fleet.state/balancers")).unwrap();
    lab.fleet.settle().await;
    lab.status().await;
    assert_eq!(lab.processes().len(), 1);
}

#[tokio::test]
async fn an_image_that_does_not_serve_gives_way_to_the_one_before() {
    let lab = Lab::new().await;
    lab.fleet.settle().await;
    // A disk that a PC starts from, and that has no system.
    let bad = lab.fleet.path("bad.raw");
    let mut disk = vec![0; 1 << 20];
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    fs::write(&bad, disk).unwrap();
    lab.describe(&bad, "start_timeout = \"60s\"");
    let tried = lab.fleet.lbctl(&["apply", "--yes"]).await;
    assert_ne!(tried.code(), 0);
    assert_told(
        &tried,
        &[
            "does not serve with the image",
            "serves with the one before again",
        ],
    );
    assert_eq!(lab.get().await.as_deref(), Some("hello"));
    lab.describe(&image("lbctl.qcow2"), "");
    lab.fleet.settle().await;
}

#[tokio::test]
async fn what_a_machine_cannot_be_made_of_is_told_with_the_mend_and_makes_nothing() {
    let lab = Lab::new().await;
    let none = lab.fleet.path("none.qcow2");
    let text = lab.fleet.path("text.raw");
    fs::write(&text, "no disk\n".repeat(100)).unwrap();
    for (image, words) in [
        (&none, ["No such file", "see whether it is there"]),
        (&text, ["is no image of a disk", "qemu-img convert"]),
    ] {
        lab.describe(image, "");
        let plan = lab.fleet.lbctl(&["apply", "--yes"]).await;
        assert_ne!(plan.code(), 0);
        assert_told(&plan, &words);
        assert!(!lab.machine().exists());
    }
    lab.describe(&image("lbctl.qcow2"), "");
    let taken = tokio::net::TcpListener::bind(lab.http).await.unwrap();
    let tried = lab.fleet.lbctl(&["apply", "--yes"]).await;
    assert_ne!(tried.code(), 0);
    assert_told(&tried, &["QEMU cannot listen", "ss -lntup"]);
    drop(taken);
    let upgrade = [
        "upgrade",
        "--yes",
        "--program",
        lab.fleet.path("lbctl").to_str().unwrap(),
    ]
    .map(str::to_owned);
    let upgrade = lab
        .fleet
        .lbctl(&upgrade.each_ref().map(String::as_str))
        .await;
    assert_ne!(upgrade.code(), 0);
    assert_told(&upgrade, &["is in its image"]);
    let mut without = lab.fleet.command(&["plan"]);
    let without = run_within(PATIENCE, without.env("PATH", "/nowhere")).await;
    assert_told(&without, &["qemu-system-x86_64", "qemu-system-x86"]);
}

#[tokio::test]
async fn whether_kvm_works_is_tried_once_and_a_machine_serves_either_way() {
    let lab = Lab::new().await;
    let cache = lab.fleet.path("cache");
    let apply = async || {
        let mut command = lab.fleet.command(&["apply", "--yes"]);
        let applied = run_within(PATIENCE, command.env("XDG_CACHE_HOME", &cache)).await;
        assert_eq!(applied.code(), 0, "{applied:?}");
        assert_eq!(lab.get().await.as_deref(), Some("hello"));
    };
    apply().await;
    let trial = cache.join("lbctl/qemu.json");
    let found = fs::read_to_string(&trial).ok();
    let opens = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/kvm");
    assert_eq!(found.is_some(), opens.is_ok(), "{found:?}");
    let mut status = lab.fleet.command(&["status", "-o", "json"]);
    let status = run_within(PATIENCE, status.env("XDG_CACHE_HOME", &cache)).await;
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    let accelerator = &status["lb1"]["machine"]["accelerator"];
    match &found {
        Some(text) => {
            let trial: Value = serde_json::from_str(text).unwrap();
            assert_eq!(&trial["accelerator"], accelerator);
        }
        None => assert_eq!(accelerator, "tcg"),
    }
    // The next start believes what the first one found out.
    let when = || fs::metadata(&trial).and_then(|found| found.modified()).ok();
    let before = when();
    lab.kill().await;
    apply().await;
    assert_eq!(when(), before);
}

/// A machine that QEMU alone runs, without provisioning.
struct Alone {
    http: SocketAddr,
    child: tokio::process::Child,
    console: PathBuf,
    _folder: tempfile::TempDir,
}

impl Alone {
    fn start(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (http, console) = (free_port(), folder.path().join("console"));
        let seed = folder.path().join("seed");
        fs::create_dir(&seed).unwrap();
        fs::write(seed.join("meta-data"), "instance-id: i-1\n").unwrap();
        let quoted = serde_json::to_string(DOCUMENT).unwrap();
        let user_data = format!("#lbctl\nhostname = \"alone\"\ndocument = {quoted}\n");
        fs::write(seed.join("user-data"), user_data).unwrap();
        let mut command = Command::new("qemu-system-x86_64");
        command.args([
            "-nodefaults",
            "-display",
            "none",
            "-machine",
            "q35",
            "-cpu",
            "max",
            "-m",
            "512",
        ]);
        command.args(["-accel", "tcg,thread=multi", "-no-reboot"]);
        command.args(["-serial", &format!("file:{}", console.display())]);
        // A stick with VFAT, as administrators write one.
        let stick = format!(
            "driver=vvfat,dir={},label=CIDATA,node-name=seed,read-only=on",
            seed.display()
        );
        command.args(["-blockdev", &stick, "-device", "virtio-blk-pci,drive=seed"]);
        command.args([
            "-netdev",
            &format!("user,id=net,restrict=on,hostfwd=tcp:{http}-:80"),
        ]);
        command.args(["-device", "virtio-net-pci,netdev=net,romfile="]);
        let child = command.args(args).kill_on_drop(true).spawn().unwrap();
        Self {
            http,
            child,
            console,
            _folder: folder,
        }
    }

    async fn serves(&mut self, what: &str) {
        let began = Instant::now();
        let url = format!("http://{}/", self.http);
        let answer = loop {
            let got = run("curl", &["--silent", "--fail", "--max-time", "2", &url]).await;
            if got.status.success() {
                break got.stdout;
            }
            let console = fs::read_to_string(&self.console).unwrap_or_default();
            assert!(began.elapsed() < PATIENCE, "{what}: {console}");
            assert_eq!(self.child.try_wait().unwrap(), None, "{what}: {console}");
        };
        eprintln!(
            "{what}: {:.1} s from power-on to the first answer",
            began.elapsed().as_secs_f64()
        );
        assert_eq!(answer, "hello");
        let console = fs::read_to_string(&self.console).unwrap();
        assert!(console.contains("lbctl appliance"), "{console}");
        assert!(console.contains("its name is alone"), "{console}");
    }
}

#[tokio::test]
async fn the_image_starts_as_a_cd_and_as_a_stick_with_bios_and_with_uefi() {
    let iso = image("lbctl.iso");
    let cd = format!(
        "if=none,id=boot,media=cdrom,readonly=on,format=raw,file={}",
        iso.display()
    );
    let stick = format!(
        "if=none,id=boot,readonly=on,format=raw,file={}",
        iso.display()
    );
    let firmware = "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd";
    let (ide, virtio) = (
        "ide-cd,drive=boot,bootindex=1",
        "virtio-blk-pci,drive=boot,bootindex=1",
    );
    let ways: [(&str, &[&str]); 3] = [
        ("a CD with BIOS", &["-drive", &cd, "-device", ide]),
        (
            "a CD with UEFI",
            &["-drive", firmware, "-drive", &cd, "-device", ide],
        ),
        ("a stick with BIOS", &["-drive", &stick, "-device", virtio]),
    ];
    for (what, args) in ways {
        Alone::start(args).serves(what).await;
    }
}

#[tokio::test]
async fn there_is_nothing_in_the_image_that_lets_anybody_in() {
    let folder = tempfile::tempdir().unwrap();
    let (iso, to) = (image("lbctl.iso"), folder.path().join("initrd"));
    let (iso, to) = (iso.to_str().unwrap(), to.to_str().unwrap());
    let taken = ["-osirrox", "on", "-indev", iso, "-extract", "/initrd", to];
    run("xorriso", &taken).await.expect_success("xorriso");
    let unpack = format!(
        "cd {} && zstd -dc initrd | cpio -id --quiet",
        folder.path().display()
    );
    run("sh", &["-c", &unpack]).await.expect_success("unpack");
    let listed = run(
        "find",
        &[folder.path().to_str().unwrap(), "-printf", "%P\n"],
    )
    .await;
    let names: Vec<&str> = listed.stdout.lines().collect();
    assert!(
        names.contains(&"bin/lbctl") && names.contains(&"init"),
        "{names:?}"
    );
    for wrong in [
        "shadow",
        "authorized_keys",
        "ssh_host",
        "id_",
        ".ssh",
        "login",
        "getty",
        "sshd",
        "telnetd",
    ] {
        let found = names.iter().find(|name| name.contains(wrong));
        assert_eq!(found, None, "{wrong}");
    }
    let passwd = fs::read_to_string(folder.path().join("etc/passwd")).unwrap();
    assert!(
        passwd
            .lines()
            .all(|line| line.contains(":x:") && line.ends_with("/nonexistent"))
    );
    for name in names.iter().filter(|name| name.starts_with("etc/")) {
        let content = fs::read(folder.path().join(name)).unwrap_or_default();
        let key = b"PRIVATE KEY";
        assert!(
            !content.windows(key.len()).any(|part| part == key),
            "{name}"
        );
    }
}
