//! What becomes of servers and the connections to them.

use super::*;

/// Two virtual services, each in front of a server of its own pool.
fn two(a: &Site, b: &Site) -> String {
    format!(
        "[virtual_services.shop]\naddress = \"127.0.0.1:0\"\npool = \"web\"\n\
         [virtual_services.blog]\naddress = \"127.0.0.1:0\"\npool = \"text\"\n{}{}",
        pool("web", &[("a", a.address)]),
        pool("text", &[("b", b.address)])
    )
}

#[test]
fn a_change_elsewhere_leaves_idle_connections_to_servers_alone() {
    let (a, b, c) = (Site::new("a"), Site::new("b"), Site::new("c"));
    let proxy = start(&two(&a, &b));
    let mut client = Client::connect(proxy.address("shop"));
    for round in 1..=20 {
        assert_eq!(client.server(), "a");
        let other = if round % 2 == 0 { &b } else { &c };
        proxy.change(&two(&a, other));
    }
    assert_eq!(a.connections(), 1, "one connection carried all requests");
    assert_eq!(proxy.server("web", "a").requests, 20);
}

#[test]
fn a_server_that_stays_keeps_its_connections_when_its_pool_changes() {
    let (a, b) = (Site::new("a"), Site::new("b"));
    let proxy = start(&shop(&[("a", a.address)]));
    let mut client = Client::connect(proxy.address("shop"));
    client.server();
    // Another one before it moves its position.
    let both = shop(&[("_b", b.address), ("a", a.address)]).replace("_b", "0b");
    for weight in [10, 20, 30] {
        let text = both.replace("\" }\n", &format!("\", weight = {weight} }}\n"));
        proxy.change(&text);
        (0..4).for_each(|_| drop(client.server()));
        assert_eq!(proxy.server("web", "a").weight, weight);
    }
    assert_eq!((a.connections(), b.connections()), (1, 1));
    assert_eq!(proxy.server("web", "a").requests, 7);
}

#[test]
fn idle_connections_to_a_server_that_goes_are_closed_at_once() {
    let (a, b) = (Site::new("a"), Site::new("b"));
    let kept = shop(&[("a", a.address), ("b", b.address)]);
    let disabled = kept.replace("\" }\n", "\", state = \"disabled\" }\n");
    let disabled = disabled.replacen("disabled", "enabled", 1);
    let moved = kept.replace(&b.address.to_string(), "127.0.0.1:1");
    for after in [shop(&[("a", a.address)]), disabled, moved] {
        let proxy = start(&kept);
        let mut client = Client::connect(proxy.address("shop"));
        (0..4).for_each(|_| drop(client.server()));
        assert_eq!((a.open(), b.open()), (1, 1));
        proxy.change(&after);
        eventually("the one that goes is closed", || b.open() == 0);
        assert_eq!((0..4).map(|_| client.get("/").status).max(), Some(200));
        assert_eq!(a.open(), 1, "the one that stays is not");
        drop(proxy);
        eventually("nothing is left", || a.open() == 0);
    }
}

#[test]
fn a_request_in_progress_at_a_server_that_goes_finishes_and_its_connection_is_not_kept() {
    let (a, b) = (Site::new("a"), Site::new("b"));
    let proxy = start(&shop(&[("a", a.address)]));
    let mut client = Client::connect(proxy.address("shop"));
    client.ask("/hold", "").unwrap();
    eventually("the request is at its server", || a.held() == 1);
    assert_eq!(proxy.in_progress(&name("web"), &name("a")), Some(1));
    assert_eq!(proxy.connections_open(&name("shop")), Some(1));
    proxy.change(&shop(&[("b", b.address)]));
    assert_eq!(client.stream.set_nonblocking(false).ok(), Some(()));
    a.release();
    let answer = client.answer().unwrap();
    assert_eq!((answer.body.as_str(), answer.last), ("a", false));
    eventually("it is closed after its request", || a.open() == 0);
    assert_eq!(client.server(), "b", "the client goes on");
}

#[test]
fn private_connections_live_through_changes_and_end_with_their_server() {
    let (a, b, c) = (Site::new("a"), Site::new("b"), Site::new("c"));
    let proxy = start(&two(&a, &b));
    let mut client = Client::connect(proxy.address("shop"));
    let mut ask = |expected: &str| {
        let answer = client.try_get("/", "Authorization: NTLM x\r\n").unwrap();
        assert_eq!(answer.body, expected);
    };
    ask("a");
    proxy.change(&two(&a, &c));
    ask("a");
    let with_other = two(&a, &c).replace(
        "[pools.web]\n",
        &format!(
            "[pools.web]\nservers.0 = {{ address = \"{}\" }}\n",
            c.address
        ),
    );
    proxy.change(&with_other);
    (0..5).for_each(|_| ask("a"));
    assert_eq!(
        a.connections(),
        1,
        "it is the same one through every change"
    );
    // The client stays idle, the connection goes all the same.
    proxy.change(&two(&c, &c).replace("servers.b", "servers.c"));
    eventually("it is closed with its server", || a.open() == 0);
    ask("c");
}

#[test]
fn a_server_is_known_by_name_and_address() {
    let (a, b) = (Site::new("a"), Site::new("b"));
    let proxy = start(&shop(&[("a", a.address)]));
    let mut client = Client::connect(proxy.address("shop"));
    (0..3).for_each(|_| drop(client.server()));
    proxy.change(&shop(&[("a", a.address), ("b", b.address)]));
    assert_eq!(proxy.server("web", "a").requests, 3);
    proxy.change(&shop(&[("a", b.address)]));
    assert_eq!(proxy.server("web", "a").requests, 0, "another address");
    assert_eq!(client.server(), "b");
}

#[test]
fn limits_that_are_set_later_count_what_is_in_progress_already() {
    let a = Site::new("a");
    let text = |limit: &str| {
        format!(
            "[virtual_services.shop]\naddress = \"127.0.0.1:0\"\npool = \"web\"\n[pools.web]\n\
             servers.a = {{ address = \"{}\"{limit} }}\n",
            a.address
        )
    };
    let (free, limited) = (text(""), text(", connections_max = 2"));
    let proxy = start(&free);
    let address = proxy.address("shop");
    // More than once: what is counted at one change must be right at the next.
    for _ in 0..3 {
        let mut busy: Vec<Client> = (0..2).map(|_| Client::connect(address)).collect();
        let held = a.held();
        for client in &mut busy {
            client.ask("/hold", "").unwrap();
        }
        eventually("two are at the server", || a.held() == held + 2);
        proxy.change(&limited);
        let mut third = Client::connect(address);
        third.ask("/hold", "").unwrap();
        eventually("a third one waits", || {
            proxy.status().pools["web"].queue_length == 1
        });
        proxy.change(&free);
        eventually("without a limit it does not", || a.held() == held + 3);
        busy.push(third);
        proxy.change(&limited);
        proxy.change(&free);
        proxy.change(&limited);
        a.release();
        for client in &mut busy {
            assert_eq!(client.answer().unwrap().body, "a");
        }
        eventually("nothing is in progress", || {
            proxy.server("web", "a").in_progress == 0
        });
        let mut after: Vec<Client> = (0..2).map(|_| Client::connect(address)).collect();
        for client in &mut after {
            assert_eq!(client.server(), "a", "no place is lost");
        }
        proxy.change(&free);
        a.hold_again();
    }
}

#[test]
fn health_goes_on_without_a_gap_and_new_settings_hold_at_once() {
    let a = Site::new("a");
    let text = |weight: u32, check: &str| {
        shop(&[("a", a.address)]).replace("\" }\n", &format!("\", weight = {weight} }}\n"))
            + &format!("health_check = {{ {check} }}\n")
    };
    let often = "interval = \"20ms\", probe = { http = { path = \"/\" } }";
    let proxy = start(&text(1, often));
    eventually("it is up", || {
        proxy.server("web", "a").condition == lb_model::status::Condition::Up
    });
    let up = proxy.server("web", "a");
    assert_eq!(up.probe.as_deref(), Some("status 200"));
    // Changes that come faster than probes do not hold them up.
    let before = a.requests();
    let began = Instant::now();
    let mut weight = 1;
    while a.requests() < before + 10 {
        weight = weight % 100 + 1;
        proxy.change(&text(weight, often));
        assert!(began.elapsed() < Duration::from_secs(10), "no probe comes");
    }
    let millis = |status: &lb_model::status::ServerStatus| status.since.unix_millis();
    let now = proxy.server("web", "a");
    assert_eq!(now.condition, lb_model::status::Condition::Up);
    assert!(
        millis(&now).abs_diff(millis(&up)) < 5,
        "it was up all the time"
    );
    // Another probe is sent soon though the next one was due in an hour; until then it is up.
    proxy.change(&text(
        1,
        "interval = \"1h\", probe = { http = { path = \"/\" } }",
    ));
    assert_eq!(
        proxy.server("web", "a").condition,
        lb_model::status::Condition::Up
    );
    proxy.change(&text(
        1,
        "interval = \"1h\", fall = 1, probe = { http = { path = \"/\", expect = [404] } }",
    ));
    assert_eq!(
        proxy.server("web", "a").condition,
        lb_model::status::Condition::Up
    );
    eventually("the new settings find it down", || {
        proxy.server("web", "a").condition == lb_model::status::Condition::Down
    });
    let down = proxy.server("web", "a");
    assert_eq!(down.reason.as_deref(), Some("status 200"));
    // Without a check nothing keeps it down, and nobody probes.
    proxy.change(&shop(&[("a", a.address)]));
    assert_eq!(
        proxy.server("web", "a").condition,
        lb_model::status::Condition::Unchecked
    );
    let mut client = Client::connect(proxy.address("shop"));
    assert_eq!(client.server(), "a");
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}
