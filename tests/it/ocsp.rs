//! Whether a certificate is revoked, told with it (OCSP stapling).

use std::net::SocketAddr;
use std::time::Duration;

use lb_tests::{
    Addressed, Answer, Authority, Balancer, Process, WebServer, eventually, free_port, run, shop,
    within,
};
use serde_json::Value;
use tokio::process::Command;

struct Stand {
    authority: Authority,
    responder: SocketAddr,
    process: Option<Process>,
    balancer: Balancer,
    _server: WebServer,
}

impl Stand {
    /// A balancer that shows a certificate, whose authority has a responder.
    async fn start(more: &str) -> Self {
        let authority = Authority::new("Test Root").await;
        let responder = free_port();
        issue(&authority, responder).await;
        authority.know("shop").await;
        let process = respond(&authority, responder).await;
        Self::over(authority, responder, Some(process), more).await
    }

    async fn over(
        authority: Authority,
        responder: SocketAddr,
        process: Option<Process>,
        more: &str,
    ) -> Self {
        let server = WebServer::start("iis1").await;
        let document = shop("tls = { certificates = [\"shop\"] }", "", &[&server]);
        let document = format!("{document}\n{}{more}", authority.certificate("shop"));
        Self {
            balancer: Balancer::start(&document).await,
            authority,
            responder,
            process,
            _server: server,
        }
    }

    /// What a client is told of it.
    async fn told(&self) -> String {
        let address = self.balancer.address("shop").to_string();
        let line = "openssl s_client -connect \"$0\" -servername shop.test -status </dev/null 2>&1";
        run("sh", &["-c", line, &address]).await.stdout
    }

    async fn is_told(&self, what: &str) {
        eventually(what, async || {
            self.told().await.contains(what).then_some(())
        })
        .await;
    }

    async fn status(&self) -> Value {
        let told = self.balancer.ask_admin("GET", "/certificates", &[]).await;
        told.json()["certificates"]["shop"].clone()
    }

    /// Waits until there is a warning with these words.
    async fn is_warned_of(&self, words: &str) -> String {
        let ask = async {
            loop {
                let status = self.status().await;
                let warnings = status["warnings"].as_array().unwrap();
                let mut messages = warnings.iter().map(|w| w["message"].as_str().unwrap());
                if let Some(found) = messages.find(|message| message.contains(words)) {
                    return found.to_owned();
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        within(
            &format!("a warning of {words}"),
            Duration::from_secs(80),
            ask,
        )
        .await
    }
}

/// A certificate that names this responder.
async fn issue(authority: &Authority, responder: SocketAddr) {
    let access = format!("authorityInfoAccess=OCSP;URI:http://{responder}/ocsp\n");
    authority
        .issue_saying("shop", &["shop.test"], &access)
        .await;
}

/// A responder whose answers are good for a minute.
async fn respond(authority: &Authority, address: SocketAddr) -> Process {
    let mut command = Command::new("openssl");
    command
        .current_dir(authority.folder())
        .args(["ocsp", "-index", "index", "-CA", "ca.pem"])
        .args(["-rsigner", "ca.pem", "-rkey", "ca-key.pem"])
        .args(["-nmin", "1", "-port", &address.port().to_string()]);
    let mut process = Process::start(&mut command);
    // To a connection without a question it listens for ever, so nobody tries one.
    let line = process.line().await.expect("it listens");
    assert!(line.starts_with("ACCEPT "), "{line}");
    drop(process.collect_lines());
    process
}

const NOTHING: &str = "OCSP response: no response sent";

#[tokio::test]
async fn clients_are_told_that_a_certificate_is_good_for_as_long_as_that_is_so() {
    let mut stand = Stand::start("").await;
    stand.is_told("Cert Status: good").await;
    let status = stand.status().await;
    let ocsp = &status["ocsp"];
    assert_eq!(
        ocsp["responder"],
        format!("http://{}/ocsp", stand.responder)
    );
    assert!(ocsp["good_until"].is_string(), "{status}");
    assert_eq!(status["warnings"], serde_json::json!([]));
    let name = "lb_certificate_ocsp_expiry_timestamp_seconds";
    let until = stand.balancer.metrics().await.sum(name, &[]);
    assert!(until > 1.7e9, "{until}");
    stand.process = None;
    // What is known outlives the process.
    stand.balancer.restart().await;
    assert!(stand.told().await.contains("Cert Status: good"));
    // It asks again when half of the minute is over.
    let warning = stand
        .is_warned_of("what it said before is told on until")
        .await;
    assert!(warning.contains("no connection to "), "{warning}");
    assert!(stand.told().await.contains("Cert Status: good"));
    // Nobody is told what is not known any more.
    let over = async {
        while !stand.told().await.contains(NOTHING) {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    within("the answer is over", Duration::from_mins(2), over).await;
    let url = format!("https://{}/", stand.balancer.address("shop"));
    let seen = run("curl", &["-sSk", &url]).await;
    assert!(seen.expect_success("a visit").contains("iis1"));
    assert_eq!(stand.status().await["ocsp"]["good_until"], Value::Null);
}

#[tokio::test]
async fn a_certificate_that_is_revoked_is_told_to_the_administrator() {
    let stand = Stand::start("").await;
    stand.is_told("Cert Status: good").await;
    stand.authority.revoke("shop").await;
    // It is asked when half of the minute is over: what it said before is wrong then.
    let warning = stand.is_warned_of("the certificate was revoked on ").await;
    assert!(
        warning.starts_with("the OCSP responder http://"),
        "{warning}"
    );
    assert!(!warning.contains("told on"), "{warning}");
    stand.is_told(NOTHING).await;
}

#[tokio::test]
async fn a_responder_that_makes_no_sense_is_told_and_clients_are_told_nothing() {
    for (answer, told) in [
        (Answer::ok("hello"), "its answer is malformed"),
        (Answer::status(503), "it answers with 503"),
        (Answer::ok(vec![b'x'; 100_000]), "its answer is too long"),
    ] {
        let responder = WebServer::answering("ocsp", move |_| answer.clone()).await;
        let authority = Authority::new("Test Root").await;
        issue(&authority, responder.address()).await;
        let stand = Stand::over(authority, responder.address(), None, "").await;
        stand.is_warned_of(told).await;
        assert!(stand.told().await.contains(NOTHING));
        let text = stand.balancer.lbctl(&["certificate", "status"]).await;
        let text = text.expect_success("status");
        assert!(text.contains(told) && text.contains("help: "), "{text}");
    }
}

#[tokio::test]
async fn nobody_is_asked_when_that_is_not_wanted() {
    let stand = Stand::start("ocsp_stapling = false\n").await;
    let status = stand.status().await;
    assert_eq!(status["ocsp"], Value::Null);
    assert!(stand.told().await.contains(NOTHING));
    let on = [
        "certificate",
        "set",
        "shop",
        "--ocsp-stapling",
        "true",
        "--yes",
    ];
    stand.balancer.lbctl(&on).await.expect_success("stapling");
    stand.is_told("Cert Status: good").await;
    let off = [
        "certificate",
        "set",
        "shop",
        "--ocsp-stapling",
        "false",
        "--yes",
    ];
    stand
        .balancer
        .lbctl(&off)
        .await
        .expect_success("no stapling");
    assert!(stand.told().await.contains(NOTHING));
}
