//! Rules that can never match, because an earlier rule with an action takes all of their requests.
//!
//! Only single earlier rules are compared, not several together, so that what is reported is certain.

use std::collections::{BTreeSet, HashMap};

use super::found::{Found, service_path};
use crate::config::{Config, HeaderMatch, Match, PathMatch, Rule};
use crate::problem::Code;
use crate::value::HostPattern;

/// The most comparisons in one document. Rules are found by path and host, so that it takes tens of
/// thousands of rules that differ in nothing but header or source to get there; what is left then
/// is not warned of.
const COMPARISONS_MAX: usize = 2_000_000;

pub(super) fn rules_that_never_match(config: &Config, found: &mut Found) {
    let mut comparisons_left = COMPARISONS_MAX;
    for (name, service) in &config.virtual_services {
        let mut earlier = Deciding::default();
        for (i, rule) in service.rules.iter().enumerate() {
            if let Some(first) = earlier.covering(&rule.matches, &mut comparisons_left) {
                let path = service_path(name).key("rules").index(i);
                let message = format!(
                    "the rule `{}` never matches: `{}` before it takes all of its requests",
                    rule.name, first.name
                );
                let help = format!("move it before `{}`, or remove it", first.name);
                found.report(Code::NeverMatches, path, message, help);
            } else if rule.action.is_some() {
                earlier.add(rule);
            }
        }
    }
}

/// The rules so far that have an action, by one condition on the path and one on the host.
#[derive(Default)]
struct Deciding<'a> {
    rules: HashMap<(PathKey<'a>, &'a str), Vec<&'a Rule>>,
    /// How long the prefixes are that occur, each once.
    prefix_lengths: BTreeSet<usize>,
    /// The regular expressions that occur.
    regexes: BTreeSet<&'a str>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum PathKey<'a> {
    Any,
    Exact(&'a str),
    Prefix(&'a str),
    Regex(&'a str),
}

impl<'a> PathKey<'a> {
    fn of(condition: Option<&'a PathMatch>) -> Self {
        match condition {
            None => Self::Any,
            Some(PathMatch::Exact(path)) => Self::Exact(path.as_str()),
            Some(PathMatch::Prefix(path)) => Self::Prefix(path.as_str()),
            Some(PathMatch::Regex(pattern)) => Self::Regex(pattern.as_str()),
        }
    }
}

impl<'a> Deciding<'a> {
    fn add(&mut self, rule: &'a Rule) {
        let path = PathKey::of(rule.matches.path.as_ref());
        match path {
            PathKey::Prefix(prefix) => _ = self.prefix_lengths.insert(prefix.len()),
            PathKey::Regex(regex) => _ = self.regexes.insert(regex),
            PathKey::Any | PathKey::Exact(_) => {}
        }
        let mut file = |host| self.rules.entry((path, host)).or_default().push(rule);
        if rule.matches.host.is_empty() {
            file("");
        }
        for host in &rule.matches.host {
            file(host.as_str().trim_start_matches('*'));
        }
    }

    /// An earlier rule that takes whatever matches these conditions.
    fn covering(&self, later: &'a Match, comparisons_left: &mut usize) -> Option<&'a Rule> {
        for path in self.wider_paths(PathKey::of(later.path.as_ref())) {
            *comparisons_left = comparisons_left.checked_sub(1)?;
            for host in wider_hosts(later) {
                for rule in self.rules.get(&(path, host)).into_iter().flatten() {
                    *comparisons_left = comparisons_left.checked_sub(1)?;
                    if covers(&rule.matches, later) {
                        return Some(rule);
                    }
                }
            }
        }
        None
    }

    /// The conditions on a path under which a rule can be found that takes all of these paths.
    fn wider_paths(&self, path: PathKey<'a>) -> impl Iterator<Item = PathKey<'a>> {
        let (text, regexes) = match path {
            PathKey::Exact(text) => (text, Some(&self.regexes)),
            PathKey::Prefix(text) => (text, None),
            PathKey::Any | PathKey::Regex(_) => ("", None),
        };
        let prefixes = self
            .prefix_lengths
            .range(..=text.len())
            .filter_map(|n| text.get(..*n));
        let regexes = regexes.into_iter().flatten().copied().map(PathKey::Regex);
        let itself = Some(path).filter(|path| !matches!(path, PathKey::Any | PathKey::Prefix(_)));
        std::iter::once(PathKey::Any)
            .chain(itself)
            .chain(prefixes.map(PathKey::Prefix))
            .chain(regexes)
    }
}

/// The conditions on a host under which a rule for all of these hosts can be found: those that the
/// first one fits, and none.
fn wider_hosts(later: &Match) -> impl Iterator<Item = &str> + Clone {
    let first = later.host.first().map(HostPattern::as_str);
    let parents = first.into_iter().flat_map(|host| {
        let dots = host.match_indices('.').map(|(at, _)| at);
        dots.filter_map(move |at| host.get(at..))
    });
    // A pattern `*.domain` is filed from its dot on.
    std::iter::once("").chain(first).chain(parents)
}

/// Whether every request that fits `later` fits `earlier`.
fn covers(earlier: &Match, later: &Match) -> bool {
    let Match {
        host,
        path,
        method,
        header,
        source,
        alpn,
    } = earlier;
    let hosts = host.is_empty()
        || !later.host.is_empty() && later.host.iter().all(|l| host.iter().any(|e| e.covers(l)));
    let paths = path
        .as_ref()
        .is_none_or(|e| later.path.as_ref().is_some_and(|l| path_covers(e, l)));
    let methods = method.is_empty()
        || !later.method.is_empty() && later.method.iter().all(|l| method.contains(l));
    let headers = header
        .iter()
        .all(|(name, e)| later.header.get(name).is_some_and(|l| header_covers(e, l)));
    let sources = source.is_empty()
        || !later.source.is_empty()
            && later
                .source
                .iter()
                .all(|l| source.iter().any(|e| e.covers(*l)));
    let protocols =
        alpn.is_empty() || !later.alpn.is_empty() && later.alpn.iter().all(|l| alpn.contains(l));
    hosts && paths && methods && headers && sources && protocols
}

fn path_covers(earlier: &PathMatch, later: &PathMatch) -> bool {
    match (earlier, later) {
        (PathMatch::Prefix(prefix), PathMatch::Exact(path) | PathMatch::Prefix(path)) => {
            path.as_str().starts_with(prefix.as_str())
        }
        (PathMatch::Regex(pattern), PathMatch::Exact(path)) => {
            pattern.is_match(path.as_str().as_bytes())
        }
        (PathMatch::Exact(_) | PathMatch::Prefix(_) | PathMatch::Regex(_), _) => earlier == later,
    }
}

fn header_covers(earlier: &HeaderMatch, later: &HeaderMatch) -> bool {
    match (earlier, later) {
        (HeaderMatch::Prefix(prefix), HeaderMatch::Exact(text) | HeaderMatch::Prefix(text)) => {
            text.as_str().starts_with(prefix.as_str())
        }
        (HeaderMatch::Regex(pattern), HeaderMatch::Exact(text)) => {
            pattern.is_match(text.as_str().as_bytes())
        }
        (
            HeaderMatch::Present(true),
            HeaderMatch::Exact(_) | HeaderMatch::Prefix(_) | HeaderMatch::Regex(_),
        ) => true,
        (
            HeaderMatch::Exact(_)
            | HeaderMatch::Prefix(_)
            | HeaderMatch::Present(_)
            | HeaderMatch::Regex(_),
            _,
        ) => earlier == later,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, parse};

    /// The names of the rules that never match; each rule is given as its conditions.
    fn dead(rules: &[&str]) -> Vec<usize> {
        let mut text = "[virtual_services.a]\naddress = \"0.0.0.0:80\"\n".to_owned();
        for (i, conditions) in rules.iter().enumerate() {
            let rule = format!(
                "[[virtual_services.a.rules]]\nname = \"r{i}\"\n\
                 match = {{ {conditions} }}\naction = {{ respond = {{ status = 404 }} }}\n"
            );
            text.push_str(&rule);
        }
        let config = parse(&text, Format::Toml).unwrap();
        let mut found = Found::default();
        rules_that_never_match(&config, &mut found);
        let index = |text: &str| text.split('`').nth(1)?.strip_prefix('r')?.parse().ok();
        found
            .warnings
            .iter()
            .map(|problem| index(&problem.message).unwrap())
            .collect()
    }

    #[test]
    fn a_rule_behind_a_wider_one_is_told() {
        assert_eq!(dead(&["", r#"path = { exact = "/" }"#]), [1]);
        assert_eq!(
            dead(&[
                r#"path = { prefix = "/a" }"#,
                r#"path = { prefix = "/ab/" }"#
            ]),
            [1]
        );
        assert_eq!(
            dead(&[r#"path = { regex = "b$" }"#, r#"path = { exact = "/ab" }"#]),
            [1]
        );
        assert_eq!(
            dead(&[r#"host = ["*.b.c", "d"]"#, r#"host = ["a.b.c", "d"]"#]),
            [1]
        );
        assert_eq!(
            dead(&[r#"host = ["*.c"]"#, r#"host = ["*.b.c"], method = ["GET"]"#]),
            [1]
        );
        assert_eq!(
            dead(&[r#"method = ["GET", "PUT"]"#, r#"method = ["PUT"]"#]),
            [1]
        );
        assert_eq!(
            dead(&[r#"source = ["10.0.0.0/8"]"#, r#"source = ["10.1.0.0/16"]"#]),
            [1]
        );
        let headers = [
            "header = { A = { present = true } }",
            r#"header = { a = { exact = "1" } }"#,
        ];
        assert_eq!(dead(&headers), [1]);
    }

    #[test]
    fn a_rule_that_some_request_reaches_is_not_told() {
        assert!(
            dead(&[
                r#"path = { prefix = "/ab/" }"#,
                r#"path = { prefix = "/a" }"#
            ])
            .is_empty()
        );
        assert!(dead(&[r#"path = { exact = "/a" }"#, r#"path = { prefix = "/a" }"#]).is_empty());
        assert!(dead(&[r#"path = { regex = "b" }"#, r#"path = { prefix = "/b" }"#]).is_empty());
        assert!(dead(&[r#"host = ["*.b.c"]"#, r#"host = ["b.c"]"#]).is_empty());
        assert!(dead(&[r#"host = ["a"]"#, r#"host = ["a", "b"]"#]).is_empty());
        assert!(dead(&[r#"host = ["a"]"#, ""]).is_empty());
        assert!(dead(&[r#"method = ["GET"]"#, ""]).is_empty());
        assert!(dead(&[r#"source = ["10.1.0.0/16"]"#, r#"source = ["10.0.0.0/8"]"#]).is_empty());
        assert!(dead(&[r#"source = ["0.0.0.0/0"]"#, r#"source = ["::/0"]"#]).is_empty());
        let headers = [
            r#"header = { A = { exact = "1" } }"#,
            "header = { A = { present = true } }",
        ];
        assert!(dead(&headers).is_empty());
    }
}
