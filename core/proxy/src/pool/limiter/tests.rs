//! The queue against a model that knows nothing but its promises.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::server::ServerState;
use super::*;

const SERVERS: usize = 4;
const LENGTH_MAX: usize = 10;

#[derive(Clone, Debug)]
enum Step {
    /// A new client comes that may use the servers of this mask.
    New(u8),
    /// A client comes back to its server.
    Back(usize),
    /// The request that began at this place among those in progress ends.
    End(usize),
    /// The client at this place in the queue goes away.
    Leave(usize),
    /// Limits and health change.
    Update([(Option<u32>, u8); SERVERS]),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_u8..16).prop_map(Step::New),
        3 => (0..SERVERS).prop_map(Step::Back),
        5 => any::<usize>().prop_map(Step::End),
        1 => any::<usize>().prop_map(Step::Leave),
        1 => prop::array::uniform4((prop::option::of(0_u32..4), 0_u8..3)).prop_map(Step::Update),
    ]
}

/// What should be true, kept in the plainest way.
struct World {
    ids: Vec<ServerId>,
    slots: Slots,
    limits: [Option<u32>; SERVERS],
    admits: [Admits; SERVERS],
    /// The servers of the requests in progress.
    in_progress: Vec<usize>,
    waiting: BTreeMap<Ticket, Wants>,
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        let ids: Vec<_> = (0..SERVERS).map(|_| ServerState::new(1, now).id).collect();
        let mut world = Self {
            ids,
            slots: Slots::default(),
            limits: [Some(1); SERVERS],
            admits: [Admits::Everybody; SERVERS],
            in_progress: Vec::new(),
            waiting: BTreeMap::new(),
        };
        world.update();
        world
    }

    fn update(&mut self) {
        let servers = (0..SERVERS).map(|n| (self.ids[n], self.limits[n], self.admits[n]));
        let wakes = self.slots.update(servers);
        self.heed(wakes);
        let wakes = self.slots.reconsider();
        self.heed(wakes);
    }

    fn load(&self, server: usize) -> usize {
        self.in_progress.iter().filter(|s| **s == server).count()
    }

    fn position(&self, id: ServerId) -> usize {
        self.ids.iter().position(|i| *i == id).unwrap()
    }

    fn may_have(&self, wants: &Wants, server: usize) -> bool {
        match wants {
            Wants::AnyOf(servers) => {
                self.admits[server] == Admits::Everybody && servers.contains(&self.ids[server])
            }
            Wants::Known(id) => *id == self.ids[server] && self.admits[server] != Admits::Nobody,
        }
    }

    /// Whoever is woken must be the first who could have the place.
    fn heed(&mut self, wakes: impl IntoIterator<Item = Wake>) {
        for wake in wakes {
            match wake {
                Wake::Grant(ticket, id) => {
                    let server = self.position(id);
                    let first = self.waiting.iter().find(|(_, w)| self.may_have(w, server));
                    assert_eq!(first.map(|(ticket, _)| *ticket), Some(ticket), "overtaken");
                    self.waiting.remove(&ticket);
                    self.in_progress.push(server);
                    let limit = self.limits[server].unwrap_or(u32::MAX);
                    assert!(self.load(server) <= limit as usize, "more than the limit");
                }
                Wake::Reconsider(ticket) => {
                    let wants = self.waiting.remove(&ticket).unwrap();
                    assert!((0..SERVERS).all(|server| !self.may_have(&wants, server)));
                }
            }
        }
    }

    fn come(&mut self, wants: Wants) {
        let open = (0..SERVERS).filter(|server| self.may_have(&wants, *server));
        let open: Vec<usize> = open.collect();
        let free = open
            .iter()
            .find(|server| self.slots.is_free(self.ids[**server]));
        if let Some(server) = free.copied() {
            self.slots.take(self.ids[server]);
            self.in_progress.push(server);
            let limit = self.limits[server].unwrap_or(u32::MAX);
            assert!(self.load(server) <= limit as usize, "more than the limit");
        } else if !open.is_empty() {
            match self.slots.join(wants.clone(), LENGTH_MAX) {
                Some(ticket) => assert!(self.waiting.insert(ticket, wants).is_none()),
                None => assert_eq!(self.waiting.len(), LENGTH_MAX),
            }
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::New(mask) => {
                let servers = (0..SERVERS).filter(|n| mask & (1 << n) != 0);
                let servers = servers.map(|n| self.ids[n]).collect();
                self.come(Wants::AnyOf(servers));
            }
            Step::Back(server) => self.come(Wants::Known(self.ids[server])),
            Step::End(at) if !self.in_progress.is_empty() => {
                let server = self.in_progress.remove(at % self.in_progress.len());
                let wake = self.slots.release(self.ids[server]);
                self.heed(wake);
            }
            Step::Leave(at) if !self.waiting.is_empty() => {
                let tickets: Vec<Ticket> = self.waiting.keys().copied().collect();
                let ticket = tickets[at % tickets.len()];
                self.waiting.remove(&ticket);
                self.slots.leave(ticket);
            }
            Step::End(_) | Step::Leave(_) => {}
            Step::Update(servers) => {
                let admits = [Admits::Everybody, Admits::Known, Admits::Nobody];
                self.limits = servers.map(|(limit, _)| limit);
                self.admits = servers.map(|(_, choice)| admits[usize::from(choice)]);
                self.update();
            }
        }
    }

    /// Nobody waits while a place that it could have is free.
    fn check(&self) {
        for server in (0..SERVERS).filter(|server| self.slots.is_free(self.ids[*server])) {
            assert!(
                self.waiting
                    .values()
                    .all(|wants| !self.may_have(wants, server))
            );
        }
        assert!(self.waiting.len() <= LENGTH_MAX);
    }
}

proptest! {
    #[test]
    fn nobody_is_overtaken_forgotten_or_let_in_beyond_a_limit(
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let mut world = World::new();
        for step in steps {
            world.step(&step);
            world.check();
        }
        // When everything ends and every server is well, everybody has had a turn.
        world.limits = [Some(1); SERVERS];
        world.admits = [Admits::Everybody; SERVERS];
        world.update();
        while !world.in_progress.is_empty() {
            world.step(&Step::End(0));
            world.check();
        }
        prop_assert!(world.waiting.is_empty());
    }
}
