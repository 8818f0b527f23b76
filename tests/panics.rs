//! Code of the host that panics while the store calls it.
//!
//! Guarantee: a panic in a clock or a waker affects only the caller that caused it; every other
//! caller gets the correct result of its write.

mod common;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, SystemTime};

use common::request;
use jobstore::{Clock, Health, JobQuery, JobStore};

/// How long a test waits for an operation that must not hang.
const WAIT: Duration = Duration::from_secs(60);

/// A clock that panics when it is set to.
#[derive(Clone, Default)]
struct Panicking(Arc<AtomicBool>);

impl Clock for Panicking {
    fn now(&self) -> SystemTime {
        assert!(!self.0.load(Ordering::Relaxed), "a bug in the host's clock");
        SystemTime::now()
    }
}

/// Runs `work` on a thread of its own, and panics if it hangs.
fn within_wait<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    std::thread::spawn(move || done.send(work()));
    result.recv_timeout(WAIT).expect("it hangs, or it panicked")
}

#[test]
fn a_panicking_clock_harms_no_write() {
    within_wait(|| {
        let clock = Panicking::default();
        let store = JobStore::options()
            .clock(clock.clone())
            .in_memory()
            .unwrap();
        let graph = store.create_graph("p", "g").unwrap();
        let first = graph.submit(request("c", "1")).unwrap();
        clock.0.store(true, Ordering::Relaxed);
        let mut jobs = 1;
        std::thread::scope(|scope| {
            let submit = |n: usize| {
                let graph = graph.clone();
                move || {
                    let one = |k: usize| graph.submit(request("c", &format!("[{n},{k}]")));
                    (0..50).filter(|&k| one(k).is_ok()).count()
                }
            };
            let threads: Vec<_> = (0..4).map(|n| scope.spawn(submit(n))).collect();
            for thread in threads {
                jobs += thread.join().expect("no write panics");
            }
        });
        assert_eq!(jobs, 201);
        let Health::Degraded { why, .. } = store.health() else {
            panic!("{:?}", store.health());
        };
        assert!(why.contains("clock"), "{why}");
        clock.0.store(false, Ordering::Relaxed);
        graph.submit(request("c", "2")).unwrap();
        assert_eq!(store.health(), Health::Ok);
        let page = graph.list(JobQuery::new()).unwrap();
        assert_eq!(page.total(), Some(202));
        // Without its clock, the store continued from the last reading.
        let times: Vec<_> = page.jobs().map(|job| job.unwrap().submitted_at()).collect();
        let first = graph.job(&first).unwrap().unwrap().submitted_at();
        let minute = Duration::from_secs(60);
        assert!(
            times
                .iter()
                .all(|&time| time >= first && time < first + minute)
        );
        store.close().unwrap();
    });
}

/// A waker that panics when it is called.
struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("a bug in the host's runtime");
    }
}

/// A waker that counts its calls.
#[derive(Default)]
struct Counter(AtomicU64);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll_with<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

#[test]
fn a_panicking_waker_leaves_the_others_their_answers() {
    within_wait(|| {
        let dir = common::closed_directory();
        let store = JobStore::open(dir.path()).unwrap();
        let graph = store.create_graph("p", "g").unwrap();
        let (mut durable, mut bombs) = (0, 0);
        for round in 0..20 {
            let writes: Vec<_> = (0..50)
                .map(|n| {
                    graph
                        .nonblocking()
                        .submit(request("c", &format!("[{round},{n}]")))
                })
                .collect();
            let mut others = Vec::new();
            for (n, mut write) in writes.into_iter().enumerate() {
                // Several in one commit: a second panic while the first one unwinds would abort the
                // process.
                if n % 5 == 0 {
                    let bomb = Waker::from(Arc::new(Bomb));
                    bombs += usize::from(poll_with(&mut write, &bomb).is_pending());
                }
                others.push(write);
            }
            for write in others {
                match write.wait_timeout_or_answered() {
                    Ok(()) => durable += 1,
                    Err(error) => panic!("a durable write is answered with {error}"),
                }
            }
        }
        assert!(bombs > 0, "no waker was called");
        assert_eq!(graph.list(JobQuery::new()).unwrap().total(), Some(1000));
        assert!(durable > 0);
        assert_eq!(store.health(), Health::Ok);
        store.close().unwrap();
    });
}

trait Answered {
    fn wait_timeout_or_answered(self) -> jobstore::Result<()>;
}

impl<T> Answered for jobstore::PendingWrite<T> {
    /// Its result; if a poll already took it, that was the correct one.
    fn wait_timeout_or_answered(self) -> jobstore::Result<()> {
        match self.wait() {
            Err(jobstore::Error::InvalidUse { .. }) => Ok(()),
            other => other.map(drop),
        }
    }
}

#[test]
fn a_panicking_waker_of_a_wait_leaves_the_other_waiters_called() {
    within_wait(|| {
        let store = JobStore::in_memory().unwrap();
        let graph = store.create_graph("p", "g").unwrap();
        let id = graph.submit(request("c", "1")).unwrap();
        let counter = Arc::new(Counter::default());
        let mut waits = Vec::new();
        for n in 0..8 {
            let mut wait = graph.wait_async(&id).unwrap();
            let waker = match n % 2 {
                0 => Waker::from(Arc::new(Bomb)),
                _ => Waker::from(counter.clone()),
            };
            assert!(poll_with(&mut wait, &waker).is_pending());
            waits.push(wait);
        }
        let cancelled = catch_unwind(AssertUnwindSafe(|| graph.cancel(&id)));
        cancelled
            .expect("the caller has no waker of its own")
            .unwrap();
        assert_eq!(counter.0.load(Ordering::Relaxed), 4);
        graph.submit(request("c", "2")).unwrap();
        assert_eq!(store.health(), Health::Ok);
    });
}
