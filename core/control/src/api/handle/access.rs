//! Tokens, users and the audit.

use lb_model::api::{
    self, AccessCopy, ApiError, BootstrapRequest, ErrorCode, NewToken, TokenRequest, Tokens,
    UserChange, UserRequest, Users,
};
use lb_model::value::Name;

use super::refusal::access_refused;
use crate::api::Observable;
use crate::api::answer::Given;
use crate::api::request::Ask;
use crate::{Access, Controller, Engine, Secret};

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

pub(super) fn bootstrap(access: &Access, ask: &Ask) -> Result<Given, ApiError> {
    let BootstrapRequest { name } = ask.json()?;
    let secret = ask.bearer.as_ref().map_or("", Secret::expose);
    let (token, secret) = access
        .redeem(secret, &name, &ask.caller.name)
        .map_err(|error| access_refused(&error))?;
    Given::json(&NewToken {
        token: token.into(),
        secret: secret.expose().to_owned(),
    })
}

pub(super) fn prove<E: Engine + Observable>(
    controller: &Controller<E>,
    access: &Access,
) -> Result<Given, ApiError> {
    let admin = controller.engine().admin().ok_or_else(|| {
        ApiError::new(
            ErrorCode::NotFound,
            "the admin API is not served over the network",
        )
    })?;
    let proof = access.prove(&admin.fingerprint);
    Given::json(&proof.map_err(|error| access_refused(&error))?)
}

pub(super) fn users(access: &Access) -> Result<Given, ApiError> {
    Given::json(&Users {
        users: access.users(),
    })
}

pub(super) fn create_user(access: &Access, ask: &Ask) -> Result<Given, ApiError> {
    let request: UserRequest = ask.json()?;
    let made = access.create_user(request, &ask.caller.name);
    Given::json(&made.map_err(|error| access_refused(&error))?)
}

pub(super) fn change_user(access: &Access, ask: &Ask) -> Result<Given, ApiError> {
    let name: Name = ask.segment("user")?;
    let change: UserChange = ask.json()?;
    let changed = access.change_user(&name, change, &ask.caller.name);
    Given::json(&changed.map_err(|error| access_refused(&error))?)
}

pub(super) fn delete_user(access: &Access, ask: &Ask) -> Result<Given, ApiError> {
    let name: Name = ask.segment("user")?;
    let gone = access.delete_user(&name, &ask.caller.name);
    Given::json(&gone.map_err(|error| access_refused(&error))?)
}

pub(super) fn backup<E: Engine>(
    controller: &Controller<E>,
    access: &Access,
) -> Result<Given, ApiError> {
    let bytes = crate::backup::backup(controller, access);
    let body = bytes.map_err(|error| access_refused(&error))?;
    Ok(Given {
        content_type: "application/octet-stream",
        body,
        etag: None,
    })
}

pub(super) fn restore(access: &Access, ask: &Ask) -> Result<Given, ApiError> {
    let copy: AccessCopy = ask.json()?;
    let restored = access.restore(copy, &ask.caller.name);
    restored.map_err(|error| access_refused(&error))?;
    tokens(access)
}
