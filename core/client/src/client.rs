//! What can be asked of a balancer.

use std::fmt::Write;

use hyper::Method;
use hyper::header::{HeaderValue, IF_MATCH, IF_NONE_MATCH};
use lb_model::Config;
use lb_model::api::{
    AccessCopy, ApplyAnswer, ApplyRequest, BootstrapRequest, Caller, CertificateImport,
    Certificates, ConfirmRequest, Enrolment, ExplainRequest, KeptCertificate, MadeSigningRequest,
    NewToken, PlanAnswer, PlanRequest, Revision, RevisionAnswer, Revisions, RollbackRequest,
    SigningRequest, Source, StatusAnswer, Token, TokenRequest, Tokens, UpgradeAnswer, User,
    UserChange, UserRequest, Users,
};
use lb_model::config::ServerState;
use lb_model::edit::ObjectPath;
use lb_model::value::{Name, Period};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

use crate::address::Address;
use crate::error::ClientError;
use crate::event::Events;
use crate::request::{Call, Reply, Way};
use crate::tls::{self, ClientCertificate, Trust};

/// A way to ask a balancer. Connections are opened when they are needed, and kept for the next
/// request.
pub struct Client {
    way: Way,
}

/// Something that was read, and what tells whether it has changed since.
#[derive(Clone, Debug, PartialEq)]
pub struct Object<T = Value> {
    /// What it is.
    pub value: T,
    /// Its tag: another one means that somebody changed it.
    pub etag: String,
}

/// How one object is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// What must still be true of the object; otherwise the change is refused.
    pub guard: Option<Guard>,
    /// Why, for the history.
    pub comment: Option<String>,
    /// Go back unless the change is confirmed within this time.
    pub confirm: Option<Period>,
    /// Who asks.
    pub source: Source,
}

/// What must still be true of an object when it is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// It is not there yet.
    Absent,
    /// It is there.
    Exists,
    /// It is there, with this tag.
    Is(String),
}

impl Client {
    /// A client of the balancer at this address. Nothing is sent yet.
    ///
    /// # Errors
    /// A token that no header can carry, or authorities or a certificate that cannot be read.
    pub fn new(
        address: Address,
        token: Option<&str>,
        trust: &Trust,
        certificate: Option<&ClientCertificate>,
    ) -> Result<Self, ClientError> {
        let connector = match &address {
            Address::Unix(_) => None,
            Address::Tls { .. } => Some(tls::connector(trust, certificate)?),
        };
        let authorization = token
            .map(|token| {
                let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                    .map_err(|_| ClientError::Unspeakable("***".to_owned()))?;
                value.set_sensitive(true);
                Ok::<_, ClientError>(value)
            })
            .transpose()?;
        Ok(Self {
            way: Way {
                address,
                connector,
                authorization,
                idle: Mutex::default(),
            },
        })
    }

    /// A client that has no token and trusts whomever the connector does.
    pub(crate) fn through(address: Address, connector: TlsConnector) -> Self {
        Self {
            way: Way {
                address,
                connector: Some(connector),
                authorization: None,
                idle: Mutex::default(),
            },
        }
    }

    /// What shows that the balancer has the token that makes its first one.
    pub(crate) async fn enrolment(&self) -> Result<Enrolment, ClientError> {
        self.read("/enrolment").await
    }

    /// The address that is asked.
    pub fn address(&self) -> &Address {
        &self.way.address
    }

    /// Who the balancer takes us for, and what we may do.
    pub async fn caller(&self) -> Result<Caller, ClientError> {
        self.read("/caller").await
    }

    /// The document in force.
    pub async fn config(&self) -> Result<Object<Config>, ClientError> {
        let reply = self.way.ask(&Call::get("/config")?).await?;
        self.object_of(reply)
    }

    /// The document in force, as JSON.
    pub async fn document(&self) -> Result<Object, ClientError> {
        let reply = self.way.ask(&Call::get("/config")?).await?;
        self.object_of(reply)
    }

    /// Makes this the document in force.
    pub async fn put_document(
        &self,
        value: &Value,
        change: &Change,
    ) -> Result<ApplyAnswer, ClientError> {
        self.change(Method::PUT, "/config", Some(value), change)
            .await
    }

    /// The document in force, as TOML.
    pub async fn config_toml(&self) -> Result<String, ClientError> {
        let mut call = Call::get("/config")?;
        call.accept = "application/toml";
        self.text(&call).await
    }

    /// The objects of a noun, such as `pools` or `pools/web/servers`.
    pub async fn list(&self, nouns: &str) -> Result<Value, ClientError> {
        self.read(&format!("/config/{nouns}")).await
    }

    /// One object of the document in force.
    pub async fn object(&self, path: &ObjectPath) -> Result<Object, ClientError> {
        let call = Call::get(&target(path))?;
        self.object_of(self.way.ask(&call).await?)
    }

    /// Makes an object be this, whether or not it was there.
    pub async fn put(
        &self,
        path: &ObjectPath,
        value: &Value,
        change: &Change,
    ) -> Result<ApplyAnswer, ClientError> {
        self.change(Method::PUT, &target(path), Some(value), change)
            .await
    }

    /// Changes some fields of an object; null takes a field away.
    pub async fn patch(
        &self,
        path: &ObjectPath,
        value: &Value,
        change: &Change,
    ) -> Result<ApplyAnswer, ClientError> {
        self.change(Method::PATCH, &target(path), Some(value), change)
            .await
    }

    /// Takes an object away.
    pub async fn delete(
        &self,
        path: &ObjectPath,
        change: &Change,
    ) -> Result<ApplyAnswer, ClientError> {
        self.change(Method::DELETE, &target(path), None, change)
            .await
    }

    /// What a change would do. Nothing is changed.
    pub async fn plan(&self, request: &PlanRequest) -> Result<PlanAnswer, ClientError> {
        self.post("/plan", request).await
    }

    /// Makes a change.
    pub async fn apply(&self, request: &ApplyRequest) -> Result<ApplyAnswer, ClientError> {
        self.post("/apply", request).await
    }

    /// Keeps a change that would be taken back otherwise.
    pub async fn confirm(&self, number: u64) -> Result<Revision, ClientError> {
        self.post("/confirm", &ConfirmRequest { number }).await
    }

    /// Goes back to what an earlier revision was, as a new revision.
    pub async fn rollback(&self, request: &RollbackRequest) -> Result<ApplyAnswer, ClientError> {
        self.post("/rollback", request).await
    }

    /// At most this many revisions, the newest first; those below `before` when it is given.
    pub async fn revisions(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Revisions, ClientError> {
        let before = before.map_or_else(String::new, |number| format!("&before={number}"));
        self.read(&format!("/revisions?limit={limit}{before}"))
            .await
    }

    /// A revision with its document.
    pub async fn revision(&self, number: u64) -> Result<RevisionAnswer, ClientError> {
        self.read(&format!("/revisions/{number}")).await
    }

    /// What the balancer is doing now.
    pub async fn status(&self) -> Result<StatusAnswer, ClientError> {
        self.read("/status").await
    }

    /// Which program serves, and how far an upgrade is.
    pub async fn upgrade_state(&self) -> Result<UpgradeAnswer, ClientError> {
        self.read("/upgrade").await
    }

    /// Lets the program that is on the disk of the balancer take over. When this returns that has
    /// only begun.
    pub async fn upgrade(&self) -> Result<UpgradeAnswer, ClientError> {
        self.send(Call::get("/upgrade")?.with_method(Method::POST))
            .await
    }

    /// Metrics, as Prometheus reads them.
    pub async fn metrics(&self) -> Result<String, ClientError> {
        let mut call = Call::get("/metrics")?;
        call.accept = "text/plain";
        self.text(&call).await
    }

    /// What happens in the balancer from now on.
    pub async fn events(&self) -> Result<Events, ClientError> {
        let mut call = Call::get("/events")?;
        call.accept = "text/event-stream";
        let (response, connection) = self.way.begin(&call).await?;
        Ok(Events::new(
            self.way.address.clone(),
            response.into_body(),
            connection,
        ))
    }

    /// Where a request would go now, and why.
    pub async fn explain(&self, request: &ExplainRequest) -> Result<Value, ClientError> {
        self.post("/explain", request).await
    }

    /// Enables, drains or disables a server.
    pub async fn set_server_state(
        &self,
        pool: &Name,
        server: &Name,
        state: ServerState,
        change: &Change,
    ) -> Result<ApplyAnswer, ClientError> {
        let verb = match state {
            ServerState::Enabled => "enable",
            ServerState::Draining => "drain",
            ServerState::Disabled => "disable",
        };
        let query = query(change);
        let target = format!("/servers/{pool}/{server}/{verb}{query}");
        self.send(Call::get(&target)?.with_method(Method::POST))
            .await
    }

    /// Every token there is, without secrets.
    pub async fn tokens(&self) -> Result<Vec<Token>, ClientError> {
        Ok(self.read::<Tokens>("/tokens").await?.tokens)
    }

    /// Makes a token; its secret is in the answer and nowhere else.
    pub async fn create_token(&self, request: &TokenRequest) -> Result<NewToken, ClientError> {
        self.post("/tokens", request).await
    }

    /// Ends a token at once.
    pub async fn revoke_token(&self, name: &Name) -> Result<Token, ClientError> {
        let call = Call::get(&format!("/tokens/{name}"))?;
        self.send(call.with_method(Method::DELETE)).await
    }

    /// Makes the first token. The client's own token is the one from the state directory for this.
    pub async fn bootstrap(&self, name: &Name) -> Result<NewToken, ClientError> {
        let request = BootstrapRequest { name: name.clone() };
        self.post("/bootstrap", &request).await
    }

    /// What the balancer remembers, as one file.
    pub async fn backup(&self) -> Result<Vec<u8>, ClientError> {
        let mut call = Call::get("/backup")?;
        call.accept = "application/octet-stream";
        Ok(self.way.ask(&call).await?.body.into())
    }

    /// Makes users and tokens be those of a backup, and gives the tokens that are good then.
    pub async fn put_access(&self, copy: &AccessCopy) -> Result<Vec<Token>, ClientError> {
        let call = Call::get("/access")?.with_method(Method::PUT);
        let tokens: Tokens = self.send(call.with_body(json(copy)?)).await?;
        Ok(tokens.tokens)
    }

    /// Every user there is.
    pub async fn users(&self) -> Result<Vec<User>, ClientError> {
        Ok(self.read::<Users>("/users").await?.users)
    }

    /// How the certificates are that the document in force names.
    pub async fn certificates(&self) -> Result<Certificates, ClientError> {
        self.read("/certificates").await
    }

    /// Has a certificate kept, with its private key.
    pub async fn import_certificate(
        &self,
        request: &CertificateImport,
    ) -> Result<KeptCertificate, ClientError> {
        self.post("/certificates", request).await
    }

    /// Has a request for a certificate made, whose key stays with the balancer.
    pub async fn request_certificate(
        &self,
        request: &SigningRequest,
    ) -> Result<MadeSigningRequest, ClientError> {
        self.post("/certificates/requests", request).await
    }

    /// Makes a user.
    pub async fn create_user(&self, request: &UserRequest) -> Result<User, ClientError> {
        self.post("/users", request).await
    }

    /// Changes what a user may do.
    pub async fn change_user(&self, name: &Name, change: &UserChange) -> Result<User, ClientError> {
        let call = Call::get(&format!("/users/{name}"))?.with_method(Method::PATCH);
        self.send(call.with_body(json(change)?)).await
    }

    /// Takes a user away, and all of their tokens.
    pub async fn delete_user(&self, name: &Name) -> Result<User, ClientError> {
        let call = Call::get(&format!("/users/{name}"))?;
        self.send(call.with_method(Method::DELETE)).await
    }

    async fn change(
        &self,
        method: Method,
        target: &str,
        value: Option<&Value>,
        change: &Change,
    ) -> Result<ApplyAnswer, ClientError> {
        let target = format!("{target}{}", query(change));
        let mut call = Call::get(&target)?.with_method(method);
        if let Some(value) = value {
            call = call.with_body(value.to_string());
        }
        call.guard = match &change.guard {
            None => None,
            Some(Guard::Absent) => Some((IF_NONE_MATCH, HeaderValue::from_static("*"))),
            Some(Guard::Exists) => Some((IF_MATCH, HeaderValue::from_static("*"))),
            Some(Guard::Is(tag)) => {
                let unspeakable = |_| ClientError::Unspeakable(tag.clone());
                Some((IF_MATCH, HeaderValue::from_str(tag).map_err(unspeakable)?))
            }
        };
        self.send(call).await
    }

    async fn read<T: DeserializeOwned>(&self, target: &str) -> Result<T, ClientError> {
        self.send(Call::get(target)?).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        target: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let call = Call::get(target)?.with_method(Method::POST);
        self.send(call.with_body(json(body)?)).await
    }

    async fn send<T: DeserializeOwned>(&self, call: Call) -> Result<T, ClientError> {
        let reply = self.way.ask(&call).await?;
        self.parse(&reply)
    }

    async fn text(&self, call: &Call) -> Result<String, ClientError> {
        let reply = self.way.ask(call).await?;
        String::from_utf8(reply.body.into())
            .map_err(|_| self.way.not_ours("an answer that is not text"))
    }

    fn object_of<T: DeserializeOwned>(&self, reply: Reply) -> Result<Object<T>, ClientError> {
        let value = self.parse(&reply)?;
        let etag = reply.etag;
        let etag = etag.ok_or_else(|| self.way.not_ours("an object without an ETag"))?;
        Ok(Object { value, etag })
    }

    fn parse<T: DeserializeOwned>(&self, reply: &Reply) -> Result<T, ClientError> {
        serde_json::from_slice(&reply.body).map_err(|error| {
            self.way
                .not_ours(format!("an answer that cannot be read: {error}"))
        })
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.way.address)
            .finish_non_exhaustive()
    }
}

fn json(body: &impl Serialize) -> Result<Vec<u8>, ClientError> {
    serde_json::to_vec(body).map_err(|error| ClientError::Unspeakable(error.to_string()))
}

/// Where an object is.
fn target(path: &ObjectPath) -> String {
    format!("/config/{path}")
}

/// A change as a query, with its question mark.
fn query(change: &Change) -> String {
    let mut text = format!("?source={}", change.source.as_str());
    if let Some(confirm) = change.confirm {
        write!(text, "&confirm={confirm}").expect("a String takes every write");
    }
    if let Some(comment) = &change.comment {
        text.push_str("&comment=");
        escape(comment, &mut text);
    }
    text
}

/// Escapes everything that has a meaning in a query (RFC 3986, 2.3).
fn escape(value: &str, text: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").expect("a String takes every write");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_arrives_as_it_was_written_and_a_token_is_never_printed() {
        let change = Change {
            comment: Some("50% für iis2 & more".to_owned()),
            ..Change::default()
        };
        let expected = "?source=api&comment=50%25%20f%C3%BCr%20iis2%20%26%20more";
        assert_eq!(query(&change), expected);

        let address: Address = "/run/admin.sock".parse().unwrap();
        let client =
            Client::new(address.clone(), Some("lbctl_secret"), &Trust::System, None).unwrap();
        assert!(!format!("{client:?}").contains("lbctl_secret"));
        let call = Call::get("/status").unwrap();
        assert!(!format!("{call:?}").contains("lbctl_secret"));
        let error = Client::new(address, Some("lbctl_\nsecret"), &Trust::System, None).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
