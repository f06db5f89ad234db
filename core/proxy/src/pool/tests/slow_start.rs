//! A server that comes up gets its share little by little, whatever the algorithm.

use super::*;

const REQUESTS: u32 = 20_000;

/// A pool whose first server would have its full share, but for its slow start.
fn farm(balance: Balance) -> Farm {
    Farm::new(&["a", "b", "c", "d"], |model| {
        model.balance = balance;
        model.slow_start = Some(Period::seconds(100));
    })
}

/// The share of the first server, over requests of many clients.
fn share(farm: &Farm) -> f64 {
    let client = |n: u32| IpAddr::from(n.to_be_bytes()).to_string();
    let hits = (0..REQUESTS).filter(|n| farm.request(&client(*n)) == Ok("a"));
    f64::from(u32::try_from(hits.count()).unwrap()) / f64::from(REQUESTS)
}

/// The share of the first server once warm: fixed weighting gives it all.
fn whole(balance: Balance) -> f64 {
    match balance {
        Balance::FixedWeighting => 1.0,
        Balance::RoundRobin
        | Balance::WeightedRoundRobin
        | Balance::LeastConnections
        | Balance::WeightedLeastConnections
        | Balance::RandomOfTwo
        | Balance::SourceHash => 0.25,
    }
}

async fn assert_ramp(farm: &Farm, balance: Balance) {
    for part in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let (share, promised) = (share(farm), part * whole(balance));
        assert!(
            (share - promised).abs() < 0.02,
            "{balance:?} after {part} of the slow start: {share} instead of {promised}"
        );
        advance(25 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_comes_up_by_its_health_check_warms_up_under_every_algorithm() {
    for balance in Balance::ALL {
        let farm = farm(balance);
        farm.mark("a", Health::Down);
        advance(SECOND).await;
        farm.mark("a", Health::Up);
        assert_ramp(&farm, balance).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_enabled_warms_up_under_every_algorithm() {
    for balance in Balance::ALL {
        let mut farm = farm(balance);
        farm.set_state("a", Administrative::Disabled);
        advance(SECOND).await;
        farm.set_state("a", Administrative::Enabled);
        assert_ramp(&farm, balance).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_ejection_ends_warms_up_under_every_algorithm() {
    for balance in Balance::ALL {
        let farm = farm(balance);
        for _ in 0..3 {
            farm.pool.report(farm.index("a"), Outcome::ConnectFailed);
        }
        assert!(share(&farm).abs() < f64::EPSILON, "{balance:?}");
        advance(10 * SECOND).await;
        assert_ramp(&farm, balance).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_warms_up_when_the_balancer_starts_or_a_first_probe_passes() {
    for balance in Balance::ALL {
        let farm = farm(balance);
        assert!((share(&farm) - whole(balance)).abs() < 0.02, "{balance:?}");
        farm.mark("a", Health::Up);
        assert!((share(&farm) - whole(balance)).abs() < 0.02, "{balance:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cold_server_takes_everything_when_it_is_alone() {
    for balance in Balance::ALL {
        let farm = farm(balance);
        for name in ["a", "b", "c", "d"] {
            farm.mark(name, Health::Down);
        }
        assert_eq!(farm.request("198.51.100.1"), Err(Refusal::Unavailable));
        farm.mark("a", Health::Up);
        assert!((share(&farm) - 1.0).abs() < f64::EPSILON, "{balance:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn under_source_hash_a_client_moves_to_a_warming_server_once_and_stays() {
    let farm = farm(Balance::SourceHash);
    farm.mark("a", Health::Down);
    let client = |n: u8| format!("198.51.100.{n}");
    let place = |n| farm.request(&client(n)).unwrap();
    let before: Vec<&str> = (0..=255).map(place).collect();
    farm.mark("a", Health::Up);
    let mut moved = [false; 256];
    for _ in 0..20 {
        advance(5 * SECOND).await;
        for n in 0..=255 {
            let (place, moved) = (place(n), &mut moved[usize::from(n)]);
            assert_eq!(place == "a", *moved || place == "a", "a client went back");
            assert!(
                place == "a" || place == before[usize::from(n)],
                "a client moved elsewhere"
            );
            *moved = place == "a";
        }
    }
    assert!(moved.contains(&true));
}
