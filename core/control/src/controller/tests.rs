use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use lb_model::api::{Event, Timestamp};
use lb_model::value::Name;
use lb_model::{Format, Problem, parse};
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Builder;

use super::start::has_history;
use super::*;
use crate::{EngineError, Etag, Expected, ServerHealth};

/// An engine that notes what it serves, and refuses what it is told to.
#[derive(Default)]
struct Fake {
    served: Mutex<Vec<u32>>,
    refuses: Mutex<Option<u32>>,
    server_is_down: AtomicBool,
    prepared: AtomicU64,
    refreshed: AtomicU64,
}

impl Engine for Arc<Fake> {
    type Prepared = u32;

    fn prepare(&self, config: &Arc<ValidConfig>) -> Result<u32, EngineError> {
        self.prepared.fetch_add(1, Ordering::Relaxed);
        self.judge(config)?;
        Ok(config.config().limits.connections_max.unwrap_or_default())
    }

    fn judge(&self, config: &ValidConfig) -> Result<(), EngineError> {
        let number = config.config().limits.connections_max.unwrap_or_default();
        if *self.refuses.lock().unwrap() == Some(number) {
            return Err(EngineError::new(
                "the port is taken",
                Some("use another".to_owned()),
            ));
        }
        Ok(())
    }

    fn commit(&self, prepared: u32) {
        self.served.lock().unwrap().push(prepared);
    }

    fn refresh(&self, config: &Arc<ValidConfig>) {
        let number = config.config().limits.connections_max.unwrap_or_default();
        assert_eq!(self.served.lock().unwrap().last().copied(), Some(number));
        self.refreshed.fetch_add(1, Ordering::Relaxed);
    }

    fn servers(&self, tell: &mut dyn FnMut(ServerHealth<'_>)) {
        let (pool, server): (Name, Name) = ("web".parse().unwrap(), "iis1".parse().unwrap());
        tell(ServerHealth {
            pool: &pool,
            server: &server,
            is_up: !self.server_is_down.load(Ordering::Relaxed),
        });
    }
}

/// What a document says, in one number.
fn document(number: u32) -> Config {
    let text = format!(
        r#"{{ "limits": {{ "connections_max": {number} }},
            "virtual_services": {{ "shop": {{ "address": "127.0.0.1:80", "pool": "web" }} }},
            "pools": {{ "web": {{ "servers": {{
                "iis1": {{ "address": "10.0.0.1:80" }}, "iis2": {{ "address": "10.0.0.2:80" }} }} }} }} }}"#
    );
    parse(&text, Format::Json).unwrap()
}

fn propose(change: Change) -> Proposal {
    Proposal {
        author: Caller::administrator("anna"),
        source: Source::Cli,
        comment: None,
        change,
        parent: None,
        expected: Vec::new(),
        confirm: None,
    }
}

fn whole(number: u32) -> Proposal {
    propose(Change::Document(Box::new(document(number))))
}

fn weight(server: &str, weight: u16) -> Proposal {
    let path = format!("pools/web/servers/{server}").parse().unwrap();
    let value = json!({ "weight": weight });
    propose(Change::Edits(vec![Edit::Patch { path, value }]))
}

struct Stand {
    folder: TempDir,
    engine: Arc<Fake>,
    controller: Option<Controller<Arc<Fake>>>,
}

impl Stand {
    fn new() -> Self {
        let mut stand = Self {
            folder: tempfile::tempdir().unwrap(),
            engine: Arc::default(),
            controller: None,
        };
        stand.start(crate::now);
        stand
    }

    /// Starts anew, at this time.
    fn start(&mut self, clock: Clock) {
        self.controller = None;
        let mut options = Options::new(self.folder.path());
        options.clock = clock;
        options.refresh_every = Duration::from_millis(20);
        let audit = Arc::new(Audit::open(self.folder.path(), clock).unwrap());
        let mut starting = Starting::open(options).unwrap();
        if !has_history(self.folder.path()) {
            let config = validate(document(1000)).unwrap();
            starting.take(Arc::new(config), "lbctl", None);
        }
        let current = starting.current();
        let number = current.config.config().limits.connections_max.unwrap();
        self.engine.served.lock().unwrap().push(number);
        self.controller = Some(starting.run(Arc::clone(&self.engine), audit).unwrap());
    }

    fn controller(&self) -> &Controller<Arc<Fake>> {
        self.controller.as_ref().unwrap()
    }

    fn apply(&self, proposal: Proposal) -> Result<Applied, Refused> {
        self.controller().apply(proposal)
    }

    fn served(&self) -> MutexGuard<'_, Vec<u32>> {
        self.engine.served.lock().unwrap()
    }

    fn in_force(&self) -> (u64, u32) {
        let current = self.controller().current();
        let number = current.config.config().limits.connections_max.unwrap();
        (current.number, number)
    }
}

/// The next event that is not about a server.
fn next(subscription: &mut Subscription) -> EventKind {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let wait = async { tokio::time::timeout(Duration::from_secs(20), subscription.next()).await };
    let Event { kind, .. } = runtime.block_on(wait).expect("in time").unwrap();
    kind
}

fn later() -> Timestamp {
    Timestamp::from_unix_millis(crate::now().unix_millis() + 3_600_000)
}

#[test]
fn what_is_named_outside_the_document_is_looked_at_by_itself_and_on_demand() {
    let stand = Stand::new();
    let refreshed = || stand.engine.refreshed.load(Ordering::Relaxed);
    let until = Instant::now() + Duration::from_secs(20);
    while refreshed() < 2 {
        assert!(Instant::now() < until, "nothing is looked at");
        std::thread::yield_now();
    }
    stand.apply(whole(1001)).unwrap();
    let before = refreshed();
    stand.controller().refresh().unwrap();
    assert!(refreshed() > before);
}

#[test]
fn a_change_is_stored_served_told_and_there_after_a_start() {
    let mut stand = Stand::new();
    assert_eq!(stand.in_force(), (1, 1000));
    let mut events = stand.controller().subscribe();
    let applied = stand.apply(whole(1001)).unwrap();
    assert!(applied.is_new);
    assert_eq!(
        (applied.revision.number, applied.revision.parent),
        (2, Some(1))
    );
    assert_eq!(applied.revision.summary, "~ limits.connections_max");
    assert_eq!(next(&mut events), EventKind::Applied(applied.revision));
    assert_eq!(*stand.served(), [1000, 1001]);
    stand.start(crate::now);
    assert_eq!(stand.in_force(), (2, 1001));
    let numbers: Vec<_> = stand
        .controller()
        .revisions(None, 9)
        .iter()
        .map(|r| r.number)
        .collect();
    assert_eq!(numbers, [2, 1]);
    let (revision, old) = stand.controller().revision(1).unwrap();
    assert_eq!((revision.source, old), (Source::File, document(1000)));
}

#[test]
fn a_change_that_changes_nothing_makes_no_revision_and_says_so() {
    let stand = Stand::new();
    for proposal in [
        whole(1000),
        weight("iis1", 100),
        propose(Change::Rollback(1)),
    ] {
        let applied = stand.apply(proposal).unwrap();
        assert!(!applied.is_new && applied.plan.is_empty());
        assert_eq!(applied.revision.number, 1);
    }
    assert_eq!(stand.engine.prepared.load(Ordering::Relaxed), 0);
}

#[test]
fn what_is_stale_or_wrong_or_cannot_be_served_changes_nothing() {
    let stand = Stand::new();
    let mut events = stand.controller().subscribe();
    let stale = Proposal {
        parent: Some(7),
        ..whole(1001)
    };
    let error = stand.apply(stale).unwrap_err();
    assert!(
        matches!(
            error,
            Refused::Stale {
                parent: 7,
                current: 1
            }
        ),
        "{error:?}"
    );
    assert!(matches!(next(&mut events), EventKind::Refused { author, .. } if author == "anna"));

    let mut dangling = document(1001);
    dangling.pools.clear();
    let error = stand
        .apply(propose(Change::Document(Box::new(dangling))))
        .unwrap_err();
    assert!(matches!(&error, Refused::Invalid(problems) if problems.iter().any(Problem::is_error)));

    *stand.engine.refuses.lock().unwrap() = Some(1001);
    let error = stand.apply(whole(1001)).unwrap_err();
    assert!(matches!(error, Refused::Engine(_)), "{error:?}");
    assert_eq!(error.help().as_deref(), Some("use another"));
    let error = stand.controller().plan(&whole(1001)).err().unwrap();
    assert!(matches!(error, Refused::Engine(_)), "{error:?}");

    let error = stand.apply(propose(Change::Rollback(9))).unwrap_err();
    let expected = "there is no revision 9; the oldest is 1, the newest 1";
    assert_eq!(error.to_string(), expected);

    let operator = Caller {
        role: lb_model::api::Role::Operate,
        ..Caller::administrator("ops")
    };
    let error = stand
        .apply(Proposal {
            author: operator,
            ..weight("iis1", 3)
        })
        .unwrap_err();
    assert!(matches!(error, Refused::Forbidden(_)), "{error:?}");

    assert_eq!(stand.in_force(), (1, 1000));
    assert_eq!(*stand.served(), [1000]);
}

#[test]
fn edits_of_different_objects_never_conflict_and_those_of_one_object_do() {
    let stand = Stand::new();
    let tag = |server: &str| {
        let path: lb_model::edit::ObjectPath =
            format!("pools/web/servers/{server}").parse().unwrap();
        let current = stand.controller().current();
        let value = lb_model::edit::object(current.config.config(), &path).unwrap();
        (path, Etag::of(&value))
    };
    let (first, second) = (tag("iis1"), tag("iis2"));
    let guarded = |server, value, (path, tag)| Proposal {
        expected: vec![(path, Expected::Is(tag))],
        ..weight(server, value)
    };
    stand.apply(guarded("iis1", 7, first.clone())).unwrap();
    stand.apply(guarded("iis2", 8, second)).unwrap();
    let error = stand.apply(guarded("iis1", 9, first)).unwrap_err();
    assert!(
        matches!(error, Refused::Guarded { found: Some(_), .. }),
        "{error:?}"
    );
    let path = || "pools/web/servers/iis1".parse().unwrap();
    for (expected, is_made) in [(Expected::Absent, false), (Expected::Exists, true)] {
        let proposal = Proposal {
            expected: vec![(path(), expected)],
            ..weight("iis1", 7)
        };
        assert_eq!(stand.apply(proposal).is_ok(), is_made);
    }
    let config = stand.controller().current().config.config().clone();
    let weights = config.pools.values().flat_map(|pool| pool.servers.values());
    let weights: Vec<_> = weights.map(|server| server.weight).collect();
    let wanted = |text| serde_json::from_str::<lb_model::value::Weight>(text).unwrap();
    assert_eq!(weights, [wanted("7"), wanted("8")]);
}

#[test]
fn a_burst_becomes_one_revision_each_and_only_what_cannot_be_served_is_refused() {
    let stand = Stand::new();
    *stand.engine.refuses.lock().unwrap() = Some(1013);
    let stand_ref = &stand;
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for number in 1001..=1040 {
            threads.push(scope.spawn(move || stand_ref.apply(whole(number))));
        }
        let joined = threads.into_iter().map(|thread| thread.join().unwrap());
        joined.collect()
    });
    let refused = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    assert_eq!(refused, 1);
    let mut numbers: Vec<_> = outcomes
        .iter()
        .flatten()
        .map(|a| a.revision.number)
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (2..=40).collect::<Vec<_>>());
    for applied in outcomes.iter().flatten() {
        let (_, stored) = stand
            .controller()
            .revision(applied.revision.number)
            .unwrap();
        assert!(stored.limits.connections_max.is_some());
    }
    assert_eq!(stand.served().last().copied(), Some(stand.in_force().1));
}

#[test]
fn a_rollback_is_a_new_revision_with_the_old_content() {
    let stand = Stand::new();
    stand.apply(whole(1001)).unwrap();
    stand.apply(whole(1002)).unwrap();
    let applied = stand.apply(propose(Change::Rollback(1))).unwrap();
    assert_eq!(applied.revision.number, 4);
    assert_eq!(applied.revision.source, Source::Rollback);
    assert_eq!(
        applied.revision.comment.as_deref(),
        Some("back to revision 1")
    );
    assert_eq!(stand.in_force(), (4, 1000));
}

fn awaiting(number: u32, seconds: u64) -> Proposal {
    let confirm = Some(Duration::from_secs(seconds));
    Proposal {
        confirm,
        ..whole(number)
    }
}

#[test]
fn a_change_that_is_confirmed_stays_and_others_wait_for_that() {
    let mut stand = Stand::new();
    let applied = stand.apply(awaiting(1001, 600)).unwrap();
    assert!(applied.revision.confirm_until.is_some());
    let error = stand.apply(whole(1002)).unwrap_err();
    assert!(
        matches!(error, Refused::Awaiting { number: 2, .. }),
        "{error:?}"
    );
    assert!(error.help().unwrap().contains("lbctl confirm 2"), "{error}");
    let anna = Caller::administrator("anna");
    let error = stand.controller().confirm(1, &anna).unwrap_err();
    assert!(
        matches!(error, Refused::NotAwaiting { number: 1 }),
        "{error:?}"
    );
    let mut events = stand.controller().subscribe();
    let revision = stand.controller().confirm(2, &anna).unwrap();
    assert_eq!(revision.confirm_until, None);
    assert_eq!(next(&mut events), EventKind::Confirmed(revision));
    stand.start(later);
    assert_eq!(stand.in_force(), (2, 1001));
    for wrong in [0, 86_401] {
        let error = stand.apply(awaiting(1003, wrong)).unwrap_err();
        assert!(matches!(error, Refused::ConfirmTime(_)), "{error:?}");
    }
}

#[test]
fn a_change_that_nobody_confirms_is_taken_back_as_a_revision_that_says_so() {
    let stand = Stand::new();
    let mut events = stand.controller().subscribe();
    let begun = Instant::now();
    stand.apply(awaiting(1001, 1)).unwrap();
    assert!(matches!(next(&mut events), EventKind::Applied(_)));
    let EventKind::Reverted {
        unconfirmed,
        revision,
    } = next(&mut events)
    else {
        panic!("it is told");
    };
    assert!(begun.elapsed() >= Duration::from_millis(950));
    assert_eq!(
        (unconfirmed, revision.number, revision.source),
        (2, 3, Source::Revert)
    );
    let comment = revision.comment.unwrap();
    assert_eq!(
        comment,
        "revision 2 was not confirmed in time: back to revision 1"
    );
    assert_eq!(stand.in_force(), (3, 1000));
    assert_eq!(*stand.served(), [1000, 1001, 1000]);
}

#[test]
fn the_time_to_confirm_goes_on_over_a_start() {
    let mut stand = Stand::new();
    stand.apply(awaiting(1001, 600)).unwrap();
    stand.start(crate::now);
    assert_eq!(stand.in_force(), (2, 1001), "there is time left");
    assert!(
        stand
            .controller()
            .current()
            .revision
            .confirm_until
            .is_some()
    );
    stand.start(later);
    assert_eq!(stand.in_force(), (3, 1000));
    assert_eq!(
        *stand.served().last().unwrap(),
        1000,
        "it is never served again"
    );
    assert_eq!(stand.controller().current().revision.source, Source::Revert);
}

#[test]
fn servers_that_go_down_and_come_up_are_told() {
    let stand = Stand::new();
    let mut events = stand.controller().subscribe();
    // It was looked at before the first answer.
    stand.apply(whole(1001)).unwrap();
    assert!(matches!(next(&mut events), EventKind::Applied(_)));
    stand.engine.server_is_down.store(true, Ordering::Relaxed);
    assert!(
        matches!(next(&mut events), EventKind::ServerDown { server, .. } if server.as_str() == "iis1")
    );
    stand.engine.server_is_down.store(false, Ordering::Relaxed);
    assert!(matches!(next(&mut events), EventKind::ServerUp { .. }));
}
