//! Everything the API does, in one table: dispatch, authorisation and the OpenAPI document are made
//! from it, so that none of them can know a route that another does not.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use hyper::Method;
use lb_model::api::{ApiError, ErrorCode, Role};
use lb_model::config::ServerState;
use lb_model::schema::nouns;

use super::nearest_help;

mod table;

/// One thing that the API does.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) method: Method,
    /// The path; `{name}` stands for one segment.
    pub(crate) template: String,
    /// What the caller must be allowed.
    pub(crate) role: Role,
    /// Whether it is for those who have no token yet, and looks itself at what they send.
    pub(crate) is_open: bool,
    pub(crate) operation: Operation,
    /// Its name for programs that are generated from the OpenAPI document.
    pub(crate) id: String,
    /// What it does, in one line.
    pub(crate) summary: String,
    pub(crate) takes: Takes,
    pub(crate) gives: Gives,
    pub(crate) query: &'static [Parameter],
    /// Whether `If-Match` guards it.
    pub(crate) conditional: bool,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Apply,
    Audit,
    Backup,
    Bootstrap,
    Caller,
    Certificates,
    ChangeUser,
    Confirm,
    CreateToken,
    CreateUser,
    DeleteObject,
    DeleteUser,
    Enrolment,
    Events,
    Explain,
    ImportCertificate,
    RequestCertificate,
    ListObjects,
    Metrics,
    OpenApi,
    PatchObject,
    Plan,
    PutAccess,
    PutDocument,
    PutObject,
    ReadDocument,
    ReadObject,
    ReadRevision,
    Revisions,
    RevokeToken,
    Rollback,
    ServerState(ServerState),
    Status,
    Tokens,
    Upgrade,
    UpgradeState,
    Users,
}

/// What a request carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// No body.
    Nothing,
    /// A whole document, TOML or JSON.
    Document,
    /// JSON of this component of the schema.
    Json(String),
    /// A JSON merge patch of this component.
    Patch(String),
}

/// What an answer carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gives {
    /// A backup, as `lbctl backup` writes it.
    Backup,
    /// A whole document, TOML or JSON.
    Document,
    /// A stream of events.
    Events,
    /// JSON of this component of the schema.
    Json(String),
    /// JSON whose form is that of this component under each name, or in a list.
    Many {
        /// The component.
        component: String,
        /// Whether by name.
        keyed: bool,
    },
    /// JSON that has no component.
    Free,
    /// Metrics as Prometheus reads them.
    Metrics,
}

/// A parameter of a query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) form: Form,
}

/// What a parameter of a query holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    Number,
    Period,
    Source,
    Text,
}

static TABLE: LazyLock<Vec<Route>> = LazyLock::new(table::table);

/// Every route.
pub(crate) fn routes() -> &'static [Route] {
    &TABLE
}

/// The segments of a path that a template leaves open, by name.
pub(crate) type Segments = BTreeMap<String, String>;

/// Finds what a request asks for.
///
/// # Errors
/// 404 for a path that is none of ours, 405 for a method that it does not have.
pub(crate) fn find(method: &Method, path: &str) -> Result<(&'static Route, Segments), ApiError> {
    let mut allowed = Vec::new();
    for route in routes() {
        let Some(segments) = fit(&route.template, path) else {
            continue;
        };
        if route.method == *method {
            return Ok((route, segments));
        }
        allowed.push(route.method.as_str());
    }
    if allowed.is_empty() {
        return Err(unknown(path));
    }
    let message = format!("`{path}` has no {method}");
    let help = format!("use {}", allowed.join(", "));
    Err(ApiError::new(ErrorCode::MethodNotAllowed, message).help(help))
}

/// The segments that a template leaves open, when the path has its form. Names of objects hold
/// nothing that is escaped, so an escaped path is none of ours.
fn fit(template: &str, path: &str) -> Option<Segments> {
    let mut segments = Segments::new();
    let mut parts = path.split('/');
    for wanted in template.split('/') {
        let part = parts.next()?;
        match wanted.strip_prefix('{').and_then(|w| w.strip_suffix('}')) {
            Some(name) if !part.is_empty() => {
                segments.insert(name.to_owned(), part.to_owned());
            }
            None if wanted == part => {}
            Some(_) | None => return None,
        }
    }
    parts.next().is_none().then_some(segments)
}

fn unknown(path: &str) -> ApiError {
    let fixed = routes().iter().map(|route| route.template.as_str());
    let plain = fixed.filter(|template| !template.contains('{'));
    let below_config = path
        .strip_prefix("/config/")
        .and_then(|rest| rest.split('/').next());
    let help = match below_config {
        Some(noun) => nearest_help(noun, nouns().iter().map(|noun| noun.plural)),
        None => nearest_help(path, plain),
    };
    let help = help.unwrap_or_else(|| "all paths are in /openapi.json".to_owned());
    ApiError::new(ErrorCode::NotFound, format!("there is no `{path}`")).help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_is_reached_by_its_own_path_and_has_a_name_of_its_own() {
        let mut ids = Vec::new();
        for route in routes() {
            let path = route.template.replace(['{', '}'], "");
            let (found, _) = find(&route.method, &path).unwrap();
            assert_eq!(found.id, route.id, "{} {path}", route.method);
            assert!(!route.summary.is_empty(), "{path}");
            ids.push(&route.id);
        }
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count, "{ids:?}");
    }

    #[test]
    fn a_wrong_path_is_answered_with_what_was_meant() {
        let help = |path| find(&Method::GET, path).unwrap_err().help.unwrap();
        assert!(
            help("/config/pool").contains("pools"),
            "{}",
            help("/config/pool")
        );
        assert!(help("/statsu").contains("/status"), "{}", help("/statsu"));
        let wrong_method = find(&Method::POST, "/status").unwrap_err();
        assert_eq!(wrong_method.code, ErrorCode::MethodNotAllowed);
        assert_eq!(wrong_method.help.as_deref(), Some("use GET"));
    }

    #[test]
    fn nothing_that_changes_the_configuration_is_open_to_those_who_may_only_look() {
        for route in routes() {
            let looks = route.method == Method::GET
                || matches!(route.operation, Operation::Plan | Operation::Explain);
            assert!(
                looks || route.is_open || route.role > Role::View,
                "{}",
                route.id
            );
        }
    }
}
