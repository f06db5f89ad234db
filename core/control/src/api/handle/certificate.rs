//! Certificates that the balancer keeps, and how all of them are.

use lb_model::api::{ApiError, CertificateImport, ErrorCode, KeptCertificate, SigningRequest};

use super::refusal::refused;
use crate::api::Observable;
use crate::api::answer::Given;
use crate::api::request::Ask;
use crate::certificate::Unusable;
use crate::{Controller, Engine};

pub(super) fn list<E: Engine + Observable>(controller: &Controller<E>) -> Result<Given, ApiError> {
    let current = controller.current();
    let keeper = controller.engine().keeper();
    Given::json(&keeper.report(current.config.config()))
}

pub(super) fn import<E: Engine + Observable>(
    controller: &Controller<E>,
    ask: &Ask,
) -> Result<Given, ApiError> {
    let request: CertificateImport = ask.json()?;
    let kept = controller.engine().keeper().import(request);
    let kept = kept.map_err(|error| unusable(&error))?;
    let detail = kept.facts.fingerprint.to_string();
    controller.note(&ask.caller, "certificate_import", detail);
    // It may be in force already, and have got other certificates on its way to a root.
    controller
        .refresh()
        .map_err(|refusal| refused(controller, refusal))?;
    Given::json(&KeptCertificate {
        facts: kept.facts,
        warnings: kept.warnings,
    })
}

pub(super) fn request<E: Engine + Observable>(
    controller: &Controller<E>,
    ask: &Ask,
) -> Result<Given, ApiError> {
    let request: SigningRequest = ask.json()?;
    let made = controller.engine().keeper().request(&request);
    let made = made.map_err(|error| unusable(&error))?;
    let names: Vec<_> = request.names.iter().map(ToString::to_string).collect();
    controller.note(&ask.caller, "certificate_request", names.join(", "));
    Given::json(&made)
}

fn unusable(error: &Unusable) -> ApiError {
    let code = match error {
        // Of what was sent nothing is in a file.
        Unusable::File { .. }
        | Unusable::VaultKey { .. }
        | Unusable::Sealed { .. }
        | Unusable::NotKept(_) => ErrorCode::Internal,
        Unusable::TooMany(_) | Unusable::TooManyRequests(_) => ErrorCode::Conflict,
        Unusable::NotMade { .. }
        | Unusable::Holds { .. }
        | Unusable::Damaged { .. }
        | Unusable::SeveralKeys { .. }
        | Unusable::NoPassword { .. }
        | Unusable::WrongPassword { .. }
        | Unusable::Encryption { .. }
        | Unusable::KeyKind { .. }
        | Unusable::OtherKey { .. }
        | Unusable::NoKey { .. }
        | Unusable::Rejected { .. }
        | Unusable::Expired { .. }
        | Unusable::NotYet { .. } => ErrorCode::BadRequest,
    };
    ApiError::new(code, error.to_string()).help(error.help())
}
