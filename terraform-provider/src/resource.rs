//! One generic resource over every noun of the document, and one over the document as a whole. What a
//! noun is comes from the model; nothing here names a field of one.

use lb_client::{Change, Client, ClientError, Guard, Object};
use lb_model::api::{ErrorCode, Source};
use lb_model::edit::ObjectPath;
use lb_model::problem::Path;
use lb_model::schema::{Noun, Shape, nouns, shape};
use lb_model::value::Name;
use serde_json::Value as Json;

use crate::certificate;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::document::to_value;
use crate::plan;
use crate::schema::{Attribute, Kind, Presence, Scalar, TEXT, attributes};
use crate::value::Value;
use crate::ways::{is_ours, shown};

mod identity;
mod write;

/// A type of resource.
pub(crate) struct Resource {
    pub(crate) type_name: String,
    pub(crate) description: String,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) subject: Subject,
    /// Attributes that manage nothing when they are absent: what is there then belongs to others, such as
    /// the servers of a pool that are resources of their own.
    unmanaged: Vec<&'static str>,
}

/// What a resource is.
#[derive(Clone, Copy)]
pub(crate) enum Subject {
    Object(&'static Noun),
    Document,
}

/// What keeps a resource and its object together.
pub(crate) const ID: &str = "id";
/// The balancer that has the object, when it is not that of the provider.
pub(crate) const BALANCER: &str = "balancer";

/// The identifier of the one document of a balancer.
const DOCUMENT: &str = "config";

/// Every type of resource.
pub(crate) fn resources() -> Vec<Resource> {
    let single = nouns().iter().filter(|noun| !noun.is_list);
    let mut all: Vec<_> = single.map(Resource::of_noun).collect();
    all.push(Resource::of_document());
    all
}

impl Resource {
    fn of_noun(noun: &'static Noun) -> Self {
        let unmanaged: Vec<_> = noun
            .held()
            .filter(|held| held.keyed && !held.is_list)
            .map(|held| held.plural)
            .collect();
        let mut all = vec![id(), balancer()];
        all.extend(keys(noun).iter().map(|key| key_attribute(noun, key)));
        all.extend(attributes(noun.shape));
        if is_certificate(noun) {
            certificate::extend(&mut all);
        }
        let mut description = format!("{}.", noun.shape.description.trim_end_matches('.'));
        for held in noun.held().filter(|held| unmanaged.contains(&held.plural)) {
            manage_elsewhere(
                &mut all,
                held.plural,
                &format!(
                    "Without it, {} are left to resources \
                `lbctl_{}` and to others: they belong to one or the other, never to both.",
                    held.plural, held.singular
                ),
            );
        }
        if !noun.keyed {
            description
                .push_str(" There is one in each balancer: to destroy it gives it the defaults.");
        }
        Self {
            type_name: format!("lbctl_{}", noun.singular),
            description,
            attributes: all,
            subject: Subject::Object(noun),
            unmanaged,
        }
    }

    fn of_document() -> Self {
        let mut all = vec![id(), balancer()];
        all.extend(attributes(shape()));
        manage_elsewhere(
            &mut all,
            "admin",
            "Without it, the admin API stays as it is.",
        );
        Self {
            type_name: format!("lbctl_{DOCUMENT}"),
            description:
                "The whole configuration of a balancer, as one resource. What is not in it is \
                          taken away, so no other resource may manage the same balancer."
                    .to_owned(),
            attributes: all,
            subject: Subject::Document,
            unmanaged: vec!["admin"],
        }
    }

    pub(crate) fn shape(&self) -> &'static Shape {
        match self.subject {
            Subject::Object(noun) => noun.shape,
            Subject::Document => shape(),
        }
    }

    /// The attributes that name the object, those of what holds it first.
    pub(crate) fn keys(&self) -> Vec<&'static str> {
        match self.subject {
            Subject::Object(noun) => keys(noun),
            Subject::Document => Vec::new(),
        }
    }

    /// What the resource will be, and the attributes whose change makes it another object.
    pub(crate) fn plan(&self, config: &Value, prior: &Value) -> (Value, Vec<Path>) {
        let mut planned = plan::plan(&self.attributes, config, prior);
        if let Value::Map(entries) = &mut planned {
            entries.insert(ID.to_owned(), self.id_of(config));
        }
        if let Subject::Object(noun) = self.subject
            && is_certificate(noun)
        {
            certificate::plan(&mut planned);
        }
        let mut replaced = Vec::new();
        if !prior.is_null() {
            let replacing = self
                .attributes
                .iter()
                .filter(|attribute| attribute.replaces);
            // Another address or token of a balancer of ours is no other balancer; while it is not known, it is the
            // one of before, whose machine is being changed.
            let is_same = planned.get(BALANCER).is_unknown() && is_ours(prior.get(BALANCER));
            let held = |value: &Value, name: &str| match name {
                BALANCER if is_same => Value::Null,
                BALANCER => shown(value.get(name)),
                _ => value.get(name).clone(),
            };
            let other = replacing.filter(|a| held(&planned, &a.name) != held(prior, &a.name));
            replaced.extend(other.map(|attribute| Path::root().key(&attribute.name)));
        }
        (planned, replaced)
    }

    /// The identifier: the names, separated by slashes, or the noun of what has none.
    pub(crate) fn id_of(&self, value: &Value) -> Value {
        let keys = self.keys();
        if keys.is_empty() {
            return match self.subject {
                Subject::Object(noun) => noun.singular.into(),
                Subject::Document => DOCUMENT.into(),
            };
        }
        let names: Option<Vec<_>> = keys.iter().map(|key| value.get(key).text()).collect();
        names.map_or(Value::Unknown, |names| Value::Text(names.join("/")))
    }

    /// The names that an identifier holds, as attributes.
    pub(crate) fn names_of(&self, id: &str) -> Result<Vec<(&'static str, Value)>, Diagnostics> {
        let keys = self.keys();
        let names: Vec<_> = if keys.is_empty() {
            Vec::new()
        } else {
            id.split('/').collect()
        };
        let is_ours = !keys.is_empty() || self.id_of(&Value::Null).text() == Some(id);
        if names.len() != keys.len() || !is_ours || names.iter().any(|name| name.is_empty()) {
            let form = if keys.is_empty() {
                self.id_of(&Value::Null)
                    .text()
                    .unwrap_or_default()
                    .to_owned()
            } else {
                keys.join("/").to_uppercase()
            };
            let summary = format!("`{id}` names no {}", self.type_name);
            return Err(vec![Diagnostic::error(summary, format!("Use {form}."))]);
        }
        Ok(keys
            .into_iter()
            .zip(names.into_iter().map(Value::from))
            .collect())
    }

    /// What the resource is now; null when there is no such object.
    pub(crate) async fn read(
        &self,
        client: &Client,
        prior: &Value,
        is_import: bool,
    ) -> Result<Value, Diagnostics> {
        Ok(match self.fetch(client, prior).await? {
            Some(object) => self.state_of(&object.value, prior, is_import),
            None => Value::Null,
        })
    }

    /// The state that an object of the document is, in the spelling of the prior one.
    pub(crate) fn state_of(&self, json: &Json, prior: &Value, is_import: bool) -> Value {
        let Value::Map(mut entries) = to_value(json, self.shape()) else {
            return Value::Null;
        };
        for name in self.keys().into_iter().chain([BALANCER]) {
            entries.insert(name.to_owned(), prior.get(name).clone());
        }
        entries.insert(ID.to_owned(), self.id_of(prior));
        for name in &self.unmanaged {
            if prior.get(name).is_null() && !is_import {
                entries.insert((*name).to_owned(), Value::Null);
            }
        }
        if let Subject::Object(noun) = self.subject
            && is_certificate(noun)
        {
            certificate::read(&mut entries, prior);
        }
        plan::respelled_object(&self.attributes, &Value::Map(entries), prior)
    }

    /// The object of a resource, as the balancer has it.
    async fn fetch(&self, client: &Client, value: &Value) -> Result<Option<Object>, Diagnostics> {
        let found = match self.path(value)? {
            Some(path) => client.object(&path).await,
            None => client.document().await,
        };
        match found {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.code() == Some(ErrorCode::NotFound) => Ok(None),
            Err(error) => Err(self.told(&error, "It could not be read", value)),
        }
    }

    /// Where the object of a resource is; nothing for the document.
    pub(crate) fn path(&self, value: &Value) -> Result<Option<ObjectPath>, Diagnostics> {
        let Subject::Object(noun) = self.subject else {
            return Ok(None);
        };
        let mut names = Vec::new();
        for key in self.keys() {
            let text = value.get(key).text().unwrap_or_default();
            let name: Name = text
                .parse()
                .map_err(|error: lb_model::value::InvalidValue| {
                    let help = format!("Use {}.", error.mend);
                    vec![Diagnostic::error(error.reason, help).of(key)]
                })?;
            names.push(name);
        }
        Ok(ObjectPath::new(noun, names))
    }

    /// What keeps the balancer from it, at the attributes that it is about.
    fn told(&self, error: &ClientError, what: &str, value: &Value) -> Diagnostics {
        let place = self
            .path(value)
            .ok()
            .flatten()
            .map_or_else(Path::root, |path| path.place());
        Diagnostic::of_client(error, what, |path| below(path, &place))
    }
}

/// A place of the document, seen from an object of it.
pub(crate) fn below(path: &Path, place: &Path) -> Option<Path> {
    path.steps().strip_prefix(place.steps()).map(Path::from)
}

/// Whether a noun has material that is given with it, and not in the document.
pub(crate) fn is_certificate(noun: &Noun) -> bool {
    noun.singular == "certificate"
}

/// The attributes that name an object of a noun: those of what holds it, then its own.
fn keys(noun: &Noun) -> Vec<&'static str> {
    let mut keys = Vec::new();
    let mut holder = noun.holder();
    while let Some(noun) = holder {
        keys.insert(0, noun.singular);
        holder = noun.holder();
    }
    if noun.keyed {
        keys.push("name");
    }
    keys
}

fn key_attribute(noun: &Noun, key: &str) -> Attribute {
    let about = if key == "name" {
        format!(
            "The name of the {}. Another name is another one.",
            noun.words()
        )
    } else {
        format!(
            "The name of the {} that it belongs to.",
            key.replace('_', " ")
        )
    };
    let kind = Kind::Scalar(Scalar::Text(Some("lb-name".to_owned())));
    Attribute::new(key, kind, Presence::Required, &about).replacing()
}

fn id() -> Attribute {
    let about = "The names of the object, separated by slashes: what `terraform import` takes.";
    Attribute::new(ID, TEXT, Presence::Computed, about)
}

/// The attribute that names another balancer than that of the provider.
pub(crate) fn balancer() -> Attribute {
    let about = "The address of the balancer that has it, when that is not the `endpoint` of the provider; or the \
         `access` of an `lbctl_balancer`, with which nothing else needs to be known of it.";
    Attribute::new(BALANCER, TEXT, Presence::Optional, about).replacing()
}

/// Makes an attribute one that manages nothing when it is absent.
fn manage_elsewhere(attributes: &mut [Attribute], name: &str, about: &str) {
    for attribute in attributes
        .iter_mut()
        .filter(|attribute| attribute.name == name)
    {
        attribute.presence = Presence::Optional;
        attribute.description = format!("{} {about}", attribute.description);
    }
}

/// A change that Terraform asks for.
fn change(guard: Option<Guard>) -> Change {
    Change {
        guard,
        source: Source::Terraform,
        ..Change::default()
    }
}
