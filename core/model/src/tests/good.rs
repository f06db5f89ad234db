//! Documents that are right.

use std::path::Path;

use super::golden::assert_golden;
use crate::config::{Balance, Persistence};
use crate::{Format, read, to_toml};

const SHOP: &str = r#"
[virtual_services.shop]
address = "0.0.0.0:8443"
protocol = "http"
pool = "web"

[[virtual_services.shop.rules]]
name = "api"
match = { path = { prefix = "/api/" } }
action = { pool = "api" }

[pools.web]
balance = "weighted_least_connections"
persistence = { cookie = { name = "LB", fallback = {} } }
health_check = { interval = "5s", probe = { http = { path = "/health", expect = ["200-299", 401] } } }

[pools.web.servers]
iis1 = { address = "10.0.0.11:80" }
iis2 = { address = "10.0.0.12:80", weight = 50 }

[pools.api.servers]
api1 = { address = "10.0.0.21:80" }
"#;

#[test]
fn a_document_as_people_write_it_is_read_without_a_word() {
    let valid = read(SHOP, Format::Toml).unwrap();
    assert_eq!(valid.warnings(), []);
    let web = &valid.config().pools["web"];
    assert_eq!(web.balance, Balance::WeightedLeastConnections);
    assert_eq!(web.servers["iis2"].weight.get(), 50);
    let Some(Persistence::Cookie(cookie)) = &web.persistence else {
        panic!()
    };
    assert!(cookie.fallback.is_some());
}

#[test]
fn the_same_document_as_json_is_the_same() {
    let toml = read(SHOP, Format::Toml).unwrap();
    let json = serde_json::to_string_pretty(toml.config()).unwrap();
    assert_eq!(read(&json, Format::Json).unwrap().config(), toml.config());
}

#[test]
fn an_empty_document_is_a_balancer_that_does_nothing() {
    for (text, format) in [("", Format::Toml), ("{}", Format::Json)] {
        assert_eq!(
            read(text, format).unwrap().config(),
            &crate::Config::default()
        );
    }
}

#[test]
fn a_document_is_printed_as_short_as_it_can_be_said() {
    let valid = read(crate::schema::EXAMPLE, Format::Toml).unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/printed.toml");
    assert_golden(&file, &to_toml(valid.config()));
}
