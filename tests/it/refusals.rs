//! What a balancer refuses: it says what is wrong and what to do, nothing has changed, and what was
//! served is served on. And what it keeps to itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lb_tests::{Api, Balancer, Client, Told, WebServer, eventually, lbctl, run_within, shop};
use serde_json::{Value, json};

const RULE: &str = "[[virtual_services.shop.rules]]\nname = \"r1\"\n\
    match = { path = { prefix = \"/x/\" } }\naction = { pool = \"web\" }";

async fn farm() -> (WebServer, Balancer) {
    let server = WebServer::start("iis1").await;
    let balancer = Balancer::start(&shop(RULE, "", &[&server])).await;
    (server, balancer)
}

/// Every file of the state with its content, but for the audit, which grows with every refusal.
fn state(balancer: &Balancer) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![balancer.folder().join("state")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let kind = entry.file_type().expect("a kind");
            if kind.is_dir() && entry.file_name() != "audit" {
                folders.push(entry.path());
            } else if kind.is_file() {
                let content = std::fs::read(entry.path()).expect("a file");
                files.insert(entry.path(), content);
            }
        }
    }
    files
}

/// Whether this is an error that helps.
fn assert_refused(told: &Told, status: u16, what: &str) {
    assert_eq!(told.status, status, "{what}: {told:?}");
    let error = &told.json()["error"];
    for field in ["code", "message"] {
        let text = error[field].as_str().unwrap_or_default();
        assert!(!text.is_empty(), "{field} of {what}: {told:?}");
    }
    let helps = error["help"].is_string() || error["problems"].is_array();
    assert!(helps, "no mend: {what}: {told:?}");
}

/// Changes that can be read and cannot be made: what they are, and what is put where.
fn impossible() -> [(&'static str, &'static str, Value); 5] {
    [
        (
            "a pool that is used goes",
            "/config",
            json!({ "virtual_services": {
            "shop": { "address": "127.0.0.1:0", "pool": "web" } } }),
        ),
        (
            "an address of another machine",
            "/config/virtual_services/far",
            json!({ "address": "192.0.2.1:80", "pool": "web" }),
        ),
        (
            "a file that cannot be opened",
            "/config/telemetry",
            json!({ "access_log": { "output": { "file": "/no/such/folder/log" } } }),
        ),
        (
            "a field that there is not",
            "/config/pools/web",
            json!({ "balanse": "round_robin" }),
        ),
        (
            "a number out of range",
            "/config/pools/web/servers/iis1",
            json!({ "address": "127.0.0.1:1", "weight": 1001 }),
        ),
    ]
}

#[tokio::test]
async fn what_is_refused_says_the_mend_and_changes_nothing() {
    let (_server, balancer) = farm().await;
    let api = balancer.api();
    let mut kept = balancer.client().await;
    assert_eq!(kept.ask("/", &[]).await.status(), 200);
    // Two revisions, so that there is one to be stale against.
    let patch = json!({ "retries": 1 });
    assert_eq!(
        api.send("PATCH", "/config/pools/web", &patch).await.status,
        200
    );
    let (before, document) = (state(&balancer), api.get("/config").await.body);

    let edit =
        json!({ "edits": [{ "patch": { "path": "pools/web", "value": { "retries": 3 } } }] });
    let stale = json!({ "change": edit, "parent": 1 });
    for route in ["/apply", "/plan"] {
        assert_refused(
            &api.send("POST", route, &stale).await,
            409,
            "a stale parent",
        );
    }
    let rollback = json!({ "number": 1, "parent": 1 });
    assert_refused(
        &api.send("POST", "/rollback", &rollback).await,
        409,
        "a stale rollback",
    );
    let old = ["If-Match: \"old\"", "Content-Type: application/json"];
    let told = api
        .ask("PATCH", "/config/pools/web", &old, b"{\"retries\":0}")
        .await;
    assert_refused(&told, 412, "a stale object");
    let unknown = api.send("PUT", "/config/pooools/web", &json!({})).await;
    assert_refused(&unknown, 404, "an unknown noun");
    assert!(unknown.body.contains("pools"), "{unknown:?}");
    let wrong = api.with_token("lbctl_nobody_knows_this");
    assert_refused(
        &wrong.send("PATCH", "/config/pools/web", &patch).await,
        401,
        "a wrong token",
    );
    for (what, path, value) in impossible() {
        assert_refused(&api.send("PUT", path, &value).await, 422, what);
        assert_eq!(kept.ask("/", &[]).await.status(), 200, "{what}");
    }
    let confirm = api.send("POST", "/confirm", &json!({ "number": 2 })).await;
    assert_refused(&confirm, 409, "nothing to confirm");

    assert_eq!(state(&balancer), before, "a file has changed");
    assert_eq!(api.get("/config").await.body, document);
    assert_eq!(
        kept.ask("/", &[]).await.status(),
        200,
        "the connection goes on"
    );
}

#[tokio::test]
async fn the_command_line_refuses_with_the_mend_and_the_right_exit_code() {
    let (_server, balancer) = farm().await;
    let before = state(&balancer);
    for (args, code, word) in [
        (
            &["server", "set", "web/iis2", "--weight", "5"][..],
            2,
            "iis1",
        ),
        (
            &["server", "set", "web/iis1", "--weight", "5000"],
            2,
            "1000",
        ),
        (&["servre", "list"], 2, "server"),
        (&["pool", "delete", "web", "--yes"], 2, "shop"),
        (&["rollback", "99", "--yes"], 1, "history"),
        (&["confirm"], 1, "help:"),
        (&["drain", "web/iis9"], 1, "iis1"),
    ] {
        let done = balancer.lbctl(args).await;
        assert_eq!(done.code(), code, "{args:?}: {done:?}");
        assert!(done.stderr.contains("error"), "{args:?}: {done:?}");
        assert!(done.stderr.contains(word), "{word} for {args:?}: {done:?}");
        assert_eq!(done.stdout, "", "{args:?}");
    }
    assert_eq!(state(&balancer), before, "a file has changed");
}

/// A path of a route with something that is there in the place of its parameters.
fn path_of(template: &str) -> String {
    let pairs = [
        ("{pool}", "web"),
        ("{server}", "iis1"),
        ("{virtual_service}", "shop"),
        ("{rule}", "r1"),
        ("{number}", "1"),
    ];
    let filled = pairs
        .iter()
        .fold(template.to_owned(), |t, (from, to)| t.replace(from, to));
    // Whatever else there is: nothing has this name.
    let mut path = String::new();
    for part in filled.split('/').skip(1) {
        path.push('/');
        path.push_str(if part.starts_with('{') {
            "nobody"
        } else {
            part
        });
    }
    path
}

#[tokio::test]
async fn every_route_refuses_wrong_methods_and_bodies_that_are_garbage_huge_or_of_another_type() {
    let (_server, balancer) = farm().await;
    let api = balancer.api();
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let committed = std::fs::read_to_string(committed).expect("docs/openapi.json");
    let described: Value = serde_json::from_str(&committed).expect("JSON");
    assert_eq!(
        api.get("/openapi.json").await.json(),
        described,
        "what is served is committed"
    );
    let before = state(&balancer);
    let huge = vec![b' '; 11 << 20];
    let mut tried = 0;
    for (template, methods) in described["paths"].as_object().expect("paths") {
        let (path, methods) = (path_of(template), methods.as_object().expect("methods"));
        for method in ["GET", "PUT", "POST", "PATCH", "DELETE"] {
            let what = format!("{method} {path}");
            let Some(route) = methods.get(&method.to_ascii_lowercase()) else {
                let told = api.ask(method, &path, &[], &[]).await;
                assert_refused(&told, 405, &what);
                tried += 1;
                continue;
            };
            if !route["requestBody"].is_object() {
                continue;
            }
            let types = route["requestBody"]["content"].as_object().expect("types");
            for kind in types.keys() {
                let kind = format!("Content-Type: {kind}");
                let garbage = api.ask(method, &path, &[&kind], b"{\"\xff").await;
                let status = garbage.status;
                assert!(matches!(status, 400 | 422), "{what} {kind}: {garbage:?}");
                assert_refused(&garbage, status, &what);
                let told = api.ask(method, &path, &[&kind], &huge).await;
                assert_refused(&told, 413, &what);
            }
            let other = ["Content-Type: text/html"];
            let told = api.ask(method, &path, &other, b"<p>").await;
            assert_refused(&told, 415, &what);
            tried += 3;
        }
    }
    assert!(tried > 80, "{tried} tries");
    assert_eq!(state(&balancer), before, "a file has changed");
}

/// What nobody may ever read again.
const SECRET: &str = "lbctl_0123456789_planted_0123456789";

/// Everything that a balancer tells and keeps: its answers, its log, its access log, its files.
async fn everything(balancer: &mut Balancer, api: &Api) -> String {
    let mut all = balancer.process().stderr();
    all.push_str(&balancer.lines().join("\n"));
    for path in [
        "/audit",
        "/caller",
        "/config",
        "/metrics",
        "/revisions",
        "/revisions/1",
        "/status",
        "/tokens",
    ] {
        let told = api.get(path).await;
        assert_eq!(told.status, 200, "{path}: {told:?}");
        all.push_str(&told.head);
        all.push_str(&told.body);
    }
    let mut folders = vec![balancer.folder().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = std::fs::read(&path) {
                all.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
    }
    all
}

/// What callers are told whose tokens are wrong.
async fn wrong_tokens(balancer: &Balancer, api: &Api) -> String {
    let patch = json!({ "retries": 1 });
    let wrong = api.with_token(SECRET);
    let mut answers = String::new();
    for told in [
        wrong.get("/status").await,
        wrong.send("PATCH", "/config/pools/web", &patch).await,
        wrong
            .send("POST", "/tokens", &json!({ "name": "x", "role": "view" }))
            .await,
        api.ask(
            "GET",
            "/status",
            &[&format!("Authorization: Basic {SECRET}")],
            &[],
        )
        .await,
    ] {
        assert_eq!(told.status, 401, "{told:?}");
        answers.push_str(&told.head);
        answers.push_str(&told.body);
    }
    let mut command = lbctl();
    let address = format!("unix:{}", balancer.socket().display());
    command
        .env("LBCTL_TOKEN", SECRET)
        .args(["-vv", "-b", &address, "status"]);
    let refused = run_within(lb_tests::DEADLINE, &mut command).await;
    assert_eq!(refused.code(), 1, "{refused:?}");
    answers.push_str(&refused.stdout);
    answers.push_str(&refused.stderr);
    answers
}

#[tokio::test]
async fn a_planted_secret_is_in_no_log_answer_error_audit_or_file() {
    let server = WebServer::start("iis1").await;
    let telemetry = "[telemetry]\naccess_log = { output = \"stdout\" }\n";
    let document = format!("{}\n{telemetry}", shop(RULE, "", &[&server]));
    let mut balancer = Balancer::start_with(&document, &["-vv"]).await;
    let api = balancer.api();
    // Of clients: what proves who they are.
    let cookie = format!("Cookie: LB={SECRET}");
    let fields = [
        &format!("Authorization: Bearer {SECRET}"),
        &cookie,
        &format!("X-Api-Key: {SECRET}"),
    ];
    let fields = fields.map(String::as_str);
    let mut client: Client = balancer.client().await;
    assert_eq!(client.ask("/", &fields).await.status(), 200);
    client
        .send(format!(
            "GET / HTTP/1.1\r\nAuthorization : {SECRET}\r\n\r\n"
        ))
        .await;
    assert_eq!(client.response().await.status(), 400);
    let mut answers = wrong_tokens(&balancer, &api).await;
    // A token that is good, used for a change.
    let patch = json!({ "retries": 1 });
    let made = json!({ "name": "ci", "role": "configure" });
    let made = api.send("POST", "/tokens", &made).await.json();
    let good = made["secret"].as_str().expect("a secret").to_owned();
    let told = api
        .with_token(&good)
        .send("PATCH", "/config/pools/web", &patch)
        .await;
    assert_eq!(told.status, 200, "{told:?}");
    answers.push_str(&told.body);
    eventually("the access log has both requests", async || {
        (balancer.lines().len() >= 2).then_some(())
    })
    .await;

    answers.push_str(&everything(&mut balancer, &api).await);
    assert!(answers.contains("ci"), "names are told");
    for secret in [SECRET, &good] {
        let found = answers.find(secret).map(|at| {
            let start = at.saturating_sub(200);
            String::from_utf8_lossy(&answers.as_bytes()[start..at]).into_owned()
        });
        assert_eq!(found, None, "a secret is told after this");
    }
}
