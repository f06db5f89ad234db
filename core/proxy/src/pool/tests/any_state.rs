//! Whatever state a pool's servers are in: a choice is made if one can be, and only among those that
//! may be chosen.

use proptest::prelude::*;

use super::*;

/// Everything that can be the matter with a server.
#[derive(Clone, Debug)]
struct Matter {
    weight: u16,
    state: Administrative,
    health: Health,
    fails: bool,
    connections_max: Option<u32>,
}

fn matter() -> impl Strategy<Value = Matter> {
    let states = [
        Administrative::Enabled,
        Administrative::Draining,
        Administrative::Disabled,
    ];
    let healths = [Health::Unchecked, Health::Up, Health::Down];
    (
        prop_oneof![Just(0), 1_u16..=1000],
        prop::sample::select(states.to_vec()),
        prop::sample::select(healths.to_vec()),
        any::<bool>(),
        prop::option::weighted(0.3, 1_u32..3),
    )
        .prop_map(|(weight, state, health, fails, connections_max)| Matter {
            weight,
            state,
            health,
            fails,
            connections_max,
        })
}

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn farm(matters: &[Matter], balance: Balance, persistence: Option<Remember>, limits: bool) -> Farm {
    let farm = Farm::new(&NAMES[..matters.len()], |model| {
        model.balance = balance;
        model.slow_start = Some(Period::seconds(100));
        model.persistence = persistence;
        for (server, matter) in model.servers.values_mut().zip(matters) {
            server.weight = Weight::new(matter.weight).unwrap();
            server.state = matter.state;
            server.connections_max = matter.connections_max.filter(|_| limits);
        }
    });
    for (name, matter) in NAMES.iter().zip(matters) {
        farm.mark(name, Health::Down);
        farm.mark(name, matter.health);
        for _ in 0..3 * u8::from(matter.fails) {
            farm.pool.report(farm.index(name), Outcome::ConnectFailed);
        }
    }
    farm
}

/// Requests of several clients that go on for a while, and what became of each.
fn check(farm: &Farm, matters: &[Matter]) {
    let mut leases = Vec::new();
    for client in 0..30_u8 {
        let key = ClientKey {
            client: [198, 51, 100, client % 5].into(),
            cookie: None,
        };
        let explained = farm.local.explain(&key);
        let acquired = farm.local.try_acquire(&key, &Tried::default());
        let may_open = |matter: &Matter| {
            matter.state == Administrative::Enabled
                && matter.weight > 0
                && matter.health != Health::Down
        };
        match acquired {
            Ok(mut lease) => {
                let matter = &matters[lease.index().position()];
                assert!(may_open(matter), "{matter:?} got a new client");
                let limit = u64::from(lease.server().connections_max.unwrap_or(u32::MAX));
                assert!(lease.server().load() <= limit);
                assert!(explained.server.is_some());
                lease.commit();
                leases.push(lease);
            }
            Err(TryRefusal::AtLimit) => {
                assert!(matters.iter().any(may_open));
                assert_eq!(explained.server, None);
            }
            Err(TryRefusal::Unavailable) => {
                assert!(
                    !matters.iter().any(may_open),
                    "refused though a server is there"
                );
                assert_eq!(explained.server, None);
            }
        }
        if client % 4 == 3 && !leases.is_empty() {
            drop(leases.remove(0));
        }
    }
    drop(leases);
    assert!(farm.pool.servers().iter().all(|server| server.load() == 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_server_that_may_not_be_chosen_is_not_and_one_that_may_is(
        matters in prop::collection::vec(matter(), 1..=6),
        limits: bool,
    ) {
        let none = std::iter::once(None);
        let persistences = every_persistence().map(|(_, persistence)| Some(persistence));
        for persistence in none.chain(persistences) {
            for balance in Balance::ALL {
                check(&farm(&matters, balance, persistence.clone(), limits), &matters);
            }
        }
    }
}
