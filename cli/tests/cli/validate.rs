//! `lbctl validate`.

use crate::session::{DOCUMENT, Session};

const BROKEN: &str = r#"
[virtual_services.shop]
address = "127.0.0.1:99999"
pool = "wbe"

[pools.web]
health_check = {}

[pools.web.servers]
iis1 = { address = "10.0.0.11:80", wieght = 50 }
"#;

#[test]
fn a_valid_document_is_counted_and_exits_0() {
    let session = Session::with_document();
    insta::assert_snapshot!(session.transcript(&["validate", "lb.toml"]));
}

#[test]
fn a_document_that_surely_does_not_do_what_was_meant_gets_warnings_and_exits_0() {
    let spare =
        "\n[pools.spare]\nhealth_check = {}\nservers.iis2 = { address = \"10.0.0.12:80\" }\n";
    let session = Session::new().file("lb.toml", &(DOCUMENT.to_owned() + spare));
    insta::assert_snapshot!(session.transcript(&["validate", "lb.toml"]));
    let quiet = session.transcript(&["validate", "lb.toml", "-q"]);
    assert!(quiet.ends_with("--- stderr\n"), "{quiet}");
}

#[test]
fn every_mistake_is_shown_with_its_place_and_exits_2() {
    let session = Session::new().file("lb.toml", BROKEN);
    insta::assert_snapshot!(session.transcript(&["validate", "lb.toml"]));
}

#[test]
fn programs_get_the_problems_as_json_and_nothing_on_the_standard_error() {
    let session = Session::with_document().file("broken.toml", BROKEN);
    let output = session
        .lbctl(&["validate", "lb.toml", "broken.toml", "-o", "json"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stderr.is_empty());
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["valid"], false);
    assert_eq!(result["documents"][0]["valid"], true);
    assert_eq!(result["documents"][0]["contents"]["servers"], 1);
    let problem = &result["documents"][1]["problems"][0];
    assert!(
        problem["path"].is_string() && problem["position"]["line"].is_u64(),
        "{problem}"
    );
}

#[test]
fn a_document_can_come_from_a_pipe_as_toml_or_json() {
    let session = Session::new();
    insta::assert_snapshot!(session.transcript_of_input(&["validate", "-"], DOCUMENT));
    insta::assert_snapshot!(session.transcript_of_input(&["validate", "-"], " {}"));
}

#[test]
fn a_document_that_cannot_be_read_is_named_with_the_reason() {
    let session = Session::new();
    insta::assert_snapshot!(session.transcript(&["validate", "missing.toml"]));
    insta::assert_snapshot!(session.transcript(&["validate", "/"]));
    std::fs::write(session.path("latin1.toml"), b"# caf\xe9\n").unwrap();
    insta::assert_snapshot!(session.transcript(&["validate", "latin1.toml"]));
}

#[test]
fn colours_come_when_asked_for_and_not_into_a_pipe() {
    let session = Session::new().file("lb.toml", BROKEN);
    let plain = session.transcript(&["validate", "lb.toml"]);
    assert!(!plain.contains('\x1b'));
    let coloured = session.transcript(&["validate", "lb.toml", "--color", "always"]);
    assert!(coloured.contains("\x1b["));
}
