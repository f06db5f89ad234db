//! The routes themselves.

use hyper::Method;
use lb_model::api::Role;
use lb_model::config::ServerState;
use lb_model::schema::{Noun, nouns};

use super::{Form, Gives, Operation, Parameter, Route, Takes};

/// How a change is made; bodies of `POST /apply` hold the same.
const CHANGE: &[Parameter] = &[
    Parameter {
        name: "comment",
        description: "Why, for the history.",
        form: Form::Text,
    },
    Parameter {
        name: "confirm",
        description: "Go back unless the change is confirmed within this time.",
        form: Form::Period,
    },
    Parameter {
        name: "source",
        description: "What the caller is.",
        form: Form::Source,
    },
];

const PAGE: &[Parameter] = &[
    Parameter {
        name: "before",
        description: "Only revisions with lower numbers.",
        form: Form::Number,
    },
    Parameter {
        name: "limit",
        description: "The most revisions, at most 1000; 100 when absent.",
        form: Form::Number,
    },
];

pub(super) fn table() -> Vec<Route> {
    let mut routes = vec![
        route(Method::GET, "/caller", Role::View, Operation::Caller)
            .says("caller", "Who the balancer takes the caller for.")
            .gives("Caller"),
        route(Method::GET, "/openapi.json", Role::View, Operation::OpenApi)
            .says("openapi", "This description of the API."),
        route(Method::GET, "/config", Role::View, Operation::ReadDocument)
            .says("read_document", "The document in force, as TOML or JSON.")
            .with(Takes::Nothing, Gives::Document),
        route(
            Method::PUT,
            "/config",
            Role::Configure,
            Operation::PutDocument,
        )
        .says("put_document", "Replaces the document in force.")
        .with(Takes::Document, Gives::Json("ApplyAnswer".into()))
        .guarded(),
    ];
    for noun in nouns() {
        routes.extend(noun_routes(noun));
    }
    routes.extend(changes());
    routes.extend(live());
    routes.extend(certificates());
    routes.extend(access());
    routes.extend(users());
    routes
}

fn changes() -> Vec<Route> {
    vec![
        route(Method::POST, "/plan", Role::View, Operation::Plan)
            .says("plan", "What a change would do. Nothing is changed.")
            .takes("PlanRequest")
            .gives("PlanAnswer"),
        route(Method::POST, "/apply", Role::Configure, Operation::Apply)
            .says("apply", "Makes a change: all of it or nothing.")
            .takes("ApplyRequest")
            .gives("ApplyAnswer"),
        route(
            Method::POST,
            "/confirm",
            Role::Configure,
            Operation::Confirm,
        )
        .says(
            "confirm",
            "Keeps a change that would be taken back otherwise.",
        )
        .takes("ConfirmRequest")
        .gives("Revision"),
        route(
            Method::POST,
            "/rollback",
            Role::Configure,
            Operation::Rollback,
        )
        .says(
            "rollback",
            "Goes back to an earlier revision, as a new one.",
        )
        .takes("RollbackRequest")
        .gives("ApplyAnswer"),
        route(Method::GET, "/revisions", Role::View, Operation::Revisions)
            .says("revisions", "The history, the newest revision first.")
            .gives("Revisions")
            .asks(PAGE),
        route(
            Method::GET,
            "/revisions/{number}",
            Role::View,
            Operation::ReadRevision,
        )
        .says("revision", "One revision with its document.")
        .gives("RevisionAnswer"),
    ]
}

fn live() -> Vec<Route> {
    let mut routes = vec![
        route(Method::GET, "/status", Role::View, Operation::Status)
            .says("status", "What services, pools and servers are doing now.")
            .gives("StatusAnswer"),
        route(Method::GET, "/metrics", Role::View, Operation::Metrics)
            .says("metrics", "Metrics, as Prometheus reads them.")
            .with(Takes::Nothing, Gives::Metrics),
        route(Method::GET, "/events", Role::View, Operation::Events)
            .says("events", "What happens from now on, as server-sent events.")
            .with(Takes::Nothing, Gives::Events),
        route(Method::GET, "/upgrade", Role::View, Operation::UpgradeState)
            .says(
                "upgrade_state",
                "Which program serves, and how far an upgrade is.",
            )
            .gives("UpgradeAnswer"),
        route(
            Method::POST,
            "/upgrade",
            Role::Administer,
            Operation::Upgrade,
        )
        .says(
            "upgrade",
            "Lets the program that is on disk now take over, without a failed request.",
        )
        .gives("UpgradeAnswer"),
        route(Method::POST, "/explain", Role::View, Operation::Explain)
            .says("explain", "Where a request would go now, and why.")
            .takes("ExplainRequest"),
    ];
    for (verb, state, summary) in [
        (
            "enable",
            ServerState::Enabled,
            "Gives a server traffic again.",
        ),
        (
            "drain",
            ServerState::Draining,
            "Gives a server no new clients; it keeps those that it has.",
        ),
        (
            "disable",
            ServerState::Disabled,
            "Takes a server out of traffic; what is in progress may finish.",
        ),
    ] {
        let template = format!("/servers/{{pool}}/{{server}}/{verb}");
        routes.push(
            route(
                Method::POST,
                template,
                Role::Operate,
                Operation::ServerState(state),
            )
            .says(format!("{verb}_server"), summary)
            .gives("ApplyAnswer")
            .asks(CHANGE),
        );
    }
    routes
}

fn certificates() -> Vec<Route> {
    vec![
        route(
            Method::GET,
            "/certificates",
            Role::View,
            Operation::Certificates,
        )
        .says(
            "certificates",
            "How the certificates are that the document in force names.",
        )
        .gives("Certificates"),
        route(
            Method::POST,
            "/certificates",
            Role::Configure,
            Operation::ImportCertificate,
        )
        .says(
            "import_certificate",
            "Keeps a certificate with its private key. A document uses it with `source.stored`.",
        )
        .takes("CertificateImport")
        .gives("KeptCertificate"),
        route(
            Method::POST,
            "/certificates/requests",
            Role::Configure,
            Operation::RequestCertificate,
        )
        .says(
            "request_certificate",
            "Makes a private key, which stays here, and the request for a certificate for it.",
        )
        .takes("SigningRequest")
        .gives("MadeSigningRequest"),
    ]
}

fn access() -> Vec<Route> {
    vec![
        route(Method::GET, "/tokens", Role::Administer, Operation::Tokens)
            .says("tokens", "Every token, without its secret.")
            .gives("Tokens"),
        route(
            Method::POST,
            "/tokens",
            Role::Administer,
            Operation::CreateToken,
        )
        .says(
            "create_token",
            "Makes a token; its secret is shown this once.",
        )
        .takes("TokenRequest")
        .gives("NewToken"),
        route(
            Method::DELETE,
            "/tokens/{token}",
            Role::Administer,
            Operation::RevokeToken,
        )
        .says("revoke_token", "Ends a token at once.")
        .gives("Token"),
        route(Method::POST, "/bootstrap", Role::View, Operation::Bootstrap)
            .says(
                "bootstrap",
                "Makes the first token, for the bearer of `bootstrap-token` from the state directory, \
                 once.",
            )
            .takes("BootstrapRequest")
            .gives("NewToken")
            .open(),
        route(Method::GET, "/enrolment", Role::View, Operation::Enrolment)
            .says(
                "enrolment",
                "Shows whoever has the token that makes the first one that this is the balancer that \
                 has it, too.",
            )
            .gives("Enrolment")
            .open(),
        route(Method::GET, "/audit", Role::Administer, Operation::Audit).says(
            "audit",
            "Who changed what, and who was refused, the newest first.",
        ),
    ]
}

fn users() -> Vec<Route> {
    vec![
        route(Method::GET, "/backup", Role::Administer, Operation::Backup)
            .says("backup", "What the balancer remembers, as one file.")
            .with(Takes::Nothing, Gives::Backup),
        route(
            Method::PUT,
            "/access",
            Role::Administer,
            Operation::PutAccess,
        )
        .says(
            "put_access",
            "Makes users and tokens be those of a backup. Tokens that are not in it end.",
        )
        .takes("AccessCopy")
        .gives("Tokens"),
        route(Method::GET, "/users", Role::Administer, Operation::Users)
            .says("users", "Every user.")
            .gives("Users"),
        route(
            Method::POST,
            "/users",
            Role::Administer,
            Operation::CreateUser,
        )
        .says(
            "create_user",
            "Makes a user, whose tokens may never do more than the user may.",
        )
        .takes("UserRequest")
        .gives("User"),
        route(
            Method::PATCH,
            "/users/{user}",
            Role::Administer,
            Operation::ChangeUser,
        )
        .says(
            "change_user",
            "Changes what a user may do, and so all of their tokens, at once.",
        )
        .takes("UserChange")
        .gives("User"),
        route(
            Method::DELETE,
            "/users/{user}",
            Role::Administer,
            Operation::DeleteUser,
        )
        .says(
            "delete_user",
            "Takes a user away, and all of their tokens with them.",
        )
        .gives("User"),
    ]
}

/// The routes of a noun of the document: nouns within nouns have the path of what holds them.
fn noun_routes(noun: &Noun) -> Vec<Route> {
    let component = noun.shape.name.clone().unwrap_or_default();
    let (id, mut words) = (noun.singular, noun.singular.replace('_', " "));
    if !noun.keyed {
        words = format!("the {words}");
    }
    let (list, one) = templates(noun);
    let read = route(Method::GET, &one, Role::View, Operation::ReadObject)
        .says(format!("read_{id}"), format!("Reads {words}."))
        .gives(&component);
    let put = route(Method::PUT, &one, Role::Configure, Operation::PutObject)
        .says(format!("put_{id}"), format!("Makes {words} be this."))
        .takes(&component)
        .gives("ApplyAnswer")
        .guarded();
    let patch = route(Method::PATCH, &one, Role::Configure, Operation::PatchObject)
        .says(
            format!("patch_{id}"),
            format!("Changes some fields of {words}; null takes one away."),
        )
        .with(
            Takes::Patch(component.clone()),
            Gives::Json("ApplyAnswer".into()),
        )
        .guarded();
    if !noun.keyed {
        let reset = route(
            Method::DELETE,
            &one,
            Role::Configure,
            Operation::DeleteObject,
        )
        .says(
            format!("reset_{id}"),
            format!("Gives {words} the defaults."),
        )
        .gives("ApplyAnswer")
        .guarded();
        return vec![read, put, patch, reset];
    }
    let listed = route(Method::GET, list, Role::View, Operation::ListObjects)
        .says(
            format!("list_{}", noun.plural),
            format!("Reads every {words}."),
        )
        .with(
            Takes::Nothing,
            Gives::Many {
                component,
                keyed: !noun.is_list,
            },
        );
    let delete = route(
        Method::DELETE,
        &one,
        Role::Configure,
        Operation::DeleteObject,
    )
    .says(format!("delete_{id}"), format!("Takes {words} away."))
    .gives("ApplyAnswer")
    .guarded();
    vec![listed, read, put, patch, delete]
}

/// The path of all objects of a noun, and of one.
fn templates(noun: &Noun) -> (String, String) {
    if !noun.keyed {
        let path = format!("/config/{}", noun.plural);
        return (path.clone(), path);
    }
    let holder = noun
        .parent
        .and_then(|parent| nouns().iter().find(|noun| noun.singular == parent));
    let above = holder.map_or_else(|| "/config".to_owned(), |holder| templates(holder).1);
    let list = format!("{above}/{}", noun.plural);
    let one = format!("{list}/{{{}}}", noun.singular);
    (list, one)
}

/// A route that carries no body either way yet.
fn route(method: Method, template: impl Into<String>, role: Role, operation: Operation) -> Route {
    Route {
        method,
        template: template.into(),
        role,
        is_open: false,
        operation,
        id: String::new(),
        summary: String::new(),
        takes: Takes::Nothing,
        gives: Gives::Free,
        query: &[],
        conditional: false,
    }
}

impl Route {
    fn says(mut self, id: impl Into<String>, summary: impl Into<String>) -> Self {
        self.id = id.into();
        self.summary = summary.into();
        self
    }

    fn takes(mut self, component: &str) -> Self {
        self.takes = Takes::Json(component.to_owned());
        self
    }

    fn gives(mut self, component: &str) -> Self {
        self.gives = Gives::Json(component.to_owned());
        self
    }

    fn with(mut self, takes: Takes, gives: Gives) -> Self {
        self.takes = takes;
        self.gives = gives;
        self
    }

    fn asks(mut self, query: &'static [Parameter]) -> Self {
        self.query = query;
        self
    }

    /// For those who have no token yet.
    fn open(mut self) -> Self {
        self.is_open = true;
        self
    }

    /// A change of what may have changed meanwhile.
    fn guarded(mut self) -> Self {
        self.conditional = true;
        self.query = CHANGE;
        self
    }
}
