//! Whether a certificate is revoked, told with it (OCSP stapling): `openssl` as the responder, `openssl` and
//! curl as clients.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lb_tests::{
    Addressed, Answer, Authority, Balancer, Finished, Pebble, Process, WebServer, eventually,
    free_port, run, shop, within,
};
use serde_json::{Value, json};
use tokio::process::Command;

/// What `openssl s_client` prints when it is told nothing.
const NOTHING: &str = "OCSP response: no response sent";
const GOOD: &str = "Cert Status: good";
/// An answer is good for a minute and asked for again when half of it is over; when that is in vain, a
/// minute later, or so. A warning is there within this.
const WARNED_WITHIN: Duration = Duration::from_secs(80);

struct Stand {
    /// Whom clients trust.
    root: Authority,
    /// Who issues: an authority below the root, as most are.
    authority: Authority,
    responder: SocketAddr,
    /// The responder, if it runs.
    process: Option<Process>,
    balancer: Balancer,
    _server: WebServer,
}

/// What `openssl x509` is told of a responder.
fn access(responder: impl std::fmt::Display) -> String {
    format!("authorityInfoAccess=OCSP;URI:http://{responder}\n")
}

/// A responder whose answers are good for a minute, and which signs with the certificate of this name.
async fn respond(authority: &Authority, address: SocketAddr, signer: &str) -> Process {
    let (certificate, key) = (format!("{signer}.pem"), format!("{signer}-key.pem"));
    let mut command = Command::new("openssl");
    command
        .current_dir(authority.folder())
        .args(["ocsp", "-index", "index", "-CA", "ca.pem"])
        .args(["-rsigner", &certificate, "-rkey", &key])
        .args(["-nmin", "1", "-port", &address.port().to_string()]);
    let mut process = Process::start(&mut command);
    // To a connection without a question it listens for ever, so nobody tries one.
    let line = process.line().await.expect("it listens");
    assert!(line.starts_with("ACCEPT "), "{line}");
    drop(process.collect_lines());
    process
}

/// What a client is told of the certificate of `shop`.
async fn told(balancer: &Balancer, args: &str) -> String {
    let address = balancer.address("shop");
    let line = format!(
        "openssl s_client -connect {address} -servername shop.test -status {args} </dev/null 2>&1"
    );
    run("sh", &["-c", &line]).await.stdout
}

async fn is_told(balancer: &Balancer, what: &str) {
    eventually(what, async || {
        told(balancer, "").await.contains(what).then_some(())
    })
    .await;
}

async fn status(balancer: &Balancer, name: &str) -> Value {
    let told = balancer.ask_admin("GET", "/certificates", &[]).await;
    told.json()["certificates"][name].clone()
}

/// The first warning with these words, if there is one.
async fn warning(balancer: &Balancer, name: &str, words: &str) -> Option<String> {
    let status = status(balancer, name).await;
    let warnings = status["warnings"].as_array().expect("warnings").clone();
    let mut messages = warnings.iter().filter_map(|w| w["message"].as_str());
    messages
        .find(|message| message.contains(words))
        .map(str::to_owned)
}

/// Waits until this has come.
async fn comes<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let patient = async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    within(what, WARNED_WITHIN, patient).await
}

impl Stand {
    /// A balancer that shows a certificate whose authority has a responder; with more keys of the
    /// certificate, and more lines of its extensions. Without a signer, the responder is down.
    async fn new(more: &str, extensions: &str, signer: Option<&str>) -> Self {
        let root = Authority::new("Test Root").await;
        let authority = root.intermediate("issuing.test").await;
        let responder = free_port();
        let extensions = access(format!("{responder}/ocsp")) + extensions;
        authority
            .issue_saying("shop", &["shop.test"], &extensions)
            .await;
        authority.know("shop").await;
        let process = match signer {
            Some(signer) => Some(respond(&authority, responder, signer).await),
            None => None,
        };
        let server = WebServer::start("iis1").await;
        let document = shop("tls = { certificates = [\"shop\"] }", "", &[&server]);
        let document = format!("{document}\n{}{more}", authority.certificate("shop"));
        Self {
            balancer: Balancer::start(&document).await,
            root,
            authority,
            responder,
            process,
            _server: server,
        }
    }

    async fn respond(&mut self, signer: &str) {
        self.process = Some(respond(&self.authority, self.responder, signer).await);
    }

    /// Waits for a warning about `shop`.
    async fn is_warned_of(&self, words: &str) -> String {
        comes(&format!("a warning of {words}"), async || {
            warning(&self.balancer, "shop", words).await
        })
        .await
    }

    /// What curl says that trusts the authority alone, with more arguments.
    async fn visit(&self, args: &[&str]) -> Finished {
        let port = self.balancer.address("shop").port();
        let (to, url) = (
            format!("shop.test:{port}:127.0.0.1"),
            format!("https://shop.test:{port}/"),
        );
        let root = self.root.file("ca.pem");
        let own = ["-sS", "--cacert", &root, "--resolve", &to, &url];
        run("curl", &[&own[..], args].concat()).await
    }

    /// The same, and it insists on an answer of the authority.
    async fn insist(&self) -> Finished {
        self.visit(&["--cert-status"]).await
    }

    async fn metric(&self, name: &str) -> f64 {
        let metrics = self.balancer.metrics().await;
        metrics.sum(name, &[("certificate", "shop")])
    }
}

#[tokio::test]
async fn clients_are_told_that_a_certificate_is_good_for_as_long_as_that_is_so() {
    let mut stand = Stand::new("", "tlsfeature=status_request\n", None).await;
    // Nobody answers yet.
    let warned = stand.is_warned_of("no connection to ").await;
    assert!(warned.contains("clients are told nothing"), "{warned}");
    stand.is_warned_of("must-staple").await;
    assert!(told(&stand.balancer, "").await.contains(NOTHING));
    assert_ne!(stand.insist().await.code(), 0);
    assert!(stand.metric("lb_certificate_ocsp_failures").await >= 1.0);

    // Whom the authority has made a responder answers, too.
    let purpose = "extendedKeyUsage=OCSPSigning\n";
    let authority = &stand.authority;
    authority
        .issue_saying("responder", &["responder.test"], purpose)
        .await;
    stand.respond("responder").await;
    stand.balancer.restart().await;
    is_told(&stand.balancer, GOOD).await;
    for version in ["-tls1_2", "-tls1_3"] {
        let said = told(&stand.balancer, version).await;
        assert!(said.contains(GOOD), "{version}: {said}");
    }
    stand.insist().await.expect_success("curl --cert-status");
    let found = status(&stand.balancer, "shop").await;
    let url = format!("http://{}/ocsp", stand.responder);
    assert_eq!(found["ocsp"]["responder"], url);
    assert!(found["ocsp"]["good_until"].is_string(), "{found}");
    assert_eq!(found["facts"]["must_staple"], true);
    assert_eq!(found["warnings"], json!([]));
    let until = stand
        .metric("lb_certificate_ocsp_expiry_timestamp_seconds")
        .await;
    assert!(until > 1.7e9, "{until}");

    // What is known outlives both processes.
    stand.process = None;
    stand.balancer.restart().await;
    stand.insist().await.expect_success("curl --cert-status");
    let warned = stand
        .is_warned_of("its former answer is shown until ")
        .await;
    assert!(warned.contains("no connection to "), "{warned}");
    stand.insist().await.expect_success("curl --cert-status");
    // Nobody is told what is not known any more, also when the files are broken meanwhile.
    let key = stand.authority.path("shop-key.pem");
    let whole = std::fs::read(&key).unwrap();
    std::fs::write(&key, "broken\n").unwrap();
    comes("the answer is over", async || {
        told(&stand.balancer, "")
            .await
            .contains(NOTHING)
            .then_some(())
    })
    .await;
    assert_eq!(
        status(&stand.balancer, "shop").await["ocsp"]["good_until"],
        Value::Null
    );
    stand.is_warned_of("must-staple").await;
    let problem = &status(&stand.balancer, "shop").await["problem"];
    assert!(problem.is_object(), "{problem}");

    // It is asked again by itself.
    std::fs::write(&key, whole).unwrap();
    stand.respond("responder").await;
    comes("the responder is asked again", async || {
        told(&stand.balancer, "").await.contains(GOOD).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_certificate_that_is_revoked_is_told_to_the_administrator_and_served_on() {
    let mut stand = Stand::new("", "", Some("ca")).await;
    is_told(&stand.balancer, GOOD).await;
    assert!(stand.metric("lb_certificate_revoked").await < 0.5);
    stand.authority.revoke("shop").await;
    let warned = stand.is_warned_of("the certificate was revoked on ").await;
    assert!(warned.starts_with("the OCSP responder http://"), "{warned}");
    // What it said before is wrong, and not told on.
    is_told(&stand.balancer, NOTHING).await;
    let found = status(&stand.balancer, "shop").await;
    assert!(found["ocsp"]["revoked_at"].is_string(), "{found}");
    assert!(stand.metric("lb_certificate_revoked").await > 0.5);
    let table = stand.balancer.lbctl(&["certificate", "status"]).await;
    let table = table.expect_success("certificate status");
    assert!(table.contains("REVOKED"), "{table}");
    let log = stand.balancer.process().stderr();
    let loud = |line: &&str| line.contains("ERROR") && line.contains("REVOKED");
    assert!(log.lines().any(|line| loud(&line)), "{log}");
    let visit = stand.visit(&[]).await;
    assert!(visit.expect_success("it is served on").contains("iis1"));
}

/// The answer of `openssl` to a question about a certificate, as bytes.
async fn answer(authority: &Authority, about: &str, signer: &str, args: &[&str]) -> Vec<u8> {
    let (asked, own, key) = (
        format!("{about}.pem"),
        format!("{signer}.pem"),
        format!("{signer}-key.pem"),
    );
    let books = ["-index", "index", "-CA", "ca.pem", "-issuer", "ca.pem"];
    let all = [
        &["ocsp"][..],
        &books,
        &["-cert", &asked, "-rsigner", &own, "-rkey", &key],
        &["-ndays", "7", "-noverify", "-respout", "answer.der"],
        args,
    ];
    authority.openssl(&all.concat()).await;
    std::fs::read(authority.path("answer.der")).expect("an answer")
}

/// Certificates, with what is said when their responder answers as it does; nothing, where all is well.
const ANSWERED: [(&str, Option<&str>); 8] = [
    ("good", None),
    ("garbage", Some("malformed")),
    ("large", Some("longer than 64 KiB")),
    ("missing", Some("status 404")),
    ("other", Some("about another certificate")),
    ("stranger", Some("not signed by the authority")),
    ("weak", Some("not signed by the authority")),
    ("cut", Some("malformed")),
];

/// The answers for all of these.
async fn answers(authority: &Authority) -> HashMap<&'static str, Answer> {
    // RSA can sign SHA-1; whom nobody has made a responder can sign as well.
    for (name, purpose) in [("signer", "OCSPSigning"), ("nobody", "serverAuth")] {
        let purpose = format!("extendedKeyUsage={purpose}\n");
        let (host, key) = (["responder.test"], ["rsa:2048"]);
        authority
            .issue_key_saying(name, &host, &key, &purpose)
            .await;
    }
    let good = answer(authority, "good", "signer", &[]).await;
    let mut cut = answer(authority, "cut", "signer", &[]).await;
    cut.pop();
    let weak = answer(authority, "weak", "signer", &["-rmd", "sha1"]).await;
    let stranger = answer(authority, "stranger", "nobody", &[]).await;
    HashMap::from([
        ("good", Answer::ok(good.clone())),
        ("garbage", Answer::ok("<html>Please log in</html>")),
        ("large", Answer::ok(vec![0; 1 << 20])),
        ("missing", Answer::status(404)),
        ("other", Answer::ok(good)),
        ("stranger", Answer::ok(stranger)),
        ("weak", Answer::ok(weak)),
        ("cut", Answer::ok(cut)),
    ])
}

#[tokio::test]
async fn no_other_answer_is_told_than_one_of_the_authority_about_this_certificate() {
    let authority = Authority::new("Test Root").await;
    // They are made when all certificates are there, and nobody asks before.
    let known = Arc::new(OnceLock::<HashMap<&str, Answer>>::new());
    let served = Arc::clone(&known);
    let responder = WebServer::answering("responder", move |request| {
        let served = served.get().expect("nobody asks before");
        let target = request.target();
        served[target.trim_start_matches('/')].clone()
    })
    .await;
    let names = ANSWERED.map(|(name, _)| name);
    for name in names {
        let access = access(format!("{}/{name}", responder.address()));
        let host = format!("{name}.test");
        authority.issue_saying(name, &[&host], &access).await;
        authority.know(name).await;
    }
    known.set(answers(&authority).await).expect("once");

    let web = WebServer::start("iis1").await;
    let tls = format!("tls = {{ certificates = {names:?} }}");
    let certificates = names.map(|name| authority.certificate(name)).concat();
    let document = shop(&tls, "", &[&web]) + "\n" + &certificates;
    let balancer = Balancer::start(&document).await;
    let shown = async |name: &str| {
        let address = balancer.address("shop");
        let line = format!(
            "openssl s_client -connect {address} -servername {name}.test -status </dev/null 2>&1"
        );
        run("sh", &["-c", &line]).await.stdout
    };
    for (name, words) in ANSWERED {
        let Some(words) = words else {
            eventually("the good one is told", async || {
                shown(name).await.contains(GOOD).then_some(())
            })
            .await;
            continue;
        };
        eventually(&format!("{name} is told"), async || {
            warning(&balancer, name, words).await
        })
        .await;
        let said = shown(name).await;
        assert!(said.contains(NOTHING), "{name}: {said}");
        let found = status(&balancer, name).await;
        assert_eq!(found["ocsp"]["good_until"], Value::Null, "{name}");
    }
}

#[tokio::test]
async fn nobody_is_asked_when_that_is_not_wanted() {
    let stand = Stand::new("ocsp_stapling = false\n", "", Some("ca")).await;
    assert_eq!(status(&stand.balancer, "shop").await["ocsp"], Value::Null);
    assert!(told(&stand.balancer, "").await.contains(NOTHING));
    let set = async |value: &str| {
        let args = [
            "certificate",
            "set",
            "shop",
            "--ocsp-stapling",
            value,
            "--yes",
        ];
        let done = stand.balancer.lbctl(&args).await;
        done.expect_success("certificate set");
    };
    set("true").await;
    is_told(&stand.balancer, GOOD).await;
    set("false").await;
    assert!(told(&stand.balancer, "").await.contains(NOTHING));
    // What is not wanted any more is not kept.
    let kept = stand
        .balancer
        .folder()
        .join("state/certificates/ocsp/shop.der");
    eventually("it is forgotten", async || (!kept.exists()).then_some(())).await;
}

#[tokio::test]
async fn a_pfx_file_with_its_root_can_be_asked_about() {
    // The root itself has issued it, so that it is not shown to clients.
    let stand = Stand::new("", "", Some("ca")).await;
    let (root, responder) = (&stand.root, free_port());
    root.issue_saying("own", &["shop.test"], &access(responder))
        .await;
    root.know("own").await;
    let _responder = respond(root, responder, "ca").await;
    let export = ["pkcs12", "-export", "-passout", "pass:x", "-in", "own.pem"];
    let more = ["-inkey", "own-key.pem", "-out", "own.pfx"];
    root.openssl(&[&export[..], &more].concat()).await;
    std::fs::write(root.path("password"), "x\n").unwrap();
    let (pfx, password) = (root.file("own.pfx"), root.file("password"));
    let args = ["certificate", "import", "shop", "--certificate", &pfx];
    let more = ["--password-file", &password, "--yes"];
    let done = stand.balancer.lbctl(&[&args[..], &more].concat()).await;
    done.expect_success("import");
    eventually("the imported one is told of", async || {
        let found = status(&stand.balancer, "shop").await;
        let asked = found["ocsp"]["responder"] == format!("http://{responder}");
        (asked && found["ocsp"]["good_until"].is_string()).then_some(())
    })
    .await;
    stand.visit(&[]).await.expect_success("curl");
    let said = told(&stand.balancer, "").await;
    assert!(said.contains(GOOD), "{said}");
    assert!(said.contains("issuer=CN = Test Root"), "{said}");
}

#[tokio::test]
async fn a_certificate_of_acme_is_asked_about() {
    let responder = free_port();
    let pebble = Pebble::start_naming(86_400, None, &format!("http://{responder}/")).await;
    let server = WebServer::start("iis1").await;
    let secure = format!("address = \"{}\"", pebble.tls());
    let text = shop("tls = { certificates = [\"own\"] }", "", &[&server]);
    let text = text.replace("address = \"127.0.0.1:0\"", &secure)
        + &format!(
            "[virtual_services.plain]\naddress = \"{}\"\nredirect_to_https = true\n\
             [certificates.own.source.acme]\naccount = \"own\"\nnames = [\"shop.test\"]\n{}",
            pebble.http(),
            pebble.account("")
        );
    let mut balancer = Balancer::start(&text).await;
    eventually("it is asked about in vain", async || {
        warning(&balancer, "own", "no connection to ").await
    })
    .await;
    // The books of its authority are ours now.
    let books = Authority::new("Books").await;
    let (certificate, key) = pebble.signer().await;
    std::fs::write(books.path("ca.pem"), certificate).unwrap();
    std::fs::write(books.path("ca-key.pem"), key).unwrap();
    let shown = told(&balancer, "").await;
    let (_, shown) = shown.split_once("-----BEGIN CERTIFICATE-----").unwrap();
    let (shown, _) = shown.split_once("-----END CERTIFICATE-----").unwrap();
    let shown = format!("-----BEGIN CERTIFICATE-----{shown}-----END CERTIFICATE-----\n");
    std::fs::write(books.path("issued.pem"), shown).unwrap();
    books.know("issued").await;
    let _responder = respond(&books, responder, "ca").await;
    balancer.restart().await;
    is_told(&balancer, GOOD).await;
}
