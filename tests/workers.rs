//! Guarantee: a pending job reaches a waiting worker, and dropping a future loses no job; closing
//! the store or dropping the graph ends all waits.

mod common;

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use common::request;
use futures::executor::block_on;
use jobstore::{
    ChangeKind, Error, Graph, JobId, JobStore, OnBadLine, Outcome, Recovery, Run, State,
};

const LONG: Duration = Duration::from_secs(120);

fn movie() -> (JobStore, Graph) {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    (store, movie)
}

fn submit(graph: &Graph) -> JobId {
    graph.submit(request("c", "{}")).unwrap()
}

/// Counts how many times a task is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Woken {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    fn wait(&self) {
        let deadline = Instant::now() + LONG;
        while self.count() == 0 {
            assert!(Instant::now() < deadline, "nobody was woken");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn poll<F: Future + Unpin>(future: &mut F, woken: &Arc<Woken>) -> Poll<F::Output> {
    let waker = Waker::from(woken.clone());
    pin!(future).poll(&mut Context::from_waker(&waker))
}

/// A claim that waits, and how many times it was woken.
fn waiting(graph: &Graph) -> (jobstore::ClaimNext, Arc<Woken>) {
    let (mut claim, woken) = (graph.claim_next_async(), Arc::default());
    assert!(poll(&mut claim, &woken).is_pending());
    (claim, woken)
}

fn wait_for(graph: &Graph, state: State, count: u64) {
    let deadline = Instant::now() + LONG;
    while graph.count(state).unwrap() != count {
        assert!(Instant::now() < deadline, "not {count} jobs are {state}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_wait_ends_with_a_job_that_becomes_pending_in_any_way() {
    type MakePending = fn(&Graph);
    let ways: [MakePending; 5] = [
        |graph| drop(submit(graph)),
        |graph| drop(graph.submit_all([request("c", "{}")]).unwrap()),
        |graph| drop(graph.submit_as("own", request("c", "{}")).unwrap()),
        |graph| drop(graph.nonblocking().submit(request("c", "{}"))),
        |graph| {
            let line = r#"{"request":{"command":"c","url":"/"}}"#;
            let report = graph.import(line.as_bytes(), OnBadLine::Stop).unwrap();
            assert_eq!(report.imported, 1);
        },
    ];
    for make_pending in ways {
        let (_store, movie) = movie();
        let blocking = {
            let movie = movie.clone();
            std::thread::spawn(move || movie.claim_next_timeout(LONG).unwrap().unwrap())
        };
        std::thread::sleep(Duration::from_millis(20));
        make_pending(&movie);
        let run = blocking.join().unwrap();

        // A job that a run releases can be claimed by others, too.
        let (mut claim, woken) = waiting(&movie);
        run.requeue().unwrap();
        woken.wait();
        let again = block_on(&mut claim).unwrap();
        assert_eq!(again.id(), run.id());
        again.complete(Outcome::succeeded()).unwrap();
    }
}

#[test]
fn no_job_is_left_with_many_submitters_and_waiters() {
    const SUBMITTERS: usize = 4;
    const EACH: usize = 200;
    let (store, movie) = movie();
    let done = Mutex::new(BTreeSet::new());
    let complete = |run: Run| {
        assert!(
            done.lock().unwrap().insert(run.id().clone()),
            "claimed twice"
        );
        run.complete(Outcome::succeeded()).map(drop)
    };
    let ends = |worked: Result<(), Error>| match worked {
        Ok(()) => false,
        Err(Error::Closed) => true,
        Err(error) => panic!("{error}"),
    };
    std::thread::scope(|scope| {
        for n in 0..6 {
            let (movie, complete, ends) = (&movie, &complete, &ends);
            scope.spawn(move || {
                loop {
                    let claimed = match n % 3 {
                        0 => block_on(movie.claim_next_async()).map(Some),
                        1 => movie.claim_next_timeout(LONG),
                        // Waiters with a short timeout.
                        _ => movie.claim_next_timeout(Duration::from_micros(200)),
                    };
                    if ends(claimed.and_then(|run| run.map_or(Ok(()), complete))) {
                        return;
                    }
                }
            });
        }
        let submitters: Vec<_> = (0..SUBMITTERS)
            .map(|_| scope.spawn(|| (0..EACH).map(|_| submit(&movie)).collect::<Vec<_>>()))
            .collect();
        let submitted = submitters.into_iter().flat_map(|s| s.join().unwrap());
        for id in submitted {
            let job = movie.wait(&id, LONG).unwrap().expect("it was left waiting");
            assert_eq!(job.outcome(), Some(&Outcome::succeeded()));
        }
        store.close().unwrap();
    });
    assert_eq!(done.into_inner().unwrap().len(), SUBMITTERS * EACH);
}

#[test]
fn a_job_wakes_one_waiter_and_the_one_that_has_waited_longest() {
    let (_store, movie) = movie();
    let mut claims: Vec<_> = (0..5).map(|_| waiting(&movie)).collect();
    for n in 0..4 {
        let id = submit(&movie);
        claims[n].1.wait();
        let woken: Vec<usize> = claims.iter().map(|(_, woken)| woken.count()).collect();
        assert!(woken[n + 1..].iter().all(|&count| count == 0), "{woken:?}");
        let run = block_on(&mut claims[n].0).unwrap();
        assert_eq!(*run.id(), id);
        run.complete(Outcome::succeeded()).unwrap();
    }
}

#[test]
fn many_jobs_wake_as_many_waiters() {
    let (_store, movie) = movie();
    let claims: Vec<_> = (0..10).map(|_| waiting(&movie)).collect();
    movie
        .submit_all((0..7).map(|_| request("c", "{}")))
        .unwrap();
    for (_, woken) in &claims[..7] {
        woken.wait();
    }
    assert!(claims[7..].iter().all(|(_, woken)| woken.count() == 0));
}

#[test]
fn a_waiter_that_is_woken_and_dropped_wakes_the_next() {
    let (_store, movie) = movie();
    let (first, first_woken) = waiting(&movie);
    let (second, second_woken) = waiting(&movie);
    let (mut third, third_woken) = waiting(&movie);
    let id = submit(&movie);
    first_woken.wait();
    drop(first);
    second_woken.wait();
    drop(second);
    third_woken.wait();
    assert_eq!(*block_on(&mut third).unwrap().id(), id);
}

#[test]
fn dropped_futures_lose_no_job() {
    const JOBS: usize = 100;
    let (_store, movie) = movie();
    let mut submitted: Vec<JobId> = (0..JOBS).map(|_| submit(&movie)).collect();
    let mut completed = Vec::new();
    let mut complete = |run: Run| {
        run.complete(Outcome::succeeded()).unwrap();
        completed.push(run.id().clone());
        completed.len()
    };
    for round in 0..2000 {
        let mut claim = movie.claim_next_async();
        let polls = (0..round % 5).find_map(|_| match poll(&mut claim, &Arc::default()) {
            Poll::Ready(claimed) => Some(claimed.unwrap()),
            Poll::Pending => {
                std::thread::sleep(Duration::from_micros(round % 3 * 10));
                None
            }
        });
        if polls.map(&mut complete) == Some(JOBS / 2) {
            break;
        }
    }
    // The last dropped ones are handed back.
    wait_for(&movie, State::Running, 0);
    while let Some(run) = movie.claim_next_timeout(Duration::ZERO).unwrap() {
        complete(run);
    }
    submitted.sort();
    completed.sort();
    assert_eq!(completed, submitted);
}

#[test]
fn a_dropped_pending_claim_hands_its_job_back() {
    let (_store, movie) = movie();
    let id = submit(&movie);
    for round in 0..200 {
        let wait = Duration::from_micros(round % 5 * 20);
        if round % 2 == 0 {
            let _claim = movie.nonblocking().claim_next();
            std::thread::sleep(wait);
        } else {
            let _claim = movie.nonblocking().claim(&id);
            std::thread::sleep(wait);
        }
        wait_for(&movie, State::Running, 0);
    }
    let run = movie.nonblocking().claim_next().wait().unwrap().unwrap();
    assert_eq!(*run.id(), id);
    run.complete(Outcome::succeeded()).unwrap();
}

/// On disk, a commit takes its time, so most claims are dropped in flight.
#[test]
fn a_claim_in_flight_hands_its_job_back_even_if_the_store_is_closed_right_after() {
    for recovery in [Recovery::Interrupt, Recovery::Requeue, Recovery::Leave] {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..10 {
            let store = JobStore::options()
                .recovery(recovery)
                .open(dir.path())
                .unwrap();
            let movie = store.get_or_create_graph("1", "movie").unwrap();
            if round == 0 {
                submit(&movie);
            }
            let claim = movie.nonblocking().claim_next();
            std::thread::sleep(Duration::from_micros(100 * round));
            drop(claim);
            store.close().unwrap();
            assert_eq!(store.recovered().len(), 0, "{recovery:?}, round {round}");
            drop((movie, store));
        }
        let store = JobStore::open(dir.path()).unwrap();
        let movie = store.graph("1", "movie").unwrap();
        assert_eq!(movie.count(State::Pending).unwrap(), 1, "{recovery:?}");
        let changes = movie
            .changes(None)
            .unwrap()
            .map(|change| change.unwrap().kind);
        for (n, kind) in changes.enumerate() {
            let expected = match n {
                0 => kind == ChangeKind::Submitted,
                n if n % 2 == 1 => kind == ChangeKind::Started,
                _ => kind == ChangeKind::Requeued,
            };
            assert!(expected, "{kind:?} is change {n}");
        }
    }
}

#[test]
fn a_job_that_is_handed_back_keeps_its_place_and_its_cancellation() {
    let (_store, movie) = movie();
    let first = submit(&movie);
    let second = submit(&movie);
    let claim = movie.nonblocking().claim_next();
    wait_for(&movie, State::Running, 1);
    drop(claim);
    wait_for(&movie, State::Running, 0);
    let run = movie.claim_next().unwrap().unwrap();
    assert_eq!(*run.id(), first);
    run.complete(Outcome::succeeded()).unwrap();

    let claim = movie.nonblocking().claim_next();
    wait_for(&movie, State::Running, 1);
    movie.cancel(&second).unwrap();
    drop(claim);
    let job = movie.wait(&second, LONG).unwrap().unwrap();
    assert_eq!(job.outcome(), Some(&Outcome::cancelled()));
}

#[test]
fn close_and_drop_wake_all_waiters() {
    let spawn = |graph: &Graph| -> Vec<_> {
        (0..8)
            .map(|n| {
                let graph = graph.clone();
                std::thread::spawn(move || match n % 2 {
                    0 => block_on(graph.claim_next_async()).unwrap_err(),
                    _ => graph.claim_next_timeout(LONG).unwrap_err(),
                })
            })
            .collect()
    };
    let (store, movie) = movie();
    let roads = store.create_graph("1", "roads").unwrap();
    let (of_movie, of_roads) = (spawn(&movie), spawn(&roads));
    std::thread::sleep(Duration::from_millis(50));
    store.drop_graph("1", "movie").unwrap();
    for waiter in of_movie {
        let error = waiter.join().unwrap();
        assert!(matches!(error, Error::GraphDropped { .. }), "{error:?}");
    }
    store.close().unwrap();
    for waiter in of_roads {
        assert!(matches!(waiter.join().unwrap(), Error::Closed));
    }
    assert!(matches!(roads.claim_next_timeout(LONG), Err(Error::Closed)));
    assert!(matches!(
        block_on(roads.claim_next_async()),
        Err(Error::Closed)
    ));
}

#[test]
fn a_read_only_store_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = JobStore::open(dir.path()).unwrap();
    store.create_graph("1", "movie").unwrap();
    store.close().unwrap();
    drop(store);
    let reader = JobStore::options()
        .read_only(true)
        .open(dir.path())
        .unwrap();
    let movie = reader.graph("1", "movie").unwrap();
    assert!(matches!(
        movie.claim_next_timeout(LONG),
        Err(Error::OpenedReadOnly)
    ));
    assert!(matches!(
        block_on(movie.claim_next_async()),
        Err(Error::OpenedReadOnly)
    ));
}

#[test]
fn a_timeout_ends_a_wait_and_a_second_poll_is_refused() {
    let (_store, movie) = movie();
    let begun = Instant::now();
    let timeout = Duration::from_millis(30);
    assert!(movie.claim_next_timeout(timeout).unwrap().is_none());
    assert!(begun.elapsed() >= timeout);
    submit(&movie);
    let mut claim = movie.claim_next_async();
    let run = block_on(&mut claim).unwrap();
    assert!(matches!(block_on(claim), Err(Error::InvalidUse { .. })));
    run.complete(Outcome::succeeded()).unwrap();
}

#[test]
fn a_job_that_was_queued_just_before_is_claimed_without_a_wait() {
    let (_store, movie) = movie();
    let write = movie.nonblocking().submit(request("c", "{}"));
    let run = movie.claim_next_timeout(Duration::ZERO).unwrap().unwrap();
    assert_eq!(*run.id(), write.wait().unwrap());
}

#[test]
fn claims_come_in_the_order_of_submission() {
    let (_store, movie) = movie();
    let submitted: Vec<JobId> = (0..50).map(|_| submit(&movie)).collect();
    let claimed: Vec<JobId> = (0..50)
        .map(|n| {
            let run = match n % 3 {
                0 => block_on(movie.claim_next_async()).unwrap(),
                1 => movie.claim_next_timeout(LONG).unwrap().unwrap(),
                _ => movie.claim_next().unwrap().unwrap(),
            };
            run.complete(Outcome::succeeded()).unwrap();
            run.id().clone()
        })
        .collect();
    assert_eq!(claimed, submitted);
}

#[test]
fn a_cancellation_wakes_the_run_whatever_ends_it() {
    for way in 0..5 {
        let (store, movie) = movie();
        let id = submit(&movie);
        let run = Arc::new(movie.claim_next().unwrap().unwrap());
        assert!(!run.wait_cancelled(Duration::from_millis(1)));
        let (mut cancelled, woken) = (run.cancelled(), Arc::default());
        assert!(poll(&mut cancelled, &woken).is_pending());
        let blocking = {
            let run = run.clone();
            std::thread::spawn(move || run.wait_cancelled(LONG))
        };
        std::thread::sleep(Duration::from_millis(5));
        match way {
            0 => drop(movie.cancel(&id).unwrap()),
            1 => drop(movie.complete(&id, Outcome::interrupted()).unwrap()),
            2 => drop(movie.attach(&id).unwrap().requeue().unwrap()),
            3 => store.drop_graph("1", "movie").unwrap(),
            _ => store.close().unwrap(),
        }
        woken.wait();
        block_on(cancelled);
        assert!(blocking.join().unwrap());
        // From now on, it completes immediately.
        assert!(poll(&mut run.cancelled(), &Arc::default()).is_ready());
    }
}

#[test]
fn a_wait_for_a_cancellation_is_left_without_a_trace() {
    let (_store, movie) = movie();
    let id = submit(&movie);
    let run = movie.claim_next().unwrap().unwrap();
    for _ in 0..1000 {
        assert!(poll(&mut run.cancelled(), &Arc::default()).is_pending());
    }
    let other = submit(&movie);
    movie.cancel(&other).unwrap();
    assert!(!run.cancel_requested());
    movie.cancel(&id).unwrap();
    block_on(run.cancelled());
    run.complete(Outcome::cancelled()).unwrap();
}

/// As an engine uses it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_of_a_runtime_work_cancel_and_stop() {
    let (store, movie) = movie();
    let worker = |movie: Graph| async move {
        let mut completed = 0;
        loop {
            let run = match movie.claim_next_async().await {
                Ok(run) => run,
                Err(Error::Closed) => return completed,
                Err(error) => panic!("{error}"),
            };
            let outcome = tokio::select! {
                () = run.cancelled() => Outcome::cancelled(),
                () = std::future::ready(()), if run.request().command() == "quick" => {
                    Outcome::succeeded()
                }
            };
            run.complete_async(outcome).await.unwrap();
            completed += 1;
        }
    };
    let workers: Vec<_> = (0..4)
        .map(|_| tokio::spawn(worker(movie.clone())))
        .collect();
    let mut ids = Vec::new();
    for n in 0..40 {
        let command = if n % 10 == 0 { "slow" } else { "quick" };
        let id = movie
            .nonblocking()
            .submit(request(command, "{}"))
            .await
            .unwrap();
        if command == "slow" {
            movie.nonblocking().cancel(&id).await.unwrap();
        }
        ids.push(id);
    }
    for (n, id) in ids.iter().enumerate() {
        let job = movie.wait_async(id).unwrap().await.unwrap();
        let cancelled = job.outcome() == Some(&Outcome::cancelled());
        assert_eq!(cancelled, n % 10 == 0);
    }
    tokio::task::spawn_blocking(move || store.close())
        .await
        .unwrap()
        .unwrap();
    let mut completed = 0;
    for worker in workers {
        completed += worker.await.unwrap();
    }
    assert!((36..=40).contains(&completed), "{completed}");
}
