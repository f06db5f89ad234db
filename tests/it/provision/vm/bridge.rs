//! Virtual machines on a bridge of this machine, as neighbours of real ones are.

use std::fs;
use std::sync::atomic::{AtomicU16, Ordering};

use lb_tests::run;

use super::{Lab, assert_told, image};

/// Counts the bridges of this process.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// A bridge, and this machine's address on it.
struct Bridge {
    name: String,
    /// The first three numbers of the addresses on it, set aside for tests of networks (RFC 2544).
    network: String,
}

impl Bridge {
    async fn new() -> Self {
        // Machines of the cloud and others have the addresses below these.
        let process = u16::try_from(std::process::id() % 6).unwrap_or_default();
        let number = 250 + (process + NEXT.fetch_add(1, Ordering::Relaxed)) % 6;
        let bridge = Self {
            name: format!("lbtest{number}"),
            network: format!("198.19.{number}"),
        };
        let address = format!("{}.1/24", bridge.network);
        for args in [
            &["link", "add", &bridge.name, "type", "bridge"][..],
            &["address", "add", &address, "dev", &bridge.name],
            &["link", "set", &bridge.name, "up"],
        ] {
            run("ip", args).await.expect_success("ip");
        }
        bridge
    }

    fn address(&self, host: u8) -> String {
        format!("{}.{host}", self.network)
    }

    /// The cards that are connected to it.
    fn cards(&self) -> usize {
        let ports = format!("/sys/class/net/{}/brif", self.name);
        fs::read_dir(ports).unwrap().count()
    }

    /// The part of a fleet that puts a balancer on it.
    fn balancer(&self, name: &str, host: u8, bridge: &str) -> String {
        let (image, address) = (image("lbctl.qcow2"), self.address(host));
        format!(
            "[balancers.{name}]\ndocument = \"lb.toml\"\ncluster = \"pair\"\n\
             [balancers.{name}.target.vm]\nimage = \"{}\"\nbridges = [\"{bridge}\"]\n\
             network = {{ eth0 = {{ addresses = [\"{address}/24\"] }} }}\naddress = \"{address}\"\n",
            image.display()
        )
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let args = ["link", "delete", &self.name];
        drop(std::process::Command::new("ip").args(args).output());
    }
}

async fn get(address: &str) -> Option<String> {
    let url = format!("http://{address}/");
    let got = run("curl", &["--silent", "--fail", "--max-time", "10", &url]).await;
    got.status.success().then_some(got.stdout)
}

#[tokio::test]
async fn two_machines_on_a_bridge_have_addresses_of_their_own_and_can_get_others() {
    let bridge = Bridge::new().await;
    let lab = Lab::new().await;
    let describe = |second: u8| {
        let pair = [
            bridge.balancer("lb1", 11, &bridge.name),
            bridge.balancer("lb2", second, &bridge.name),
        ];
        let text = format!("name = \"lab\"\n{}", pair.concat());
        fs::write(lab.fleet.path("fleet.toml"), text).unwrap();
    };
    describe(12);
    lab.fleet.settle().await;
    assert_eq!(bridge.cards(), 2);
    for host in [11, 12] {
        let answer = get(&bridge.address(host)).await;
        assert_eq!(answer.as_deref(), Some("hello"), "{host}");
    }
    describe(13);
    let planned = lab.fleet.must(&["plan"]).await;
    let (before, after) = (bridge.address(12), bridge.address(13));
    assert_told(
        &planned,
        &[
            &format!("address {before} -> {after}"),
            &format!("(eth0 {before}/24) -> (eth0 {after}/24)"),
            "nobody is served",
        ],
    );
    lab.fleet.settle().await;
    assert_eq!(get(&after).await.as_deref(), Some("hello"));
    assert_eq!(get(&before).await, None);
    lab.fleet.must(&["destroy", "--confirm", "lab"]).await;
    assert_eq!(bridge.cards(), 0, "a card is left");
}

#[tokio::test]
async fn a_bridge_that_is_none_is_told_with_the_mend_and_starts_nothing() {
    let bridge = Bridge::new().await;
    let lab = Lab::new().await;
    for (name, word) in [("lbnone", "ip link add lbnone"), ("lo", "is none")] {
        let text = format!("name = \"lab\"\n{}", bridge.balancer("lb1", 11, name));
        fs::write(lab.fleet.path("fleet.toml"), text).unwrap();
        let tried = lab.fleet.lbctl(&["apply", "--yes"]).await;
        assert_eq!(tried.code(), 1);
        assert_told(&tried, &["there is no bridge", word]);
        assert!(lab.processes().is_empty());
        lab.fleet.must(&["destroy", "--confirm", "lab"]).await;
    }
}
