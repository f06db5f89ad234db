//! What a controller answers.

use std::time::Duration;

use hyper::header::{ETAG, HeaderName, LOCATION, RETRY_AFTER};
use hyper::http::response::Parts;
use hyper::{Method, StatusCode};
use serde_json::Value;

/// The most characters of something that a controller says which are shown.
const SHOWN_MAX: usize = 500;

/// Between two looks at a task.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest that a controller is believed when it says for how long it is busy.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// An answer.
#[derive(Debug)]
pub(in super::super) struct Answer {
    /// Null when it is no JSON.
    pub(in super::super) body: Value,
    pub(super) etag: Option<String>,
    pub(super) status: StatusCode,
    pub(super) location: Option<String>,
    retry_after: Option<Duration>,
}

/// How far a task is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Look again after that.
    Runs(Duration),
    Done,
    Failed {
        status: u16,
        told: String,
    },
}

impl Answer {
    pub(super) fn new(head: &Parts, body: &[u8]) -> Self {
        let field = |name: HeaderName| {
            let value = head.headers.get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let body = serde_json::from_slice(body).unwrap_or(Value::Null);
        // Some say the version only there.
        let etag = field(ETAG).or_else(|| body["@odata.etag"].as_str().map(str::to_owned));
        let seconds = field(RETRY_AFTER).and_then(|field| field.trim().parse().ok());
        Self {
            etag,
            body,
            status: head.status,
            location: field(LOCATION),
            retry_after: seconds.map(Duration::from_secs),
        }
    }

    /// Where it sends on to, when the same is to be asked for there (DSP0266, "HTTP redirect").
    pub(super) fn leads_to(&self, method: &Method) -> Option<&str> {
        let follows = match self.status.as_u16() {
            307 | 308 => true,
            301..=303 => *method == Method::GET,
            _ => false,
        };
        self.location.as_deref().filter(|_| follows)
    }

    /// When to ask again, when it says that it is busy.
    pub(super) fn busy(&self) -> Option<Duration> {
        let pause = self.retry_after.unwrap_or(PAUSE);
        matches!(self.status.as_u16(), 429 | 503).then(|| pause.clamp(PAUSE, PAUSE_MAX))
    }

    /// How far a task is of which this is told.
    pub(super) fn progress(&self) -> Progress {
        if let Some(pause) = self.busy() {
            return Progress::Runs(pause);
        }
        let state = self.body["TaskState"].as_str().unwrap_or_default();
        let ended = |state: &str| Progress::Failed {
            status: StatusCode::ACCEPTED.as_u16(),
            told: format!("its task has ended with {state}: {}", self.told()),
        };
        match (self.status.as_u16(), state) {
            (200..300, "Exception" | "Killed" | "Cancelled") => ended(state),
            (200..300, "Completed") if self.body["TaskStatus"] == "Critical" => ended("Critical"),
            // A task that has ended is forgotten. What came of it is seen at the machine.
            (200..300, "Completed" | "Service") | (404 | 410, _) => Progress::Done,
            (202, _) => Progress::Runs(PAUSE),
            (200..300, "") => Progress::Done,
            // Among them some that have to go on by themselves, such as `Suspended` and `Stopping`.
            (200..300, _) => Progress::Runs(PAUSE),
            (status, _) => Progress::Failed {
                status,
                told: self.told(),
            },
        }
    }

    /// What it says of why it refuses (DSP0266, "Error responses"), in one line.
    pub(super) fn told(&self) -> String {
        let error = &self.body["error"];
        let places = [
            &error["@Message.ExtendedInfo"],
            &self.body["@Message.ExtendedInfo"],
            &self.body["Messages"],
        ];
        let all = |name: &str| {
            let messages = places.iter().filter_map(|place| place.as_array()).flatten();
            let words: Vec<&str> = messages.filter_map(|one| one[name].as_str()).collect();
            words.join(" ")
        };
        let summary = error["message"].as_str().unwrap_or_default().to_owned();
        let found = [all("Message"), summary, all("MessageId")];
        let found = found.iter().map(|text| plain(text));
        let mut found = found.filter(|text| !text.is_empty());
        found
            .next()
            .unwrap_or_else(|| "it does not say why".to_owned())
    }
}

/// What a controller says, as it can be shown: one line that has an end, and that does nothing to a terminal.
pub(in super::super) fn plain(text: &str) -> String {
    let shown = text.trim().chars().take(SHOWN_MAX);
    let shown = shown.map(|c| if c.is_control() { ' ' } else { c });
    let words = shown.collect::<String>();
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
