//! Wrong configurations are refused before anything is asked of a balancer, each at its own line.

use std::fmt::Write;

use lb_tests::{Balancer, Terraform, provider_block};
use serde_json::Value;

use super::empty;

/// A resource with one line that is wrong, marked `#!`, and what is said of it.
const WRONG: &[(&str, &str, &str)] = &[
    // Pools.
    ("pool", "name = \"-web\" #!", "is not a name"),
    ("pool", "name = \"\" #!", "is not a name"),
    ("pool", "name = \"a/b\" #!", "is not a name"),
    ("pool", "retries = 11 #!", "outside the range of 0 to 10"),
    ("pool", "retries = -1 #!", "outside the range"),
    ("pool", "retries = 1.5 #!", "whole number"),
    ("pool", "retry_budget_percent = 101 #!", "0 to 100"),
    ("pool", "balance = \"fastest\" #!", "is none of"),
    ("pool", "balance = \"\" #!", "is none of"),
    ("pool", "http2 = \"sometimes\" #!", "is none of"),
    ("pool", "slow_start = \"1 minute\" #!", "is not a period"),
    ("pool", "slow_start = \"0s\" #!", "1ms to 28d"),
    ("pool", "connect_timeout = \"29d\" #!", "1ms to 28d"),
    ("pool", "connect_timeout = \"5\" #!", "is not a period"),
    (
        "pool",
        "servers = { a = { address = \"10.0.0.1\" } } #!",
        "is not the address of a server",
    ),
    (
        "pool",
        "servers = { a = { address = \"10.0.0.1:0\" } } #!",
        "has port 0",
    ),
    (
        "pool",
        "servers = { a = { address = \"0.0.0.0:80\" } } #!",
        "one server",
    ),
    (
        "pool",
        "servers = { a = { address = \"10.0.0.1:80\", weight = -1 } } #!",
        "outside the range",
    ),
    (
        "pool",
        "servers = { \"a b\" = { address = \"10.0.0.1:80\" } } #!",
        "is not a name",
    ),
    (
        "pool",
        "servers = { a = { address = \"10.0.0.1:80\", state = \"off\" } } #!",
        "is none of",
    ),
    (
        "pool",
        "servers = { a = { address = \"10.0.0.1:80\", connections_max = 0 } } #!",
        "outside the range",
    ),
    (
        "pool",
        "persistence = { cookie = {}, source = {} } #!",
        "exclude each other",
    ),
    ("pool", "persistence = {} #!", "one of"),
    (
        "pool",
        "persistence = { cookie = { name = \"a b\" } } #!",
        "is not a header name",
    ),
    (
        "pool",
        "persistence = { source = { ipv4_prefix = 33 } } #!",
        "outside the range",
    ),
    (
        "pool",
        "health_check = { fall = 0 } #!",
        "outside the range",
    ),
    (
        "pool",
        "health_check = { port = 70000 } #!",
        "outside the range",
    ),
    (
        "pool",
        "health_check = { probe = { http = { path = \"x\" } } } #!",
        "is not a path",
    ),
    (
        "pool",
        "health_check = { probe = { http = { expect = [99] } } } #!",
        "99",
    ),
    (
        "pool",
        "health_check = { probe = { http = { expect = [\"300-200\"] } } } #!",
        "300-200",
    ),
    (
        "pool",
        "health_check = { probe = { http = { expect = [] } } } #!",
        "elements",
    ),
    (
        "pool",
        "health_check = { probe = { http = { body = \"(\" } } } #!",
        "regular expression",
    ),
    (
        "pool",
        "health_check = { probe = { http = { method = \"HEAD\", body = \"ok\" } } } #!",
        "body",
    ),
    (
        "pool",
        "queue = { length_max = 2000000 } #!",
        "outside the range",
    ),
    ("pool", "reuse = { private = \"maybe\" } #!", "is none of"),
    (
        "pool",
        "ejection = { connect_failures = 5000 } #!",
        "outside the range",
    ),
    // Servers.
    (
        "server",
        "address = \"nowhere\" #!",
        "is not the address of a server",
    ),
    (
        "server",
        "address = \"10.0.0.1:99999\" #!",
        "is not the address of a server",
    ),
    ("server", "weight = 100000 #!", "outside the range"),
    ("server", "state = \"gone\" #!", "is none of"),
    ("server", "pool = \"no pool\" #!", "is not a name"),
    (
        "server",
        "balancer = \"http://10.0.0.1\" #!",
        "is not the address of a balancer",
    ),
    // Virtual services.
    (
        "virtual_service",
        "address = \"127.0.0.1\" #!",
        "is not an address to listen on",
    ),
    ("virtual_service", "protocol = \"ftp\" #!", "is none of"),
    ("virtual_service", "pool = \"a b\" #!", "is not a name"),
    (
        "virtual_service",
        "connections_max = 0 #!",
        "outside the range",
    ),
    (
        "virtual_service",
        "head = { bytes_max = 10 } #!",
        "outside the range",
    ),
    (
        "virtual_service",
        "timeouts = { idle = \"never\" } #!",
        "is not a period",
    ),
    (
        "virtual_service",
        "forwarded = { trusted = [\"10.0.0.0/40\"] } #!",
        "is not a network",
    ),
    (
        "virtual_service",
        "forwarded = { x_forwarded_for = \"yes\" } #!",
        "is none of",
    ),
    ("virtual_service", "http3 = true #!", "has no `tls`"),
    (
        "virtual_service",
        "description = \"@long\" #!",
        "characters",
    ),
    (
        "virtual_service",
        "rules = [{ name = \"a\" }] #!",
        "does nothing",
    ),
    (
        "virtual_service",
        "rules = [{ name = \"a\", action = { pool = \"p\" } }, { name = \"a\", action = { pool = \"p\" } }] #!",
        "both named `a`",
    ),
    (
        "virtual_service",
        "rules = [{ name = \"a\", match = { path = { regex = \"(\" } }, action = { pool = \"p\" } }] #!",
        "regular expression",
    ),
    (
        "virtual_service",
        "rules = [{ name = \"a\", action = { respond = { status = 100 } } }] #!",
        "100",
    ),
    (
        "virtual_service",
        "rules = [{ name = \"a\", action = { redirect = { location = \"/x\", status = 200 } } }] #!",
        "200",
    ),
    (
        "virtual_service",
        "rules = [{ name = \"a\", match = { source = [\"x\"] }, action = { pool = \"p\" } }] #!",
        "is not a network",
    ),
    (
        "virtual_service",
        "rules = [{ name = \"a\", action = { pool = \"p\", respond = { status = 200 } } }] #!",
        "exclude each other",
    ),
    (
        "virtual_service",
        "unavailable = { close = false } #!",
        "does not say what clients get",
    ),
    // Certificates and authorities.
    ("certificate", "source = {} #!", "one of"),
    (
        "certificate",
        "source = { self_signed = { names = [] } } #!",
        "elements",
    ),
    (
        "certificate",
        "source = { self_signed = { names = [\"a b\"] } } #!",
        "a b",
    ),
    (
        "certificate",
        "source = { stored = { fingerprint = \"12\" } } #!",
        "12",
    ),
    (
        "certificate",
        "certificate_pem = \"none\" #!",
        "certificate",
    ),
    (
        "certificate",
        "private_key_wo_version = 1 #!",
        "without `certificate_pem`",
    ),
    ("authority", "source = { pem = \"none\" } #!", "certificate"),
    ("acme_account", "directory = \"http://x\" #!", "http://x"),
    ("acme_account", "contacts = [\"nobody\"] #!", "nobody"),
    // What there is one of.
    ("limits", "connections_max = 0 #!", "outside the range"),
    (
        "telemetry",
        "metrics_address = \"here\" #!",
        "is not an address to listen on",
    ),
];

/// What a resource has that nothing is wrong with.
const RIGHT: &[(&str, &[&str])] = &[
    ("pool", &["name = \"p\""]),
    (
        "server",
        &["pool = \"p\"", "name = \"s\"", "address = \"10.0.0.1:80\""],
    ),
    (
        "virtual_service",
        &["name = \"v\"", "address = \"127.0.0.1:80\"", "pool = \"p\""],
    ),
    (
        "certificate",
        &[
            "name = \"c\"",
            "source = { self_signed = { names = [\"x.example.com\"] } }",
        ],
    ),
    (
        "authority",
        &["name = \"a\"", "source = { file = \"/ca.pem\" }"],
    ),
    (
        "acme_account",
        &["name = \"m\"", "terms_of_service_agreed = true"],
    ),
    ("limits", &[]),
    ("telemetry", &[]),
];

/// The attribute of a line.
fn attribute(line: &str) -> &str {
    line.split(" =").next().unwrap_or_default()
}

fn configuration() -> String {
    let mut text = provider_block("");
    for (index, (noun, line, _)) in WRONG.iter().enumerate() {
        let right = RIGHT.iter().find(|(of, _)| of == noun).expect("a noun").1;
        let mut lines: Vec<_> = right.to_vec();
        lines.retain(|right| attribute(right) != attribute(line));
        // Material comes in the place of a source.
        lines.retain(|right| !line.starts_with("certificate_pem") || attribute(right) != "source");
        lines.push(line);
        let lines = lines
            .join("\n  ")
            .replace("#!", &format!("# wrong {index}."))
            .replace("@long", &"x".repeat(300));
        write!(
            text,
            "resource \"lbctl_{noun}\" \"x{index}\" {{\n  {lines}\n}}\n"
        )
        .expect("a String");
    }
    text
}

#[tokio::test]
async fn each_wrong_configuration_is_refused_at_its_line_and_before_anything_is_done() {
    let terraform = Terraform::new();
    let text = configuration();
    terraform.write("main.tf", &text);
    let told = terraform.validate().await;
    assert!(WRONG.len() >= 60, "{} wrong configurations", WRONG.len());
    let mut missed = Vec::new();
    for (index, (_, wrong, needle)) in WRONG.iter().enumerate() {
        let mark = format!("# wrong {index}.");
        let line = 1 + text
            .lines()
            .position(|line| line.contains(&mark))
            .expect("a line");
        let at = |diagnostic: &&Value| diagnostic["range"]["start"]["line"] == line;
        let found: Vec<_> = told.iter().filter(at).collect();
        let says = |diagnostic: &&Value| {
            let texts = [&diagnostic["summary"], &diagnostic["detail"]];
            let text: String = texts.iter().filter_map(|text| text.as_str()).collect();
            diagnostic["severity"] == "error" && text.contains(needle)
        };
        if !found.iter().any(says) {
            missed.push(format!("{wrong} (line {line}): {found:?}"));
        }
    }
    assert!(
        missed.is_empty(),
        "{} missed:\n{}\n\nall: {told:#?}",
        missed.len(),
        missed.join("\n")
    );
    let without_line: Vec<_> = told
        .iter()
        .filter(|d| d["severity"] == "error" && d["range"].is_null())
        .collect();
    assert!(without_line.is_empty(), "{without_line:#?}");
}

#[tokio::test]
async fn what_only_the_balancer_can_know_is_told_in_its_words_at_the_attribute() {
    let (balancer, terraform) = empty().await;
    let before = super::document(&balancer).await;
    let cases = [
        (
            "resource \"lbctl_virtual_service\" \"x\" {\n  name    = \"x\"\n  address = \"127.0.0.1:0\"\n  pool    = \"none\"\n}\n",
            "there is no pool `none`",
            "pool    = \"none\"",
        ),
        (
            "resource \"lbctl_server\" \"x\" {\n  pool    = \"none\"\n  name    = \"x\"\n  address = \"10.0.0.1:80\"\n}\n",
            "there is no pool `none`",
            "lbctl_server.x",
        ),
        (
            "resource \"lbctl_virtual_service\" \"x\" {\n  name    = \"x\"\n  address = \"192.0.2.77:80\"\n  unavailable = { close = true }\n  rules = [{ name = \"r\", action = { respond = { status = 204 } } }]\n}\n",
            "192.0.2.77:80",
            "lbctl_virtual_service.x",
        ),
    ];
    for (text, needle, place) in cases {
        terraform.write("main.tf", text);
        let refused = terraform
            .run(&["apply", "-auto-approve", "-no-color"])
            .await;
        assert_eq!(refused.code(), 1, "{text}: {refused:?}");
        let said = refused.stderr.to_lowercase().replace('\n', " ");
        assert!(
            said.contains(&needle.to_lowercase()),
            "{needle}: {}",
            refused.stderr
        );
        assert!(
            refused.stderr.contains(place),
            "{place}: {}",
            refused.stderr
        );
        assert!(
            !refused.stderr.contains("inconsistent"),
            "{}",
            refused.stderr
        );
    }
    assert_eq!(
        super::document(&balancer).await,
        before,
        "nothing was half made"
    );
}

#[tokio::test]
async fn servers_of_a_pool_are_in_it_or_resources_of_their_own_and_never_both() {
    let (balancer, terraform) = empty().await;
    let before = super::document(&balancer).await;
    let text = r#"
resource "lbctl_pool" "web" {
  name    = "web"
  servers = { a = { address = "10.0.0.1:80" } }
}

resource "lbctl_server" "b" {
  pool    = lbctl_pool.web.name
  name    = "b"
  address = "10.0.0.2:80"
}
"#;
    terraform.write("main.tf", text);
    let refused = terraform
        .run(&["apply", "-auto-approve", "-no-color"])
        .await;
    assert_eq!(refused.code(), 1, "{refused:?}");
    assert!(
        refused.stderr.contains("managed in two ways"),
        "{}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains("on main.tf line"),
        "{}",
        refused.stderr
    );
    assert_eq!(super::document(&balancer).await, before);
}

#[tokio::test]
async fn a_name_that_is_taken_is_refused_with_the_way_to_import_it() {
    let (balancer, terraform) = empty().await;
    let made = balancer
        .lbctl(&["pool", "add", "web", "--retries", "3"])
        .await;
    made.expect_success("make a pool");
    let before = super::document(&balancer).await;
    terraform.write(
        "main.tf",
        "resource \"lbctl_pool\" \"web\" {\n  name = \"web\"\n}\n",
    );
    let refused = terraform
        .run(&["apply", "-auto-approve", "-no-color"])
        .await;
    assert_eq!(refused.code(), 1, "{refused:?}");
    assert!(
        refused.stderr.contains("There is a pool `web` already"),
        "{}",
        refused.stderr
    );
    assert!(
        refused
            .stderr
            .contains("terraform import lbctl_pool.NAME web"),
        "{}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains("on main.tf line 2"),
        "{}",
        refused.stderr
    );
    assert_eq!(super::document(&balancer).await, before);
}

/// Settings of the provider with which nothing can be done, what is said of them, and the mend.
async fn unreachable(balancer: &Balancer) -> Vec<(String, &'static str, &'static str)> {
    let status = balancer.ask_admin("GET", "/status", &[]).await.json();
    let address = status["admin"]["address"]
        .as_str()
        .expect("an address")
        .to_owned();
    let print = status["admin"]["fingerprint"]
        .as_str()
        .expect("a fingerprint")
        .to_owned();
    let other = format!("sha256:{:064}", 7);
    let nobody = lb_tests::free_port();
    vec![
        (
            format!("endpoint = \"https://{nobody}\""),
            "no balancer answers",
            "admin.address",
        ),
        (
            format!("endpoint = \"https://{address}\""),
            "is not trusted",
            "fingerprint",
        ),
        (
            format!("endpoint = \"https://{address}\"\n  fingerprint = \"{other}\""),
            "is not trusted",
            "fingerprint",
        ),
        (
            format!("endpoint = \"https://{address}\"\n  fingerprint = \"{print}\""),
            "token",
            "token",
        ),
        (
            format!(
                "endpoint = \"https://{address}\"\n  fingerprint = \"{print}\"\n  token = \"lbctl_wrong\""
            ),
            "token",
            "token",
        ),
        (
            "endpoint = \"http://127.0.0.1:1\"".to_owned(),
            "is not the address of a balancer",
            "https://",
        ),
        (
            "endpoint = \"unix:/nonexistent/admin.sock\"".to_owned(),
            "no balancer answers",
            "lbctl run",
        ),
        (
            "token_file = \"/nonexistent/token\"".to_owned(),
            "cannot be used",
            "lbctl token create",
        ),
    ]
}

#[tokio::test]
async fn who_cannot_be_reached_or_does_not_believe_us_is_told_with_the_mend() {
    let terraform = Terraform::new();
    terraform.write(
        "main.tf",
        "resource \"lbctl_pool\" \"web\" {\n  name = \"web\"\n}\n",
    );
    let balancer = Balancer::start("[admin]\naddress = \"127.0.0.1:0\"\n").await;
    for (settings, needle, mend) in unreachable(&balancer).await {
        terraform.write("provider.tf", &provider_block(&settings));
        let refused = terraform
            .run(&["apply", "-auto-approve", "-no-color"])
            .await;
        assert_eq!(refused.code(), 1, "{settings}: {refused:?}");
        let said = refused.stderr.to_lowercase().replace('\n', " ");
        assert!(said.contains(needle), "{settings}: {}", refused.stderr);
        assert!(said.contains(mend), "{settings}: {}", refused.stderr);
    }
}
