//! Real ASP.NET, on Mono: sessions in the memory of two nodes.

use std::collections::BTreeSet;
use std::time::Duration;

use lb_tests::{Addressed, AspNet, Balancer, Browser, aspnet, run_within, shop};
use tokio::process::Command;

/// Compiles the pages of a node, which takes Mono some seconds.
async fn warm(node: &AspNet) {
    let url = format!("http://{}/", node.address());
    let mut curl = Command::new("curl");
    let curl = curl.args(["-s", "--max-time", "60", &url]);
    let page = run_within(Duration::from_secs(70), curl)
        .await
        .expect_success("the first visit");
    assert!(page.starts_with("visit 1 of"), "{page}");
}

/// Visits `count` times and gives what the page counted, and which nodes answered.
async fn visit(browser: &mut Browser, count: usize) -> (Vec<usize>, BTreeSet<String>) {
    let (mut visits, mut nodes) = (Vec::new(), BTreeSet::new());
    for _ in 0..count {
        let page = browser.visit("/").await;
        assert_eq!(page.status(), 200, "{}", page.text());
        let text = page.text();
        let words: Vec<&str> = text.split_whitespace().collect();
        visits.push(
            words[1]
                .parse()
                .unwrap_or_else(|e| panic!("{e} in {text:?}")),
        );
        nodes.insert(words[3].to_owned());
    }
    (visits, nodes)
}

#[tokio::test]
async fn an_asp_net_session_never_resets_with_persistence_and_does_without() {
    let (a, b) = tokio::join!(aspnet("a"), aspnet("b"));
    tokio::join!(warm(&a), warm(&b));
    let whole: Vec<usize> = (1..=12).collect();
    for persistence in [
        "persistence = { cookie = {} }",
        "persistence = { passive_cookie = { name = \"ASP.NET_SessionId\" } }",
    ] {
        let balancer = Balancer::start(&shop("", persistence, &[&a, &b])).await;
        let mut used = BTreeSet::new();
        for _ in 0..6 {
            let mut browser = Browser::new(balancer.address("shop"));
            let (visits, nodes) = visit(&mut browser, 12).await;
            assert_eq!(
                visits, whole,
                "{persistence}: the session was lost on {nodes:?}"
            );
            assert!(
                browser.cookies.contains_key("ASP.NET_SessionId"),
                "{:?}",
                browser.cookies
            );
            used.extend(nodes);
        }
        assert_eq!(used.len(), 2, "{persistence}: both nodes have sessions");
    }
    let balancer = Balancer::start(&shop("", "", &[&a, &b])).await;
    let (visits, nodes) = visit(&mut Browser::new(balancer.address("shop")), 12).await;
    assert_eq!(
        nodes.len(),
        2,
        "without persistence both nodes answer one client"
    );
    assert_ne!(
        visits, whole,
        "without persistence the session must be lost in between"
    );
}
