//! Reading the document in force.

use lb_model::api::{ApiError, ErrorCode};
use lb_model::config::Config;
use lb_model::edit::{ObjectPath, object, objects};
use lb_model::problem::Problem;
use lb_model::schema::nouns;
use lb_model::to_toml;
use serde_json::Value;

use crate::api::answer::Given;
use crate::api::request::{Ask, invalid};
use crate::{Controller, Engine, Etag};

pub(super) fn read_document<E: Engine>(
    controller: &Controller<E>,
    ask: &Ask,
) -> Result<Given, ApiError> {
    let current = controller.current();
    let config = current.config.config();
    let given = if ask.wants_toml {
        Given::text("application/toml", to_toml(config))
    } else {
        Given::json(config)?
    };
    Ok(given.tagged(Etag::of_document(config).to_string()))
}

pub(super) fn read_object<E: Engine>(
    controller: &Controller<E>,
    ask: &Ask,
) -> Result<Given, ApiError> {
    let current = controller.current();
    let config = current.config.config();
    let path = object_path(ask)?;
    let value = find(config, &path)?;
    Ok(Given::json(&value)?.tagged(Etag::of(&value).to_string()))
}

pub(super) fn list<E: Engine>(controller: &Controller<E>, ask: &Ask) -> Result<Given, ApiError> {
    let current = controller.current();
    let path = ask.path.strip_prefix("/config/").unwrap_or_default();
    let (holder, plural) = match path.rsplit_once('/') {
        None => (None, path),
        Some((holder, plural)) => {
            let holder = holder.parse::<ObjectPath>();
            (Some(holder.map_err(|error| invalid(&error))?), plural)
        }
    };
    // The route would not fit if there were no such noun.
    let noun = nouns().iter().find(|noun| noun.plural == plural);
    let missing = || ApiError::new(ErrorCode::NotFound, format!("there is no `{path}`"));
    let noun = noun.ok_or_else(missing)?;
    let found = objects(current.config.config(), noun, holder.as_ref());
    Given::json(&found.map_err(not_found)?)
}

/// The object that the path of a request names.
pub(super) fn object_path(ask: &Ask) -> Result<ObjectPath, ApiError> {
    let text = ask.path.strip_prefix("/config/").unwrap_or_default();
    text.parse().map_err(|error| invalid(&error))
}

/// An object that must be there.
pub(super) fn find(config: &Config, path: &ObjectPath) -> Result<Value, ApiError> {
    object(config, path).map_err(not_found)
}

fn not_found(problem: Problem) -> ApiError {
    ApiError::new(ErrorCode::NotFound, problem.message).help(problem.help)
}
