//! What becomes of client connections.

use super::*;

#[test]
fn the_next_request_on_an_open_connection_meets_the_new_rules_and_pools() {
    let (a, b) = (Site::new("a"), Site::new("b"));
    let before = shop(&[("a", a.address)]);
    let proxy = start(&before);
    let mut client = Client::connect(proxy.address("shop"));
    assert_eq!(client.server(), "a");
    proxy.change(&shop(&[("b", b.address)]));
    assert_eq!(client.server(), "b", "another server");
    let rule = "[[virtual_services.shop.rules]]\nname = \"tea\"\n\
                action = { respond = { status = 418, body = \"tea\" } }\n";
    proxy.change(&(before.clone() + rule));
    assert_eq!(
        (client.get("/").status, client.server().as_str()),
        (418, "tea")
    );
    proxy.change(&before);
    assert_eq!(client.server(), "a");
    assert_eq!(proxy.service("shop").connections, 1);
    eventually("every answer is counted", || {
        proxy.service("shop").responses.total() == 5
    });
}

#[test]
fn what_servers_are_told_of_the_client_follows_the_configuration() {
    let proxy = start(
        "[virtual_services.front]\naddress = \"127.0.0.1:0\"\n\
         [[virtual_services.front.rules]]\nname = \"x\"\n\
         action = { respond = { status = 200, body = \"1\" } }\n\
         request_headers = { set = { X-A = \"1\" } }\n",
    );
    let mut client = Client::connect(proxy.address("front"));
    assert_eq!(client.server(), "1");
    proxy.change(
        "[virtual_services.front]\naddress = \"127.0.0.1:0\"\nhead = { fields_max = 8 }\n\
         [[virtual_services.front.rules]]\nname = \"x\"\n\
         action = { respond = { status = 200, body = \"2\" } }\n",
    );
    assert_eq!(client.server(), "2");
    let many = "X-A: x\r\n".repeat(8);
    assert_eq!(client.try_get("/", &many).unwrap().status, 431);
}

#[test]
fn a_request_in_progress_finishes_though_everything_it_uses_is_removed() {
    let (a, b) = (Site::new("a"), Site::new("b"));
    let proxy = start(&shop(&[("a", a.address)]));
    let mut client = Client::connect(proxy.address("shop"));
    client.ask("/hold", "").unwrap();
    eventually("the request is at its server", || a.held() == 1);
    // Its server, then its pool, then its virtual service.
    proxy.change(&shop(&[("b", b.address)]));
    proxy.change(
        "[virtual_services.shop]\naddress = \"127.0.0.1:0\"\n\
         unavailable = { close = true }\npool = \"other\"\n[pools.other]\n\
         servers.x = { address = \"127.0.0.1:1\" }\n",
    );
    proxy.change("");
    assert!(client.is_open());
    a.release();
    let answer = client.answer().unwrap();
    assert_eq!((answer.body.as_str(), answer.last), ("a", true));
    client.expect_end();
    eventually("the connection to the server is closed", || a.open() == 0);
}

#[test]
fn a_removed_service_lets_tunnels_finish_and_closes_what_is_idle() {
    let (a, tcp) = (Site::new("a"), Site::new("tcp"));
    let plain = format!(
        "[virtual_services.raw]\naddress = \"127.0.0.1:0\"\nprotocol = \"tcp\"\npool = \"raw\"\n{}",
        pool("raw", &[("t", tcp.address)])
    );
    let proxy = start(&(shop(&[("a", a.address)]) + &plain));
    let mut idle = Client::connect(proxy.address("shop"));
    idle.server();
    let fresh = Client::connect(proxy.address("shop"));
    let mut socket = Client::connect(proxy.address("shop"));
    socket.upgrade();
    let mut raw = Client::connect(proxy.address("raw"));
    raw.upgrade();
    eventually("all are accepted", || {
        proxy.service("shop").connections_open == 3
    });
    proxy.change("");
    idle.expect_end();
    socket.echo("still here");
    raw.echo("still here too");
    // A client that was let in is owed an answer.
    let mut fresh = fresh;
    let answer = fresh.get("/");
    assert_eq!((answer.body.as_str(), answer.last), ("a", true));
    fresh.expect_end();
    socket.echo("to the end");
    drop((socket, raw));
    eventually("tunnels end with their clients", || {
        a.open() + tcp.open() == 0
    });
}

#[test]
fn a_service_that_changes_everything_but_its_address_keeps_its_tunnels_and_counters() {
    let (a, b) = (Site::new("a"), Site::new("b"));
    let proxy = start(&shop(&[("a", a.address)]));
    let mut socket = Client::connect(proxy.address("shop"));
    socket.upgrade();
    proxy.change(&format!(
        "[virtual_services.shop]\naddress = \"127.0.0.1:0\"\nprotocol = \"tcp\"\npool = \"web\"\n{}",
        pool("web", &[("b", b.address)])
    ));
    socket.echo("over HTTP");
    let mut raw = Client::connect(proxy.address("shop"));
    raw.upgrade();
    raw.echo("over TCP");
    assert_eq!(b.requests(), 1);
    assert_eq!(proxy.service("shop").connections, 2);
    drop(socket);
    eventually("the end of the first is counted", || {
        proxy.service("shop").connections_open == 1
    });
}

#[test]
fn an_idle_http_connection_ends_when_its_service_carries_another_protocol() {
    let a = Site::new("a");
    let text = shop(&[("a", a.address)]);
    let proxy = start(&text);
    let mut idle = Client::connect(proxy.address("shop"));
    idle.server();
    proxy.change(&text.replace("pool = ", "protocol = \"tcp\"\npool = "));
    idle.expect_end();
}

#[test]
fn a_request_that_waits_in_a_queue_is_decided_about_anew() {
    let (a, b) = (Site::new("a"), Site::new("b"));
    let limited = |name: &str, site: &Site| {
        let server = format!(
            "servers.{name} = {{ address = \"{}\", connections_max = 1 }}\n",
            site.address
        );
        "[virtual_services.shop]\naddress = \"127.0.0.1:0\"\npool = \"web\"\n[pools.web]\n"
            .to_owned()
            + &server
    };
    let proxy = start(&limited("a", &a));
    let address = proxy.address("shop");
    let mut busy = Client::connect(address);
    busy.ask("/hold", "").unwrap();
    eventually("the server is busy", || a.held() == 1);
    let mut waiting: Vec<Client> = (0..10).map(|_| Client::connect(address)).collect();
    for client in &mut waiting {
        client.ask("/", "").unwrap();
    }
    eventually("they wait", || {
        proxy.status().pools["web"].queue_length == 10
    });
    proxy.change(&limited("b", &b));
    for client in &mut waiting {
        assert_eq!(client.answer().unwrap().body, "b");
    }
    a.release();
    assert_eq!(busy.answer().unwrap().body, "a");
    assert_eq!(proxy.status().pools["web"].queue_length, 0);
}

#[test]
fn who_waits_does_not_wait_longer_because_the_configuration_changes() {
    let a = Site::new("a");
    let text = |retries: u32| {
        format!(
            "[virtual_services.shop]\naddress = \"127.0.0.1:0\"\npool = \"web\"\n[pools.web]\n\
             retries = {retries}\nqueue = {{ timeout = \"400ms\" }}\n\
             servers.a = {{ address = \"{}\", connections_max = 1 }}\n",
            a.address
        )
    };
    let proxy = start(&text(0));
    let mut busy = Client::connect(proxy.address("shop"));
    busy.ask("/hold", "").unwrap();
    eventually("the server is busy", || a.held() == 1);
    let mut waiting = Client::connect(proxy.address("shop"));
    let began = Instant::now();
    waiting.ask("/", "").unwrap();
    waiting.stream.set_nonblocking(true).unwrap();
    let mut retries = 0;
    while waiting.stream.peek(&mut [0]).is_err() {
        retries = (retries + 1) % 10;
        proxy.change(&text(retries));
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "it waits for ever"
        );
    }
    waiting.stream.set_nonblocking(false).unwrap();
    assert_eq!(waiting.answer().unwrap().status, 503);
    a.release();
    assert_eq!(busy.answer().unwrap().body, "a");
}
