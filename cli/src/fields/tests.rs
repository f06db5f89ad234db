//! From a command line to what it asks for.

use clap::Parser;
use serde_json::{Value, json};

use super::{NounCommand, Verb, Written, with_removals};
use crate::args::{Args, Command};

fn parse(line: &str) -> Result<NounCommand, String> {
    let words = std::iter::once("lbctl").chain(line.split(' '));
    let args = Args::try_parse_from(words).map_err(|error| error.to_string())?;
    let Command::Noun(command) = args.command else {
        panic!("{line}");
    };
    Ok(command)
}

/// What a command writes, as an object or a part of one.
fn written(line: &str) -> Value {
    match parse(line).unwrap_or_else(|error| panic!("{error}")).verb {
        Verb::Add(Written {
            value, removals, ..
        })
        | Verb::Set(Written {
            value, removals, ..
        }) => with_removals(value, &removals).unwrap_or_else(|error| panic!("{error}")),
        Verb::Certificate(_) | Verb::Delete { .. } | Verb::Get(_) | Verb::List(_) => {
            panic!("{line}")
        }
    }
}

#[test]
fn flags_become_a_part_of_the_object() {
    for (line, value) in [
        (
            "server add web/iis3 --address 10.0.0.13:80",
            json!({ "address": "10.0.0.13:80" }),
        ),
        (
            "server set web/iis2 --weight 20 --state disabled",
            json!({ "weight": 20, "state": "disabled" }),
        ),
        (
            "pool set web --health-check-interval 2s --health-check-probe-http-path /up \
             --health-check-probe-http-expect 200-299 --health-check-probe-http-expect 401 \
             --health-check-probe-http-headers X-A=b=c",
            json!({ "health_check": { "interval": "2s", "probe": { "http": {
                "path": "/up", "expect": ["200-299", 401], "headers": { "X-A": "b=c" },
            } } } }),
        ),
        (
            "pool set web --persistence-cookie",
            json!({ "persistence": { "cookie": {} } }),
        ),
        (
            "pool set web --persistence-cookie --persistence-cookie-fallback",
            json!({ "persistence": { "cookie": { "fallback": {} } } }),
        ),
        (
            "rule add shop/api --match-header-exact X-A=1 --match-header-present X-B=true --action-pool api",
            json!({
                "match": { "header": { "X-A": { "exact": "1" }, "X-B": { "present": true } } },
                "action": { "pool": "api" },
            }),
        ),
        (
            "rule set shop/api --unset match-header=X-A --unset request-headers",
            json!({ "match": { "header": { "X-A": null } }, "request_headers": null }),
        ),
        (
            "pool set web --unset health-check-port --unset health-check --unset slow-start",
            json!({ "health_check": null, "slow_start": null }),
        ),
        (
            "telemetry set --access-log-output stdout",
            json!({ "access_log": { "output": "stdout" } }),
        ),
        (
            "virtual-service set shop --enabled false",
            json!({ "enabled": false }),
        ),
    ] {
        assert_eq!(
            written(&line.split_whitespace().collect::<Vec<_>>().join(" ")),
            value,
            "{line}"
        );
    }
}

#[test]
fn a_wrong_command_line_is_told_what_would_be_right() {
    for (line, told) in [
        ("server add web/iis3", "--address <ADDRESS>"),
        ("server set web --weight 1", "write POOL/SERVER"),
        ("server set web/x --wieght 1", "'--weight'"),
        (
            "server set web/x --weight 5000",
            "use a whole number from 0 to 1000",
        ),
        (
            "server set web/x --weight many",
            "use a whole number from 0 to 1000",
        ),
        ("server set web/x --address here", "is not"),
        ("server set web/x --state drainig", "'draining'"),
        ("server set web/x --unset wieght", "did you mean `weight`?"),
        ("server set web/x --unset address", "it cannot be absent"),
        ("server set web/x --unset weight=1", "has no keys"),
        ("rule set shop/a --match-header-exact X", "KEY=VALUE"),
        (
            "rule add shop/a --action-pool x --action-respond-status 200",
            "cannot be used with",
        ),
        ("rule add shop/a --first --after b", "cannot be used with"),
        (
            "telemetry set --access-log-output stdout --access-log-output-file /x",
            "cannot be used with",
        ),
        ("server drop web/x", "unrecognized subcommand"),
    ] {
        let error = parse(line)
            .map(|command| panic!("{command:?}"))
            .unwrap_err();
        assert!(error.contains(told), "{line}: {error}");
    }
    let both = parse("server set web/x --weight 1 --unset weight").unwrap();
    let Verb::Set(written) = both.verb else {
        panic!()
    };
    assert!(with_removals(written.value, &written.removals).is_err());
}

#[test]
fn objects_are_named_by_those_that_hold_them() {
    let path = |line: &str| match parse(line).unwrap().verb {
        Verb::Get(path) | Verb::List(Some(path)) | Verb::Delete { path, .. } => path.to_string(),
        Verb::Add(_) | Verb::Certificate(_) | Verb::List(None) | Verb::Set(_) => {
            panic!("{line}")
        }
    };
    assert_eq!(path("server get web/iis1"), "pools/web/servers/iis1");
    assert_eq!(path("server list web"), "pools/web");
    assert_eq!(
        path("rule delete shop/api -y"),
        "virtual_services/shop/rules/api"
    );
    assert_eq!(path("limits get"), "limits");
    assert!(matches!(parse("pool list").unwrap().verb, Verb::List(None)));
}
