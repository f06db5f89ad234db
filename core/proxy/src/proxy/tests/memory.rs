//! What is left of configurations that are in force no more.

use std::sync::Weak;

use super::*;
use crate::pool::Pool;
use crate::snapshot::Service;

/// What a configuration is made of.
struct Parts {
    service: Weak<Service>,
    pool: Weak<Pool>,
    generation: Weak<Generation>,
}

impl Parts {
    fn of(proxy: &Proxy) -> Self {
        let present = proxy.current.load_full();
        let snapshot = &present.snapshot;
        Self {
            service: Arc::downgrade(&snapshot.services["shop"]),
            pool: Arc::downgrade(&snapshot.pools["web"]),
            generation: Arc::downgrade(&present),
        }
    }

    fn are_gone(&self) -> bool {
        self.service.strong_count() + self.pool.strong_count() + self.generation.strong_count() == 0
    }
}

fn text(round: u32, a: &Site) -> String {
    let rule = format!(
        "[[virtual_services.shop.rules]]\nname = \"r{round}\"\n\
         match = {{ path = {{ regex = \"^/x{round}/\" }} }}\naction = {{ pool = \"web\" }}\n"
    );
    shop(&[("a", a.address)]).replace(
        "[pools.web]\n",
        &format!("[pools.web]\nretries = {}\n", round % 10),
    ) + &rule
}

#[test]
fn connections_that_are_idle_or_tunnels_keep_nothing_of_an_old_configuration() {
    let a = Site::new("a");
    let proxy = start(&text(0, &a));
    let address = proxy.address("shop");
    let mut idle = Client::connect(address);
    idle.server();
    let mut private = Client::connect(address);
    private.try_get("/", "Authorization: NTLM x\r\n").unwrap();
    let mut socket = Client::connect(address);
    socket.upgrade();
    let mut all = Vec::new();
    for round in 1..=30 {
        all.push(Parts::of(&proxy));
        proxy.change(&text(round, &a));
    }
    eventually("all but the last are gone", || {
        all.iter().all(Parts::are_gone)
    });
    socket.echo("the tunnel is not");
    assert_eq!(
        (idle.server().as_str(), private.server().as_str()),
        ("a", "a")
    );
    let last = Parts::of(&proxy);
    proxy.change("");
    eventually("nothing is left of a removed service", || last.are_gone());
    socket.echo("the tunnel still is not");
}

#[test]
fn a_request_in_progress_keeps_its_configuration_and_no_other() {
    let a = Site::new("a");
    let proxy = start(&text(0, &a));
    let mut client = Client::connect(proxy.address("shop"));
    client.ask("/hold", "").unwrap();
    eventually("the request is at its server", || a.held() == 1);
    let first = Parts::of(&proxy);
    proxy.change(&text(1, &a));
    let second = Parts::of(&proxy);
    proxy.change(&text(2, &a));
    eventually("the second is gone", || second.are_gone());
    let configurations = |count: u32| {
        proxy
            .metrics()
            .contains(&format!("\nlb_configurations {count}\n"))
    };
    assert!(configurations(2), "{}", proxy.metrics());
    assert!(first.service.strong_count() > 0);
    assert_eq!(first.generation.strong_count(), 0);
    a.release();
    client.answer().unwrap();
    eventually("the first goes with the request", || first.are_gone());
    assert!(configurations(1), "{}", proxy.metrics());
}

#[test]
fn what_is_prepared_and_dropped_leaves_nothing() {
    let a = Site::new("a");
    let proxy = start(&text(0, &a));
    let prepared = proxy
        .prepare(&config(&text(1, &a)), &Material::default())
        .unwrap();
    let service = Arc::downgrade(&prepared.snapshot.services["shop"]);
    let pool = Arc::downgrade(&prepared.snapshot.pools["web"]);
    drop(prepared);
    assert_eq!(service.strong_count() + pool.strong_count(), 0);
}
