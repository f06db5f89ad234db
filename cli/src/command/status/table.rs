//! A status as people read it. With an earlier look, numbers are what happened per second between
//! the two; without one, they are totals.

use std::fmt::Write;
use std::time::Duration;

use lb_model::api::{AdminStatus, StatusAnswer, Timestamp};
use lb_model::status::{
    Condition, Histogram, Responses, ServerStatus, Status, VirtualServiceStatus,
};
use lb_model::value::Name;

use crate::output::Table;
use crate::screen::Paint;

/// What is counted of a virtual service or a server.
struct Counts<'a> {
    requests: u64,
    errors: u64,
    duration: &'a Histogram,
}

/// What a row tells of counts.
struct Numbers {
    requests: String,
    errors: String,
    median: String,
    high: String,
}

/// The two looks that numbers are made from.
#[derive(Clone, Copy)]
struct Looks<'a> {
    now: &'a StatusAnswer,
    before: Option<&'a StatusAnswer>,
}

/// The whole status.
pub(super) fn table(now: &StatusAnswer, before: Option<&StatusAnswer>, paint: Paint) -> String {
    let looks = Looks { now, before };
    let mut text = title(now, paint);
    text.push('\n');
    text.push_str(&services(looks).text(paint));
    text.push('\n');
    text.push_str(&servers(looks).text_painted(paint, |line| {
        let bad = |condition: Condition| line.contains(condition.as_str());
        bad(Condition::Down) || bad(Condition::Ejected)
    }));
    for (name, pool) in &now.status.pools {
        if pool.queue_length > 0 {
            let line = format!("{} requests wait for a server of {name}", pool.queue_length);
            writeln!(text, "\n{}", paint.error(line)).expect("a String takes every write");
        }
    }
    text
}

fn title(now: &StatusAnswer, paint: Paint) -> String {
    let revision = &now.revision;
    let title = paint.strong(format!("revision {}", revision.number));
    let (author, source) = (&revision.author, revision.source.as_str());
    let age = age(now.at, revision.made_at);
    let mut text = format!(
        "{title} by {author} ({source}) {age} ago; lbctl {}\n",
        now.version
    );
    if let Some(admin) = &now.admin {
        let AdminStatus {
            address,
            fingerprint,
            self_signed: _,
        } = admin;
        writeln!(
            text,
            "administered at https://{address}, fingerprint {fingerprint}"
        )
        .expect("a String takes every write");
    }
    if let Some(until) = revision.confirm_until {
        let warning = format!(
            "it is taken back at {until} unless: lbctl confirm {}",
            revision.number
        );
        writeln!(text, "{}", paint.error(warning)).expect("a String takes every write");
    }
    for (name, told) in &now.certificates {
        for found in told {
            let warning = format!("certificate {name}: {}", found.message);
            writeln!(text, "{}", paint.error(warning)).expect("a String takes every write");
        }
    }
    text
}

fn services(looks: Looks<'_>) -> Table {
    let [requests, errors] = looks.headings();
    let mut table = Table::new([
        "VIRTUAL SERVICE",
        "ADDRESS",
        "CONNECTIONS",
        requests,
        errors,
        "P50",
        "P99",
    ]);
    for (name, service) in &looks.now.status.virtual_services {
        let earlier = looks.earlier(|status| status.virtual_services.get(name));
        let numbers = looks.numbers(&of_service(service), earlier.map(of_service).as_ref());
        table.row([
            name.to_string(),
            service.address.to_string(),
            service.connections_open.to_string(),
            numbers.requests,
            numbers.errors,
            numbers.median,
            numbers.high,
        ]);
    }
    table
}

fn servers(looks: Looks<'_>) -> Table {
    let [requests, errors] = looks.headings();
    let mut table = Table::new([
        "SERVER",
        "ADDRESS",
        "STATE",
        "WEIGHT",
        "IN PROGRESS",
        requests,
        errors,
        "P50",
        "P99",
        "WHY",
    ]);
    for (pool, found) in &looks.now.status.pools {
        for (name, server) in &found.servers {
            let earlier = looks.earlier(|status| status.pools.get(pool)?.servers.get(name));
            let numbers = looks.numbers(&of_server(server), earlier.map(of_server).as_ref());
            let age = age(looks.now.at, server.since);
            table.row([
                full_name(pool, name),
                server.address.to_string(),
                format!("{} for {age}", server.condition.as_str()),
                server.weight.to_string(),
                server.in_progress.to_string(),
                numbers.requests,
                numbers.errors,
                numbers.median,
                numbers.high,
                server.reason.clone().unwrap_or_default(),
            ]);
        }
    }
    table
}

fn full_name(pool: &Name, server: &Name) -> String {
    format!("{pool}/{server}")
}

fn of_service(service: &VirtualServiceStatus) -> Counts<'_> {
    let Responses {
        none, server_error, ..
    } = service.responses;
    let responses = service.responses.total();
    // A service for TCP has connections and no responses.
    let (requests, errors) = if responses == 0 {
        (service.connections, service.unavailable)
    } else {
        (responses, server_error + none)
    };
    Counts {
        requests,
        errors,
        duration: &service.duration,
    }
}

fn of_server(server: &ServerStatus) -> Counts<'_> {
    Counts {
        requests: server.requests,
        errors: server.responses.server_error + server.failures + server.connect_failures,
        duration: &server.response_time,
    }
}

impl<'a> Looks<'a> {
    fn headings(self) -> [&'static str; 2] {
        if self.before.is_some() {
            ["REQUESTS/S", "ERRORS/S"]
        } else {
            ["REQUESTS", "ERRORS"]
        }
    }

    fn earlier<T>(self, find: impl FnOnce(&'a Status) -> Option<&'a T>) -> Option<&'a T> {
        find(&self.before?.status)
    }

    fn numbers(self, now: &Counts<'_>, before: Option<&Counts<'_>>) -> Numbers {
        let duration = match before {
            Some(before) => now.duration.since(before.duration),
            None => now.duration.clone(),
        };
        let count = |of: fn(&Counts<'_>) -> u64| match (self.before, before) {
            (None, _) => of(now).to_string(),
            (Some(_), None) => "0".to_owned(),
            (Some(earlier), Some(before)) => {
                per_second(of(now), of(before), self.now.at, earlier.at)
            }
        };
        Numbers {
            requests: count(|counts| counts.requests),
            errors: count(|counts| counts.errors),
            median: quantile(&duration, 0.5),
            high: quantile(&duration, 0.99),
        }
    }
}

/// How much a count grew each second; one that shrank began anew.
fn per_second(now: u64, before: u64, at: Timestamp, earlier: Timestamp) -> String {
    let grown = now.checked_sub(before).unwrap_or(now);
    let millis = at.unix_millis().saturating_sub(earlier.unix_millis());
    // Tenths are enough: rounded to the nearest.
    let tenths = (grown.saturating_mul(10_000) + millis / 2).checked_div(millis);
    match tenths {
        None | Some(0) => "0".to_owned(),
        Some(tenths) if tenths >= 1000 => (tenths / 10).to_string(),
        Some(tenths) => format!("{}.{}", tenths / 10, tenths % 10),
    }
}

fn quantile(duration: &Histogram, share: f64) -> String {
    duration
        .quantile(share)
        .map_or_else(|| "-".to_owned(), short)
}

/// A duration with two or three digits.
fn short(duration: Duration) -> String {
    let micros = duration.as_micros();
    if micros < 1_000 {
        format!("{micros} µs")
    } else if micros < 10_000 {
        format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100)
    } else if micros < 1_000_000 {
        format!("{} ms", micros / 1_000)
    } else {
        format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000)
    }
}

/// How long something is so, in its largest unit.
fn age(now: Timestamp, since: Timestamp) -> String {
    let seconds = now.unix_millis().saturating_sub(since.unix_millis()) / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} m", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_told_per_second_whatever_the_time_between_two_looks() {
        let at = Timestamp::from_unix_millis;
        assert_eq!(per_second(110, 100, at(2000), at(1000)), "10.0");
        assert_eq!(per_second(101, 100, at(4000), at(1000)), "0.3");
        assert_eq!(per_second(5000, 0, at(1500), at(1000)), "10000");
        assert_eq!(per_second(7, 100, at(2000), at(1000)), "7.0", "a restart");
        assert_eq!(per_second(7, 7, at(2000), at(1000)), "0");
        assert_eq!(per_second(7, 1, at(1000), at(1000)), "0", "no time between");
    }

    #[test]
    fn durations_and_ages_are_short() {
        assert_eq!(short(Duration::from_micros(420)), "420 µs");
        assert_eq!(short(Duration::from_micros(4_260)), "4.2 ms");
        assert_eq!(short(Duration::from_millis(85)), "85 ms");
        assert_eq!(short(Duration::from_millis(2_300)), "2.3 s");
        let at = |seconds: u64| Timestamp::from_unix_millis(seconds * 1000);
        assert_eq!(age(at(100), at(58)), "42 s");
        assert_eq!(age(at(200_000), at(0)), "2 d");
    }
}
