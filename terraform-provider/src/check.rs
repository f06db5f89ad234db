//! What is wrong with the configuration of a resource before anything is done: each value against the
//! model, then the object as a whole, as far as it is known.

use lb_model::problem::{Code, Path};
use lb_model::{Config, Problem};
use serde_json::{Map, Value as Json};

use crate::certificate;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::document::to_json;
use crate::resource::{BALANCER, Resource, Subject, below, is_certificate};
use crate::value::Value;
use crate::ways::address;

/// Looks at a configuration.
pub(crate) fn check(resource: &Resource, config: &Value) -> Diagnostics {
    let mut told = names(resource, config);
    if let Some(Err(error)) = config
        .get(BALANCER)
        .text()
        .map(|balancer| address(balancer).parse::<lb_client::Address>())
    {
        told.push(Diagnostic::error(error.to_string(), error.help()).of(BALANCER));
    }
    let mut object = to_json(config, resource.shape());
    if let Subject::Object(noun) = resource.subject
        && is_certificate(noun)
    {
        told.extend(certificate::validate(config));
        certificate::stand_in(&mut object);
    }
    let unknown = config.unknowns();
    let mut problems = lb_model::parse::check_value(&object, resource.shape(), &Path::root());
    problems.retain(|problem| !unknown.iter().any(|place| problem.path.holds(place)));
    let is_whole = problems.is_empty() && told.is_empty() && unknown.is_empty();
    told.extend(
        problems
            .iter()
            .map(|problem| Diagnostic::of_problem(problem, &problem.path)),
    );
    if is_whole {
        told.extend(alone(resource, config, object));
    }
    told
}

/// The names that are no names.
fn names(resource: &Resource, config: &Value) -> Diagnostics {
    let given = resource
        .keys()
        .into_iter()
        .filter_map(|key| Some((key, config.get(key).text()?)));
    let wrong = given.filter_map(|(key, text)| {
        let error = text.parse::<lb_model::value::Name>().err()?;
        Some(Diagnostic::error(error.reason, format!("Use {}.", error.mend)).of(key))
    });
    wrong.collect()
}

/// What is wrong with the object by itself. What it names is elsewhere, so that nothing is said of that.
fn alone(resource: &Resource, config: &Value, object: Json) -> Diagnostics {
    let Subject::Object(_) = resource.subject else {
        let whole = serde_json::from_value::<Config>(object).map(lb_model::validate);
        let problems = whole.map_or_else(
            |_| Vec::new(),
            |validated| validated.err().unwrap_or_default(),
        );
        return errors(&problems)
            .map(|p| Diagnostic::of_problem(p, &p.path))
            .collect();
    };
    let Ok(Some(path)) = resource.path(config) else {
        return Vec::new();
    };
    if path.holder().is_some() {
        return Vec::new();
    }
    let place = path.place();
    let mut document = object;
    for step in place.steps().iter().rev() {
        if let lb_model::problem::Step::Key(key) = step {
            document = Json::Object(Map::from_iter([(key.to_string(), document)]));
        }
    }
    let validated = serde_json::from_value::<Config>(document).map(lb_model::validate);
    let Ok(Err(problems)) = validated else {
        return Vec::new();
    };
    let ours = errors(&problems).filter(|problem| !names_another(problem));
    ours.filter_map(|problem| {
        let at = below(&problem.path, &place)?;
        Some(Diagnostic::of_problem(problem, &at))
    })
    .collect()
}

fn errors(problems: &[Problem]) -> impl Iterator<Item = &Problem> {
    problems.iter().filter(|problem| problem.is_error())
}

/// Whether a problem is that another object is not there, which here nothing is.
fn names_another(problem: &Problem) -> bool {
    matches!(
        problem.code,
        Code::UnknownPool
            | Code::UnknownCertificate
            | Code::UnknownAuthority
            | Code::UnknownAcmeAccount
            | Code::UnknownObject
    )
}
