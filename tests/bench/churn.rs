//! `lb-churn CHANGES SECONDS STREAMS`: that many changes under load within that time, and what was seen as
//! one line of JSON. `tests/bench/run` starts it.

use std::time::Duration;

use lb_tests::{Churn, Seen};
use serde_json::{Value, json};

#[expect(clippy::print_stdout, reason = "its result is what it prints")]
fn main() {
    let numbers: Vec<u64> = std::env::args()
        .skip(1)
        .map(|text| text.parse().expect("CHANGES SECONDS STREAMS are numbers"))
        .collect();
    let [changes, seconds, streams] = numbers[..] else {
        panic!("usage: lb-churn CHANGES SECONDS STREAMS");
    };
    let churn = Churn {
        changes,
        length: Duration::from_secs(seconds),
        streams: usize::try_from(streams).expect("fewer than there is memory for"),
        pause: None,
    };
    let runtime = tokio::runtime::Runtime::new().expect("an event loop");
    println!("{}", report(&runtime.block_on(churn.run())));
}

fn report(seen: &Seen) -> Value {
    let named = seen.named.iter().map(|(sort, named)| {
        let named = json!({ "planned": named.planned, "open": named.open, "ended": named.ended });
        (sort.clone(), named)
    });
    let lost: usize = seen.untouched.values().map(|(_, ends)| ends.len()).sum();
    json!({
        "revisions": seen.revisions,
        "kinds": seen.kinds.len(),
        "seconds": seen.took.as_secs_f64(),
        "longest_change_ms": seen.longest_change.as_secs_f64() * 1e3,
        "requests": seen.requests,
        "failures": seen.failures,
        "lost": lost,
        "named": Value::Object(named.collect()),
        "memory_before": seen.memory.0,
        "memory_after": seen.memory.1,
        "configurations": seen.configurations,
        "pause_below_ms": seen.pause_below.as_secs_f64() * 1e3,
    })
}
