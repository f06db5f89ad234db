//! `lbctl explain`.

use crate::session::Session;

const DOCUMENT: &str = r#"
[virtual_services.shop]
address = "127.0.0.1:8081"
pool = "web"

[[virtual_services.shop.rules]]
name = "stamp"
request_headers = { set = { X-Site = "shop" } }

[[virtual_services.shop.rules]]
name = "api"
match = { path = { prefix = "/api/" }, method = ["POST"] }
action = { pool = "api" }

[virtual_services.mail]
address = "127.0.0.1:8082"
protocol = "tcp"
pool = "api"

[pools.web]
health_check = {}
persistence = { cookie = { name = "LB" } }

[pools.web.servers]
iis1 = { address = "10.0.0.11:80" }
iis2 = { address = "10.0.0.12:80" }

[pools.api]
health_check = {}

[pools.api.servers]
iis3 = { address = "10.0.0.13:80" }
"#;

fn session() -> Session {
    Session::new().file("lb.toml", DOCUMENT)
}

fn explain(args: &[&str]) -> String {
    session().transcript(&[&["explain", "--config", "lb.toml"], args].concat())
}

#[test]
fn the_way_of_a_request_is_told_step_by_step() {
    insta::assert_snapshot!(explain(&[
        "-X",
        "POST",
        "http://shop.example:8081/api/orders"
    ]));
    insta::assert_snapshot!(explain(&["http://shop.example:8081/api/orders"]));
}

#[test]
fn programs_get_the_same_as_json() {
    let args = [
        "explain",
        "--config",
        "lb.toml",
        "http://shop:8081/",
        "-o",
        "json",
    ];
    let output = session().lbctl(&args).output().unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["virtual_service"], "shop");
    assert_eq!(answer["pool"]["server"], "iis1");
    assert_eq!(answer["header_edits"][0]["edits"]["set"]["X-Site"], "shop");
}

#[test]
fn a_request_that_cannot_be_explained_says_what_to_add() {
    insta::assert_snapshot!(explain(&["http://shop.example/"]));
    insta::assert_snapshot!(explain(&["--virtual-service", "mail", "/"]));
    insta::assert_snapshot!(explain(&["--virtual-service", "shop", "-H", "Cookie", "/"]));
    insta::assert_snapshot!(explain(&["ftp://shop.example/"]));
    let twice = [
        "-H",
        "Content-Length: 1",
        "-H",
        "Content-Length: 2",
        "http://shop:8081/",
    ];
    insta::assert_snapshot!(explain(&twice));
}
