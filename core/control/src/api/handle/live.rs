//! What the balancer is doing now.

use lb_model::api::{ApiError, ErrorCode, ExplainRequest, StatusAnswer, UpgradeAnswer};

use crate::api::Observable;
use crate::api::answer::Given;
use crate::api::request::Ask;
use crate::{Controller, Engine};

pub(super) fn status<E: Engine + Observable>(
    controller: &Controller<E>,
) -> Result<Given, ApiError> {
    let current = controller.current();
    let report = controller.engine().keeper().report(current.config.config());
    let found = report.certificates.into_iter().map(|(name, status)| {
        let told = status.problem.into_iter().chain(status.warnings);
        (name, told.collect::<Vec<_>>())
    });
    Given::json(&StatusAnswer {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        at: crate::now(),
        revision: current.revision.clone(),
        status: controller.engine().status(),
        admin: controller.engine().admin(),
        certificates: found.filter(|(_, told)| !told.is_empty()).collect(),
    })
}

pub(super) fn metrics<E: Engine + Observable>(controller: &Controller<E>) -> Given {
    let format = "text/plain; version=0.0.4; charset=utf-8";
    Given::text(format, controller.engine().metrics())
}

pub(super) fn explain<E: Engine + Observable>(
    controller: &Controller<E>,
    ask: &Ask,
) -> Result<Given, ApiError> {
    let request: ExplainRequest = ask.json()?;
    let current = controller.current();
    let explained = controller.engine().explain(&current.config, &request);
    let explained = explained.map_err(|error| {
        ApiError::new(ErrorCode::BadRequest, error)
            .help("send a request line, header fields and an empty line, each with CR LF")
    })?;
    Given::json(&explained)
}

pub(super) fn upgrade_state<E: Engine + Observable>(
    controller: &Controller<E>,
) -> Result<Given, ApiError> {
    Given::json(&UpgradeAnswer {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        process: std::process::id(),
        state: controller.engine().upgrade_state(),
    })
}

pub(super) fn upgrade<E: Engine + Observable>(
    controller: &Controller<E>,
) -> Result<Given, ApiError> {
    controller.engine().upgrade().map_err(|error| {
        let help = "a document from a file, not from `--config -`, lets `lbctl run` supervise";
        ApiError::new(ErrorCode::Conflict, error.to_string()).help(help)
    })?;
    upgrade_state(controller)
}
