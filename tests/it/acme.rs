//! Certificates that an authority issues by itself, with `pebble` as the authority.

use lb_tests::{Balancer, Pebble, WebServer, eventually, run, shop};
use serde_json::Value;

/// The usual document with TLS by a certificate `own`, whose source is this, and a service for plain
/// HTTP that sends everybody to https.
fn document(pebble: &Pebble, source: &str, server: &WebServer) -> String {
    let secure = format!("address = \"{}\"", pebble.tls());
    let text = shop("tls = { certificates = [\"own\"] }", "", &[server]);
    text.replace("address = \"127.0.0.1:0\"", &secure)
        + &format!(
            "[virtual_services.plain]\naddress = \"{}\"\nredirect_to_https = true\n\
             [certificates.own.source.acme]\naccount = \"own\"\n{source}\n",
            pebble.http()
        )
}

/// How the certificate is, as the command tells.
async fn status(balancer: &Balancer) -> Value {
    let told = balancer
        .lbctl(&["certificate", "status", "-o", "json"])
        .await;
    let told = told.expect_success("certificate status");
    let told: Value = serde_json::from_str(&told).expect("JSON");
    told["certificates"]["own"].clone()
}

/// The certificate when the authority has issued it.
async fn issued(balancer: &Balancer) -> Value {
    eventually("the authority has issued a certificate", async || {
        let status = status(balancer).await;
        let issuer = status["facts"]["issuer"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        issuer.contains("Pebble").then_some(status)
    })
    .await
}

/// Asks over TLS, trusting nobody but the authority.
async fn ask(pebble: &Pebble, root: &str, host: &str) -> lb_tests::Finished {
    let port = pebble.tls().port();
    let to = format!("{host}:{port}:127.0.0.1");
    let url = format!("https://{host}:{port}/");
    let args = [
        "-sS",
        "--max-time",
        "20",
        "--cacert",
        root,
        "--resolve",
        &to,
        &url,
    ];
    run("curl", &args).await
}

#[tokio::test]
async fn a_certificate_comes_by_http_and_stays_over_a_restart() {
    let pebble = Pebble::start(86_400, None).await;
    let server = WebServer::start("a").await;
    let text = document(
        &pebble,
        "names = [\"shop.test\", \"www.shop.test\"]",
        &server,
    ) + &pebble.account("");
    let mut balancer = Balancer::start(&text).await;
    let first = issued(&balancer).await;
    assert_eq!(
        first["facts"]["names"],
        serde_json::json!(["shop.test", "www.shop.test"])
    );
    assert_eq!(first["problem"], Value::Null, "{first}");
    let root = pebble.root().await;
    for host in ["shop.test", "www.shop.test"] {
        ask(&pebble, &root, host).await.expect_success("curl");
    }
    // Nobody is answered who asks for something else, and nobody once it is over.
    let url = format!("http://{}/.well-known/acme-challenge/abc", pebble.http());
    let told = run("curl", &["-si", &url]).await.stdout;
    assert!(told.starts_with("HTTP/1.1 301 "), "{told}");

    // What is kept is served from the first moment of the next process.
    balancer.restart().await;
    ask(&pebble, &root, "shop.test")
        .await
        .expect_success("curl");
    let second = status(&balancer).await;
    assert_eq!(
        second["facts"]["fingerprint"],
        first["facts"]["fingerprint"]
    );
}

#[tokio::test]
async fn a_certificate_comes_over_tls_to_nobody_but_the_authority() {
    let pebble = Pebble::start(86_400, None).await;
    let server = WebServer::start("a").await;
    let source = "names = [\"shop.test\"]\nchallenge = \"tls_alpn\"";
    let balancer =
        Balancer::start(&(document(&pebble, source, &server) + &pebble.account(""))).await;
    issued(&balancer).await;
    let root = pebble.root().await;
    ask(&pebble, &root, "shop.test")
        .await
        .expect_success("curl");
    // Whoever offers the protocol of authorities gets nothing when none is asked for.
    let to = pebble.tls().to_string();
    let args = [
        "s_client",
        "-connect",
        &to,
        "-servername",
        "shop.test",
        "-alpn",
        "acme-tls/1",
    ];
    let told = run("openssl", &args).await;
    assert_ne!(told.code(), 0, "{told:?}");
    assert!(told.stderr.contains("unrecognized name"), "{told:?}");
}

#[tokio::test]
async fn a_wildcard_comes_by_records_that_a_program_makes_and_removes() {
    let pebble = Pebble::start(86_400, None).await;
    let server = WebServer::start("a").await;
    let (hook, log) = pebble.dns_hook();
    let source = format!(
        "names = [\"*.shop.test\", \"shop.test\"]\nchallenge = {{ dns = {{ hook = \"{}\" }} }}",
        hook.display()
    );
    let text = document(&pebble, &source, &server) + &pebble.account("");
    let balancer = Balancer::start(&text).await;
    let told = issued(&balancer).await;
    assert_eq!(
        told["facts"]["names"],
        serde_json::json!(["*.shop.test", "shop.test"])
    );
    let root = pebble.root().await;
    ask(&pebble, &root, "any.shop.test")
        .await
        .expect_success("curl");
    eventually("every record is removed", async || {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        let count = |what: &str| log.lines().filter(|line| *line == what).count();
        let made = count("present _acme-challenge.shop.test 3");
        (made == 2 && count("cleanup _acme-challenge.shop.test 3") == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_refusal_is_told_with_its_mend_and_what_is_there_is_served_on() {
    let mut pebble = Pebble::start(86_400, None).await;
    let server = WebServer::start("a").await;
    let account = pebble.account("");
    let good = document(&pebble, "names = [\"shop.test\"]", &server) + &account;
    let balancer = Balancer::start(&good).await;
    let first = issued(&balancer).await;
    let root = pebble.root().await;
    // One name more, and a program that cannot prove it.
    let source = "names = [\"shop.test\", \"new.shop.test\"]\n\
                  challenge = { dns = { hook = \"/usr/bin/false\" } }";
    let path = pebble.path("changed.toml");
    let path = path.to_str().expect("UTF-8");
    let apply = async |text: &str| {
        std::fs::write(path, text).expect("write a document");
        let applied = balancer.lbctl(&["apply", path, "--yes"]).await;
        applied.expect_success("apply");
    };
    apply(&(document(&pebble, source, &server) + &account)).await;
    let told = eventually("the refusal is told", async || {
        let status = status(&balancer).await;
        (!status["problem"].is_null()).then_some(status)
    })
    .await;
    let message = told["problem"]["message"].as_str().expect("a message");
    assert!(
        message.contains("`/usr/bin/false` present: exit status: 1"),
        "{message}"
    );
    assert!(message.contains("it is ordered again at 20"), "{message}");
    assert_eq!(told["facts"]["fingerprint"], first["facts"]["fingerprint"]);
    assert!(
        told["warnings"]
            .to_string()
            .contains("not for new.shop.test yet"),
        "{told}"
    );
    ask(&pebble, &root, "shop.test")
        .await
        .expect_success("curl");
    // Where nobody answers, the authority says so in its own words.
    let silent = good
        .replace(
            "names = [\"shop.test\"]",
            "names = [\"shop.test\", \"new.shop.test\"]",
        )
        .replace(
            &format!("address = \"{}\"", pebble.http()),
            "address = \"127.0.0.1:0\"",
        );
    apply(&silent).await;
    let told = eventually("the words of the authority are told", async || {
        let status = status(&balancer).await;
        let message = status["problem"]["message"].as_str()?.to_owned();
        message.contains("does not see that").then_some(status)
    })
    .await;
    let help = told["problem"]["help"].as_str().expect("a mend");
    assert!(help.contains("port 80"), "{told}");
    ask(&pebble, &root, "shop.test")
        .await
        .expect_success("curl");
    // An authority that is not there: the document that is mended is tried at once.
    pebble.kill().await;
    apply(&(good.replace("[\"shop.test\"]", "[\"shop.test\", \"b.test\"]"))).await;
    eventually("the authority is missed", async || {
        let status = status(&balancer).await;
        let message = status["problem"]["message"].as_str()?.to_owned();
        message.contains("was not reached").then_some(())
    })
    .await;
    ask(&pebble, &root, "shop.test")
        .await
        .expect_success("curl");
}

#[tokio::test]
async fn an_account_elsewhere_is_tied_to_it_by_its_key() {
    const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let pebble = Pebble::start(86_400, Some(("kid-1", KEY))).await;
    let server = WebServer::start("a").await;
    let text = document(&pebble, "names = [\"shop.test\"]", &server);
    let balancer = Balancer::start(&(text.clone() + &pebble.account(""))).await;
    let told = eventually("the refusal is told", async || {
        let status = status(&balancer).await;
        (!status["problem"].is_null()).then_some(status["problem"].clone())
    })
    .await;
    assert!(
        told["help"].to_string().contains("external_account"),
        "{told}"
    );
    // Until there is another one, the balancer's own is served.
    let warnings = status(&balancer).await["warnings"].to_string();
    assert!(warnings.contains("signed it itself"), "{warnings}");
    let key = pebble.path("outside-key");
    std::fs::write(&key, format!("{KEY}\n")).expect("write a key");
    let outside = format!(
        "external_account = {{ key_id = \"kid-1\", key_file = \"{}\" }}",
        key.display()
    );
    let path = pebble.path("changed.toml");
    std::fs::write(&path, text + &pebble.account(&outside)).expect("write a document");
    let apply = ["apply", path.to_str().expect("UTF-8"), "--yes"];
    balancer.lbctl(&apply).await.expect_success("apply");
    issued(&balancer).await;
}

#[tokio::test]
async fn a_certificate_is_renewed_before_it_ends_and_no_request_fails() {
    let pebble = Pebble::start(20, None).await;
    let server = WebServer::start("a").await;
    let text = document(&pebble, "names = [\"shop.test\"]", &server) + &pebble.account("");
    let balancer = Balancer::start(&text).await;
    let first = issued(&balancer).await["facts"]["fingerprint"].clone();
    let root = pebble.root().await;
    let mut asked = 0;
    eventually("the certificate is another one", async || {
        ask(&pebble, &root, "shop.test")
            .await
            .expect_success("curl");
        asked += 1;
        let status = status(&balancer).await;
        (status["facts"]["fingerprint"] != first).then_some(())
    })
    .await;
    ask(&pebble, &root, "shop.test")
        .await
        .expect_success("curl");
    assert!(asked > 1, "it was there from the beginning");
}
