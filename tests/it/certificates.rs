//! Certificates: imported as people have them, replaced while traffic goes on, and refused with the mend
//! when they cannot be used.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lb_tests::{Authority, Balancer, WebServer, eventually, run, shop};
use rustix::process::Signal;
use serde_json::Value;

struct Stand {
    authority: Authority,
    balancer: Balancer,
    _server: WebServer,
}

impl Stand {
    /// A balancer that shows the certificate `shop` of the authority, from files.
    async fn start() -> Self {
        let authority = Authority::new("Test Root").await;
        authority.issue("shop", &["shop.test"], "30").await;
        let server = WebServer::start("iis1").await;
        let document = shop("tls = { certificates = [\"shop\"] }", "", &[&server]);
        let document = format!("{document}\n{}", authority.certificate("shop"));
        Self {
            balancer: Balancer::start(&document).await,
            authority,
            _server: server,
        }
    }

    /// The number of the certificate that clients see.
    async fn shown(&self) -> String {
        let address = self.balancer.address("shop").to_string();
        let line = "openssl s_client -connect \"$0\" -servername shop.test </dev/null 2>/dev/null | \
                    openssl x509 -noout -serial";
        run("sh", &["-c", line, &address])
            .await
            .expect_success("a certificate")
    }

    async fn serial(&self, name: &str) -> String {
        let file = format!("{name}.pem");
        let args = ["x509", "-noout", "-serial", "-in", &file];
        self.authority.openssl(&args).await
    }

    async fn import(&self, args: &[&str]) -> lb_tests::Finished {
        let fixed = ["certificate", "import", "shop", "--yes"];
        self.balancer.lbctl(&[&fixed, args].concat()).await
    }

    async fn status(&self) -> Value {
        let told = self.balancer.ask_admin("GET", "/certificates", &[]).await;
        told.json()["certificates"]["shop"].clone()
    }
}

/// Asks over TLS again and again, each time on a new connection.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<Vec<String>>,
}

impl Load {
    fn start(stand: &Stand) -> Self {
        let (stop, done) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&done));
        let root = stand.authority.file("ca.pem");
        let address = stand.balancer.address("shop");
        let to = format!("shop.test:{}:127.0.0.1", address.port());
        let url = format!("https://shop.test:{}/", address.port());
        let task = tokio::spawn(async move {
            let mut failed = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let args = ["-sSf", "--cacert", &root, "--resolve", &to, &url];
                let asked = run("curl", &args).await;
                if asked.code() == 0 {
                    count.fetch_add(1, Ordering::Relaxed);
                } else {
                    failed.push(asked.stderr);
                }
            }
            failed
        });
        Self { stop, done, task }
    }

    /// Waits until some more requests have been answered.
    async fn goes_on(&self) {
        let before = self.done.load(Ordering::Relaxed);
        eventually("requests go on", async || {
            (self.done.load(Ordering::Relaxed) > before + 5).then_some(())
        })
        .await;
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        let failed = self.task.await.expect("the load");
        assert_eq!(failed, Vec::<String>::new());
    }
}

/// Certificates as files of PEM, as a new PFX file and as an old one.
async fn material(authority: &Authority) {
    let hosts = ["shop.test", "www.shop.test"];
    for name in ["pem", "aes"] {
        authority.issue(name, &hosts, "90").await;
    }
    authority.issue_rsa("old", &hosts).await;
    std::fs::write(authority.path("password"), "p\u{e4}ss w\u{f6}rd\nmore\n").unwrap();
    let export = ["pkcs12", "-export", "-passout", "pass:p\u{e4}ss w\u{f6}rd"];
    let aes = [
        "-in",
        "aes.pem",
        "-inkey",
        "aes-key.pem",
        "-certfile",
        "ca.pem",
        "-out",
        "aes.pfx",
    ];
    authority.openssl(&[&export[..], &aes].concat()).await;
    // What Windows Server before 2019 writes.
    let old = [
        "-in",
        "old.pem",
        "-inkey",
        "old-key.pem",
        "-legacy",
        "-out",
        "old.pfx",
    ];
    authority.openssl(&[&export[..], &old].concat()).await;
}

#[tokio::test]
async fn pem_and_pfx_files_are_imported_under_load_and_a_rollback_shows_the_former_one() {
    let stand = Stand::start().await;
    let (authority, balancer) = (&stand.authority, &stand.balancer);
    material(authority).await;
    let load = Load::start(&stand);
    load.goes_on().await;
    assert_eq!(stand.shown().await, stand.serial("shop").await);
    let (pem, key) = (authority.file("pem.pem"), authority.file("pem-key.pem"));
    let password = authority.file("password");
    let (aes, old) = (authority.file("aes.pfx"), authority.file("old.pfx"));
    let imports = [
        ("pem", vec!["--certificate", &pem, "--key", &key]),
        (
            "aes",
            vec!["--certificate", &aes, "--password-file", &password],
        ),
        (
            "old",
            vec!["--certificate", &old, "--password-file", &password],
        ),
    ];
    for (name, args) in &imports {
        stand.import(args).await.expect_success(name);
        load.goes_on().await;
        assert_eq!(stand.shown().await, stand.serial(name).await, "{name}");
    }
    let back = balancer.revision().await - 2;
    let back = back.to_string();
    balancer
        .lbctl(&["rollback", &back, "--yes"])
        .await
        .expect_success("back");
    assert_eq!(stand.shown().await, stand.serial("pem").await);
    load.goes_on().await;
    load.end().await;

    let status = stand.status().await;
    assert_eq!(status["facts"]["names"][1], "www.shop.test", "{status}");
    assert_eq!(status["virtual_services"][0], "shop", "{status}");
    let table = balancer
        .lbctl(&["certificate", "status"])
        .await
        .expect_success("status");
    assert!(
        table.contains("shop.test, www.shop.test  ECDSA P-256"),
        "{table}"
    );
}

#[tokio::test]
async fn what_cannot_be_used_is_named_with_its_mend_and_the_former_one_goes_on() {
    let stand = Stand::start().await;
    let authority = &stand.authority;
    authority.issue("next", &["shop.test"], "30").await;
    let hosts = ["shop.test"];
    authority
        .issue_at("ended", &hosts, "20200101000000Z", "20200201000000Z")
        .await;
    authority
        .issue_at("later", &hosts, "20400101000000Z", "20400201000000Z")
        .await;
    let export = [
        "pkcs12",
        "-export",
        "-passout",
        "pass:right",
        "-in",
        "next.pem",
        "-inkey",
    ];
    authority
        .openssl(&[&export[..], &["next-key.pem", "-out", "next.pfx"]].concat())
        .await;
    std::fs::write(authority.path("wrong"), "wrong\n").unwrap();

    let file = |name: &str| authority.file(name);
    let (next, other) = (file("next.pem"), file("shop-key.pem"));
    let (pfx, wrong) = (file("next.pfx"), file("wrong"));
    let of = |name: &str| {
        (
            file(&format!("{name}.pem")),
            file(&format!("{name}-key.pem")),
        )
    };
    let (ended, later) = (of("ended"), of("later"));
    let before = stand.shown().await;
    let refused = [
        (
            vec!["--certificate", &next, "--key", &other],
            "does not belong",
            "openssl pkey",
        ),
        (vec!["--certificate", &next], "no private key", "--key"),
        (
            vec!["--certificate", &pfx, "--password-file", &wrong],
            "does not open",
            "exported",
        ),
        (
            vec!["--certificate", &ended.0, "--key", &ended.1],
            "ended on",
            "new one",
        ),
        (
            vec!["--certificate", &later.0, "--key", &later.1],
            "not valid before",
            "clock",
        ),
        (vec!["--certificate", &wrong], "", "help"),
    ];
    for (args, reason, mend) in &refused {
        let told = stand.import(args).await;
        assert_ne!(told.code(), 0, "{args:?}");
        assert!(told.stderr.contains(reason), "{args:?}: {}", told.stderr);
        assert!(told.stderr.contains(mend), "{args:?}: {}", told.stderr);
    }
    assert_eq!(stand.shown().await, before);
    assert_eq!(stand.balancer.revision().await, 1);
}

#[tokio::test]
async fn a_plan_with_a_certificate_that_cannot_be_used_is_refused() {
    let stand = Stand::start().await;
    let authority = &stand.authority;
    authority
        .issue_at(
            "ended",
            &["shop.test"],
            "20200101000000Z",
            "20200201000000Z",
        )
        .await;
    let document = std::fs::read_to_string(stand.balancer.folder().join("lb.toml")).unwrap();
    let document = document
        .replace("/shop.pem", "/ended.pem")
        .replace("/shop-key", "/ended-key");
    std::fs::write(authority.path("lb.toml"), document).unwrap();
    let told = stand
        .balancer
        .lbctl(&["plan", &authority.file("lb.toml")])
        .await;
    assert_ne!(told.code(), 0);
    let named = told.stderr.contains("certificates.shop: ");
    assert!(named && told.stderr.contains("ended on"), "{told:?}");
}

#[tokio::test]
async fn changed_files_are_taken_under_load_and_broken_ones_are_told_while_the_former_serve() {
    let mut stand = Stand::start().await;
    stand.authority.issue("next", &["shop.test"], "90").await;
    let next = stand.serial("next").await;
    let load = Load::start(&stand);
    load.goes_on().await;
    stand.authority.put("next", "shop");
    // At once, instead of within a minute.
    stand.balancer.process().signal(Signal::HUP);
    eventually("the new one is shown", async || {
        (stand.shown().await == next).then_some(())
    })
    .await;
    load.goes_on().await;

    std::fs::write(stand.authority.path("shop-key.pem"), "nothing").unwrap();
    stand.balancer.process().signal(Signal::HUP);
    let problem = eventually("it is told", async || {
        let problem = stand.status().await["problem"].clone();
        (!problem.is_null()).then_some(problem)
    })
    .await;
    let message = problem["message"].as_str().unwrap();
    assert!(
        message.contains("shop-key.pem` holds no private key"),
        "{message}"
    );
    assert_eq!(stand.shown().await, next);
    load.goes_on().await;
    load.end().await;
}

#[tokio::test]
async fn a_private_key_is_in_no_answer_log_or_file_in_the_open() {
    let stand = Stand::start().await;
    stand.authority.issue("next", &["shop.test"], "30").await;
    let (next, key) = (
        stand.authority.file("next.pem"),
        stand.authority.file("next-key.pem"),
    );
    let args = ["--certificate", &next, "--key", &key, "-o", "json", "-vv"];
    let told = stand.import(&args).await;
    assert_eq!(told.code(), 0, "{told:?}");
    // Of the key of P-256 as PKCS#8, bytes 36 to 68 are secret, and nothing else.
    let text = std::fs::read_to_string(&key).unwrap();
    let secret: String = text.lines().nth(2).unwrap().chars().take(24).collect();
    assert_eq!(secret.len(), 24);
    let mut seen = vec![told.stdout.clone(), told.stderr.clone()];
    for path in [
        "/certificates",
        "/config",
        "/audit",
        "/revisions",
        "/status",
        "/backup",
    ] {
        let told = stand.balancer.ask_admin("GET", path, &[]).await;
        assert_eq!(told.status, 200, "{path}");
        seen.push(told.body);
    }
    let audit = &seen[4];
    assert!(audit.contains("certificate_import"), "{audit}");
    let mut folders = vec![stand.balancer.folder().to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.is_file() {
                files += 1;
                seen.push(String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned());
            }
        }
    }
    assert!(files > 3, "{files} files");
    assert!(seen.iter().all(|text| !text.contains(&secret)));
}

/// Requests whose certificates have not come.
fn waiting(stand: &Stand) -> usize {
    let folder = stand.balancer.folder().join("state/certificates");
    let names = std::fs::read_dir(folder).expect("the folder of certificates");
    let names = names.map(|entry| entry.expect("an entry").file_name());
    names
        .filter(|name| name.to_string_lossy().starts_with("request-"))
        .count()
}

#[tokio::test]
async fn a_request_leaves_its_key_with_the_balancer_and_finds_it_again() {
    const SIGN: &str = "x509 -req -in own.csr -CA ca.pem -CAkey ca-key.pem -days 30 -CAcreateserial \
                        -copy_extensions copy -out own.pem";
    let stand = Stand::start().await;
    let status = stand.balancer.lbctl(&["status"]).await;
    let status = status.expect_success("status");
    assert!(status.contains("certificate shop: it ends in "), "{status}");
    for (kind, key) in [("ecdsa", "prime256v1"), ("rsa", "2048 bit")] {
        let line = format!(
            "certificate request --names shop.test --names www.shop.test --key {kind} \
             --organization Shops --country de"
        );
        let told = stand.balancer.lbctl(&words(&line)).await;
        assert!(told.stderr.contains("certificate import NAME"), "{told:?}");
        let request = told.expect_success("certificate request");
        std::fs::write(stand.authority.path("own.csr"), &request).expect("write the request");
        let shown = words("req -in own.csr -noout -verify -text");
        let shown = stand.authority.openssl(&shown).await;
        let names = "DNS:shop.test, DNS:www.shop.test";
        for wanted in ["C = DE, O = Shops, CN = shop.test", names, key] {
            assert!(shown.contains(wanted), "{wanted}: {shown}");
        }
        stand.authority.openssl(&words(SIGN)).await;
        assert_eq!(waiting(&stand), 1);
        let file = stand.authority.file("own.pem");
        let imported = stand.import(&["--certificate", &file]).await;
        imported.expect_success("import");
        assert_eq!(stand.shown().await, stand.serial("own").await);
        assert_eq!(waiting(&stand), 0, "it is kept with its certificate now");
    }
}

#[tokio::test]
async fn requests_for_nothing_and_certificates_of_others_are_refused() {
    let stand = Stand::start().await;
    stand.authority.issue("other", &["shop.test"], "30").await;
    let file = stand.authority.file("other.pem");
    let refused = stand.import(&["--certificate", &file]).await;
    assert_ne!(refused.code(), 0);
    assert!(refused.stderr.contains("no private key"), "{refused:?}");
    let mend = "lbctl certificate request";
    assert!(refused.stderr.contains(mend), "{refused:?}");
    for wrong in [["--country", "Germany"], ["--organization", ""]] {
        let fixed = ["certificate", "request", "--names", "shop.test"];
        let refused = stand.balancer.lbctl(&[&fixed[..], &wrong].concat()).await;
        assert_ne!(refused.code(), 0, "{wrong:?}");
        assert!(refused.stdout.is_empty(), "{refused:?}");
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}
