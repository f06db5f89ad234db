//! How many connections use what a plan changes.

use lb_model::plan::Plan;
use lb_model::problem::{Path, Step};
use lb_model::status::{PoolStatus, Status};

/// Says of each change how many connections and requests in progress use what it changes. What does
/// not run has none; `limits` and `telemetry` belong to nobody's connections.
pub(super) fn count(plan: &mut Plan, status: &Status) {
    for change in &mut plan.changes {
        change.connections = users(&change.path, status);
    }
}

fn users(path: &Path, status: &Status) -> Option<u64> {
    let keys: Vec<&str> = path.steps().iter().map_while(key).collect();
    match keys[..] {
        ["virtual_services", name, ..] => {
            let service = status.virtual_services.get(name);
            Some(service.map_or(0, |service| service.connections_open))
        }
        ["pools", pool, "servers", server, ..] => {
            let server = status
                .pools
                .get(pool)
                .and_then(|pool| pool.servers.get(server));
            Some(server.map_or(0, |server| server.in_progress))
        }
        ["pools", pool, ..] => Some(status.pools.get(pool).map_or(0, in_progress)),
        _ => None,
    }
}

fn in_progress(pool: &PoolStatus) -> u64 {
    let servers = pool.servers.values().map(|server| server.in_progress);
    servers.sum::<u64>() + pool.queue_length
}

fn key(step: &Step) -> Option<&str> {
    match step {
        Step::Key(key) => Some(key),
        Step::Index(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use lb_model::api::Timestamp;
    use lb_model::status::{Condition, Histogram, Responses, ServerStatus, VirtualServiceStatus};

    use super::*;

    fn running() -> Status {
        let server = |in_progress| ServerStatus {
            address: "10.0.0.11:80".parse().unwrap(),
            weight: 100,
            condition: Condition::Up,
            reason: None,
            since: Timestamp::from_unix_millis(0),
            probe: None,
            in_progress,
            requests: 0,
            connections: 0,
            connect_failures: 0,
            failures: 0,
            retries: 0,
            responses: Responses::default(),
            bytes_received: 0,
            bytes_sent: 0,
            response_time: Histogram::default(),
        };
        let service = VirtualServiceStatus {
            address: "127.0.0.1:80".parse().unwrap(),
            connections_open: 500,
            connections: 0,
            responses: Responses::default(),
            refused: 0,
            unavailable: 0,
            bytes_received: 0,
            bytes_sent: 0,
            duration: Histogram::default(),
        };
        let mut status = Status::default();
        status
            .virtual_services
            .insert("shop".parse().unwrap(), service);
        let pool = PoolStatus {
            queue_length: 1,
            servers: [("iis1", 20), ("iis2", 3)]
                .map(|(name, count)| (name.parse().unwrap(), server(count)))
                .into(),
            ..PoolStatus::default()
        };
        status.pools.insert("web".parse().unwrap(), pool);
        status
    }

    #[test]
    fn each_change_is_shown_with_the_connections_that_use_what_it_changes() {
        let status = running();
        for (path, expected) in [
            ("virtual_services.shop.pool", Some(500)),
            ("virtual_services.shop.rules[0].match", Some(500)),
            ("virtual_services.new", Some(0)),
            ("pools.web.servers.iis1.weight", Some(20)),
            ("pools.web.servers.iis9", Some(0)),
            ("pools.web.balance", Some(24)),
            ("pools.new", Some(0)),
            ("limits.connections_max", None),
        ] {
            assert_eq!(users(&path.parse().unwrap(), &status), expected, "{path}");
        }
    }
}
