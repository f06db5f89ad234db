//! The program as it is typed: results, notes and exit codes.

use std::path::{Path, PathBuf};

use lb_tests::{
    Addressed, Balancer, Client, Process, WebServer, eventually, lbctl, run_lbctl, shop, within,
};
use serde_json::Value;
use tempfile::TempDir;

fn written(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lb.toml");
    std::fs::write(&path, text).expect("write the document");
    (folder, path)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

const BAD: &str = "
[virtual_services.shop]
address = \"127.0.0.1:0\"
pool = \"wev\"
[pools.web]
balance = \"round_robbin\"
[pools.web.servers]
a = { address = \"10.0.0.1\", weight = 5000 }
";

#[tokio::test]
async fn a_good_document_is_valid_and_a_bad_one_names_every_mistake() {
    let server = WebServer::start("a").await;
    let (_folder, good) = written(&shop("", "", &[&server]));
    let valid = run_lbctl(&["validate", text(&good)]).await;
    assert_eq!(valid.code(), 0, "{valid:?}");

    let (_folder, bad) = written(BAD);
    let refused = run_lbctl(&["validate", text(&bad), "-o", "json"]).await;
    assert_eq!(refused.code(), 2, "{refused:?}");
    let told: Value = serde_json::from_str(&refused.stdout).expect("a JSON result");
    let told = told.to_string();
    for mistake in ["wev", "round_robbin", "10.0.0.1", "5000"] {
        assert!(told.contains(mistake), "{mistake} in {told}");
    }
    let shown = run_lbctl(&["validate", text(&bad)]).await;
    for place in [":6:", ":8:"] {
        assert!(shown.stderr.contains(place), "{place} in {}", shown.stderr);
    }
}

#[tokio::test]
async fn a_bad_document_starts_nothing() {
    let state = tempfile::tempdir().expect("a folder");
    for bad in [BAD, "[virtual_services.shop", "\u{0}", "unknown = 1"] {
        let (_folder, path) = written(bad);
        let state = state.path().join("state");
        let run = [
            "run",
            "--config",
            text(&path),
            "--state-dir",
            text(&state),
            "-o",
            "json",
        ];
        let refused = run_lbctl(&run).await;
        assert_eq!(refused.code(), 2, "{bad:?}: {refused:?}");
        assert_eq!(refused.stdout, "", "nothing is announced");
        assert!(refused.stderr.contains("error"), "{}", refused.stderr);
    }
    let missing = state.path().join("none.toml");
    let run = [
        "run",
        "--config",
        text(&missing),
        "--state-dir",
        text(state.path()),
    ];
    let refused = run_lbctl(&run).await;
    assert_ne!(refused.code(), 0);
    assert!(refused.stderr.contains("none.toml"), "{}", refused.stderr);
}

#[tokio::test]
async fn a_port_in_use_is_one_clear_error() {
    let server = WebServer::start("a").await;
    let taken = server.address().to_string();
    let document = shop("", "", &[&server]).replace("127.0.0.1:0", &taken);
    let (folder, path) = written(&document);
    let state = folder.path().join("state");
    let run = ["run", "--config", text(&path), "--state-dir", text(&state)];
    let refused = run_lbctl(&run).await;
    assert_eq!(refused.code(), 1, "{refused:?}");
    assert!(refused.stderr.contains(&taken), "{}", refused.stderr);
    assert!(
        refused.stderr.to_lowercase().contains("in use"),
        "{}",
        refused.stderr
    );
    assert!(refused.stderr.contains("help:"), "{}", refused.stderr);
}

#[tokio::test]
async fn two_balancers_cannot_share_a_state_directory() {
    let server = WebServer::start("a").await;
    let document = shop("", "", &[&server]);
    let first = Balancer::start(&document).await;
    let (_folder, path) = written(&document);
    let state = first.folder().join("state");
    let second = run_lbctl(&["run", "--config", text(&path), "--state-dir", text(&state)]).await;
    assert_eq!(second.code(), 1, "{second:?}");
    assert_eq!(
        first.client().await.ask("/", &[]).await.status(),
        200,
        "the first is not hurt"
    );
}

#[tokio::test]
async fn explain_says_where_a_request_goes_and_why() {
    let server = WebServer::start("iis1").await;
    let rules = "[[virtual_services.shop.rules]]\nname = \"images\"\n\
                 match = { path = { prefix = \"/img/\" } }\naction = { respond = { status = 418 } }";
    let (_folder, path) = written(&shop(rules, "persistence = { cookie = {} }", &[&server]));
    let explain = ["explain", "--config", text(&path), "-o", "json"];
    let page = [&explain[..], &["http://shop.test/basket"]].concat();
    let told = run_lbctl(&page).await.expect_success("explain");
    let told: Value = serde_json::from_str(&told).expect("a JSON result");
    for word in ["shop", "images", "web", "iis1"] {
        assert!(
            told.to_string().contains(&format!("\"{word}\"")),
            "{word} in {told}"
        );
    }
    let image = [&explain[..], &["http://shop.test/img/x.png"]].concat();
    let told = run_lbctl(&image).await.expect_success("explain");
    assert!(told.contains("418"), "{told}");
    assert!(!told.contains("\"iis1\""), "{told}");
    let shown = run_lbctl(&["explain", "--config", text(&path), "/basket"]).await;
    assert!(shown.expect_success("explain").contains("iis1"));
}

#[tokio::test]
async fn demo_shows_three_servers_to_whoever_has_no_cookie_and_one_to_whoever_has() {
    let mut demo = Process::start(lbctl().args(["demo", "--port", "0", "--no-progress"]));
    let found = async {
        loop {
            let line = demo
                .line()
                .await
                .unwrap_or_else(|| panic!("no URL: {}", demo.stderr()));
            if let Some((_, rest)) = line.split_once("http://") {
                let end = rest.find(|c: char| c != '.' && c != ':' && !c.is_ascii_digit());
                let address = rest
                    .get(..end.unwrap_or(rest.len()))
                    .and_then(|a| a.parse().ok());
                if let Some(address) = address {
                    return address;
                }
            }
        }
    };
    let address = within("the demo prints a URL", lb_tests::DEADLINE, found).await;
    eventually("the demo answers", async || {
        Client::connect(address)
            .await
            .try_ask("/")
            .await
            .ok()
            .map(drop)
    })
    .await;
    let mut pages = std::collections::BTreeSet::new();
    let mut cookies = std::collections::BTreeSet::new();
    for _ in 0..6 {
        let page = Client::connect(address).await.ask("/", &[]).await;
        assert_eq!(page.status(), 200);
        let cookie = page
            .values("set-cookie")
            .into_iter()
            .find(|c| c.starts_with("LB="));
        cookies.insert(
            cookie
                .expect("a cookie of the balancer")
                .split(';')
                .next()
                .map(str::to_owned),
        );
        pages.insert(page.text());
    }
    assert_eq!(
        cookies.len(),
        3,
        "six visitors in turn reach three servers twice: {pages:?}"
    );
    let mut browser = lb_tests::Browser::new(address);
    let servers: Vec<Option<String>> = {
        let mut seen = Vec::new();
        for _ in 0..6 {
            browser.visit("/").await;
            seen.push(browser.cookies.get("LB").cloned());
        }
        seen
    };
    assert!(
        servers.iter().all(|cookie| *cookie == servers[0]),
        "{servers:?}"
    );
}

#[tokio::test]
async fn completions_and_the_manual_come_from_the_program() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run_lbctl(&["complete", shell]).await.expect_success(shell);
        assert!(script.contains("validate"), "{shell}");
    }
    let page = run_lbctl(&["man"]).await.expect_success("lbctl man");
    assert!(page.contains(".TH"), "{page}");
    let misuse = run_lbctl(&["frobnicate"]).await;
    assert_eq!((misuse.code(), misuse.stdout.as_str()), (2, ""));
}
