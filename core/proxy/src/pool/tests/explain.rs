//! What `lbctl explain` says of a pool.

use super::*;

fn key(cookie: Option<&[u8]>) -> ClientKey<'_> {
    ClientKey {
        client: "198.51.100.1".parse().unwrap(),
        cookie,
    }
}

#[tokio::test(start_paused = true)]
async fn an_explanation_names_the_server_of_the_next_request_and_changes_nothing() {
    for balance in Balance::ALL {
        let farm = Farm::new(&["a", "b", "c"], |model| model.balance = balance);
        for _ in 0..10 {
            let explained = farm.local.explain(&key(None));
            assert_eq!(explained, farm.local.explain(&key(None)), "{balance:?}");
            let server = farm.request("198.51.100.1").unwrap();
            assert_eq!(explained.server.unwrap().as_str(), server, "{balance:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_explanation_says_why_servers_are_left_out() {
    let mut farm = Farm::new(&["a", "b", "c", "d"], |_| {});
    farm.set_state("a", Administrative::Disabled);
    farm.set_state("b", Administrative::Draining);
    farm.mark("c", Health::Down);
    let explained = farm.local.explain(&key(None));
    let notes: Vec<_> = explained.candidates.iter().map(|c| c.why_not).collect();
    let expected = [
        Some("disabled"),
        Some("draining"),
        Some("down by its health check"),
        None,
    ];
    assert_eq!(notes, expected);
    assert_eq!(explained.reason, "no persistence; chosen by round_robin");
}

#[tokio::test(start_paused = true)]
async fn an_explanation_says_what_the_client_is_known_by() {
    for (name, persistence) in every_persistence() {
        let farm = Farm::new(&["a", "b"], |model| model.persistence = Some(persistence));
        let mut browser = Browser::new("198.51.100.1");
        let server = browser.server(&farm);
        let cookie = browser.cookie.as_deref();
        let explained = farm.local.explain(&key(cookie));
        assert_eq!(explained.server.unwrap().as_str(), server, "{name}");
        let reason = match name {
            "cookie" | "cookie or source" => "the persistence cookie names it",
            "source" => "the client address is remembered with it",
            _ => "the value of the session cookie is remembered with it",
        };
        assert_eq!(explained.reason, reason, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_explanation_does_not_keep_a_session_alive() {
    let (_, persistence) = &every_persistence()[4];
    let farm = Farm::new(&["a", "b"], |model| {
        model.persistence = Some(persistence.clone());
    });
    farm.request("198.51.100.1").unwrap();
    advance(1199 * SECOND).await;
    assert!(farm.local.explain(&key(None)).reason.contains("remembered"));
    advance(2 * SECOND).await;
    assert!(farm.local.explain(&key(None)).reason.contains("no record"));
}

#[tokio::test(start_paused = true)]
async fn an_explanation_says_when_a_request_would_wait() {
    let mut farm = Farm::new(&["a"], |_| {});
    farm.change_server("a", |server| server.connections_max = Some(1));
    let lease = farm
        .local
        .try_acquire(&key(None), &Tried::default())
        .unwrap();
    let explained = farm.local.explain(&key(None));
    assert_eq!(explained.server, None);
    assert!(explained.reason.starts_with("waits in the queue"));
    assert_eq!(
        explained.candidates[0].why_not,
        Some("at its connections_max")
    );
    drop(lease);
    assert!(farm.local.explain(&key(None)).server.is_some());
}
