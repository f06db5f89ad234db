//! Single objects of a large document, without turning all of it into JSON and back: an edit of one
//! server must not cost more with ten thousand others beside it.

use std::collections::{BTreeMap, BTreeSet};

use lb_model::edit::{Edit, ObjectPath, edit, object};
use lb_model::value::Name;
use lb_model::{Config, Problem};
use serde_json::Value;

/// Makes all edits, as [`edit`] does.
pub(super) fn edited(config: &Config, edits: &[Edit]) -> Result<Config, Vec<Problem>> {
    let mut tops = edits.iter().map(|edit| top(edit.path()));
    let names: Option<BTreeSet<_>> = tops.try_fold(BTreeSet::new(), |mut names, top| {
        names.insert(top?);
        Some(names)
    });
    let Some(names) = names else {
        return edit(config, edits);
    };
    // What is wrong is told with all the names that there are.
    let part = edit(&part(config, &names), edits);
    let part = part.or_else(|_| edit(config, edits).map(|whole| self::part(&whole, &names)))?;
    let mut whole = config.clone();
    for (noun, name) in names {
        put(noun, name, &mut whole, &part);
    }
    Ok(whole)
}

/// One object, as [`object`] gives it.
pub(super) fn value(config: &Config, path: &ObjectPath) -> Option<Value> {
    match top(path) {
        Some(top) => object(&part(config, &BTreeSet::from([top])), path).ok(),
        None => object(config, path).ok(),
    }
}

/// The kinds of objects of which a document has many.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Top {
    Authority,
    Certificate,
    Pool,
    VirtualService,
}

/// The object of the document that holds this one, when it is one of many.
fn top(path: &ObjectPath) -> Option<(Top, Name)> {
    let mut top = path.clone();
    while let Some(holder) = top.holder() {
        top = holder;
    }
    let noun = match top.noun().singular {
        "authority" => Top::Authority,
        "certificate" => Top::Certificate,
        "pool" => Top::Pool,
        "virtual_service" => Top::VirtualService,
        _ => return None,
    };
    Some((noun, top.names().first()?.clone()))
}

/// The document with these objects alone.
fn part(config: &Config, names: &BTreeSet<(Top, Name)>) -> Config {
    let mut part = Config::default();
    for (noun, name) in names {
        put(*noun, name.clone(), &mut part, config);
    }
    part
}

/// Makes an object of one document what it is in another.
fn put(noun: Top, name: Name, config: &mut Config, from: &Config) {
    match noun {
        Top::Authority => put_entry(&mut config.authorities, name, &from.authorities),
        Top::Certificate => put_entry(&mut config.certificates, name, &from.certificates),
        Top::Pool => put_entry(&mut config.pools, name, &from.pools),
        Top::VirtualService => {
            put_entry(&mut config.virtual_services, name, &from.virtual_services);
        }
    }
}

fn put_entry<T: Clone>(entries: &mut BTreeMap<Name, T>, name: Name, from: &BTreeMap<Name, T>) {
    match from.get(&name) {
        Some(entry) => drop(entries.insert(name, entry.clone())),
        None => drop(entries.remove(&name)),
    }
}

#[cfg(test)]
mod tests {
    use lb_model::{Format, parse};
    use serde_json::json;

    use super::*;

    #[test]
    fn it_does_what_the_edit_of_a_whole_document_does() {
        let text = r#"{ "virtual_services": {
                "shop": { "address": "127.0.0.1:80", "pool": "web", "rules": [
                    { "name": "a", "action": { "pool": "api" } }, { "name": "b", "action": { "pool": "web" } }] },
                "intranet": { "address": "127.0.0.1:81", "pool": "api" } },
            "pools": { "web": { "servers": { "iis1": { "address": "10.0.0.1:80" } } }, "api": {} },
            "certificates": { "shop": { "source": { "files": { "certificate": "/a.pem", "key": "/a.key" } } } },
            "authorities": { "corp": { "source": { "file": "/ca.pem" } } },
            "limits": { "connections_max": 1000 } }"#;
        let config = parse(text, Format::Json).unwrap();
        let put = |path: &str, value| json!({ "put": { "path": path, "value": value } });
        let change = |path: &str, value| json!({ "patch": { "path": path, "value": value } });
        let delete = |path: &str| json!({ "delete": { "path": path } });
        let cases = [
            json!([change("pools/web/servers/iis1", json!({ "weight": 7 }))]),
            json!([change("pools/web/servers/iis9", json!({ "weight": 7 }))]),
            json!([put(
                "pools/web/servers/iis2",
                json!({ "address": "10.0.0.2:80" })
            )]),
            json!([put("pools/web/servers/iis2", json!({ "address": "x" }))]),
            json!([put("pools/new", json!({})), delete("pools/api")]),
            json!([delete("pools/none")]),
            json!([
                delete("virtual_services/shop/rules/a"),
                delete("pools/web/servers/iis1")
            ]),
            json!([change("virtual_services/shop", json!({ "pool": "api" }))]),
            json!([
                change("limits", json!({ "connections_max": 5 })),
                delete("pools/api")
            ]),
            json!([put(
                "pools/wbe/servers/a",
                json!({ "address": "10.0.0.2:80" })
            )]),
            json!([change(
                "certificates/shop",
                json!({ "source": { "files": { "key": "/b.key" } } })
            )]),
            json!([put(
                "certificates/own",
                json!({ "source": { "self_signed": { "names": ["a.test"] } } })
            )]),
            json!([delete("certificates/shop"), delete("authorities/corp")]),
            json!([change("authorities/crop", json!({}))]),
            json!([]),
        ];
        for case in cases {
            let edits: Vec<Edit> = serde_json::from_value(case.clone()).unwrap();
            assert_eq!(edited(&config, &edits), edit(&config, &edits), "{case}");
        }
        for path in [
            "pools/web",
            "pools/web/servers/iis1",
            "virtual_services/shop/rules/b",
            "limits",
            "pools/x",
            "certificates/shop",
            "authorities/corp",
        ] {
            let object_path = path.parse().unwrap();
            assert_eq!(
                value(&config, &object_path),
                object(&config, &object_path).ok(),
                "{path}"
            );
        }
    }
}
