//! Pools by themselves: servers, health checks, connections.

use std::collections::HashMap;

use super::found::{Found, pool_path};
use super::rule::probe_fields;
use crate::config::{
    Balance, Config, HealthCheck, Http2WithServers, HttpProbe, Pool, PrivateConnections, Probe,
    ServerState, TcpProbe,
};
use crate::problem::{Code, Path};
use crate::value::Name;

pub(super) fn servers(config: &Config, found: &mut Found) {
    for (name, pool) in &config.pools {
        if pool.servers.is_empty() {
            let message = format!("the pool `{name}` has no servers, so its clients get an error");
            let help = format!("add servers under [pools.{name}.servers]");
            found.report(Code::PoolWithoutServers, pool_path(name), message, help);
            continue;
        }
        server_twice(name, pool, found);
        no_server_takes_clients(name, pool, found);
        weights_ignored(name, pool, found);
        http2_in_vain(name, pool, found);
    }
}

fn http2_in_vain(name: &Name, pool: &Pool, found: &mut Found) {
    let offered = pool.http2 == Http2WithServers::Offered && pool.tls.is_none();
    let private = pool.reuse.private == PrivateConnections::Always;
    let (message, help) = match pool.http2 {
        Http2WithServers::Offered if offered => (
            format!("the servers of `{name}` are offered HTTP/2, which only TLS can do"),
            "use `http2 = \"always\"` if they speak it without TLS, or add `tls`",
        ),
        Http2WithServers::Offered | Http2WithServers::Always if private => (
            format!("HTTP/2 is for shared connections, and those of `{name}` are private"),
            "remove `http2`, or `reuse.private = \"always\"`",
        ),
        Http2WithServers::Never | Http2WithServers::Offered | Http2WithServers::Always => return,
    };
    found.report(
        Code::Http2InVain,
        pool_path(name).key("http2"),
        message,
        help,
    );
}

fn server_twice(name: &Name, pool: &Pool, found: &mut Found) {
    let mut addresses = HashMap::with_capacity(pool.servers.len());
    for (server_name, server) in &pool.servers {
        let earlier = *addresses.entry(server.address).or_insert(server_name);
        if earlier != server_name {
            let message = format!(
                "`{earlier}` and `{server_name}` are the same server, {}",
                server.address
            );
            let path = pool_path(name)
                .key("servers")
                .key(server_name.as_str())
                .key("address");
            let help = "remove one of them, or correct its address";
            found.report(Code::ServerTwice, path, message, help);
        }
    }
}

fn no_server_takes_clients(name: &Name, pool: &Pool, found: &mut Found) {
    let takes = pool
        .servers
        .values()
        .any(|server| server.state == ServerState::Enabled && server.weight.get() > 0);
    if !takes {
        let message =
            format!("every server of the pool `{name}` is disabled, draining or has weight 0");
        let help = "enable a server, or give one a weight";
        found.report(
            Code::NoServerTakesClients,
            pool_path(name).key("servers"),
            message,
            help,
        );
    }
}

fn weights_ignored(name: &Name, pool: &Pool, found: &mut Found) {
    let instead = match pool.balance {
        Balance::RoundRobin => "weighted_round_robin",
        Balance::LeastConnections => "weighted_least_connections",
        Balance::WeightedRoundRobin
        | Balance::WeightedLeastConnections
        | Balance::FixedWeighting
        | Balance::RandomOfTwo
        | Balance::SourceHash => return,
    };
    // Weight 0 is heeded by every balance: such a server gets no new clients.
    let mut weights = pool
        .servers
        .values()
        .map(|s| s.weight)
        .filter(|w| w.get() > 0);
    let Some(first) = weights.next() else { return };
    if weights.any(|weight| weight != first) {
        let message = format!("the servers of `{name}` have weights, which the balance ignores");
        let help = format!("use `balance = \"{instead}\"`, or remove the weights");
        found.report(
            Code::WeightsIgnored,
            pool_path(name).key("balance"),
            message,
            help,
        );
    }
}

pub(super) fn health_checks(config: &Config, found: &mut Found) {
    for (name, pool) in &config.pools {
        match &pool.health_check {
            Some(check) => {
                let path = pool_path(name).key("health_check");
                timeout_above_interval(check, &path, found);
                probe_answer(check, &path, found);
                probe_fields(check, &path, found);
            }
            None if pool.servers.len() > 1 => {
                let message = format!("servers of `{name}` that fail are noticed by clients first");
                let help = "add `health_check = {}` to probe by TCP, or a probe of its own";
                found.report(Code::NoHealthCheck, pool_path(name), message, help);
            }
            None => {}
        }
    }
}

fn timeout_above_interval(check: &HealthCheck, path: &Path, found: &mut Found) {
    if check.timeout > check.interval {
        let message = format!(
            "a probe may take {}, and the next is due after {}",
            check.timeout, check.interval
        );
        let help = "raise `interval` or lower `timeout`";
        found.report(
            Code::TimeoutAboveInterval,
            path.key("timeout"),
            message,
            help,
        );
    }
}

fn probe_answer(check: &HealthCheck, path: &Path, found: &mut Found) {
    let path = path.key("probe");
    match &check.probe {
        Probe::Http(HttpProbe {
            method,
            body: Some(_),
            ..
        }) if method.as_str() == "HEAD" => {
            let message = "the answer to a HEAD request has no body to match";
            let help = "use `method = \"GET\"`, or remove `body`";
            found.report(
                Code::ProbeWithoutBody,
                path.key("http").key("body"),
                message,
                help,
            );
        }
        Probe::Tcp(TcpProbe {
            send: Some(_),
            expect: None,
        }) => {
            let message = "the probe sends a text and takes any answer, or none, for health";
            let help = "add `expect` with a pattern of the answer, or remove `send`";
            found.report(
                Code::AnswerNotChecked,
                path.key("tcp").key("send"),
                message,
                help,
            );
        }
        Probe::Http(_) | Probe::Grpc(_) | Probe::Tcp(_) => {}
    }
}

pub(super) fn connections_shared(config: &Config, found: &mut Found) {
    for (name, pool) in &config.pools {
        if pool.reuse.private == PrivateConnections::Never {
            let message = "with Windows authentication, users get the pages of other users";
            let help = "remove `private`, unless no server will ever authenticate connections";
            let path = pool_path(name).key("reuse").key("private");
            found.report(Code::ConnectionsShared, path, message, help);
        }
    }
}
