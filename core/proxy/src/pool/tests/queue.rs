//! What happens when servers are at their limits.

use std::cell::Cell;
use std::rc::Rc;

use tokio::task::LocalSet;

use super::*;

fn farm(limits: &[(&str, u32)], change: impl FnOnce(&mut Model)) -> Rc<Farm> {
    let names: Vec<&str> = limits.iter().map(|(name, _)| *name).collect();
    Rc::new(Farm::new(&names, |model| {
        for (name, limit) in limits {
            model.servers.get_mut(*name).unwrap().connections_max = Some(*limit);
        }
        change(model);
    }))
}

fn key(last: u8) -> ClientKey<'static> {
    ClientKey {
        client: [198, 51, 100, last].into(),
        cookie: None,
    }
}

fn remember_source(model: &mut Model) {
    model.persistence = Some(Remember::Source(SourcePersistence::default()));
}

/// Lets everything run that can without time passing.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_never_has_more_requests_at_a_time_than_its_limit() {
    let farm = farm(&[("a", 3), ("b", 5)], |_| {});
    let served = Rc::new(Cell::new(0));
    LocalSet::new()
        .run_until(async {
            let mut tasks = Vec::new();
            for client in 0..200_u8 {
                let (farm, served) = (Rc::clone(&farm), Rc::clone(&served));
                tasks.push(tokio::task::spawn_local(async move {
                    for round in 0..20_u64 {
                        let key = key(client);
                        let lease = farm.local.acquire(&key, &Tried::default()).await.unwrap();
                        let limit = u64::from(lease.server().connections_max.unwrap());
                        assert!(lease.server().load() <= limit);
                        let time = u64::from(client) * 7 % 13 + round % 3;
                        tokio::time::sleep(Duration::from_millis(time)).await;
                        assert!(lease.server().load() <= limit);
                        served.set(served.get() + 1);
                    }
                }));
            }
            for task in tasks {
                task.await.unwrap();
            }
        })
        .await;
    assert_eq!(served.get(), 4000);
    assert!(farm.pool.servers().iter().all(|server| server.load() == 0));
}

#[tokio::test(start_paused = true)]
async fn who_came_first_is_served_first() {
    let farm = farm(&[("a", 1)], |_| {});
    let order = Rc::new(std::cell::RefCell::new(Vec::new()));
    LocalSet::new()
        .run_until(async {
            let busy = farm
                .local
                .acquire(&key(0), &Tried::default())
                .await
                .unwrap();
            for client in 1..=50 {
                let (farm, order) = (Rc::clone(&farm), Rc::clone(&order));
                tokio::task::spawn_local(async move {
                    let key = key(client);
                    let lease = farm.local.acquire(&key, &Tried::default()).await.unwrap();
                    order.borrow_mut().push(client);
                    drop(lease);
                });
            }
            settle().await;
            drop(busy);
            settle().await;
        })
        .await;
    assert_eq!(*order.borrow(), (1..=50).collect::<Vec<u8>>());
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_at_once_and_a_long_wait_is_cut_short() {
    let farm = farm(&[("a", 1)], |model| {
        model.queue.length_max = 1;
        model.queue.timeout = Period::seconds(5);
    });
    let none = Tried::default();
    let lease = farm.local.acquire(&key(0), &none).await.unwrap();
    let first = key(1);
    let mut waiting = std::pin::pin!(farm.local.acquire(&first, &none));
    assert!(
        tokio::time::timeout(4 * SECOND, &mut waiting)
            .await
            .is_err()
    );
    let refusal = farm.local.acquire(&key(2), &none).await.unwrap_err();
    assert_eq!(refusal, Refusal::QueueFull);
    assert_eq!(waiting.await.unwrap_err(), Refusal::QueueTimeout);
    drop(lease);
    assert_eq!(farm.requests(1), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_leaves_no_trace_in_the_queue() {
    let farm = farm(&[("a", 1)], |model| model.queue.length_max = 1);
    let none = Tried::default();
    let lease = farm.local.acquire(&key(0), &none).await.unwrap();
    for _ in 0..100 {
        let first = key(1);
        let waiting = farm.local.acquire(&first, &none);
        assert!(tokio::time::timeout(SECOND, waiting).await.is_err());
    }
    // Gone after the place was granted, before it was seen: the place goes on to the next.
    let (first, second) = (key(1), key(2));
    let mut waiting = Box::pin(farm.local.acquire(&first, &none));
    assert!(poll_once(&mut waiting).await.is_none());
    drop(lease);
    drop(waiting);
    let lease = farm.local.acquire(&second, &none).await.unwrap();
    assert_eq!(lease.server().load(), 1);
}

/// Polls once.
async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        let polled = std::pin::Pin::new(&mut *future).poll(context);
        std::task::Poll::Ready(match polled {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_client_with_a_record_waits_for_its_server_though_others_are_free() {
    let farm = farm(&[("a", 1), ("b", 1)], remember_source);
    let none = Tried::default();
    let mut lease = farm.local.acquire(&key(1), &none).await.unwrap();
    lease.commit();
    let first = lease.index();
    let again = key(1);
    let mut waiting = Box::pin(farm.local.acquire(&again, &none));
    assert!(poll_once(&mut waiting).await.is_none());
    let other = farm.local.acquire(&key(2), &none).await.unwrap();
    assert_ne!(other.index(), first, "a new client does not wait");
    drop(other);
    assert!(poll_once(&mut waiting).await.is_none());
    drop(lease);
    let lease = waiting.await.unwrap();
    assert_eq!(lease.index(), first);
    assert_eq!(
        lease.reason(),
        Reason::Persistence(crate::persistence::Found::Source)
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_for_a_server_that_goes_down_is_balanced_at_once() {
    let farm = farm(&[("a", 1), ("b", 1)], remember_source);
    let none = Tried::default();
    let mut lease = farm.local.acquire(&key(1), &none).await.unwrap();
    lease.commit();
    let again = key(1);
    let mut waiting = Box::pin(farm.local.acquire(&again, &none));
    assert!(poll_once(&mut waiting).await.is_none());
    farm.mark(lease.server().name().as_str(), Health::Down);
    let moved = waiting.await.unwrap();
    assert_ne!(moved.index(), lease.index());
}

#[tokio::test(start_paused = true)]
async fn when_every_server_goes_down_nobody_waits_in_vain() {
    let farm = farm(&[("a", 1)], |_| {});
    let none = Tried::default();
    let _lease = farm.local.acquire(&key(0), &none).await.unwrap();
    let first = key(1);
    let mut waiting = Box::pin(farm.local.acquire(&first, &none));
    assert!(poll_once(&mut waiting).await.is_none());
    farm.mark("a", Health::Down);
    assert_eq!(waiting.await.unwrap_err(), Refusal::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_comes_up_takes_those_who_wait() {
    let farm = farm(&[("a", 1), ("b", 2)], |_| {});
    let none = Tried::default();
    farm.mark("b", Health::Down);
    let _lease = farm.local.acquire(&key(0), &none).await.unwrap();
    let (first, second) = (key(1), key(2));
    let mut waiting = Box::pin(farm.local.acquire(&first, &none));
    let mut also_waiting = Box::pin(farm.local.acquire(&second, &none));
    assert!(poll_once(&mut waiting).await.is_none());
    assert!(poll_once(&mut also_waiting).await.is_none());
    farm.mark("b", Health::Up);
    let (one, other) = (waiting.await.unwrap(), also_waiting.await.unwrap());
    assert_eq!(
        [one, other].map(|lease| lease.server().name().as_str()),
        ["b", "b"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_higher_limit_in_a_new_document_counts_for_those_who_wait_already() {
    let farm = Farm::new(&["a"], |model| {
        model.servers.get_mut("a").unwrap().connections_max = Some(1);
    });
    let none = Tried::default();
    let before = farm.local.acquire(&key(0), &none).await.unwrap();
    let first = key(1);
    let mut waiting = Box::pin(farm.local.acquire(&first, &none));
    assert!(poll_once(&mut waiting).await.is_none());
    let mut model = farm.model.clone();
    model.servers.get_mut("a").unwrap().connections_max = Some(2);
    let pool = run(farm.pool.name(), &model, Some(&farm.pool));
    let local = LocalPool::new(pool, 0);
    local.enter();
    let granted = waiting.await.unwrap();
    // Both requests of the old document count against the limit of the new one.
    let refusal = local.try_acquire(&key(2), &none).unwrap_err();
    assert_eq!(refusal, TryRefusal::AtLimit);
    drop(before);
    let after = local.try_acquire(&key(2), &none).unwrap();
    drop((granted, after));
    assert_eq!(local.pool().servers()[0].load(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_old_document_that_is_still_in_use_does_not_bring_its_limits_back() {
    let mut farm = Farm::new(&["a"], |model| {
        model.servers.get_mut("a").unwrap().connections_max = Some(1);
    });
    let old = Arc::clone(&farm.pool);
    farm.change_server("a", |server| server.connections_max = Some(2));
    let none = Tried::default();
    let _first = farm.local.try_acquire(&key(0), &none).unwrap();
    assert!(old.mark(farm.index("a"), Health::Up, "test".into()));
    let _second = farm.local.try_acquire(&key(0), &none).unwrap();
    let refusal = farm.local.try_acquire(&key(0), &none).unwrap_err();
    assert_eq!(refusal, TryRefusal::AtLimit);
}

#[test]
fn a_limit_holds_over_all_workers_together() {
    let farm = Farm::new(&["a", "b"], |model| {
        model.servers.get_mut("a").unwrap().connections_max = Some(2);
        model.servers.get_mut("b").unwrap().connections_max = Some(3);
    });
    let in_progress = [AtomicU64::new(0), AtomicU64::new(0)];
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let (pool, in_progress) = (&farm.pool, &in_progress);
            scope.spawn(move || {
                let local = LocalPool::new(Arc::clone(pool), worker);
                let client = |client: u8| {
                    let local = &local;
                    async move {
                        for _ in 0..200 {
                            let none = Tried::default();
                            let lease = local.acquire(&key(client), &none).await.unwrap();
                            let limit = [2, 3][lease.index().position()];
                            let count = &in_progress[lease.index().position()];
                            assert!(count.fetch_add(1, Ordering::SeqCst) < limit);
                            tokio::task::yield_now().await;
                            count.fetch_sub(1, Ordering::SeqCst);
                            drop(lease);
                        }
                    }
                };
                let mut runtime = tokio::runtime::Builder::new_current_thread();
                runtime.enable_time().build().unwrap().block_on(async {
                    tokio::join!(
                        client(0),
                        client(1),
                        client(2),
                        client(3),
                        client(4),
                        client(5),
                        client(6),
                        client(7)
                    )
                });
            });
        }
    });
    assert!(farm.pool.servers().iter().all(|server| server.load() == 0));
}
