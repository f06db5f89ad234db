//! The metrics of the data plane, as Prometheus text (exposition format 0.0.4). The only file that
//! names metrics: `lb_<noun>_<unit>`, with `_total` when the number only grows. Labels come from the
//! document's vocabulary.

use lb_model::status::Condition;
use lb_model::value::Name;

use self::page::{Active, ByStatus, Object, Page, Seconds, Total};
use super::{Counter, HandshakeFailure, Histogram, PerWorker, ServerCounters, ServiceCounters};

mod page;

/// Everything that a page of metrics is made of.
#[derive(Debug)]
pub(crate) struct MetricsView<'a> {
    /// How many workers serve.
    pub(crate) workers: usize,
    /// The configuration in force, and former ones that something in progress still uses.
    pub(crate) configurations: usize,
    /// Lines that the access log could not take.
    pub(crate) access_log_lines_dropped: u64,
    /// How long workers did nothing else while they went over to another configuration.
    pub(crate) pauses: &'a PerWorker<Histogram>,
    /// The virtual services.
    pub(crate) services: Vec<ServiceView<'a>>,
    /// The pools.
    pub(crate) pools: Vec<PoolView<'a>>,
}

/// A virtual service and its counters.
#[derive(Debug)]
pub(crate) struct ServiceView<'a> {
    /// Its name.
    pub(crate) name: &'a Name,
    /// What the workers counted.
    pub(crate) counters: &'a PerWorker<ServiceCounters>,
}

/// A pool as it stands.
#[derive(Debug)]
pub(crate) struct PoolView<'a> {
    /// Its name.
    pub(crate) name: &'a Name,
    /// Requests that wait for a server.
    pub(crate) queue_length: u64,
    /// Clients that persistence remembers; none when it needs no memory.
    pub(crate) persistence_entries: Option<u64>,
    /// Its servers.
    pub(crate) servers: Vec<ServerView<'a>>,
}

/// A server as it stands, and its counters.
#[derive(Debug)]
pub(crate) struct ServerView<'a> {
    /// Its name in the pool.
    pub(crate) name: &'a Name,
    /// Whether it gets traffic, and if not, why.
    pub(crate) condition: Condition,
    /// Its share of traffic.
    pub(crate) weight: u32,
    /// What the workers counted.
    pub(crate) counters: &'a PerWorker<ServerCounters>,
}

const PAUSES: Seconds<Histogram> = Seconds {
    name: "lb_worker_pause_seconds",
    explanation: "How long a worker did nothing else while it took over a change, turn by turn.",
    value: |pauses| pauses,
};

const SERVICE_TOTALS: [Total<ServiceCounters>; 7] = [
    Total {
        name: "lb_virtual_service_connections_total",
        explanation: "Client connections accepted.",
        value: |c| &c.connections,
    },
    Total {
        name: "lb_virtual_service_refused_requests_total",
        explanation: "Requests refused because they were malformed, too large or too slow.",
        value: |c| &c.refused,
    },
    Total {
        name: "lb_virtual_service_unavailable_requests_total",
        explanation: "Requests and connections for which no server was available.",
        value: |c| &c.unavailable,
    },
    Total {
        name: "lb_virtual_service_received_bytes_total",
        explanation: "Bytes received from clients.",
        value: |c| &c.bytes_received,
    },
    Total {
        name: "lb_virtual_service_sent_bytes_total",
        explanation: "Bytes sent to clients.",
        value: |c| &c.bytes_sent,
    },
    Total {
        name: "lb_virtual_service_tls_handshakes_total",
        explanation: "TLS handshakes with clients that were completed.",
        value: |c| &c.handshakes,
    },
    Total {
        name: "lb_virtual_service_tls_resumed_handshakes_total",
        explanation: "Those of them with which a former session went on.",
        value: |c| &c.handshakes_resumed,
    },
];

const SERVICE_ACTIVE: Active<ServiceCounters> = Active {
    name: "lb_virtual_service_active_connections",
    explanation: "Client connections that are open.",
    begun: |c| &c.connections,
    ended: |c| &c.connections_closed,
};

const SERVICE_RESPONSES: ByStatus<ServiceCounters> = ByStatus {
    name: "lb_virtual_service_responses_total",
    explanation: "Responses sent to clients, by class of status; none: the connection ended before.",
    value: |c| &c.responses,
};

const SERVICE_DURATION: Seconds<ServiceCounters> = Seconds {
    name: "lb_virtual_service_request_duration_seconds",
    explanation: "From the first byte of a request to the last byte of its response.",
    value: |c| &c.duration,
};

const SERVER_TOTALS: [Total<ServerCounters>; 7] = [
    Total {
        name: "lb_server_requests_total",
        explanation: "Requests (TCP: connections) that the server was chosen for.",
        value: |c| &c.requests,
    },
    Total {
        name: "lb_server_connections_total",
        explanation: "Connections opened to the server.",
        value: |c| &c.connections,
    },
    Total {
        name: "lb_server_connect_failures_total",
        explanation: "Connections to the server that could not be opened.",
        value: |c| &c.connect_failures,
    },
    Total {
        name: "lb_server_failures_total",
        explanation: "Exchanges that ended because the server closed, stalled or sent nonsense.",
        value: |c| &c.failures,
    },
    Total {
        name: "lb_server_retries_total",
        explanation: "Requests that moved on to another server.",
        value: |c| &c.retries,
    },
    Total {
        name: "lb_server_sent_bytes_total",
        explanation: "Bytes sent to the server.",
        value: |c| &c.bytes_sent,
    },
    Total {
        name: "lb_server_received_bytes_total",
        explanation: "Bytes received from the server.",
        value: |c| &c.bytes_received,
    },
];

const SERVER_ACTIVE: Active<ServerCounters> = Active {
    name: "lb_server_active_requests",
    explanation: "Requests (TCP: connections) in progress at the server.",
    begun: |c| &c.requests,
    ended: |c| &c.requests_ended,
};

const SERVER_RESPONSES: ByStatus<ServerCounters> = ByStatus {
    name: "lb_server_responses_total",
    explanation: "Responses of the server, by class of status; none: the exchange ended before.",
    value: |c| &c.responses,
};

const SERVER_RESPONSE_TIME: Seconds<ServerCounters> = Seconds {
    name: "lb_server_response_seconds",
    explanation: "From the request being sent to the first byte of the response.",
    value: |c| &c.response_time,
};

/// The page of metrics.
pub(crate) fn render(view: &MetricsView<'_>) -> String {
    let MetricsView {
        workers,
        configurations,
        access_log_lines_dropped,
        pauses,
        services,
        pools,
    } = view;
    let mut page = Page(String::with_capacity(16 * 1024));
    page.family("lb_build_info", "gauge", "The version that runs; always 1.");
    let version = env!("CARGO_PKG_VERSION");
    page.sample("lb_build_info", &format!("version=\"{version}\""), 1);
    page.family("lb_workers", "gauge", "Threads that serve traffic.");
    page.sample("lb_workers", "", workers);
    let name = "lb_configurations";
    page.family(
        name,
        "gauge",
        "The configuration in force, and former ones that something in progress still uses.",
    );
    page.sample(name, "", configurations);
    let name = "lb_access_log_dropped_lines_total";
    page.family(
        name,
        "counter",
        "Lines that the access log could not take in time.",
    );
    page.sample(name, "", access_log_lines_dropped);
    let everybody = Object {
        labels: String::new(),
        counters: *pauses,
    };
    page.seconds(&PAUSES, &[everybody]);

    let objects: Vec<Object<'_, ServiceCounters>> = services.iter().map(Object::service).collect();
    page.totals(&SERVICE_TOTALS, &objects);
    page.active(&SERVICE_ACTIVE, &objects);
    page.by_status(&SERVICE_RESPONSES, &objects);
    page.seconds(&SERVICE_DURATION, &objects);
    page.handshake_failures(&objects);

    page.pools(pools);
    let objects: Vec<Object<'_, ServerCounters>> = pools
        .iter()
        .flat_map(|pool| {
            pool.servers
                .iter()
                .map(|server| Object::server(pool, server))
        })
        .collect();
    page.totals(&SERVER_TOTALS, &objects);
    page.active(&SERVER_ACTIVE, &objects);
    page.by_status(&SERVER_RESPONSES, &objects);
    page.seconds(&SERVER_RESPONSE_TIME, &objects);
    page.0
}

impl<'a> Object<'a, ServiceCounters> {
    fn service(service: &ServiceView<'a>) -> Self {
        Self {
            // Names need no escaping: they have no quotes, backslashes or line feeds.
            labels: format!("virtual_service=\"{}\"", service.name),
            counters: service.counters,
        }
    }
}

impl<'a> Object<'a, ServerCounters> {
    fn server(pool: &PoolView<'a>, server: &ServerView<'a>) -> Self {
        Self {
            labels: server_labels(pool, server),
            counters: server.counters,
        }
    }
}

fn server_labels(pool: &PoolView<'_>, server: &ServerView<'_>) -> String {
    format!("pool=\"{}\",server=\"{}\"", pool.name, server.name)
}

impl Page {
    fn handshake_failures(&mut self, services: &[Object<'_, ServiceCounters>]) {
        let name = "lb_virtual_service_tls_handshake_failures_total";
        self.family(
            name,
            "counter",
            "TLS handshakes with clients that failed, by reason.",
        );
        for Object { labels, counters } in services {
            for reason in HandshakeFailure::ALL {
                let value = counters.sum(|c| {
                    let counter = c.handshake_failures.get(reason as usize);
                    counter.map_or(0, Counter::get)
                });
                let labels = format!("{labels},reason=\"{}\"", reason.word());
                self.sample(name, &labels, value);
            }
        }
    }

    fn pools(&mut self, pools: &[PoolView<'_>]) {
        let name = "lb_pool_queued_requests";
        self.family(name, "gauge", "Requests that wait for a server.");
        for pool in pools {
            self.sample(name, &format!("pool=\"{}\"", pool.name), pool.queue_length);
        }
        let name = "lb_pool_persistence_entries";
        self.family(name, "gauge", "Clients whose server is remembered.");
        for pool in pools {
            if let Some(entries) = pool.persistence_entries {
                self.sample(name, &format!("pool=\"{}\"", pool.name), entries);
            }
        }
        let name = "lb_server_up";
        self.family(name, "gauge", "1 when the server can answer, 0 when not.");
        self.servers(name, pools, |server| u32::from(server.condition.is_up()));
        let name = "lb_server_weight_ratio";
        self.family(
            name,
            "gauge",
            "The server's share of traffic relative to the others.",
        );
        self.servers(name, pools, |server| server.weight);
        let name = "lb_server_state";
        self.family(
            name,
            "gauge",
            "1 for the state that the server is in, 0 for the others.",
        );
        for pool in pools {
            for server in &pool.servers {
                for state in Condition::ALL {
                    let labels = server_labels(pool, server);
                    let labels = format!("{labels},state=\"{}\"", state.as_str());
                    self.sample(name, &labels, u8::from(state == server.condition));
                }
            }
        }
    }

    fn servers(&mut self, name: &str, pools: &[PoolView<'_>], value: fn(&ServerView<'_>) -> u32) {
        for pool in pools {
            for server in &pool.servers {
                self.sample(name, &server_labels(pool, server), value(server));
            }
        }
    }
}

#[cfg(test)]
mod tests;
