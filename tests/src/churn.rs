//! Changes of every kind through the command line and the API while clients of every kind are being
//! served, and what became of the clients.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::tree::anonymous_memory;
use crate::{Addressed, Balancer, Nginx, eventually};

mod load;
mod steps;
mod stream;

use load::Load;
use steps::Steps;
use stream::{Echo, Kind, Stream};

/// How much is changed, and under how much traffic.
#[derive(Clone, Copy, Debug)]
pub struct Churn {
    /// How many revisions are made at least.
    pub changes: u64,
    /// Within which time; they are spread over it.
    pub length: Duration,
    /// How many web sockets are open, and as many TCP connections.
    pub streams: usize,
    /// How long each connection that sends requests waits between them, so that others have a share of
    /// the machine too; without it they send as fast as they can.
    pub pause: Option<Duration>,
}

/// What was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    /// How many revisions were made.
    pub revisions: u64,
    /// How many changes of each kind.
    pub kinds: BTreeMap<&'static str, u64>,
    /// How long that took.
    pub took: Duration,
    /// The longest time from the start of a command or request that changes to its answer.
    pub longest_change: Duration,
    /// Requests that were answered.
    pub requests: u64,
    /// Requests that failed in any way, or were not answered with 200.
    pub failures: u64,
    /// What the load generator said.
    pub load: String,
    /// Of each sort of connection that no plan named: how many were opened, and why some ended.
    pub untouched: BTreeMap<String, (usize, Vec<String>)>,
    /// Of each sort that a plan named: how many the plan said, how many were open, and how many ended.
    pub named: BTreeMap<String, Named>,
    /// Memory of the balancer before and after.
    pub memory: (u64, u64),
    /// Configurations in memory at the end.
    pub configurations: f64,
    /// The longest time that a worker did nothing but take over a change: no more than this.
    pub pause_below: Duration,
}

/// Connections that a plan named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// How many the plan said.
    pub planned: u64,
    /// How many were open.
    pub open: usize,
    /// How many have ended through the change.
    pub ended: usize,
}

/// Idle connections of the service that is removed, web sockets of it, and web sockets and TCP
/// connections of the servers that are removed.
const NAMED: usize = 20;

/// Everything around the balancer.
struct Farm {
    balancer: Balancer,
    /// What requests go to.
    web: Vec<Nginx>,
    /// What web sockets and TCP connections go to.
    echoes: Vec<Echo>,
}

impl Churn {
    /// Does it.
    pub async fn run(self) -> Seen {
        raise_open_files();
        let farm = Farm::start().await;
        let balancer = &farm.balancer;
        let untouched = self.open(balancer).await;
        let mut named = NamedStreams::open(&farm).await;
        let mut steps = Steps::new(&farm);
        let load = Load::start(balancer, self.pause);
        load.has_begun(balancer).await;
        // Each kind once, under load: what a first time allocates is no growth.
        steps.one_of_each().await;
        named.check_before(&farm).await;
        let memory_before = anonymous_memory(farm.root());
        let first = balancer.revision().await;
        let began = Instant::now();
        let counts = named.remove(&farm, &mut steps).await;
        loop {
            let made = balancer.revision().await - first;
            if made >= self.changes {
                break;
            }
            steps.next().await;
            let due = self.length.mul_f64(
                f64::from(u32::try_from(made).unwrap_or(u32::MAX))
                    / f64::from(u32::try_from(self.changes).unwrap_or(u32::MAX)),
            );
            tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
        }
        let took = began.elapsed();
        let revisions = balancer.revision().await - first;
        let memory = (memory_before, anonymous_memory(farm.root()));
        let load = load.end().await;
        let configurations = farm.single_configuration().await;
        stream::all_still_echo(untouched.values().flatten()).await;
        Seen {
            revisions,
            kinds: steps.kinds(),
            took,
            longest_change: steps.longest(),
            requests: load.requests,
            failures: load.failures,
            load: load.text,
            untouched: untouched
                .into_iter()
                .map(|(sort, streams)| (sort, stream::ends(&streams)))
                .collect(),
            named: named.seen(counts).await,
            memory,
            configurations,
            pause_below: farm.longest_pause().await,
        }
    }

    /// Opens what no plan names.
    async fn open(self, balancer: &Balancer) -> BTreeMap<String, Vec<Stream>> {
        let mut all = BTreeMap::new();
        for (service, kind) in [("chat", Kind::WebSocket), ("mail", Kind::Tcp)] {
            let streams = Stream::open_many(balancer.address(service), kind, self.streams).await;
            all.insert(service.to_owned(), streams);
        }
        all
    }
}

/// More than a thousand connections have both their ends in this process.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("a process may raise its limit to the maximum");
}

impl Farm {
    async fn start() -> Self {
        let mut web = Vec::new();
        for name in ["web1", "web2", "web3", "web4"] {
            web.push(Nginx::start(name).await);
        }
        let mut echoes = Vec::new();
        for name in [
            "chat1", "chat2", "chat3", "mail1", "mail2", "mail3", "tail1",
        ] {
            let kind = if name.starts_with("mail") {
                Kind::Tcp
            } else {
                Kind::WebSocket
            };
            echoes.push(Echo::start(name, kind).await);
        }
        let servers = web.iter().map(|server| server as &dyn Addressed);
        let servers = servers.chain(echoes.iter().map(|server| server as &dyn Addressed));
        let servers: Vec<&dyn Addressed> = servers.collect();
        let document = crate::document(include_str!("churn/document.toml"), &servers);
        let balancer = Balancer::start(&document).await;
        Self {
            balancer,
            web,
            echoes,
        }
    }

    fn root(&self) -> rustix::process::Pid {
        self.balancer.pid()
    }

    fn echo(&self, name: &str) -> &Echo {
        let found = self.echoes.iter().find(|echo| echo.name() == name);
        found.unwrap_or_else(|| panic!("no server {name}"))
    }

    /// Waits until nothing of a former configuration is left, and gives how many there are then.
    async fn single_configuration(&self) -> f64 {
        eventually("nothing is left of former configurations", async || {
            let alive = self.admin_metric("lb_configurations").await;
            (alive <= 1.0).then_some(alive)
        })
        .await
    }

    async fn admin_metric(&self, name: &str) -> f64 {
        let told = self.balancer.api().get("/metrics").await;
        crate::Metrics(told.body).sum(name, &[])
    }

    /// The bound of the highest bucket of pauses that is not empty.
    async fn longest_pause(&self) -> Duration {
        let told = self.balancer.api().get("/metrics").await;
        let metrics = crate::Metrics(told.body);
        let all = metrics.sum("lb_worker_pause_seconds_count", &[]);
        let bounds = metrics.0.lines().filter_map(|line| {
            let rest = line.strip_prefix("lb_worker_pause_seconds_bucket{le=\"")?;
            let (bound, count) = rest.split_once("\"} ")?;
            Some((bound.parse::<f64>().ok()?, count.parse::<f64>().ok()?))
        });
        let mut bounds = bounds.filter(|(bound, count)| *count >= all && bound.is_finite());
        bounds
            .next()
            .map_or(Duration::MAX, |(bound, _)| Duration::from_secs_f64(bound))
    }
}

/// The connections that plans name: of a service and of servers that are removed.
struct NamedStreams {
    /// No request in progress, on the service that goes.
    idle: Vec<Stream>,
    /// web sockets on it.
    tail: Vec<Stream>,
    chat3: Vec<Stream>,
    mail3: Vec<Stream>,
}

impl NamedStreams {
    async fn open(farm: &Farm) -> Self {
        let address = |service| farm.balancer.address(service);
        Self {
            idle: Stream::open_many(address("tail"), Kind::Idle, NAMED).await,
            tail: Stream::open_many(address("tail"), Kind::WebSocket, NAMED).await,
            chat3: Stream::open_many(address("chat3"), Kind::WebSocket, NAMED).await,
            mail3: Stream::open_many(address("mail3"), Kind::Tcp, NAMED).await,
        }
    }

    /// What the changes so far have not touched is as it was.
    async fn check_before(&self, farm: &Farm) {
        stream::all_still_echo(self.tail.iter().chain(&self.chat3).chain(&self.mail3)).await;
        assert_eq!(farm.echo("chat3").open(), NAMED);
        assert_eq!(farm.echo("mail3").open(), NAMED);
    }

    /// Removes what they use, and gives how many connections each plan names.
    async fn remove(&mut self, farm: &Farm, steps: &mut Steps<'_>) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        for path in [
            "pools/chat3/servers/chat3",
            "pools/mail3/servers/mail3",
            "virtual_services/tail",
        ] {
            let change = serde_json::json!({ "edits": [{ "delete": { "path": path } }] });
            let asked = serde_json::json!({ "change": change });
            let told = farm.balancer.api().send("POST", "/plan", &asked).await;
            let plan = told.json();
            let changes = plan["plan"]["changes"].as_array().expect("changes");
            assert_eq!(changes.len(), 1, "{plan}");
            let touched = changes.iter().filter_map(|c| c["connections"].as_u64());
            counts.insert(path, touched.sum());
            steps.delete("remove what is in use", path).await;
        }
        counts
    }

    async fn seen(self, counts: BTreeMap<&'static str, u64>) -> BTreeMap<String, Named> {
        // The idle ones are to end; nothing ends the others.
        stream::all_ended(&self.idle).await;
        stream::all_still_echo(self.tail.iter().chain(&self.chat3).chain(&self.mail3)).await;
        let planned = |path| counts[path];
        let sorts = [
            (
                "server chat3",
                "pools/chat3/servers/chat3",
                vec![&self.chat3],
            ),
            (
                "server mail3",
                "pools/mail3/servers/mail3",
                vec![&self.mail3],
            ),
            (
                "service tail",
                "virtual_services/tail",
                vec![&self.idle, &self.tail],
            ),
        ];
        let named = sorts.map(|(sort, path, streams)| {
            let open = streams.iter().map(|streams| streams.len()).sum();
            let ended = streams.iter().map(|s| stream::ends(s).1.len()).sum();
            let planned = planned(path);
            (
                sort.to_owned(),
                Named {
                    planned,
                    open,
                    ended,
                },
            )
        });
        named.into()
    }
}
