//! Runs: what happens to a job when its run ends.
//!
//! Guarantee: a run never records another outcome than the one it was given, and a graceful
//! shutdown preserves what a crash would have preserved.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use common::{request, small_segments};
use jobstore::{
    Error, Graph, JobId, JobQuery, JobStore, Outcome, OutcomeKind, Recovery, Request, Requeued,
    Run, Secrets, State,
};

fn open(dir: &Path, recovery: Recovery) -> JobStore {
    JobStore::options().recovery(recovery).open(dir).unwrap()
}

fn submitted(graph: &Graph) -> JobId {
    graph.submit(request("c", "1")).unwrap()
}

/// A job's state and outcome.
fn end_of(graph: &Graph, id: &JobId) -> (State, Option<OutcomeKind>) {
    let job = graph.job(id).unwrap().unwrap();
    (job.state(), job.outcome().map(Outcome::kind))
}

const PENDING: (State, Option<OutcomeKind>) = (State::Pending, None);
const RUNNING: (State, Option<OutcomeKind>) = (State::Running, None);

fn complete(kind: OutcomeKind) -> (State, Option<OutcomeKind>) {
    (State::Complete, Some(kind))
}

#[test]
fn a_long_stack_trace_is_cut_and_the_job_stays_failed() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let id = submitted(&graph);
    let trace = "at engine::step (ü)\n".repeat(1000);
    let run = graph.claim(&id).unwrap();
    run.complete(Outcome::failed("E".repeat(300), trace.as_str()))
        .unwrap();
    let job = graph.job(&id).unwrap().unwrap();
    let outcome = job.outcome().unwrap();
    assert_eq!(outcome.kind(), OutcomeKind::Failed);
    let (code, message) = (outcome.code().unwrap(), outcome.message().unwrap());
    assert!(message.len() <= 8192 && message.len() > 8100);
    let marker = format!("... [truncated, {} bytes in total]", trace.len());
    let kept = message
        .strip_suffix(&marker)
        .expect("it says that it is cut");
    assert!(trace.starts_with(kept));
    assert!(code.len() <= 256 && code.starts_with("EEE") && code.ends_with(" bytes in total]"));
}

/// A detail that exceeds its limit when it is masked.
fn growing() -> Outcome {
    let grows = format!("[{}]", vec![r#"{"secretKey":1}"#; 4000].join(","));
    Outcome::succeeded().with_detail_json(grows).unwrap()
}

#[test]
fn an_outcome_that_is_refused_is_not_replaced_by_another() {
    let store = JobStore::options()
        .secrets(Secrets::MaskAtSubmit)
        .in_memory()
        .unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let id = submitted(&graph);
    let run = graph.claim(&id).unwrap();
    assert!(run.complete(growing()).is_err());
    assert_eq!(end_of(&graph, &id), RUNNING);
    let run = graph.attach(&id).unwrap();
    run.complete(Outcome::succeeded()).unwrap();
    assert_eq!(end_of(&graph, &id), complete(OutcomeKind::Succeeded));
}

#[test]
fn a_graceful_stop_keeps_what_a_crash_would_have_kept() {
    let interrupted = complete(OutcomeKind::Interrupted);
    let cancelled = complete(OutcomeKind::Cancelled);
    for (recovery, is_cancelled, dropped, reopened) in [
        (Recovery::Interrupt, false, interrupted, interrupted),
        (Recovery::Interrupt, true, cancelled, cancelled),
        (Recovery::Requeue, false, PENDING, PENDING),
        (Recovery::Requeue, true, cancelled, cancelled),
        (Recovery::Leave, false, RUNNING, RUNNING),
        (Recovery::Leave, true, RUNNING, RUNNING),
    ] {
        for closes_first in [false, true] {
            let what = format!("{recovery:?}, cancelled {is_cancelled}, closed {closes_first}");
            let dir = tempfile::tempdir().unwrap();
            let store = open(dir.path(), recovery);
            let graph = store.create_graph("p", "g").unwrap();
            let id = submitted(&graph);
            let run = graph.claim_next().unwrap().unwrap();
            if is_cancelled {
                graph.cancel(&id).unwrap();
            }
            if closes_first {
                store.close().unwrap();
                drop(run);
            } else {
                drop(run);
                assert_eq!(end_of(&graph, &id), dropped, "{what}");
                store.close().unwrap();
            }
            drop((graph, store));
            let store = open(dir.path(), recovery);
            let graph = store.graph("p", "g").unwrap();
            assert_eq!(end_of(&graph, &id), reopened, "{what}");
        }
    }
}

#[test]
fn a_panic_under_a_run_interrupts_its_job_whatever_the_recovery() {
    for recovery in [Recovery::Interrupt, Recovery::Requeue, Recovery::Leave] {
        let store = JobStore::options().recovery(recovery).in_memory().unwrap();
        let graph = store.create_graph("p", "g").unwrap();
        let id = submitted(&graph);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _run = graph.claim(&id).unwrap();
            panic!("a bug in a worker");
        }));
        assert!(panicked.is_err());
        let ended = end_of(&graph, &id);
        assert_eq!(ended, complete(OutcomeKind::Interrupted), "{recovery:?}");
    }
}

#[test]
fn a_job_whose_secrets_are_lost_is_not_made_pending_by_a_drop() {
    let store = JobStore::options()
        .recovery(Recovery::Requeue)
        .secrets(Secrets::MaskAtSubmit)
        .in_memory()
        .unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let request: Request = request("c", r#"{"secretKey":"s3cret"}"#);
    let id = graph.submit(request).unwrap();
    drop(graph.claim(&id).unwrap());
    assert_eq!(end_of(&graph, &id), complete(OutcomeKind::Interrupted));
}

#[test]
fn an_async_worker_that_finds_no_job_does_not_commit() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let before = store.stats().unwrap().commit_waits.count();
    for _ in 0..100 {
        assert!(graph.nonblocking().claim_next().wait().unwrap().is_none());
    }
    assert_eq!(store.stats().unwrap().commit_waits.count(), before);
}

#[test]
fn a_job_queued_before_is_found_by_the_next_call_of_its_thread() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    for n in 0..200 {
        let nonblocking = graph.nonblocking();
        let submitted = nonblocking.submit(request("c", &n.to_string()));
        let run = nonblocking
            .claim_next()
            .wait()
            .unwrap()
            .expect("it was queued before");
        assert_eq!(run.id(), &submitted.wait().unwrap());
        run.complete(Outcome::succeeded()).unwrap();
    }
}

/// The kinds of changes of a job, in their order.
fn happened(graph: &Graph, id: &JobId) -> Vec<String> {
    let changes = graph.changes(None).unwrap().map(|change| change.unwrap());
    let of_job = changes.filter(|change| change.id.as_ref() == Some(id));
    of_job.map(|change| format!("{:?}", change.kind)).collect()
}

#[test]
fn a_requeued_job_is_pending_in_its_place_however_the_store_is_opened() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    let options = || small_segments().recovery(Recovery::Leave);
    let mut store = options().open(&dir).unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let ids: Vec<_> = (0..300)
        .map(|n| graph.submit(request("c", &format!("[{n}]"))).unwrap())
        .collect();
    for id in &ids[..200] {
        let run = graph.claim_next().unwrap().unwrap();
        assert_eq!(run.id(), id);
        run.progress(50, "half");
        run.detach();
    }
    let requeued: Vec<_> = (0..200).step_by(3).collect();
    for &n in &requeued {
        let run = graph.attach(&ids[n]).unwrap();
        assert_eq!(run.requeue().unwrap(), Requeued::Pending);
        assert!(matches!(run.requeue(), Err(Error::InvalidUse { .. })));
        assert!(run.is_over() && run.cancel_requested());
    }
    let check = |graph: &Graph, when: &str| {
        for (n, id) in ids.iter().enumerate() {
            let job = graph.job(id).unwrap().unwrap();
            let is_pending = n >= 200 || n % 3 == 0;
            let expected = if is_pending {
                State::Pending
            } else {
                State::Running
            };
            assert_eq!(job.state(), expected, "{when}: {n}");
            assert_eq!(job.started_at().is_some(), !is_pending, "{when}: {n}");
        }
        let pending = graph.list(JobQuery::new().state(State::Pending)).unwrap();
        let expected: Vec<_> = (0..300).filter(|&n| n >= 200 || n % 3 == 0).collect();
        let found: Vec<_> = pending
            .jobs()
            .map(|job| job.unwrap().sequence() as usize)
            .collect();
        assert_eq!(found, expected, "{when}");
        let changes = happened(graph, &ids[0]);
        assert_eq!(changes, ["Submitted", "Started", "Requeued"], "{when}");
        assert_eq!(happened(graph, &ids[1]), ["Submitted", "Started"], "{when}");
    };
    check(&graph, "at work");
    common::pack(&store, &dir);
    check(&graph, "packed");
    let copy = root.path().join("copy");
    store.backup(&copy).unwrap();
    let copied = options().open(&copy).unwrap();
    check(&copied.graph("p", "g").unwrap(), "a backup");
    drop((graph, copied));
    for loses_index in [false, true] {
        store.close().unwrap();
        if loses_index {
            common::lose_index(&dir);
        }
        assert!(JobStore::verify(&dir).unwrap().is_sound());
        store = options().open(&dir).unwrap();
        check(&store.graph("p", "g").unwrap(), "reopened");
    }
    // Claimed again in the original order.
    let graph = store.graph("p", "g").unwrap();
    for &n in &requeued {
        let run = graph.claim_next().unwrap().unwrap();
        assert_eq!(run.id(), &ids[n]);
        assert_eq!(graph.job(run.id()).unwrap().unwrap().progress(), None);
        run.complete(Outcome::succeeded()).unwrap();
    }
    let changes = happened(&graph, &ids[0]);
    assert_eq!(changes.len(), 5, "{changes:?}");
    assert_eq!(graph.claim_next().unwrap().unwrap().id(), &ids[200]);
}

#[test]
fn a_page_from_before_a_requeue_shows_the_job_as_it_was() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let id = submitted(&graph);
    let run = graph.claim(&id).unwrap();
    let started = graph.job(&id).unwrap().unwrap().started_at();
    let page = graph.list(JobQuery::new()).unwrap();
    run.requeue().unwrap();
    let job = page.jobs().next().unwrap().unwrap();
    assert_eq!((job.state(), job.started_at()), (State::Running, started));
    assert!(started.is_some());
}

#[test]
fn a_run_that_lost_its_job_cannot_complete_that_of_another() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let id = submitted(&graph);
    let first = graph.claim(&id).unwrap();
    let second = graph.attach(&id).unwrap();
    first.requeue().unwrap();
    let lost = |run: &Run| {
        let refused = run.complete(Outcome::succeeded());
        assert!(
            matches!(refused, Err(Error::InvalidUse { .. })),
            "{refused:?}"
        );
        assert!(run.is_over());
    };
    lost(&second);
    let third = graph.claim_next().unwrap().unwrap();
    lost(&first);
    lost(&second);
    drop((first, second));
    assert_eq!(end_of(&graph, &id), RUNNING);
    assert!(!third.is_over());
    third.complete(Outcome::succeeded()).unwrap();
    assert_eq!(end_of(&graph, &id), complete(OutcomeKind::Succeeded));
}

#[test]
fn writes_of_one_commit_see_a_requeue_before_them() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let ids = graph.submit_all(vec![request("c", "1"); 2]).unwrap();
    for _ in 0..100 {
        let run = graph.claim(&ids[0]).unwrap();
        let stale = graph.attach(&ids[0]).unwrap();
        let requeued = run.requeue_async();
        let late = stale.complete_async(Outcome::succeeded());
        let claimed = graph.nonblocking().claim_next();
        assert_eq!(requeued.wait().unwrap(), Requeued::Pending);
        assert!(matches!(late.wait(), Err(Error::InvalidUse { .. })));
        let run = claimed.wait().unwrap().expect("it is pending");
        assert_eq!(run.id(), &ids[0], "it is the oldest");
        run.requeue().unwrap();
    }
}

#[test]
fn a_job_that_was_asked_to_stop_is_cancelled_and_not_requeued() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let id = submitted(&graph);
    let run = graph.claim(&id).unwrap();
    graph.cancel(&id).unwrap();
    assert_eq!(run.requeue().unwrap(), Requeued::Cancelled);
    assert_eq!(run.requeue().unwrap(), Requeued::AlreadyComplete);
    assert_eq!(end_of(&graph, &id), complete(OutcomeKind::Cancelled));
    assert!(graph.claim_next().unwrap().is_none());
}

#[test]
fn a_run_learns_that_its_job_was_completed_or_dropped() {
    let store = JobStore::options()
        .recovery(Recovery::Requeue)
        .in_memory()
        .unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let id = submitted(&graph);
    let run = graph.claim(&id).unwrap();
    assert!(!run.is_over() && !run.cancel_requested());
    graph
        .complete(&id, Outcome::failed("by_hand", "it hung"))
        .unwrap();
    assert!(run.is_over() && run.cancel_requested());
    drop(run);
    assert_eq!(end_of(&graph, &id), complete(OutcomeKind::Failed));
    let id = submitted(&graph);
    let run = graph.claim(&id).unwrap();
    store.drop_graph("p", "g").unwrap();
    assert!(run.is_over() && run.cancel_requested());
}

#[test]
fn an_async_worker_whose_ticket_is_dropped_loses_no_outcome() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let id = submitted(&graph);
    let run = graph.claim(&id).unwrap();
    drop(run.complete_async(Outcome::succeeded()));
    drop(run);
    graph.submit(request("c", "2")).unwrap();
    assert_eq!(end_of(&graph, &id), complete(OutcomeKind::Succeeded));
}
