//! Lists of resources that are there: `terraform query` finds a whole balancer with them.

use lb_client::Client;
use lb_model::schema::Noun;
use serde_json::Value as Json;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::resource::{BALANCER, ID, Resource, Subject};
use crate::schema::{Attribute, Presence};
use crate::value::Value;

/// An object that was found.
pub(crate) struct Found {
    pub(crate) display_name: String,
    pub(crate) state: Value,
}

/// What says where to look; nothing for what there is one of.
pub(crate) fn attributes(resource: &Resource) -> Option<Vec<Attribute>> {
    let noun = noun_of(resource)?;
    let wanted = |attribute: &&Attribute| {
        let is_holder = noun.parent.is_some_and(|parent| attribute.name == parent);
        is_holder || attribute.name == BALANCER
    };
    let mut found: Vec<_> = resource.attributes.iter().filter(wanted).cloned().collect();
    for attribute in found
        .iter_mut()
        .filter(|attribute| attribute.name != BALANCER)
    {
        attribute.presence = Presence::Required;
    }
    Some(found)
}

/// Everything of a kind, in the order of names.
pub(crate) async fn list(
    resource: &Resource,
    client: &Client,
    config: &Value,
) -> Result<Vec<Found>, Diagnostics> {
    let Some(noun) = noun_of(resource) else {
        return Ok(Vec::new());
    };
    let place = match noun.holder() {
        Some(holder) => {
            let name = config.get(holder.singular).text().unwrap_or_default();
            let name: lb_model::value::Name =
                name.parse()
                    .map_err(|error: lb_model::value::InvalidValue| {
                        let help = format!("Use {}.", error.mend);
                        vec![Diagnostic::error(error.reason, help).of(holder.singular)]
                    })?;
            format!("{}/{name}/{}", holder.plural, noun.plural)
        }
        None => noun.plural.to_owned(),
    };
    let all = client.list(&place).await;
    let all =
        all.map_err(|error| Diagnostic::of_client(&error, "They could not be listed", |_| None))?;
    let named = all.as_object().into_iter().flatten();
    Ok(named
        .map(|(name, json)| found(resource, config, name, json))
        .collect())
}

fn found(resource: &Resource, config: &Value, name: &str, json: &Json) -> Found {
    let mut prior = config.clone();
    if let Value::Map(entries) = &mut prior {
        entries.insert("name".to_owned(), name.into());
    }
    let state = resource.state_of(json, &prior, true);
    let display_name = state.get(ID).text().unwrap_or(name).to_owned();
    Found {
        display_name,
        state,
    }
}

fn noun_of(resource: &Resource) -> Option<&'static Noun> {
    match resource.subject {
        Subject::Object(noun) if noun.keyed => Some(noun),
        Subject::Object(_) | Subject::Document => None,
    }
}
