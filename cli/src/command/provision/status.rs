//! `lbctl provision status`: what the machines are doing.

use std::collections::BTreeMap;

use lb_model::status::Condition;
use lb_model::value::Name;
use lb_provision::{Intent, Seen as Sight};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::show::Show;
use super::{Looked, look};
use crate::args::FleetArgs;
use crate::output::{self, Table};
use crate::report::{Exit, Failure};
use crate::screen::{Paint, Screen};
use crate::settings::Settings;

/// A balancer as it is.
#[derive(Debug, Serialize)]
struct Seen {
    target: String,
    /// Whether it answers.
    serves: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<Sight>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

pub(super) fn run(args: &FleetArgs, settings: &Settings, screen: &Screen) -> Result<Exit, Failure> {
    let mut show = Show::new(screen, settings.output, false);
    let Looked { session, runtime } = match look(args, Intent::Look, &mut show, screen)? {
        Ok(looked) => looked,
        Err(exit) => return Ok(exit),
    };
    let plan = session.plan();
    let mut all = BTreeMap::new();
    for (name, seen) in session.seen() {
        let found = plan.balancers.get(name);
        let seen = Seen {
            target: found.map(|plan| plan.target.clone()).unwrap_or_default(),
            serves: seen.is_ok_and(|seen| seen.status().is_some()),
            machine: seen.ok().cloned(),
            problem: found.and_then(|plan| plan.problem.clone()),
            help: found.and_then(|plan| plan.help.clone()),
        };
        all.insert(name.clone(), seen);
    }
    runtime.block_on(session.close());
    let all_serve = all
        .values()
        .all(|seen| seen.serves && seen.problem.is_none());
    let paint = screen.paint_stdout();
    output::print(screen, settings.output, &all, |all| table(all, paint))?;
    Ok(if all_serve { Exit::Done } else { Exit::Failed })
}

fn table(all: &BTreeMap<Name, Seen>, paint: Paint) -> String {
    let headings = [
        "BALANCER",
        "TARGET",
        "SERVICE",
        "RELEASE",
        "REVISION",
        "SERVICES",
        "SERVERS UP",
    ];
    let mut table = Table::new(headings);
    let mut problems = String::new();
    for (name, seen) in all {
        let dash = || "-".to_owned();
        let machine = seen.machine.as_ref();
        let status = machine.and_then(Sight::status);
        let release = machine.and_then(Sight::release);
        let revision = status.and_then(|status| status["revision"]["number"].as_u64());
        let active = machine.map(|machine| machine.condition().to_owned());
        table.row([
            name.to_string(),
            seen.target.clone(),
            active
                .filter(|active| !active.is_empty())
                .unwrap_or_else(|| "unknown".to_owned()),
            release.unwrap_or_else(dash),
            revision.map_or_else(dash, |number| number.to_string()),
            status.map_or_else(dash, |status| {
                count(&status["status"]["virtual_services"]).to_string()
            }),
            status.map_or_else(dash, servers),
        ]);
        if let Some(problem) = &seen.problem {
            let problem = format!("{} {problem}", paint.error(format!("{name}:")));
            problems = format!("{problems}{problem}\n");
            if let Some(help) = &seen.help {
                problems = format!("{problems}  {} {help}\n", paint.strong("help:"));
            }
        }
    }
    let gap = if problems.is_empty() { "" } else { "\n" };
    format!("{}{gap}{problems}", table.text(paint))
}

fn count(table: &Value) -> usize {
    table.as_object().map_or(0, serde_json::Map::len)
}

/// How many servers take traffic, of how many.
fn servers(status: &Value) -> String {
    let pools = status["status"]["pools"].as_object();
    let pools = pools.into_iter().flat_map(serde_json::Map::values);
    let servers: Vec<&Value> = pools
        .filter_map(|pool| pool["servers"].as_object())
        .flat_map(serde_json::Map::values)
        .collect();
    // One that no health check looks at takes traffic, too.
    let takes =
        |server: &&&Value| Condition::deserialize(&server["condition"]).is_ok_and(Condition::is_up);
    let up = servers.iter().filter(takes).count();
    format!("{up} of {}", servers.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::servers;

    #[test]
    fn a_server_without_a_health_check_counts_and_one_that_is_down_does_not() {
        let server = |condition: &str| json!({ "condition": condition });
        let pool = json!({ "servers": {
            "checked": server("up"), "unchecked": server("unchecked"), "leaving": server("draining"),
            "down": server("down"), "off": server("disabled"), "of a later version": server("asleep"),
        } });
        let status = json!({ "status": { "pools": { "web": pool } } });
        assert_eq!(servers(&status), "3 of 6");
        assert_eq!(servers(&json!({})), "0 of 0");
    }
}
