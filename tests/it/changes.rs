//! Changes of every kind under traffic of every kind: nobody is lost whom no plan named.

use std::time::Duration;

use lb_tests::{Churn, Named};

/// What an allocator may keep beyond what is in use, on top of the 5 %: its arenas grow by this much at
/// a time, one for each of a handful of threads, whatever is in them.
const ALLOCATOR_NOISE: u64 = 512 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_changes_of_every_kind_lose_no_request_and_close_what_their_plans_name() {
    let churn = Churn {
        changes: 60,
        length: Duration::from_secs(12),
        streams: 500,
        pause: Some(Duration::from_millis(10)),
    };
    let seen = churn.run().await;
    assert!(seen.revisions >= 60, "{seen:?}");
    assert!(seen.kinds.len() >= 24, "every kind: {:?}", seen.kinds);
    assert!(seen.requests > 10_000, "there was traffic: {}", seen.load);
    assert_eq!(seen.failures, 0, "{}", seen.load);
    for (sort, (opened, ended)) in &seen.untouched {
        assert_eq!((*opened, &ended[..]), (500, &[][..]), "{sort}");
    }
    // What is in progress on a server or service that is removed finishes; what is idle is closed.
    let named = |planned, open, ended| Named {
        planned,
        open,
        ended,
    };
    assert_eq!(seen.named["server chat3"], named(20, 20, 0));
    assert_eq!(seen.named["server mail3"], named(20, 20, 0));
    assert_eq!(seen.named["service tail"], named(40, 40, 20));
    let (before, after) = seen.memory;
    let most = before + before / 20 + ALLOCATOR_NOISE;
    assert!(after <= most, "memory grew: {:?}", seen.memory);
    assert!((seen.configurations - 1.0).abs() < f64::EPSILON, "{seen:?}");
    println!("{seen:?}");
}
