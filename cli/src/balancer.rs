//! The balancer that commands talk to.

use std::future::Future;

use lb_client::{Address, Client, ClientError, InvalidAddress};
use lb_model::api::ErrorCode;
use tokio::runtime::{Builder, Runtime};

use crate::report::{Exit, Explained, Failure};
use crate::settings::{Secret, Settings};

/// A balancer that can be asked, and what carries the asking.
pub(crate) struct Balancer {
    pub(crate) client: Client,
    runtime: Runtime,
}

/// The program itself cannot begin to ask.
#[derive(Debug, thiserror::Error)]
#[error("cannot start an event loop")]
struct RuntimeError(#[source] std::io::Error);

impl Explained for RuntimeError {
    fn help(&self) -> Option<String> {
        None
    }

    fn exit(&self) -> Exit {
        Exit::Failed
    }
}

impl Explained for InvalidAddress {
    fn help(&self) -> Option<String> {
        Some(Self::help(self))
    }

    fn exit(&self) -> Exit {
        Exit::Misuse
    }
}

impl Explained for ClientError {
    fn help(&self) -> Option<String> {
        Self::help(self)
    }

    fn exit(&self) -> Exit {
        match self.code() {
            Some(ErrorCode::BadRequest | ErrorCode::InvalidDocument) => Exit::Misuse,
            Some(
                ErrorCode::Busy
                | ErrorCode::CannotApply
                | ErrorCode::Conflict
                | ErrorCode::Forbidden
                | ErrorCode::Internal
                | ErrorCode::MethodNotAllowed
                | ErrorCode::NotFound
                | ErrorCode::PreconditionFailed
                | ErrorCode::Stale
                | ErrorCode::Timeout
                | ErrorCode::TooLarge
                | ErrorCode::TooManyAttempts
                | ErrorCode::Unauthorized
                | ErrorCode::UnsupportedType,
            )
            | None => Exit::Failed,
        }
    }
}

impl Balancer {
    /// The balancer that the settings name: without one, that of this machine.
    pub(crate) fn of(settings: &Settings) -> Result<Self, Failure> {
        Self::with_token(settings, settings.token()?.as_ref())
    }

    /// The same, for the bearer of this token.
    pub(crate) fn with_token(settings: &Settings, token: Option<&Secret>) -> Result<Self, Failure> {
        let address = Self::address(settings)?;
        let token = token.map(Secret::text);
        let certificate = settings.client_certificate()?;
        let client = Client::new(address, token, &settings.trust(), certificate.as_ref())?;
        let runtime = runtime()?;
        Ok(Self { client, runtime })
    }

    /// Where it is.
    pub(crate) fn address(settings: &Settings) -> Result<Address, InvalidAddress> {
        match &settings.balancer {
            Some(text) => text.parse(),
            None => Ok(Address::Unix(settings.state_dir.join("admin.sock"))),
        }
    }

    /// Waits for an answer.
    pub(crate) fn wait<T>(&self, answer: impl Future<Output = T>) -> T {
        self.runtime.block_on(answer)
    }
}

/// Waits for an answer that does not come from the balancer of the settings.
pub(crate) fn wait<T>(answer: impl Future<Output = T>) -> Result<T, Failure> {
    Ok(runtime()?.block_on(answer))
}

fn runtime() -> Result<Runtime, RuntimeError> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.map_err(RuntimeError)
}
