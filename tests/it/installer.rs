//! The CD of the appliance as an installer, and machines that start from what it has written. QEMU alone runs them.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lb_tests::{free_port, run, run_within};
use tokio::process::{Child, Command};

/// How long a start, or an installation, may take in software on a busy machine.
const PATIENCE: Duration = Duration::from_mins(4);

/// What stands in the place for a seed of the CD.
const SLOT: &[u8] = b"#lbctl-seed-slot 1   ";

const DOCUMENT: &str = r#"
[virtual_services.shop]
address = "0.0.0.0:80"

[[virtual_services.shop.rules]]
name = "hello"
action = { respond = { status = 200, body = "ANSWER" } }
"#;

fn hardware(name: &str) -> PathBuf {
    let folder =
        std::env::var_os("LB_APPLIANCE").expect("LB_APPLIANCE: `tests/run image` makes it");
    PathBuf::from(folder).join("hardware").join(name)
}

/// A machine with disks of its own on SATA.
struct Machine {
    folder: tempfile::TempDir,
    disks: Vec<PathBuf>,
    is_uefi: bool,
    http: SocketAddr,
}

impl Machine {
    fn new(disks: usize, is_uefi: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disks = (0..disks).map(|number| folder.path().join(format!("disk{number}")));
        let disks: Vec<PathBuf> = disks.collect();
        for disk in &disks {
            File::create(disk).unwrap().set_len(1 << 30).unwrap();
        }
        Self {
            folder,
            disks,
            is_uefi,
            http: free_port(),
        }
    }

    /// The CD with a seed in its place.
    fn cd(&self, install: &str, answer: &str) -> PathBuf {
        let document = DOCUMENT.replace("ANSWER", answer);
        let quoted = serde_json::to_string(&document).unwrap();
        let seed =
            format!("#lbctl\nhostname = \"metal\"\ndocument = {quoted}\n[install]\n{install}\n");
        let path = self.folder.path().join("cd.iso");
        fs::copy(hardware("lbctl.iso"), &path).unwrap();
        let bytes = fs::read(&path).unwrap();
        let mut places = bytes.windows(SLOT.len());
        let at = places
            .position(|place| place == SLOT)
            .expect("a place for a seed");
        let mut seed = seed.into_bytes();
        seed.resize(65_536, b' ');
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(&seed, at as u64).unwrap();
        path
    }

    fn start(&self, cd: Option<&Path>) -> (Child, PathBuf) {
        let console = self.folder.path().join("console");
        // What a former start has said is not taken for what this one says.
        drop(fs::remove_file(&console));
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
            "768",
        ]);
        command.args(["-accel", "tcg,thread=multi", "-no-reboot"]);
        command.args(["-serial", &format!("file:{}", console.display())]);
        if self.is_uefi {
            let code = "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd";
            command.args(["-drive", code]);
        }
        for (number, disk) in self.disks.iter().enumerate() {
            let drive = format!(
                "if=none,id=d{number},format=raw,cache=unsafe,file={}",
                disk.display()
            );
            let device = format!(
                "ide-hd,drive=d{number},bus=ide.{number},serial=DISK-{number},bootindex={}",
                number + 1
            );
            command.args(["-drive", &drive, "-device", &device]);
        }
        if let Some(cd) = cd {
            let drive = format!(
                "if=none,id=cd,media=cdrom,readonly=on,format=raw,file={}",
                cd.display()
            );
            command.args([
                "-drive",
                &drive,
                "-device",
                "ide-cd,drive=cd,bus=ide.5,bootindex=0",
            ]);
        }
        let net = format!("user,id=net,restrict=on,hostfwd=tcp:{}-:80", self.http);
        command.args(["-netdev", &net, "-device", "e1000e,netdev=net,romfile="]);
        let child = command.kill_on_drop(true).spawn().unwrap();
        (child, console)
    }

    /// How large the file system with the state is, as its superblock says.
    async fn state_bytes(&self) -> u64 {
        let mut command = Command::new("sfdisk");
        command.env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
        command.arg("--json").arg(&self.disks[0]);
        let told = run_within(PATIENCE, &mut command).await;
        let table: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
        let begin = table["partitiontable"]["partitions"][1]["start"].as_u64();
        let mut block = [0; 1024];
        let disk = File::open(&self.disks[0]).unwrap();
        disk.read_exact_at(&mut block, begin.unwrap() * 512 + 1024)
            .unwrap();
        let word = |at: usize| u32::from_le_bytes(block[at..at + 4].try_into().unwrap());
        u64::from(word(4)) << (10 + word(24))
    }

    /// Starts from a CD and gives what the console says when the machine has gone off; or when it says these words.
    async fn install(&self, cd: &Path, until: Option<&str>) -> String {
        let (mut child, console) = self.start(Some(cd));
        let began = Instant::now();
        loop {
            let said = fs::read(&console).unwrap_or_default();
            let said = String::from_utf8_lossy(&said).into_owned();
            if let Some(words) = until
                && said.contains(words)
            {
                child.kill().await.unwrap();
                return said;
            }
            if child.try_wait().unwrap().is_some() {
                assert_eq!(until, None, "{said}");
                return said;
            }
            assert!(began.elapsed() < PATIENCE, "{said}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Starts from its disk until it answers, and gives the answer and what the console says.
    async fn serves(&self) -> (String, String) {
        let (mut child, console) = self.start(None);
        let began = Instant::now();
        let url = format!("http://{}/", self.http);
        loop {
            let got = run("curl", &["--silent", "--fail", "--max-time", "5", &url]).await;
            let said = fs::read(&console).unwrap_or_default();
            let said = String::from_utf8_lossy(&said).into_owned();
            // The console may be a moment behind.
            if got.status.success() && said.contains("lbctl serves revision") {
                child.kill().await.unwrap();
                eprintln!(
                    "from its disk: {:.1} s to the first answer",
                    began.elapsed().as_secs_f64()
                );
                return (got.stdout, said);
            }
            assert!(began.elapsed() < PATIENCE, "{said}");
            assert_eq!(child.try_wait().unwrap(), None, "{said}");
        }
    }
}

fn assert_said(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[tokio::test]
async fn an_empty_disk_is_installed_and_a_later_installation_keeps_what_was_remembered() {
    for is_uefi in [false, true] {
        let machine = Machine::new(1, is_uefi);
        let said = machine.install(&machine.cd("", "hello"), None).await;
        assert_said(
            &said,
            &[
                "it is empty",
                "reading it back",
                "installed on sda",
                "good bye",
            ],
        );
        let (answer, said) = machine.serves().await;
        assert_eq!(answer, "hello", "{said}");
        assert_said(
            &said,
            &[
                "state: /dev/sda2",
                "its name is metal",
                "its document is that of the seed",
            ],
        );
        // Somebody has made the disk larger.
        let disk = File::options().write(true).open(&machine.disks[0]).unwrap();
        disk.set_len(2 << 30).unwrap();
        let before = machine.state_bytes().await;
        let said = machine.install(&machine.cd("", "hello"), None).await;
        assert_said(
            &said,
            &[
                "it has the appliance",
                "what the balancer remembers is kept",
            ],
        );
        assert!(!said.contains("warning"), "{said}");
        assert_eq!(machine.state_bytes().await, before + (1 << 30));
        let (answer, said) = machine.serves().await;
        assert_eq!(answer, "hello", "{said}");
        // It begins nothing anew.
        assert_said(&said, &["serves revision 1"]);
    }
}

#[tokio::test]
async fn a_disk_with_something_else_is_left_alone_unless_it_may_go() {
    let machine = Machine::new(1, false);
    let mut command = Command::new("mkfs.ext4");
    command.env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
    command.args(["-q", "-F"]).arg(&machine.disks[0]);
    run_within(PATIENCE, &mut command)
        .await
        .expect_success("mkfs.ext4");
    let sum = || async {
        let disk = machine.disks[0].to_str().unwrap();
        run("sha256sum", &[disk]).await.stdout
    };
    let before = sum().await;
    let stays = Some("this machine is not installed");
    let said = machine.install(&machine.cd("", "hello"), stays).await;
    assert_said(
        &said,
        &[
            "holds a file system of Linux",
            "nothing was written",
            "wipe = true",
        ],
    );
    assert_eq!(sum().await, before);
    let said = machine
        .install(&machine.cd("wipe = true", "hello"), None)
        .await;
    assert_said(&said, &["which goes", "installed on sda"]);
    assert_eq!(machine.serves().await.0, "hello");
}

#[tokio::test]
async fn one_of_several_disks_is_never_guessed() {
    let machine = Machine::new(2, false);
    let stays = Some("this machine is not installed");
    let said = machine.install(&machine.cd("", "hello"), stays).await;
    assert_said(
        &said,
        &[
            "several disks",
            "sda (1.0 GB",
            "sdb (1.0 GB",
            "serial DISK-0",
            "serial DISK-1",
            "with `disk`",
        ],
    );
    for (disk, words) in [
        ("sdz", ["no disk `sdz`", "serial DISK-1"]),
        // Which of the two comes up first is chance.
        ("sdb", ["`sdb` does not tell for sure", "serial number"]),
    ] {
        let cd = machine.cd(&format!("disk = \"{disk}\""), "hello");
        let said = machine.install(&cd, stays).await;
        assert_said(&said, &words);
    }
    let said = machine
        .install(&machine.cd("disk = \"disk-1\"", "hello"), None)
        .await;
    assert_said(&said, &["installed on sd", "serial DISK-1"]);
    let mut first = vec![0; 1 << 20];
    File::open(&machine.disks[0])
        .unwrap()
        .read_exact_at(&mut first, 0)
        .unwrap();
    assert!(
        first.iter().all(|byte| *byte == 0),
        "the other disk was written to"
    );
}

#[tokio::test]
async fn an_installation_that_was_cut_off_is_repeated() {
    let machine = Machine::new(1, false);
    for words in ["writing", "reading it back", "there is room"] {
        machine.install(&machine.cd("", "hello"), Some(words)).await;
    }
    let said = machine.install(&machine.cd("", "hello"), None).await;
    assert_said(&said, &["installed on sda"]);
    assert_eq!(machine.serves().await.0, "hello");
}

#[tokio::test]
async fn a_disk_that_comes_up_late_keeps_its_state_over_a_start() {
    let machine = Machine::new(1, false);
    fs::copy(hardware("lbctl.raw"), &machine.disks[0]).unwrap();
    for _ in 0..2 {
        let (mut child, console) = machine.start(None);
        let began = Instant::now();
        loop {
            let said = fs::read_to_string(&console).unwrap_or_default();
            if said.contains("lbctl serves revision") {
                assert_said(&said, &["state: /dev/sda2"]);
                assert!(!said.contains("everything is forgotten"), "{said}");
                break;
            }
            assert!(began.elapsed() < PATIENCE, "{said}");
            assert_eq!(child.try_wait().unwrap(), None, "{said}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        child.kill().await.unwrap();
    }
}
