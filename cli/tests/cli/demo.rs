//! `lbctl demo`.

use std::collections::BTreeSet;
use std::path::Path;

use rustix::process::Signal;

use crate::session::{Session, get};

/// The server that answered, and the cookies it set.
fn visit(url: &str, cookies: &str) -> (String, String) {
    let field = format!("Cookie: {cookies}");
    let fields = if cookies.is_empty() {
        vec![]
    } else {
        vec![field.as_str()]
    };
    let answer = get(url, &fields);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let set: Vec<&str> = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
        .filter_map(|(_, value)| value.split(';').next())
        .collect();
    (body.trim_end().to_owned(), set.join("; "))
}

#[test]
fn strangers_go_round_and_a_session_stays_and_ctrl_c_leaves_nothing() {
    let session = Session::new();
    let running = session.start(&["demo", "--port", "0", "-o", "json"]);
    let text = |key: &str| running.ready[key].as_str().unwrap().to_owned();
    let url = text("url");

    let servers: BTreeSet<String> = (0..3).map(|_| visit(&url, "").0).collect();
    let expected: BTreeSet<String> = (1..=3)
        .map(|number| format!("web{number}: new session, visit 1"))
        .collect();
    assert_eq!(servers, expected);

    let (first, cookies) = visit(&url, "");
    let server = first.split(':').next().unwrap();
    for number in 2..10 {
        let (story, _) = visit(&url, &cookies);
        assert_eq!(story, format!("{server}: session found, visit {number}"));
    }
    // Without the balancer's cookie the session is somewhere else.
    let own = cookies
        .split("; ")
        .find(|c| c.starts_with("SESSION="))
        .unwrap();
    let found = (0..3)
        .filter(|_| visit(&url, own).0.contains("session found"))
        .count();
    assert_eq!(found, 1);

    let metrics = get(&text("metrics"), &[]);
    assert!(metrics.contains("lb_server_requests_total{pool=\"web\",server=\"web1\"}"));
    let document = text("document");
    let explained = session.transcript(&["explain", "--config", &document, &url]);
    assert!(
        explained.contains("chosen by weighted_round_robin"),
        "{explained}"
    );
    let valid = session.transcript(&["validate", &document]);
    assert!(valid.starts_with("exit 0\n"), "{valid}");

    running.signal(Signal::INT);
    let (status, stderr) = running.ended();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(!Path::new(&document).exists());
}

#[test]
fn a_port_that_was_asked_for_and_is_taken_is_an_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let transcript = Session::new().transcript(&["demo", "--port", &port]);
    assert!(
        transcript.starts_with("exit 1\n--- stdout\n--- stderr\nerror: "),
        "{transcript}"
    );
    assert!(transcript.contains("ss -ltnp"), "{transcript}");
}
