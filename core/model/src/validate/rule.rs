//! Rules by themselves: names, header edits, answers.

use std::collections::{HashMap, HashSet};

use super::found::{Found, service_path};
use crate::config::{
    Action, Config, FixedResponse, HeaderEdits, HealthCheck, Probe, Redirect, Rule, Unavailable,
};
use crate::problem::{Code, Path};
use crate::value::HeaderName;

/// Fields that say where a message ends or that belong to one connection (RFC 9110 section 7.6.1):
/// the balancer writes them itself.
const FORBIDDEN_FIELDS: [&str; 9] = [
    "Connection",
    "Content-Length",
    "Expect",
    "Keep-Alive",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
];

fn rules(config: &Config) -> impl Iterator<Item = (Path, &Rule)> {
    config.virtual_services.iter().flat_map(|(name, service)| {
        let place = service_path(name).key("rules");
        service
            .rules
            .iter()
            .enumerate()
            .map(move |(i, rule)| (place.index(i), rule))
    })
}

pub(super) fn rule_does_nothing(config: &Config, found: &mut Found) {
    for (path, rule) in rules(config) {
        let edits = !rule.request_headers.is_empty() || !rule.response_headers.is_empty();
        if rule.action.is_none() && !edits {
            let message = format!("the rule `{}` does nothing", rule.name);
            let help = "add an `action`, such as `action = { pool = \"…\" }`, or header edits";
            found.report(Code::RuleDoesNothing, path, message, help);
        }
    }
}

pub(super) fn duplicate_rules(config: &Config, found: &mut Found) {
    for (name, service) in &config.virtual_services {
        let mut names = HashMap::new();
        for (i, rule) in service.rules.iter().enumerate() {
            let earlier = *names.entry(&rule.name).or_insert(i);
            if earlier == i {
                continue;
            }
            let path = service_path(name).key("rules").index(i).key("name");
            let message = format!(
                "rules {} and {} of the virtual service are both named `{}`",
                earlier + 1,
                i + 1,
                rule.name
            );
            found.report(
                Code::DuplicateRule,
                path,
                message,
                "give each rule a name of its own",
            );
        }
    }
}

pub(super) fn header_edits(config: &Config, found: &mut Found) {
    for (path, rule) in rules(config) {
        for (key, edits) in [
            ("request_headers", &rule.request_headers),
            ("response_headers", &rule.response_headers),
        ] {
            if !edits.is_empty() {
                forbidden_fields(edits, &path.key(key), found);
                fields_edited_twice(edits, &path.key(key), found);
            }
        }
    }
}

fn forbidden_fields(edits: &HeaderEdits, path: &Path, found: &mut Found) {
    let HeaderEdits { remove, set, add } = edits;
    let removed = remove
        .iter()
        .enumerate()
        .map(|(i, name)| (path.key("remove").index(i), name));
    let added = add
        .keys()
        .map(|name| (path.key("add").key(name.as_str()), name));
    let set = set
        .keys()
        .map(|name| (path.key("set").key(name.as_str()), name));
    for (path, name) in removed.chain(added) {
        if name.matches(b"Host") {
            let help = "use `set` to replace it";
            let message = "a request has exactly one `Host` field";
            found.report(Code::ForbiddenField, path, message, help);
        } else {
            forbidden_field(name, path, found);
        }
    }
    for (path, name) in set {
        forbidden_field(name, path, found);
    }
}

fn forbidden_field(name: &HeaderName, path: Path, found: &mut Found) {
    if FORBIDDEN_FIELDS
        .iter()
        .any(|field| name.matches(field.as_bytes()))
    {
        let message = format!("`{name}` is the balancer's own: it frames messages or connections");
        let help = format!(
            "remove it; not to be changed are {}",
            FORBIDDEN_FIELDS.join(", ")
        );
        found.report(Code::ForbiddenField, path, message, help);
    }
}

fn fields_edited_twice(edits: &HeaderEdits, path: &Path, found: &mut Found) {
    let HeaderEdits { remove, set, add } = edits;
    let mut report = |path: Path, message: String, help: &str| {
        found.report(Code::FieldEditedTwice, path, message, help);
    };
    let mut removed = HashSet::new();
    for (i, name) in remove.iter().enumerate() {
        let path = path.key("remove").index(i);
        if !removed.insert(name.as_str().to_ascii_lowercase()) {
            report(
                path,
                format!("`{name}` is removed twice"),
                "keep one of the two",
            );
        } else if set.contains_key(name) {
            let message = format!("`{name}` is removed and set");
            report(path, message, "`set` alone replaces what was there");
        }
    }
    for name in add.keys().filter(|name| set.contains_key(*name)) {
        let message = format!("`{name}` is set and added");
        let help = "`set` sends it once, `add` in addition: keep one of the two";
        report(path.key("add").key(name.as_str()), message, help);
    }
}

/// Every redirect and every answer of our own in the document.
pub(super) fn answers(config: &Config, found: &mut Found) {
    for (path, rule) in rules(config) {
        match &rule.action {
            Some(Action::Redirect(answer)) => {
                redirect(answer, &path.key("action").key("redirect"), found);
            }
            Some(Action::Respond(answer)) => {
                respond(answer, &path.key("action").key("respond"), found);
            }
            Some(Action::Pool(_)) | None => {}
        }
    }
    for (name, service) in &config.virtual_services {
        let path = service_path(name).key("unavailable");
        match &service.unavailable {
            Some(Unavailable::Redirect(answer)) => redirect(answer, &path.key("redirect"), found),
            Some(Unavailable::Respond(answer)) => respond(answer, &path.key("respond"), found),
            Some(Unavailable::Close(_) | Unavailable::Pool(_)) | None => {}
        }
    }
}

fn redirect(answer: &Redirect, path: &Path, found: &mut Found) {
    let status = answer.status.get();
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        let message = format!("no browser follows a redirect with status {status}");
        let help = "use 301 or 308 (permanent), 302, 303 or 307 (for now)";
        found.report(Code::NotARedirect, path.key("status"), message, help);
    }
}

fn respond(answer: &FixedResponse, path: &Path, found: &mut Found) {
    let status = answer.status.get();
    if status < 200 {
        let message = format!("status {status} announces an answer and is none");
        found.report(
            Code::NotFinal,
            path.key("status"),
            message,
            "use a status from 200 to 599",
        );
    }
    if matches!(status, 204 | 205 | 304) && !answer.body.is_empty() {
        let message = format!("an answer with status {status} has no body");
        let help = "remove `body`, or use status 200";
        found.report(Code::BodyNotAllowed, path.key("body"), message, help);
    }
}

/// Header fields that an HTTP probe may not send, as the balancer writes them itself.
pub(super) fn probe_fields(check: &HealthCheck, path: &Path, found: &mut Found) {
    let Probe::Http(probe) = &check.probe else {
        return;
    };
    let path = path.key("probe").key("http").key("headers");
    for name in probe.headers.keys() {
        let place = path.key(name.as_str());
        if name.matches(b"Host") {
            let message = "the `Host` field of a probe has a key of its own";
            found.report(
                Code::ForbiddenField,
                place,
                message,
                "use `host` beside `headers`",
            );
        } else {
            forbidden_field(name, place, found);
        }
    }
}
