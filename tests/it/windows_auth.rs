//! Windows authentication binds a user to a connection: nobody else may ever be on it.

use std::time::Duration;

use lb_tests::{
    Addressed, Answer, Balancer, Message, WebServer, eventually, python, python_server, run,
    run_within, shop,
};

#[tokio::test]
async fn two_hundred_requests_of_two_windows_users_are_all_answered_to_the_right_user() {
    let a = python_server("windows_auth.py", "a", &["ntlm"]).await;
    let b = python_server("windows_auth.py", "b", &["ntlm"]).await;
    let balancer = Balancer::start(&shop("", "", &[&a, &b])).await;
    let mut clients = python("windows_users.py");
    let clients = clients.args([&balancer.url(""), "20", "200"]);
    let report = run_within(Duration::from_mins(2), clients)
        .await
        .expect_success("the users");
    let counts: serde_json::Value = serde_json::from_str(&report).expect("one JSON object");
    assert_eq!(counts["right"], 200, "{report}");
    assert_eq!(counts["wrong"], 0, "{report}");
    assert_eq!(counts["failed"], 0, "{report}");
    assert_eq!(counts["anonymous_wrong"], 0, "{report}");
    assert!(counts["anonymous_right"].as_u64() > Some(40), "{report}");
}

#[tokio::test]
async fn curl_stays_authenticated_on_its_connection_and_nobody_after_it_is() {
    let server = python_server("windows_auth.py", "a", &["ntlm"]).await;
    let balancer = Balancer::start(&shop("", "", &[&server])).await;
    let url = balancer.url("/private");
    let shown = ["-s", "-w", "%{http_code}\n"];
    let user = [
        "--ntlm",
        "-u",
        "LAB\\alice:Passw0rd!",
        &url,
        &url,
        &url,
        &url,
    ];
    let report = run("curl", &[&shown[..], &user].concat())
        .await
        .expect_success("curl --ntlm");
    assert_eq!(report.matches("user=LAB\\alice").count(), 4, "{report}");
    assert_eq!(report.matches("200").count(), 4, "{report}");

    let anonymous = run("curl", &[&shown[..], &[&url]].concat())
        .await
        .expect_success("curl");
    assert!(anonymous.ends_with("401\n"), "{anonymous}");
    let wrong = ["--ntlm", "-u", "LAB\\alice:wrong", &url];
    let wrong = run("curl", &[&shown[..], &wrong].concat())
        .await
        .expect_success("curl");
    assert!(wrong.ends_with("401\n"), "{wrong}");
}

#[tokio::test]
async fn ten_megabytes_are_posted_with_windows_authentication() {
    let server = python_server("windows_auth.py", "a", &["ntlm"]).await;
    let balancer = Balancer::start(&shop("", "", &[&server])).await;
    let file = balancer.folder().join("upload");
    std::fs::write(&file, vec![b'x'; 10_000_000]).expect("write the upload");
    let upload = format!("@{}", file.display());
    let url = balancer.url("/upload");
    let args = [
        "-s",
        "--ntlm",
        "-u",
        "LAB\\bob:Secret123!",
        "--data-binary",
        &upload,
        &url,
    ];
    let page = run("curl", &args).await.expect_success("curl --ntlm");
    assert_eq!(page, "user=LAB\\bob bytes=10000000 server=a\n");
}

fn connection(response: &Message) -> String {
    assert_eq!(response.status(), 200, "{}", response.text());
    response
        .value("x-connection")
        .expect("our servers number connections")
}

#[tokio::test]
async fn a_request_that_arrives_authenticated_gets_a_connection_of_its_own() {
    for scheme in ["Negotiate", "NTLM", "negotiate"] {
        let server = WebServer::start("a").await;
        let balancer = Balancer::start(&shop("", "", &[&server])).await;
        // Somebody has used a connection before, which now waits in the pool.
        let mut anybody = balancer.client().await;
        connection(&anybody.ask("/", &[]).await);

        let mut user = balancer.client().await;
        let ticket = format!("Authorization: {scheme} YIIGngYGKwYBBQUC");
        let own = connection(&user.ask("/", &[&ticket]).await);
        for _ in 0..5 {
            let other = connection(&balancer.client().await.ask("/", &[]).await);
            assert_ne!(
                other, own,
                "{scheme}: another client is on the user's connection"
            );
            assert_ne!(connection(&anybody.ask("/", &[]).await), own, "{scheme}");
            assert_eq!(
                connection(&user.ask("/", &[]).await),
                own,
                "{scheme}: the user was moved"
            );
        }
        let before = server.open();
        drop(user);
        eventually(
            "the user's server connection closes with the client's",
            async || (server.open() < before).then_some(()),
        )
        .await;
        for _ in 0..5 {
            let other = connection(&balancer.client().await.ask("/", &[]).await);
            assert_ne!(other, own, "{scheme}: the connection outlived its user");
        }
    }
}

#[tokio::test]
async fn a_server_that_asks_for_windows_authentication_makes_the_connection_private() {
    for challenge in [
        "NTLM",
        "Negotiate",
        "Basic realm=\"x\", NTLM",
        "Negotiate abc==",
    ] {
        let field = format!("WWW-Authenticate: {challenge}");
        let server = WebServer::answering("a", move |request| match request.target().as_str() {
            "/private" => Answer::status(401).field(field.clone()),
            _ => Answer::ok("ok"),
        })
        .await;
        let balancer = Balancer::start(&shop("", "", &[&server])).await;
        let mut user = balancer.client().await;
        let challenged = user.ask("/private", &[]).await;
        assert_eq!(challenged.status(), 401);
        let own = challenged
            .value("x-connection")
            .expect("our servers number connections");
        for _ in 0..3 {
            let other = connection(&balancer.client().await.ask("/", &[]).await);
            assert_ne!(other, own, "{challenge}");
            assert_eq!(connection(&user.ask("/", &[]).await), own, "{challenge}");
        }
    }
}

#[tokio::test]
async fn other_authentication_shares_connections() {
    let server = WebServer::start("a").await;
    let balancer = Balancer::start(&shop("", "", &[&server])).await;
    let mut client = balancer.client().await;
    for turn in 0..50 {
        let bearer = format!("Authorization: Bearer {turn}");
        connection(&client.ask("/", &[&bearer, "Connection: keep-alive"]).await);
        let mut other = balancer.client().await;
        connection(&other.ask("/", &["Authorization: Basic dXNlcjpwYXNz"]).await);
    }
    assert!(
        server.accepted() < 20,
        "{} connections for 100 requests",
        server.accepted()
    );
}

#[tokio::test]
async fn a_client_stays_on_its_server_while_its_connection_is_private() {
    let (a, b) = (WebServer::start("a").await, WebServer::start("b").await);
    let balancer = Balancer::start(&shop("", "", &[&a, &b])).await;
    for _ in 0..10 {
        let mut user = balancer.client().await;
        let first = user
            .ask("/", &["Authorization: NTLM TlRMTVNTUAABAAAA"])
            .await;
        for _ in 0..5 {
            let next = user.ask("/", &[]).await;
            assert_eq!(next.value("x-server"), first.value("x-server"));
            assert_eq!(connection(&next), connection(&first));
        }
    }
    assert!(
        a.request_count() > 0 && b.request_count() > 0,
        "{} {}",
        a.name(),
        b.name()
    );
}
