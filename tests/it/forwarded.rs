//! What servers are told about the client, and whom the balancer believes.

use lb_tests::{Balancer, Client, Message, WebServer, shop};

const CLIENT: &str = "127.0.0.5";
const PROXIES: &str = "trusted = [\"127.0.0.0/8\"]\n";

/// What a server sees of a request with these fields from 127.0.0.5.
async fn seen(settings: &str, fields: &[&str]) -> (Message, Balancer) {
    let server = WebServer::start("a").await;
    let service = format!("[virtual_services.shop.forwarded]\n{settings}");
    let balancer = Balancer::start(&shop(&service, "", &[&server])).await;
    let source = CLIENT.parse().expect("an address");
    let mut client = Client::connect_from(source, balancer.address("shop")).await;
    assert_eq!(client.ask("/", fields).await.status(), 200);
    (server.last_request(), balancer)
}

const INBOUND: [&str; 6] = [
    "X-Forwarded-For: 203.0.113.9",
    "x-forwarded-proto: https",
    "X-Forwarded-Host: public.test",
    "X-Forwarded-Port: 443",
    "Forwarded: for=203.0.113.9;proto=https",
    "X-Forwarded-For: 127.0.0.77",
];

#[tokio::test]
async fn a_stranger_is_not_believed_and_servers_learn_the_truth() {
    let (request, balancer) = seen("", &INBOUND).await;
    let port = balancer.address("shop").port().to_string();
    assert_eq!(request.values("x-forwarded-for"), [CLIENT]);
    assert_eq!(request.values("x-forwarded-proto"), ["http"]);
    assert_eq!(request.values("x-forwarded-host"), ["shop.test"]);
    assert_eq!(request.values("x-forwarded-port"), [port]);
    assert_eq!(request.values("forwarded").len(), 0);
    // IIS does not compress for clients behind a Via.
    assert_eq!(request.values("via").len(), 0);
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_and_added_to() {
    let (request, _) = seen(PROXIES, &INBOUND).await;
    let chain = request.values("x-forwarded-for").join(", ");
    assert_eq!(chain, format!("203.0.113.9, 127.0.0.77, {CLIENT}"));
    assert_eq!(request.values("x-forwarded-proto"), ["https"]);
    assert_eq!(request.values("x-forwarded-host"), ["public.test"]);
    assert_eq!(request.values("x-forwarded-port"), ["443"]);
    assert_eq!(request.values("forwarded"), ["for=203.0.113.9;proto=https"]);
}

fn all(mode: &str) -> String {
    format!(
        "x_forwarded_for = \"{mode}\"\nx_forwarded_proto = \"{mode}\"\n\
         x_forwarded_host = \"{mode}\"\nx_forwarded_port = \"{mode}\"\nforwarded = \"{mode}\"\n"
    )
}

#[tokio::test]
async fn off_sends_nothing_of_ours_and_nothing_of_a_strangers() {
    let (request, _) = seen(&all("off"), &INBOUND).await;
    for name in [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "forwarded",
    ] {
        assert_eq!(request.values(name).len(), 0, "{name}");
    }
    let (request, _) = seen(&format!("{}{PROXIES}", all("off")), &INBOUND).await;
    assert_eq!(
        request.values("x-forwarded-for"),
        ["203.0.113.9", "127.0.0.77"]
    );
    assert_eq!(request.values("x-forwarded-proto"), ["https"]);
}

#[tokio::test]
async fn replace_sends_one_value_whoever_asks() {
    for trust in ["", PROXIES] {
        let (request, balancer) = seen(&format!("{}{trust}", all("replace")), &INBOUND).await;
        let port = balancer.address("shop").port().to_string();
        assert_eq!(request.values("x-forwarded-for").len(), 1, "{trust}");
        assert_eq!(request.values("x-forwarded-proto"), ["http"], "{trust}");
        assert_eq!(request.values("x-forwarded-host"), ["shop.test"], "{trust}");
        assert_eq!(request.values("x-forwarded-port"), [port], "{trust}");
        assert_eq!(request.values("forwarded").len(), 1, "{trust}");
    }
}

#[tokio::test]
async fn set_sends_ours_only_where_a_trusted_proxy_sent_none() {
    let (request, _) = seen(&all("set"), &INBOUND).await;
    assert_eq!(request.values("x-forwarded-for"), [CLIENT]);
    let (request, _) = seen(&format!("{}{PROXIES}", all("set")), &INBOUND[..1]).await;
    assert_eq!(request.values("x-forwarded-for"), ["203.0.113.9"]);
    assert_eq!(request.values("x-forwarded-proto"), ["http"]);
    assert_eq!(request.values("forwarded").len(), 1);
}

#[tokio::test]
async fn the_forwarded_field_has_the_syntax_of_rfc_7239() {
    let (request, _) = seen(&all("append"), &[]).await;
    let field = request.value("forwarded").expect("a Forwarded field");
    let pairs: Vec<&str> = field.split(';').map(str::trim).collect();
    assert!(pairs.contains(&"for=127.0.0.5"), "{field}");
    assert!(pairs.contains(&"proto=http"), "{field}");
    assert!(
        pairs
            .iter()
            .any(|p| matches!(*p, "host=shop.test" | "host=\"shop.test\"")),
        "{field}"
    );

    let (request, _) = seen(&format!("{}{PROXIES}", all("append")), &INBOUND).await;
    let fields = request.values("forwarded").join(", ");
    assert!(
        fields.starts_with("for=203.0.113.9;proto=https, "),
        "{fields}"
    );
    assert!(fields.contains("for=127.0.0.5"), "{fields}");
}

#[tokio::test]
async fn rules_see_the_client_behind_trusted_proxies_and_no_forged_one() {
    let rule = "[[virtual_services.shop.rules]]\nname = \"office\"\n\
                match = { source = [\"203.0.113.0/24\"] }\naction = { respond = { status = 299 } }";
    for (settings, chain, status) in [
        ("", "203.0.113.9", 200),
        (PROXIES, "203.0.113.9", 299),
        (PROXIES, "198.51.100.1, 203.0.113.9, 127.0.0.77", 299),
        (PROXIES, "203.0.113.9, 198.51.100.1", 200),
        (PROXIES, "203.0.113.9:5678", 299),
        (PROXIES, "nonsense", 200),
    ] {
        let server = WebServer::start("a").await;
        let service = format!("{rule}\n[virtual_services.shop.forwarded]\n{settings}");
        let balancer = Balancer::start(&shop(&service, "", &[&server])).await;
        let field = format!("X-Forwarded-For: {chain}");
        let response = balancer.client().await.ask("/", &[&field]).await;
        assert_eq!(response.status(), status, "{settings}{chain}");
    }
}
