//! What is looked at and not changed: data sources, lists, functions.

use std::sync::Arc;

use prost::Message;
use tokio::sync::mpsc;

use super::machine::is_machine;
use super::{Server, decoded};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::function::FUNCTIONS;
use crate::grpc::Answer;
use crate::list::{self, Found};
use crate::resource::Resource;
use crate::value::Value;
use crate::wire;

/// How many found objects wait to be sent.
const FOUND_MAX: usize = 16;

impl Server {
    pub(super) fn validate_data(
        &self,
        request: &wire::ValidateDataResourceConfigRequest,
    ) -> wire::ValidateDataResourceConfigResponse {
        if is_machine(&request.type_name) {
            return self.validate_machine_data(request);
        }
        let told = self.resource(&request.type_name).and_then(|resource| {
            let config = decoded(request.config.as_ref())?;
            if !config.is_known() {
                return Ok(Vec::new());
            }
            resource.path(&config).map(|_| Vec::new())
        });
        let attributes = self
            .data_of(&request.type_name)
            .map(|(_, data)| &data.attributes[..]);
        wire::ValidateDataResourceConfigResponse {
            diagnostics: Self::told(
                &told.unwrap_or_else(|told| told),
                attributes.unwrap_or_default(),
            ),
        }
    }

    pub(super) async fn read_data(
        &self,
        request: &wire::ReadDataSourceRequest,
    ) -> wire::ReadDataSourceResponse {
        if is_machine(&request.type_name) {
            return self.read_machine_data(request).await;
        }
        let Ok((resource, data)) = self.data_of(&request.type_name) else {
            let told = self.resource(&request.type_name).err().unwrap_or_default();
            return wire::ReadDataSourceResponse {
                diagnostics: Self::told(&told, &[]),
                ..wire::ReadDataSourceResponse::default()
            };
        };
        let read = async {
            let config = decoded(request.config.as_ref())?;
            let client = self.client(&config)?.ok_or_else(no_balancer)?;
            data.read(resource, &client, &config).await
        };
        let (state, told) = match read.await {
            Ok(state) => (Some(state.encode()), Vec::new()),
            Err(told) => (None, told),
        };
        wire::ReadDataSourceResponse {
            state,
            diagnostics: Self::told(&told, &data.attributes),
            deferred: None,
        }
    }

    fn data_of(&self, type_name: &str) -> Result<(&Resource, &crate::data::Data), Diagnostics> {
        let resource = self.resource(type_name)?;
        let mut both = self.resources.iter().zip(&self.data);
        let found = both.find(|(other, _)| other.type_name == resource.type_name);
        found.ok_or_else(Vec::new)
    }

    pub(super) fn call_function(request: &wire::CallFunctionRequest) -> wire::CallFunctionResponse {
        let failed = |text: String, argument: Option<i64>| wire::CallFunctionResponse {
            result: None,
            error: Some(wire::FunctionError {
                text,
                function_argument: argument,
            }),
        };
        let Some(function) = FUNCTIONS
            .iter()
            .find(|function| function.name == request.name)
        else {
            return failed(
                format!("this provider has no function {}", request.name),
                None,
            );
        };
        let arguments: Result<Vec<_>, _> = request.arguments.iter().map(Value::decode).collect();
        match arguments.map(|arguments| function.call(&arguments)) {
            Ok(Ok(value)) => wire::CallFunctionResponse {
                result: Some(value.encode()),
                error: None,
            },
            Ok(Err(wrong)) => failed(wrong.text, Some(wrong.argument)),
            Err(error) => failed(error.to_string(), None),
        }
    }

    pub(super) fn validate_list(
        &self,
        request: &wire::ValidateListResourceConfigRequest,
    ) -> wire::ValidateListResourceConfigResponse {
        let known = self.resource(&request.type_name).map(|_| Vec::new());
        wire::ValidateListResourceConfigResponse {
            diagnostics: Self::told(&known.unwrap_or_else(|told| told), &[]),
        }
    }

    /// Everything of a kind, one message for each.
    pub(super) fn list(self: &Arc<Self>, request: wire::ListResourceRequest) -> Answer {
        let (sender, receiver) = mpsc::channel(FOUND_MAX);
        let server = Arc::clone(self);
        tokio::spawn(async move {
            let told = match server.found(&request).await {
                Ok((resource, found)) => {
                    let most = usize::try_from(request.limit).unwrap_or(0);
                    let most = if most == 0 { usize::MAX } else { most };
                    for found in found.iter().take(most) {
                        let event = event(resource, found, request.include_resource_object);
                        if sender.send(event.encode_to_vec()).await.is_err() {
                            return;
                        }
                    }
                    return;
                }
                Err(told) => told,
            };
            let event = wire::ListResourceEvent {
                diagnostic: Self::told(&told, &[]),
                ..wire::ListResourceEvent::default()
            };
            // Whoever asked may be gone.
            let _sent = sender.send(event.encode_to_vec()).await;
        });
        Answer::Many(receiver)
    }

    async fn found(
        &self,
        request: &wire::ListResourceRequest,
    ) -> Result<(&Resource, Vec<Found>), Diagnostics> {
        let resource = self.resource(&request.type_name)?;
        let config = decoded(request.config.as_ref())?;
        let client = self.client(&config)?.ok_or_else(no_balancer)?;
        Ok((resource, list::list(resource, &client, &config).await?))
    }
}

fn event(resource: &Resource, found: &Found, with_object: bool) -> wire::ListResourceEvent {
    wire::ListResourceEvent {
        identity: resource.identity(&found.state),
        display_name: found.display_name.clone(),
        resource_object: with_object.then(|| found.state.encode()),
        diagnostic: Vec::new(),
    }
}

/// Something is asked of a balancer that is not known yet.
pub(super) fn no_balancer() -> Diagnostics {
    let detail = "The provider `lbctl` is not configured with a balancer that is known.";
    vec![Diagnostic::error("There is no balancer to ask", detail)]
}
