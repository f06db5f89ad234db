//! The calls that Terraform makes, each to what answers it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use prost::Message;
use tokio::sync::Notify;

use crate::action::{Action, actions};
use crate::balancer::{self, Balancers};
use crate::data::Data;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::ephemeral::{Ephemeral, ephemerals};
use crate::function::FUNCTIONS;
use crate::grpc::{Answer, Service, Status};
use crate::list;
use crate::log::{Level, log};
use crate::provider::{self, Provider};
use crate::resource::{Resource, resources};
use crate::schema::{self, Attribute};
use crate::value::{DecodeError, Value};
use crate::ways::Ways;
use crate::wire::{self, DynamicValue, Empty};

mod act;
mod life;
mod look;
mod machine;
mod owners;

use owners::Owners;

/// Everything that this provider has.
pub(crate) struct Server {
    provider_attributes: Vec<Attribute>,
    resources: Vec<Resource>,
    /// The data source beside each resource.
    data: Vec<Data>,
    ephemerals: Vec<Ephemeral>,
    actions: Vec<Action>,
    /// Balancers on machines, whose objects the resources are.
    balancers: Balancers,
    /// The ways to those.
    ways: Ways,
    /// How balancers are reached, once Terraform has said so.
    provider: OnceLock<Provider>,
    owners: Owners,
    /// Whether Terraform wants everything to end.
    stopping: AtomicBool,
    /// Wakes who waits for the end of the process.
    ended: Notify,
}

impl Service for Server {
    async fn call(self: Arc<Self>, path: String, message: Bytes) -> Result<Answer, Status> {
        let started = std::time::Instant::now();
        let answer = Arc::clone(&self).dispatch(&path, message).await;
        let micros = started.elapsed().as_micros();
        log(
            Level::Debug,
            "answered a call",
            &[("rpc", &path), ("micros", &micros)],
        );
        answer
    }
}

impl Server {
    pub(crate) fn new() -> Self {
        let resources = resources();
        Self {
            provider_attributes: provider::attributes(),
            data: resources.iter().map(Data::of).collect(),
            resources,
            ephemerals: ephemerals(),
            actions: actions(),
            balancers: Balancers::new(),
            ways: Ways::default(),
            provider: OnceLock::new(),
            owners: Owners::default(),
            stopping: AtomicBool::new(false),
            ended: Notify::new(),
        }
    }

    /// Waits until Terraform says that this is over.
    pub(crate) async fn ended(&self) {
        self.ended.notified().await;
    }

    async fn dispatch(self: Arc<Self>, path: &str, message: Bytes) -> Result<Answer, Status> {
        let Some(method) = path.strip_prefix("/tfplugin6.Provider/") else {
            return self.plugin(path);
        };
        match method {
            "GetMetadata" => one(self.metadata()),
            "GetProviderSchema" => one(self.schemas()),
            "GetResourceIdentitySchemas" => one(self.identity_schemas()),
            "ValidateProviderConfig" => one(self.validate_provider(&read(message)?)),
            "ConfigureProvider" => one(self.configure(&read(message)?)),
            "ValidateResourceConfig" => one(self.validate_resource(&read(message)?)),
            "UpgradeResourceState" => one(self.upgrade_state(&read(message)?)),
            "UpgradeResourceIdentity" => one(Self::upgrade_identity(&read(message)?)),
            "ReadResource" => one(self.read_resource(&read(message)?).await),
            "PlanResourceChange" => one(self.plan_change(&read(message)?).await),
            "ApplyResourceChange" => one(self.apply_change(&read(message)?).await),
            "ImportResourceState" => one(self.import_state(&read(message)?)),
            "MoveResourceState" => one(Self::move_state(&read(message)?)),
            "GetFunctions" => one(Self::functions()),
            "CallFunction" => one(Self::call_function(&read(message)?)),
            "ValidateDataResourceConfig" => one(self.validate_data(&read(message)?)),
            "ReadDataSource" => one(self.read_data(&read(message)?).await),
            "ValidateEphemeralResourceConfig" => one(self.validate_ephemeral(&read(message)?)),
            "OpenEphemeralResource" => one(self.open(&read(message)?).await),
            "RenewEphemeralResource" => one(wire::RenewEphemeralResourceResponse::default()),
            "CloseEphemeralResource" => one(self.close(&read(message)?).await),
            "ValidateListResourceConfig" => one(self.validate_list(&read(message)?)),
            "ListResource" => Ok(self.list(read(message)?)),
            "ValidateActionConfig" => one(self.validate_action(&read(message)?)),
            "PlanAction" => one(self.plan_action(&read(message)?)),
            "InvokeAction" => Ok(self.invoke(read(message)?)),
            "StopProvider" => {
                // What is being written is finished: each write is short, and half of one is none. So is the
                // step that is being done to a machine.
                self.stopping.store(true, Ordering::Relaxed);
                self.balancers.stop();
                log(Level::Info, "Terraform asks to stop", &[]);
                one(wire::StopProviderResponse::default())
            }
            _ => Err(Status::unimplemented(path)),
        }
    }

    /// The services of go-plugin itself.
    fn plugin(&self, path: &str) -> Result<Answer, Status> {
        match path {
            "/grpc.health.v1.Health/Check" => one(wire::Healthy { status: 1 }),
            "/plugin.GRPCController/Shutdown" => {
                self.ended.notify_one();
                one(Empty {})
            }
            // Streams that say nothing, and stay open until the end.
            "/plugin.GRPCStdio/StreamStdio" | "/plugin.GRPCBroker/StartStream" => {
                let (sender, receiver) = tokio::sync::mpsc::channel(1);
                tokio::spawn(async move {
                    sender.closed().await;
                });
                Ok(Answer::Many(receiver))
            }
            _ => Err(Status::unimplemented(path)),
        }
    }

    fn metadata(&self) -> wire::GetMetadataResponse {
        let name = |type_name: &str| wire::TypeName {
            type_name: type_name.to_owned(),
        };
        let all = || {
            let resources = self.resources.iter();
            let names = resources.map(|resource| name(&resource.type_name));
            names.chain([name(balancer::TYPE_NAME)]).collect()
        };
        let listed = self
            .resources
            .iter()
            .filter(|resource| list::attributes(resource).is_some());
        wire::GetMetadataResponse {
            server_capabilities: Some(capabilities()),
            resources: all(),
            data_sources: all(),
            ephemeral_resources: self.ephemerals.iter().map(|e| name(e.type_name)).collect(),
            list_resources: listed.map(|resource| name(&resource.type_name)).collect(),
            actions: self
                .actions
                .iter()
                .map(|action| name(action.type_name))
                .collect(),
            functions: FUNCTIONS
                .iter()
                .map(|function| wire::FunctionName {
                    name: function.name.to_owned(),
                })
                .collect(),
            diagnostics: Vec::new(),
        }
    }

    fn schemas(&self) -> wire::GetProviderSchemaResponse {
        let resources = self.resources.iter().map(|resource| {
            let schema = schema::to_wire(&resource.attributes, &resource.description);
            (resource.type_name.clone(), schema)
        });
        let data = self
            .resources
            .iter()
            .zip(&self.data)
            .map(|(resource, data)| {
                let schema = schema::to_wire(&data.attributes, &data.description);
                (resource.type_name.clone(), schema)
            });
        let lists = self.resources.iter().filter_map(|resource| {
            let attributes = list::attributes(resource)?;
            let schema = schema::to_wire(&attributes, &resource.description);
            Some((resource.type_name.clone(), schema))
        });
        let ephemerals = self.ephemerals.iter().map(|ephemeral| {
            let schema = schema::to_wire(&ephemeral.attributes, ephemeral.description);
            (ephemeral.type_name.to_owned(), schema)
        });
        let actions = self.actions.iter().map(|action| {
            let schema = schema::to_wire(&action.attributes, action.description);
            let schema = Some(schema);
            (action.type_name.to_owned(), wire::ActionSchema { schema })
        });
        wire::GetProviderSchemaResponse {
            provider: Some(schema::to_wire(
                &self.provider_attributes,
                provider::DESCRIPTION,
            )),
            resource_schemas: resources.chain([self.balancer_schema()]).collect(),
            data_source_schemas: data.chain([self.balancer_data_schema()]).collect(),
            list_resource_schemas: lists.collect(),
            ephemeral_resource_schemas: ephemerals.collect(),
            action_schemas: actions.collect(),
            functions: Self::functions().functions,
            server_capabilities: Some(capabilities()),
            ..wire::GetProviderSchemaResponse::default()
        }
    }

    fn functions() -> wire::GetFunctionsResponse {
        let all = FUNCTIONS
            .iter()
            .map(|function| (function.name.to_owned(), function.to_wire()));
        wire::GetFunctionsResponse {
            functions: all.collect(),
            diagnostics: Vec::new(),
        }
    }

    fn validate_provider(
        &self,
        request: &wire::ValidateProviderConfigRequest,
    ) -> wire::ValidateProviderConfigResponse {
        let told = decoded(request.config.as_ref())
            .map_or_else(|told| told, |config| Provider::validate(&config));
        wire::ValidateProviderConfigResponse {
            diagnostics: Self::told(&told, &self.provider_attributes),
        }
    }

    fn configure(
        &self,
        request: &wire::ConfigureProviderRequest,
    ) -> wire::ConfigureProviderResponse {
        let configured =
            decoded(request.config.as_ref()).and_then(|config| Provider::configure(&config));
        let told = match configured {
            Ok(provider) => match self.provider.set(provider) {
                Ok(()) => Vec::new(),
                Err(_) => vec![Diagnostic::error(
                    "The provider is configured twice",
                    "This is an error of Terraform, or of this provider: please report it.",
                )],
            },
            Err(told) => told,
        };
        wire::ConfigureProviderResponse {
            diagnostics: Self::told(&told, &self.provider_attributes),
        }
    }

    /// The resource of a type.
    fn resource(&self, type_name: &str) -> Result<&Resource, Diagnostics> {
        let found = self
            .resources
            .iter()
            .find(|resource| resource.type_name == type_name);
        found.ok_or_else(|| {
            let summary = format!("This provider has no resource {type_name}");
            vec![Diagnostic::error(
                summary,
                "See its documentation for those that it has.",
            )]
        })
    }

    fn told(told: &[Diagnostic], attributes: &[Attribute]) -> Vec<wire::Diagnostic> {
        told.iter()
            .map(|diagnostic| diagnostic.to_wire(attributes))
            .collect()
    }
}

fn capabilities() -> wire::ServerCapabilities {
    wire::ServerCapabilities {
        get_provider_schema_optional: true,
        ..wire::ServerCapabilities::default()
    }
}

/// Reads a message.
fn read<T: Message + Default>(message: Bytes) -> Result<T, Status> {
    T::decode(message)
        .map_err(|error| Status::invalid(format!("a message cannot be read: {error}")))
}

#[expect(
    clippy::unnecessary_wraps,
    clippy::needless_pass_by_value,
    reason = "every call is answered with a result, made for it"
)]
fn one(message: impl Message) -> Result<Answer, Status> {
    Ok(Answer::One(message.encode_to_vec()))
}

/// A value of a message; one that is not there is null.
fn decoded(value: Option<&DynamicValue>) -> Result<Value, Diagnostics> {
    let decoded = value.map_or(Ok(Value::Null), Value::decode);
    decoded.map_err(|error| vec![unreadable(&error)])
}

fn unreadable(error: &DecodeError) -> Diagnostic {
    let detail = "This is an error of Terraform, or of this provider: please report it.";
    Diagnostic::error(error.to_string(), detail)
}
