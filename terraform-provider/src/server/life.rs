//! The life of a resource, from its configuration to its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use lb_client::Client;
use lb_model::problem::Path;

use super::machine::is_machine;
use super::{Server, decoded, unreadable};
use crate::balancer::{Balancers, TYPE_NAME};
use crate::check;
use crate::diagnostic::{Diagnostic, Diagnostics, to_wire_path};
use crate::plan::conformed;
use crate::resource::{BALANCER, ID, Resource};
use crate::schema::Attribute;
use crate::value::Value;
use crate::ways::{Private, Way};
use crate::wire::{self, Identity};

/// What became of a resource, and what there is to say of it.
type Outcome = (Value, Diagnostics);

impl Server {
    pub(super) fn validate_resource(
        &self,
        request: &wire::ValidateResourceConfigRequest,
    ) -> wire::ValidateResourceConfigResponse {
        if is_machine(&request.type_name) {
            return self.validate_machine(request);
        }
        let found = self.resource(&request.type_name).and_then(|resource| {
            let config = decoded(request.config.as_ref())?;
            Ok((resource, check::check(resource, &config)))
        });
        let diagnostics = match found {
            Ok((resource, told)) => Self::told(&told, &resource.attributes),
            Err(told) => Self::told(&told, &[]),
        };
        wire::ValidateResourceConfigResponse { diagnostics }
    }

    pub(super) fn upgrade_state(
        &self,
        request: &wire::UpgradeResourceStateRequest,
    ) -> wire::UpgradeResourceStateResponse {
        let attributes = if is_machine(&request.type_name) {
            Ok(&self.balancers.attributes)
        } else {
            self.resource(&request.type_name)
                .map(|resource| &resource.attributes)
        };
        let upgraded = attributes.and_then(|attributes| {
            let raw = request.raw_state.as_ref().map(|raw| raw.json.as_slice());
            let state = Value::decode_json(raw.unwrap_or_default());
            let state = state.map_err(|error| vec![unreadable(&error)])?;
            Ok(conformed(attributes, &state))
        });
        let (state, told) = match upgraded {
            Ok(state) => (Some(state.encode()), Vec::new()),
            Err(told) => (None, told),
        };
        wire::UpgradeResourceStateResponse {
            upgraded_state: state,
            diagnostics: Self::told(&told, &[]),
        }
    }

    /// Identities have had one form so far.
    pub(super) fn upgrade_identity(
        request: &wire::UpgradeResourceIdentityRequest,
    ) -> wire::UpgradeResourceIdentityResponse {
        let raw = request.raw_identity.as_ref().map(|raw| raw.json.as_slice());
        let value = raw.map_or(Ok(Value::Null), Value::decode_json);
        wire::UpgradeResourceIdentityResponse {
            upgraded_identity: value.ok().map(|value| Identity {
                identity_data: Some(value.encode()),
            }),
            diagnostics: Vec::new(),
        }
    }

    pub(super) fn move_state(
        request: &wire::MoveResourceStateRequest,
    ) -> wire::MoveResourceStateResponse {
        let (from, to) = (&request.source_type_name, &request.target_type_name);
        let summary = format!("A resource {from} cannot become one of {to}");
        let detail = "Take the old one out of the state with a `removed` block, and bring the object \
                      under the new one with an `import` block.";
        wire::MoveResourceStateResponse {
            diagnostics: Self::told(&[Diagnostic::error(summary, detail)], &[]),
            ..wire::MoveResourceStateResponse::default()
        }
    }

    pub(super) fn identity_schemas(&self) -> wire::GetResourceIdentitySchemasResponse {
        let schemas = self
            .resources
            .iter()
            .map(|r| (r.type_name.clone(), r.identity_schema()));
        let machine = (TYPE_NAME.to_owned(), Balancers::identity_schema());
        wire::GetResourceIdentitySchemasResponse {
            identity_schemas: schemas.chain([machine]).collect(),
            diagnostics: Vec::new(),
        }
    }

    pub(super) async fn read_resource(
        &self,
        request: &wire::ReadResourceRequest,
    ) -> wire::ReadResourceResponse {
        if is_machine(&request.type_name) {
            return self.read_machine(request).await;
        }
        let resource = match self.resource(&request.type_name) {
            Ok(resource) => resource,
            Err(told) => {
                return wire::ReadResourceResponse {
                    new_state: request.current_state.clone(),
                    diagnostics: Self::told(&told, &[]),
                    ..wire::ReadResourceResponse::default()
                };
            }
        };
        let private = Private::read(&request.private);
        let (state, told) = match decoded(request.current_state.as_ref()) {
            Ok(prior) => self.refreshed(resource, prior, private.is_imported).await,
            Err(told) => (Value::Null, told),
        };
        wire::ReadResourceResponse {
            new_state: Some(state.encode()),
            new_identity: resource.identity(&state),
            diagnostics: Self::told(&told, &resource.attributes),
            ..wire::ReadResourceResponse::default()
        }
    }

    async fn refreshed(&self, resource: &Resource, prior: Value, is_import: bool) -> Outcome {
        let balancer = prior.get(BALANCER).text();
        match balancer.and_then(|balancer| self.ways.way(balancer)) {
            // Everything that a machine had has gone with it.
            Some(Way::Gone) => return (Value::Null, Vec::new()),
            Some(Way::Closed(_)) => {
                let detail =
                    "Its balancer does not answer, so that its state was taken from before.";
                let told = Diagnostic::warning("The resource was not read", detail);
                return (prior, vec![told.of(BALANCER)]);
            }
            Some(Way::Open(_)) | None => {}
        }
        let client = match self.client(&prior) {
            Ok(Some(client)) => client,
            // Its balancer is about to be made anew, so that there is nothing to read.
            Ok(None) => {
                let detail =
                    "Its balancer is not known yet, so that its state was taken from before.";
                let told = Diagnostic::warning("The resource was not read", detail);
                return (prior, vec![told]);
            }
            Err(told) => return (prior, told),
        };
        match resource.read(&client, &prior, is_import).await {
            Ok(state) => (state, Vec::new()),
            Err(told) => (prior, told),
        }
    }

    /// The way to the balancer that a resource names, or the provider; nothing while it is not known.
    pub(super) fn client(&self, value: &Value) -> Result<Option<Arc<Client>>, Diagnostics> {
        let balancer = value.get(BALANCER).text();
        if let Some(client) = balancer.and_then(|balancer| self.ways.client(balancer)) {
            return client.map(Some).map_err(|error| {
                Diagnostic::of_client(&error, "The balancer cannot be reached", |_| None)
            });
        }
        let Some(provider) = self.provider.get() else {
            return Ok(None);
        };
        provider
            .client(value.get(BALANCER))
            .map_err(|told| vec![told])
    }

    pub(super) async fn plan_change(
        &self,
        request: &wire::PlanResourceChangeRequest,
    ) -> wire::PlanResourceChangeResponse {
        if is_machine(&request.type_name) {
            return self.plan_machine(request).await;
        }
        let found = self.resource(&request.type_name).and_then(|resource| {
            let prior = decoded(request.prior_state.as_ref())?;
            Ok((resource, decoded(request.config.as_ref())?, prior))
        });
        let (resource, config, prior) = match found {
            Ok(found) => found,
            Err(told) => {
                return wire::PlanResourceChangeResponse {
                    diagnostics: Self::told(&told, &[]),
                    ..wire::PlanResourceChangeResponse::default()
                };
            }
        };
        let (planned, mut replaced) = resource.plan(&config, &prior);
        // What is on a balancer goes with it, when one of another name comes in its place.
        let next = planned.get(BALANCER).is_unknown();
        if next && self.ways.is_leaving(prior.get(BALANCER)) {
            replaced.push(Path::root().key(BALANCER));
        }
        let replaced = replaced
            .iter()
            .map(|path| to_wire_path(path, &resource.attributes));
        let conflict = self.owners.conflict(resource, &planned);
        let told: Diagnostics = conflict.into_iter().collect();
        wire::PlanResourceChangeResponse {
            diagnostics: Self::told(&told, &resource.attributes),
            planned_state: Some(planned.encode()),
            requires_replace: replaced.collect(),
            planned_identity: resource.identity(&planned),
            ..wire::PlanResourceChangeResponse::default()
        }
    }

    pub(super) async fn apply_change(
        &self,
        request: &wire::ApplyResourceChangeRequest,
    ) -> wire::ApplyResourceChangeResponse {
        if is_machine(&request.type_name) {
            return self.apply_machine(request).await;
        }
        let resource = match self.resource(&request.type_name) {
            Ok(resource) => resource,
            Err(told) => {
                return wire::ApplyResourceChangeResponse {
                    new_state: request.prior_state.clone(),
                    diagnostics: Self::told(&told, &[]),
                    ..wire::ApplyResourceChangeResponse::default()
                };
            }
        };
        let values = || {
            let prior = decoded(request.prior_state.as_ref())?;
            let planned = decoded(request.planned_state.as_ref())?;
            Ok((prior, planned, decoded(request.config.as_ref())?))
        };
        let (state, told) = match values() {
            Ok((prior, planned, config)) => self.applied(resource, prior, &planned, &config).await,
            Err(told) => (Value::Null, told),
        };
        wire::ApplyResourceChangeResponse {
            new_state: Some(state.encode()),
            new_identity: resource.identity(&state),
            diagnostics: Self::told(&told, &resource.attributes),
            private: Vec::new(),
        }
    }

    async fn applied(
        &self,
        resource: &Resource,
        prior: Value,
        planned: &Value,
        config: &Value,
    ) -> Outcome {
        if self.stopping.load(Ordering::Relaxed) {
            let detail = "Terraform was interrupted before this change was begun.";
            return (
                prior,
                vec![Diagnostic::error("Nothing was changed", detail)],
            );
        }
        let named = if planned.is_null() { &prior } else { planned };
        let client = match self.client(named) {
            Ok(Some(client)) => client,
            Ok(None) => {
                let detail =
                    "The provider `lbctl` is not configured with a balancer that is known.";
                let told = Diagnostic::error("There is no balancer to change", detail);
                return (prior, vec![told]);
            }
            Err(told) => return (prior, told),
        };
        let done = if planned.is_null() {
            resource.delete(&client, &prior).await.map(|()| Value::Null)
        } else {
            resource.apply(&client, &prior, planned, config).await
        };
        match done {
            Ok(state) => (state, Vec::new()),
            Err(told) => (prior, told),
        }
    }

    pub(super) fn import_state(
        &self,
        request: &wire::ImportResourceStateRequest,
    ) -> wire::ImportResourceStateResponse {
        let imported = if is_machine(&request.type_name) {
            self.imported_machine(request)
        } else {
            self.imported(request)
        };
        let (imported_resources, told) = match imported {
            Ok(imported) => (vec![imported], Vec::new()),
            Err(told) => (Vec::new(), told),
        };
        wire::ImportResourceStateResponse {
            imported_resources,
            diagnostics: Self::told(&told, &[]),
            deferred: None,
        }
    }

    fn imported(
        &self,
        request: &wire::ImportResourceStateRequest,
    ) -> Result<wire::ImportResourceStateImportedResource, Diagnostics> {
        let resource = self.resource(&request.type_name)?;
        let identity = request
            .identity
            .as_ref()
            .and_then(|found| found.identity_data.as_ref());
        let named = match identity {
            Some(identity) => {
                let identity = decoded(Some(identity))?;
                let keys = resource.keys().into_iter().chain([BALANCER]);
                keys.map(|key| (key, identity.get(key).clone())).collect()
            }
            None => resource.names_of(&request.id)?,
        };
        let nothing = |attribute: &Attribute| (attribute.name.clone(), Value::Null);
        let mut entries: BTreeMap<_, _> = resource.attributes.iter().map(nothing).collect();
        entries.extend(
            named
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value)),
        );
        let id = resource.id_of(&Value::Map(entries.clone()));
        entries.insert(ID.to_owned(), id);
        let state = Value::Map(entries);
        // A name that cannot be one is told of here, where nothing was asked of the balancer yet.
        resource.path(&state)?;
        Ok(wire::ImportResourceStateImportedResource {
            type_name: request.type_name.clone(),
            identity: resource.identity(&state),
            state: Some(state.encode()),
            private: imported_private(),
        })
    }
}

/// What is kept with an imported resource until it was read first.
pub(super) fn imported_private() -> Vec<u8> {
    let private = Private {
        is_imported: true,
        ..Private::default()
    };
    private.write()
}
