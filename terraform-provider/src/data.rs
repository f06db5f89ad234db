//! Data sources: every noun as it is now, with what the balancer does with it. What changes by itself
//! is here and in no resource, so that traffic is never drift.

use lb_client::{Client, ClientError};
use lb_model::api::CertificateStatus;
use lb_model::schema::{Noun, Shape, shape_of};
use lb_model::status::{PoolStatus, ServerStatus, VirtualServiceStatus};
use serde_json::Value as Json;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::document::to_value;
use crate::resource::{BALANCER, Resource, Subject};
use crate::schema::{Attribute, Kind, Nesting, Presence, attributes};
use crate::value::Value;

/// What the balancer does with an object now.
const STATUS: &str = "status";

/// A data source.
pub(crate) struct Data {
    pub(crate) description: String,
    pub(crate) attributes: Vec<Attribute>,
    /// What the balancer tells of such an object while it runs, if anything.
    status: Option<Shape>,
}

impl Data {
    /// The data source beside a resource.
    pub(crate) fn of(resource: &Resource) -> Self {
        let keys = resource.keys();
        let entry = |attribute: &Attribute| {
            let is_key = keys.contains(&&*attribute.name) || attribute.name == BALANCER;
            let is_read = attribute.presence != Presence::WriteOnly;
            let mut entry = if is_key {
                attribute.clone()
            } else {
                attribute.computed()
            };
            entry.replaces = false;
            is_read.then_some(entry)
        };
        let mut all: Vec<_> = resource.attributes.iter().filter_map(entry).collect();
        let status = status_shape(resource);
        if let Some(shape) = &status {
            let kind = Kind::Nested(Nesting::Single, attributes(shape).into());
            let about = "What the balancer does with it now; absent while it is not served.";
            all.push(Attribute::new(STATUS, kind, Presence::Computed, about).computed());
        }
        Self {
            description: format!("{} As it is now.", resource.description),
            attributes: all,
            status,
        }
    }

    /// What is there now.
    pub(crate) async fn read(
        &self,
        resource: &Resource,
        client: &Client,
        config: &Value,
    ) -> Result<Value, Diagnostics> {
        let state = resource.read(client, config, true).await?;
        let Value::Map(mut entries) = state else {
            return Err(vec![absent(resource, config)]);
        };
        if let Some(shape) = &self.status {
            let told = status(resource, client, config).await;
            let told = told.map_err(|error| {
                Diagnostic::of_client(&error, "Its status could not be read", |_| None)
            })?;
            let value = told.map_or(Value::Null, |json| to_value(&json, shape));
            entries.insert(STATUS.to_owned(), value);
        }
        entries.retain(|name, _| {
            self.attributes
                .iter()
                .any(|attribute| attribute.name == *name)
        });
        Ok(Value::Map(entries))
    }
}

fn absent(resource: &Resource, config: &Value) -> Diagnostic {
    let id = resource.id_of(config);
    let words = match resource.subject {
        Subject::Object(noun) => noun.words(),
        Subject::Document => "configuration".to_owned(),
    };
    let summary = format!("There is no {words} `{}`", id.text().unwrap_or_default());
    let told = Diagnostic::error(summary, "See `lbctl status` for what there is.");
    match resource.keys().last() {
        Some(key) => told.of(key),
        None => told,
    }
}

fn noun_of(resource: &Resource) -> Option<&'static Noun> {
    match resource.subject {
        Subject::Object(noun) => Some(noun),
        Subject::Document => None,
    }
}

fn status_shape(resource: &Resource) -> Option<Shape> {
    match noun_of(resource)?.singular {
        "virtual_service" => Some(shape_of::<VirtualServiceStatus>()),
        "pool" => Some(shape_of::<PoolStatus>()),
        "server" => Some(shape_of::<ServerStatus>()),
        "certificate" => Some(shape_of::<CertificateStatus>()),
        _ => None,
    }
}

async fn status(
    resource: &Resource,
    client: &Client,
    config: &Value,
) -> Result<Option<Json>, ClientError> {
    let name = |key: &str| config.get(key).text().unwrap_or_default().to_owned();
    let pointer = match noun_of(resource).map(|noun| noun.singular) {
        Some("certificate") => {
            let all = serde_json::to_value(client.certificates().await?).unwrap_or_default();
            return Ok(all
                .pointer(&format!("/certificates/{}", name("name")))
                .cloned());
        }
        Some("server") => format!("/pools/{}/servers/{}", name("pool"), name("name")),
        Some("pool") => format!("/pools/{}", name("name")),
        _ => format!("/virtual_services/{}", name("name")),
    };
    let status = serde_json::to_value(client.status().await?.status).unwrap_or_default();
    Ok(status.pointer(&pointer).cloned())
}
