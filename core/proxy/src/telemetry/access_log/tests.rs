use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lb_model::config::AccessLogFormat;
use lb_model::value::Name;
use proptest::prelude::*;

use super::{AccessRecord, HttpRecord, LogClock, ServerRecord, Times};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn line(record: &AccessRecord<'_>, format: AccessLogFormat) -> String {
    String::from_utf8(record.line(format, &mut LogClock::default())).unwrap()
}

struct Names {
    shop: Name,
    web: Name,
    iis1: Name,
}

fn names() -> Names {
    Names {
        shop: name("shop"),
        web: name("web"),
        iis1: name("iis1"),
    }
}

fn record<'a>(names: &'a Names, http: Option<HttpRecord<'a>>) -> AccessRecord<'a> {
    AccessRecord {
        time: UNIX_EPOCH + Duration::from_millis(1_772_323_199_123),
        client: "[::ffff:192.0.2.7]:51000".parse().unwrap(),
        virtual_service: &names.shop,
        rule: None,
        pool: Some(&names.web),
        server: Some(ServerRecord {
            name: &names.iis1,
            address: "10.0.0.11:80".parse().unwrap(),
        }),
        http,
        tls: None,
        bytes_received: 312,
        bytes_sent: 1480,
        times: Times {
            duration: Duration::from_micros(12_345),
            queue: None,
            connect: Some(Duration::from_micros(250)),
            response: Some(Duration::from_millis(11)),
        },
        retries: 1,
        persistence: Some("cookie"),
        end: "done",
    }
}

fn get<'a>() -> HttpRecord<'a> {
    HttpRecord {
        method: b"GET",
        target: b"/basket?id=7",
        version: b"HTTP/1.1",
        host: Some(b"shop.example"),
        referer: None,
        user_agent: Some(b"curl/8.5.0"),
        status: Some(200),
    }
}

#[test]
fn a_json_line_names_everything_that_is_known() {
    assert_eq!(
        line(&record(&names(), Some(get())), AccessLogFormat::Json),
        "{\"time\":\"2026-02-28T23:59:59.123Z\",\"client\":\"192.0.2.7:51000\",\
         \"virtual_service\":\"shop\",\"pool\":\"web\",\"server\":\"iis1\",\
         \"server_address\":\"10.0.0.11:80\",\"method\":\"GET\",\"host\":\"shop.example\",\
         \"target\":\"/basket?id=7\",\"version\":\"HTTP/1.1\",\"status\":200,\
         \"user_agent\":\"curl/8.5.0\",\"bytes_received\":312,\"bytes_sent\":1480,\
         \"duration_seconds\":0.012345,\"connect_seconds\":0.000250,\
         \"response_seconds\":0.011000,\"retries\":1,\"persistence\":\"cookie\",\
         \"end\":\"done\"}\n"
    );
}

#[test]
fn a_combined_line_is_what_log_analysers_expect() {
    assert_eq!(
        line(&record(&names(), Some(get())), AccessLogFormat::Combined),
        "192.0.2.7 - - [28/Feb/2026:23:59:59 +0000] \"GET /basket?id=7 HTTP/1.1\" 200 1480 \
         \"-\" \"curl/8.5.0\" shop web iis1 0.012345\n"
    );
}

#[test]
fn a_tcp_connection_has_no_request_in_its_line() {
    let names = names();
    let tcp = record(&names, None);
    assert_eq!(
        line(&tcp, AccessLogFormat::Combined),
        "192.0.2.7 - - [28/Feb/2026:23:59:59 +0000] \"-\" - 1480 \"-\" \"-\" shop web iis1 \
         0.012345\n"
    );
    let json: serde_json::Value = serde_json::from_str(&line(&tcp, AccessLogFormat::Json)).unwrap();
    assert!(json.get("method").is_none() && json.get("status").is_none());
}

#[test]
fn an_ipv6_client_keeps_its_brackets_only_beside_a_port() {
    let names = names();
    let mut ipv6 = record(&names, Some(get()));
    ipv6.client = "[2001:db8::7]:443".parse().unwrap();
    assert!(line(&ipv6, AccessLogFormat::Combined).starts_with("2001:db8::7 - - "));
    assert!(line(&ipv6, AccessLogFormat::Json).contains("\"client\":\"[2001:db8::7]:443\""));
}

#[test]
fn an_attempt_to_forge_a_second_line_stays_inside_its_field() {
    let names = names();
    let forged = HttpRecord {
        user_agent: Some(b"x\"\n10.0.0.1 - - \\ \x1b[2J \xff \xe2\x80\xa8 \xc2\x85"),
        ..get()
    };
    let forged = record(&names, Some(forged));
    let combined = line(&forged, AccessLogFormat::Combined);
    assert!(
        combined.contains(
            "\"x\\x22\\x0a10.0.0.1 - - \\x5c \\x1b[2J \\xff \\xe2\\x80\\xa8 \\xc2\\x85\""
        ),
        "{combined}"
    );
    let json = line(&forged, AccessLogFormat::Json);
    assert!(
        json.contains("\"x\\\"\\n10.0.0.1 - - \\\\ \\u001b[2J \\\\xff \\u2028 \\u0085\""),
        "{json}"
    );
}

#[test]
fn times_are_right_around_leap_days_and_when_the_clock_jumps_back() {
    let mut clock = LogClock::default();
    for (second, expected) in [
        (951_782_400, "2000-02-29T00:00:00.000Z"),
        (951_868_799, "2000-02-29T23:59:59.000Z"),
        (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        (4_107_542_399, "2100-02-28T23:59:59.000Z"),
        (0, "1970-01-01T00:00:00.000Z"),
        (1_735_689_599, "2024-12-31T23:59:59.000Z"),
    ] {
        let mut text = Vec::new();
        clock.write_rfc3339(&mut text, UNIX_EPOCH + Duration::from_secs(second));
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..80)
}

proptest! {
    #[test]
    fn whatever_a_client_sends_a_line_stays_one_line_and_parses(
        method in bytes(),
        target in bytes(),
        host in proptest::option::of(bytes()),
        user_agent in proptest::option::of(bytes()),
        status in proptest::option::of(100..600_u16),
        client: SocketAddr,
        bytes_sent: u64,
        micros in 0..u64::MAX / 1000,
    ) {
        let names = names();
        let http = HttpRecord {
            method: &method,
            target: &target,
            version: b"HTTP/1.1",
            host: host.as_deref(),
            referer: host.as_deref(),
            user_agent: user_agent.as_deref(),
            status,
        };
        let mut record = record(&names, Some(http));
        record.client = client;
        record.bytes_sent = bytes_sent;
        record.times.duration = Duration::from_micros(micros);

        for format in [AccessLogFormat::Json, AccessLogFormat::Combined] {
            let line = line(&record, format);
            let body = line.strip_suffix('\n').unwrap();
            prop_assert!(!body.chars().any(char::is_control), "{body}");
        }
        let json: serde_json::Value = serde_json::from_str(&line(&record, AccessLogFormat::Json))?;
        prop_assert_eq!(json["bytes_sent"].as_u64(), Some(bytes_sent));
        prop_assert_eq!(json["status"].as_u64(), status.map(u64::from));
        if let Ok(text) = std::str::from_utf8(&target) {
            prop_assert_eq!(json["target"].as_str().unwrap_or_default(), text);
        }
        // A quote beyond those around its three quoted fields would end one early.
        let combined = line(&record, AccessLogFormat::Combined);
        prop_assert_eq!(combined.matches('"').count(), 6);
    }

    #[test]
    fn every_second_of_three_centuries_is_written_as_the_calendar_has_it(
        second in 0_u64..9_467_000_000,
    ) {
        let mut text = Vec::new();
        let time: SystemTime = UNIX_EPOCH + Duration::from_secs(second);
        LogClock::default().write_rfc3339(&mut text, time);
        let text = String::from_utf8(text).unwrap();
        let number = |from: usize, to: usize| text.get(from..to).unwrap().parse::<u64>().unwrap();
        let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
        let leap = |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
        let february = if leap(year) { 29 } else { 28 };
        let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let years: u64 = (1970..year).map(|y| if leap(y) { 366 } else { 365 }).sum();
        let months: u64 = lengths.iter().take(usize::try_from(month).unwrap() - 1).sum();
        let days = years + months + day - 1;
        let back = days * 86_400 + number(11, 13) * 3600 + number(14, 16) * 60 + number(17, 19);
        prop_assert_eq!(back, second);
    }
}
