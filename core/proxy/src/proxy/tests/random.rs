//! Changes at random under traffic that must not notice.

use super::*;
use crate::balance::random::Random;

const CHANGES: u32 = 200;
const CLIENTS: usize = 6;

/// A document in which `/` is always answered by a server that is there.
fn document(random: &Random, sites: &[Site]) -> String {
    let chance = |percent: u64| random.below(100) < percent;
    let one_of = |choices: &[&'static str]| {
        choices[usize::try_from(random.below(choices.len() as u64)).unwrap()]
    };
    let mut pools = String::new();
    for name in ["one", "two"] {
        let balance = one_of(&[
            "round_robin",
            "least_connections",
            "random_of_two",
            "source_hash",
        ]);
        write!(pools, "[pools.{name}]\nbalance = \"{balance}\"\n").unwrap();
        if chance(40) {
            pools += "health_check = { interval = \"50ms\" }\n";
        }
        if chance(30) {
            pools += "persistence = { cookie = {} }\n";
        }
        if chance(30) {
            writeln!(pools, "reuse = {{ idle_max = {} }}", random.below(3)).unwrap();
        }
        for (number, site) in sites.iter().enumerate() {
            // One is always there.
            let first = number == 0;
            if !first && chance(30) {
                continue;
            }
            let mut rest = format!(", weight = {}", 1 + random.below(100));
            if !first && chance(30) {
                let state = one_of(&["disabled", "draining", "enabled"]);
                write!(rest, ", state = \"{state}\"").unwrap();
            }
            if chance(30) {
                write!(rest, ", connections_max = {}", 1 + random.below(4)).unwrap();
            }
            writeln!(
                pools,
                "servers.s{number} = {{ address = \"{}\"{rest} }}",
                site.address
            )
            .unwrap();
        }
    }
    let mut services =
        "[virtual_services.shop]\naddress = \"127.0.0.1:0\"\npool = \"one\"\n".to_owned();
    if chance(30) {
        services += "connections_max = 100\n";
    }
    for number in 0..random.below(4) {
        let pool = one_of(&["one", "two"]);
        write!(
            services,
            "[[virtual_services.shop.rules]]\nname = \"r{number}\"\n\
             match = {{ path = {{ prefix = \"/{number}\" }} }}\naction = {{ pool = \"{pool}\" }}\n"
        )
        .unwrap();
    }
    services += "[[virtual_services.shop.rules]]\nname = \"two\"\n\
                 match = { path = { exact = \"/two\" } }\naction = { pool = \"two\" }\n";
    if chance(50) {
        services += "[virtual_services.other]\naddress = \"127.0.0.1:0\"\npool = \"two\"\n";
    }
    services + &pools
}

#[test]
fn two_hundred_changes_under_constant_requests_fail_none() {
    let sites: Vec<Site> = ["a", "b", "c", "d"].into_iter().map(Site::new).collect();
    let random = Random::seeded(42);
    let proxy = start(&document(&random, &sites));
    let address = proxy.address("shop");
    let stop = AtomicBool::new(false);
    let served = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (stop, served) = (&stop, &served);
            scope.spawn(move || {
                let mut client = Client::connect(address);
                let paths = ["/", "/0", "/1", "/2", "/two"];
                for path in paths.iter().cycle() {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    // One half keeps its connections, the other opens new ones.
                    if number % 2 == 0 {
                        client = Client::connect(address);
                    }
                    let answer = client.try_get(path, "").unwrap();
                    assert_eq!((answer.status, answer.last), (200, false), "{answer:?}");
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..CHANGES {
            proxy.change(&document(&random, &sites));
            std::thread::sleep(Duration::from_millis(random.below(10)));
            // However slow the machine is, each change has requests before and after it.
            let seen = served.load(Ordering::Relaxed);
            eventually("requests go on", || {
                served.load(Ordering::Relaxed) >= seen + CLIENTS
            });
        }
        stop.store(true, Ordering::Relaxed);
    });
    eventually("nothing is in progress any more", || {
        let status = proxy.status();
        let mut servers = status.pools.values().flat_map(|pool| pool.servers.values());
        servers.all(|server| server.in_progress == 0)
    });
    for pool in proxy.status().pools.values() {
        assert_eq!(pool.queue_length, 0);
    }
}
