//! The unit for systemd, in a real systemd: the balancer as a service with its own user, a port below
//! 1024, and no more rights than that.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use lb_tests::{Finished, Process, eventually, lbctl_path, peer_file, run};
use tokio::process::Command;

/// Answers by itself: no server is needed.
const DOCUMENT: &str = r#"
[virtual_services.shop]
address = "127.0.0.1:80"

[[virtual_services.shop.rules]]
name = "hello"
action = { respond = { status = 200, body = "hello" } }
"#;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A machine of its own: the files of this one, another network, and systemd with the unit.
struct Machine {
    systemd: Process,
    _folder: tempfile::TempDir,
}

impl Machine {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        for directory in [
            "etc/lbctl",
            "etc/systemd/system",
            "usr/lib/sysusers.d",
            "usr/bin",
        ] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        fs::copy(lbctl_path(), root.join("usr/bin/lbctl")).unwrap();
        fs::write(root.join("etc/lbctl/lb.toml"), DOCUMENT).unwrap();
        let files = repository().join("packer/files");
        let unit = root.join("etc/systemd/system/lbctl.service");
        fs::copy(files.join("lbctl.service"), unit).unwrap();
        let users = root.join("usr/lib/sysusers.d/lbctl.conf");
        fs::copy(files.join("lbctl.sysusers.conf"), users).unwrap();
        // What a whole boot would begin, and nothing else.
        let target = root.join("etc/systemd/system/trial.target.wants");
        fs::create_dir_all(&target).unwrap();
        symlink(
            "/usr/lib/systemd/system/systemd-sysusers.service",
            target.join("systemd-sysusers.service"),
        )
        .unwrap();
        symlink(
            "/etc/systemd/system/lbctl.service",
            target.join("lbctl.service"),
        )
        .unwrap();
        fs::write(root.join("etc/systemd/system/trial.target"), "[Unit]\n").unwrap();
        let mut command = Command::new(peer_file("systemd"));
        command.arg(folder.path()).arg("trial.target");
        let machine = Self {
            systemd: Process::start(&mut command),
            _folder: folder,
        };
        machine.becomes("active").await;
        machine
    }

    /// Runs a command in there.
    async fn run(&self, command: &[&str]) -> Finished {
        let outside = self.systemd.id().as_raw_nonzero();
        let children = format!("/proc/{outside}/task/{outside}/children");
        let child = fs::read_to_string(children).unwrap_or_default();
        let enter = [
            "--target",
            child.trim(),
            "--mount",
            "--net",
            "--pid",
            "--root",
            "--wd=/",
        ];
        run("nsenter", &[&enter[..], command].concat()).await
    }

    async fn becomes(&self, state: &str) {
        eventually(&format!("the service becomes {state}"), async || {
            let is_active = self.run(&["systemctl", "is-active", "lbctl.service"]).await;
            (is_active.stdout.trim() == state).then_some(())
        })
        .await;
    }

    async fn get(&self) -> Finished {
        self.run(&["curl", "--silent", "--show-error", "http://127.0.0.1/"])
            .await
    }

    /// The processes of the service: the supervisor and its workers.
    async fn processes(&self) -> Vec<(String, u32)> {
        let listed = self
            .run(&["ps", "-C", "lbctl", "-o", "user=,pid="])
            .await
            .stdout;
        let lines = listed.lines().map(|line| {
            let (user, id) = line.trim().split_once(' ').unwrap();
            (user.to_owned(), id.trim().parse().unwrap())
        });
        lines.collect()
    }

    async fn main_process(&self) -> u32 {
        let show = [
            "systemctl",
            "show",
            "--property=MainPID",
            "--value",
            "lbctl.service",
        ];
        self.run(&show).await.stdout.trim().parse().unwrap()
    }

    async fn worker(&self) -> u32 {
        let main = self.main_process().await;
        let all = self.processes().await;
        let mut workers = all.into_iter().map(|(_, id)| id).filter(|id| *id != main);
        workers
            .next_back()
            .expect("a worker runs beside the supervisor")
    }
}

/// Whether this machine lets us have one within it: a container may forbid namespaces and mounts.
async fn can_have_a_machine() -> bool {
    let mount = "mount -t tmpfs tmpfs /mnt && mkdir /mnt/c && mount -t cgroup2 cgroup2 /mnt/c";
    let namespaces = [
        "--fork", "--pid", "--mount", "--uts", "--ipc", "--cgroup", "--net",
    ];
    let tried = run("unshare", &[&namespaces[..], &["sh", "-c", mount]].concat()).await;
    if tried.code() != 0 {
        lb_tests::note(&format!("not tried in a systemd: {}", tried.stderr));
    }
    tried.code() == 0
}

#[tokio::test]
async fn as_a_service_it_has_its_own_user_a_low_port_and_survives_crash_and_upgrade() {
    if !can_have_a_machine().await {
        return;
    }
    let machine = Machine::start().await;
    assert_eq!(machine.get().await.expect_success("curl"), "hello");
    for (user, process) in machine.processes().await {
        assert_eq!(user, "lbctl", "process {process}");
    }
    let state = machine
        .run(&["stat", "-c", "%a %U", "/var/lib/lbctl"])
        .await;
    assert_eq!(state.stdout.trim(), "700 lbctl");

    let (main, crashed) = (machine.main_process().await, machine.worker().await);
    machine
        .run(&["kill", "-KILL", &crashed.to_string()])
        .await
        .expect_success("kill");
    assert_eq!(
        machine
            .get()
            .await
            .expect_success("curl right after the crash"),
        "hello"
    );

    let before = machine.worker().await;
    assert_ne!(before, crashed);
    machine
        .run(&["systemctl", "reload", "lbctl.service"])
        .await
        .expect_success("reload");
    assert_eq!(
        machine.get().await.expect_success("curl after the upgrade"),
        "hello"
    );
    eventually("the old worker is gone", async || {
        let (all, now) = (machine.processes().await, machine.worker().await);
        (all.len() == 2 && now != before).then_some(())
    })
    .await;
    assert_eq!(
        machine.main_process().await,
        main,
        "the service itself has not been restarted"
    );

    machine
        .run(&["systemctl", "stop", "lbctl.service"])
        .await
        .expect_success("stop");
    machine.becomes("inactive").await;
    assert_ne!(machine.get().await.code(), 0, "nobody listens any more");
}

#[tokio::test]
async fn the_unit_gives_no_more_rights_than_needed() {
    let unit = repository().join("packer/files/lbctl.service");
    let unit = unit.to_str().unwrap();
    // 0 is best and 10 worst; 2.0 leaves out what a program on the network cannot do without.
    let args = [
        "security",
        "--offline=true",
        "--no-pager",
        "--threshold=20",
        unit,
    ];
    run("systemd-analyze", &args)
        .await
        .expect_success("systemd-analyze");
}
