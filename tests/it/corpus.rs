//! A corpus of messages that are ambiguous, malformed, or legal and unusual, put to the real program
//! with a recording server behind it. The messages are data: `corpus/requests` and
//! `corpus/responses`, in the format that `corpus/case.rs` describes.

mod case;
mod conversation;
mod message;
mod recorder;
mod requests;
mod responses;
mod script;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use lb_tests::{Addressed, Balancer};
use tokio::task::{JoinSet, LocalSet};

use case::Case;
use conversation::Delivery;
use recorder::Recorder;
use requests::Approach;
use script::ScriptedServer;

/// How many cases are under way at a time.
const LANES: usize = 8;

/// A virtual service and a pool for each server.
fn document(servers: &[&dyn Addressed]) -> String {
    let lane = |server: &&dyn Addressed| {
        let (name, address) = (server.name(), server.address());
        format!(
            "[virtual_services.{name}]\naddress = \"127.0.0.1:0\"\npool = \"{name}\"\n\n\
             [pools.{name}.servers]\nserver = {{ address = \"{address}\" }}\n\n"
        )
    };
    servers.iter().map(lane).collect()
}

/// What the balancer must still be after a corpus: alive, at work, and without complaint.
async fn unharmed(balancer: &mut Balancer) {
    assert!(balancer.metrics().await.0.contains("lb_"), "a scrape works");
    let log = balancer.process().stderr();
    assert!(!log.contains("panic"), "{log}");
    balancer.terminate();
    let status = balancer.ended(lb_tests::DEADLINE).await;
    assert!(status.success(), "the balancer ended with {status}\n{log}");
}

/// Every failure at once: a corpus is read best as a whole.
fn report(what: &str, failures: &[String]) {
    let list = failures.join("\n");
    assert!(
        failures.is_empty(),
        "{} of the {what} went wrong\n{list}",
        failures.len()
    );
}

async fn put_requests(
    cases: Vec<Case>,
    balancer: &Rc<Balancer>,
    servers: Vec<Recorder>,
) -> Vec<String> {
    let cases = Arc::new(cases);
    let mut lanes = JoinSet::new();
    for (first, recorder) in servers.into_iter().enumerate() {
        let cases = Arc::clone(&cases);
        let lane = requests::Lane::new(Rc::clone(balancer), recorder);
        lanes.spawn_local(async move {
            let mut failures = Vec::new();
            for case in cases.iter().skip(first).step_by(LANES) {
                for approach in Approach::ALL {
                    if let Err(wrong) = lane.judge(case, approach).await {
                        failures.push(format!("{} ({approach:?})\n  {wrong}", case.name));
                    }
                }
            }
            failures
        });
    }
    lanes.join_all().await.concat()
}

async fn put_responses(
    cases: Vec<Case>,
    addresses: &[SocketAddr],
    servers: Vec<ScriptedServer>,
) -> Vec<String> {
    let cases: Vec<Arc<Case>> = cases.into_iter().map(Arc::new).collect();
    let mut lanes = JoinSet::new();
    for (first, (server, address)) in servers.into_iter().zip(addresses).enumerate() {
        let lane = responses::Lane {
            address: *address,
            server,
        };
        let cases: Vec<_> = cases.iter().skip(first).step_by(LANES).cloned().collect();
        lanes.spawn_local(async move {
            let mut failures = Vec::new();
            for case in cases {
                for delivery in [Delivery::Whole, Delivery::Pieces] {
                    if let Err(wrong) = lane.judge(&case, delivery).await {
                        failures.push(format!("{} ({delivery:?})\n  {wrong}", case.name));
                    }
                }
            }
            failures
        });
    }
    lanes.join_all().await.concat()
}

#[tokio::test]
async fn ambiguous_requests_are_refused_and_unusual_ones_arrive_as_they_were_meant() {
    let cases = case::read_all("requests");
    assert!(
        cases.len() >= 200,
        "the corpus has {} requests",
        cases.len()
    );
    let mut servers = Vec::new();
    for number in 0..LANES {
        servers.push(Recorder::start(format!("lane{number}")).await);
    }
    let named: Vec<&dyn Addressed> = servers.iter().map(|s| s as &dyn Addressed).collect();
    let balancer = Rc::new(Balancer::start(&document(&named)).await);
    let lanes = put_requests(cases, &balancer, servers);
    let failures = LocalSet::new().run_until(lanes).await;
    report("requests", &failures);
    let mut balancer = Rc::into_inner(balancer).expect("the lanes have ended");
    unharmed(&mut balancer).await;
}

#[tokio::test]
async fn bad_responses_become_a_502_and_broken_ones_are_seen_to_be_broken() {
    let cases = case::read_all("responses");
    assert!(
        cases.len() >= 60,
        "the corpus has {} responses",
        cases.len()
    );
    let mut servers = Vec::new();
    for number in 0..LANES {
        servers.push(ScriptedServer::start(format!("lane{number}")).await);
    }
    let named: Vec<&dyn Addressed> = servers.iter().map(|s| s as &dyn Addressed).collect();
    let mut balancer = Balancer::start(&document(&named)).await;
    let addresses: Vec<SocketAddr> = named.iter().map(|s| balancer.address(s.name())).collect();
    let lanes = put_responses(cases, &addresses, servers);
    let failures = LocalSet::new().run_until(lanes).await;
    report("responses", &failures);
    unharmed(&mut balancer).await;
}
