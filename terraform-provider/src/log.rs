//! Lines for Terraform's log: JSON on the standard error, as go-plugin's hclog reads it. Terraform
//! keeps those that `TF_LOG_PROVIDER` asks for, so nothing is left out here but what is secret: no
//! value of an attribute is ever in a line.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use lb_model::api::Timestamp;
use serde_json::{Map, Value, json};

/// The longest message; Terraform takes lines of up to 64 KiB.
const MESSAGE_CHARS_MAX: usize = 4096;

/// How severe a line is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Level {
    Debug,
    Info,
    Warn,
}

/// Writes a line. One that cannot be written is lost: there is nobody to tell.
pub(crate) fn log(level: Level, message: &str, fields: &[(&str, &dyn std::fmt::Display)]) {
    let line = line(level, message, fields, SystemTime::now());
    let _written = std::io::stderr().lock().write_all(line.as_bytes());
}

fn line(
    level: Level,
    message: &str,
    fields: &[(&str, &dyn std::fmt::Display)],
    now: SystemTime,
) -> String {
    let level = match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
    };
    let message: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
    let mut object = Map::new();
    object.insert("@level".into(), level.into());
    object.insert("@message".into(), message.into());
    object.insert("@module".into(), "provider.lbctl".into());
    object.insert("@timestamp".into(), timestamp(now).into());
    for (name, value) in fields {
        let text: String = value.to_string().chars().take(MESSAGE_CHARS_MAX).collect();
        object.insert((*name).into(), json!(text));
    }
    format!("{}\n", Value::Object(object))
}

/// The time with exactly six digits of a second, which is the only form that Terraform parses.
fn timestamp(now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let text = Timestamp::from_unix_millis(millis).to_string();
    format!(
        "{}{:03}Z",
        text.trim_end_matches('Z'),
        since.subsec_micros() % 1000
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_line_is_json_with_the_fields_that_terraform_asserts() {
        let now = UNIX_EPOCH + Duration::from_micros(1_772_323_199_123_456);
        let line = line(
            Level::Warn,
            "a \"quoted\"\nmessage",
            &[("rpc", &"Read")],
            now,
        );
        assert!(line.ends_with('\n') && line.matches('\n').count() == 1);
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["@level"], "warn");
        assert_eq!(value["@message"], "a \"quoted\"\nmessage");
        assert_eq!(value["@timestamp"], "2026-02-28T23:59:59.123456Z");
        assert_eq!(value["rpc"], "Read");
    }
}
