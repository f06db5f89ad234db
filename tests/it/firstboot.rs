//! The first start of a machine, in namespaces of its own. Disks with a seed, DHCP and a whole start are tried
//! with the image, in `provision/vm.rs`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use lb_model::api::token;
use lb_tests::{Addressed, Answer, Finished, WebServer, lbctl, lbctl_path, run_within};
use tokio::process::Command;

const PATIENCE: Duration = Duration::from_mins(1);

fn write(folder: &Path, user_data: &str) {
    fs::write(folder.join("user-data"), user_data).unwrap();
    fs::write(
        folder.join("meta-data"),
        "instance-id: i-1\nlocal-hostname: other\n",
    )
    .unwrap();
}

/// Runs `lbctl firstboot` with the seed in this folder, without the network.
async fn start(folder: &Path) -> Finished {
    let state = folder.join("state");
    let (seed, state) = (folder.to_str().unwrap(), state.to_str().unwrap());
    let args = [
        "firstboot",
        "--no-network",
        "--seed",
        seed,
        "--state-dir",
        state,
    ];
    run_within(PATIENCE, lbctl().args(args)).await
}

#[tokio::test]
async fn a_machine_has_the_name_and_the_addresses_of_its_seed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    write(
        path,
        "#lbctl\nhostname = \"lb7.example\"\n[network.eth7]\naddresses = [\"192.0.2.5/24\", \"2001:db8::5/64\"]\n\
         gateways = [\"192.0.2.1\", \"2001:db8::1\"]\nnameservers = [\"192.0.2.2\"]\n\
         [network.inside]\nmac = \"52:54:00:12:34:56\"\naddresses = [\"198.51.100.5/24\"]\n\
         [network.eth9]\naddresses = [\"203.0.113.5/24\"]\n",
    );
    fs::write(path.join("resolv.conf"), "").unwrap();
    let script = format!(
        "set -e; cd {}; mount --bind resolv.conf /etc/resolv.conf; mount -t sysfs sysfs /sys\n\
         ip link add eth7 type veth peer name other7\n\
         ip link add eth8 address 52:54:00:12:34:56 type veth peer name other8\n\
         ip link set other7 up; ip link set other8 up\n\
         status=0; {} firstboot --timeout 1s --seed . --state-dir state || status=$?\n\
         echo status $status; hostname; ip -o address; ip route; ip -6 route; cat /etc/resolv.conf",
        path.display(),
        lbctl_path().display()
    );
    let mut command = Command::new("unshare");
    command.args(["--uts", "--mount", "--net", "sh", "-c", &script]);
    let told = run_within(PATIENCE, &mut command).await;
    for words in [
        "status 1",
        "lb7.example",
        "192.0.2.5/24",
        "2001:db8::5/64",
        "198.51.100.5/24",
        "default via 192.0.2.1 dev eth7",
        "default via 2001:db8::1 dev eth7",
        "nameserver 192.0.2.2",
    ] {
        assert!(told.stdout.contains(words), "{words}: {told:?}");
    }
    // What is not there hinders nothing else, and is told with what there is.
    let missing = "there is no network interface `eth9`; there are eth7, eth8, other7, other8";
    assert!(told.stderr.contains(missing), "{told:?}");
}

#[tokio::test]
async fn the_metadata_of_a_cloud_is_read_with_a_token_alone() {
    let user_data = "#lbctl\ndocument = \"admin = { address = '127.0.0.1:9443' }\"\n";
    let cloud = WebServer::answering("ec2", move |message| {
        let with_token = message.value("x-aws-ec2-metadata-token").as_deref() == Some("secret");
        let lifetime = message
            .value("x-aws-ec2-metadata-token-ttl-seconds")
            .is_some();
        match (message.method().as_str(), message.target().as_str()) {
            ("PUT", "/latest/api/token") if lifetime => Answer::ok("secret"),
            ("GET", "/latest/meta-data/instance-id") if with_token => Answer::ok("i-0abc"),
            ("GET", "/latest/user-data") if with_token => Answer::ok(user_data),
            ("GET", _) if with_token => Answer::status(404),
            _ => Answer::status(401),
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let mut command = lbctl();
    command.env("LBCTL_EC2_METADATA", cloud.address().to_string());
    command.args([
        "firstboot",
        "--no-network",
        "--state-dir",
        state.to_str().unwrap(),
    ]);
    let told = run_within(PATIENCE, &mut command).await;
    assert_eq!(told.code(), 0, "{told:?}");
    assert!(told.stderr.contains("EC2, instance i-0abc"), "{told:?}");
    let document = fs::read_to_string(state.join("lb.toml")).unwrap();
    assert!(document.contains("127.0.0.1:9443"), "{document}");
}

#[tokio::test]
async fn a_wrong_seed_is_told_whole_without_its_secret_and_leaves_a_balancer_that_starts() {
    let folder = tempfile::tempdir().unwrap();
    let mut token = token::text(&[7; 32]);
    token.push('0');
    write(
        folder.path(),
        &format!(
            "#lbctl\nhost_name = \"lb1\"\n[admin]\nenrolment_token = \"{token}\"\n[network.eth0]\nmtu = 9000\n"
        ),
    );
    let told = start(folder.path()).await;
    assert_eq!(told.code(), 1);
    for words in ["user-data:2:1", "`host_name` is not a key", "user-data:6:1"] {
        assert!(told.stderr.contains(words), "{words}: {}", told.stderr);
    }
    assert!(!told.stderr.contains("0707"), "{}", told.stderr);
    let state = folder.path().join("state");
    assert_eq!(fs::read_to_string(state.join("lb.toml")).unwrap(), "");
    assert!(!state.join("enrolment-token").exists());
    write(folder.path(), "#cloud-config\npackages: [nginx]\n");
    let told = start(folder.path()).await;
    assert!(
        told.stderr
            .contains("does not begin with the line `#lbctl`"),
        "{told:?}"
    );
}
