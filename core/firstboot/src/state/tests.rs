use std::os::unix::fs::PermissionsExt;

use lb_model::api::token;
use tempfile::TempDir;

use super::*;

fn found(instance: &str, user_data: &str) -> Found {
    Found {
        from: "a test".to_owned(),
        instance: instance.to_owned(),
        hostname: None,
        user_data: Some(user_data.to_owned()),
        lasting: None,
    }
}

/// Starts a machine with this seed, and gives what went wrong.
fn start(dir: &TempDir, instance: &str, user_data: &str) -> Vec<String> {
    let seed = lb_model::seed::read(user_data).unwrap();
    let mut report = Report::default();
    put(
        dir.path(),
        Some(&found(instance, user_data)),
        Some(&seed),
        &mut report,
    )
    .unwrap();
    report.errors.iter().map(ToString::to_string).collect()
}

fn file(dir: &TempDir, name: &str) -> String {
    fs::read_to_string(dir.path().join(name)).unwrap_or_default()
}

const DOCUMENT: &str = "document = \"[telemetry]\\nmetrics_address = '127.0.0.1:9100'\\n\"\n";

fn seed() -> String {
    let token = token::text(&[7; 32]);
    format!(
        "#lbctl\n{DOCUMENT}[admin]\naddress = \"0.0.0.0:9443\"\nenrolment_token = \"{token}\"\n"
    )
}

#[test]
fn a_seed_is_put_in_place_once_for_each_machine() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(start(&dir, "i-1", &seed()), [""; 0]);
    let document = file(&dir, "lb.toml");
    let valid = lb_model::read(&document, Format::Toml).unwrap();
    assert_eq!(
        valid.config().admin.address.unwrap().to_string(),
        "0.0.0.0:9443"
    );
    assert!(document.contains("127.0.0.1:9100"), "{document}");
    assert_eq!(file(&dir, "enrolment-token"), token::text(&[7; 32]));
    let token = dir.path().join("enrolment-token");
    assert_eq!(
        token.metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
    // The balancer takes it. Another start brings nothing back; a copy of the disk is another machine.
    fs::remove_file(&token).unwrap();
    start(&dir, "i-1", &seed());
    assert!(!token.exists());
    start(&dir, "i-2", &seed());
    assert!(token.exists());
}

#[test]
fn what_an_administrator_has_written_stays() {
    let dir = tempfile::tempdir().unwrap();
    start(&dir, "i-1", &seed());
    fs::write(dir.path().join("lb.toml"), "# mine\n").unwrap();
    let token = token::text(&[8; 32]);
    let other = format!("#lbctl\n{DOCUMENT}[admin]\nenrolment_token = \"{token}\"\n");
    start(&dir, "i-1", &other);
    assert_eq!(file(&dir, "lb.toml"), "# mine\n");
    assert_eq!(
        file(&dir, "enrolment-token"),
        token,
        "access is given all the same"
    );
}

#[test]
fn a_seed_without_a_document_leaves_the_one_that_is_there() {
    let dir = tempfile::tempdir().unwrap();
    start(&dir, "i-1", &seed());
    let before = file(&dir, "lb.toml");
    assert!(before.contains("9100"));
    start(&dir, "i-1", "#lbctl\nhostname = \"other\"\n");
    assert_eq!(file(&dir, "lb.toml"), before);
}

#[test]
fn a_document_says_itself_where_it_is_administered() {
    let dir = tempfile::tempdir().unwrap();
    let text = "#lbctl\ndocument = \"admin = { address = '10.0.0.5:1' }\"\n[admin]\naddress = \"0.0.0.0:9443\"\n";
    start(&dir, "i-1", text);
    assert_eq!(file(&dir, "lb.toml"), "admin = { address = '10.0.0.5:1' }");
}

#[test]
fn a_wrong_document_is_told_and_leaves_one_that_a_balancer_starts_with() {
    let dir = tempfile::tempdir().unwrap();
    let errors = start(&dir, "i-1", "#lbctl\ndocument = \"[pool]\"\n");
    assert!(errors[0].contains("document:1:2"), "{errors:?}");
    assert_eq!(file(&dir, "lb.toml"), "");
    assert!(dir.path().join("lb.toml").exists());
    // The mended one is taken.
    start(&dir, "i-1", &format!("#lbctl\n{DOCUMENT}"));
    assert!(file(&dir, "lb.toml").contains("9100"));
}

#[test]
fn without_a_seed_a_balancer_starts_empty_and_keeps_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), None, None, &mut Report::default()).unwrap();
    assert_eq!(file(&dir, "lb.toml"), "");
    fs::write(dir.path().join("lb.toml"), "# mine\n").unwrap();
    put(dir.path(), None, None, &mut Report::default()).unwrap();
    assert_eq!(file(&dir, "lb.toml"), "# mine\n");
}
