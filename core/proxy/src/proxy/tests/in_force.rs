//! Which of several configurations is in force.

use super::*;

fn answers(body: &str) -> String {
    format!(
        "[virtual_services.shop]\naddress = \"127.0.0.1:0\"\n\
         [[virtual_services.shop.rules]]\nname = \"all\"\n\
         action = {{ respond = {{ status = 200, body = \"{body}\" }} }}\n"
    )
}

#[test]
fn when_a_commit_returns_no_worker_uses_the_old_configuration() {
    let proxy = start(&answers("0"));
    let address = proxy.address("shop");
    // Some on each worker.
    let mut clients: Vec<Client> = (0..16).map(|_| Client::connect(address)).collect();
    for round in 1..100 {
        proxy.change(&answers(&round.to_string()));
        for client in &mut clients {
            assert_eq!(client.server(), round.to_string());
        }
    }
}

#[test]
fn the_latest_commit_counts_in_whatever_order_they_were_prepared() {
    let a = Site::new("a");
    let proxy = start(&answers("0"));
    let address = proxy.address("shop");
    let mut client = Client::connect(address);
    let first = proxy
        .prepare(&config(&answers("1")), &Material::default())
        .unwrap();
    let second = proxy
        .prepare(&config(&shop(&[("a", a.address)])), &Material::default())
        .unwrap();
    let third = proxy
        .prepare(&config(&answers("3")), &Material::default())
        .unwrap();
    proxy.commit(second);
    assert_eq!(client.server(), "a");
    proxy.commit(third);
    assert_eq!(client.server(), "3");
    proxy.commit(first);
    assert_eq!(client.server(), "1");
    assert_eq!(proxy.address("shop"), address);
    assert_eq!(proxy.service("shop").connections, 1);
}

#[test]
fn sockets_of_what_was_prepared_stay_though_another_commit_removes_them() {
    let address = free_address();
    let text = answers("kept").replace("127.0.0.1:0", &address.to_string());
    let proxy = start(&text);
    let prepared = proxy.prepare(&config(&text), &Material::default()).unwrap();
    proxy.change("");
    std::thread::sleep(Duration::from_millis(1200));
    proxy.commit(prepared);
    assert_eq!(Client::connect(address).server(), "kept");
}

#[test]
fn changes_from_several_threads_come_one_after_the_other() {
    let proxy = start(&answers("0"));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let proxy = &proxy;
            scope.spawn(move || {
                for round in 0..25 {
                    proxy.change(&answers(&format!("{thread}-{round}")));
                    drop((proxy.status(), proxy.metrics()));
                }
            });
        }
    });
    let mut client = Client::connect(proxy.address("shop"));
    assert!(client.server().ends_with("-24"));
}

#[test]
fn a_service_that_was_disabled_for_a_while_goes_on_counting() {
    let proxy = start(&answers("0"));
    let mut client = Client::connect(proxy.address("shop"));
    client.server();
    let off = answers("0").replace("[[virtual", "enabled = false\n[[virtual");
    proxy.change(&off);
    client.expect_end();
    assert!(proxy.status().virtual_services.is_empty());
    proxy.change(&answers("0"));
    Client::connect(proxy.address("shop")).server();
    assert_eq!(proxy.service("shop").connections, 2);
}

#[test]
fn a_pause_of_a_worker_is_measured() {
    let proxy = start(&answers("0"));
    proxy.change(&answers("1"));
    let count = |page: &str| -> u64 {
        let name = "lb_worker_pause_seconds_count ";
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().parse().unwrap()
    };
    eventually("two changes on two workers", || {
        count(&proxy.metrics()) >= 4
    });
}
