//! Changes of large configurations.

use super::*;

const POOLS: usize = 1_000;
const SERVERS: usize = 10;

/// Ten thousand servers in a thousand pools, and a rule for each pool.
fn large(weight: usize, only_in: Option<usize>) -> String {
    let mut text = "[virtual_services.shop]\naddress = \"127.0.0.1:0\"\npool = \"p0\"\n".to_owned();
    for pool in 0..POOLS {
        write!(
            text,
            "[[virtual_services.shop.rules]]\nname = \"r{pool}\"\n\
             match = {{ path = {{ prefix = \"/{pool}/\" }} }}\naction = {{ pool = \"p{pool}\" }}\n"
        )
        .unwrap();
    }
    for pool in 0..POOLS {
        writeln!(text, "[pools.p{pool}]").unwrap();
        for server in 0..SERVERS {
            let weight = if only_in.is_none_or(|only| only == pool) {
                weight
            } else {
                100
            };
            writeln!(
                text,
                "servers.s{server} = {{ address = \"192.0.2.{server}:80\", weight = {weight} }}"
            )
            .unwrap();
        }
    }
    text
}

#[test]
fn a_change_of_ten_thousand_servers_takes_a_moment_and_hardly_holds_up_anybody() {
    let proxy = start(&large(100, None));
    for (what, only_in) in [("one pool", Some(7)), ("every pool", None)] {
        for weight in [1, 2, 3] {
            let next = config(&large(weight, only_in));
            let pauses = proxy.pauses.durations(|pauses| pauses);
            let began = Instant::now();
            let prepared = proxy.prepare(&next, &Material::default()).unwrap();
            let prepare = began.elapsed();
            let began = Instant::now();
            proxy.commit(prepared);
            let commit = began.elapsed();
            assert_eq!(
                proxy.server("p7", "s3").weight,
                u32::try_from(weight).unwrap()
            );
            std::thread::sleep(Duration::from_millis(20));
            let pauses = proxy.pauses.durations(|pauses| pauses).since(&pauses);
            println!(
                "{what}: prepare {prepare:?}, commit {commit:?}, worker turns {}, longest below {:?}",
                pauses.count(),
                pauses.quantile(1.0),
            );
            // Generous: other tests run at the same time. The figures are in docs/decisions.
            assert!(prepare + commit < Duration::from_secs(2), "{what}");
        }
    }
}
