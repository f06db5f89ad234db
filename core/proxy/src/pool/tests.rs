//! What operators see of a pool: who gets which server, and what changes that.
//!
//! The clock stands still but for what a test moves it on.

use std::time::Duration;

use lb_model::config::{
    CookiePersistence, PassiveCookiePersistence, Persistence as Remember, Server as ServerModel,
    SourcePersistence,
};
use lb_model::status::Condition;
use lb_model::value::Weight;
use tokio::time::advance;

use super::*;

mod any_state;
mod decision_order;
mod ejection;
mod explain;
mod hand_over;
mod queue;
mod slow_start;

const SECOND: Duration = Duration::from_secs(1);

/// A document with one pool, and the pool that runs it.
struct Farm {
    model: Model,
    pool: Arc<Pool>,
    local: LocalPool,
}

impl Farm {
    /// A pool with servers of these names.
    fn new(servers: &[&str], change: impl FnOnce(&mut Model)) -> Self {
        let mut model = Model::default();
        for (position, name) in servers.iter().enumerate() {
            let server = ServerModel {
                address: format!("192.0.2.{}:80", position + 1).parse().unwrap(),
                weight: Weight::default(),
                state: Administrative::Enabled,
                connections_max: None,
            };
            model.servers.insert(name.parse().unwrap(), server);
        }
        change(&mut model);
        let pool = run(&"web".parse().unwrap(), &model, None);
        Self {
            local: LocalPool::new(Arc::clone(&pool), 0),
            model,
            pool,
        }
    }

    /// Applies a changed document.
    fn change(&mut self, change: impl FnOnce(&mut Model)) {
        change(&mut self.model);
        let pool = run(self.pool.name(), &self.model, Some(&self.pool));
        let local = LocalPool::new(Arc::clone(&pool), 0);
        local.enter();
        (self.pool, self.local) = (pool, local);
        self.pool.settle();
    }

    fn change_server(&mut self, name: &str, change: impl FnOnce(&mut ServerModel)) {
        self.change(|model| change(model.servers.get_mut(name).unwrap()));
    }

    fn set_state(&mut self, name: &str, state: Administrative) {
        self.change_server(name, |server| server.state = state);
    }

    fn index(&self, name: &str) -> ServerIndex {
        let names = || self.pool.servers().iter().map(|s| s.name().as_str());
        ServerIndex::new(names().position(|n| n == name).unwrap())
    }

    /// Probes find this from now on.
    fn mark(&self, name: &str, health: Health) {
        self.pool.mark(self.index(name), health, "test".into());
    }

    /// The server of one request that ends at once, of a client without a cookie.
    fn request(&self, client: &str) -> Result<&str, Refusal> {
        let key = ClientKey {
            client: client.parse().unwrap(),
            cookie: None,
        };
        let mut lease = match self.local.try_acquire(&key, &Tried::default()) {
            Ok(lease) => lease,
            Err(TryRefusal::Unavailable) => return Err(Refusal::Unavailable),
            Err(TryRefusal::AtLimit) => return Err(Refusal::QueueTimeout),
        };
        lease.commit();
        Ok(lease.server().name().as_str())
    }

    /// The servers of that many requests in a row.
    fn requests(&self, count: usize) -> Vec<&str> {
        (0..count)
            .map(|_| self.request("198.51.100.1").unwrap())
            .collect()
    }
}

/// A pool that comes into force.
fn run(name: &Name, model: &Model, previous: Option<&Pool>) -> Arc<Pool> {
    let pool = Pool::build(name, model, 2, previous, None);
    pool.enter(previous);
    pool
}

/// A browser: it keeps its cookie, and the site gives it a session when it has none.
struct Browser {
    address: IpAddr,
    cookie: Option<Vec<u8>>,
}

impl Browser {
    fn new(address: &str) -> Self {
        Self {
            address: address.parse().unwrap(),
            cookie: None,
        }
    }

    /// Asks for a page; the server that gave it, and why that one.
    fn visit<'a>(&mut self, farm: &'a Farm) -> Result<(&'a str, Reason), TryRefusal> {
        let cookie = self.cookie.clone();
        let key = ClientKey {
            client: self.address,
            cookie: cookie
                .as_deref()
                .filter(|_| farm.pool.cookie_name().is_some()),
        };
        let mut lease = farm.local.try_acquire(&key, &Tried::default())?;
        lease.commit();
        if let Some(line) = lease.response_cookie() {
            let line = str::from_utf8(line).unwrap();
            let (_, rest) = line.split_once('=').unwrap();
            let (value, _) = rest.split_once(';').unwrap();
            self.cookie = Some(value.into());
        }
        if farm.pool.learns_cookie() && self.cookie.is_none() {
            let session = format!("session of {}", self.address);
            farm.local.learn(session.as_bytes(), lease.index());
            self.cookie = Some(session.into());
        }
        Ok((lease.server().name().as_str(), lease.reason()))
    }

    fn server<'a>(&mut self, farm: &'a Farm) -> &'a str {
        self.visit(farm).unwrap().0
    }
}

/// Every way to remember clients, by name.
fn every_persistence() -> [(&'static str, Remember); 5] {
    let source = SourcePersistence::default;
    let cookie = |fallback| {
        Remember::Cookie(CookiePersistence {
            fallback,
            ..CookiePersistence::default()
        })
    };
    let passive = |fallback| {
        Remember::PassiveCookie(PassiveCookiePersistence {
            name: "ASP.NET_SessionId".parse().unwrap(),
            timeout: Period::seconds(1200),
            entries_max: 1000,
            fallback,
        })
    };
    [
        ("cookie", cookie(None)),
        ("cookie or source", cookie(Some(source()))),
        ("passive cookie", passive(None)),
        ("passive cookie or source", passive(Some(source()))),
        ("source", Remember::Source(source())),
    ]
}

#[tokio::test(start_paused = true)]
async fn clients_see_the_servers_in_turn_whichever_worker_they_reach() {
    let farm = Farm::new(&["a", "b", "c"], |_| {});
    let other = LocalPool::new(Arc::clone(&farm.pool), 1);
    let key = ClientKey {
        client: "198.51.100.1".parse().unwrap(),
        cookie: None,
    };
    let seen: Vec<&str> = (0..6)
        .map(|n| {
            let local = if n % 2 == 0 { &farm.local } else { &other };
            let lease = local.try_acquire(&key, &Tried::default()).unwrap();
            lease.server().name().as_str()
        })
        .collect();
    assert_eq!(seen, ["a", "b", "c", "a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn requests_in_progress_count_until_they_end_on_whichever_worker() {
    let farm = Farm::new(&["a", "b"], |model| {
        model.balance = Balance::LeastConnections;
    });
    let other = LocalPool::new(Arc::clone(&farm.pool), 1);
    let key = ClientKey {
        client: "198.51.100.1".parse().unwrap(),
        cookie: None,
    };
    let first = other.try_acquire(&key, &Tried::default()).unwrap();
    let busy = first.server().name().as_str();
    assert!(farm.requests(5).iter().all(|server| *server != busy));
    assert_eq!(farm.pool.server(first.index()).load(), 1);
    let index = first.index();
    drop(first);
    assert_eq!(farm.pool.server(index).load(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_retry_goes_to_a_server_that_was_not_tried_until_none_is_left() {
    for balance in Balance::ALL {
        let farm = Farm::new(&["a", "b", "c"], |model| model.balance = balance);
        let key = ClientKey {
            client: "198.51.100.1".parse().unwrap(),
            cookie: None,
        };
        let mut tried = Tried::default();
        for _ in 0..3 {
            let index = farm.local.try_acquire(&key, &tried).unwrap().index();
            assert!(!tried.contains(index), "{balance:?}");
            tried.add(index);
        }
        let refusal = farm.local.try_acquire(&key, &tried).unwrap_err();
        assert_eq!(refusal, TryRefusal::Unavailable, "{balance:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_down_gets_nothing_and_returns_once_up() {
    for balance in Balance::ALL {
        let farm = Farm::new(&["a", "b"], |model| model.balance = balance);
        farm.mark("a", Health::Down);
        assert!(
            farm.requests(20).iter().all(|server| *server == "b"),
            "{balance:?}"
        );
        farm.mark("b", Health::Down);
        assert_eq!(farm.request("198.51.100.1"), Err(Refusal::Unavailable));
        farm.mark("a", Health::Up);
        assert!(
            farm.requests(20).iter().all(|server| *server == "a"),
            "{balance:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_document_keeps_what_is_known_of_a_server_at_the_same_address() {
    let mut farm = Farm::new(&["a", "b"], |_| {});
    farm.change(|model| model.health_check = Some(HealthCheck::default()));
    farm.mark("a", Health::Down);
    farm.requests(3);
    farm.change(|model| model.balance = Balance::LeastConnections);
    let counted = |farm: &Farm, name: &str| {
        let server = farm.pool.server(farm.index(name));
        (server.health(), server.counters().sum(|c| c.requests.get()))
    };
    assert_eq!(counted(&farm, "a"), (Health::Down, 0));
    assert_eq!(counted(&farm, "b"), (Health::Unchecked, 3));

    farm.change_server("a", |server| {
        server.address = "192.0.2.99:80".parse().unwrap();
    });
    assert_eq!(
        counted(&farm, "a"),
        (Health::Unchecked, 0),
        "another machine"
    );
    assert_eq!(counted(&farm, "b"), (Health::Unchecked, 3));
}

#[tokio::test(start_paused = true)]
async fn without_a_health_check_nothing_old_keeps_a_server_down() {
    let mut farm = Farm::new(&["a"], |model| {
        model.health_check = Some(HealthCheck::default());
    });
    farm.mark("a", Health::Down);
    assert!(farm.request("198.51.100.1").is_err());
    farm.change(|model| model.health_check = None);
    assert_eq!(farm.request("198.51.100.1"), Ok("a"));
}

#[tokio::test(start_paused = true)]
async fn an_enabled_server_is_judged_afresh() {
    let mut farm = Farm::new(&["a"], |model| {
        model.health_check = Some(HealthCheck::default());
    });
    farm.mark("a", Health::Down);
    farm.set_state("a", Administrative::Disabled);
    assert_eq!(
        farm.pool.servers()[0].status(now()).condition,
        Condition::Disabled
    );
    farm.set_state("a", Administrative::Enabled);
    assert_eq!(
        farm.pool.servers()[0].status(now()).condition,
        Condition::Unchecked
    );
}

#[tokio::test(start_paused = true)]
async fn a_pool_without_servers_refuses_and_does_not_panic() {
    for balance in Balance::ALL {
        let farm = Farm::new(&[], |model| model.balance = balance);
        assert_eq!(farm.request("198.51.100.1"), Err(Refusal::Unavailable));
    }
}
