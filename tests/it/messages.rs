//! Messages reach the other side as they were sent, whatever is unusual about them.

use lb_tests::{Answer, Balancer, Message, WebServer, run, shop};

/// Servers are told nothing about the client, so that a message can be compared byte for byte.
const SILENT: &str = "[virtual_services.shop.forwarded]\nx_forwarded_for = \"off\"\n\
                      x_forwarded_proto = \"off\"\nx_forwarded_host = \"off\"\n\
                      x_forwarded_port = \"off\"";

async fn silent(server: &WebServer) -> Balancer {
    Balancer::start(&shop(SILENT, "", &[server])).await
}

#[tokio::test]
async fn names_order_repetition_and_case_of_header_fields_are_kept_byte_for_byte() {
    let server = WebServer::scripted("a", async |mut exchange| {
        while exchange.request().await?.is_some() {
            exchange.wire.send(RESPONSE).await?;
        }
        Ok(())
    })
    .await;
    let balancer = silent(&server).await;
    let mut client = balancer.client().await;
    for _ in 0..3 {
        let response = client.send(REQUEST).await.response().await;
        let sent = String::from_utf8(server.last_request().head).expect("text");
        assert_eq!(sent, REQUEST);
        let answered = [response.head, response.body].concat();
        assert_eq!(String::from_utf8(answered).expect("text"), RESPONSE);
    }
}

const REQUEST: &str = "GET /a%2fB//c/./d/../e;p=1?x=[1]|{2}&u=%zz&q='*' HTTP/1.1\r\n\
    host: Shop.Test:8080\r\nX-Twice: one\r\naCcEpT: */*\r\nX-Twice:two\r\nx-empty:\r\n\
    X-Spaces:   inner  spaces   \r\nCookie: a=1; b=\"2\"; c=3,4\r\nX-Twice: three\r\n\
    User-Agent: \u{fc}ml\u{e4}ut/1.0 (a; b) c/2\r\n\r\n";

const RESPONSE: &str = "HTTP/1.1 299 Everything  is fine, (really)\r\ncontent-length: 4\r\n\
    SET-Cookie: a=1\r\nserver: Microsoft-IIS/10.0\r\nset-cookie: b=2\r\nx-empty:\r\n\
    X-Spaces:   inner  spaces   \r\nSet-Cookie: a=1\r\n\r\nbody";

#[tokio::test]
async fn methods_that_nobody_knows_pass() {
    let server = WebServer::start("a").await;
    let balancer = silent(&server).await;
    let mut client = balancer.client().await;
    for method in [
        "PROPFIND",
        "RPC_IN_DATA",
        "RDG_OUT_DATA",
        "BITS_POST",
        "M-SEARCH",
        "get",
        "X",
    ] {
        let request =
            format!("{method} /dav HTTP/1.1\r\nHost: shop\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!(
            client.send(request).await.response().await.status(),
            200,
            "{method}"
        );
        assert_eq!(server.last_request().method(), method);
        assert_eq!(server.last_request().body, b"abc");
    }
    let url = balancer.url("/dav");
    let page = run("curl", &["-sf", "-X", "PROPFIND", "-H", "Depth: 1", &url]).await;
    assert_eq!(page.expect_success("curl -X PROPFIND"), "a\n");
}

#[tokio::test]
async fn options_of_the_whole_server_pass() {
    let server = WebServer::start("a").await;
    let balancer = silent(&server).await;
    let request = "OPTIONS * HTTP/1.1\r\nHost: shop\r\n\r\n";
    assert_eq!(
        balancer
            .client()
            .await
            .send(request)
            .await
            .response()
            .await
            .status(),
        200
    );
    assert_eq!(server.last_request().target(), "*");
}

#[tokio::test]
async fn one_header_field_of_64_kib_passes_as_kerberos_tickets_need() {
    let server = WebServer::answering("a", |request| {
        let ticket = request.value("authorization").unwrap_or_default();
        Answer::ok("ok").field(format!("X-Echo: {ticket}"))
    })
    .await;
    let balancer = silent(&server).await;
    let ticket = format!("Negotiate {}", "k".repeat(64 * 1024));
    let mut client = balancer.client().await;
    let response = client
        .ask("/", &[&format!("Authorization: {ticket}")])
        .await;
    assert_eq!(response.status(), 200, "{}", response.text());
    assert_eq!(
        server.last_request().value("authorization").as_deref(),
        Some(ticket.as_str())
    );
    assert_eq!(response.value("x-echo").as_deref(), Some(ticket.as_str()));
}

#[tokio::test]
async fn responses_without_a_body_leave_the_connection_usable() {
    let server = WebServer::answering("a", |request| match request.target().as_str() {
        "/204" => Answer::status(204),
        "/304" => Answer::status(304)
            .field("ETag: \"x\"")
            .field("Content-Length: 1234"),
        "/empty" => Answer::ok(""),
        _ => Answer::ok("a page"),
    })
    .await;
    let balancer = silent(&server).await;
    let mut client = balancer.client().await;
    for _ in 0..3 {
        for path in ["/204", "/304", "/empty", "/page"] {
            let response = client.ask(path, &[]).await;
            let expected = match path {
                "/204" => 204,
                "/304" => 304,
                _ => 200,
            };
            assert_eq!(response.status(), expected, "{path}");
        }
        client
            .send("HEAD /page HTTP/1.1\r\nHost: shop\r\n\r\n")
            .await;
        let head = client.response().await;
        assert_eq!(head.value("content-length").as_deref(), Some("6"));
    }
    assert_eq!(
        server.accepted(),
        1,
        "one client that waits for answers needs one connection"
    );
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = WebServer::answering("a", |request| Answer::ok(request.target())).await;
    let balancer = silent(&server).await;
    let mut client = balancer.client().await;
    let get = |turn| format!("GET /{turn} HTTP/1.1\r\nHost: shop\r\n\r\n");
    let post =
        |turn| format!("POST /{turn} HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\nHTTP/");
    let all: String = (0..40)
        .map(|turn| if turn % 3 == 0 { post(turn) } else { get(turn) })
        .collect();
    client.send(all).await;
    for turn in 0..40 {
        assert_eq!(client.response().await.text(), format!("/{turn}"));
    }
}

#[tokio::test]
async fn a_request_may_arrive_one_byte_at_a_time() {
    let server = WebServer::start("a").await;
    let balancer = silent(&server).await;
    let mut client = balancer.client().await;
    let request = "POST /slow HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n";
    for byte in request.as_bytes().chunks(1) {
        client
            .wire()
            .send(byte)
            .await
            .expect("the connection is open");
        tokio::task::yield_now().await;
    }
    assert_eq!(client.response().await.status(), 200);
    assert_eq!(server.last_request().body, b"abcdefg");
}

#[tokio::test]
async fn clients_of_http_1_0_get_what_they_understand() {
    let server = WebServer::scripted("a", async |mut exchange| {
        while let Some(request) = exchange.request().await? {
            let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                           5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
            let plain = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world";
            let answer = if request.target() == "/chunked" {
                chunked
            } else {
                plain
            };
            exchange.wire.send(answer).await?;
        }
        Ok(())
    })
    .await;
    let balancer = silent(&server).await;
    for path in ["/plain", "/chunked"] {
        let mut client = balancer.client().await;
        client
            .send(format!("GET {path} HTTP/1.0\r\nHost: shop\r\n\r\n"))
            .await;
        let answer = String::from_utf8(client.closed().await).expect("text");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(
            answer.ends_with("\r\n\r\nhello world"),
            "no chunks for HTTP/1.0: {answer}"
        );
        assert!(
            !answer.to_ascii_lowercase().contains("transfer-encoding"),
            "{answer}"
        );

        let page = run("curl", &["-sf", "--http1.0", &balancer.url(path)]).await;
        assert_eq!(page.expect_success("curl --http1.0"), "hello world");
    }
    let mut kept = balancer.client().await;
    for _ in 0..3 {
        kept.send("GET / HTTP/1.0\r\nHost: shop\r\nConnection: keep-alive\r\n\r\n")
            .await;
        let response = kept.response().await;
        assert_eq!(response.status(), 200);
        let connection = response
            .value("connection")
            .unwrap_or_default()
            .to_ascii_lowercase();
        assert_eq!(
            connection, "keep-alive",
            "HTTP/1.0 must be told that it stays open"
        );
    }
    let mut nameless = balancer.client().await;
    nameless.send("GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(
        nameless.response().await.status(),
        200,
        "HTTP/1.0 needs no Host"
    );
}

#[tokio::test]
async fn a_client_that_asks_to_close_is_answered_and_closed() {
    let server = WebServer::start("a").await;
    let balancer = silent(&server).await;
    let mut client = balancer.client().await;
    let response = client.ask("/", &["Connection: close"]).await;
    assert_eq!(response.status(), 200);
    assert!(client.closed().await.is_empty());
    assert_eq!(
        server.last_request().value("connection"),
        None,
        "that was between the client and us"
    );

    let mut next = balancer.client().await;
    next.ask(
        "/",
        &[
            "Connection: X-Hop, keep-alive",
            "X-Hop: 1",
            "Keep-Alive: timeout=5",
        ],
    )
    .await;
    let seen = server.last_request();
    assert_eq!(
        seen.value("x-hop"),
        None,
        "the client named it as meant for us alone"
    );
    assert_eq!(seen.value("keep-alive"), None);
}

#[tokio::test]
async fn a_server_that_closes_after_its_answer_does_not_close_the_client() {
    let server = WebServer::scripted("a", async |mut exchange| {
        let asked = exchange.request().await?;
        let until_close = asked.is_some_and(|request| request.target() == "/until-close");
        let length = if until_close {
            ""
        } else {
            "Content-Length: 2\r\n"
        };
        exchange
            .wire
            .send(format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\n{length}\r\nok"
            ))
            .await
    })
    .await;
    let balancer = silent(&server).await;
    let mut client = balancer.client().await;
    for _ in 0..3 {
        let response = client.ask("/", &[]).await;
        assert_eq!(response.text(), "ok");
        assert_eq!(
            response.value("connection"),
            None,
            "that was between the server and us"
        );
    }
    let response = client.ask("/until-close", &[]).await;
    assert_eq!(
        response.text(),
        "ok",
        "a body that ends with the connection arrives whole"
    );
}

#[tokio::test]
async fn trailers_pass_in_both_directions() {
    let server = WebServer::scripted("a", async |mut exchange| {
        while exchange.request().await?.is_some() {
            let head =
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, grpc-status";
            let body = "5\r\nhello\r\n0\r\nX-Sum: 5d41\r\ngrpc-status: 0\r\n\r\n";
            exchange.wire.send(format!("{head}\r\n\r\n{body}")).await?;
        }
        Ok(())
    })
    .await;
    let balancer = silent(&server).await;
    let mut client = balancer.client().await;
    for _ in 0..2 {
        client
            .send(
                "POST / HTTP/1.1\r\nHost: shop\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\
                 Trailer: X-Check\r\n\r\n3;ext=1\r\nabc\r\n0\r\nX-Check: 900150\r\nx-two: 2\r\n\r\n",
            )
            .await;
        let response = client.response().await;
        assert_eq!(response.text(), "hello");
        assert_eq!(
            text(&response.trailers),
            "X-Sum: 5d41\r\ngrpc-status: 0\r\n"
        );
        let request = server.last_request();
        assert_eq!(text(&request.body), "abc");
        assert_eq!(text(&request.trailers), "X-Check: 900150\r\nx-two: 2\r\n");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn interim_responses_pass_before_the_final_one() {
    let server = WebServer::scripted("a", async |mut exchange| {
        exchange.request().await?;
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n";
        let page = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage";
        exchange.wire.send(format!("{hints}{hints}{page}")).await
    })
    .await;
    let balancer = silent(&server).await;
    let mut client = balancer.client().await;
    let mut responses: Vec<Message> = vec![client.ask("/", &[]).await];
    while responses
        .last()
        .is_some_and(|response| response.status() < 200)
    {
        responses.push(client.response().await);
    }
    let statuses: Vec<u16> = responses.iter().map(Message::status).collect();
    assert_eq!(statuses, [103, 103, 200]);
    assert_eq!(
        responses[0].value("link").as_deref(),
        Some("</style.css>; rel=preload")
    );
    assert_eq!(responses[2].text(), "page");
}
