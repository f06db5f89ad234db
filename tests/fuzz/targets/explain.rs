//! Everything that is decided from the bytes of a request: who the client is, which rule matches,
//! which server its cookie names. It is always decided, in the same way, and a stranger cannot pass
//! for somebody else.
#![no_main]

use std::net::IpAddr;
use std::sync::OnceLock;

use lb_model::{Format, ValidConfig};
use lb_proxy::{ExplainError, ExplainRequest, explain};
use libfuzzer_sys::fuzz_target;

const DOCUMENT: &str = r#"
[virtual_services.shop]
address = "127.0.0.1:80"
pool = "web"
forwarded = { trusted = ["10.0.0.0/8", "2001:db8::/32"] }

[[virtual_services.shop.rules]]
name = "host"
match = { host = ["a.example", "*.b.example"], method = ["GET", "POST"] }
action = { pool = "web" }

[[virtual_services.shop.rules]]
name = "path"
match = { path = { prefix = "/api/" }, header = { X-Kind = { prefix = "a" } } }
request_headers = { set = { X-Seen = "yes" } }

[[virtual_services.shop.rules]]
name = "regex"
match = { path = { regex = "^/([a-z]+)/[0-9]*$" } }
action = { redirect = { location = "https://c.example/x" } }

[[virtual_services.shop.rules]]
name = "source"
match = { source = ["192.0.2.0/24"] }
action = { respond = { status = 403 } }

[pools.web]
persistence = { cookie = { name = "LB", fallback = {} } }

[pools.web.servers]
a = { address = "127.0.0.1:8001" }
b = { address = "127.0.0.1:8002" }
"#;

fn config() -> &'static ValidConfig {
    static CONFIG: OnceLock<ValidConfig> = OnceLock::new();
    CONFIG.get_or_init(|| lb_model::read(DOCUMENT, Format::Toml).expect("a valid document"))
}

fuzz_target!(|message: &[u8]| {
    let stranger: IpAddr = [198, 51, 100, 7].into();
    let proxy: IpAddr = [10, 0, 0, 1].into();
    for client in [stranger, proxy] {
        let request = ExplainRequest {
            virtual_service: None,
            client,
            message: message.to_vec(),
        };
        match explain(config(), &request) {
            Ok(explanation) => {
                assert!(client == proxy || explanation.client == stranger);
                assert!(!explanation.action.is_empty());
            }
            Err(ExplainError::Refused { status, .. }) => assert!((400..=505).contains(&status)),
            Err(ExplainError::Incomplete) => {}
            Err(other) => panic!("{other}"),
        }
    }
});
