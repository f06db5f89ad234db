//! The admin API over the network: TLS alone, bearers of a token alone, and strangers who cannot keep
//! anybody out.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use lb_model::api::token;
use lb_tests::{
    Authority, Balancer, Finished, Nginx, Told, WebServer, eventually, free_port, run, run_lbctl,
    shop,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// A balancer that is administered over the network, too.
struct Remote {
    balancer: Balancer,
    address: SocketAddr,
    fingerprint: String,
    _server: WebServer,
}

impl Remote {
    async fn start() -> Self {
        Self::start_with("").await
    }

    async fn start_with(admin: &str) -> Self {
        let server = WebServer::start("iis1").await;
        let document = shop("", "", &[&server]);
        let document = format!("{document}\n[admin]\naddress = \"127.0.0.1:0\"\n{admin}");
        let balancer = Balancer::start(&document).await;
        let told = balancer.ask_admin("GET", "/status", &[]).await.json();
        let admin = &told["admin"];
        Self {
            address: admin["address"].as_str().unwrap().parse().unwrap(),
            fingerprint: admin["fingerprint"].as_str().unwrap().to_owned(),
            balancer,
            _server: server,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    fn own_certificate(&self) -> PathBuf {
        self.balancer.folder().join("state/admin-certificate.pem")
    }

    /// Makes a token on the machine of the balancer, and puts its secret into a file.
    async fn token(&self, name: &str, args: &[&str]) -> (String, String) {
        let made = self
            .balancer
            .lbctl(&[&["token", "create", name], args].concat())
            .await;
        assert_eq!(made.code(), 0, "{made:?}");
        let secret = made.stdout.trim().to_owned();
        let path = self.balancer.folder().join(format!("{name}.token"));
        std::fs::write(&path, format!("{secret}\n")).unwrap();
        (secret, path.to_str().unwrap().to_owned())
    }

    /// Asks over the network with `curl`, which knows the certificate as an authority.
    async fn curl(&self, path: &str, args: &[&str]) -> Finished {
        let certificate = self.own_certificate();
        let fixed = [
            "-s",
            "-i",
            "--max-time",
            "20",
            "--cacert",
            certificate.to_str().unwrap(),
        ];
        let url = self.url(path);
        run("curl", &[&fixed, args, &[url.as_str()]].concat()).await
    }

    async fn status(&self, path: &str, secret: &str, args: &[&str]) -> u16 {
        let bearer = format!("Authorization: Bearer {secret}");
        let asked = self.curl(path, &[&["-H", &bearer], args].concat()).await;
        status(&asked.stdout)
    }

    /// Runs the command line against the address, with the fingerprint pinned.
    async fn lbctl(&self, token_file: &str, args: &[&str]) -> Finished {
        let address = self.url("");
        let fixed = [
            "-b",
            &address,
            "--fingerprint",
            &self.fingerprint,
            "--token-file",
            token_file,
        ];
        run_lbctl(&[&fixed, args].concat()).await
    }
}

fn status(answer: &str) -> u16 {
    let status = answer.split(' ').nth(1);
    status.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn assert_failed(finished: &Finished, words: &[&str]) {
    assert_ne!(finished.code(), 0, "{finished:?}");
    for word in words {
        assert!(
            finished.stderr.contains(word),
            "{word}: {}",
            finished.stderr
        );
    }
    assert!(finished.stderr.contains("help:"), "{}", finished.stderr);
}

async fn openssl(address: SocketAddr, args: &[&str]) -> Finished {
    let address = address.to_string();
    let fixed = ["s_client", "-connect", &address];
    run("openssl", &[&fixed, args].concat()).await
}

#[tokio::test]
async fn curl_and_openssl_talk_to_it_over_tls_and_see_the_fingerprint_that_status_shows() {
    let remote = Remote::start().await;
    let (secret, _) = remote.token("ci", &["--role", "view"]).await;
    let bearer = format!("Authorization: Bearer {secret}");
    for version in ["--tlsv1.2", "--tlsv1.3"] {
        let max = version.trim_start_matches("--tlsv");
        let args = ["-H", &bearer, version, "--tls-max", max];
        let asked = remote.curl("/config/pools/web", &args).await;
        assert_eq!(status(&asked.stdout), 200, "{version}: {asked:?}");
        assert!(asked.stdout.to_lowercase().contains("etag:"), "{asked:?}");
    }
    let old = openssl(remote.address, &["-tls1_1"]).await;
    assert_ne!(old.code(), 0, "{old:?}");

    let certificate = remote.own_certificate();
    let certificate = certificate.to_str().unwrap();
    let args = [
        "x509",
        "-noout",
        "-fingerprint",
        "-sha256",
        "-in",
        certificate,
    ];
    let printed = run("openssl", &args).await.stdout;
    let digits = printed.split('=').nth(1).unwrap().trim().replace(':', "");
    assert_eq!(
        remote.fingerprint,
        format!("sha256:{}", digits.to_lowercase())
    );
    let shown = remote.balancer.lbctl(&["status"]).await.stdout;
    assert!(shown.contains(&remote.fingerprint), "{shown}");
    let key = remote.balancer.folder().join("state/admin-key.pem");
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn who_speaks_no_tls_is_told_to_and_who_brings_no_token_stays_out() {
    let remote = Remote::start().await;
    let plain = format!("http://{}/status", remote.address);
    let asked = run("curl", &["-s", "-i", "--max-time", "20", &plain]).await;
    assert_eq!(status(&asked.stdout), 400, "{asked:?}");
    assert!(asked.stdout.contains("https://"), "{asked:?}");

    let asked = remote.curl("/status", &[]).await;
    assert_eq!(status(&asked.stdout), 401, "{asked:?}");
    assert!(asked.stdout.contains("--token-file"), "{asked:?}");
    for wrong in ["Basic cm9vdDpyb290", "Bearer lbctl_1", "Bearer"] {
        let header = format!("Authorization: {wrong}");
        let asked = remote.curl("/status", &["-H", &header]).await;
        assert_eq!(status(&asked.stdout), 401, "{asked:?}");
    }
    assert_eq!(remote.status("/nowhere", "lbctl_1", &[]).await, 401);
}

#[tokio::test]
async fn every_command_works_from_another_machine_within_the_role_and_scope_of_its_token() {
    let remote = Remote::start().await;
    let (_, deploy) = remote
        .token("deploy", &["--role", "configure", "--pool", "web"])
        .await;
    for args in [
        &["status"][..],
        &["history"],
        &["metrics"],
        &["server", "list", "web"],
        &["server", "set", "web/iis1", "--weight", "20"],
        &["drain", "web/iis1", "--no-wait"],
        &["enable", "web/iis1"],
        &["rollback", "1", "--yes"],
    ] {
        let done = remote.lbctl(&deploy, args).await;
        assert_eq!(done.code(), 0, "{args:?}: {done:?}");
    }
    let history = remote.balancer.ask_admin("GET", "/revisions", &[]).await;
    let authors: Vec<Value> = history.json()["revisions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|revision| revision["author"].clone())
        .collect();
    assert_eq!(authors[0], "deploy", "{authors:?}");

    let revision = remote.balancer.revision().await;
    let other = remote
        .lbctl(&deploy, &["pool", "add", "spare", "--retries", "1"])
        .await;
    assert_failed(&other, &["scope"]);
    let tokens = remote.lbctl(&deploy, &["token", "list"]).await;
    assert_failed(&tokens, &["administer"]);
    let (_, look) = remote.token("look", &["--role", "view"]).await;
    let denied = remote
        .lbctl(&look, &["server", "set", "web/iis1", "--weight", "1"])
        .await;
    assert_failed(&denied, &["view", "configure"]);
    assert_eq!(remote.balancer.revision().await, revision);

    let path = remote.balancer.folder().join("next.toml");
    let toml = remote
        .balancer
        .ask_admin("GET", "/config", &["-H", "Accept: application/toml"])
        .await;
    std::fs::write(
        &path,
        format!("{}\n[limits]\nconnections_max = 50\n", toml.body),
    )
    .unwrap();
    let (_, admin) = remote.token("admin", &["--role", "administer"]).await;
    let path = path.to_str().unwrap();
    let planned = remote.lbctl(&admin, &["plan", path]).await;
    assert!(planned.stdout.contains("connections_max"), "{planned:?}");
    let applied = remote.lbctl(&admin, &["apply", path, "--yes"]).await;
    assert_eq!(applied.code(), 0, "{applied:?}");
}

#[tokio::test]
async fn what_cannot_be_trusted_or_let_in_is_told_with_the_mend() {
    let remote = Remote::start().await;
    let (secret, file) = remote.token("ci", &["--role", "view"]).await;
    let address = remote.url("");
    let at = |args: &[&'static str]| {
        let fixed = [&["-b", address.as_str(), "--token-file", &file], args].concat();
        async move { run_lbctl(&fixed).await }
    };
    // Nobody vouches for a certificate that the balancer made.
    assert_failed(&at(&["status"]).await, &["not trusted", "--fingerprint"]);
    let other = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let wrong = at(&["--fingerprint", other, "status"]).await;
    assert_failed(&wrong, &[other, &remote.fingerprint, "somebody else"]);
    let certificate = remote.own_certificate();
    let authority = ["-b", &address, "--token-file", &file, "--ca-file"];
    let authority = [&authority[..], &[certificate.to_str().unwrap(), "status"]].concat();
    let trusted = run_lbctl(&authority).await;
    assert_eq!(trusted.code(), 0, "{trusted:?}");
    assert_failed(
        &at(&["--ca-file", "/dev/null", "status"]).await,
        &["/dev/null"],
    );

    let none = [
        "-b",
        &address,
        "--fingerprint",
        &remote.fingerprint,
        "status",
    ];
    assert_failed(
        &run_lbctl(&none).await,
        &["a token is needed", "--token-file"],
    );
    let missing = remote.lbctl("/nowhere/token", &["status"]).await;
    assert_failed(&missing, &["/nowhere/token"]);
    let plain = format!("http://{}", remote.address);
    assert_failed(&run_lbctl(&["-b", &plain, "status"]).await, &["https://"]);

    let short = remote
        .token("short", &["--role", "view", "--lifetime", "1s"])
        .await;
    eventually("the token expires", async || {
        let told = remote.lbctl(&short.1, &["status"]).await;
        (told.code() != 0 && told.stderr.contains("has expired")).then_some(())
    })
    .await;
    assert_eq!(remote.status("/status", &secret, &[]).await, 200);
    let revoked = remote.balancer.lbctl(&["token", "revoke", "ci"]).await;
    assert_eq!(revoked.code(), 0, "{revoked:?}");
    assert_failed(&remote.lbctl(&file, &["status"]).await, &["not known"]);
    assert!(!format!("{revoked:?}").contains(&secret));
}

#[tokio::test]
async fn whoever_guesses_tokens_is_heard_less_and_a_good_token_all_the_same() {
    let remote = Remote::start().await;
    let (secret, _) = remote.token("ci", &["--role", "view"]).await;
    let mut statuses = Vec::new();
    for _ in 0..30 {
        statuses.push(remote.status("/status", "lbctl_guessed", &[]).await);
    }
    assert_eq!(statuses[0], 401);
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(remote.status("/status", &secret, &[]).await, 200);
    let audit = remote.balancer.ask_admin("GET", "/audit", &[]).await.json();
    let guesses = audit.as_array().unwrap().iter();
    let guesses = guesses.filter(|entry| entry["author"] == "address 127.0.0.1");
    let count = guesses.count();
    assert!((10..25).contains(&count), "{count} are written down");
    assert!(!audit.to_string().contains("guessed"));
}

#[tokio::test]
async fn two_hundred_that_never_finish_leave_the_socket_and_other_addresses_served() {
    let remote = Remote::start_with("connections_max = 64\n").await;
    let (secret, _) = remote.token("ci", &["--role", "view"]).await;
    let mut slow = Vec::new();
    for number in 0..200_u32 {
        let mut stream = TcpStream::connect(remote.address).await.unwrap();
        // Half of a record of TLS; every other one says nothing at all.
        if number % 2 == 0 {
            let begun = stream.write_all(b"\x16\x03\x01").await;
            drop(begun);
        }
        slow.push(stream);
    }
    let told = remote.balancer.ask_admin("GET", "/status", &[]).await;
    assert_eq!(told.status, 200);
    let elsewhere = ["--interface", "127.0.0.2"];
    assert_eq!(remote.status("/status", &secret, &elsewhere).await, 200);
    // Those above the part of one client are closed, the others when their time is over.
    let mut closed = 0;
    for stream in &mut slow {
        let mut byte = [0];
        let read = tokio::time::timeout(lb_tests::DEADLINE, stream.read(&mut byte)).await;
        closed += usize::from(!matches!(read, Ok(Ok(1..))) && read.is_ok());
    }
    assert_eq!(closed, 200);
    assert_eq!(remote.status("/status", &secret, &[]).await, 200);
}

#[tokio::test]
async fn the_first_token_is_made_from_another_machine_once() {
    let remote = Remote::start().await;
    let state = remote.balancer.folder().join("state");
    let bootstrap = state.join("bootstrap-token");
    let copy = remote.balancer.folder().join("copy");
    std::fs::copy(&bootstrap, &copy).unwrap();
    let copy = copy.to_str().unwrap().to_owned();
    let address = remote.url("");
    let fixed = ["-b", &address];
    let first = [&fixed[..], &["token", "bootstrap", "anna", "--from", &copy]].concat();
    let made = run_lbctl(&first).await;
    assert_eq!(made.code(), 0, "{made:?}");
    assert!(made.stderr.contains(&remote.fingerprint), "{made:?}");
    assert!(!bootstrap.exists());
    assert_eq!(remote.status("/tokens", made.stdout.trim(), &[]).await, 200);
    let again = [&fixed[..], &["token", "bootstrap", "eve", "--from", &copy]].concat();
    assert_failed(&run_lbctl(&again).await, &["nobody can enrol here"]);
    let pinned = [&["--fingerprint", &remote.fingerprint], &again[..]].concat();
    assert_failed(&run_lbctl(&pinned).await, &["cannot make the first one"]);
    let secret = std::fs::read_to_string(&copy).unwrap();
    assert_eq!(remote.status("/status", secret.trim(), &[]).await, 401);
}

#[tokio::test]
async fn what_makes_the_first_token_is_sent_to_nobody_who_does_not_have_it() {
    let remote = Remote::start().await;
    let bootstrap = remote.balancer.folder().join("state/bootstrap-token");
    let bootstrap = bootstrap.to_str().unwrap();
    let other = Remote::start().await;
    // It looks into everything that it passes on, as somebody would who answers in the balancer's place.
    let authority = Authority::new("Eve").await;
    authority.issue("eve", &["localhost"], "30").await;
    let (port, folder) = (free_port(), authority.folder().display());
    let between = Nginx::with(
        "eve",
        &format!(
            "listen {port} ssl; ssl_certificate {folder}/eve.pem; ssl_certificate_key {folder}/eve-key.pem;\n\
             location / {{ proxy_pass https://{}; add_header X-Passed $upstream_status always; }}",
            remote.address
        ),
    )
    .await;
    let seen = run("curl", &["-sik", &format!("https://{port}/enrolment")]).await;
    assert!(seen.stdout.contains("X-Passed: 200"), "{seen:?}");
    for stranger in [other.address, port] {
        let address = format!("https://{stranger}");
        let tried = [
            "-b",
            &address,
            "token",
            "bootstrap",
            "anna",
            "--from",
            bootstrap,
        ];
        let words = ["does not show that it has the same token", "was not sent"];
        assert_failed(&run_lbctl(&tried).await, &words);
    }
    drop(between);
    for balancer in [&remote.balancer, &other.balancer] {
        let audit = balancer.ask_admin("GET", "/audit", &[]).await.json();
        let entries = audit.as_array().unwrap();
        let is_start = |entry: &Value| entry["action"] == "apply" && entry["refused"] == false;
        assert!(
            !entries.is_empty() && entries.iter().all(is_start),
            "{audit}"
        );
    }
    let address = remote.url("");
    let made = [
        "-b",
        &address,
        "token",
        "bootstrap",
        "anna",
        "--from",
        bootstrap,
    ];
    assert_eq!(run_lbctl(&made).await.code(), 0);
}

#[tokio::test]
async fn whoever_makes_a_machine_chooses_what_makes_its_first_token() {
    let mut remote = Remote::start().await;
    let state = remote.balancer.folder().join("state");
    let (text, file) = (token::text(&[7; 32]), state.join("enrolment-token"));
    std::fs::write(&file, &text).unwrap();
    remote.balancer.restart().await;
    assert!(!file.exists() && !state.join("bootstrap-token").exists());
    let mine = remote.balancer.folder().join("mine");
    std::fs::write(&mine, &text).unwrap();
    let told = remote
        .balancer
        .ask_admin("GET", "/status", &[])
        .await
        .json();
    let address = format!("https://{}", told["admin"]["address"].as_str().unwrap());
    let made = [
        "-b",
        &address,
        "token",
        "bootstrap",
        "anna",
        "--from",
        mine.to_str().unwrap(),
    ];
    let made = run_lbctl(&made).await;
    assert_eq!(made.code(), 0, "{made:?}");
    assert!(made.stderr.contains(&remote.fingerprint), "{made:?}");
    assert!(
        !remote
            .balancer
            .lines()
            .iter()
            .any(|line| line.contains(&text))
    );
}

#[tokio::test]
async fn a_user_holds_the_tokens_that_belong_to_them() {
    let remote = Remote::start().await;
    let lbctl = async |args: &[&str]| {
        let done = remote.balancer.lbctl(args).await;
        assert_eq!(done.code(), 0, "{args:?}: {done:?}");
        done
    };
    lbctl(&["user", "add", "anna", "--role", "configure"]).await;
    let (secret, file) = remote
        .token("laptop", &["--user", "anna", "--role", "configure"])
        .await;
    let weight = ["server", "set", "web/iis1", "--weight", "20"];
    let set = remote.lbctl(&file, &weight).await;
    assert_eq!(set.code(), 0, "{set:?}");
    let author = remote
        .balancer
        .ask_admin("GET", "/revisions?limit=1", &[])
        .await;
    assert_eq!(author.json()["revisions"][0]["author"], "anna/laptop");

    lbctl(&["user", "set", "anna", "--role", "view"]).await;
    let less = ["server", "set", "web/iis1", "--weight", "30"];
    assert_failed(&remote.lbctl(&file, &less).await, &["view"]);
    let beyond = [
        "token", "create", "more", "--user", "anna", "--role", "operate",
    ];
    assert_failed(
        &remote.balancer.lbctl(&beyond).await,
        &["lbctl user set anna"],
    );
    lbctl(&["user", "disable", "anna"]).await;
    assert_failed(
        &remote.lbctl(&file, &["status"]).await,
        &["disabled", "lbctl user enable anna"],
    );
    lbctl(&["user", "enable", "anna"]).await;
    assert_eq!(remote.status("/status", &secret, &[]).await, 200);
    let listed = lbctl(&["user", "list", "-o", "json"]).await;
    assert!(listed.stdout.contains("\"anna\""), "{listed:?}");
    lbctl(&["user", "delete", "anna"]).await;
    assert_eq!(remote.status("/status", &secret, &[]).await, 401);
}

#[tokio::test]
async fn its_address_and_certificate_follow_the_document_while_it_runs() {
    let remote = Remote::start().await;
    let (secret, _) = remote.token("ci", &["--role", "administer"]).await;
    let folder = remote.balancer.folder();
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (file("cert.pem"), file("key.pem"));
    let subject = [
        "-subj",
        "/CN=lb1",
        "-addext",
        "subjectAltName=DNS:localhost",
    ];
    let request = [
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
    ];
    let files = ["-keyout", &key, "-out", &certificate];
    let made = run("openssl", &[&request[..], &subject, &files].concat()).await;
    assert_eq!(made.code(), 0, "{made:?}");

    let change = json!({ "certificate": { "file": certificate, "key": key } });
    let told = remote
        .balancer
        .send_admin("PATCH", "/config/admin", &change)
        .await;
    assert_eq!(told.status, 200, "{told:?}");
    let url = remote.url("/status");
    let bearer = format!("Authorization: Bearer {secret}");
    let args = ["-s", "-i", "--cacert", &certificate, "-H", &bearer, &url];
    eventually("the new certificate is shown", async || {
        let asked = run("curl", &args).await;
        (status(&asked.stdout) == 200).then_some(())
    })
    .await;

    let broken = json!({ "certificate": { "file": key } });
    let told = remote
        .balancer
        .send_admin("PATCH", "/config/admin", &broken)
        .await;
    assert_eq!(told.status, 422, "{told:?}");
    assert!(told.body.contains("key.pem"), "{told:?}");
    assert_eq!(status(&run("curl", &args).await.stdout), 200);

    let gone = json!({ "address": null, "certificate": null });
    let asked: Told = remote
        .balancer
        .send_admin("PATCH", "/config/admin", &gone)
        .await;
    assert_eq!(asked.status, 200, "{asked:?}");
    assert!(asked.body.contains("rebind"), "{asked:?}");
    eventually("nothing listens there", async || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.connect(remote.address).await.is_err().then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_address_stays_open_while_another_program_takes_over() {
    let remote = Remote::start().await;
    let (_, token) = remote.token("ops", &["--role", "administer"]).await;
    let before = remote.balancer.worker();
    let told = remote.lbctl(&token, &["upgrade", "-o", "json"]).await;
    let told: Value = serde_json::from_str(&told.expect_success("upgrade")).unwrap();
    remote.balancer.replaced(before).await;
    let now = remote.balancer.worker().as_raw_nonzero().get();
    assert_eq!(told["process"], now);
    // The port that the system chose, and the certificate that was pinned, are the same.
    let status = remote.lbctl(&token, &["status"]).await;
    status.expect_success("status after the upgrade");
}

/// A balancer that takes certificates of one authority, with the user anna.
struct WithCertificates {
    remote: Remote,
    ours: Authority,
    theirs: Authority,
}

impl WithCertificates {
    async fn start() -> Self {
        let (ours, theirs) = (Authority::new("Ours").await, Authority::new("Theirs").await);
        for (authority, name) in [(&ours, "anna"), (&ours, "nobody"), (&theirs, "anna")] {
            authority.issue(name, &[name], "30").await;
        }
        let authorities = format!("client_authorities = \"{}\"\n", ours.file("ca.pem"));
        let remote = Remote::start_with(&authorities).await;
        let made = ["user", "add", "anna", "--role", "configure"];
        let made = remote.balancer.lbctl(&made).await;
        made.expect_success("make a user");
        Self {
            remote,
            ours,
            theirs,
        }
    }

    /// Runs `lbctl` with this certificate.
    async fn ask(&self, authority: &Authority, name: &str, args: &[&str]) -> Finished {
        let certificate = authority.file(&format!("{name}.pem"));
        let key = authority.file(&format!("{name}-key.pem"));
        let url = format!("https://{}", self.remote.address);
        let who = ["-b", &url, "--fingerprint", &self.remote.fingerprint];
        let shown = ["--client-certificate", &certificate, "--client-key", &key];
        run_lbctl(&[&who[..], &shown, args].concat()).await
    }
}

#[tokio::test]
async fn a_certificate_for_a_user_comes_in_without_a_token() {
    let all = WithCertificates::start().await;
    let change = ["pool", "set", "web", "--retries", "3", "--yes"];
    let changed = all.ask(&all.ours, "anna", &change).await;
    changed.expect_success("a change with a certificate");
    let balancer = &all.remote.balancer;
    let history = balancer.ask_admin("GET", "/revisions?limit=1", &[]).await;
    assert_eq!(history.json()["revisions"][0]["author"], "anna");
    let beyond = all.ask(&all.ours, "anna", &["token", "list"]).await;
    assert!(beyond.stderr.contains("administer"), "{}", beyond.stderr);
    let disabled = balancer.lbctl(&["user", "disable", "anna"]).await;
    disabled.expect_success("disable a user");
    let refused = all.ask(&all.ours, "anna", &["status"]).await;
    assert!(refused.stderr.contains("is disabled"), "{refused:?}");
}

#[tokio::test]
async fn a_certificate_of_nobody_or_of_another_authority_does_not_come_in() {
    let all = WithCertificates::start().await;
    let stranger = all.ask(&all.ours, "nobody", &["status"]).await.stderr;
    assert!(stranger.contains("`nobody`, who is no user"), "{stranger}");
    assert!(stranger.contains("lbctl user add nobody"), "{stranger}");
    let forged = all.ask(&all.theirs, "anna", &["status"]).await;
    assert_eq!(forged.code(), 1, "{forged:?}");
    assert!(!forged.stdout.contains("web"), "{forged:?}");
    let nothing = all.remote.curl("/status", &[]).await;
    assert_eq!(status(&nothing.stdout), 401, "{nothing:?}");
    // A token that is sent counts, and one that is not good is not passed over.
    let (certificate, key) = (all.ours.file("anna.pem"), all.ours.file("anna-key.pem"));
    let shown = ["--cert", &certificate, "--key", &key];
    let token = all.remote.status("/status", "lbctl_wrong", &shown).await;
    assert_eq!(token, 401);
}

#[tokio::test]
async fn half_a_client_certificate_and_one_that_is_none_are_named() {
    let ours = Authority::new("Ours").await;
    ours.issue("anna", &["anna"], "30").await;
    let key = ours.file("anna-key.pem");
    let half = run_lbctl(&["status", "--client-key", &key]).await;
    assert_eq!(half.code(), 2, "{half:?}");
    assert!(half.stderr.contains("--client-certificate"), "{half:?}");
    let shown = ["--client-certificate", &key, "--client-key", &key];
    let wrong = [&["-b", "https://127.0.0.1:1", "status"][..], &shown].concat();
    let unreadable = run_lbctl(&wrong).await;
    assert!(unreadable.stderr.contains("who we are"), "{unreadable:?}");
}
