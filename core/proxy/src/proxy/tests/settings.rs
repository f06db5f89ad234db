//! Settings that are no rules, pools or servers.

use super::*;

/// Remembers lines.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl AccessSink for Lines {
    fn write(&self, line: Vec<u8>) -> bool {
        locked(&self.0).push(String::from_utf8(line).unwrap());
        true
    }
}

#[test]
fn the_access_log_is_switched_on_off_and_to_another_format_or_place() {
    let a = Site::new("a");
    let (first, second) = (Arc::new(Lines::default()), Arc::new(Lines::default()));
    let off = shop(&[("a", a.address)]);
    let with = |format: &str| {
        format!("{off}[telemetry.access_log]\noutput = \"stdout\"\nformat = \"{format}\"\n")
    };
    let proxy = start_with(&off, Some(Arc::clone(&first) as Arc<dyn AccessSink>));
    let mut client = Client::connect(proxy.address("shop"));
    let mut round = 0;
    // The line of an answer is written a moment after it.
    let mut lines = |lines: &Lines| {
        round += 1;
        let path = format!("/round-{round}");
        client.get(&path);
        let until = Instant::now() + Duration::from_millis(200);
        loop {
            let written = locked(&lines.0);
            if let Some(line) = written.iter().find(|line| line.contains(&path)) {
                return line.clone();
            }
            drop(written);
            if Instant::now() >= until {
                return String::new();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    assert_eq!(lines(&first), "");
    proxy.change(&with("json"));
    assert!(lines(&first).starts_with('{'));
    proxy.change(&with("combined"));
    assert!(lines(&first).starts_with("127.0.0.1 "));
    let prepared = proxy
        .prepare(&config(&with("json")), &Material::default())
        .unwrap();
    let sink = Some(Arc::clone(&second) as Arc<dyn AccessSink>);
    proxy.commit(prepared.with_access_log(sink));
    assert!(lines(&second).starts_with('{'));
    let before = locked(&first.0).len();
    proxy.change(&off);
    assert_eq!(lines(&second), "");
    assert_eq!(locked(&first.0).len(), before);
}

#[test]
fn limits_on_connections_are_raised_and_lowered_while_they_are_in_use() {
    let a = Site::new("a");
    let text = |service: &str, balancer: &str| {
        shop(&[("a", a.address)]).replace("pool = ", &format!("{service}pool = "))
            + &format!("[limits]\n{balancer}\n")
    };
    let proxy = start(&text("connections_max = 2\n", ""));
    let address = proxy.address("shop");
    let mut clients: Vec<Client> = (0..6).map(|_| Client::connect(address)).collect();
    for client in &mut clients {
        client.ask("/", "").unwrap();
    }
    let open = || proxy.service("shop").connections_open;
    eventually("two get in", || open() == 2);
    proxy.change(&text("connections_max = 4\n", ""));
    eventually("two more get in", || open() == 4);
    proxy.change(&text("", "connections_max = 5"));
    eventually("and one more", || open() == 5);
    proxy.change(&text("connections_max = 1\n", "connections_max = 2"));
    assert_eq!(open(), 5, "nobody is thrown out");
    // Who has had an answer goes; too many are left for the last one to get in.
    clients.drain(..3);
    eventually("three have gone", || open() <= 3);
    proxy.change(&text("", ""));
    for client in &mut clients {
        assert_eq!(client.answer().unwrap().body, "a");
    }
}

#[test]
fn sessions_survive_every_change_that_keeps_what_they_are_known_by() {
    let (a, b) = (Site::new("a"), Site::new("b"));
    let text = |extra: &str| {
        shop(&[("a", a.address), ("b", b.address)])
            + &format!("persistence = {{ source = {{ timeout = \"1h\" }} }}\n{extra}")
    };
    let proxy = start(&text(""));
    let mut client = Client::connect(proxy.address("shop"));
    let mine = client.server();
    for extra in [
        "retries = 1\n",
        "balance = \"random_of_two\"\n",
        "slow_start = \"1h\"\n",
    ] {
        proxy.change(&text(extra));
        (0..5).for_each(|_| assert_eq!(client.server(), mine));
    }
    let longer = text("").replace("1h", "2h");
    proxy.change(&longer);
    (0..5).for_each(|_| assert_eq!(client.server(), mine));
}
