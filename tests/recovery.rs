//! Recovery: each open finds the jobs that were running, applies the action that the engine chose,
//! reports exactly those, and marks them with its own number.
//!
//! Closing with running jobs simulates a crash here; `durability.rs` kills processes.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use jobstore::{
    Cancellation, Clock, Completion, Durability, Error, Graph, Job, JobId, JobQuery, JobStore,
    Outcome, OutcomeKind, Recovery, RecoveryAction, State,
};

use common::{lose_index, pack, request, small_segments};

/// One job in each state at the time of a crash.
struct Standing {
    pending: JobId,
    running: JobId,
    asked: JobId,
    complete: JobId,
    cancelled: JobId,
}

fn stand(graph: &Graph) -> Standing {
    let submit = || graph.submit(request("c", "{}")).unwrap();
    let standing = Standing {
        pending: submit(),
        running: submit(),
        asked: submit(),
        complete: submit(),
        cancelled: submit(),
    };
    for id in [&standing.running, &standing.asked, &standing.complete] {
        graph.start(id).unwrap();
    }
    let asked = graph.cancel(&standing.asked).unwrap();
    assert_eq!(asked, Cancellation::Requested);
    graph
        .complete(&standing.complete, Outcome::succeeded())
        .unwrap();
    let called_off = graph.cancel(&standing.cancelled).unwrap();
    assert_eq!(called_off, Cancellation::CancelledBeforeStart);
    standing
}

fn job(graph: &Graph, id: &JobId) -> Job {
    graph.job(id).unwrap().unwrap()
}

fn kind(job: &Job) -> Option<OutcomeKind> {
    job.outcome().map(Outcome::kind)
}

fn boot(job: &Job) -> Option<u64> {
    job.outcome().and_then(Outcome::recovered_at_open)
}

/// What the open recovered: ids and actions.
fn recovered(store: &JobStore) -> Vec<(String, RecoveryAction)> {
    let recovered = store.recovered();
    let jobs = recovered.jobs().map(|found| {
        let found = found.unwrap();
        assert_eq!(
            found.graph.job(found.job.id()).unwrap().unwrap().state(),
            found.job.state()
        );
        (found.job.id().to_string(), found.action)
    });
    let jobs: Vec<_> = jobs.collect();
    assert_eq!(recovered.len(), jobs.len());
    assert_eq!(recovered.is_empty(), jobs.is_empty());
    assert_eq!(recovered.opens(), store.opens());
    jobs
}

fn open(dir: &Path, recovery: Recovery) -> (JobStore, Graph) {
    let store = small_segments().recovery(recovery).open(dir).unwrap();
    assert_eq!(store.recovered().policy(), recovery);
    let graph = store.get_or_create_graph("p", "g").unwrap();
    (store, graph)
}

/// Every job that was not running is unchanged.
fn check_the_others(graph: &Graph, standing: &Standing) {
    assert_eq!(job(graph, &standing.pending).state(), State::Pending);
    let complete = job(graph, &standing.complete);
    assert_eq!(kind(&complete), Some(OutcomeKind::Succeeded));
    assert_eq!(boot(&complete), None);
    let cancelled = job(graph, &standing.cancelled);
    assert_eq!(kind(&cancelled), Some(OutcomeKind::Cancelled));
    assert_eq!(boot(&cancelled), None);
}

#[test]
fn by_default_what_was_running_is_complete_as_interrupted_or_cancelled() {
    let dir = tempfile::tempdir().unwrap();
    let (store, graph) = open(dir.path(), Recovery::Interrupt);
    assert!(recovered(&store).is_empty());
    let standing = stand(&graph);
    store.close().unwrap();

    let store = JobStore::open(dir.path()).unwrap();
    assert_eq!(store.recovered().policy(), Recovery::Interrupt);
    let graph = store.graph("p", "g").unwrap();
    let mut found = recovered(&store);
    let mut expected = vec![
        (standing.running.to_string(), RecoveryAction::Interrupted),
        (standing.asked.to_string(), RecoveryAction::Cancelled),
    ];
    found.sort_by(|a, b| a.0.cmp(&b.0));
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(found, expected);
    for (id, expected) in [
        (&standing.running, OutcomeKind::Interrupted),
        (&standing.asked, OutcomeKind::Cancelled),
    ] {
        let job = job(&graph, id);
        assert_eq!(job.state(), State::Complete);
        assert_eq!(kind(&job), Some(expected));
        assert_eq!(boot(&job), Some(store.opens()));
        assert!(job.started_at().is_some() && job.completed_at().is_some());
        assert!(!job.cancel_requested(), "it is not running any more");
        let again = graph.complete(id, Outcome::succeeded()).unwrap();
        assert_eq!(
            again,
            Completion::AlreadyComplete(job.outcome().unwrap().clone())
        );
    }
    check_the_others(&graph, &standing);
    let on_the_wire = common::listed(&graph);
    assert_eq!(on_the_wire.matches(r#""status":"complete""#).count(), 4);
}

#[test]
fn requeued_jobs_are_pending_again_as_if_they_had_not_started() {
    let dir = tempfile::tempdir().unwrap();
    let (store, graph) = open(dir.path(), Recovery::Requeue);
    let standing = stand(&graph);
    store.close().unwrap();
    let (store, graph) = open(dir.path(), Recovery::Requeue);
    let found: BTreeMap<_, _> = recovered(&store).into_iter().collect();
    assert_eq!(found.len(), 2);
    assert_eq!(found[standing.running.as_str()], RecoveryAction::Requeued);
    assert_eq!(found[standing.asked.as_str()], RecoveryAction::Cancelled);
    let requeued = job(&graph, &standing.running);
    assert_eq!(requeued.state(), State::Pending);
    assert_eq!(requeued.started_at(), None);
    assert!(requeued.outcome().is_none());
    assert_eq!(
        kind(&job(&graph, &standing.asked)),
        Some(OutcomeKind::Cancelled)
    );
    check_the_others(&graph, &standing);

    // It keeps its place in the order: only the pending one comes before it.
    let first = graph.claim_next().unwrap().unwrap();
    assert_eq!(first.id(), &standing.pending);
    let run = graph.claim_next().unwrap().unwrap();
    assert_eq!(run.id(), &standing.running);
    assert!(!run.cancel_requested());
    assert_eq!(
        run.complete(Outcome::succeeded()).unwrap(),
        Completion::Done
    );
    let job = job(&graph, &standing.running);
    assert_eq!(
        (kind(&job), boot(&job)),
        (Some(OutcomeKind::Succeeded), None)
    );
    assert!(graph.claim_next().unwrap().is_none());
}

#[test]
fn left_jobs_go_on_running_and_keep_their_cancel_requests() {
    let dir = tempfile::tempdir().unwrap();
    let (store, graph) = open(dir.path(), Recovery::Leave);
    let standing = stand(&graph);
    store.close().unwrap();
    for round in 0..3 {
        let (store, graph) = open(dir.path(), Recovery::Leave);
        let found = recovered(&store);
        assert_eq!(found.len(), 2, "round {round}: {found:?}");
        for (_, action) in &found {
            assert_eq!(*action, RecoveryAction::Left);
        }
        let running = job(&graph, &standing.running);
        assert_eq!(running.state(), State::Running);
        assert!(!running.cancel_requested());
        let asked = job(&graph, &standing.asked);
        assert_eq!(asked.state(), State::Running);
        assert!(asked.cancel_requested(), "round {round}");
        check_the_others(&graph, &standing);
        store.close().unwrap();
        if round == 1 {
            lose_index(dir.path());
        }
    }
    let (store, graph) = open(dir.path(), Recovery::Leave);
    graph
        .complete(&standing.running, Outcome::succeeded())
        .unwrap();
    store.close().unwrap();
    // The engine changes the policy: the earlier cancel request still counts.
    let (store, graph) = open(dir.path(), Recovery::Requeue);
    let found = recovered(&store);
    assert_eq!(
        found,
        [(standing.asked.to_string(), RecoveryAction::Cancelled)]
    );
    assert_eq!(
        kind(&job(&graph, &standing.asked)),
        Some(OutcomeKind::Cancelled)
    );
}

#[test]
fn each_open_reports_its_own_jobs_and_older_outcomes_keep_their_boot() {
    let dir = tempfile::tempdir().unwrap();
    let mut boots = Vec::new();
    let mut interrupted: Vec<(JobId, u64)> = Vec::new();
    let mut running: Option<JobId> = None;
    for open_number in 0..6 {
        let (store, graph) = open(dir.path(), Recovery::Interrupt);
        boots.push(store.opens());
        let found: Vec<String> = recovered(&store).into_iter().map(|(id, _)| id).collect();
        let expected: Vec<String> = running.iter().map(JobId::to_string).collect();
        assert_eq!(found, expected, "open {open_number}");
        if let Some(id) = running.take() {
            interrupted.push((id, store.opens()));
        }
        for (id, expected) in &interrupted {
            let job = job(&graph, id);
            assert_eq!(boot(&job), Some(*expected), "open {open_number}");
        }
        // The second and the fourth open find nothing.
        if open_number % 2 == 0 {
            let id = graph.submit(request("c", "{}")).unwrap();
            graph.start(&id).unwrap();
            running = Some(id);
        }
        if open_number == 3 {
            pack(&store, dir.path());
        }
        store.close().unwrap();
        if open_number == 4 {
            lose_index(dir.path());
        }
    }
    assert_eq!(boots, (1..=6).collect::<Vec<u64>>());
}

/// A clock that stands still unless it is set.
#[derive(Clone)]
struct Set(Arc<AtomicU64>);

impl Clock for Set {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

#[test]
fn recovery_ends_jobs_at_the_time_of_the_open() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Set(Arc::new(AtomicU64::new(1_000)));
    let open = || small_segments().clock(clock.clone()).open(dir.path());
    let store = open().unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let id = graph.submit(request("c", "{}")).unwrap();
    clock.0.store(2_000, Ordering::SeqCst);
    graph.start(&id).unwrap();
    store.close().unwrap();
    // Backward: no order depends on it.
    clock.0.store(500, Ordering::SeqCst);
    let store = open().unwrap();
    let job = job(&store.graph("p", "g").unwrap(), &id);
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    assert_eq!(job.submitted_at(), at(1_000));
    assert_eq!(job.started_at(), Some(at(2_000)));
    assert_eq!(job.completed_at(), Some(at(500)));
}

#[test]
fn jobs_of_all_graphs_are_found_and_those_of_a_dropped_one_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), Recovery::Interrupt);
    for name in ["a", "b", "c"] {
        let graph = store.create_graph("p", name).unwrap();
        for id in graph.submit_all(vec![request("c", "{}"); 5]).unwrap() {
            graph.start(id).unwrap();
        }
    }
    store.drop_graph("p", "c").unwrap();
    store.close().unwrap();

    let (store, _) = open(dir.path(), Recovery::Interrupt);
    assert_eq!(store.recovered().len(), 10);
    let graphs = |store: &JobStore| {
        let mut graphs: BTreeMap<String, usize> = BTreeMap::new();
        for found in store.recovered().jobs() {
            let name = found.unwrap().graph.name().to_owned();
            *graphs.entry(name).or_default() += 1;
        }
        graphs.into_iter().collect::<Vec<_>>()
    };
    let both = [("a".to_owned(), 5), ("b".to_owned(), 5)];
    assert_eq!(graphs(&store), both);
    store.drop_graph("p", "a").unwrap();
    assert_eq!(graphs(&store), both[1..]);
    // Not those of the graph that has the name now, either.
    let anew = store.create_graph("p", "a").unwrap();
    anew.submit_all(vec![request("c", "{}"); 5]).unwrap();
    assert_eq!(graphs(&store), both[1..]);
    store.drop_graph("p", "b").unwrap();
    assert_eq!(graphs(&store), []);
    store.close().unwrap();
    let after_close: Result<Vec<_>, _> = store.recovered().jobs().collect();
    assert!(after_close.is_ok_and(|jobs| jobs.is_empty()));
}

#[test]
fn what_was_recovered_cannot_be_asked_of_a_closed_store() {
    let dir = tempfile::tempdir().unwrap();
    let (store, graph) = open(dir.path(), Recovery::Interrupt);
    let id = graph.submit(request("c", "{}")).unwrap();
    graph.start(&id).unwrap();
    store.close().unwrap();
    let (store, _) = open(dir.path(), Recovery::Interrupt);
    store.close().unwrap();
    assert_eq!(store.recovered().len(), 1);
    let first = store.recovered().jobs().next().unwrap();
    assert!(matches!(first, Err(Error::Closed)), "{first:?}");
}

#[test]
fn a_hundred_thousand_running_jobs_are_recovered_in_one_open() {
    const JOBS: usize = 100_000;
    let dir = tempfile::tempdir().unwrap();
    let quick = Durability::Interval(Duration::from_secs(60));
    let store = JobStore::options().durability(quick).open(dir.path());
    let store = store.unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let ids = graph.submit_all(vec![request("c", "{}"); JOBS]).unwrap();
    for ids in ids.chunks(10_000) {
        let writes: Vec<_> = ids.iter().map(|id| graph.nonblocking().start(id)).collect();
        writes.into_iter().for_each(|write| write.wait().unwrap());
    }
    for id in ids.iter().step_by(10) {
        graph.nonblocking().cancel(id).wait().unwrap();
    }
    store.close().unwrap();

    let store = JobStore::open(dir.path()).unwrap();
    assert_eq!(store.recovered().len(), JOBS);
    let graph = store.graph("p", "g").unwrap();
    assert_eq!(graph.count(State::Complete).unwrap(), JOBS as u64);
    let page = graph
        .list(JobQuery::new().offset(50_000).limit(1_000))
        .unwrap();
    for (n, job) in page.jobs().enumerate() {
        let job = job.unwrap();
        let expected = match n % 10 {
            0 => OutcomeKind::Cancelled,
            _ => OutcomeKind::Interrupted,
        };
        assert_eq!(kind(&job), Some(expected));
        assert_eq!(boot(&job), Some(store.opens()));
    }
    store.close().unwrap();
    let store = JobStore::open(dir.path()).unwrap();
    assert!(store.recovered().is_empty());
}
