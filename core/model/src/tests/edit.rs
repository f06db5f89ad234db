//! Edits: what becomes of objects, and what is said of those that are not there.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::any;
use crate::edit::{Edit, ObjectPath, edit, object, objects};
use crate::plan::{Place, render};
use crate::problem::{Code, Problem};
use crate::schema::{EXAMPLE, noun, nouns};
use crate::value::Name;
use crate::{Config, Format, Plan, read, validate};

fn example() -> Config {
    read(EXAMPLE, Format::Toml).unwrap().config().clone()
}

fn path(text: &str) -> ObjectPath {
    text.parse().unwrap()
}

fn put(at: &str, value: Value) -> Edit {
    Edit::Put {
        path: path(at),
        value,
    }
}

fn patch(at: &str, value: Value) -> Edit {
    Edit::Patch {
        path: path(at),
        value,
    }
}

fn delete(at: &str) -> Edit {
    Edit::Delete { path: path(at) }
}

/// What edits change, one line for each change.
fn done(edits: &[Edit]) -> Vec<String> {
    let after = edit(&example(), edits).unwrap_or_else(|problems| panic!("{problems:?}"));
    let plan = Plan::between(&example(), &after);
    plan.changes.iter().map(ToString::to_string).collect()
}

fn refused(edits: &[Edit]) -> Vec<Problem> {
    edit(&example(), edits).unwrap_err()
}

#[test]
fn objects_are_added_replaced_changed_and_deleted() {
    let server = json!({ "address": "10.0.0.14:80" });
    let added = "+ pools.web.servers.iis4: { address = \"10.0.0.14:80\" }";
    assert_eq!(
        done(&[put("pools/web/servers/iis4", server.clone())]),
        [added]
    );
    assert_eq!(
        done(&[put("pools/web/servers/iis2", server)]),
        [
            "~ pools.web.servers.iis2.address: \"10.0.0.12:80\" -> \"10.0.0.14:80\"",
            "~ pools.web.servers.iis2.weight: 50 -> 100",
        ]
    );
    assert_eq!(
        done(&[patch("pools/web/servers/iis2", json!({ "weight": 20 }))]),
        ["~ pools.web.servers.iis2.weight: 50 -> 20"]
    );
    assert_eq!(
        done(&[delete("pools/web/servers/iis3")]),
        ["- pools.web.servers.iis3"]
    );
    assert_eq!(
        done(&[patch("limits", json!({ "connections_max": 9 }))]),
        ["~ limits.connections_max: not set -> 9"]
    );
    assert_eq!(
        done(&[delete("telemetry")]),
        [
            "~ telemetry.metrics_address: \"127.0.0.1:9100\" -> not set",
            "~ telemetry.access_log: { output = { file = \"/var/log/lbctl/access.log\" } } -> not set",
        ]
    );
}

#[test]
fn null_takes_a_value_away_and_another_choice_drops_the_former() {
    assert_eq!(
        done(&[patch(
            "pools/web",
            json!({ "slow_start": null, "persistence": null })
        )])
        .len(),
        2
    );
    assert_eq!(
        done(&[patch(
            "pools/mail",
            json!({ "health_check": { "probe": { "http": {} } } })
        )]),
        ["~ pools.mail.health_check.probe: { tcp = { expect = \"^220 \" } } -> { http = {} }"]
    );
    let path = json!({ "health_check": { "probe": { "http": { "path": "/up" } } } });
    assert_eq!(
        done(&[patch("pools/web", path)]),
        ["~ pools.web.health_check.probe.http.path: \"/health\" -> \"/up\""]
    );
    let file = json!({ "access_log": { "output": "stdout" } });
    assert_eq!(done(&[patch("telemetry", file)]).len(), 1);
    let header = json!({ "request_headers": { "set": { "x-served-by": "me" } } });
    let after = edit(
        &example(),
        &[patch("virtual_services/shop/rules/mark", header)],
    )
    .unwrap();
    assert_eq!(
        after.virtual_services["shop"].rules[0]
            .request_headers
            .set
            .len(),
        1
    );
    // In a table that was not there, null takes nothing away.
    let queue = json!({ "health_check": { "probe": { "http": { "host": null } } } });
    edit(
        &Config::default(),
        &[put("pools/a", json!({})), patch("pools/a", queue)],
    )
    .unwrap();
}

#[test]
fn rules_keep_their_places_and_are_moved_by_name() {
    let rules = "virtual_services/shop/rules";
    let rule = json!({ "action": { "pool": "web" } });
    let last = [put(&format!("{rules}/rest"), rule.clone())];
    assert_eq!(
        done(&last),
        [
            "+ virtual_services.shop.rules.rest: after api, { name = \"rest\", action = { pool = \"web\" } }"
        ]
    );
    let moved = |name: &str, place| {
        let path = path(&format!("{rules}/{name}"));
        Edit::Move { path, place }
    };
    let name = |name: &str| name.parse::<Name>().unwrap();
    assert!(
        done(&[
            put(&format!("{rules}/rest"), rule),
            moved("rest", Place::First)
        ])[0]
            .starts_with("+ virtual_services.shop.rules.rest: first, ")
    );
    assert_eq!(
        done(&[moved("mark", Place::After(name("old-site")))]),
        ["> virtual_services.shop.rules.old-site: after mark -> first"]
    );
    assert_eq!(done(&[moved("api", Place::After(name("api")))]), [""; 0]);
    assert_eq!(
        done(&[patch(
            &format!("{rules}/old-site"),
            json!({ "action": { "pool": "web" } })
        )])
        .len(),
        1
    );
    let problems = refused(&[moved("mark", Place::After(name("old-sit")))]);
    assert_eq!(problems[0].code, Code::UnknownObject);
    assert!(
        problems[0].help.contains("did you mean `old-site`?"),
        "{problems:?}"
    );
    let problems = refused(&[Edit::Move {
        path: path("pools/web"),
        place: Place::First,
    }]);
    assert_eq!(problems[0].code, Code::NoOrder);
    let problems = refused(&[patch(&format!("{rules}/mark"), json!({ "name": "other" }))]);
    assert_eq!(problems[0].code, Code::OtherName);
}

#[test]
fn what_is_wrong_with_an_edit_is_told_with_its_place_and_mend_and_nothing_is_changed() {
    let problems = refused(&[
        patch("pools/web/servers/iis2", json!({ "weight": 20 })),
        patch(
            "pools/web/servers/iis2",
            json!({ "wieght": 20, "weight": 2000 }),
        ),
        patch("pools/wbe", json!({})),
        put("pools/webb/servers/x", json!({ "address": "10.0.0.1:80" })),
        delete("pools/web/servers/iis9"),
        put("pools/web/servers/x", json!({})),
        put("pools/new", json!({ "servers": [] })),
        patch("pools/web", json!({ "wieght": null })),
        patch(
            "pools/web",
            json!({ "health_check": { "probe": { "http": {}, "tcp": {} } } }),
        ),
        patch("pools/web", json!("least_connections")),
    ]);
    let told = problems
        .iter()
        .map(|p| format!("{p}\n  help: {}\n", p.help));
    let told = told.collect::<Vec<_>>().concat();
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/edit/refused.txt");
    super::golden::assert_golden(&file, &told);
}

#[test]
fn a_path_that_names_no_object_is_told_what_there_is() {
    let told = |text: &str| {
        let invalid = text.parse::<ObjectPath>().unwrap_err();
        format!("{}: use {}", invalid.reason, invalid.mend)
    };
    assert_eq!(
        told("pool/web"),
        "`pool` is no kind of object in a document: use one of virtual_services, pools, \
         certificates, authorities, acme_accounts, limits, telemetry, admin; did you mean `pools`?"
    );
    assert_eq!(
        told("pools/web/server/x"),
        "`server` is no kind of object in a pool: use one of servers; did you mean `servers`?"
    );
    assert_eq!(told("pools"), "`pools` names no pool: use pools/NAME");
    assert_eq!(
        told("limits/x"),
        "`x` is nothing in a limits, which holds no objects: use the path of an object, such as pools/web"
    );
    for wrong in [
        "",
        "/",
        "pools/",
        "pools//servers/x",
        "pools/we b",
        "pools/web/",
    ] {
        assert!(wrong.parse::<ObjectPath>().is_err(), "{wrong}");
    }
}

#[test]
fn nouns_are_those_of_the_schema() {
    let all: Vec<_> = nouns()
        .iter()
        .map(|n| (n.singular, n.plural, n.parent, n.keyed, n.is_list))
        .collect();
    assert_eq!(
        all,
        [
            ("virtual_service", "virtual_services", None, true, false),
            ("rule", "rules", Some("virtual_service"), true, true),
            ("pool", "pools", None, true, false),
            ("server", "servers", Some("pool"), true, false),
            ("certificate", "certificates", None, true, false),
            ("authority", "authorities", None, true, false),
            ("acme_account", "acme_accounts", None, true, false),
            ("limits", "limits", None, false, false),
            ("telemetry", "telemetry", None, false, false),
            ("admin", "admin", None, false, false),
        ]
    );
    // A noun has the name of its type, so that nobody meets two words for one thing.
    for noun in nouns() {
        let name = noun.shape.name.as_deref().unwrap();
        assert_eq!(noun.singular.replace('_', ""), name.to_lowercase());
    }
}

#[test]
fn an_object_is_read_as_it_is_in_the_document() {
    let config = example();
    let server = object(&config, &path("pools/web/servers/iis2")).unwrap();
    assert_eq!(server["weight"], 50);
    let rule = object(&config, &path("virtual_services/shop/rules/api")).unwrap();
    assert_eq!(rule["name"], "api");
    assert!(object(&config, &path("limits")).unwrap().is_object());
    let absent = object(&config, &path("pools/web/servers/iis9")).unwrap_err();
    assert!(
        absent.help.ends_with("there are: iis1, iis2, iis3"),
        "{absent:?}"
    );
    let web = path("pools/web");
    let servers = objects(&config, noun("server").unwrap(), Some(&web)).unwrap();
    assert_eq!(servers.as_object().unwrap().len(), 3);
    let rules = objects(
        &config,
        noun("rule").unwrap(),
        Some(&path("virtual_services/smtp")),
    );
    assert_eq!(rules.unwrap(), json!([]));
    assert_eq!(
        objects(&config, noun("pool").unwrap(), None)
            .unwrap()
            .as_object()
            .unwrap()
            .len(),
        3
    );
}

#[test]
fn edits_have_one_form_in_json() {
    let text = r#"[{"put":{"path":"pools/a","value":{}}},{"move":{"path":"virtual_services/a/rules/b","place":{"after":"c"}}},{"delete":{"path":"limits"}}]"#;
    let edits: Vec<Edit> = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&edits).unwrap(), text);
    let wrong = serde_json::from_str::<Edit>(r#"{"delete":{"path":"pool/a"}}"#).unwrap_err();
    assert!(
        wrong.to_string().contains("did you mean `pools`?"),
        "{wrong}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn objects_put_one_by_one_give_the_document(document in any::document()) {
        let config: Config = serde_json::from_value(document).unwrap();
        prop_assume!(validate(config.clone()).is_ok() || config.virtual_services.is_empty());
        let mut edits = Vec::new();
        for noun in nouns().iter().filter(|noun| noun.parent.is_none()) {
            let value = objects(&config, noun, None).unwrap();
            match (noun.keyed, value) {
                (true, Value::Object(table)) => edits.extend(table.into_iter().map(|(name, value)| {
                    put(&format!("{}/{name}", noun.plural), value)
                })),
                (_, value) => edits.push(put(noun.plural, value)),
            }
        }
        let made = edit(&Config::default(), &edits).unwrap();
        let plan = Plan::between(&config, &made);
        prop_assert!(plan.is_empty(), "{}", render(&plan));
    }

    #[test]
    fn a_patch_of_any_kind_is_taken_or_refused_without_panic(
        value in any::broken_document(),
        which in 0_usize..5,
    ) {
        let paths = ["pools/web", "virtual_services/shop", "virtual_services/shop/rules/api", "limits", "pools/web/servers/iis1"];
        let part = match which { 0 => &value["pools"], 1 => &value["virtual_services"], _ => &value };
        let inner = part.as_object().and_then(|t| t.values().next()).cloned().unwrap_or(value.clone());
        if let Ok(after) = edit(&example(), &[patch(paths[which], inner.clone())]) {
            // The same patch again changes nothing.
            prop_assert_eq!(edit(&after, &[patch(paths[which], inner)]).unwrap(), after);
        }
    }
}
