//! What clients get while no server is available.

use lb_tests::{Answer, Balancer, Message, WebServer, document};

/// A virtual service whose only server is disabled, with this answer for it.
async fn closed_shop(unavailable: &str, sorry: &WebServer) -> Balancer {
    let text = format!(
        "[virtual_services.shop]\naddress = \"127.0.0.1:0\"\npool = \"web\"\n{unavailable}\n\
         [pools.web.servers]\na = {{ address = \"@sorry\", state = \"disabled\" }}\n\
         [pools.sorry.servers]\nsorry = {{ address = \"@sorry\" }}\n"
    );
    Balancer::start(&document(&text, &[sorry])).await
}

async fn answer(unavailable: &str) -> Message {
    let sorry = WebServer::answering("sorry", |_| Answer::ok("sorry")).await;
    let balancer = closed_shop(unavailable, &sorry).await;
    let mut client = balancer.client().await;
    client.ask("/x?y", &[]).await
}

#[tokio::test]
async fn without_a_word_about_it_clients_get_a_503() {
    assert_eq!(answer("").await.status(), 503);
}

#[tokio::test]
async fn a_sorry_pool_a_redirect_or_a_page_answers_instead() {
    let sorry = answer("unavailable = { pool = \"sorry\" }").await;
    assert_eq!((sorry.status(), sorry.text().as_str()), (200, "sorry"));

    let location = "https://elsewhere.test{path}{query}";
    let elsewhere = answer(&format!(
        "unavailable = {{ redirect = {{ location = \"{location}\" }} }}"
    ))
    .await;
    assert_eq!(elsewhere.status(), 302);
    assert_eq!(
        elsewhere.value("location").as_deref(),
        Some("https://elsewhere.test/x?y")
    );

    let page = answer(
        "unavailable = { respond = { status = 503, content_type = \"text/html\", body = \"back at \
         nine\" } }",
    )
    .await;
    assert_eq!((page.status(), page.text().as_str()), (503, "back at nine"));
    assert_eq!(page.value("content-type").as_deref(), Some("text/html"));
}

#[tokio::test]
async fn close_closes_without_an_answer() {
    let sorry = WebServer::start("sorry").await;
    let balancer = closed_shop("unavailable = { close = true }", &sorry).await;
    let mut client = balancer.client().await;
    client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n").await;
    assert!(client.closed().await.is_empty());
}

#[tokio::test]
async fn the_sorry_pool_steps_back_when_a_server_returns() {
    let mut web = WebServer::start("web").await;
    let sorry = WebServer::start("sorry").await;
    let text = "
        [virtual_services.shop]
        address = \"127.0.0.1:0\"
        pool = \"web\"
        unavailable = { pool = \"sorry\" }
        [pools.web]
        persistence = { cookie = {} }
        health_check = { interval = \"100ms\", rise = 1, fall = 1 }
        [pools.web.servers]
        web = { address = \"@web\" }
        [pools.sorry.servers]
        sorry = { address = \"@sorry\" }";
    let balancer = Balancer::start(&document(text, &[&web, &sorry])).await;
    let mut client = balancer.client().await;
    let server = async |client: &mut lb_tests::Client| client.ask("/", &[]).await.value("x-server");
    assert_eq!(server(&mut client).await.as_deref(), Some("web"));
    web.die().await;
    balancer.server_is_up("web", "web", false).await;
    assert_eq!(server(&mut client).await.as_deref(), Some("sorry"));
    web.revive();
    balancer.server_is_up("web", "web", true).await;
    assert_eq!(server(&mut client).await.as_deref(), Some("web"));
}
