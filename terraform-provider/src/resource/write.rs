//! What is written to a balancer. Each write is one request that is done whole or not at all, and each
//! can be made again: an answer that was lost is told from a refusal by looking.

use lb_client::{Client, ClientError, Guard, Object};
use lb_model::api::ErrorCode;
use lb_model::edit::ObjectPath;
use lb_model::schema::{Noun, nouns};
use serde_json::{Map, Value as Json};

use super::{BALANCER, Resource, Subject, change, is_certificate};
use crate::certificate;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::document::to_json;
use crate::value::Value;

/// How often a write is made anew because something that it does not touch has changed meanwhile.
const TRIES_MAX: usize = 10;

/// An object that is written.
struct Target<'a> {
    client: &'a Client,
    /// Where it is; nothing for the document as a whole.
    path: Option<ObjectPath>,
    /// What it shall be, as Terraform knows it.
    state: &'a Value,
}

impl Target<'_> {
    async fn put(&self, wanted: &Json, guard: Option<Guard>) -> Result<(), ClientError> {
        let change = change(guard);
        match &self.path {
            Some(path) => self.client.put(path, wanted, &change).await,
            None => self.client.put_document(wanted, &change).await,
        }
        .map(drop)
    }
}

impl Resource {
    /// Makes the resource be as it was planned, and gives its state.
    pub(crate) async fn apply(
        &self,
        client: &Client,
        prior: &Value,
        planned: &Value,
        config: &Value,
    ) -> Result<Value, Diagnostics> {
        let mut state = planned.clone();
        if let Value::Map(entries) = &mut state {
            entries.insert(super::ID.to_owned(), self.id_of(planned));
        }
        let mut wanted = to_json(&state, self.shape());
        if let Subject::Object(noun) = self.subject
            && is_certificate(noun)
        {
            certificate::import(client, config, prior, &mut state, &mut wanted).await?;
        }
        let target = Target {
            client,
            path: self.path(&state)?,
            state: &state,
        };
        if prior.is_null() {
            self.create(&target, wanted).await?;
        } else {
            self.update(&target, prior, wanted).await?;
        }
        Ok(state)
    }

    async fn create(&self, target: &Target<'_>, wanted: Json) -> Result<(), Diagnostics> {
        let guard = match self.subject {
            Subject::Object(noun) => noun.keyed.then_some(Guard::Absent),
            Subject::Document => return self.take_over(target, wanted).await,
        };
        let mut tries = 0..TRIES_MAX;
        loop {
            let Err(error) = target.put(&wanted, guard.clone()).await else {
                return Ok(());
            };
            let is_there = error.code() == Some(ErrorCode::PreconditionFailed);
            if !is_there && !may_be_done(&error) {
                return Err(self.told(&error, "It could not be created", target.state));
            }
            match self.fetch(target.client, target.state).await? {
                // It was made by this request, or by one of an earlier run whose answer was lost.
                Some(found) if self.is_as_wanted(&found.value, target.state) => return Ok(()),
                Some(_) => return Err(vec![self.already_there(target.state)]),
                None if tries.next().is_some() => {}
                None => return Err(self.told(&error, "It could not be created", target.state)),
            }
        }
    }

    /// Gives a balancer that has none its first document.
    async fn take_over(&self, target: &Target<'_>, wanted: Json) -> Result<(), Diagnostics> {
        let mut tries = 0..TRIES_MAX;
        while let Some(found) = self.fetch(target.client, target.state).await? {
            if self.is_as_wanted(&found.value, target.state) {
                return Ok(());
            }
            let holds = |noun: &Noun| {
                let objects = found.value[noun.plural].as_object();
                let any = objects.is_some_and(|objects| !objects.is_empty());
                noun.parent.is_none() && noun.keyed && any
            };
            if nouns().iter().any(holds) {
                return Err(vec![self.already_there(target.state)]);
            }
            let Err(error) = self.replace(target, &found, wanted.clone()).await else {
                return Ok(());
            };
            if !may_be_tried_again(&error) || tries.next().is_none() {
                return Err(self.told(&error, "It could not be created", target.state));
            }
        }
        Ok(())
    }

    async fn update(
        &self,
        target: &Target<'_>,
        prior: &Value,
        wanted: Json,
    ) -> Result<(), Diagnostics> {
        let mut tries = 0..TRIES_MAX;
        loop {
            let Some(found) = self.fetch(target.client, prior).await? else {
                // The machine of its balancer was made anew, and nothing is on it.
                if target.state.get(BALANCER) != prior.get(BALANCER) {
                    return self.create(target, wanted).await;
                }
                return Err(vec![self.changed("was deleted")]);
            };
            if self.is_as_wanted(&found.value, target.state) {
                return Ok(());
            }
            if self.state_of(&found.value, prior, false) != *prior {
                return Err(vec![self.changed("was changed")]);
            }
            let Err(error) = self.replace(target, &found, wanted.clone()).await else {
                return Ok(());
            };
            if !may_be_tried_again(&error) || tries.next().is_none() {
                return Err(self.told(&error, "It could not be changed", target.state));
            }
        }
    }

    /// Puts an object in the place of one that was found, with all of that which is not managed.
    async fn replace(
        &self,
        target: &Target<'_>,
        found: &Object,
        mut wanted: Json,
    ) -> Result<(), ClientError> {
        if let Some(table) = wanted.as_object_mut() {
            let left = self
                .unmanaged
                .iter()
                .filter(|name| target.state.get(name).is_null());
            table.extend(kept(&found.value, left.copied()));
        }
        target
            .put(&wanted, Some(Guard::Is(found.etag.clone())))
            .await
    }

    /// Takes the object away. One that is not there is no error.
    pub(crate) async fn delete(&self, client: &Client, prior: &Value) -> Result<(), Diagnostics> {
        let path = self.path(prior)?;
        let mut tries = 0..TRIES_MAX;
        loop {
            let deleted = match &path {
                Some(path) => client.delete(path, &change(None)).await,
                None => self.empty(client).await,
            };
            match deleted {
                Ok(_) => return Ok(()),
                Err(error) if error.code() == Some(ErrorCode::NotFound) => return Ok(()),
                Err(error) if may_be_tried_again(&error) && tries.next().is_some() => {}
                Err(error) => return Err(self.not_deleted(&error, prior)),
            }
        }
    }

    /// Leaves a balancer with what is not managed alone: the admin API, without which nobody could
    /// reach it.
    async fn empty(&self, client: &Client) -> Result<lb_model::api::ApplyAnswer, ClientError> {
        let found = client.document().await?;
        let wanted: Map<_, _> = kept(&found.value, self.unmanaged.iter().copied()).collect();
        let change = change(Some(Guard::Is(found.etag)));
        client.put_document(&Json::Object(wanted), &change).await
    }

    /// Whether an object is as it shall be, but for its spelling and for what is not managed.
    fn is_as_wanted(&self, found: &Json, state: &Value) -> bool {
        self.state_of(found, state, false) == *state
    }

    fn already_there(&self, state: &Value) -> Diagnostic {
        let id = self.id_of(state);
        let id = id.text().unwrap_or_default();
        let (what, detail) = match self.subject {
            Subject::Object(noun) => (
                format!("There is a {} `{id}` already", noun.words()),
                "It is not as this configuration says, and was not changed. Choose another name, or \
                 bring it under this configuration",
            ),
            Subject::Document => (
                "The balancer has a configuration already".to_owned(),
                "It was not changed. Bring it under this configuration",
            ),
        };
        let detail = format!(
            "{detail}:\n\n    terraform import {}.NAME {id}",
            self.type_name
        );
        let told = Diagnostic::error(what, detail);
        match self.keys().last() {
            Some(key) => told.of(key),
            None => told,
        }
    }

    fn changed(&self, how: &str) -> Diagnostic {
        let what = match self.subject {
            Subject::Object(noun) => noun.words(),
            Subject::Document => "configuration".to_owned(),
        };
        let summary = format!("The {what} {how} since Terraform looked at it");
        let detail = "Somebody else changes the same balancer. Nothing was overwritten. Run `terraform \
                      plan` to see what it is now, and apply again.";
        Diagnostic::error(summary, detail)
    }

    fn not_deleted(&self, error: &ClientError, prior: &Value) -> Diagnostics {
        let mut told = self.told(error, "It could not be taken away", prior);
        if !error.problems().is_empty() {
            let hint = "If it is replaced by another one, let that be made first: `lifecycle { \
                        create_before_destroy = true }`.";
            told.push(Diagnostic::warning("Something else still names it", hint));
        }
        told
    }
}

/// The entries of an object with these names.
fn kept<'n>(
    found: &Json,
    names: impl Iterator<Item = &'n str>,
) -> impl Iterator<Item = (String, Json)> {
    names.filter_map(|name| Some((name.to_owned(), found.get(name)?.clone())))
}

/// Whether something that is not managed has changed meanwhile, or an answer was lost.
fn may_be_tried_again(error: &ClientError) -> bool {
    error.code() == Some(ErrorCode::PreconditionFailed) || may_be_done(error)
}

/// Whether a change may have been made though its answer did not come.
fn may_be_done(error: &ClientError) -> bool {
    match error {
        ClientError::Lost { may_be_done, .. } | ClientError::TimedOut { may_be_done, .. } => {
            *may_be_done
        }
        ClientError::Connect { .. }
        | ClientError::Distrusted { .. }
        | ClientError::Refused(_)
        | ClientError::Trust(_)
        | ClientError::Unspeakable(_)
        | ClientError::NotOurs { .. } => false,
    }
}
