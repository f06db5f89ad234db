//! What a balancer tells about its traffic.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::ListenAddress;

/// Metrics and access log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// Where Prometheus metrics are served, at `/metrics`; when absent, nowhere. They are not
    /// protected, so keep this on a loopback or management address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-effect" = "rebind"))]
    pub metrics_address: Option<ListenAddress>,
    /// One line for each request and TCP connection; when absent, none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_log: Option<AccessLog>,
}

/// The access log. It never holds up traffic: when it cannot be written fast enough, lines are
/// dropped and counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessLog {
    /// Where lines go.
    pub output: AccessLogOutput,
    /// What a line looks like.
    #[serde(default)]
    pub format: AccessLogFormat,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AccessLogOutput {
    /// A file, appended to; it is opened again on SIGUSR1, after log rotation.
    File(#[serde(serialize_with = "as_text")] PathBuf),
    /// The standard output.
    Stdout,
}

/// What a line of the access log looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccessLogFormat {
    /// The Combined Log Format of Apache and NGINX, followed by virtual service, pool, server and
    /// duration.
    Combined,
    /// One JSON object.
    #[default]
    Json,
}

/// A path that came from a document is text; one that is not is refused by `validate`.
pub(crate) fn as_text<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

#[expect(
    clippy::ref_option,
    reason = "serde hands over a reference to the field"
)]
pub(crate) fn as_optional_text<S: serde::Serializer>(
    path: &Option<PathBuf>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => as_text(path, serializer),
        None => serializer.serialize_none(),
    }
}
