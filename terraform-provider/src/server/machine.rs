//! The calls about `lbctl_balancer`: machines, and not what balancers are told.

use super::life::imported_private;
use super::{Server, decoded};
use crate::balancer::{Balancers, DESCRIPTION, TYPE_NAME};
use crate::diagnostic::{Diagnostics, to_wire_path};
use crate::resource::ID;
use crate::schema;
use crate::value::Value;
use crate::ways::Private;
use crate::wire;

/// Whether a type is that of machines.
pub(super) fn is_machine(type_name: &str) -> bool {
    type_name == TYPE_NAME
}

impl Server {
    pub(super) fn balancer_schema(&self) -> (String, wire::Schema) {
        let schema = schema::to_wire(&self.balancers.attributes, DESCRIPTION);
        (TYPE_NAME.to_owned(), schema)
    }

    pub(super) fn balancer_data_schema(&self) -> (String, wire::Schema) {
        let about = Balancers::data_description();
        let schema = schema::to_wire(&self.balancers.data, &about);
        (TYPE_NAME.to_owned(), schema)
    }

    pub(super) fn validate_machine(
        &self,
        request: &wire::ValidateResourceConfigRequest,
    ) -> wire::ValidateResourceConfigResponse {
        let told = decoded(request.config.as_ref())
            .map_or_else(|told| told, |config| self.balancers.validate(&config));
        wire::ValidateResourceConfigResponse {
            diagnostics: Self::told(&told, &self.balancers.attributes),
        }
    }

    pub(super) async fn read_machine(
        &self,
        request: &wire::ReadResourceRequest,
    ) -> wire::ReadResourceResponse {
        let private = Private::read(&request.private);
        let (state, told) = match decoded(request.current_state.as_ref()) {
            Ok(prior) => self.balancers.read(&prior, &private, &self.ways).await,
            Err(told) => (Value::Null, told),
        };
        wire::ReadResourceResponse {
            new_state: Some(state.encode()),
            new_identity: Balancers::identity(&state),
            diagnostics: Self::told(&told, &self.balancers.attributes),
            private: request.private.clone(),
            ..wire::ReadResourceResponse::default()
        }
    }

    pub(super) async fn plan_machine(
        &self,
        request: &wire::PlanResourceChangeRequest,
    ) -> wire::PlanResourceChangeResponse {
        let values = || -> Result<_, Diagnostics> {
            let prior = decoded(request.prior_state.as_ref())?;
            Ok((decoded(request.config.as_ref())?, prior))
        };
        let (config, prior) = match values() {
            Ok(values) => values,
            Err(told) => {
                return wire::PlanResourceChangeResponse {
                    diagnostics: Self::told(&told, &[]),
                    ..wire::PlanResourceChangeResponse::default()
                };
            }
        };
        let private = Private::read(&request.prior_private);
        let planned = self.balancers.plan(&config, &prior, private).await;
        if let Some(id) = prior
            .get(ID)
            .text()
            .filter(|_| planned.private.is_successor)
        {
            self.ways.leave(id);
        }
        let attributes = &self.balancers.attributes;
        let replaced = planned.replaced.iter();
        wire::PlanResourceChangeResponse {
            diagnostics: Self::told(&planned.told, attributes),
            requires_replace: replaced
                .map(|path| to_wire_path(path, attributes))
                .collect(),
            planned_identity: Balancers::identity(&planned.state),
            planned_state: Some(planned.state.encode()),
            planned_private: planned.private.write(),
            ..wire::PlanResourceChangeResponse::default()
        }
    }

    pub(super) async fn apply_machine(
        &self,
        request: &wire::ApplyResourceChangeRequest,
    ) -> wire::ApplyResourceChangeResponse {
        let values = || -> Result<_, Diagnostics> {
            let prior = decoded(request.prior_state.as_ref())?;
            Ok((prior, decoded(request.planned_state.as_ref())?))
        };
        let (prior, planned) = match values() {
            Ok(values) => values,
            Err(told) => {
                return wire::ApplyResourceChangeResponse {
                    new_state: request.prior_state.clone(),
                    diagnostics: Self::told(&told, &[]),
                    ..wire::ApplyResourceChangeResponse::default()
                };
            }
        };
        let private = Private::read(&request.planned_private);
        let applied = self
            .balancers
            .apply(&prior, &planned, private, &self.ways)
            .await;
        wire::ApplyResourceChangeResponse {
            new_identity: Balancers::identity(&applied.state),
            new_state: Some(applied.state.encode()),
            private: applied.private.write(),
            diagnostics: Self::told(&applied.told, &self.balancers.attributes),
        }
    }

    pub(super) fn imported_machine(
        &self,
        request: &wire::ImportResourceStateRequest,
    ) -> Result<wire::ImportResourceStateImportedResource, Diagnostics> {
        let identity = request
            .identity
            .as_ref()
            .and_then(|found| found.identity_data.as_ref());
        let identity = identity.map(|data| decoded(Some(data))).transpose()?;
        let state = self.balancers.imported(&request.id, identity.as_ref())?;
        Ok(wire::ImportResourceStateImportedResource {
            type_name: request.type_name.clone(),
            identity: Balancers::identity(&state),
            state: Some(state.encode()),
            private: imported_private(),
        })
    }

    pub(super) fn validate_machine_data(
        &self,
        request: &wire::ValidateDataResourceConfigRequest,
    ) -> wire::ValidateDataResourceConfigResponse {
        let told = decoded(request.config.as_ref())
            .map_or_else(|told| told, |config| self.balancers.validate(&config));
        wire::ValidateDataResourceConfigResponse {
            diagnostics: Self::told(&told, &self.balancers.data),
        }
    }

    pub(super) async fn read_machine_data(
        &self,
        request: &wire::ReadDataSourceRequest,
    ) -> wire::ReadDataSourceResponse {
        let read = async {
            let config = decoded(request.config.as_ref())?;
            self.balancers.data(&config, &self.ways).await
        };
        let (state, told) = match read.await {
            Ok(state) => (Some(state.encode()), Vec::new()),
            Err(told) => (None, told),
        };
        wire::ReadDataSourceResponse {
            state,
            diagnostics: Self::told(&told, &self.balancers.data),
            deferred: None,
        }
    }
}
