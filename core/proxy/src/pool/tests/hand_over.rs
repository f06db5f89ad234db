//! What the process that takes the place of this one knows from its first request on.

use super::super::server::Closed;
use super::*;

#[test]
fn how_servers_are_outlives_the_process() {
    let check = |model: &mut Model| {
        model.health_check = Some(HealthCheck::default());
    };
    let before = Farm::new(&["down", "moved", "new", "up"], check);
    before.mark("down", Health::Down);
    before.mark("moved", Health::Down);
    before.mark("up", Health::Up);
    let memory = before.pool.memory();

    let mut model = before.model.clone();
    let moved = model.servers.get_mut("moved").unwrap();
    moved.address = "192.0.2.99:80".parse().unwrap();
    let after = Pool::build(before.pool.name(), &model, 2, None, None);
    after.recall(&memory);
    after.enter(None);
    let found: Vec<_> = after
        .servers()
        .iter()
        .map(|server| (server.name().as_str(), server.health()))
        .collect();
    let expected = [
        ("down", Health::Down),
        ("moved", Health::Unchecked),
        ("new", Health::Unchecked),
        ("up", Health::Up),
    ];
    assert_eq!(found, expected);
    let status = after.servers()[0].status(now());
    assert_eq!(status.reason.as_deref(), Some("test"));
}

#[test]
fn an_ejection_and_the_time_of_a_drain_outlive_the_process() {
    let before = Farm::new(&["drained", "ejected", "other"], |model| {
        model.drain_timeout = Some(Period::seconds(10));
        let drained = model.servers.get_mut("drained").unwrap();
        drained.state = Administrative::Draining;
    });
    let mut memory = before.pool.memory();
    let drained = memory.servers.get_mut("drained").unwrap();
    assert!(drained.draining_for_ms.is_some());
    drained.draining_for_ms = Some(10_001);
    let ejected = memory.servers.get_mut("ejected").unwrap();
    ejected.ejected_for_ms = Some(60_000);

    let after = Pool::build(before.pool.name(), &before.model, 2, None, None);
    after.recall(&memory);
    after.enter(None);
    let access = |index: usize| after.servers()[index].standing(now()).access;
    assert_eq!(access(0), Access::Nobody(Closed::DrainTimeout));
    assert_eq!(access(1), Access::Nobody(Closed::Ejected));
    assert_eq!(access(2), Access::Open);
    let again = after.memory();
    let ejected = &again.servers["ejected"];
    assert!(ejected.ejected_for_ms.is_some_and(|left| left <= 60_000));
}
