//! The command line against a running balancer, as an operator types it.

use std::time::Duration;

use lb_tests::{
    Addressed, Answer, Balancer, Process, WebServer, eventually, lbctl, run_lbctl, run_within, shop,
};
use serde_json::Value;
use tokio::process::Command;

/// A balancer, its document, and the path of that.
async fn farm(servers: &[&dyn Addressed]) -> (Balancer, String, String) {
    let document = shop("", "", servers);
    let balancer = Balancer::start(&document).await;
    let path = balancer.folder().join("lb.toml");
    let text = std::fs::read_to_string(&path).expect("the document");
    (balancer, text, path.to_str().expect("UTF-8").to_owned())
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e} in {text:?}"))
}

#[tokio::test]
async fn a_document_is_planned_applied_and_rolled_back() {
    let (first, second) = (
        WebServer::start("iis1").await,
        WebServer::start("iis2").await,
    );
    let (balancer, text, path) = farm(&[&first]).await;
    let same = balancer
        .lbctl(&["plan", &path, "--detailed-exitcode"])
        .await;
    assert_eq!(same.code(), 0, "{same:?}");
    assert!(same.stdout.contains("nothing to do"), "{same:?}");

    let line = format!("iis2 = {{ address = \"{}\" }}", second.address());
    let more = text.replace(
        "[pools.web.servers]",
        &format!("[pools.web.servers]\n{line}"),
    );
    assert_ne!(more, text, "{text}");
    std::fs::write(&path, more).expect("write the document");
    let plan = balancer
        .lbctl(&["plan", &path, "--detailed-exitcode"])
        .await;
    assert_eq!(plan.code(), 3, "{plan:?}");
    assert!(plan.stdout.contains("pools.web.servers.iis2"), "{plan:?}");
    assert_eq!(balancer.revision().await, 1, "a plan changes nothing");

    let unasked = balancer.lbctl(&["apply", &path]).await;
    assert_eq!(unasked.code(), 2, "{unasked:?}");
    assert!(unasked.stderr.contains("--yes"), "{unasked:?}");
    assert_eq!(balancer.revision().await, 1, "nobody said yes");

    let apply = [
        "apply",
        &path,
        "--yes",
        "--comment",
        "iis2 joins",
        "-o",
        "json",
    ];
    let applied = balancer.lbctl(&apply).await.expect_success("apply");
    assert_eq!(json(&applied)["revision"]["number"], 2, "{applied}");
    eventually("the new server gets requests", async || {
        balancer.client().await.ask("/", &[]).await;
        (second.request_count() > 0).then_some(())
    })
    .await;

    let history = balancer.lbctl(&["history"]).await.expect_success("history");
    for word in [
        "iis2 joins",
        "root",
        "cli",
        "file",
        "pools.web.servers.iis2",
    ] {
        assert!(history.contains(word), "{word} in {history}");
    }
    let rolled = balancer.lbctl(&["rollback", "1", "--yes"]).await;
    assert_eq!(rolled.code(), 0, "{rolled:?}");
    assert_eq!(
        balancer.revision().await,
        3,
        "going back is a change like any other"
    );
    let servers = balancer
        .ask_admin("GET", "/config/pools/web/servers", &[])
        .await;
    assert!(!servers.body.contains("iis2"), "{servers:?}");
}

#[tokio::test]
async fn a_change_that_nobody_confirms_is_taken_back_and_one_that_is_confirmed_stays() {
    let server = WebServer::start("iis1").await;
    let (balancer, text, path) = farm(&[&server]).await;
    let retries = |count: u32| {
        let pool = format!("[pools.web]\nretries = {count}");
        let text = text.replacen("[pools.web]", &pool, 1);
        std::fs::write(&path, text).expect("write the document");
    };
    retries(1);
    let apply = ["apply", &path, "--yes", "--confirm", "1s"];
    let applied = balancer.lbctl(&apply).await.expect_success("apply");
    assert!(applied.contains("lbctl confirm 2"), "{applied}");
    eventually("the change is taken back", async || {
        let pool = balancer.ask_admin("GET", "/config/pools/web", &[]).await;
        (pool.json()["retries"] == 2).then_some(())
    })
    .await;
    let history = balancer.lbctl(&["history"]).await.expect_success("history");
    assert!(history.contains("revert"), "{history}");

    retries(3);
    let apply = ["apply", &path, "--yes", "--confirm", "60s"];
    balancer.lbctl(&apply).await.expect_success("apply");
    let confirmed = balancer.lbctl(&["confirm"]).await;
    assert_eq!(confirmed.code(), 0, "{confirmed:?}");
    let history = balancer.lbctl(&["history", "-o", "json"]).await;
    let history = json(&history.expect_success("history"));
    assert!(
        history["revisions"][0].get("confirm_until").is_none(),
        "{history}"
    );
    let again = balancer.lbctl(&["confirm"]).await;
    assert_eq!(again.code(), 1, "{again:?}");
}

#[tokio::test]
async fn a_bad_document_is_told_with_its_lines_and_changes_nothing() {
    let server = WebServer::start("iis1").await;
    let (balancer, text, path) = farm(&[&server]).await;
    std::fs::write(&path, text.replace("pool = \"web\"", "pool = \"wev\"")).expect("write");
    for verb in [&["plan", &path][..], &["apply", &path, "--yes"]] {
        let refused = balancer.lbctl(verb).await;
        assert_eq!(refused.code(), 2, "{refused:?}");
        assert!(refused.stderr.contains("wev"), "{refused:?}");
        assert!(refused.stderr.contains("lb.toml:"), "{refused:?}");
    }
    assert_eq!(balancer.revision().await, 1);
}

#[tokio::test]
async fn without_a_balancer_the_address_the_reason_and_the_mend_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("admin.sock");
    let address = format!("unix:{}", socket.display());
    let refused = run_lbctl(&["-b", &address, "status"]).await;
    assert_eq!(refused.code(), 1, "{refused:?}");
    for word in [address.as_str(), "No such file", "lbctl run"] {
        assert!(refused.stderr.contains(word), "{word} in {refused:?}");
    }
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("a socket"));
    let refused = run_lbctl(&["-b", &address, "status"]).await;
    assert!(refused.stderr.contains("has ended"), "{refused:?}");
    let wrong = run_lbctl(&["-b", "ftp://x", "status"]).await;
    assert_eq!(wrong.code(), 2, "{wrong:?}");
    assert!(wrong.stderr.contains("help:"), "{wrong:?}");
}

#[tokio::test]
async fn status_shows_services_and_servers_and_watching_shows_rates() {
    let server = WebServer::start("iis1").await;
    let (balancer, ..) = farm(&[&server]).await;
    balancer.client().await.ask("/", &[]).await;
    let status = balancer.lbctl(&["status"]).await.expect_success("status");
    for word in [
        "revision 1",
        "shop",
        "web/iis1",
        &server.address().to_string(),
    ] {
        assert!(status.contains(word), "{word} in {status}");
    }
    let status = balancer.lbctl(&["status", "-o", "json"]).await;
    let status = json(&status.expect_success("status"));
    assert_eq!(
        status["status"]["pools"]["web"]["servers"]["iis1"]["requests"],
        1
    );

    let address = format!("unix:{}", balancer.socket().display());
    let watch = ["-b", &address, "status", "--watch", "--interval", "50ms"];
    let mut watching = Process::start(lbctl().args(watch));
    loop {
        let line = watching.line().await.expect("a line");
        if line.contains("REQUESTS/S") {
            break;
        }
    }
    watching.signal(rustix::process::Signal::INT);
    let ended = watching.ended(lb_tests::DEADLINE).await;
    assert_eq!(ended.code(), Some(0));
}

#[tokio::test]
async fn a_server_is_drained_until_its_last_request_has_ended_and_enabled_again() {
    let slow = WebServer::answering("slow", |_| {
        Answer::ok("done").after(Duration::from_millis(600))
    })
    .await;
    let other = WebServer::start("other").await;
    let (balancer, ..) = farm(&[&slow, &other]).await;
    // Requests that are in progress on the slow server while it is drained.
    let url = balancer.url("/");
    let mut asking = Vec::new();
    for _ in 0..4 {
        let url = url.clone();
        asking.push(tokio::spawn(async move {
            run_within(
                Duration::from_secs(20),
                Command::new("curl").args(["-s", &url]),
            )
            .await
        }));
    }
    eventually("a request is in progress", async || {
        (slow.working() > 0).then_some(())
    })
    .await;
    let drained = balancer.lbctl(&["drain", "web/slow", "-o", "json"]).await;
    let drained = json(&drained.expect_success("drain"));
    assert_eq!(drained["in_progress"], 0);
    assert_eq!(slow.working(), 0, "it was waited for");
    for one in asking {
        let answer = one.await.expect("curl ran").expect_success("a request");
        assert!(!answer.is_empty(), "no request was lost");
    }
    slow.forget();
    for _ in 0..6 {
        balancer.client().await.ask("/", &[]).await;
    }
    assert_eq!(
        slow.request_count(),
        0,
        "a drained server gets no new clients"
    );
    let enabled = balancer.lbctl(&["enable", "web/slow"]).await;
    assert_eq!(enabled.code(), 0, "{enabled:?}");
    eventually("it gets requests again", async || {
        balancer.client().await.ask("/", &[]).await;
        (slow.request_count() > 0).then_some(())
    })
    .await;
    let unknown = balancer.lbctl(&["drain", "web/slwo"]).await;
    assert_eq!(unknown.code(), 1, "{unknown:?}");
    assert!(unknown.stderr.contains("slow"), "{unknown:?}");
}

#[tokio::test]
async fn a_token_is_made_used_listed_and_revoked() {
    let server = WebServer::start("iis1").await;
    let (balancer, ..) = farm(&[&server]).await;
    let create = ["token", "create", "watcher", "--role", "view"];
    let made = balancer.lbctl(&create).await;
    let secret = made.stdout.trim().to_owned();
    assert!(secret.starts_with("lbctl_"), "{made:?}");
    let address = format!("unix:{}", balancer.socket().display());
    let as_watcher = async |args: &[&str]| {
        let mut command = lbctl();
        command.env("LBCTL_TOKEN", &secret).args(["-b", &address]);
        run_within(Duration::from_secs(20), command.args(args)).await
    };
    assert_eq!(as_watcher(&["status"]).await.code(), 0);
    let refused = as_watcher(&["drain", "web/iis1"]).await;
    assert_eq!(refused.code(), 1, "{refused:?}");
    assert!(refused.stderr.contains("operate"), "{refused:?}");
    let listed = balancer
        .lbctl(&["token", "list"])
        .await
        .expect_success("list");
    assert!(
        listed.contains("watcher") && !listed.contains(&secret),
        "{listed}"
    );
    balancer
        .lbctl(&["token", "revoke", "watcher"])
        .await
        .expect_success("revoke");
    let refused = as_watcher(&["status"]).await;
    assert_eq!(refused.code(), 1, "{refused:?}");
    assert!(!refused.stderr.contains(&secret), "{refused:?}");
}

#[tokio::test]
async fn what_the_demo_invites_to_works_when_it_is_typed() {
    let mut demo = Process::start(lbctl().args(["demo", "--port", "0", "-o", "json"]));
    let mut text = String::new();
    let places = loop {
        text.push_str(
            &demo
                .line()
                .await
                .unwrap_or_else(|| panic!("{}", demo.stderr())),
        );
        if let Ok(places) = serde_json::from_str::<Value>(&text) {
            break places;
        }
    };
    let invitations = places["invitations"].as_array().expect("invitations");
    assert!(invitations.len() >= 4, "{places}");
    let mut shell = String::new();
    for invitation in invitations {
        let command = invitation["command"].as_str().expect("a command");
        let ran = run_within(
            Duration::from_secs(30),
            Command::new("sh").args(["-c", command]),
        )
        .await;
        assert_eq!(ran.code(), 0, "{command}: {ran:?}");
        shell.push_str(&ran.stdout);
    }
    assert!(shell.contains("web4"), "the new server answers: {shell}");
    let history = {
        let address = places["balancer"].as_str().expect("an address");
        run_lbctl(&["-b", address, "history", "-o", "json"]).await
    };
    let history = json(&history.expect_success("history"));
    assert_eq!(history["current"], 5, "four changes: {history}");
}
