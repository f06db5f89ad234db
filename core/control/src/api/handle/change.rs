//! Planning and making changes.

use lb_model::api::{
    ApiError, ApplyAnswer, ApplyRequest, ConfirmRequest, PlanAnswer, PlanRequest, RollbackRequest,
    Source, Wanted,
};
use lb_model::config::ServerState;
use lb_model::edit::{Edit, ObjectPath, object};
use lb_model::parse::Format;
use lb_model::value::{Name, Period};
use lb_model::{Config, parse};
use serde_json::{Value, json};

use super::config::{find, object_path};
use super::refusal::{invalid_document, mismatch, refused};
use super::touched;
use crate::api::Observable;
use crate::api::answer::Given;
use crate::api::request::{Ask, Condition, Manner, invalid};
use crate::{Applied, Change, Controller, Engine, Etag, Expected, Proposal, Refused};

pub(super) fn plan<E: Engine + Observable>(
    controller: &Controller<E>,
    ask: &Ask,
) -> Result<Given, ApiError> {
    let request: PlanRequest = ask.json()?;
    let manner = Manner {
        comment: None,
        confirm: None,
        source: Source::Api,
    };
    let mut proposal = proposal(ask, wanted(request.change)?, manner);
    proposal.parent = request.parent;
    let mut planned = controller
        .plan(&proposal)
        .map_err(|refusal| refused(controller, refusal))?;
    touched::count(&mut planned.plan, &controller.engine().status());
    Given::json(&PlanAnswer {
        parent: planned.parent,
        plan: planned.plan,
        warnings: planned.warnings,
    })
}

pub(super) fn apply<E: Engine>(controller: &Controller<E>, ask: &Ask) -> Result<Given, ApiError> {
    let request: ApplyRequest = ask.json()?;
    let manner = Manner {
        comment: request.comment,
        confirm: request.confirm,
        source: request.source,
    };
    let mut proposal = proposal(ask, wanted(request.change)?, manner.check()?);
    proposal.parent = request.parent;
    make(controller, proposal)
}

pub(super) fn rollback<E: Engine>(
    controller: &Controller<E>,
    ask: &Ask,
) -> Result<Given, ApiError> {
    let request: RollbackRequest = ask.json()?;
    let manner = Manner {
        comment: request.comment,
        confirm: request.confirm,
        source: Source::Api,
    };
    let mut proposal = proposal(ask, Change::Rollback(request.number), manner.check()?);
    proposal.parent = request.parent;
    proposal.source = Source::Rollback;
    make(controller, proposal)
}

pub(super) fn confirm<E: Engine>(controller: &Controller<E>, ask: &Ask) -> Result<Given, ApiError> {
    let request: ConfirmRequest = ask.json()?;
    let confirmed = controller.confirm(request.number, &ask.caller);
    Given::json(&confirmed.map_err(|refusal| refused(controller, refusal))?)
}

pub(super) fn put_document<E: Engine>(
    controller: &Controller<E>,
    ask: &Ask,
) -> Result<Given, ApiError> {
    let format = if ask.is_toml {
        Format::Toml
    } else {
        Format::Json
    };
    let config = parse(ask.text()?, format).map_err(invalid_document)?;
    let mut proposal = proposal(ask, Change::Document(Box::new(config)), ask.manner()?);
    match &ask.condition {
        None | Some(Condition::Exists) => {}
        Some(Condition::Absent) => return Err(mismatch("the document", "none", "there is one")),
        Some(Condition::Is(wanted)) => {
            let current = controller.current();
            let found = Etag::of_document(current.config.config()).to_string();
            if *wanted != found {
                return Err(mismatch("the document", wanted, &found));
            }
            // Between this look and the change another may come in: this one is stale then.
            proposal.parent = Some(current.number);
        }
    }
    make(controller, proposal)
}

pub(super) fn put<E: Engine>(controller: &Controller<E>, ask: &Ask) -> Result<Given, ApiError> {
    let path = object_path(ask)?;
    let value = ask.json()?;
    change(controller, ask, &Edit::Put { path, value })
}

pub(super) fn patch<E: Engine>(controller: &Controller<E>, ask: &Ask) -> Result<Given, ApiError> {
    let path = object_path(ask)?;
    let value: Value = ask.json()?;
    find(controller.current().config.config(), &path)?;
    change(controller, ask, &Edit::Patch { path, value })
}

pub(super) fn delete<E: Engine>(controller: &Controller<E>, ask: &Ask) -> Result<Given, ApiError> {
    let path = object_path(ask)?;
    find(controller.current().config.config(), &path)?;
    change(controller, ask, &Edit::Delete { path })
}

pub(super) fn server_state<E: Engine>(
    controller: &Controller<E>,
    ask: &Ask,
    state: ServerState,
) -> Result<Given, ApiError> {
    let segment = |name: &str| ask.segment::<Name>(name);
    let path = format!("pools/{}/servers/{}", segment("pool")?, segment("server")?);
    let path: ObjectPath = path.parse().map_err(|error| invalid(&error))?;
    find(controller.current().config.config(), &path)?;
    let value = json!({ "state": state });
    change(controller, ask, &Edit::Patch { path, value })
}

/// Changes one object, guarded as the request says.
fn change<E: Engine>(
    controller: &Controller<E>,
    ask: &Ask,
    edit: &Edit,
) -> Result<Given, ApiError> {
    let path = edit.path().clone();
    let change = Change::Edits(vec![edit.clone()]);
    let mut proposal = proposal(ask, change, ask.manner()?);
    let Some(condition) = &ask.condition else {
        return make(controller, proposal);
    };
    let (what, wanted) = (format!("`{path}`"), condition.as_str());
    let expected = match condition {
        Condition::Absent => Expected::Absent,
        Condition::Exists => Expected::Exists,
        Condition::Is(tag) => match tag.parse() {
            Ok(tag) => Expected::Is(tag),
            Err(_) => return Err(mismatch(&what, wanted, &tag_of(controller, &path))),
        },
    };
    proposal.expected.push((path.clone(), expected));
    match controller.apply(proposal) {
        Err(Refused::Guarded { .. }) => Err(mismatch(&what, wanted, &tag_of(controller, &path))),
        made => answer(made.map_err(|refusal| refused(controller, refusal))?),
    }
}

/// The tag of an object as it is now.
fn tag_of<E: Engine>(controller: &Controller<E>, path: &ObjectPath) -> String {
    let value = object(controller.current().config.config(), path);
    value.map_or_else(|_| "none".to_owned(), |value| Etag::of(&value).to_string())
}

fn make<E: Engine>(controller: &Controller<E>, proposal: Proposal) -> Result<Given, ApiError> {
    let made = controller.apply(proposal);
    answer(made.map_err(|refusal| refused(controller, refusal))?)
}

fn answer(applied: Applied) -> Result<Given, ApiError> {
    Given::json(&ApplyAnswer {
        revision: applied.revision,
        plan: applied.plan,
        warnings: applied.warnings,
    })
}

fn proposal(ask: &Ask, change: Change, manner: Manner) -> Proposal {
    Proposal {
        author: ask.caller.clone(),
        source: manner.source,
        comment: manner.comment,
        change,
        parent: None,
        expected: Vec::new(),
        confirm: manner.confirm.map(Period::duration),
    }
}

/// What is wanted, with a document read as strictly as one in a file.
fn wanted(wanted: Wanted) -> Result<Change, ApiError> {
    Ok(match wanted {
        Wanted::Document(value) => Change::Document(Box::new(document(&value)?)),
        Wanted::Edits(edits) => Change::Edits(edits),
        Wanted::Rollback(number) => Change::Rollback(number),
    })
}

fn document(value: &Value) -> Result<Config, ApiError> {
    parse(&value.to_string(), Format::Json).map_err(|problems| {
        // The text that they have positions in is ours, not the caller's.
        let problems = problems.into_iter().map(|problem| problem.at(None));
        invalid_document(problems.collect())
    })
}
