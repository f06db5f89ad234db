//! What time it is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lb_model::api::Timestamp;

/// Tells the time. Tests have their own.
pub type Clock = fn() -> Timestamp;

/// The time of the machine.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.unwrap_or_default().as_millis();
    Timestamp::from_unix_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// So much after a time.
pub(crate) fn later(time: Timestamp, by: Duration) -> Timestamp {
    let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_unix_millis(time.unix_millis().saturating_add(by))
}
