//! What each operation does, as a function of the request: parse, call the controller, answer. It
//! blocks, and runs where that is welcome.

use lb_model::api::{ApiError, Caller};

use super::Observable;
use super::answer::Given;
use super::openapi::openapi;
use super::request::Ask;
use super::route::Operation;
use super::serve::Service;
use crate::Engine;

mod access;
mod certificate;
mod change;
mod config;
mod history;
mod live;
mod refusal;
mod touched;

/// Does what is asked for.
pub(super) fn handle<E: Engine + Observable>(
    service: &Service<E>,
    ask: &Ask,
) -> Result<Given, ApiError> {
    let Service {
        controller, access, ..
    } = service;
    match ask.route.operation {
        Operation::Apply => change::apply(controller, ask),
        Operation::Audit => access::audit(access),
        Operation::Backup => access::backup(controller, access),
        Operation::Bootstrap => access::bootstrap(access, ask),
        Operation::Caller => Given::json(&Caller {
            name: ask.caller.name.clone(),
            role: ask.caller.role,
        }),
        Operation::Certificates => certificate::list(controller),
        Operation::ChangeUser => access::change_user(access, ask),
        Operation::Confirm => change::confirm(controller, ask),
        Operation::CreateToken => access::create(access, ask),
        Operation::CreateUser => access::create_user(access, ask),
        Operation::DeleteUser => access::delete_user(access, ask),
        Operation::DeleteObject => change::delete(controller, ask),
        Operation::Enrolment => access::prove(controller, access),
        Operation::Explain => live::explain(controller, ask),
        Operation::ImportCertificate => certificate::import(controller, ask),
        Operation::ListObjects => config::list(controller, ask),
        Operation::Metrics => Ok(live::metrics(controller)),
        Operation::OpenApi => Ok(Given::text("application/json", openapi().to_owned())),
        Operation::PatchObject => change::patch(controller, ask),
        Operation::Plan => change::plan(controller, ask),
        Operation::PutAccess => access::restore(access, ask),
        Operation::PutDocument => change::put_document(controller, ask),
        Operation::PutObject => change::put(controller, ask),
        Operation::RequestCertificate => certificate::request(controller, ask),
        Operation::ReadDocument => config::read_document(controller, ask),
        Operation::ReadObject => config::read_object(controller, ask),
        Operation::ReadRevision => history::revision(controller, ask),
        Operation::Revisions => history::revisions(controller, ask),
        Operation::RevokeToken => access::revoke(access, ask),
        Operation::Rollback => change::rollback(controller, ask),
        Operation::ServerState(state) => change::server_state(controller, ask, state),
        Operation::Status => live::status(controller),
        Operation::Tokens => access::tokens(access),
        Operation::Upgrade => live::upgrade(controller),
        Operation::UpgradeState => live::upgrade_state(controller),
        Operation::Users => access::users(access),
        // Answered before it comes here: a stream is not one answer.
        Operation::Events => Given::json(&()),
    }
}
