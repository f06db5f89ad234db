//! Tokens and the audit.

use lb_model::api::{self, ApiError, NewToken, TokenRequest, Tokens};
use lb_model::value::Name;

use super::refusal::access_refused;
use crate::Access;
use crate::api::answer::Given;
use crate::api::request::Ask;

pub(super) fn tokens(access: &Access) -> Result<Given, ApiError> {
    Given::json(&Tokens {
        tokens: access.tokens().into_iter().map(Into::into).collect(),
    })
}

pub(super) fn create(access: &Access, ask: &Ask) -> Result<Given, ApiError> {
    let request: TokenRequest = ask.json()?;
    let (token, secret) = access
        .create(&request.into(), &ask.caller.name)
        .map_err(|error| access_refused(&error))?;
    Given::json(&NewToken {
        token: token.into(),
        secret: secret.expose().to_owned(),
    })
}

pub(super) fn revoke(access: &Access, ask: &Ask) -> Result<Given, ApiError> {
    let name: Name = ask.segment("token")?;
    let token = access
        .revoke(&name, &ask.caller.name)
        .map_err(|error| access_refused(&error))?;
    Given::json(&api::Token::from(token))
}

pub(super) fn audit(access: &Access) -> Result<Given, ApiError> {
    Given::json(&access.audit().map_err(|error| access_refused(&error))?)
}
