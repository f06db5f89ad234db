//! What is opened for a run, and what is done at once.

use std::sync::Arc;

use prost::Message;
use tokio::sync::mpsc;

use super::look::no_balancer;
use super::{Server, decoded};
use crate::action::Action;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::ephemeral::{Ephemeral, Opened};
use crate::grpc::Answer;
use crate::resource::BALANCER;
use crate::value::Value;
use crate::wire::{
    self, InvokeActionEventCompleted, InvokeActionEventKind, InvokeActionEventProgress,
};

/// How many lines of progress wait to be sent.
const PROGRESS_MAX: usize = 16;

impl Server {
    fn ephemeral(&self, type_name: &str) -> Result<&Ephemeral, Diagnostics> {
        let found = self
            .ephemerals
            .iter()
            .find(|ephemeral| ephemeral.type_name == type_name);
        found.ok_or_else(|| unknown("ephemeral resource", type_name))
    }

    fn action(&self, type_name: &str) -> Result<&Action, Diagnostics> {
        let found = self
            .actions
            .iter()
            .find(|action| action.type_name == type_name);
        found.ok_or_else(|| unknown("action", type_name))
    }

    pub(super) fn validate_ephemeral(
        &self,
        request: &wire::ValidateEphemeralResourceConfigRequest,
    ) -> wire::ValidateEphemeralResourceConfigResponse {
        let found = self.ephemeral(&request.type_name).and_then(|ephemeral| {
            let config = decoded(request.config.as_ref())?;
            Ok((ephemeral, ephemeral.validate(&config)))
        });
        let diagnostics = match found {
            Ok((ephemeral, told)) => Self::told(&told, &ephemeral.attributes),
            Err(told) => Self::told(&told, &[]),
        };
        wire::ValidateEphemeralResourceConfigResponse { diagnostics }
    }

    pub(super) async fn open(
        &self,
        request: &wire::OpenEphemeralResourceRequest,
    ) -> wire::OpenEphemeralResourceResponse {
        let attributes = self
            .ephemeral(&request.type_name)
            .map(|found| &found.attributes[..]);
        match self.opened(request).await {
            Ok(Opened { result, private }) => wire::OpenEphemeralResourceResponse {
                result: Some(result.encode()),
                private: Some(private),
                ..wire::OpenEphemeralResourceResponse::default()
            },
            Err(told) => wire::OpenEphemeralResourceResponse {
                diagnostics: Self::told(&told, attributes.unwrap_or_default()),
                ..wire::OpenEphemeralResourceResponse::default()
            },
        }
    }

    async fn opened(
        &self,
        request: &wire::OpenEphemeralResourceRequest,
    ) -> Result<Opened, Diagnostics> {
        let ephemeral = self.ephemeral(&request.type_name)?;
        let config = decoded(request.config.as_ref())?;
        let client = if ephemeral.needs_balancer() {
            self.client(&config)?
        } else {
            None
        };
        ephemeral.open(client.as_deref(), &config).await
    }

    pub(super) async fn close(
        &self,
        request: &wire::CloseEphemeralResourceRequest,
    ) -> wire::CloseEphemeralResourceResponse {
        let private = request.private.as_deref().unwrap_or_default();
        let closed = async {
            let ephemeral = self.ephemeral(&request.type_name)?;
            if !ephemeral.needs_balancer() {
                return Ok(Vec::new());
            }
            let balancer = Value::from([(BALANCER, Ephemeral::balancer_of(private))]);
            let client = self.client(&balancer)?.ok_or_else(no_balancer)?;
            Ok(ephemeral.close(&client, private).await)
        };
        let told: Result<_, Diagnostics> = closed.await;
        wire::CloseEphemeralResourceResponse {
            diagnostics: Self::told(&told.unwrap_or_else(|told| told), &[]),
        }
    }

    pub(super) fn validate_action(
        &self,
        request: &wire::ValidateActionConfigRequest,
    ) -> wire::ValidateActionConfigResponse {
        wire::ValidateActionConfigResponse {
            diagnostics: self.looked_at(&request.action_type, request.config.as_ref()),
        }
    }

    pub(super) fn plan_action(
        &self,
        request: &wire::PlanActionRequest,
    ) -> wire::PlanActionResponse {
        wire::PlanActionResponse {
            diagnostics: self.looked_at(&request.action_type, request.config.as_ref()),
            deferred: None,
        }
    }

    fn looked_at(
        &self,
        type_name: &str,
        config: Option<&wire::DynamicValue>,
    ) -> Vec<wire::Diagnostic> {
        let found = self.action(type_name).and_then(|action| {
            let config = decoded(config)?;
            Ok((action, action.validate(&config)))
        });
        match found {
            Ok((action, told)) => Self::told(&told, &action.attributes),
            Err(told) => Self::told(&told, &[]),
        }
    }

    /// Does something, and tells how it goes until it is done.
    pub(super) fn invoke(self: &Arc<Self>, request: wire::InvokeActionRequest) -> Answer {
        let (events, receiver) = mpsc::channel(PROGRESS_MAX);
        let server = Arc::clone(self);
        tokio::spawn(async move {
            let (progress, mut lines) = mpsc::channel(PROGRESS_MAX);
            let told = async {
                let told = server
                    .invoked(&request, &progress)
                    .await
                    .err()
                    .unwrap_or_default();
                drop(progress);
                told
            };
            let passed = async {
                while let Some(message) = lines.recv().await {
                    let progress = InvokeActionEventProgress { message };
                    send(&events, InvokeActionEventKind::Progress(progress)).await;
                }
            };
            let (told, ()) = tokio::join!(told, passed);
            let attributes = server
                .action(&request.action_type)
                .map(|found| &found.attributes[..]);
            let completed = InvokeActionEventCompleted {
                diagnostics: Self::told(&told, attributes.unwrap_or_default()),
            };
            send(&events, InvokeActionEventKind::Completed(completed)).await;
        });
        Answer::Many(receiver)
    }

    async fn invoked(
        &self,
        request: &wire::InvokeActionRequest,
        progress: &mpsc::Sender<String>,
    ) -> Result<(), Diagnostics> {
        let action = self.action(&request.action_type)?;
        let config = decoded(request.config.as_ref())?;
        let client = self.client(&config)?.ok_or_else(no_balancer)?;
        action.invoke(&client, &config, progress).await
    }
}

async fn send(events: &mpsc::Sender<Vec<u8>>, kind: InvokeActionEventKind) {
    let event = wire::InvokeActionEvent { kind: Some(kind) };
    // Whoever asked may be gone.
    let _sent = events.send(event.encode_to_vec()).await;
}

fn unknown(what: &str, type_name: &str) -> Diagnostics {
    let summary = format!("This provider has no {what} {type_name}");
    vec![Diagnostic::error(
        summary,
        "See its documentation for those that it has.",
    )]
}
