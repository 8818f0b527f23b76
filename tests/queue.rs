//! Nonblocking writes: pending writes are futures that work with any runtime, and can also be
//! waited for; if the queue is full, a call returns an error or waits, never in a `poll`; dropping
//! a pending write does not withdraw the write, and a close completes all of them.
//!
//! The store reads its clock before each commit, so a clock that blocks stops the committer, but no
//! caller that only queues a write: this is how these tests fill the queue.

mod common;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, SystemTime};

use jobstore::{
    Cancellation, Clock, Completion, Error, Graph, JobId, JobQuery, JobStore, Outcome, OutcomeKind,
    Request, State, Submitted,
};

use common::{ids, request, small_segments};

/// The size of the queue of these stores; three of the requests fit.
const QUEUE_BYTES: u64 = 64 << 10;

fn big(n: usize) -> Request {
    request("big", &format!("[{n},\"{}\"]", "x".repeat(20_000)))
}

/// Longer than anything here takes; a test that would hang fails instead.
const TIMEOUT: Duration = Duration::from_secs(10);

// ---- A minimal runtime ----

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        let parked = std::time::Instant::now();
        std::thread::park_timeout(TIMEOUT);
        assert!(parked.elapsed() < TIMEOUT, "nobody woke the future");
    }
}

/// Counts how often it was woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll_once<F: Future + Unpin>(future: &mut F, waker: &Arc<Count>) -> Poll<F::Output> {
    let waker = Waker::from(waker.clone());
    Pin::new(future).poll(&mut Context::from_waker(&waker))
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + TIMEOUT;
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

// ---- A clock that blocks the committer ----

#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<Held>, Condvar)>);

#[derive(Default)]
struct Held {
    shut: bool,
    waiting: usize,
    /// Seconds since the clock's first reading.
    seconds: u64,
}

impl Gate {
    fn shut(&self) {
        self.0.0.lock().unwrap().shut = true;
    }

    fn open(&self) {
        self.0.0.lock().unwrap().shut = false;
        self.0.1.notify_all();
    }

    fn advance(&self, seconds: u64) {
        self.0.0.lock().unwrap().seconds += seconds;
    }

    /// Waits until the committer has taken a write and is blocked at the gate.
    fn wait_for_committer(&self) {
        eventually("the committer takes a write", || {
            self.0.0.lock().unwrap().waiting > 0
        });
    }
}

impl Clock for Gate {
    fn now(&self) -> SystemTime {
        // Every caller blocks; the tests wait only for the committer.
        let is_committer = std::thread::current().name() == Some("jobstore-commit");
        let mut held = self.0.0.lock().unwrap();
        held.waiting += usize::from(is_committer);
        // The time is read before the gate and returned after it.
        let seconds = held.seconds;
        while held.shut {
            held = self.0.1.wait(held).unwrap();
        }
        held.waiting -= usize::from(is_committer);
        at(seconds)
    }
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

/// Opens the gate at the end of a test, even if it failed: otherwise the store could not close.
struct OpenAtEnd(Gate);

impl Drop for OpenAtEnd {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// A store with a small queue, behind a gate.
struct SmallQueue {
    // They are dropped in this order: the gate is opened before the store closes.
    gate: OpenAtEnd,
    graph: Graph,
    store: JobStore,
    dir: tempfile::TempDir,
}

fn small_queue() -> SmallQueue {
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::default();
    let options = small_segments().max_queue_bytes(QUEUE_BYTES);
    let store = options.clock(gate.clone()).open(dir.path()).unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    SmallQueue {
        gate: OpenAtEnd(gate),
        graph,
        store,
        dir,
    }
}

impl SmallQueue {
    /// Blocks the committer with one write taken, and an empty queue.
    fn hold(&self) {
        self.gate.0.shut();
        drop(self.graph.nonblocking().submit(request("held", "{}")));
        self.gate.0.wait_for_committer();
    }
}

/// The numbers in the bodies of the big requests, in the list's order.
fn numbers(graph: &Graph) -> Vec<usize> {
    let page = graph.list(JobQuery::new()).unwrap();
    let jobs = page.jobs().map(|job| job.unwrap());
    let big = jobs.filter(|job| job.request().command() == "big");
    big.map(|job| {
        let body: (usize, String) = serde_json::from_str(job.request().body()).unwrap();
        body.0
    })
    .collect()
}

// ---- Times ----

#[test]
fn no_write_is_dated_before_it_was_queued() {
    let queue = small_queue();
    queue.gate.0.shut();
    let early = queue.graph.nonblocking().submit(request("early", "{}"));
    queue.gate.0.wait_for_committer();
    // The committer has read the clock; later writes must not get that time.
    queue.gate.0.advance(100);
    let late = queue.graph.try_submit(request("late", "{}")).unwrap();
    queue.gate.0.open();
    let submitted_at = |id| queue.graph.job(&id).unwrap().unwrap().submitted_at();
    assert_eq!(submitted_at(early.wait().unwrap()), at(0));
    assert_eq!(submitted_at(late.wait().unwrap()), at(100));
}

#[test]
fn a_clock_that_blocks_holds_nobody_who_does_not_wait_for_a_commit() {
    let queue = small_queue();
    queue.hold();
    let (done, ended) = std::sync::mpsc::channel();
    let (graph, store) = (queue.graph.clone(), queue.store.clone());
    std::thread::spawn(move || {
        let says = |what: &str| done.send(what.to_owned()).unwrap();
        let mut write = graph.try_submit(request("c", "1")).unwrap();
        says("try_submit");
        assert!(poll_once(&mut write, &Arc::default()).is_pending());
        says("poll");
        drop(graph.nonblocking().submit(request("c", "2")));
        says("submit, and drop");
        assert_eq!(graph.list(JobQuery::new()).unwrap().len(), 0);
        says("list");
        assert!(graph.job("none").unwrap().is_none());
        says("job");
        let _ = store.health();
        says("health");
    });
    let mut last = "nothing".to_owned();
    while last != "health" {
        let next = ended.recv_timeout(TIMEOUT);
        last = next.unwrap_or_else(|_| panic!("the call after {last} asks the clock"));
    }
}

// ---- Pending writes ----

#[test]
fn every_write_can_be_awaited_and_answers_like_the_blocking_call() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let id = block_on(async {
        let nonblocking = graph.nonblocking();
        let id = nonblocking.submit(request("c", "1")).await?;
        let more = nonblocking.submit_all(vec![request("c", "2"); 3]).await?;
        assert_eq!(more.len(), 3);
        assert_eq!(nonblocking.submit_all([]).await?, []);
        let own = JobId::new("own")?;
        let created = nonblocking.submit_as("own", request("c", "3")).await?;
        assert_eq!(created, Submitted::Created(own.clone()));
        let exists = nonblocking.submit_as("own", request("c", "3")).await?;
        assert_eq!(exists, Submitted::AlreadyExists(own));
        let taken = nonblocking.submit_as("own", request("c", "4")).await;
        assert!(matches!(taken, Err(Error::JobIdTaken { .. })), "{taken:?}");
        nonblocking.start(&id).await?;
        let refused = nonblocking.start(&id).await;
        assert!(matches!(refused, Err(Error::IllegalTransition { .. })));
        let done = nonblocking.complete(&id, Outcome::succeeded()).await?;
        assert_eq!(done, Completion::Done);
        let again = nonblocking.complete(&id, Outcome::cancelled()).await?;
        assert_eq!(again, Completion::AlreadyComplete(Outcome::succeeded()));
        let cancelled = nonblocking.cancel(&more[0]).await?;
        assert_eq!(cancelled, Cancellation::CancelledBeforeStart);
        let run = nonblocking.claim_next().await?.unwrap();
        assert_eq!(run.id(), &more[1]);
        run.complete(Outcome::succeeded())?;
        let tried = graph.try_submit(request("c", "5"))?.await?;
        assert!(graph.job(&tried)?.is_some());
        Ok::<JobId, Error>(id)
    });
    let id = id.unwrap();
    assert_eq!(graph.job(&id).unwrap().unwrap().state(), State::Complete);
    assert_eq!(graph.list(JobQuery::new()).unwrap().total().unwrap(), 6);
}

#[test]
fn a_ticket_can_be_sent_to_another_thread_and_polled_with_another_waker() {
    let all = small_queue();
    all.hold();
    let mut write = all.graph.nonblocking().submit(request("c", "{}"));
    let (first, second) = (Arc::new(Count::default()), Arc::new(Count::default()));
    assert!(poll_once(&mut write, &first).is_pending());
    assert!(poll_once(&mut write, &second).is_pending());
    all.gate.0.open();
    eventually("the last waker is woken", || {
        second.0.load(Ordering::SeqCst) > 0
    });
    let id = std::thread::spawn(move || block_on(write)).join().unwrap();
    assert!(all.graph.job(id.unwrap()).unwrap().is_some());
}

#[test]
fn wait_timeout_gives_nothing_before_the_answer_and_the_answer_once() {
    let all = small_queue();
    all.hold();
    let mut write = all.graph.nonblocking().submit(request("c", "{}"));
    for _ in 0..3 {
        assert!(write.wait_timeout(Duration::from_millis(1)).is_none());
    }
    assert!(write.wait_timeout(Duration::ZERO).is_none());
    all.gate.0.open();
    let id = write.wait_timeout(TIMEOUT).unwrap().unwrap();
    assert!(all.graph.job(&id).unwrap().is_some());
    let after = write.wait_timeout(Duration::MAX);
    let used_up = matches!(after, Some(Err(Error::InvalidUse { .. })));
    assert!(used_up, "{after:?}");
    let mut refused = all.graph.nonblocking().start("nobody");
    let answer = refused.wait_timeout(Duration::ZERO);
    assert!(matches!(answer, Some(Err(Error::UnknownJob { .. }))));
}

#[test]
fn writes_of_one_thread_are_carried_out_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = small_segments().open(dir.path()).unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let submitted: Vec<Vec<JobId>> = std::thread::scope(|scope| {
        let threads = (0..4).map(|_| {
            scope.spawn(|| {
                let writes: Vec<_> = (0..200)
                    .map(|n| graph.nonblocking().submit(request("c", &n.to_string())))
                    .collect();
                let ids = writes.into_iter().map(|write| write.wait().unwrap());
                ids.collect::<Vec<_>>()
            })
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let listed = ids(&graph.list(JobQuery::new()).unwrap());
    assert_eq!(listed.len(), 800);
    for ours in submitted {
        let mut rest = listed.iter();
        for id in &ours {
            assert!(rest.any(|listed| listed == id.as_str()), "out of order");
        }
    }
    // Also for several steps of one job, without waiting between them.
    let id = graph.submit(request("c", "{}")).unwrap();
    let started = graph.nonblocking().start(&id);
    let completed = graph.nonblocking().complete(&id, Outcome::succeeded());
    assert_eq!(completed.wait().unwrap(), Completion::Done);
    started.wait().unwrap();
}

// ---- A full queue ----

#[test]
fn a_full_queue_says_busy_with_its_numbers_and_takes_nothing() {
    let all = small_queue();
    all.hold();
    let mut writes = Vec::new();
    let busy = loop {
        match all.graph.try_submit(big(writes.len())) {
            Ok(write) => writes.push(write),
            Err(error) => break error,
        }
        assert!(writes.len() < 10, "the queue has no bound");
    };
    assert_eq!(writes.len(), 3);
    let Error::Busy {
        queued_bytes,
        max_bytes,
    } = busy
    else {
        panic!("{busy:?}");
    };
    assert_eq!(max_bytes, QUEUE_BYTES);
    assert!((3 * 20_000..=QUEUE_BYTES).contains(&queued_bytes));
    assert_eq!(busy.api_error().status, 503);
    all.gate.0.open();
    for write in writes {
        write.wait().unwrap();
    }
    // There is space again.
    all.graph.try_submit(big(3)).unwrap().wait().unwrap();
    assert_eq!(numbers(&all.graph), [0, 1, 2, 3]);
}

#[test]
fn try_submit_is_busy_at_some_point_while_big_writes_are_committed() {
    let dir = tempfile::tempdir().unwrap();
    let options = small_segments().max_queue_bytes(QUEUE_BYTES);
    let store = options.open(dir.path()).unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let request = big(0);
    let (mut writes, mut busy) = (Vec::new(), 0);
    while busy < 100 && writes.len() < 20_000 {
        match graph.try_submit(request.clone()) {
            Ok(write) => writes.push(write),
            Err(Error::Busy { .. }) => busy += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(busy > 0, "the queue was never full");
    let taken = writes.len() as u64;
    for write in writes {
        block_on(write).unwrap();
    }
    assert_eq!(graph.list(JobQuery::new()).unwrap().total().unwrap(), taken);
}

#[test]
fn a_write_larger_than_the_queue_goes_in_when_it_is_empty() {
    let all = small_queue();
    let large = request("large", &format!("\"{}\"", "x".repeat(300_000)));
    all.graph.submit(large.clone()).unwrap();
    all.graph.try_submit(large.clone()).unwrap().wait().unwrap();
    all.hold();
    let small = all.graph.nonblocking().submit(request("c", "{}"));
    let refused = all.graph.try_submit(large.clone()).unwrap_err();
    assert!(matches!(refused, Error::Busy { .. }), "{refused:?}");
    let write = all.graph.nonblocking().submit(large.clone());
    all.gate.0.open();
    block_on(write).unwrap();
    small.wait().unwrap();
    assert_eq!(all.graph.list(JobQuery::new()).unwrap().total().unwrap(), 5);
}

#[test]
fn polling_never_blocks_and_all_writes_are_done_in_the_end() {
    const WRITES: usize = 40;
    let all = small_queue();
    all.hold();
    let woken = Arc::new(Count::default());
    // On a separate thread: a poll that blocked would block forever here.
    let (send, polled) = std::sync::mpsc::channel();
    let (graph, waker) = (all.graph.clone(), woken.clone());
    std::thread::spawn(move || {
        let mut writes: Vec<_> = (0..WRITES)
            .map(|n| graph.nonblocking().submit(big(n)))
            .collect();
        for _ in 0..3 {
            for write in &mut writes {
                assert!(poll_once(write, &waker).is_pending());
            }
        }
        send.send(writes).unwrap();
    });
    let mut writes = polled.recv_timeout(TIMEOUT).expect("a poll has blocked");
    assert_eq!(woken.0.load(Ordering::SeqCst), 0);
    all.gate.0.open();
    // Polled only after being woken: no wake-up may be lost.
    let mut seen = 0;
    while !writes.is_empty() {
        eventually("somebody is woken", || {
            woken.0.load(Ordering::SeqCst) > seen
        });
        seen = woken.0.load(Ordering::SeqCst);
        writes.retain_mut(|write| match poll_once(write, &woken) {
            Poll::Ready(answer) => answer.is_err(),
            Poll::Pending => true,
        });
    }
    let mut done = numbers(&all.graph);
    done.sort_unstable();
    assert!(done.into_iter().eq(0..WRITES));
}

#[test]
fn threads_that_block_and_futures_that_wait_share_a_full_queue() {
    let all = small_queue();
    let graph = &all.graph;
    std::thread::scope(|scope| {
        for thread in 0..6 {
            scope.spawn(move || {
                for n in 0..15 {
                    let request = big(thread * 100 + n);
                    match thread % 3 {
                        0 => graph.submit(request).map(|_| ()),
                        1 => graph.nonblocking().submit(request).wait().map(|_| ()),
                        _ => block_on(graph.nonblocking().submit(request)).map(|_| ()),
                    }
                    .unwrap();
                }
            });
        }
    });
    let mut done = numbers(graph);
    done.sort_unstable();
    let expected = (0..6).flat_map(|thread| (0..15).map(move |n| thread * 100 + n));
    assert!(done.into_iter().eq(expected));
}

/// Runs `call` on a separate thread, and requires that it does not return while the committer is
/// blocked.
fn comes_back<T: Send + 'static>(what: &str, call: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, answer) = std::sync::mpsc::channel();
    std::thread::spawn(move || send.send(call()).ok());
    let answer = answer.recv_timeout(TIMEOUT);
    answer.unwrap_or_else(|_| panic!("{what} does not come back"))
}

#[test]
fn wait_timeout_comes_back_also_when_the_queue_is_full() {
    let all = small_queue();
    all.hold();
    let mut writes: Vec<_> = (0..5)
        .map(|n| all.graph.nonblocking().submit(big(n)))
        .collect();
    let mut outside = writes.pop().unwrap();
    let outside = comes_back("wait_timeout", move || {
        let early = outside.wait_timeout(Duration::from_millis(20));
        assert!(early.is_none());
        outside
    });
    all.gate.0.open();
    for write in writes.into_iter().chain([outside]) {
        write.wait().unwrap();
    }
    assert_eq!(numbers(&all.graph), [0, 1, 2, 3, 4]);
}

#[test]
fn a_guard_that_is_dropped_while_nothing_is_committed_is_recorded_later() {
    for full in [false, true] {
        let all = small_queue();
        let id = all.graph.submit(request("c", "{}")).unwrap();
        let run = all.graph.claim(&id).unwrap();
        all.hold();
        let count = if full { 3 } else { 0 };
        let writes: Vec<_> = (0..count)
            .map(|n| all.graph.nonblocking().submit(big(n)))
            .collect();
        if full {
            let more = all.graph.try_submit(big(3));
            assert!(matches!(more, Err(Error::Busy { .. })), "{more:?}");
            // The small remaining space is also used.
            while all.graph.try_submit(request("c", "{}")).is_ok() {}
        }
        comes_back("the drop of a guard", move || drop(run));
        let before = all.graph.job(&id).unwrap().unwrap();
        assert_eq!(before.state(), State::Running);
        all.gate.0.open();
        writes
            .into_iter()
            .for_each(|write| drop(write.wait().unwrap()));
        eventually("the guard's end is recorded", || {
            let job = all.graph.job(&id).unwrap().unwrap();
            job.outcome().map(Outcome::kind) == Some(OutcomeKind::Interrupted)
        });
    }
}

#[test]
fn dropping_tickets_withdraws_nothing() {
    let all = small_queue();
    all.hold();
    let graph = all.graph.clone();
    // Three fit in the queue; the fourth drop waits. Half of the writes are polled.
    let dropping = std::thread::spawn(move || {
        let woken = Arc::new(Count::default());
        for n in 0..30 {
            let mut write = graph.nonblocking().submit(big(n));
            if n % 2 == 0 {
                let polled = poll_once(&mut write, &woken);
                assert!(n >= 4 || polled.is_pending());
            }
        }
    });
    std::thread::sleep(Duration::from_millis(50));
    assert!(!dropping.is_finished(), "a drop went over the bound");
    all.gate.0.open();
    dropping.join().unwrap();
    eventually("all are there", || {
        all.graph.count(State::Pending).unwrap() == 1 + 30
    });
    assert!(numbers(&all.graph).into_iter().eq(0..30));
}

// ---- Closing ----

#[test]
fn close_carries_out_what_is_queued_and_answers_every_ticket() {
    let SmallQueue {
        gate,
        graph,
        store,
        dir,
    } = {
        let all = small_queue();
        all.hold();
        all
    };
    let woken = Arc::new(Count::default());
    let mut writes: Vec<_> = (0..10)
        .map(|n| graph.nonblocking().submit(big(n)))
        .collect();
    assert!(poll_once(&mut writes[9], &woken).is_pending());
    let closing = std::thread::spawn({
        let store = store.clone();
        move || store.close()
    });
    // It waits for queued writes, and accepts no more.
    eventually("the store closes", || {
        matches!(graph.try_submit(big(99)), Err(Error::Closed))
    });
    gate.0.open();
    closing.join().unwrap().unwrap();
    assert!(
        woken.0.load(Ordering::SeqCst) > 0,
        "one that waited for room"
    );
    let mut done = Vec::new();
    for (n, write) in writes.into_iter().enumerate() {
        match if n % 2 == 0 {
            write.wait()
        } else {
            block_on(write)
        } {
            Ok(_) => done.push(n),
            Err(error) => assert!(matches!(error, Error::Closed), "{error:?}"),
        }
    }
    assert!(
        done.starts_with(&[0, 1, 2]),
        "these were in the queue: {done:?}"
    );
    // The results were correct.
    let store = JobStore::open(dir.path()).unwrap();
    let graph = store.graph("p", "g").unwrap();
    assert_eq!(numbers(&graph), done);
}

#[test]
fn a_ticket_outlives_the_store_and_keeps_its_answer() {
    let dir = tempfile::tempdir().unwrap();
    let store = small_segments().open(dir.path()).unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let writes: Vec<_> = (0..20)
        .map(|n| graph.nonblocking().submit(big(n)))
        .collect();
    store.close().unwrap();
    let ids: Vec<JobId> = writes.into_iter().map(|t| t.wait().unwrap()).collect();
    let store = JobStore::open(dir.path()).unwrap();
    let graph = store.graph("p", "g").unwrap();
    for id in &ids {
        assert!(graph.job(id).unwrap().is_some());
    }
}

#[test]
fn after_the_close_every_call_says_closed() {
    let dir = tempfile::tempdir().unwrap();
    let store = JobStore::open(dir.path()).unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let id = graph.submit(request("c", "{}")).unwrap();
    let run = graph
        .claim(graph.submit(request("c", "{}")).unwrap())
        .unwrap();
    store.close().unwrap();
    store.close().unwrap();
    let nonblocking = graph.nonblocking();
    let c = || request("c", "{}");
    let answers: Vec<(&str, Option<Error>)> = vec![
        ("create_graph", store.create_graph("p", "h").err()),
        ("graph", store.graph("p", "g").err()),
        (
            "get_or_create_graph",
            store.get_or_create_graph("p", "g").err(),
        ),
        ("graphs", store.graphs().err()),
        ("drop_graph", store.drop_graph("p", "g").err()),
        ("submit", graph.submit(c()).err()),
        ("submit_all", graph.submit_all([c()]).err()),
        ("submit_as", graph.submit_as("own", c()).err()),
        ("start", graph.start(&id).err()),
        ("complete", graph.complete(&id, Outcome::succeeded()).err()),
        ("cancel", graph.cancel(&id).err()),
        ("claim", graph.claim(&id).err()),
        ("claim_next", graph.claim_next().err()),
        ("job", graph.job(&id).err()),
        ("list", graph.list(JobQuery::new()).err()),
        ("count", graph.count(State::Pending).err()),
        ("try_submit", graph.try_submit(c()).err()),
        ("Run::complete", run.complete(Outcome::succeeded()).err()),
        ("queued submit", nonblocking.submit(c()).wait().err()),
        (
            "queued submit_all",
            nonblocking.submit_all([c()]).wait().err(),
        ),
        (
            "queued submit_as",
            nonblocking.submit_as("own", c()).wait().err(),
        ),
        ("queued start", nonblocking.start(&id).wait().err()),
        ("queued cancel", block_on(nonblocking.cancel(&id)).err()),
        (
            "queued claim_next",
            block_on(nonblocking.claim_next()).err(),
        ),
    ];
    for (call, error) in answers {
        assert!(matches!(error, Some(Error::Closed)), "{call}: {error:?}");
        assert_eq!(error.unwrap().api_error().status, 503);
    }
    let store = JobStore::open(dir.path()).unwrap();
    assert_eq!(
        store
            .graph("p", "g")
            .unwrap()
            .list(JobQuery::new())
            .unwrap()
            .total()
            .unwrap(),
        2
    );
}
