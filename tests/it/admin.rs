//! The admin API of a running balancer: what it answers, whom it obeys, and that nothing it is sent
//! hurts it or the traffic.

use std::collections::BTreeSet;
use std::path::Path;

use lb_tests::{
    Addressed, Balancer, DEADLINE, Process, Told, WebServer, eventually, run, shop, within,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::Command;

async fn farm() -> (WebServer, Balancer) {
    let server = WebServer::start("iis1").await;
    let balancer = Balancer::start(&shop("", "", &[&server])).await;
    (server, balancer)
}

/// A body in a file, for what no command line holds.
fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("write a file");
    format!("@{}", path.display())
}

fn assert_status(told: &Told, status: u16) {
    assert_eq!(told.status, status, "{told:?}");
}

#[tokio::test]
async fn an_object_is_made_read_changed_and_taken_away_and_traffic_follows() {
    let (_server, balancer) = farm().await;
    let second = WebServer::start("iis2").await;
    let path = "/config/pools/web/servers/iis2";
    let address = second.address().to_string();
    let made = balancer
        .send_admin("PUT", path, &json!({ "address": address }))
        .await;
    assert_status(&made, 200);
    assert_eq!(made.json()["revision"]["number"], 2, "{made:?}");
    assert_eq!(made.json()["revision"]["source"], "api");
    eventually("the new server gets requests", async || {
        balancer.client().await.ask("/", &[]).await;
        (second.request_count() > 0).then_some(())
    })
    .await;

    let read = balancer.ask_admin("GET", path, &[]).await;
    assert_status(&read, 200);
    assert_eq!(read.json()["address"], address);
    let listed = balancer
        .ask_admin("GET", "/config/pools/web/servers", &[])
        .await;
    assert_eq!(listed.json().as_object().expect("by name").len(), 2);

    let patched = balancer
        .send_admin("PATCH", path, &json!({ "weight": 7 }))
        .await;
    assert_status(&patched, 200);
    let read = balancer.ask_admin("GET", path, &[]).await;
    assert_eq!(read.json()["weight"], 7, "{read:?}");
    assert_eq!(read.json()["address"], address, "a patch leaves the rest");

    assert_status(&balancer.ask_admin("DELETE", path, &[]).await, 200);
    let gone = balancer.ask_admin("GET", path, &[]).await;
    assert_status(&gone, 404);
    second.forget();
    for _ in 0..4 {
        assert_eq!(balancer.client().await.ask("/", &[]).await.status(), 200);
    }
    assert_eq!(
        second.request_count(),
        0,
        "a server that is gone gets nothing"
    );
}

#[tokio::test]
async fn the_document_is_read_as_toml_and_can_be_put_back_as_it_was() {
    let (_server, balancer) = farm().await;
    let toml = balancer
        .ask_admin("GET", "/config", &["-H", "Accept: application/toml"])
        .await;
    assert_status(&toml, 200);
    assert_eq!(toml.field("content-type"), Some("application/toml"));
    assert!(toml.body.contains("[virtual_services.shop]"), "{toml:?}");
    let body = file(balancer.folder(), "same.toml", &toml.body);
    let kind = "Content-Type: application/toml";
    let put = balancer
        .ask_admin("PUT", "/config", &["-H", kind, "--data-binary", &body])
        .await;
    assert_status(&put, 200);
    assert_eq!(put.json()["plan"]["changes"], json!([]), "{put:?}");
    assert_eq!(
        balancer.revision().await,
        1,
        "nothing changed, nothing is new"
    );
}

/// A request that is wrong: method, path, arguments of `curl`, and what the answer has: status, code
/// and a word that helps.
type Wrong = (
    &'static str,
    &'static str,
    &'static [&'static str],
    u16,
    &'static str,
    &'static str,
);

const JSON: &str = "Content-Type: application/json";

const WRONG: &[Wrong] = &[
    ("GET", "/config/pool", &[], 404, "not_found", "pools"),
    ("GET", "/config/pools/wbe", &[], 404, "not_found", "web"),
    (
        "GET",
        "/config/pools/web/servers/iis9",
        &[],
        404,
        "not_found",
        "iis1",
    ),
    ("GET", "/nowhere", &[], 404, "not_found", "openapi"),
    ("POST", "/status", &[], 405, "method_not_allowed", "GET"),
    ("DELETE", "/config/pools/wbe", &[], 404, "not_found", "web"),
    ("GET", "/revisions/99", &[], 404, "not_found", ""),
    ("GET", "/revisions/x", &[], 400, "bad_request", "number"),
    (
        "GET",
        "/revisions?limmit=1",
        &[],
        400,
        "bad_request",
        "limit",
    ),
    (
        "POST",
        "/apply",
        &["-d", "{}"],
        415,
        "unsupported_type",
        "application/json",
    ),
    (
        "POST",
        "/apply",
        &["-H", JSON, "-d", "{"],
        400,
        "bad_request",
        "",
    ),
    (
        "POST",
        "/apply",
        &["-H", JSON, "-d", "{}"],
        400,
        "bad_request",
        "",
    ),
    (
        "POST",
        "/rollback",
        &["-H", JSON, "-d", "{\"number\":77}"],
        404,
        "not_found",
        "",
    ),
    (
        "PUT",
        "/config/pools/no%20name",
        &["-H", JSON, "-d", "{}"],
        400,
        "bad_request",
        "letters",
    ),
    (
        "PATCH",
        "/config/pools/web",
        &["-H", JSON, "-d", "{\"balance\":\"round_robbin\"}"],
        422,
        "invalid_document",
        "round_robin",
    ),
    (
        "PATCH",
        "/config/virtual_services/shop?confirm=1y",
        &["-H", JSON, "-d", "{}"],
        400,
        "bad_request",
        "period",
    ),
];

#[tokio::test]
async fn wrong_requests_are_answered_with_what_is_wrong_and_the_mend_and_change_nothing() {
    let (_server, balancer) = farm().await;
    for (method, path, args, status, code, word) in WRONG {
        let told = balancer.ask_admin(method, path, args).await;
        let what = format!("{method} {path}: {told:?}");
        assert_eq!(told.status, *status, "{what}");
        assert_eq!(told.code(), *code, "{what}");
        assert!(told.body.contains(word), "{word}: {what}");
        let error = &told.json()["error"];
        assert!(
            error["message"].as_str().is_some_and(|m| !m.is_empty()),
            "{what}"
        );
    }
    assert_eq!(balancer.revision().await, 1);
}

#[tokio::test]
async fn a_document_with_mistakes_gets_all_of_them_back_with_their_paths() {
    let (_server, balancer) = farm().await;
    let document = json!({ "change": { "document": {
        "virtual_services": { "shop": { "address": "127.0.0.1:0", "pool": "wev" } },
        "pools": { "web": { "balance": "round_robbin", "servers": { "a": { "address": "x y" } } } },
    } } });
    for route in ["/plan", "/apply"] {
        let told = balancer.send_admin("POST", route, &document).await;
        assert_status(&told, 422);
        assert_eq!(told.code(), "invalid_document");
        let problems = &told.json()["error"]["problems"];
        for path in ["pools.web.balance", "pools.web.servers.a.address"] {
            assert!(problems.to_string().contains(path), "{path} in {problems}");
        }
    }
    assert_eq!(balancer.revision().await, 1);
}

#[tokio::test]
async fn a_change_that_this_machine_cannot_carry_out_leaves_what_serves() {
    let (server, balancer) = farm().await;
    let taken = server.address().to_string();
    let told = balancer
        .send_admin(
            "PUT",
            "/config/virtual_services/second",
            &json!({ "address": taken, "pool": "web" }),
        )
        .await;
    assert_status(&told, 422);
    assert_eq!(told.code(), "cannot_apply");
    assert!(told.body.contains(&taken), "{told:?}");
    assert!(told.json()["error"]["help"].is_string(), "{told:?}");
    assert_eq!(balancer.revision().await, 1);
    assert_eq!(balancer.client().await.ask("/", &[]).await.status(), 200);
}

#[tokio::test]
async fn a_plan_that_went_stale_is_refused_with_who_was_faster() {
    let (_server, balancer) = farm().await;
    let change =
        json!({ "edits": [{ "patch": { "path": "pools/web", "value": { "retries": 1 } } }] });
    let planned = balancer
        .send_admin("POST", "/plan", &json!({ "change": change }))
        .await;
    assert_status(&planned, 200);
    let parent = planned.json()["parent"].clone();
    assert_eq!(parent, 1);
    let request = json!({ "change": change, "parent": parent });
    assert_status(&balancer.send_admin("POST", "/apply", &request).await, 200);
    let stale = balancer.send_admin("POST", "/apply", &request).await;
    assert_status(&stale, 409);
    assert_eq!(stale.code(), "stale");
    for word in ["2", "root"] {
        assert!(stale.body.contains(word), "{word} in {stale:?}");
    }
    assert_eq!(balancer.revision().await, 2);
}

#[tokio::test]
async fn two_who_change_the_same_object_do_not_overwrite_each_other_and_others_go_on() {
    let (_server, balancer) = farm().await;
    let web = balancer.ask_admin("GET", "/config/pools/web", &[]).await;
    let tag = web.field("etag").expect("an ETag").to_owned();
    let guard = format!("If-Match: {tag}");
    let json = "Content-Type: application/merge-patch+json";
    let patch = |value: &'static str| ["-H", json, "-d", value];
    // An unrelated object changes meanwhile: no conflict.
    let other = balancer
        .send_admin("PUT", "/config/pools/spare", &json!({}))
        .await;
    assert_status(&other, 200);
    let args = [&patch("{\"retries\":1}")[..], &["-H", &guard]].concat();
    let first = balancer
        .ask_admin("PATCH", "/config/pools/web", &args)
        .await;
    assert_status(&first, 200);
    let args = [&patch("{\"retries\":0}")[..], &["-H", &guard]].concat();
    let second = balancer
        .ask_admin("PATCH", "/config/pools/web", &args)
        .await;
    assert_status(&second, 412);
    assert_eq!(second.code(), "precondition_failed");
    let now = balancer.ask_admin("GET", "/config/pools/web", &[]).await;
    assert_eq!(now.json()["retries"], 1);
    for both in [&tag, now.field("etag").expect("an ETag")] {
        let bare = both.trim_matches('"');
        assert!(second.body.contains(bare), "{both} in {second:?}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_whether_or_not_it_says_so() {
    let (_server, balancer) = farm().await;
    let large = file(balancer.folder(), "large", &" ".repeat(11 << 20));
    let json = [
        "-H",
        "Content-Type: application/json",
        "--data-binary",
        &large,
    ];
    let told = balancer.ask_admin("POST", "/apply", &json).await;
    assert_status(&told, 413);
    let chunked = [&json[..], &["-H", "Transfer-Encoding: chunked"]].concat();
    let told = balancer.ask_admin("POST", "/apply", &chunked).await;
    assert_status(&told, 413);
    assert_eq!(balancer.revision().await, 1);
}

#[tokio::test]
async fn callers_that_never_finish_their_request_keep_nobody_out() {
    let (_server, balancer) = farm().await;
    let mut slow = Vec::new();
    for number in 0..100 {
        let mut stream = UnixStream::connect(balancer.socket())
            .await
            .expect("the socket");
        let begun: &[u8] = if number % 2 == 0 {
            b"GET /status HTTP/1.1\r\nHost: x\r\n"
        } else {
            b"POST /apply HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
              Content-Length: 100\r\n\r\n{"
        };
        stream.write_all(begun).await.expect("the socket");
        slow.push(stream);
    }
    assert_status(&balancer.ask_admin("GET", "/status", &[]).await, 200);
    assert_eq!(balancer.client().await.ask("/", &[]).await.status(), 200);
}

#[tokio::test]
async fn bytes_that_are_no_request_get_an_error_or_nothing_and_hurt_nobody() {
    let (_server, balancer) = farm().await;
    let junk: [&[u8]; 5] = [
        b"\x16\x03\x01\x02\x00\x01",
        b"GET /status HTTP/9.9\r\n\r\n",
        b"GET  HTTP/1.1\r\n\r\n",
        b"POST /apply HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n12345",
        &[0; 4096],
    ];
    for bytes in junk {
        let mut stream = UnixStream::connect(balancer.socket())
            .await
            .expect("the socket");
        stream.write_all(bytes).await.expect("the socket");
        stream.shutdown().await.expect("the socket");
        let mut answer = Vec::new();
        // A connection that is cut is an answer too.
        let read = within("an end", DEADLINE, stream.read_to_end(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(!answer.starts_with("HTTP/1.1 2"), "{read:?} {answer}");
    }
    assert_status(&balancer.ask_admin("GET", "/status", &[]).await, 200);
}

#[tokio::test]
async fn events_tell_each_change_as_it_happens() {
    let (_server, balancer) = farm().await;
    let socket = balancer.socket();
    let mut listener = Process::start(
        Command::new("curl")
            .args(["-sN", "--max-time", "20", "--unix-socket"])
            .arg(&socket)
            .arg("http://localhost/events"),
    );
    let first = listener.line().await.expect("a line");
    assert!(first.starts_with(':'), "{first}");
    let patch = json!({ "retries": 1 });
    let made = balancer
        .send_admin("PATCH", "/config/pools/web", &patch)
        .await;
    assert_status(&made, 200);
    let event = loop {
        let line = listener.line().await.expect("an event");
        if let Some(event) = line.strip_prefix("data:") {
            break serde_json::from_str::<Value>(event).expect("JSON");
        }
    };
    assert_eq!(event["kind"]["applied"]["number"], 2, "{event}");
    assert_eq!(event["kind"]["applied"]["author"], "root", "{event}");
}

/// The secret of a new token.
async fn token(balancer: &Balancer, name: &str, role: &str) -> String {
    let made = balancer
        .send_admin("POST", "/tokens", &json!({ "name": name, "role": role }))
        .await;
    assert_status(&made, 200);
    made.json()["secret"].as_str().expect("a secret").to_owned()
}

/// A path of a route with something in the place of its parameters.
fn path_of(template: &str) -> String {
    template
        .replace("{pool}", "web")
        .replace("{server}", "iis1")
        .replace("{virtual_service}", "shop")
        .replace("{rule}", "r1")
        .replace("{number}", "1")
        .replace("{token}", "nobody")
        .replace("{user}", "nobody")
}

/// Nobody who has a token makes a first one with it.
async fn no_first_token(balancer: &Balancer, tokens: &[(&str, String)]) {
    for (role, secret) in tokens {
        let bearer = format!("Authorization: Bearer {secret}");
        let args = ["-H", &bearer, "-H", JSON, "-d", "{\"name\":\"first\"}"];
        let told = balancer.ask_admin("POST", "/bootstrap", &args).await;
        assert_eq!(told.status, 401, "{role}: {told:?}");
    }
}

#[tokio::test]
async fn every_route_obeys_exactly_the_roles_that_its_description_names() {
    let (_server, balancer) = farm().await;
    let described = balancer.ask_admin("GET", "/openapi.json", &[]).await.json();
    let roles = ["view", "operate", "configure", "administer"];
    let mut tokens = Vec::new();
    for role in roles {
        tokens.push((role, token(&balancer, &format!("t-{role}"), role).await));
    }
    let mut tried = 0;
    for (template, methods) in described["paths"].as_object().expect("paths") {
        for (method, route) in methods.as_object().expect("methods") {
            if *template == "/bootstrap" {
                assert_eq!(route["security"], json!([{ "bootstrap": [] }]));
                no_first_token(&balancer, &tokens).await;
                continue;
            }
            if *template == "/enrolment" {
                assert_eq!(route["security"], json!([{}]));
                continue;
            }
            let needed = route["x-role"]
                .as_str()
                .expect("every other route has a role");
            let place = |role: &str| roles.iter().position(|r| *r == role).expect("a role");
            let (method, path) = (method.to_ascii_uppercase(), path_of(template));
            for (role, secret) in &tokens {
                let bearer = format!("Authorization: Bearer {secret}");
                // A body that no route takes: what is allowed gets as far as that, and no further.
                let wrong = ["-H", "Content-Type: text/plain", "-d", "x"];
                let body: &[&str] = if route["requestBody"].is_object() {
                    &wrong
                } else {
                    &["-d", "x"]
                };
                let limit = ["-H", &bearer, "--max-time", "5"];
                let args = if method == "GET" {
                    limit.to_vec()
                } else {
                    [&limit[..], body].concat()
                };
                if path == "/events" && place(role) >= place(needed) {
                    continue;
                }
                let told = balancer.ask_admin(&method, &path, &args).await;
                let allowed = place(role) >= place(needed);
                let what = format!("{role} {method} {path}: {told:?}");
                assert_eq!(told.status != 403, allowed, "{what}");
                assert_ne!(told.status, 401, "{what}");
                assert_ne!(told.status, 0, "{what}");
                assert_ne!(told.status, 500, "{what}");
                tried += 1;
            }
            let wrong = "Authorization: Bearer lbctl_wrong";
            let told = balancer.ask_admin(&method, &path, &["-H", wrong]).await;
            assert_eq!(told.status, 401, "a wrong token: {method} {path}");
        }
    }
    assert!(tried > 100, "{tried} tries");
    assert_eq!(
        balancer.revision().await,
        1,
        "none of that changed anything"
    );
}

#[tokio::test]
async fn a_token_that_was_revoked_is_good_no_more_and_its_secret_is_nowhere() {
    let (_server, balancer) = farm().await;
    let secret = token(&balancer, "ci", "configure").await;
    let bearer = format!("Authorization: Bearer {secret}");
    let patch = [
        "-H",
        &bearer,
        "-H",
        "Content-Type: application/json",
        "-d",
        "{\"retries\":1}",
    ];
    let made = balancer
        .ask_admin("PATCH", "/config/pools/web", &patch)
        .await;
    assert_status(&made, 200);
    assert_eq!(made.json()["revision"]["author"], "ci");
    let refused = balancer.ask_admin("GET", "/tokens", &["-H", &bearer]).await;
    assert_status(&refused, 403);

    let mut answers = String::new();
    for path in [
        "/tokens",
        "/audit",
        "/revisions",
        "/revisions/2",
        "/config",
        "/status",
        "/metrics",
    ] {
        let told = balancer.ask_admin("GET", path, &[]).await;
        assert_status(&told, 200);
        answers.push_str(&told.body);
    }
    assert!(answers.contains("ci"), "the name of the token is told");
    assert_status(&balancer.ask_admin("DELETE", "/tokens/ci", &[]).await, 200);
    let told = balancer.ask_admin("GET", "/caller", &["-H", &bearer]).await;
    assert_status(&told, 401);
    answers.push_str(&told.body);

    assert!(!answers.contains(&secret), "an answer holds the secret");
    let folder = balancer
        .folder()
        .to_str()
        .expect("a path in UTF-8")
        .to_owned();
    let found = run("grep", &["-rlF", &secret, &folder]).await;
    assert_eq!(found.stdout, "", "files that hold the secret");
    let mut balancer = balancer;
    assert!(
        !balancer.process().stderr().contains(&secret),
        "the log holds it"
    );
}

#[tokio::test]
async fn the_socket_is_for_the_user_of_the_balancer_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (_server, balancer) = farm().await;
    let mode = std::fs::metadata(balancer.socket()).expect("a socket");
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn everything_of_the_document_has_a_path_and_every_path_an_answer() {
    let (_server, balancer) = farm().await;
    let described = balancer.ask_admin("GET", "/openapi.json", &[]).await.json();
    let paths: BTreeSet<&String> = described["paths"]
        .as_object()
        .expect("paths")
        .keys()
        .collect();
    let document = balancer.ask_admin("GET", "/config", &[]).await.json();
    for noun in document.as_object().expect("a document").keys() {
        assert!(
            paths.contains(&format!("/config/{noun}")),
            "/config/{noun} in {paths:?}"
        );
        assert_status(
            &balancer
                .ask_admin("GET", &format!("/config/{noun}"), &[])
                .await,
            200,
        );
    }
    for path in [
        "/caller",
        "/status",
        "/metrics",
        "/revisions",
        "/revisions/1",
        "/audit",
    ] {
        assert_status(&balancer.ask_admin("GET", path, &[]).await, 200);
    }
    let message = "GET /basket HTTP/1.1\r\nHost: shop\r\n\r\n";
    let explained = balancer
        .send_admin(
            "POST",
            "/explain",
            &json!({ "client": "192.0.2.1", "message": message }),
        )
        .await;
    assert_status(&explained, 200);
    assert!(explained.body.contains("iis1"), "{explained:?}");
}
