//! `lbctl server`, `pool`, `rule` and the like: single objects of the document in force. Which nouns
//! and values there are is read from the schema.

use std::io::{self, IsTerminal};

use lb_model::api::{ApplyRequest, ErrorCode, Source, Wanted};
use lb_model::edit::{Edit, ObjectPath};
use lb_model::plan::Effect;
use lb_model::print::object_to_toml;
use lb_model::schema::Noun;

use super::{certificate, change};
use crate::args::MannerArgs;
use crate::balancer::Balancer;
use crate::fields::{NounCommand, PatchError, Verb, Written, with_removals};
use crate::output;
use crate::report::{Exit, Explained, Failure};
use crate::screen::Screen;
use crate::settings::Settings;

mod table;

/// Why a command of a noun did nothing.
#[derive(Debug, thiserror::Error)]
enum NounError {
    #[error("there is a {} already", _0.title())]
    AlreadyThere(ObjectPath),
}

impl Explained for NounError {
    fn help(&self) -> Option<String> {
        let Self::AlreadyThere(path) = self;
        let command = path.noun().singular.replace('_', "-");
        Some(format!("`lbctl {command} set {}` changes it", names(path)))
    }

    fn exit(&self) -> Exit {
        Exit::Failed
    }
}

pub(super) fn run(
    command: &NounCommand,
    settings: &Settings,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let noun = command.noun;
    if let Verb::Certificate(command) = &command.verb {
        return certificate::run(command, settings, screen);
    }
    // What is wrong with the call is told without a balancer.
    let edits = edits(&command.verb)?;
    let balancer = Balancer::of(settings)?;
    match &command.verb {
        // Done above.
        Verb::Certificate(_) => Ok(Exit::Done),
        Verb::Get(path) => {
            let object = balancer.wait(balancer.client.object(path))?.value;
            output::print(screen, settings.output, &object, |object| {
                object_to_toml(noun.shape, object)
            })?;
            Ok(Exit::Done)
        }
        Verb::List(holder) => {
            let objects = balancer.wait(balancer.client.list(&list_path(noun, holder.as_ref())))?;
            output::print(screen, settings.output, &objects, |objects| {
                table::table(noun, objects)
            })?;
            Ok(Exit::Done)
        }
        Verb::Add(Written { path, manner, .. }) => {
            refuse_present(&balancer, path)?;
            carry_out(&balancer, edits, path, manner, settings, screen)
        }
        Verb::Delete { path, manner } | Verb::Set(Written { path, manner, .. }) => {
            carry_out(&balancer, edits, path, manner, settings, screen)
        }
    }
}

/// What a command changes.
fn edits(verb: &Verb) -> Result<Vec<Edit>, PatchError> {
    let shift = |written: &Written| {
        let path = written.path.clone();
        let place = written.place.clone();
        place.map(|place| Edit::Move { path, place })
    };
    let mut edits = Vec::new();
    match verb {
        Verb::Add(written) => {
            edits.push(Edit::Put {
                path: written.path.clone(),
                value: written.value.clone(),
            });
            edits.extend(shift(written));
        }
        Verb::Delete { path, .. } => edits.push(Edit::Delete { path: path.clone() }),
        Verb::Set(written) => {
            let path = written.path.clone();
            let value = with_removals(written.value.clone(), &written.removals)?;
            if value.as_object().is_some_and(|table| !table.is_empty()) {
                edits.push(Edit::Patch { path, value });
            }
            edits.extend(shift(written));
            if edits.is_empty() {
                let command = written.path.noun().singular.replace('_', "-");
                return Err(PatchError::Nothing(format!("lbctl {command} set")));
            }
        }
        Verb::Certificate(_) | Verb::Get(_) | Verb::List(_) => {}
    }
    Ok(edits)
}

/// A new object does not silently replace one that is there.
fn refuse_present(balancer: &Balancer, path: &ObjectPath) -> Result<(), Failure> {
    match balancer.wait(balancer.client.object(path)) {
        Ok(_) => Err(NounError::AlreadyThere(path.clone()).into()),
        Err(error) if error.code() == Some(ErrorCode::NotFound) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Shows what would be changed and changes it. On a terminal it asks; where there is nobody to ask,
/// what closes nothing is done, and more needs `--yes`.
pub(super) fn carry_out(
    balancer: &Balancer,
    edits: Vec<Edit>,
    path: &ObjectPath,
    manner: &MannerArgs,
    settings: &Settings,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let wanted = Wanted::Edits(edits);
    let planned = match change::ask_for_plan(balancer, wanted.clone()) {
        Ok(planned) => planned,
        Err(error) => return change::told(error, &path.title(), screen),
    };
    if planned.plan.effect() > Effect::Live || io::stdin().is_terminal() {
        change::agree(&planned.plan, manner, screen)?;
    } else {
        screen.note(&change::shown(&planned.plan, screen.paint()));
    }
    let request = ApplyRequest {
        change: wanted,
        parent: Some(planned.parent),
        comment: manner.comment.clone(),
        confirm: manner.confirm,
        source: Source::Cli,
    };
    match balancer.wait(balancer.client.apply(&request)) {
        Ok(applied) => change::tell_applied(&applied, settings, screen),
        Err(error) => change::told(error, &path.title(), screen),
    }
}

/// The names of an object as they are given, `web/iis1`.
fn names(path: &ObjectPath) -> String {
    let names: Vec<_> = path.names().iter().map(ToString::to_string).collect();
    names.join("/")
}

/// The path of all objects of a noun.
fn list_path(noun: &Noun, holder: Option<&ObjectPath>) -> String {
    match holder {
        Some(holder) => format!("{holder}/{}", noun.plural),
        None => noun.plural.to_owned(),
    }
}
