//! Every example is valid, runs, and brings traffic to its servers.

use std::path::{Path, PathBuf};

use lb_model::config::{AccessLogOutput, Config, Protocol};
use lb_model::parse::{Format, parse};
use lb_model::value::{ListenAddress, ServerAddress};
use lb_tests::{
    Addressed, Answer, Balancer, Client, Exchange, Terraform, WebServer, run, run_lbctl,
};

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join("examples");
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    found
}

#[tokio::test]
async fn every_example_is_explained_and_valid_without_a_warning() {
    let names: Vec<String> = examples()
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    for expected in [
        "aws",
        "content-switching",
        "https",
        "iis-farm",
        "redfish",
        "ssh",
        "tcp",
        "vm",
        "websocket",
    ] {
        assert!(
            names.iter().any(|name| name == expected),
            "{expected} in {names:?}"
        );
    }
    for example in examples() {
        assert!(
            example.join("README.md").exists(),
            "{} has no README.md",
            example.display()
        );
        let document = example.join("lb.toml").display().to_string();
        let valid = run_lbctl(&["validate", &document]).await;
        assert_eq!(valid.code(), 0, "{document}: {}", valid.stderr);
        assert!(
            !valid.stderr.contains("warning"),
            "{document}: {}",
            valid.stderr
        );
    }
}

#[test]
fn every_fleet_is_valid_and_its_documents_are_there() {
    let mut fleets = 0;
    for example in examples() {
        let Ok(text) = std::fs::read_to_string(example.join("fleet.toml")) else {
            continue;
        };
        fleets += 1;
        let fleet = lb_model::fleet::read(&text, Format::Toml).expect("it is valid");
        assert_eq!(fleet.warnings(), [], "{}", example.display());
        for (name, balancer) in &fleet.fleet().balancers {
            let document = balancer.document.as_ref().expect("a document");
            assert!(example.join(document).exists(), "the document of {name}");
        }
    }
    assert!(fleets > 0);
}

/// The text with ports that are free in the place of those where balancers listen.
fn free_ports(text: &str) -> String {
    let listened = ["8080", "8081", "8443", "2525", "9090"];
    listened.iter().fold(text.to_owned(), |text, port| {
        ["127.0.0.1", "0.0.0.0"].iter().fold(text, |text, host| {
            text.replace(&format!("{host}:{port}\""), &format!("{host}:0\""))
        })
    })
}

#[tokio::test]
async fn the_terraform_of_each_example_makes_the_same_document() {
    for example in examples() {
        let read = |name: &str| std::fs::read_to_string(example.join(name)).expect("a file");
        // Those that make a machine first are tried where there are machines.
        if read("main.tf").contains("lbctl_balancer") {
            continue;
        }
        let balancer = Balancer::start("[telemetry]\n").await;
        let mut terraform = Terraform::new();
        terraform.set(
            "LBCTL_BALANCER",
            &format!("unix:{}", balancer.socket().display()),
        );
        terraform.write("main.tf", &free_ports(&read("main.tf")));
        let said = terraform.apply().await;
        assert!(!said.contains("Warning: Check"), "{said}");
        terraform
            .assert_empty_plan(&example.display().to_string())
            .await;
        let wanted = parse(&free_ports(&read("lb.toml")), Format::Toml).expect("it is valid");
        let made = balancer.api().get("/config").await.json();
        let made: Config = serde_json::from_value(made).expect("a document");
        assert_eq!(made, wanted, "{}", example.display());
    }
}

/// A server for this example: an echo for TCP, else one that answers every probe.
async fn server(name: &str, protocol: Protocol) -> WebServer {
    match protocol {
        Protocol::Http => WebServer::answering(name, |_| Answer::ok("OK ok healthy up\n")).await,
        Protocol::Tcp | Protocol::Tls => {
            WebServer::scripted(name, async |mut exchange: Exchange| {
                exchange.wire.send("220 ready\r\n").await?;
                let bytes = exchange.wire.some().await?;
                exchange.wire.send(bytes).await
            })
            .await
        }
    }
}

/// The example with addresses of this test in it, and the servers behind them.
async fn prepared(path: &Path) -> (Config, Vec<WebServer>) {
    let text = std::fs::read_to_string(path.join("lb.toml")).unwrap();
    let mut config = parse(&text, Format::Toml).expect("the example is valid");
    let free: ListenAddress = "127.0.0.1:0".parse().unwrap();
    let tcp_pools: Vec<_> = config
        .virtual_services
        .values()
        .filter(|service| service.protocol == Protocol::Tcp)
        .filter_map(|service| service.pool.clone())
        .collect();
    for service in config.virtual_services.values_mut() {
        service.address = free;
    }
    let mut servers = Vec::new();
    for (name, pool) in &mut config.pools {
        let protocol = if tcp_pools.contains(name) {
            Protocol::Tcp
        } else {
            Protocol::Http
        };
        for (name, place) in &mut pool.servers {
            let running = server(name.as_str(), protocol).await;
            place.address = running
                .address()
                .to_string()
                .parse::<ServerAddress>()
                .unwrap();
            servers.push(running);
        }
        if let Some(check) = &mut pool.health_check {
            check.port = None;
        }
    }
    config.telemetry.metrics_address = Some(free);
    if let Some(log) = &mut config.telemetry.access_log {
        log.output = AccessLogOutput::Stdout;
    }
    (config, servers)
}

#[tokio::test]
async fn every_example_runs_and_every_virtual_service_answers() {
    for example in examples() {
        let (config, servers) = prepared(&example).await;
        let document = serde_json::to_string(&config).expect("the document as JSON");
        let balancer = Balancer::start(&document).await;
        for (name, service) in &config.virtual_services {
            let shown = format!("{name} of {}", example.display());
            let address = balancer.address(name.as_str());
            if service.tls.is_some() {
                let url = format!("https://{address}/");
                let told = run("curl", &["-sk", "-w", "%{http_code}", &url]).await;
                assert!(told.stdout.ends_with("200"), "{shown}: {told:?}");
                continue;
            }
            let mut client = Client::connect(address).await;
            match service.protocol {
                Protocol::Http => {
                    let status = client.ask("/", &[]).await.status();
                    assert!(status < 500, "{shown} answers {status}");
                }
                Protocol::Tcp | Protocol::Tls => {
                    client.send("hello").await;
                    let answer = client.closed().await;
                    assert_eq!(answer, b"220 ready\r\nhello", "{shown}");
                }
            }
        }
        let reached = servers.iter().any(|server| server.accepted() > 0);
        assert!(reached, "no server of {} was reached", example.display());
    }
}
