//! `lbctl run`: its start, its end, and why it does not start.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use rustix::process::Signal;

use crate::session::{DOCUMENT, Session, get};

const RUN: [&str; 5] = ["run", "--config", "lb.toml", "--state-dir", "state"];

fn document_at(address: &str) -> String {
    DOCUMENT.replace("127.0.0.1:0", address)
}

#[test]
fn an_invalid_document_starts_nothing_and_exits_2() {
    let session = Session::new().file("lb.toml", &document_at("nowhere"));
    insta::assert_snapshot!(session.transcript(&RUN));
    assert!(!session.path("state").exists());
}

#[test]
fn a_port_in_use_names_the_virtual_service_and_how_to_find_the_other_program() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let session = Session::new().file("lb.toml", &document_at(&address.to_string()));
    let transcript = session
        .transcript(&RUN)
        .replace(&address.port().to_string(), "PORT");
    insta::assert_snapshot!(transcript);
}

#[test]
fn an_address_of_another_machine_is_named() {
    let session = Session::new().file("lb.toml", &document_at("192.0.2.1:8080"));
    insta::assert_snapshot!(session.transcript(&RUN));
}

#[test]
fn a_metrics_address_in_use_is_named_too() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let telemetry = format!("\n[telemetry]\nmetrics_address = \"{address}\"\n");
    let session = Session::new().file("lb.toml", &(DOCUMENT.to_owned() + &telemetry));
    let transcript = session
        .transcript(&RUN)
        .replace(&address.port().to_string(), "PORT");
    insta::assert_snapshot!(transcript);
}

#[test]
fn too_few_open_files_are_told_with_both_ways_out() {
    let limits = "\n[limits]\nconnections_max = 10000\n";
    let session = Session::new().file("lb.toml", &(DOCUMENT.to_owned() + limits));
    let output = session
        .lbctl_after("ulimit -n 1024", &RUN)
        .output()
        .unwrap();
    insta::assert_snapshot!(session.show(&output));
}

#[test]
fn an_access_log_that_cannot_be_opened_stops_the_start() {
    let log = "\n[telemetry]\naccess_log = { output = { file = \"/nowhere/access.log\" } }\n";
    let session = Session::new().file("lb.toml", &(DOCUMENT.to_owned() + log));
    insta::assert_snapshot!(session.transcript(&RUN));
}

#[test]
fn a_misspelt_log_level_is_refused() {
    let session = Session::with_document();
    let args = [RUN.as_slice(), &["--log-level", "inof"]].concat();
    insta::assert_snapshot!(session.transcript(&args));
}

#[test]
fn two_balancers_do_not_share_a_state_directory() {
    let session = Session::with_document();
    let first = session.start(&[RUN.as_slice(), &["-o", "json"]].concat());
    let process = first.ready["process"].to_string();
    let transcript = session.transcript(&RUN).replace(&process, "ID");
    insta::assert_snapshot!(transcript);
}

#[test]
fn sigterm_ends_an_idle_balancer_with_exit_0() {
    let session = Session::with_document();
    let running = session.start(&[RUN.as_slice(), &["-o", "json", "-q"]].concat());
    running.signal(Signal::TERM);
    let (status, stderr) = running.ended();
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
}

/// A balancer with a request in progress whose server does not answer, which is told to stop.
fn draining(session: &Session, server: &TcpListener) -> (crate::session::Running, TcpStream) {
    let running = session.start(&[RUN.as_slice(), &["-o", "json"]].concat());
    let address = running.ready["virtual_services"]["shop"].as_str().unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        .unwrap();
    let (mut at_server, _) = server.accept().unwrap();
    assert_ne!(at_server.read(&mut [0; 4]).unwrap(), 0);
    // The connection must outlive this function, or the balancer would see the server fail.
    std::mem::forget(at_server);
    running.signal(Signal::TERM);
    (running, client)
}

fn slow_server() -> (Session, TcpListener) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap().to_string();
    let telemetry = "\n[telemetry]\nmetrics_address = \"127.0.0.1:0\"\n";
    // A probe would be the first connection that the server sees.
    let document = DOCUMENT
        .replace("127.0.0.1:9", &address)
        .replace("health_check = {}", "")
        + telemetry;
    (Session::new().file("lb.toml", &document), server)
}

#[test]
fn while_it_drains_health_says_so_and_metrics_can_be_read() {
    let (session, server) = slow_server();
    let (running, _client) = draining(&session, &server);
    let metrics = running.ready["metrics"].as_str().unwrap();
    let health = format!("http://{metrics}/health");
    while get(&health, &[]).starts_with("HTTP/1.1 200 ") {
        std::thread::yield_now();
    }
    assert!(get(&health, &[]).starts_with("HTTP/1.1 503 "));
    let page = get(&format!("http://{metrics}/metrics"), &[]);
    assert!(
        page.contains("lb_server_active_requests{pool=\"web\",server=\"iis1\"} 1"),
        "{page}"
    );
}

#[test]
fn a_second_signal_ends_it_at_once_with_exit_1() {
    let (session, server) = slow_server();
    let (running, _client) = draining(&session, &server);
    let metrics = running.ready["metrics"].as_str().unwrap();
    // Two signals that arrive together are one: the first must have been seen.
    while get(&format!("http://{metrics}/health"), &[]).starts_with("HTTP/1.1 200 ") {
        std::thread::yield_now();
    }
    running.signal(Signal::TERM);
    let (status, stderr) = running.ended();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(
        stderr.ends_with("stopped at once by a second signal\n"),
        "{stderr}"
    );
}

/// A document whose server is never found to be down: each request tries it.
fn unchecked() -> String {
    let checked = "health_check = {}\n";
    assert!(DOCUMENT.contains(checked));
    DOCUMENT.replace(checked, "")
}

#[test]
fn the_access_log_on_the_standard_output_follows_the_ready_line() {
    let log = "\n[telemetry]\naccess_log = { output = \"stdout\" }\n";
    let session = Session::new().file("lb.toml", &(unchecked() + log));
    let mut running = session.start(&[RUN.as_slice(), &["-o", "json"]].concat());
    let address = running.ready["virtual_services"]["shop"]
        .as_str()
        .unwrap()
        .to_owned();
    get(&format!("http://{address}/%22"), &["User-Agent: \"x\\"]);
    let line: serde_json::Value = serde_json::from_str(&running.line()).unwrap();
    assert_eq!(line["target"], "/%22");
    assert_eq!(line["user_agent"], "\"x\\");
    assert_eq!(line["status"], 502);
}

#[test]
fn a_full_disk_costs_lines_of_the_access_log_and_no_request() {
    let telemetry = "\n[telemetry]\nmetrics_address = \"127.0.0.1:0\"\n\
                     access_log = { output = { file = \"/dev/full\" } }\n";
    let session = Session::new().file("lb.toml", &(unchecked() + telemetry));
    let running = session.start(&[RUN.as_slice(), &["-o", "json"]].concat());
    let shop = running.ready["virtual_services"]["shop"].as_str().unwrap();
    let metrics = running.ready["metrics"].as_str().unwrap();
    for _ in 0..3 {
        assert!(get(&format!("http://{shop}/"), &[]).starts_with("HTTP/1.1 502 "));
    }
    let metrics = format!("http://{metrics}/metrics");
    while !get(&metrics, &[]).contains("\nlb_access_log_failed_lines_total 3\n") {
        std::thread::yield_now();
    }
    running.signal(Signal::TERM);
    let (status, stderr) = running.ended();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert_eq!(
        stderr.matches("the access log cannot be written").count(),
        1,
        "{stderr}"
    );
}

#[test]
fn a_log_for_programs_has_nothing_but_json_on_its_lines() {
    let unchecked = DOCUMENT.replace("iis1 =", "iis2 = { address = \"127.0.0.1:10\" }\niis1 =");
    let unchecked = unchecked.replace("health_check = {}", "");
    let session = Session::new().file("lb.toml", &unchecked);
    let running =
        session.start(&[RUN.as_slice(), &["-o", "json", "--log-format", "json"]].concat());
    running.signal(Signal::TERM);
    let (_, stderr) = running.ended();
    let messages: Vec<String> = stderr
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|line| line["fields"]["message"].as_str().unwrap().to_owned())
        .collect();
    let expected = [
        "the document has a warning",
        "serving",
        "draining",
        "stopped",
    ];
    assert_eq!(messages, expected);
}
