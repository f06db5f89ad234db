//! LoadMaster's order of decisions, line by line, for every way to remember clients.

use super::*;

/// Who comes again and again: the balance must never be what brings it back by accident.
fn visit_others(farm: &Farm, count: u8) {
    for other in 0..count {
        Browser::new(&format!("203.0.113.{other}")).server(farm);
    }
}

fn farm(persistence: &Remember) -> Farm {
    Farm::new(&["a", "b", "c"], |model| {
        model.persistence = Some(persistence.clone());
    })
}

fn is_remembered(reason: Reason) -> bool {
    match reason {
        Reason::Persistence(_) => true,
        Reason::Balance(_) | Reason::Private => false,
    }
}

#[tokio::test(start_paused = true)]
async fn without_persistence_every_request_is_balanced() {
    let farm = Farm::new(&["a", "b", "c"], |_| {});
    let mut browser = Browser::new("198.51.100.1");
    let seen: Vec<&str> = (0..3).map(|_| browser.server(&farm)).collect();
    assert_eq!(seen, ["a", "b", "c"]);
    assert_eq!(farm.pool.cookie_name(), None);
}

#[tokio::test(start_paused = true)]
async fn a_client_without_a_record_is_balanced_and_comes_back_to_that_server() {
    for (name, persistence) in every_persistence() {
        let farm = farm(&persistence);
        let mut browser = Browser::new("198.51.100.1");
        let (first, reason) = browser.visit(&farm).unwrap();
        assert!(!is_remembered(reason), "{name}");
        for _ in 0..20 {
            visit_others(&farm, 1);
            let (server, reason) = browser.visit(&farm).unwrap();
            assert_eq!(server, first, "{name}");
            assert!(is_remembered(reason), "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_server_is_down_is_balanced_and_stays_with_the_new_one() {
    for (name, persistence) in every_persistence() {
        let farm = farm(&persistence);
        let mut browser = Browser::new("198.51.100.1");
        let first = browser.server(&farm);
        farm.mark(first, Health::Down);
        let (second, reason) = browser.visit(&farm).unwrap();
        assert_ne!(second, first, "{name}");
        assert!(!is_remembered(reason), "{name}");
        farm.mark(first, Health::Up);
        for _ in 0..5 {
            visit_others(&farm, 1);
            assert_eq!(browser.server(&farm), second, "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_ejected_server_is_as_good_as_down_for_its_clients() {
    for (name, persistence) in every_persistence() {
        let farm = farm(&persistence);
        let mut browser = Browser::new("198.51.100.1");
        let first = browser.server(&farm);
        for _ in 0..3 {
            farm.pool.report(farm.index(first), Outcome::ConnectFailed);
        }
        assert_ne!(browser.server(&farm), first, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_keeps_coming_keeps_its_server_beyond_the_timeout() {
    for (name, persistence) in every_persistence() {
        let farm = farm(&persistence);
        let mut browser = Browser::new("198.51.100.1");
        let first = browser.server(&farm);
        for _ in 0..10 {
            advance(1000 * SECOND).await;
            visit_others(&farm, 1);
            assert_eq!(browser.server(&farm), first, "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stays_away_longer_than_the_timeout_is_balanced() {
    for (name, persistence) in every_persistence() {
        // The balancer's own cookie lasts for as long as the browser keeps it.
        if matches!(persistence, Remember::Cookie(_)) {
            continue;
        }
        let farm = farm(&persistence);
        let mut browser = Browser::new("198.51.100.1");
        browser.server(&farm);
        advance(1201 * SECOND).await;
        let (_, reason) = browser.visit(&farm).unwrap();
        assert!(!is_remembered(reason), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_draining_server_keeps_its_clients_and_gets_no_new_ones() {
    for (name, persistence) in every_persistence() {
        let mut farm = farm(&persistence);
        let mut browser = Browser::new("198.51.100.1");
        let first = browser.server(&farm).to_owned();
        farm.set_state(&first, Administrative::Draining);
        for _ in 0..20 {
            advance(1000 * SECOND).await;
            assert_eq!(browser.server(&farm), first, "{name}");
        }
        for other in 0..20 {
            let mut other = Browser::new(&format!("203.0.113.{other}"));
            assert_ne!(other.server(&farm), first, "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_draining_server_gives_its_clients_away_when_the_time_is_over() {
    for (name, persistence) in every_persistence() {
        let mut farm = farm(&persistence);
        farm.change(|model| model.drain_timeout = Some(Period::seconds(60)));
        let mut browser = Browser::new("198.51.100.1");
        let first = browser.server(&farm).to_owned();
        farm.set_state(&first, Administrative::Draining);
        advance(30 * SECOND).await;
        assert_eq!(browser.server(&farm), first, "{name}");
        // Counted from the beginning of the drain, not from the last change or the last visit.
        farm.change(|model| model.retries = 1);
        advance(29 * SECOND).await;
        assert_eq!(browser.server(&farm), first, "{name}");
        advance(SECOND).await;
        let second = browser.server(&farm).to_owned();
        assert_ne!(second, first, "{name}");
        assert_eq!(browser.server(&farm), second, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_disabled_server_gives_its_clients_away_at_once() {
    for (name, persistence) in every_persistence() {
        let mut farm = farm(&persistence);
        let mut browser = Browser::new("198.51.100.1");
        let first = browser.server(&farm).to_owned();
        farm.set_state(&first, Administrative::Disabled);
        let second = browser.server(&farm).to_owned();
        assert_ne!(second, first, "{name}");
        farm.set_state(&first, Administrative::Enabled);
        assert_eq!(browser.server(&farm), second, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_with_weight_zero_keeps_its_clients_and_gets_no_new_ones() {
    for (name, persistence) in every_persistence() {
        let mut farm = farm(&persistence);
        let mut browser = Browser::new("198.51.100.1");
        let first = browser.server(&farm).to_owned();
        farm.change_server(&first, |server| server.weight = Weight::MIN);
        assert_eq!(browser.server(&farm), first, "{name}");
        for other in 0..20 {
            let mut other = Browser::new(&format!("203.0.113.{other}"));
            assert_ne!(other.server(&farm), first, "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_server_was_removed_is_balanced() {
    for (name, persistence) in every_persistence() {
        let mut farm = farm(&persistence);
        let mut browser = Browser::new("198.51.100.1");
        let first = browser.server(&farm).to_owned();
        farm.change(|model| {
            model.servers.remove(first.as_str());
        });
        let (second, reason) = browser.visit(&farm).unwrap();
        assert_ne!(second, first, "{name}");
        assert!(!is_remembered(reason), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_server_refuses_the_connection_moves_and_stays_there() {
    for (name, persistence) in every_persistence() {
        let farm = farm(&persistence);
        let mut browser = Browser::new("198.51.100.1");
        let first = browser.server(&farm);
        let cookie = browser.cookie.clone();
        let key = ClientKey {
            client: browser.address,
            cookie: cookie.as_deref(),
        };
        let mut tried = Tried::default();
        tried.add(farm.index(first));
        let mut lease = farm.local.try_acquire(&key, &tried).unwrap();
        lease.commit();
        let second = lease.server().name().as_str();
        assert_ne!(second, first, "{name}");
        if let Some(line) = lease.response_cookie() {
            browser.cookie = Some(line[15..31].to_vec());
        }
        drop(lease);
        assert_eq!(browser.server(&farm), second, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_record_is_made_of_a_server_that_did_not_take_the_request() {
    let farm = farm(&Remember::Source(SourcePersistence::default()));
    let key = ClientKey {
        client: "198.51.100.1".parse().unwrap(),
        cookie: None,
    };
    drop(farm.local.try_acquire(&key, &Tried::default()).unwrap());
    let lease = farm.local.try_acquire(&key, &Tried::default()).unwrap();
    assert!(!is_remembered(lease.reason()));
}

#[tokio::test(start_paused = true)]
async fn the_cookie_is_set_only_when_the_client_does_not_have_it() {
    let farm = farm(&every_persistence()[0].1);
    let mut browser = Browser::new("198.51.100.1");
    let first = browser.server(&farm);
    let cookie = browser.cookie.clone();
    let key = |cookie| ClientKey {
        client: "198.51.100.1".parse().unwrap(),
        cookie,
    };
    let again = key(cookie.as_deref());
    let lease = farm.local.try_acquire(&again, &Tried::default()).unwrap();
    assert_eq!(lease.response_cookie(), None);
    let stale = key(Some(b"of another farm"));
    let lease = farm.local.try_acquire(&stale, &Tried::default()).unwrap();
    assert!(lease.response_cookie().is_some());
    farm.mark(first, Health::Down);
    let lease = farm.local.try_acquire(&again, &Tried::default()).unwrap();
    assert!(lease.response_cookie().is_some());
}

#[tokio::test(start_paused = true)]
async fn with_a_fallback_a_browser_that_lost_its_cookie_is_known_by_its_address() {
    for (name, persistence) in every_persistence() {
        let farm = farm(&persistence);
        let mut browser = Browser::new("198.51.100.1");
        let first = browser.server(&farm);
        browser.cookie = None;
        let (server, reason) = browser.visit(&farm).unwrap();
        assert_eq!(is_remembered(reason), name.contains("source"), "{name}");
        assert_eq!(server == first, name.contains("source"), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_the_balancer_has_not_met_is_learned_from_the_request() {
    let farm = farm(&every_persistence()[2].1);
    let mut browser = Browser::new("198.51.100.1");
    browser.cookie = Some(b"made before this balancer started".to_vec());
    let first = browser.server(&farm);
    visit_others(&farm, 1);
    assert_eq!(browser.server(&farm), first);
}
