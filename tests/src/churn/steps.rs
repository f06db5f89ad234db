//! The changes, one kind after the other. What one round makes, a later one takes away.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Farm;
use crate::{Addressed, Client, Told, eventually, free_port};

/// Makes changes.
pub(super) struct Steps<'a> {
    farm: &'a Farm,
    /// How many steps were made.
    made: usize,
    kinds: BTreeMap<&'static str, u64>,
    longest: Duration,
}

/// A kind of change.
#[derive(Clone, Copy, Debug)]
enum Step {
    Server(ServerStep),
    Rule(RuleStep),
    Pool(PoolStep),
    Service(ServiceStep),
    Machine(MachineStep),
    History(HistoryStep),
}

#[derive(Clone, Copy, Debug)]
enum ServerStep {
    Weight,
    Added,
    Moved,
    Drained,
    Enabled,
    Disabled,
    Removed,
}

#[derive(Clone, Copy, Debug)]
enum RuleStep {
    Added,
    Moved,
    Removed,
}

#[derive(Clone, Copy, Debug)]
enum PoolStep {
    Persistence,
    HealthCheck,
    Timeouts,
    Balance,
    Reuse,
    Added,
    Removed,
}

#[derive(Clone, Copy, Debug)]
enum ServiceStep {
    Added,
    Moved,
    Removed,
}

#[derive(Clone, Copy, Debug)]
enum MachineStep {
    Telemetry,
    Limits,
}

#[derive(Clone, Copy, Debug)]
enum HistoryStep {
    Document,
    Rollback,
    Confirmed,
    Reverted,
}

const STEPS: [Step; 26] = [
    Step::Server(ServerStep::Weight),
    Step::Server(ServerStep::Added),
    Step::Server(ServerStep::Moved),
    Step::Server(ServerStep::Drained),
    Step::Server(ServerStep::Enabled),
    Step::Server(ServerStep::Disabled),
    Step::Server(ServerStep::Removed),
    Step::Rule(RuleStep::Added),
    Step::Rule(RuleStep::Moved),
    Step::Rule(RuleStep::Removed),
    Step::Pool(PoolStep::Persistence),
    Step::Pool(PoolStep::HealthCheck),
    Step::Pool(PoolStep::Timeouts),
    Step::Pool(PoolStep::Balance),
    Step::Pool(PoolStep::Reuse),
    Step::Pool(PoolStep::Added),
    Step::Pool(PoolStep::Removed),
    Step::Service(ServiceStep::Added),
    Step::Service(ServiceStep::Moved),
    Step::Service(ServiceStep::Removed),
    Step::Machine(MachineStep::Telemetry),
    Step::Machine(MachineStep::Limits),
    Step::History(HistoryStep::Document),
    Step::History(HistoryStep::Rollback),
    Step::History(HistoryStep::Confirmed),
    Step::History(HistoryStep::Reverted),
];

impl<'a> Steps<'a> {
    pub(super) fn new(farm: &'a Farm) -> Self {
        Self {
            farm,
            made: 0,
            kinds: BTreeMap::new(),
            longest: Duration::ZERO,
        }
    }

    pub(super) async fn one_of_each(&mut self) {
        for _ in STEPS {
            self.next().await;
        }
        self.kinds.clear();
        self.longest = Duration::ZERO;
    }

    /// Makes the next change.
    pub(super) async fn next(&mut self) {
        let (round, step) = (self.made / STEPS.len(), STEPS[self.made % STEPS.len()]);
        self.made += 1;
        match step {
            Step::Server(step) => self.server(step, round).await,
            Step::Rule(step) => self.rule(step, round).await,
            Step::Pool(step) => self.pool(step, round).await,
            Step::Service(step) => self.service(step).await,
            Step::Machine(step) => self.machine(step, round).await,
            Step::History(step) => self.history(step, round).await,
        }
    }

    /// How many changes of each kind were made.
    pub(super) fn kinds(&self) -> BTreeMap<&'static str, u64> {
        self.kinds.clone()
    }

    /// How long the slowest took.
    pub(super) fn longest(&self) -> Duration {
        self.longest
    }

    async fn server(&mut self, step: ServerStep, round: usize) {
        let second = self.farm.web[3].address().to_string();
        let third = self.farm.web[2].address().to_string();
        let extra = "/config/pools/web/servers/extra";
        match step {
            ServerStep::Weight => {
                let weight = (10 + round).to_string();
                let set = ["server", "set", "web/web2", "--weight", &weight];
                self.cli("weight", &set).await;
            }
            ServerStep::Added => {
                let add = ["server", "add", "web/extra", "--address", &second, "--yes"];
                self.cli("server added", &add).await;
            }
            ServerStep::Moved => {
                let moved = json!({ "address": third, "connections_max": 5000 });
                self.patch("server moved", extra, &moved).await;
            }
            ServerStep::Drained => self.cli("server drained", &["drain", "web/extra"]).await,
            ServerStep::Enabled => self.cli("server enabled", &["enable", "web/extra"]).await,
            ServerStep::Disabled => {
                let path = "/servers/web/extra/disable";
                self.api("server disabled", "POST", path, &Value::Null)
                    .await;
            }
            ServerStep::Removed => {
                self.delete("server removed", "pools/web/servers/extra")
                    .await;
            }
        }
    }

    async fn rule(&mut self, step: RuleStep, round: usize) {
        match step {
            RuleStep::Added => {
                let value = format!("X-Round={round}");
                let mark = ["rule", "add", "shop/mark", "--request-headers-set", &value];
                self.cli("rule", &mark).await;
                let rest = ["--match-path-regex", "^/never/", "--action-pool", "chat"];
                let never = [&["rule", "add", "shop/never"][..], &rest[..]].concat();
                self.cli("rule", &never).await;
            }
            RuleStep::Moved => {
                let first = ["rule", "set", "shop/never", "--first"];
                self.cli("rule moved", &first).await;
            }
            RuleStep::Removed => {
                for name in ["mark", "never"] {
                    let path = format!("virtual_services/shop/rules/{name}");
                    self.delete("rule removed", &path).await;
                }
            }
        }
    }

    async fn pool(&mut self, step: PoolStep, round: usize) {
        let web = "/config/pools/web";
        match step {
            PoolStep::Persistence => {
                let sorts = [
                    json!({ "cookie": { "fallback": {} } }),
                    json!({ "source": { "timeout": "1h" } }),
                    json!({ "passive_cookie": { "name": "sid" } }),
                    Value::Null,
                ];
                let sort = &sorts[round % sorts.len()];
                let patch = json!({ "persistence": sort, "description": format!("{round}") });
                self.patch("persistence", web, &patch).await;
            }
            PoolStep::HealthCheck => {
                let check = json!({ "interval": "100ms", "probe": { "http": { "path": "/" } } });
                let check = if round.is_multiple_of(2) {
                    check
                } else {
                    Value::Null
                };
                self.patch("health check", web, &json!({ "health_check": check }))
                    .await;
            }
            PoolStep::Timeouts => {
                let seconds = format!("{}s", 30 + round);
                let client = json!({ "timeouts": { "idle": seconds, "tunnel": "2h" } });
                for service in ["shop", "chat", "mail"] {
                    let path = format!("/config/virtual_services/{service}");
                    self.patch("timeouts", &path, &client).await;
                }
                let server = json!({ "connect_timeout": seconds, "response_timeout": seconds });
                self.patch("timeouts", "/config/pools/mail", &server).await;
            }
            PoolStep::Balance => {
                let sorts = [
                    "source_hash",
                    "random_of_two",
                    "round_robin",
                    "least_connections",
                ];
                for pool in ["web", "chat", "mail"] {
                    let balance = sorts[round % sorts.len()];
                    let set = ["pool", "set", pool, "--balance", balance, "--retries"];
                    let retries = (round % 5).to_string();
                    self.cli("balance", &[&set[..], &[&retries]].concat()).await;
                }
            }
            PoolStep::Reuse => {
                let reuse = json!({ "reuse": { "idle_max": 1 + round % 50 }, "queue": { "length_max": 1000 + round } });
                self.patch("reuse and queue", web, &reuse).await;
            }
            PoolStep::Added => {
                let servers = json!({ "one": { "address": self.farm.web[3].address() } });
                let pool = json!({ "servers": servers });
                self.api("pool", "PUT", "/config/pools/spare", &pool).await;
            }
            PoolStep::Removed => self.delete("pool removed", "pools/spare").await,
        }
    }

    async fn service(&mut self, step: ServiceStep) {
        let path = "/config/virtual_services/passing";
        match step {
            ServiceStep::Added => {
                let service = json!({ "address": "127.0.0.1:0", "pool": "web" });
                self.api("service", "PUT", path, &service).await;
                self.serves("passing").await;
            }
            ServiceStep::Moved => {
                let moved = json!({ "address": free_port() });
                let quiet = "/config/virtual_services/quiet";
                self.patch("service moved", quiet, &moved).await;
                self.serves("quiet").await;
            }
            ServiceStep::Removed => {
                self.delete("service removed", "virtual_services/passing")
                    .await;
            }
        }
    }

    async fn machine(&mut self, step: MachineStep, round: usize) {
        match step {
            MachineStep::Telemetry => {
                let log = self
                    .farm
                    .balancer
                    .folder()
                    .join(format!("{}.log", round % 3));
                let format = ["json", "combined"][round % 2];
                let log = json!({ "output": { "file": log }, "format": format });
                let log = if round % 3 == 2 { Value::Null } else { log };
                let telemetry = json!({ "access_log": log, "metrics_address": free_port() });
                self.patch("telemetry", "/config/telemetry", &telemetry)
                    .await;
            }
            MachineStep::Limits => {
                let most = (5000 + round).to_string();
                self.cli("limits", &["limits", "set", "--connections-max", &most])
                    .await;
            }
        }
    }

    async fn history(&mut self, step: HistoryStep, round: usize) {
        let api = self.farm.balancer.api();
        match step {
            HistoryStep::Document => {
                let mut document = api.get("/config").await.json();
                document["virtual_services"]["chat"]["description"] = round.to_string().into();
                let path = self.farm.balancer.folder().join("next.json");
                std::fs::write(&path, document.to_string()).expect("write a document");
                let path = path.to_str().expect("a path in UTF-8");
                self.cli("document", &["apply", path, "--yes"]).await;
            }
            HistoryStep::Rollback => {
                let before = (self.farm.balancer.revision().await - 1).to_string();
                self.cli("rollback", &["rollback", &before, "--yes"]).await;
            }
            HistoryStep::Confirmed => {
                let weight = (50 + round).to_string();
                let set = ["server", "set", "web/web1", "--weight", &weight];
                let set = [&set[..], &["--confirm", "60s"]].concat();
                self.cli("confirmed", &set).await;
                let confirmed = self.farm.balancer.lbctl(&["confirm"]).await;
                assert_eq!(confirmed.code(), 0, "{confirmed:?}");
            }
            HistoryStep::Reverted => {
                let path = "/config/pools/web?confirm=1s";
                let retries = json!({ "retries": 9, "balance": "fixed_weighting" });
                let before = self.farm.balancer.revision().await;
                self.patch("reverted", path, &retries).await;
                eventually("the change is taken back", async || {
                    let pool = api.get("/config/pools/web").await.json();
                    let back = pool["retries"] != 9;
                    (back && self.farm.balancer.revision().await == before + 2).then_some(())
                })
                .await;
            }
        }
    }

    /// Waits until a virtual service answers where it says that it listens.
    async fn serves(&self, service: &str) {
        let status = self.farm.balancer.api().get("/status").await.json();
        let address = &status["status"]["virtual_services"][service]["address"];
        let address = address.as_str().and_then(|text| text.parse().ok());
        let address = address.unwrap_or_else(|| panic!("no address of {service} in {status}"));
        let answer = Client::connect(address).await.ask("/", &[]).await;
        assert_eq!(answer.status(), 200, "{service}: {}", answer.text());
    }

    pub(super) async fn delete(&mut self, kind: &'static str, path: &str) {
        let path = format!("/config/{path}");
        self.api(kind, "DELETE", &path, &Value::Null).await;
    }

    async fn patch(&mut self, kind: &'static str, path: &str, value: &Value) {
        self.api(kind, "PATCH", path, value).await;
    }

    async fn api(&mut self, kind: &'static str, method: &str, path: &str, value: &Value) {
        let api = self.farm.balancer.api();
        let began = Instant::now();
        let told: Told = if value.is_null() {
            api.ask(method, path, &[], &[]).await
        } else {
            api.send(method, path, value).await
        };
        self.count(kind, began);
        assert_eq!(told.status, 200, "{method} {path} {value}: {told:?}");
        let changes = &told.json()["plan"]["changes"];
        assert_ne!(*changes, json!([]), "{method} {path} changes nothing");
    }

    async fn cli(&mut self, kind: &'static str, args: &[&str]) {
        let began = Instant::now();
        let done = self.farm.balancer.lbctl(args).await;
        self.count(kind, began);
        assert_eq!(done.code(), 0, "{args:?}: {done:?}");
    }

    fn count(&mut self, kind: &'static str, began: Instant) {
        self.longest = self.longest.max(began.elapsed());
        *self.kinds.entry(kind).or_default() += 1;
    }
}
