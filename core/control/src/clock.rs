//! What time it is.

use std::time::{SystemTime, UNIX_EPOCH};

use lb_model::api::Timestamp;

/// Tells the time. Tests have their own.
pub type Clock = fn() -> Timestamp;

/// The time of the machine.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.unwrap_or_default().as_millis();
    Timestamp::from_unix_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}
