//! How long a plan takes in a large document: `cargo run --release -p lb-model --example plan_time`.

use std::time::{Duration, Instant};

use lb_model::edit::{Edit, edit};
use lb_model::plan::render;
use lb_model::{Config, Plan};
use serde_json::{Value, json};

const POOLS: usize = 1000;
const SERVERS_OF_EACH: usize = 10;
const ROUNDS: usize = 21;

fn document(pools: usize, servers: usize, weight: usize) -> Config {
    let server = |pool: usize, n: usize| {
        let address = format!("10.{}.{}.{}:80", pool / 250, pool % 250, n % 250 + 1);
        (
            format!("iis{n}"),
            json!({ "address": address, "weight": weight }),
        )
    };
    let pool = |at: usize| {
        let servers: Value = (0..servers).map(|n| server(at, n)).collect();
        let probe = json!({ "http": { "path": "/health", "headers": { "X-Probe": "lb" } } });
        (
            format!("pool{at}"),
            json!({ "servers": servers, "health_check": { "probe": probe } }),
        )
    };
    let service = |at: usize| {
        let address = format!("127.0.0.1:{}", 10_000 + at);
        (
            format!("service{at}"),
            json!({ "address": address, "pool": format!("pool{at}") }),
        )
    };
    let document = json!({
        "virtual_services": (0..pools).map(service).collect::<Value>(),
        "pools": (0..pools).map(pool).collect::<Value>(),
    });
    serde_json::from_value(document).expect("the document fits the schema")
}

fn median(mut work: impl FnMut()) -> Duration {
    let mut times: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[ROUNDS / 2]
}

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
fn main() {
    let tell =
        |what: &str, time: Duration| println!("{what:<58}{:>9.2} ms", time.as_secs_f64() * 1e3);
    let large = document(POOLS, SERVERS_OF_EACH, 100);
    let one = [Edit::Patch {
        path: "pools/pool500/servers/iis5".parse().expect("a path"),
        value: json!({ "weight": 7 }),
    }];
    let near = edit(&large, &one).expect("a weight");
    let far = document(POOLS, SERVERS_OF_EACH, 50);
    println!(
        "{POOLS} virtual services and pools, {} servers; median of {ROUNDS}",
        POOLS * SERVERS_OF_EACH
    );
    let cases = [
        ("nothing changed", &large, &large),
        ("one weight changed", &large, &near),
        ("every weight changed", &large, &far),
        ("all of it added", &Config::default(), &large),
    ];
    for (what, from, to) in cases {
        let plan = Plan::between(from, to);
        let title = format!("plan: {what}, {} changes", plan.changes.len());
        tell(&title, median(|| drop(Plan::between(from, to))));
        tell("  as text", median(|| drop(render(&plan))));
    }
    let (wide, wider) = (document(1, 10_000, 100), document(1, 10_000, 50));
    tell(
        "plan: one pool, 10000 servers, every weight changed",
        median(|| drop(Plan::between(&wide, &wider))),
    );
    tell("edit: one weight", median(|| drop(edit(&large, &one))));
    let plan = Plan::between(&large, &far);
    tell("apply: 10000 weights", median(|| drop(plan.apply(&large))));
}
