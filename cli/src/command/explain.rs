//! `lbctl explain`: where a request would go, and why.

use std::fmt::Write;

use lb_daemon::{ExplainError, ExplainRequest, Explanation, PoolStep, explain};
use lb_model::config::{HeaderEdits, Protocol};
use lb_model::value::Name;
use lb_model::{Config, ValidConfig};
use serde::Serialize;

use self::url::{InvalidUrl, Target};
use crate::args::ExplainArgs;
use crate::document::Document;
use crate::output;
use crate::report::{Exit, Explained, Failure};
use crate::screen::{Paint, Screen};
use crate::settings::Settings;

mod url;

/// What is printed: what the data plane says, and what it would change in the headers.
#[derive(Debug, Serialize)]
struct Answer {
    #[serde(flatten)]
    explanation: Explanation,
    /// The changes of each rule that matches, in their order.
    header_edits: Vec<EditStep>,
}

/// Changes that one rule makes to one header.
#[derive(Debug, Serialize)]
struct EditStep {
    rule: Name,
    /// `request` or `response`.
    message: &'static str,
    edits: HeaderEdits,
}

/// Why a request could not be explained.
#[derive(Debug, thiserror::Error)]
enum RequestError {
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    #[error("`{0}` is not a header field")]
    Header(String),
    #[error("{0}")]
    Explain(ExplainError, Vec<Name>),
}

impl Explained for RequestError {
    fn help(&self) -> Option<String> {
        match self {
            Self::Url(_) => Some(InvalidUrl::HELP.to_owned()),
            Self::Header(_) => Some("use -H 'Name: value', such as -H 'Cookie: LB=abc'".to_owned()),
            Self::Explain(error, names) => match error {
                ExplainError::UnknownService(_) | ExplainError::Ambiguous(_) => {
                    let names: Vec<&str> = names.iter().map(Name::as_str).collect();
                    Some(format!(
                        "use --virtual-service with one of {}",
                        names.join(", ")
                    ))
                }
                ExplainError::NotHttp(_) => Some(
                    "every connection to it goes to the pool of the virtual service".to_owned(),
                ),
                ExplainError::Refused { .. } | ExplainError::Incomplete => None,
            },
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Url(_) | Self::Header(_) => Exit::Misuse,
            Self::Explain(error, _) => match error {
                ExplainError::Refused { .. } => Exit::Failed,
                ExplainError::UnknownService(_)
                | ExplainError::Ambiguous(_)
                | ExplainError::NotHttp(_)
                | ExplainError::Incomplete => Exit::Misuse,
            },
        }
    }
}

pub(super) fn run(
    args: &ExplainArgs,
    settings: &Settings,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let target = Target::parse(&args.url).map_err(RequestError::Url)?;
    let message = message(args, &target)?;
    let document = Document::read(&settings.config)?;
    let config = match document.check_for_use(screen) {
        Ok(config) => config,
        Err(exit) => return Ok(exit),
    };
    let request = ExplainRequest {
        virtual_service: choose_service(args, &target, &config),
        client: args.client,
        message,
    };
    let explanation = explain(&config, &request).map_err(|error| {
        let names = enabled(config.config()).cloned().collect();
        RequestError::Explain(error, names)
    })?;
    let answer = Answer {
        header_edits: header_edits(config.config(), &explanation),
        explanation,
    };
    let paint = screen.paint_stdout();
    output::print(screen, settings.output, &answer, |answer| {
        table(answer, paint)
    })?;
    Ok(Exit::Done)
}

/// The changes of the rules that match: the document says them, the data plane says which those are.
fn header_edits(config: &Config, explanation: &Explanation) -> Vec<EditStep> {
    let service = config
        .virtual_services
        .get(explanation.virtual_service.as_str());
    let rules = service
        .map(|service| service.rules.as_slice())
        .unwrap_or_default();
    let matching = rules.iter().filter(|rule| {
        let mut steps = explanation.rules.iter();
        steps.any(|step| step.matches && step.name == rule.name.as_str())
    });
    matching
        .flat_map(|rule| {
            let step = |message, edits: &HeaderEdits| EditStep {
                rule: rule.name.clone(),
                message,
                edits: edits.clone(),
            };
            [
                step("request", &rule.request_headers),
                step("response", &rule.response_headers),
            ]
        })
        .filter(|step| !step.edits.is_empty())
        .collect()
}

/// The request as a client would send it.
fn message(args: &ExplainArgs, target: &Target) -> Result<Vec<u8>, RequestError> {
    let mut text = format!("{} {} HTTP/1.1\r\n", args.method, target.path_and_query);
    let mut has_host = false;
    for field in &args.headers {
        let (name, _) = field
            .split_once(':')
            .filter(|_| !field.contains(['\r', '\n']))
            .ok_or_else(|| RequestError::Header(field.clone()))?;
        has_host |= name.eq_ignore_ascii_case("host");
        write!(text, "{field}\r\n").expect("a String takes every write");
    }
    if !has_host {
        let host = target.authority.as_deref().unwrap_or("localhost");
        write!(text, "Host: {host}\r\n").expect("a String takes every write");
    }
    text.push_str("\r\n");
    Ok(text.into_bytes())
}

/// The virtual service that was named, or else the only one on the port that the URL names.
fn choose_service(args: &ExplainArgs, target: &Target, config: &ValidConfig) -> Option<Name> {
    if args.virtual_service.is_some() {
        return args.virtual_service.clone();
    }
    let config = config.config();
    let mut on_port = enabled(config).filter(|name| {
        config.virtual_services.get(*name).is_some_and(|service| {
            service.protocol == Protocol::Http
                && target.port == Some(service.address.socket_addr().port())
        })
    });
    let first = on_port.next()?;
    on_port.next().is_none().then(|| first.clone())
}

fn enabled(config: &Config) -> impl Iterator<Item = &Name> {
    let services = config.virtual_services.iter();
    services
        .filter(|(_, service)| service.enabled)
        .map(|(name, _)| name)
}

fn table(answer: &Answer, paint: Paint) -> String {
    let Answer {
        explanation,
        header_edits,
    } = answer;
    let Explanation {
        virtual_service,
        client,
        rules,
        decided_by,
        action,
        pool,
        when_unavailable,
    } = explanation;
    let mut text = String::new();
    let mut line = |title: &str, value: &str| {
        let title = paint.strong(format!("{title:16}"));
        writeln!(text, "{title} {value}").expect("a String takes every write");
    };
    line("virtual service", virtual_service);
    line("client", &client.to_string());
    for (at, rule) in rules.iter().enumerate() {
        let title = if at == 0 { "rules" } else { "" };
        let mark = if rule.matches {
            paint.good("match")
        } else {
            paint.faint("no   ")
        };
        line(title, &format!("{mark}  {}: {}", rule.name, rule.because));
    }
    for step in header_edits {
        edit_lines(step, &mut line);
    }
    line("decided by", decided_by);
    line("action", action);
    if let Some(pool) = pool {
        pool_lines(pool, paint, &mut line);
    }
    if let Some(answer) = when_unavailable {
        line("if none is up", answer);
    }
    text
}

fn edit_lines(step: &EditStep, line: &mut impl FnMut(&str, &str)) {
    let EditStep {
        rule,
        message,
        edits,
    } = step;
    let HeaderEdits { remove, set, add } = edits;
    let title = format!("{message} header");
    for name in remove {
        line(&title, &format!("remove {name} (rule {rule})"));
    }
    for (name, value) in set {
        line(&title, &format!("set {name}: {value} (rule {rule})"));
    }
    for (name, value) in add {
        line(&title, &format!("add {name}: {value} (rule {rule})"));
    }
}

fn pool_lines(pool: &PoolStep, paint: Paint, line: &mut impl FnMut(&str, &str)) {
    let PoolStep {
        name,
        server,
        address,
        because,
        candidates,
    } = pool;
    line("pool", name);
    let chosen = match (server, address) {
        (Some(server), Some(address)) => format!("{} at {address}", paint.good(server)),
        (Some(server), None) => paint.good(server),
        (None, _) => paint.error("none"),
    };
    line("server", &format!("{chosen}: {because}"));
    let mut title = "other servers";
    for candidate in candidates
        .iter()
        .filter(|other| server.as_ref() != Some(&other.name))
    {
        let why = candidate
            .why_not
            .as_deref()
            .unwrap_or("could be chosen too");
        line(title, &format!("{}: {why}", candidate.name));
        title = "";
    }
}

#[cfg(test)]
mod tests;
