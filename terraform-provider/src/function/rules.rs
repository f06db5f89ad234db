//! Which rule decides on a request that nobody has sent.

use std::net::IpAddr;

use hyper::Uri;
use lb_model::config::Rule;
use lb_model::matching::Asked;
use lb_model::parse::check_value;
use lb_model::problem::Path;
use lb_model::schema::{Kind, Shape, noun};
use lb_model::value::HeaderName;

use super::Wrong;
use crate::document::to_json;
use crate::value::Value;

/// A request that nobody has sent.
struct Question<'a> {
    client: IpAddr,
    method: &'a str,
    host: String,
    url: Uri,
    headers: &'a Value,
}

impl Asked for Question<'_> {
    fn client(&self) -> IpAddr {
        self.client
    }

    fn method(&self) -> &[u8] {
        self.method.as_bytes()
    }

    fn host(&self) -> &[u8] {
        self.host.as_bytes()
    }

    fn path(&self) -> &[u8] {
        self.url.path().as_bytes()
    }

    fn values(&self, name: &HeaderName) -> impl Iterator<Item = &[u8]> {
        let entries = self.headers.entries();
        let named = entries.filter(|(other, _)| name.matches(other.as_bytes()));
        named.filter_map(|(_, value)| value.text().map(str::as_bytes))
    }
}

/// `match_rule(rules, method, url, headers, client)`.
pub(super) fn match_rule(arguments: &[Value]) -> Result<Value, Wrong> {
    let [given, method, url, headers, client] = arguments else {
        return Err(wrong(0, "five arguments are needed"));
    };
    // A value that may be of any type comes with its type.
    let given = given.elements().get(1).unwrap_or(&Value::Null);
    let rules = rules(given)?;
    let text = url.text().unwrap_or_default();
    let url: Uri = text
        .parse()
        .map_err(|error| wrong(2, format!("`{text}` is no URL: {error}")))?;
    let text = client.text().unwrap_or_default();
    let client = text.parse();
    let client = client.map_err(|_| {
        wrong(
            4,
            format!("`{text}` is no address: use one such as 192.0.2.1"),
        )
    })?;
    let host = url
        .host()
        .unwrap_or_default()
        .trim_end_matches('.')
        .to_ascii_lowercase();
    let question = Question {
        client,
        method: method.text().unwrap_or_default(),
        host,
        url,
        headers,
    };
    let mut decides = rules.iter().filter(|rule| rule.action.is_some());
    let found = decides.find(|rule| rule.matches.mismatch(&question).is_none());
    Ok(found.map_or(Value::Null, |rule| Value::from(rule.name.as_str())))
}

fn rules(given: &Value) -> Result<Vec<Rule>, Wrong> {
    let Some(shape) = shape() else {
        return Err(wrong(0, "the model has no rules"));
    };
    let json = to_json(given, &shape);
    if let Some(problem) = check_value(&json, &shape, &Path::root().key("rules")).first() {
        return Err(wrong(
            0,
            format!("{}: {}: {}", problem.path, problem.message, problem.help),
        ));
    }
    serde_json::from_value(json).map_err(|error| wrong(0, error.to_string()))
}

/// The shape of all rules of a virtual service.
fn shape() -> Option<Shape> {
    let rule = noun("rule")?;
    let Kind::Table(fields) = &rule.holder()?.shape.kind else {
        return None;
    };
    let field = fields.iter().find(|field| field.name == rule.plural)?;
    Some((*field.shape).clone())
}

fn wrong(argument: i64, text: impl Into<String>) -> Wrong {
    let text = text.into();
    Wrong { argument, text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn decided(url: &str, headers: serde_json::Value) -> Result<Value, Wrong> {
        let rules = json!([
            { "name": "mark", "match": null, "request_headers": { "set": { "X-Seen": "1" } } },
            { "name": "api", "match": { "path": { "prefix": "/api/", "exact": null } }, "action": { "pool": "api" } },
            { "name": "beta", "match": { "host": ["*.example.com"], "header": { "x-beta": { "exact": "yes" } } },
              "action": { "respond": { "status": 200 } } },
        ]);
        match_rule(&[
            Value::List(vec!["\"dynamic\"".into(), Value::of_json(rules)]),
            "GET".into(),
            url.into(),
            Value::of_json(headers),
            "192.0.2.1".into(),
        ])
    }

    #[test]
    fn the_first_rule_that_matches_and_has_an_action_decides() {
        let none = json!({});
        assert_eq!(
            decided("http://shop.example.com/api/x?y", none.clone()),
            Ok("api".into())
        );
        assert_eq!(decided("http://shop.example.com/", none), Ok(Value::Null));
        let beta = || json!({ "X-Beta": "yes" });
        assert_eq!(
            decided("http://Shop.Example.COM./", beta()),
            Ok("beta".into())
        );
        assert_eq!(decided("http://example.org/", beta()), Ok(Value::Null));
        assert_eq!(decided("http://a b/", beta()).unwrap_err().argument, 2);
    }

    #[test]
    fn what_is_no_list_of_rules_is_told_with_its_place() {
        let rules = json!([{ "name": "a", "match": { "path": { "regex": "(" } }, "action": { "pool": "p" } }]);
        let arguments = [
            Value::List(vec!["x".into(), Value::of_json(rules)]),
            "GET".into(),
            "http://a/".into(),
            Value::Null,
            "192.0.2.1".into(),
        ];
        let told = match_rule(&arguments).unwrap_err();
        assert!(
            told.text.starts_with("rules[0].match.path.regex: "),
            "{}",
            told.text
        );
    }
}
