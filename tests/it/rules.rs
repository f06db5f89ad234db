//! Rules decide what happens to a request: the first that matches and has an action.

use lb_tests::{Balancer, Client, Message, WebServer, document};

/// A virtual service with these rules over three pools of one server each.
async fn switch(rules: &str, servers: &[WebServer; 3]) -> Balancer {
    let text = format!(
        "[virtual_services.shop]\naddress = \"127.0.0.1:0\"\npool = \"web\"\n{rules}\n\
         [pools.web.servers]\nweb = {{ address = \"@web\" }}\n\
         [pools.api.servers]\napi = {{ address = \"@api\" }}\n\
         [pools.files.servers]\nfiles = {{ address = \"@files\" }}\n"
    );
    let [web, api, files] = servers;
    Balancer::start(&document(&text, &[web, api, files])).await
}

async fn servers() -> [WebServer; 3] {
    [
        WebServer::start("web").await,
        WebServer::start("api").await,
        WebServer::start("files").await,
    ]
}

async fn send(balancer: &Balancer, line: &str, fields: &[&str]) -> Message {
    let fields: String = fields.iter().flat_map(|field| [field, "\r\n"]).collect();
    let mut client = balancer.client().await;
    client
        .send(format!("{line} HTTP/1.1\r\n{fields}\r\n"))
        .await
        .response()
        .await
}

/// Sends each request and compares who answered it.
async fn check(rules: &str, cases: &[(&str, &[&str], &str)]) {
    let servers = servers().await;
    let balancer = switch(rules, &servers).await;
    for (line, fields, expected) in cases {
        let named = fields.iter().any(|field| field.starts_with("Host:"));
        let host: &[&str] = if named { &[] } else { &["Host: shop.test"] };
        let fields = [host, fields].concat();
        let response = send(&balancer, line, &fields).await;
        let server = response.value("x-server");
        assert_eq!(
            server.as_deref(),
            Some(*expected),
            "{line} {fields:?}: {}",
            response.text()
        );
    }
}

fn to_api(condition: &str) -> String {
    format!(
        "[[virtual_services.shop.rules]]\nname = \"it\"\nmatch = {{ {condition} }}\n\
         action = {{ pool = \"api\" }}\n"
    )
}

#[tokio::test]
async fn a_path_is_matched_whole_by_its_beginning_or_by_a_pattern() {
    check(
        &to_api("path = { exact = \"/api\" }"),
        &[
            ("GET /api", &[], "api"),
            ("GET /api?x=/api/", &[], "api"),
            ("GET /api/", &[], "web"),
            ("GET /API", &[], "web"),
            ("GET /", &[], "web"),
        ],
    )
    .await;
    check(
        &to_api("path = { prefix = \"/api/\" }"),
        &[
            ("GET /api/v1/users?id=1", &[], "api"),
            ("GET /api/", &[], "api"),
            ("GET /api", &[], "web"),
            ("GET /x/api/", &[], "web"),
            ("GET /x?p=/api/", &[], "web"),
        ],
    )
    .await;
    check(
        &to_api("path = { regex = '^/v[0-9]+/.*\\.json$' }"),
        &[
            ("GET /v1/a.json", &[], "api"),
            ("GET /v22/a/b.json?x", &[], "api"),
            ("GET /v/a.json", &[], "web"),
            ("GET /v1/a.jsonx", &[], "web"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_host_is_matched_without_case_and_port() {
    check(
        &to_api("host = [\"api.shop.test\", \"*.cdn.test\"]"),
        &[
            ("GET /", &["Host: api.shop.test"], "api"),
            ("GET /", &["Host: API.Shop.Test:8080"], "api"),
            ("GET /", &["Host: a.cdn.test"], "api"),
            ("GET /", &["Host: a.b.cdn.test"], "api"),
            ("GET /", &["Host: cdn.test"], "web"),
            ("GET /", &["Host: xapi.shop.test"], "web"),
            ("GET http://api.shop.test/", &["Host: api.shop.test"], "api"),
        ],
    )
    .await;
}

#[tokio::test]
async fn methods_headers_and_sources_are_matched() {
    check(
        &to_api("method = [\"POST\", \"PROPFIND\"]"),
        &[
            ("PROPFIND /", &[], "api"),
            ("POST /", &["Content-Length: 0"], "api"),
            ("GET /", &[], "web"),
            ("post /", &[], "web"),
        ],
    )
    .await;
    check(
        &to_api("header = { X-Version = { exact = \"2\" }, Accept = { prefix = \"text/\" } }"),
        &[
            ("GET /", &["x-version: 2", "accept: text/html"], "api"),
            (
                "GET /",
                &["X-Version: 1", "X-Version: 2", "Accept: text/plain"],
                "api",
            ),
            ("GET /", &["X-Version: 2"], "web"),
            ("GET /", &["X-Version: 22", "Accept: text/html"], "web"),
        ],
    )
    .await;
    check(
        &to_api("header = { X-Debug = { present = true }, X-Bot = { present = false } }"),
        &[
            ("GET /", &["X-Debug: anything"], "api"),
            ("GET /", &["X-Debug: anything", "X-Bot: 1"], "web"),
            ("GET /", &[], "web"),
        ],
    )
    .await;
    check(
        &to_api("header = { User-Agent = { regex = 'MSIE [5-9]' } }"),
        &[
            ("GET /", &["User-Agent: Mozilla/4.0 (MSIE 8.0)"], "api"),
            ("GET /", &["User-Agent: Mozilla/5.0"], "web"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_network_of_clients_is_matched() {
    let servers = servers().await;
    let balancer = switch(
        &to_api("source = [\"127.0.7.0/24\", \"127.0.0.3\"]"),
        &servers,
    )
    .await;
    for (source, expected) in [
        ("127.0.7.1", "api"),
        ("127.0.7.200", "api"),
        ("127.0.0.3", "api"),
        ("127.0.0.4", "web"),
    ] {
        let source = source.parse().expect("an address");
        let mut client = Client::connect_from(source, balancer.address("shop")).await;
        let response = client.ask("/", &[]).await;
        assert_eq!(
            response.value("x-server").as_deref(),
            Some(expected),
            "{source}"
        );
    }
}

#[tokio::test]
async fn the_first_rule_that_matches_and_has_an_action_decides() {
    let rules = "
        [[virtual_services.shop.rules]]
        name = \"mark\"
        match = { path = { prefix = \"/api/\" } }
        request_headers = { set = { X-Marked = \"yes\" } }
        [[virtual_services.shop.rules]]
        name = \"special\"
        match = { path = { prefix = \"/api/files/\" } }
        action = { pool = \"files\" }
        [[virtual_services.shop.rules]]
        name = \"api\"
        match = { path = { prefix = \"/api/\" } }
        action = { pool = \"api\" }
        [[virtual_services.shop.rules]]
        name = \"never\"
        match = { path = { prefix = \"/api/\" } }
        action = { respond = { status = 500 } }";
    let servers = servers().await;
    let balancer = switch(rules, &servers).await;
    let [web, api, files] = &servers;
    // One connection, so that each request is decided by itself.
    let mut client = balancer.client().await;
    for _ in 0..3 {
        for (path, server) in [("/api/files/x", files), ("/api/x", api), ("/x", web)] {
            server.forget();
            assert_eq!(client.ask(path, &[]).await.status(), 200);
            let marked = server.last_request().value("x-marked");
            assert_eq!(
                marked.as_deref(),
                path.starts_with("/api/").then_some("yes"),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn traffic_that_no_rule_decides_on_is_404_without_a_pool() {
    let server = WebServer::start("api").await;
    let text = format!(
        "[virtual_services.shop]\naddress = \"127.0.0.1:0\"\n{}\n\
         [pools.api.servers]\napi = {{ address = \"@api\" }}\n",
        to_api("path = { prefix = \"/api/\" }")
    );
    let balancer = Balancer::start(&document(&text, &[&server])).await;
    let mut client = balancer.client().await;
    assert_eq!(client.ask("/", &[]).await.status(), 404);
    assert_eq!(
        client.ask("/api/", &[]).await.status(),
        200,
        "the connection is still good"
    );
    assert_eq!(server.request_count(), 1);
}

#[tokio::test]
async fn a_redirect_is_made_of_the_request() {
    let rules = "
        [[virtual_services.shop.rules]]
        name = \"old\"
        match = { path = { prefix = \"/old\" } }
        action = { redirect = { location = \"/new\" } }
        [[virtual_services.shop.rules]]
        name = \"https\"
        action = { redirect = { location = \"https://{host}:8443{path}{query}\", status = 308 } }";
    let servers = servers().await;
    let balancer = switch(rules, &servers).await;
    for (line, host, status, location) in [
        (
            "GET /a/b%20c?x=1&y=/",
            "Shop.test:8080",
            308,
            "https://Shop.test:8443/a/b%20c?x=1&y=/",
        ),
        ("GET /", "shop.test", 308, "https://shop.test:8443/"),
        ("GET /old/x", "shop.test", 302, "/new"),
    ] {
        let response = send(&balancer, line, &[&format!("Host: {host}")]).await;
        assert_eq!(response.status(), status, "{line}");
        let given = response.value("location").unwrap_or_default();
        assert!(given.eq_ignore_ascii_case(location), "{line}: {given}");
    }
    let mut client = balancer.client().await;
    let post = "POST /a HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 4\r\n\r\nbody";
    assert_eq!(client.send(post).await.response().await.status(), 308);
    let injected = send(&balancer, "GET /%0d%0aX-Evil:1", &["Host: shop.test"]).await;
    assert_eq!(injected.value("x-evil"), None);
    assert!(servers.iter().all(|server| server.request_count() == 0));
}

#[tokio::test]
async fn a_fixed_response_is_the_balancers_own() {
    let rules = "
        [[virtual_services.shop.rules]]
        name = \"robots\"
        match = { path = { exact = \"/robots.txt\" } }
        action = { respond = { status = 200, body = \"Disallow: /\\n\" } }
        [[virtual_services.shop.rules]]
        name = \"forbidden\"
        match = { path = { prefix = \"/admin\" } }
        action = { respond = { status = 403, content_type = \"text/html\", body = \"<p>no</p>\" } }";
    let servers = servers().await;
    let balancer = switch(rules, &servers).await;
    let mut client = balancer.client().await;
    for _ in 0..2 {
        let robots = client.ask("/robots.txt", &[]).await;
        assert_eq!(
            (robots.status(), robots.text().as_str()),
            (200, "Disallow: /\n")
        );
        let kind = robots.value("content-type");
        assert_eq!(kind.as_deref(), Some("text/plain; charset=utf-8"));

        let forbidden = client.ask("/admin/x", &[]).await;
        assert_eq!(
            (forbidden.status(), forbidden.text().as_str()),
            (403, "<p>no</p>")
        );
        assert_eq!(
            forbidden.value("content-type").as_deref(),
            Some("text/html")
        );

        client
            .send("HEAD /robots.txt HTTP/1.1\r\nHost: shop.test\r\n\r\n")
            .await;
        let head = client.response().await;
        assert_eq!((head.status(), head.body.len()), (200, 0));
        assert_eq!(head.value("content-length").as_deref(), Some("12"));
    }
    assert!(servers.iter().all(|server| server.request_count() == 0));
}

#[tokio::test]
async fn header_fields_are_removed_set_and_added_on_the_way_in_and_out() {
    let rules = "
        [[virtual_services.shop.rules]]
        name = \"edit\"
        [virtual_services.shop.rules.request_headers]
        remove = [\"X-Secret\", \"Accept-Encoding\"]
        set = { X-Set = \"ours\", Host = \"inner.test\" }
        add = { X-Add = \"ours\" }
        [virtual_services.shop.rules.response_headers]
        remove = [\"X-Server\", \"Server\"]
        set = { X-Frame-Options = \"DENY\" }
        add = { Set-Cookie = \"ours=1\" }";
    let web = WebServer::answering("web", |_| {
        lb_tests::Answer::ok("page")
            .field("Server: Microsoft-IIS/10.0")
            .field("x-frame-options: ALLOWALL")
            .field("X-Frame-Options: again")
            .field("Set-Cookie: theirs=1")
    })
    .await;
    let servers = [
        web,
        WebServer::start("api").await,
        WebServer::start("files").await,
    ];
    let balancer = switch(rules, &servers).await;
    let fields = [
        "x-secret: 1",
        "X-SECRET: 2",
        "X-Set: theirs",
        "x-set: too",
        "X-Add: theirs",
    ];
    let response = balancer.client().await.ask("/", &fields).await;

    let request = servers[0].last_request();
    assert_eq!(request.values("x-secret").len(), 0);
    assert_eq!(request.values("x-set"), ["ours"]);
    assert_eq!(request.values("x-add"), ["theirs", "ours"]);
    assert_eq!(request.values("host"), ["inner.test"]);

    assert_eq!(response.text(), "page");
    assert_eq!(response.values("server").len(), 0);
    assert_eq!(response.values("x-server").len(), 0);
    assert_eq!(response.values("x-frame-options"), ["DENY"]);
    assert_eq!(response.values("set-cookie"), ["theirs=1", "ours=1"]);
}
