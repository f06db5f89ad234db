//! Waiting with a deadline and a name.

use std::future::Future;
use std::time::Duration;

/// How long anything may take that should be immediate on a busy machine.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// Asks again and again until there is an answer, and gives it.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let patient = async {
        let mut pause = Duration::from_millis(2);
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    };
    within(what, DEADLINE, patient).await
}

/// Fails the test when this takes longer than `limit`.
pub async fn within<T>(what: &str, limit: Duration, work: impl Future<Output = T>) -> T {
    let finished = tokio::time::timeout(limit, work).await;
    finished.unwrap_or_else(|_| panic!("waited {limit:?} in vain: {what}"))
}
