//! What becomes of listening sockets.

use std::io::ErrorKind;

use super::*;

/// The sockets that listen on a port, as the kernel numbers them.
fn listening(port: u16) -> Vec<String> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = format!(":{port:04X}");
    let lines = table.lines().map(|line| line.split_whitespace().collect());
    let mut found: Vec<String> = lines
        .filter(|fields: &Vec<&str>| fields[1].ends_with(&port) && fields[3] == "0A")
        .map(|fields| fields[9].to_owned())
        .collect();
    found.sort();
    found
}

fn at(name: &str, address: SocketAddr, body: &str) -> String {
    format!(
        "[virtual_services.{name}]\naddress = \"{address}\"\n\
         [[virtual_services.{name}.rules]]\nname = \"all\"\n\
         action = {{ respond = {{ status = 200, body = \"{body}\" }} }}\n"
    )
}

#[test]
fn a_service_keeps_its_sockets_whatever_changes_but_its_address() {
    let (one, two) = (free_address(), free_address());
    let proxy = start(&at("a", one, "1"));
    let before = listening(one.port());
    assert_eq!(before.len(), 2, "one for each worker");
    let mut open = Client::connect(one);
    open.server();
    proxy.change(&(at("a", one, "2") + &at("b", two, "b")));
    assert_eq!(
        (listening(one.port()), open.server().as_str()),
        (before.clone(), "2")
    );
    // It stays also when the address goes to another virtual service.
    proxy.change(&at("renamed", one, "3"));
    assert_eq!(listening(one.port()), before);
    assert_eq!(Client::connect(one).server(), "3");
    eventually("the other one is closed", || {
        listening(two.port()).is_empty()
    });
    assert_eq!(listening(one.port()), before);
}

#[test]
fn two_services_can_exchange_their_addresses() {
    let (one, two) = (free_address(), free_address());
    let proxy = start(&(at("a", one, "a") + &at("b", two, "b")));
    for _ in 0..5 {
        proxy.change(&(at("a", two, "a") + &at("b", one, "b")));
        let bodies = [one, two].map(|address| Client::connect(address).server());
        assert_eq!(bodies, ["b", "a"]);
        proxy.change(&(at("a", one, "a") + &at("b", two, "b")));
        let bodies = [one, two].map(|address| Client::connect(address).server());
        assert_eq!(bodies, ["a", "b"]);
    }
}

#[test]
fn an_address_can_widen_to_all_addresses_and_narrow_again() {
    let narrow = free_address();
    let wide = SocketAddr::new([0, 0, 0, 0].into(), narrow.port());
    let proxy = start(&at("a", narrow, "narrow"));
    for _ in 0..3 {
        proxy.change(&at("a", wide, "wide"));
        eventually("the narrow one is closed", || {
            Client::connect(narrow).server() == "wide"
        });
        proxy.change(&at("a", narrow, "narrow"));
        assert_eq!(Client::connect(narrow).server(), "narrow");
    }
}

#[test]
fn what_was_taken_back_at_once_was_never_gone() {
    let address = free_address();
    let text = at("a", address, "here");
    let proxy = start(&text);
    let before = listening(address.port());
    for _ in 0..50 {
        proxy.change("");
        proxy.change(&text);
        assert_eq!(Client::connect(address).server(), "here");
    }
    assert_eq!(listening(address.port()), before);
}

#[test]
fn a_removed_service_refuses_within_a_moment() {
    let address = free_address();
    let proxy = start(&at("a", address, "a"));
    proxy.change("");
    eventually("the socket is closed", || {
        listening(address.port()).is_empty()
    });
    let refused = Client::try_connect(address).err().map(|error| error.kind());
    assert_eq!(refused, Some(ErrorKind::ConnectionRefused));
    // Another program can have it now.
    drop(TcpListener::bind(address).unwrap());
}

#[test]
fn nobody_is_accepted_and_then_reset_while_a_service_moves() {
    let (one, two) = (free_address(), free_address());
    let proxy = start(&at("a", one, "a"));
    let stop = AtomicBool::new(false);
    let (served, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for address in [one, two, one, two] {
            let (stop, served, refused) = (&stop, &served, &refused);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    match Client::try_connect(address) {
                        Ok(mut client) => {
                            let answer = client.try_get("/", "");
                            assert_eq!(answer.unwrap().body, "a");
                            served.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
                            refused.fetch_add(1, Ordering::Relaxed);
                            std::thread::sleep(Duration::from_millis(1));
                        }
                    }
                }
            });
        }
        for round in 0..12 {
            let address = if round % 2 == 0 { two } else { one };
            proxy.change(&at("a", address, "a"));
            // Longer and shorter than it takes a socket to close.
            std::thread::sleep(Duration::from_millis(if round < 6 { 700 } else { 50 }));
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(served.load(Ordering::Relaxed) > 100);
    assert!(refused.load(Ordering::Relaxed) > 0);
}

#[test]
fn connections_that_wait_in_the_kernel_are_served_by_a_service_that_goes() {
    let address = free_address();
    let a = Site::new("a");
    let text = format!(
        "[virtual_services.shop]\naddress = \"{address}\"\nconnections_max = 1\npool = \"web\"\n{}",
        pool("web", &[("a", a.address)])
    );
    let proxy = start(&text);
    let mut busy = Client::connect(address);
    busy.ask("/hold", "").unwrap();
    eventually("the only place is taken", || a.held() == 1);
    let mut waiting: Vec<Client> = (0..8).map(|_| Client::connect(address)).collect();
    for client in &mut waiting {
        client.ask("/", "").unwrap();
    }
    proxy.change("");
    // Longer than a socket takes to close on which nobody waits.
    std::thread::sleep(Duration::from_millis(700));
    a.release();
    assert_eq!(busy.answer().unwrap().body, "a");
    for client in &mut waiting {
        let answer = client.answer().unwrap();
        assert_eq!((answer.body.as_str(), answer.last), ("a", true));
    }
}

#[test]
fn what_is_only_prepared_has_no_effect_and_leaves_nothing_behind() {
    let (one, two) = (free_address(), free_address());
    let a = Site::new("a");
    let pool = "[pools.web]\nhealth_check = { interval = \"20ms\" }\n";
    let text = |state: &str, address: SocketAddr| {
        format!(
            "[virtual_services.shop]\naddress = \"{address}\"\npool = \"web\"\n{pool}\
             servers.a = {{ address = \"{}\", state = \"{state}\", connections_max = 1 }}\n",
            a.address
        )
    };
    let proxy = start(&text("enabled", one));
    eventually("it is up", || {
        proxy.server("web", "a").condition == lb_model::status::Condition::Up
    });
    let before = proxy.server("web", "a");
    let without_check = text("disabled", two).replace("health_check = { interval = \"20ms\" }", "");
    let prepared = proxy
        .prepare(&config(&without_check), &Material::default())
        .unwrap();
    assert_eq!(prepared.addresses().len(), 1);
    assert_eq!(listening(two.port()).len(), 2);
    let probes = a.connections();
    eventually("probes go on", || a.connections() > probes);
    assert_eq!(proxy.server("web", "a").condition, before.condition);
    assert_eq!(Client::connect(one).server(), "a");
    drop(prepared);
    assert_eq!(listening(two.port()), Vec::<String>::new());
    assert_eq!(Client::connect(one).server(), "a");
}

#[test]
fn an_address_in_use_is_an_error_that_changes_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (one, two) = (free_address(), taken.local_addr().unwrap());
    let proxy = start(&at("a", one, "a"));
    let error = proxy.prepare(
        &config(&(at("a", one, "x") + &at("b", two, "b"))),
        &Material::default(),
    );
    let error = error.err().unwrap();
    assert_eq!((error.service.as_str(), error.address), ("b", two));
    assert_eq!(Client::connect(one).server(), "a");
    drop(taken);
    proxy.change(&(at("a", one, "x") + &at("b", two, "b")));
    let bodies = [one, two].map(|address| Client::connect(address).server());
    assert_eq!(bodies, ["x", "b"]);
}

#[test]
fn sockets_can_come_from_elsewhere_and_are_let_go() {
    /// Keeps what it gives, as a supervisor does.
    #[derive(Default)]
    struct Kept {
        given: Mutex<BTreeMap<(Name, SocketAddr), Vec<TcpListener>>>,
        released: Mutex<Vec<Name>>,
    }

    impl Sockets for Kept {
        fn listen(
            &self,
            service: &Name,
            address: SocketAddr,
            count: usize,
        ) -> io::Result<Vec<TcpListener>> {
            let mut given = locked(&self.given);
            let listeners = given
                .entry((service.clone(), address))
                .or_insert_with(|| crate::bind(address, count).unwrap());
            listeners.iter().map(TcpListener::try_clone).collect()
        }

        fn release(&self, service: &Name, _: SocketAddr) {
            locked(&self.released).push(service.clone());
        }

        fn listen_datagram(
            &self,
            _: &Name,
            _: SocketAddr,
            _: usize,
        ) -> io::Result<Vec<std::net::UdpSocket>> {
            Err(ErrorKind::Unsupported.into())
        }

        fn release_datagram(&self, _: &Name, _: SocketAddr) {}
    }

    let kept = Arc::new(Kept::default());
    let options = || Options {
        workers: NonZeroUsize::new(2).unwrap(),
        connections_max: 100,
        access_log: None,
        sockets: Arc::clone(&kept) as Arc<dyn Sockets>,
        memory: Memory::default(),
        material: Material::default(),
    };
    let address = free_address();
    let text = config(&at("a", address, "here"));
    let first = Proxy::start(&text, options()).unwrap();
    assert_eq!(Client::connect(address).server(), "here");
    first.drain(Duration::from_secs(1));
    eventually("it has let go", || locked(&kept.released).len() == 1);
    // Whoever comes meanwhile waits for the next one.
    let mut waiting = Client::connect(address);
    waiting.ask("/", "").unwrap();
    let second = Proxy::start(&text, options()).unwrap();
    assert_eq!(waiting.answer().unwrap().body, "here");
    first.change("");
    assert_eq!(
        Client::connect(address).server(),
        "here",
        "a drained one is silent"
    );
    second.change("");
    eventually("the last one lets go too", || {
        locked(&kept.released).len() == 2
    });
}
