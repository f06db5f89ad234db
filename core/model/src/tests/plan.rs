//! Plans: what holds for any two documents, and how a plan reads.

use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::TestRng;
use serde_json::{Map, Value, json};

use super::any;
use super::golden::assert_golden;
use crate::plan::{Action, ApplyError, Effect, render, render_ansi};
use crate::schema::{EXAMPLE, Kind, Shape, json_schema, shape};
use crate::{Config, Format, Plan, read};

/// Two documents that have much in common, and differ in everything that can differ.
fn two_documents() -> impl Strategy<Value = (Config, Config)> {
    (any::document(), any::document()).prop_perturb(|(one, other), mut rng| {
        let mixed = mix(shape(), &one, &other, &mut rng);
        let config = |value| serde_json::from_value(value).unwrap();
        (config(one), config(mixed))
    })
}

/// A number below `end`, or 0.
fn below(rng: &mut TestRng, end: usize) -> usize {
    rng.random_range(0..end.max(1))
}

/// A value that is in part the one and in part the other.
fn mix(shape: &Shape, one: &Value, other: &Value, rng: &mut TestRng) -> Value {
    match (&shape.kind, one, other) {
        (Kind::Table(fields), Value::Object(one), Value::Object(other)) => {
            let mut table = Map::new();
            for field in fields {
                let value = match (one.get(&field.name), other.get(&field.name), below(rng, 4)) {
                    (Some(one), Some(other), 0 | 1) => Some(mix(&field.shape, one, other, rng)),
                    (_, Some(other), 2) => Some(other.clone()),
                    (one, other, _) => one.or(other.filter(|_| field.required)).cloned(),
                };
                let value = value.filter(|_| field.required || below(rng, 8) > 0);
                table.extend(value.map(|value| (field.name.clone(), value)));
            }
            Value::Object(table)
        }
        (Kind::Map { values, .. }, Value::Object(one), Value::Object(other)) => {
            let others: Vec<_> = other.values().collect();
            let mut table = Map::new();
            for (key, value) in one {
                let near = others.get(below(rng, others.len()));
                let value = match (below(rng, 4), near) {
                    (0, _) => continue,
                    (1 | 2, Some(near)) => mix(values, value, near, rng),
                    _ => value.clone(),
                };
                table.insert(key.clone(), value);
            }
            let new = other.iter().filter(|_| below(rng, 2) == 0);
            for (key, value) in new.collect::<Vec<_>>() {
                // Names of header fields are the same in any case.
                if !table.keys().any(|known| known.eq_ignore_ascii_case(key)) {
                    table.insert(key.clone(), value.clone());
                }
            }
            Value::Object(table)
        }
        (Kind::List { .. }, Value::Array(one), Value::Array(other))
            if shape.objects().is_some() =>
        {
            let mut list: Vec<Value> = one.iter().chain(other).cloned().collect();
            for at in (1..list.len()).rev() {
                list.swap(at, below(rng, at + 1));
            }
            list.truncate(below(rng, list.len() + 1));
            Value::Array(list)
        }
        (Kind::Choice(choices), Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            let (name, inner) = a.iter().next().unwrap();
            let choice = choices.iter().find(|choice| choice.name == *name).unwrap();
            let payload = choice.payload.as_ref().unwrap();
            json!({ name: mix(payload, inner, &b[name], rng) })
        }
        _ if below(rng, 2) == 0 => one.clone(),
        _ => other.clone(),
    }
}

/// More than to be equal: to be written the same.
fn json_of(config: &Config) -> Value {
    serde_json::to_value(config).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_carried_out_gives_the_document_it_was_made_for((a, b) in two_documents()) {
        let plan = Plan::between(&a, &b);
        let done = plan.apply(&a).unwrap();
        prop_assert_eq!(json_of(&done), json_of(&b), "{}", render(&plan));
        prop_assert_eq!(plan.is_empty(), json_of(&a) == json_of(&b));
        prop_assert!(Plan::between(&a, &a).is_empty());
        prop_assert!(Plan::between(&done, &b).is_empty());
    }

    #[test]
    fn an_inverted_plan_gives_the_former_document_back((a, b) in two_documents()) {
        let plan = Plan::between(&a, &b);
        let back = plan.invert();
        prop_assert_eq!(json_of(&back.apply(&b).unwrap()), json_of(&a), "{}", render(&plan));
        prop_assert_eq!(back.invert(), plan);
    }

    #[test]
    fn a_plan_survives_being_sent((a, b) in two_documents()) {
        let plan = Plan::between(&a, &b);
        let text = serde_json::to_string(&plan).unwrap();
        prop_assert!(!text.contains("null"), "{}", text);
        let sent: Plan = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(json_of(&sent.apply(&a).unwrap()), json_of(&b));
        prop_assert_eq!(sent, plan);
    }

    #[test]
    fn a_plan_that_was_carried_out_already_is_refused((a, b) in two_documents()) {
        let plan = Plan::between(&a, &b);
        prop_assume!(!plan.is_empty());
        match plan.apply(&b) {
            Err(ApplyError::Stale(change)) => prop_assert!(plan.changes.contains(&change)),
            other => prop_assert!(false, "{:?}\n{}", other, render(&plan)),
        }
    }

    #[test]
    fn each_change_is_one_line_that_is_not_too_long((a, b) in two_documents()) {
        let plan = Plan::between(&a, &b);
        let text = render(&plan);
        let lines: Vec<_> = text.lines().collect();
        let expected = if plan.is_empty() { 1 } else { plan.changes.len() + 2 };
        prop_assert_eq!(lines.len(), expected, "{}", text);
        for line in lines {
            let hidden = line.chars().any(char::is_control);
            prop_assert!(!hidden && line.chars().count() < 800, "{:?}", line);
        }
        render_ansi(&plan);
    }
}

fn example() -> Config {
    read(EXAMPLE, Format::Toml).unwrap().config().clone()
}

/// The example with some of its text replaced.
fn example_with(changes: &[(&str, &str)]) -> Config {
    let mut text = EXAMPLE.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    let read = read(&text, Format::Toml);
    read.unwrap_or_else(|problems| panic!("{problems:?}"))
        .config()
        .clone()
}

/// The plan between the example and a changed one, one line for each change.
fn changes(changes: &[(&str, &str)]) -> Vec<String> {
    let plan = Plan::between(&example(), &example_with(changes));
    let line = |change: &crate::plan::Change| format!("{change} [{}]", change.effect);
    plan.changes.iter().map(line).collect()
}

fn golden(name: &str, text: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/plan");
    assert_golden(&folder.join(name), text);
}

#[test]
fn a_plan_reads_as_what_will_happen() {
    let after = example_with(&[
        ("weight = 50", "weight = 20"),
        (
            "iis3 = { address = \"10.0.0.13:80\", state = \"draining\" }\n",
            "",
        ),
        (
            "iis1 = {",
            "iis0 = { address = \"10.0.0.10:80\", weight = 30 }\niis1 = {",
        ),
        ("10.0.0.21:8080", "10.0.0.23:8080"),
        ("slow_start = \"30s\"\n", ""),
        (
            "interval = \"5s\", ",
            "interval = \"2s\", timeout = \"1s\", ",
        ),
        (
            "{ tcp = { expect = \"^220 \" } }",
            "{ http = { path = \"/\" } }",
        ),
        ("address = \"0.0.0.0:25\"", "address = \"0.0.0.0:2525\""),
        (
            "[telemetry]",
            "[pools.spare.servers]\ns = { address = \"10.0.0.40:80\" }\n[telemetry]",
        ),
        (
            "action = { pool = \"api\" }",
            "action = { pool = \"spare\" }",
        ),
        ("metrics_address = \"127.0.0.1:9100\"\n", ""),
    ]);
    let mut plan = Plan::between(&example(), &after);
    golden("mixed.txt", &render(&plan));
    golden("mixed-inverted.txt", &render(&plan.invert()));
    for (change, connections) in plan.changes.iter_mut().zip([0, 1, 12].into_iter().cycle()) {
        change.connections = Some(connections);
    }
    golden("mixed-counted.txt", &render(&plan));
    golden("mixed-ansi.txt", &render_ansi(&plan));
    golden(
        "mixed.json",
        &(serde_json::to_string_pretty(&plan).unwrap() + "\n"),
    );
}

#[test]
fn a_plan_from_nothing_and_one_to_nothing_have_a_line_for_each_object() {
    let nothing = Config::default();
    golden(
        "from-nothing.txt",
        &render(&Plan::between(&nothing, &example())),
    );
    golden(
        "to-nothing.txt",
        &render(&Plan::between(&example(), &nothing)),
    );
    assert_eq!(render(&Plan::between(&nothing, &nothing)), "No changes.\n");
}

#[test]
fn rules_are_followed_by_name_wherever_they_go() {
    let rule = |name: &str| {
        let start = EXAMPLE
            .find(&format!(
                "[[virtual_services.shop.rules]]\nname = \"{name}\""
            ))
            .unwrap();
        let rest = EXAMPLE.get(start..).unwrap();
        rest.split_inclusive("\n\n").next().unwrap().to_owned()
    };
    let (mark, old, api) = (rule("mark"), rule("old-site"), rule("api"));
    let [mark, old, api] = [&*mark, &*old, &*api];
    let all = format!("{mark}{old}{api}");
    let with = |rules: &[&str]| changes(&[(&all, &rules.concat())]);
    let new = old.replace("old-site", "new-site");
    assert_eq!(
        with(&[api, mark, old]),
        ["> virtual_services.shop.rules.api: after old-site -> first [live]"]
    );
    assert_eq!(
        with(&[mark, api, old]),
        ["> virtual_services.shop.rules.api: after old-site -> after mark [live]"]
    );
    assert_eq!(
        with(&[mark, api]),
        ["- virtual_services.shop.rules.old-site [live]"]
    );
    assert_eq!(with(&[mark, old, &new, api]).len(), 1);
    assert!(
        with(&[mark, old, &new, api])[0]
            .starts_with("+ virtual_services.shop.rules.new-site: after old-site, {")
    );
    assert!(
        with(&[&new, mark, old, api])[0]
            .starts_with("+ virtual_services.shop.rules.new-site: first, {")
    );
    let changed = api.replace("/api/", "/v2/");
    assert_eq!(
        with(&[mark, &changed, old]),
        [
            "> virtual_services.shop.rules.api: after old-site -> after mark [live]",
            "~ virtual_services.shop.rules.api.match.path.prefix: \"/api/\" -> \"/v2/\" [live]",
        ]
    );
    // Backwards, all but one move.
    assert_eq!(with(&[api, old, mark]).len(), 2);
}

#[test]
fn each_effect_is_what_the_schema_says() {
    let effect = |from: &str, to: &str| {
        let plan = Plan::between(&example(), &example_with(&[(from, to)]));
        assert_eq!(plan.changes.len(), 1, "{}", render(&plan));
        (plan.changes[0].action, plan.effect())
    };
    let change = |from, to| {
        let (action, effect) = effect(from, to);
        assert_eq!(action, Action::Change);
        effect
    };
    let iis3 = "iis3 = { address = \"10.0.0.13:80\", state = \"draining\" }\n";
    assert_eq!(effect(iis3, ""), (Action::Remove, Effect::Drain));
    let more = format!("{iis3}iis4 = {{ address = \"10.0.0.14:80\" }}\n");
    assert_eq!(effect(iis3, &more), (Action::Add, Effect::Live));
    assert_eq!(change("10.0.0.11:80", "10.0.0.19:80"), Effect::Drain);
    assert_eq!(
        change("state = \"draining\"", "state = \"disabled\""),
        Effect::Drain
    );
    assert_eq!(
        change("state = \"draining\"", "state = \"enabled\""),
        Effect::Live
    );
    assert_eq!(change("weight = 50", "weight = 51"), Effect::Live);
    assert_eq!(
        change("address = \"0.0.0.0:25\"", "address = \"0.0.0.0:26\""),
        Effect::Rebind
    );
    assert_eq!(
        change("\"0.0.0.0:25\"", "\"0.0.0.0:25\"\nenabled = false"),
        Effect::Rebind
    );
    assert_eq!(change("127.0.0.1:9100", "127.0.0.1:9101"), Effect::Rebind);
    assert_eq!(change("access.log", "other.log"), Effect::Live);
    assert_eq!(
        change("[telemetry]", "[limits]\nconnections_max = 5\n[telemetry]"),
        Effect::Live
    );
    // Without its rules and its page for HTTP, a service may speak plain TCP.
    let mut service = example();
    let mail = service.virtual_services.get_mut("smtp").unwrap();
    mail.protocol = crate::config::Protocol::Http;
    assert_eq!(Plan::between(&example(), &service).effect(), Effect::Drain);
}

#[test]
fn every_effect_and_need_in_the_schema_is_understood() {
    fn look(schema: &Value) {
        if let Value::Object(object) = schema {
            for (key, value) in object {
                let word = value.as_str().unwrap_or_default();
                match &**key {
                    "x-effect" | "x-effect-added" | "x-effect-removed" => {
                        let known = Effect::ALL.iter().any(|effect| effect.as_str() == word);
                        assert!(known, "{key} is {value}");
                    }
                    "x-needs" => {
                        let names = value
                            .as_array()
                            .unwrap()
                            .iter()
                            .map(|n| n.as_str().unwrap());
                        for name in names {
                            assert!(json_schema()["properties"].get(name).is_some(), "{name}");
                        }
                    }
                    _ => assert!(!key.starts_with("x-"), "{key}"),
                }
                look(value);
            }
        } else if let Value::Array(values) = schema {
            values.iter().for_each(look);
        }
    }
    look(json_schema());
}

#[test]
fn a_name_of_a_header_field_that_changes_its_case_is_a_change() {
    let set = |name: &str| changes(&[("X-Served-By", name)]);
    assert_eq!(set("X-Served-By"), [""; 0]);
    assert_eq!(set("x-served-by").len(), 2);
    let cookie = changes(&[("name = \"LB\"", "name = \"lb\"")]);
    assert_eq!(
        cookie,
        ["~ pools.web.persistence.cookie.name: \"LB\" -> \"lb\" [live]"]
    );
}

#[test]
fn long_values_show_what_is_different_in_them() {
    let long = |end: &str| format!("X-Served-By = \"{}{end}\"", "x".repeat(500));
    let from = example_with(&[("X-Served-By = \"lbctl\"", &long("a"))]);
    let to = example_with(&[("X-Served-By = \"lbctl\"", &long("b"))]);
    let plan = Plan::between(&from, &to);
    assert_eq!(
        plan.changes[0].to_string(),
        "~ virtual_services.shop.rules.mark.request_headers.set.X-Served-By: \
         …xxxxxxxxxxa\" -> …xxxxxxxxxxb\""
    );
}

#[test]
fn a_stale_plan_names_the_change_that_does_not_fit() {
    let plan = Plan::between(
        &example(),
        &example_with(&[
            ("weight = 50", "weight = 20"),
            ("slow_start = \"30s\"", "slow_start = \"9s\""),
        ]),
    );
    let now = example_with(&[("weight = 50", "weight = 70")]);
    let error = plan.apply(&now).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the plan is stale: `pools.web.servers.iis2.weight` is not as it was"
    );
    assert!(error.help().contains("50 -> 20"), "{}", error.help());
}

#[test]
fn a_plan_says_in_one_line_what_it_is_about_and_which_object_each_change_is_of() {
    let plan = |pairs: &[(&str, &str)]| Plan::between(&example(), &example_with(pairs));
    let weight = ("weight = 50", "weight = 20");
    assert_eq!(plan(&[]).summary(), "no changes");
    assert_eq!(plan(&[weight]).summary(), "~ pools.web.servers.iis2.weight");
    let two = plan(&[weight, ("127.0.0.1:9100", "127.0.0.1:9101")]);
    assert_eq!(
        two.summary(),
        "~ pools.web.servers.iis2.weight and 1 more change"
    );
    let objects: Vec<_> = two
        .changes
        .iter()
        .map(|change| change.object().to_string())
        .collect();
    assert_eq!(objects, ["pools.web.servers.iis2", "telemetry"]);
}
