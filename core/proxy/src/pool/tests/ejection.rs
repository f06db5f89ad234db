//! What failing traffic does to a server.

use super::*;

fn fail(farm: &Farm, name: &str, outcome: Outcome, times: usize) {
    for _ in 0..times {
        farm.pool.report(farm.index(name), outcome);
    }
}

fn condition(farm: &Farm, name: &str) -> Condition {
    farm.pool.server(farm.index(name)).status(now()).condition
}

#[tokio::test(start_paused = true)]
async fn connections_that_fail_in_a_row_take_a_server_out_for_a_while() {
    let farm = Farm::new(&["a", "b"], |_| {});
    fail(&farm, "a", Outcome::ConnectFailed, 2);
    assert_eq!(condition(&farm, "a"), Condition::Unchecked);
    fail(&farm, "a", Outcome::ConnectFailed, 1);
    assert_eq!(condition(&farm, "a"), Condition::Ejected);
    assert_eq!(farm.requests(4), ["b"; 4]);
    advance(10 * SECOND).await;
    assert_eq!(condition(&farm, "a"), Condition::Unchecked);
    assert!(farm.requests(4).contains(&"a"));
}

#[tokio::test(start_paused = true)]
async fn a_success_in_between_starts_the_row_anew() {
    let farm = Farm::new(&["a", "b"], |model| model.ejection.server_errors = 3);
    for _ in 0..10 {
        fail(&farm, "a", Outcome::ConnectFailed, 2);
        fail(&farm, "a", Outcome::Connected, 1);
        fail(&farm, "a", Outcome::Status(503), 2);
        fail(&farm, "a", Outcome::Status(404), 1);
    }
    assert_eq!(condition(&farm, "a"), Condition::Unchecked);
}

#[tokio::test(start_paused = true)]
async fn server_errors_count_only_when_the_operator_asked_for_it() {
    let mut farm = Farm::new(&["a", "b"], |_| {});
    fail(&farm, "a", Outcome::Status(500), 1000);
    fail(&farm, "a", Outcome::Failed, 1000);
    assert_eq!(condition(&farm, "a"), Condition::Unchecked);
    farm.change(|model| model.ejection.server_errors = 5);
    fail(&farm, "b", Outcome::Status(599), 3);
    fail(&farm, "b", Outcome::Failed, 1);
    assert_eq!(condition(&farm, "b"), Condition::Unchecked);
    fail(&farm, "b", Outcome::Status(500), 1);
    assert_eq!(condition(&farm, "b"), Condition::Ejected);
}

#[tokio::test(start_paused = true)]
async fn zero_switches_ejection_off() {
    let farm = Farm::new(&["a", "b"], |model| model.ejection.connect_failures = 0);
    fail(&farm, "a", Outcome::ConnectFailed, 1000);
    assert_eq!(condition(&farm, "a"), Condition::Unchecked);
}

#[tokio::test(start_paused = true)]
async fn the_last_server_is_never_ejected() {
    let farm = Farm::new(&["a", "b"], |_| {});
    fail(&farm, "a", Outcome::ConnectFailed, 3);
    fail(&farm, "b", Outcome::ConnectFailed, 1000);
    assert_eq!(condition(&farm, "b"), Condition::Unchecked);
    assert_eq!(farm.requests(2), ["b"; 2]);
}

#[tokio::test(start_paused = true)]
async fn an_ejected_server_is_used_when_all_others_are_down() {
    let farm = Farm::new(&["a", "b"], |_| {});
    fail(&farm, "a", Outcome::ConnectFailed, 3);
    farm.mark("b", Health::Down);
    assert_eq!(farm.requests(2), ["a"; 2]);
    farm.mark("b", Health::Up);
    assert_eq!(farm.requests(2), ["b"; 2]);
}

#[test]
fn two_workers_never_eject_the_last_two_servers_at_once() {
    for _ in 0..200 {
        let farm = Farm::new(&["a", "b"], |_| {});
        std::thread::scope(|scope| {
            for name in ["a", "b"] {
                let (pool, index) = (Arc::clone(&farm.pool), farm.index(name));
                scope.spawn(move || {
                    for _ in 0..3 {
                        pool.report(index, Outcome::ConnectFailed);
                    }
                });
            }
        });
        let ejected = ["a", "b"].map(|name| condition(&farm, name) == Condition::Ejected);
        assert_eq!(ejected.iter().filter(|e| **e).count(), 1);
    }
}
