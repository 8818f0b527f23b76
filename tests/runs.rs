//! Runs: what becomes of a job whose run ends in any way.
//!
//! Promise: a run never records another outcome than the one it was given, and a graceful
//! stop keeps what a crash would have kept.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use common::request;
use jobstore::{Graph, JobId, JobStore, Outcome, OutcomeKind, Recovery, Request, Secrets, State};

fn open(dir: &Path, recovery: Recovery) -> JobStore {
    JobStore::options().recovery(recovery).open(dir).unwrap()
}

fn submitted(graph: &Graph) -> JobId {
    graph.submit(request("c", "1")).unwrap()
}

/// A job's state, and how it ended.
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
    let run = graph.run(&id).unwrap();
    run.complete(Outcome::failed("E".repeat(300), trace.as_str()))
        .unwrap();
    let job = graph.job(&id).unwrap().unwrap();
    let outcome = job.outcome().unwrap();
    assert_eq!(outcome.kind(), OutcomeKind::Failed);
    let (code, message) = (outcome.code().unwrap(), outcome.message().unwrap());
    assert!(message.len() <= 8192 && message.len() > 8100);
    let marker = format!("... [cut, {} bytes in all]", trace.len());
    let kept = message
        .strip_suffix(&marker)
        .expect("it says that it is cut");
    assert!(trace.starts_with(kept));
    assert!(code.len() <= 256 && code.starts_with("EEE") && code.ends_with(" bytes in all]"));
}

/// A detail can grow beyond its bound when it is masked.
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
    let run = graph.run(&id).unwrap();
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
            let run = graph.run_next().unwrap().unwrap();
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
            let _run = graph.run(&id).unwrap();
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
    drop(graph.run(&id).unwrap());
    assert_eq!(end_of(&graph, &id), complete(OutcomeKind::Interrupted));
}

#[test]
fn an_async_worker_that_finds_no_job_does_not_commit() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let before = store.stats().unwrap().commit_waits.count();
    for _ in 0..100 {
        assert!(graph.queue().run_next().wait().unwrap().is_none());
    }
    assert_eq!(store.stats().unwrap().commit_waits.count(), before);
}

#[test]
fn a_job_queued_before_is_found_by_the_next_call_of_its_thread() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    for n in 0..200 {
        let queue = graph.queue();
        let submitted = queue.submit(request("c", &n.to_string()));
        let run = queue
            .run_next()
            .wait()
            .unwrap()
            .expect("it was queued before");
        assert_eq!(run.id(), &submitted.wait().unwrap());
        run.complete(Outcome::succeeded()).unwrap();
    }
}
