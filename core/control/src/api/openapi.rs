//! The OpenAPI document, from the table of routes and the types of the model.

use std::fmt::Write;
use std::sync::LazyLock;

use hyper::Method;
use lb_model::api::{ErrorCode, components};
use serde_json::{Map, Value, json};

use super::route::{Form, Gives, Operation, Parameter, Route, Takes, routes};

static TEXT: LazyLock<String> = LazyLock::new(|| {
    let mut text = serde_json::to_string_pretty(&document()).unwrap_or_default();
    text.push('\n');
    text
});

/// The description of the API (OpenAPI 3.1), as JSON.
pub fn openapi() -> &'static str {
    &TEXT
}

fn document() -> Value {
    let mut paths = Map::new();
    for route in routes() {
        let path = paths
            .entry(route.template.clone())
            .or_insert_with(|| Value::Object(Map::new()));
        path[route.method.as_str().to_ascii_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "lbctl",
            "description": "Plans, makes and takes back changes of a running balancer, and tells \
                what it does. Each operation needs the role in its `x-role`, or one above it: view, \
                operate, configure, administer. Objects of the document have an `ETag`; with \
                `If-Match` a change is refused when somebody else changed the object meanwhile.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [
            { "url": "http://localhost", "description": "admin.sock of the state directory" },
            { "url": "https://{address}", "description": "admin.address of the document",
                "variables": { "address": { "default": "localhost:9443" } } },
        ],
        "security": [{}, { "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "On the Unix socket root and the user of the balancer need none.",
                },
                "bootstrap": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "What is in `bootstrap-token` in the state directory after a start \
                        without tokens, for 30 minutes and one use.",
                },
            },
            "responses": {
                "Error": {
                    "description": error_description(),
                    "content": { "application/json": { "schema": reference("ErrorAnswer") } },
                },
            },
            "schemas": components(),
        },
    })
}

/// Which status means what; the words are those of the codes.
fn error_description() -> String {
    let mut text = "Nothing was done.".to_owned();
    for code in ErrorCode::ALL {
        let word = serde_json::to_value(code).unwrap_or_default();
        let word = word.as_str().unwrap_or_default();
        write!(text, " {}: {word}.", code.status()).expect("a String takes every write");
    }
    text
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.summary,
        "tags": [tag(route)],
        "parameters": parameters(route),
        "responses": {
            "200": { "description": "Done.", "content": gives(route) },
            "default": { "$ref": "#/components/responses/Error" },
        },
    });
    if route.is_open {
        // It takes no token of those that have a role.
        operation["security"] = if route.operation == Operation::Bootstrap {
            json!([{ "bootstrap": [] }])
        } else {
            json!([{}])
        };
    } else {
        operation["x-role"] = json!(route.role.as_str());
    }
    if has_tag(route) {
        operation["responses"]["200"]["headers"] = json!({
            "ETag": { "description": "Changes with the object.", "schema": { "type": "string" } },
        });
    }
    if let Some(content) = takes(route) {
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    operation
}

/// The first segment of the path: what belongs together.
fn tag(route: &Route) -> &str {
    let segment = route.template.split('/').nth(1).unwrap_or_default();
    segment.split('.').next().unwrap_or_default()
}

/// Whether the answer has the tag of an object.
fn has_tag(route: &Route) -> bool {
    route.method == Method::GET && route.template.starts_with("/config")
}

fn parameters(route: &Route) -> Value {
    let mut parameters: Vec<Value> = route
        .template
        .split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| {
            let schema = if name == "number" {
                json!({ "type": "integer", "minimum": 1 })
            } else {
                json!({ "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$" })
            };
            json!({ "name": name, "in": "path", "required": true, "schema": schema })
        })
        .collect();
    parameters.extend(route.query.iter().map(query_parameter));
    if route.conditional {
        parameters.push(json!({
            "name": "If-Match",
            "in": "header",
            "description": "The ETag that the object must still have; `*`: it must be there.",
            "schema": { "type": "string" },
        }));
        parameters.push(json!({
            "name": "If-None-Match",
            "in": "header",
            "description": "`*`: the object must not be there.",
            "schema": { "const": "*" },
        }));
    }
    Value::Array(parameters)
}

fn query_parameter(parameter: &Parameter) -> Value {
    let schema = match parameter.form {
        Form::Number => json!({ "type": "integer", "minimum": 1 }),
        Form::Period => json!({ "type": "string", "format": "lb-period", "examples": ["60s"] }),
        Form::Source => json!({ "type": "string", "enum": ["api", "cli", "terraform", "console"] }),
        Form::Text => json!({ "type": "string", "maxLength": 1000 }),
    };
    json!({
        "name": parameter.name,
        "in": "query",
        "description": parameter.description,
        "schema": schema,
    })
}

fn takes(route: &Route) -> Option<Value> {
    match &route.takes {
        Takes::Nothing => None,
        Takes::Document => Some(whole_document()),
        Takes::Json(component) => {
            Some(json!({ "application/json": { "schema": reference(component) } }))
        }
        // A patch has any of the fields, and null for those that are taken away: no component says
        // that, and its description does.
        Takes::Patch(component) => Some(json!({
            "application/merge-patch+json": {
                "schema": {
                    "type": "object",
                    "description": format!("A JSON merge patch (RFC 7396) of a `{component}`."),
                },
            },
        })),
    }
}

fn gives(route: &Route) -> Value {
    match &route.gives {
        Gives::Backup => json!({ "application/octet-stream": {} }),
        Gives::Document => whole_document(),
        Gives::Events => json!({
            "text/event-stream": {
                "schema": { "type": "string", "description": "The data of each is an `Event`." },
            },
        }),
        Gives::Json(component) => {
            json!({ "application/json": { "schema": reference(component) } })
        }
        Gives::Many {
            component,
            keyed: true,
        } => json!({
            "application/json": {
                "schema": { "type": "object", "additionalProperties": reference(component) },
            },
        }),
        Gives::Many {
            component,
            keyed: false,
        } => json!({
            "application/json": { "schema": { "type": "array", "items": reference(component) } },
        }),
        Gives::Free => json!({ "application/json": { "schema": { "type": "object" } } }),
        Gives::Metrics => json!({ "text/plain": { "schema": { "type": "string" } } }),
    }
}

fn whole_document() -> Value {
    json!({
        "application/json": { "schema": reference("Config") },
        "application/toml": { "schema": { "type": "string" } },
    })
}

fn reference(component: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{component}") })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use lb_model::schema::nouns;

    use super::*;

    #[test]
    fn the_description_in_the_repository_is_that_of_the_program() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&file, openapi()).unwrap();
        }
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            kept == openapi(),
            "{} is not up to date: run the tests with UPDATE=1 and read the difference",
            file.display()
        );
    }

    #[test]
    fn every_noun_of_the_document_has_its_paths_and_its_component() {
        let document = document();
        for noun in nouns() {
            let component = noun.shape.name.as_deref().unwrap();
            let schema = &document["components"]["schemas"][component];
            assert!(schema.is_object(), "{component}");
            let last = if noun.keyed {
                format!("/{}/{{{}}}", noun.plural, noun.singular)
            } else {
                format!("/{}", noun.plural)
            };
            let paths = document["paths"].as_object().unwrap();
            let found = paths.iter().find(|(path, _)| path.ends_with(&last));
            let (_, path) = found.unwrap_or_else(|| panic!("no path ends with {last}"));
            for method in ["get", "put", "patch"] {
                assert!(path[method].is_object(), "{method} {last}");
            }
        }
    }

    #[test]
    fn every_component_that_is_named_is_there_and_no_name_means_two_things() {
        let document = document();
        let components = document["components"]["schemas"].as_object().unwrap();
        let text = document.to_string();
        for part in text.split("\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(components.contains_key(name), "{name}");
        }
        assert!(!text.contains("#/$defs/"));
        for name in components.keys() {
            let doubled = name.ends_with(|last: char| last.is_ascii_digit());
            assert!(!doubled, "two types are called like {name}");
        }
    }
}
