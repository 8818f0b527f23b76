//! Cancellation, guards, and outcomes: a cancel request reaches the worker, a lost guard is
//! recorded, no job is claimed twice, and the first outcome is kept exactly.

mod common;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::Mutex;

use jobstore::{
    Cancellation, Completion, Error, Graph, Job, JobId, JobQuery, JobStore, Outcome, OutcomeKind,
    Recovery, State,
};

use common::{lose_index, pack, request, small_segments};

fn store_in_memory() -> (JobStore, Graph) {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    (store, graph)
}

fn submit(graph: &Graph) -> JobId {
    graph.submit(request("c", "{}")).unwrap()
}

fn job(graph: &Graph, id: &JobId) -> Job {
    graph.job(id).unwrap().unwrap()
}

fn kind(graph: &Graph, id: &JobId) -> Option<OutcomeKind> {
    job(graph, id).outcome().map(Outcome::kind)
}

// ---- Cancellation ----

#[test]
fn a_pending_job_that_is_cancelled_is_complete_without_having_started() {
    let (_store, graph) = store_in_memory();
    let id = submit(&graph);
    let done = graph.cancel(&id).unwrap();
    assert_eq!(done, Cancellation::CancelledBeforeStart);
    let cancelled = job(&graph, &id);
    assert_eq!(cancelled.state(), State::Complete);
    assert_eq!(cancelled.outcome(), Some(&Outcome::cancelled()));
    assert!(cancelled.started_at().is_none() && cancelled.completed_at().is_some());
    assert!(graph.claim_next().unwrap().is_none());
    let refused = graph.start(&id).unwrap_err();
    let expected = matches!(&refused, Error::IllegalTransition { id: i, from: State::Complete, to: State::Running } if *i == id);
    assert!(expected, "{refused:?}");
    let again = graph.cancel(&id).unwrap();
    assert_eq!(again, Cancellation::AlreadyComplete(Outcome::cancelled()));
}

// ---- Cancellation of all that match ----

#[test]
fn all_jobs_that_match_are_cancelled_and_no_others() {
    let (_store, graph) = store_in_memory();
    let submit = |command: &str| graph.submit(request(command, "{}")).unwrap();
    let [waits, runs, asked, other, done] = ["c", "c", "c", "d", "c"].map(submit);
    for id in [&runs, &asked] {
        graph.start(id).unwrap();
    }
    graph.cancel(&asked).unwrap();
    graph
        .claim(&done)
        .unwrap()
        .complete(Outcome::succeeded())
        .unwrap();
    let list = JobQuery::new().command("c");
    let would = graph.cancel_all_dry_run(list.clone()).unwrap();
    assert_eq!(kind(&graph, &waits), None);
    let report = graph.cancel_all(list.clone()).unwrap();
    assert_eq!(would, report);
    assert_eq!(
        (report.cancelled, report.requested, report.jobs()),
        (1, 1, 2)
    );
    assert!(!report.stopped);
    assert_eq!(kind(&graph, &waits), Some(OutcomeKind::Cancelled));
    assert!(job(&graph, &runs).cancel_requested());
    assert_eq!(job(&graph, &other).state(), State::Pending);
    assert_eq!(kind(&graph, &done), Some(OutcomeKind::Succeeded));
    // Those that were asked to stop are not counted again.
    assert_eq!(graph.cancel_all(list).unwrap().jobs(), 0);
    let complete = JobQuery::new().state(State::Complete);
    assert_eq!(graph.cancel_all(complete).unwrap().jobs(), 0);
    let running = JobQuery::new().state(State::Running);
    assert_eq!(graph.cancel_all_dry_run(running).unwrap().jobs(), 0);
    assert_eq!(graph.cancel_all(JobQuery::new()).unwrap().cancelled, 1);
    assert_eq!(kind(&graph, &other), Some(OutcomeKind::Cancelled));
}

#[test]
fn what_changes_while_all_are_cancelled_is_counted_as_it_was() {
    const JOBS: usize = 70_000;
    let (_store, graph) = store_in_memory();
    let first = submit(&graph);
    graph.start(&first).unwrap();
    let requests = |jobs| (0..jobs).map(|_| request("c", "{}"));
    for _ in 0..JOBS / 10_000 {
        graph.submit_all(requests(10_000)).unwrap();
    }
    let mut late = None;
    let mut steps = 0;
    let report = graph
        .cancel_all_with_progress(JobQuery::new(), |done| {
            steps += 1;
            assert!(done.jobs() <= 1024 * steps);
            late.get_or_insert_with(|| {
                graph.complete(&first, Outcome::succeeded()).unwrap();
                submit(&graph)
            });
        })
        .unwrap();
    // The first job is found in the second step of the search, when it has completed.
    assert_eq!((report.cancelled, report.requested), (JOBS as u64, 0));
    assert_eq!(report.jobs(), JOBS as u64);
    assert!(!report.stopped);
    let left = graph.list(JobQuery::new().state(State::Pending)).unwrap();
    assert_eq!(
        (left.len(), left.jobs().next().unwrap().unwrap().id()),
        (1, &late.unwrap())
    );
}

#[test]
fn a_job_that_completes_before_its_turn_is_reported_as_complete() {
    let (_store, graph) = store_in_memory();
    let first = submit(&graph);
    graph.start(&first).unwrap();
    graph
        .submit_all((0..1024).map(|_| request("c", "{}")))
        .unwrap();
    let report = graph.cancel_all_with_progress(JobQuery::new(), |done| {
        if done.requested + done.already_complete == 0 {
            graph.complete(&first, Outcome::succeeded()).unwrap();
        }
    });
    let report = report.unwrap();
    assert_eq!(
        report.cancelled + report.already_complete + report.requested,
        1025
    );
}

#[test]
fn parts_of_a_query_that_a_cancellation_of_all_would_ignore_are_refused() {
    let (_store, graph) = store_in_memory();
    submit(&graph);
    submit(&graph);
    let cursor = graph
        .list(JobQuery::new().limit(1))
        .unwrap()
        .next()
        .unwrap();
    for query in [
        JobQuery::new().limit(1),
        JobQuery::new().limit_bytes(1),
        JobQuery::new().offset(1),
        JobQuery::new().cursor(&cursor),
        JobQuery::new().count_total(),
        JobQuery::new().body_contains(""),
    ] {
        for refused in [
            graph.cancel_all(query.clone()),
            graph.cancel_all_dry_run(query),
        ] {
            let error = refused.unwrap_err();
            assert!(matches!(error, Error::InvalidUse { .. }), "{error:?}");
            assert!(
                error.to_string().contains("cancel_all does not accept"),
                "{error}"
            );
        }
    }
    assert_eq!(graph.count(State::Pending).unwrap(), 2);
}

#[test]
fn a_running_job_sees_the_request_and_decides_itself() {
    let (_store, graph) = store_in_memory();
    let (id, other) = (submit(&graph), submit(&graph));
    let (run, bystander) = (graph.claim(&id).unwrap(), graph.claim(&other).unwrap());
    assert!(!run.cancel_requested());
    assert!(!job(&graph, &id).cancel_requested());
    for _ in 0..2 {
        assert_eq!(graph.cancel(&id).unwrap(), Cancellation::Requested);
        assert!(run.cancel_requested());
        assert!(!bystander.cancel_requested());
        let asked = job(&graph, &id);
        assert_eq!(asked.state(), State::Running);
        assert!(asked.cancel_requested() && asked.outcome().is_none());
    }
    assert_eq!(
        run.complete(Outcome::succeeded()).unwrap(),
        Completion::Done
    );
    assert_eq!(kind(&graph, &id), Some(OutcomeKind::Succeeded));
    assert!(!job(&graph, &id).cancel_requested());
    let late = graph.cancel(&id).unwrap();
    assert_eq!(late, Cancellation::AlreadyComplete(Outcome::succeeded()));
    bystander.complete(Outcome::cancelled()).unwrap();
}

#[test]
fn a_cancelled_job_that_is_asked_for_by_ticket_answers_alike() {
    let (_store, graph) = store_in_memory();
    let (pending, running) = (submit(&graph), submit(&graph));
    let run = graph.claim(&running).unwrap();
    let cancel = |id: &JobId| graph.nonblocking().cancel(id).wait().unwrap();
    assert_eq!(cancel(&pending), Cancellation::CancelledBeforeStart);
    assert_eq!(cancel(&running), Cancellation::Requested);
    assert!(run.cancel_requested());
    run.complete(Outcome::cancelled()).unwrap();
    let complete = Cancellation::AlreadyComplete(Outcome::cancelled());
    assert_eq!(cancel(&running), complete);
}

#[test]
fn unknown_jobs_cannot_be_cancelled_completed_or_run() {
    let (store, graph) = store_in_memory();
    let elsewhere = submit(&store.create_graph("p", "other").unwrap());
    for id in ["nobody", elsewhere.as_str()] {
        for refused in [
            graph.cancel(id).unwrap_err(),
            graph.complete(id, Outcome::succeeded()).unwrap_err(),
            graph.claim(id).unwrap_err(),
            graph.nonblocking().cancel(id).wait().unwrap_err(),
            graph.nonblocking().start(id).wait().unwrap_err(),
        ] {
            let unknown = matches!(&refused, Error::UnknownJob { id: i } if i == id);
            assert!(unknown, "{refused:?}");
        }
    }
}

// ---- Guards ----

#[test]
fn progress_is_seen_by_readers_and_is_not_durable() {
    let dir = tempfile::tempdir().unwrap();
    let store = small_segments().recovery(Recovery::Leave).open(dir.path());
    let store = store.unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let id = submit(&graph);
    let run = graph.claim(&id).unwrap();
    assert_eq!(job(&graph, &id).progress(), None);
    let progress = |percent: u8, text: &str| (percent, text.to_owned());
    let seen = |job: &Job| {
        let progress = job.progress().expect("progress");
        (progress.percent, progress.text.clone())
    };
    for (percent, text, shown) in [
        (0, "", progress(0, "")),
        (40, "edges", progress(40, "edges")),
        (200, "over", progress(100, "over")),
        (7, &"ü".repeat(200), progress(7, &"ü".repeat(128))),
    ] {
        run.progress(percent, text);
        assert_eq!(seen(&job(&graph, &id)), shown);
        let page = graph.list(JobQuery::new()).unwrap();
        let listed = page.jobs().next().unwrap().unwrap();
        assert_eq!(seen(&listed), shown);
    }
    run.detach();
    store.close().unwrap();
    let store = small_segments().recovery(Recovery::Leave).open(dir.path());
    let graph = store.unwrap().graph("p", "g").unwrap();
    assert_eq!(job(&graph, &id).state(), State::Running);
    assert_eq!(job(&graph, &id).progress(), None);
    graph.complete(&id, Outcome::succeeded()).unwrap();
    assert_eq!(job(&graph, &id).progress(), None);
}

#[test]
fn a_guard_that_is_dropped_unfinished_records_interrupted() {
    let (_store, graph) = store_in_memory();
    let id = submit(&graph);
    drop(graph.claim(&id).unwrap());
    let interrupted = job(&graph, &id);
    assert_eq!(interrupted.state(), State::Complete);
    assert_eq!(interrupted.outcome(), Some(&Outcome::interrupted()));
    assert_eq!(
        interrupted.outcome().unwrap().recovered_at_open(),
        None,
        "no restart did it"
    );

    // A guard that was completed or detached records nothing more.
    let (finished, left) = (submit(&graph), submit(&graph));
    let run = graph.claim(&finished).unwrap();
    run.complete(Outcome::failed("c", "m")).unwrap();
    assert_eq!(kind(&graph, &finished), Some(OutcomeKind::Failed));
    graph.claim(&left).unwrap().detach();
    assert_eq!(job(&graph, &left).state(), State::Running);
    let done = graph.complete(&left, Outcome::succeeded()).unwrap();
    assert_eq!(done, Completion::Done);
}

#[test]
fn a_guard_that_a_panic_takes_records_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let store = small_segments().open(dir.path()).unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let (caught, in_thread) = (submit(&graph), submit(&graph));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _run = graph.claim(&caught).unwrap();
        std::panic::resume_unwind(Box::new("the work went wrong"));
    }));
    assert!(panicked.is_err());
    let worker = std::thread::spawn({
        let (graph, id) = (graph.clone(), in_thread.clone());
        move || {
            let run = graph.claim(&id).unwrap();
            run.progress(10, "soon to fail");
            std::panic::resume_unwind(Box::new("the work went wrong"));
        }
    });
    assert!(worker.join().is_err());
    for id in [&caught, &in_thread] {
        assert_eq!(kind(&graph, id), Some(OutcomeKind::Interrupted));
        assert_eq!(job(&graph, id).progress(), None);
    }
    // And durably: the next open finds no running job.
    store.close().unwrap();
    let store = small_segments().open(dir.path()).unwrap();
    assert!(store.recovered().is_empty());
    let graph = store.graph("p", "g").unwrap();
    assert_eq!(kind(&graph, &caught), Some(OutcomeKind::Interrupted));
}

#[test]
fn a_guard_does_not_overwrite_how_its_job_was_ended_by_others() {
    let (_store, graph) = store_in_memory();
    let id = submit(&graph);
    let run = graph.claim(&id).unwrap();
    graph.complete(&id, Outcome::failed("c", "m")).unwrap();
    drop(run);
    assert_eq!(kind(&graph, &id), Some(OutcomeKind::Failed));
    let other = submit(&graph);
    let run = graph.claim(&other).unwrap();
    graph.complete(&other, Outcome::failed("c", "m")).unwrap();
    let answer = run.complete(Outcome::succeeded()).unwrap();
    let first = Outcome::failed("c", "m");
    assert_eq!(answer, Completion::AlreadyComplete(first));
}

#[test]
fn guards_that_are_dropped_after_the_close_or_the_drop_of_the_graph_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let store = small_segments().open(dir.path()).unwrap();
    let (graph, gone) = (
        store.create_graph("p", "g").unwrap(),
        store.create_graph("p", "gone").unwrap(),
    );
    let id = submit(&graph);
    let run = graph.claim(&id).unwrap();
    let lost = gone.claim(submit(&gone)).unwrap();
    store.drop_graph("p", "gone").unwrap();
    lost.progress(50, "for nobody");
    drop(lost);
    store.close().unwrap();
    drop(run);
    let store = small_segments().open(dir.path()).unwrap();
    assert_eq!(store.recovered().len(), 1);
    let graph = store.graph("p", "g").unwrap();
    assert_eq!(kind(&graph, &id), Some(OutcomeKind::Interrupted));
}

#[test]
fn claim_next_claims_the_oldest_and_gives_what_is_to_be_done() {
    let (_store, graph) = store_in_memory();
    assert!(graph.claim_next().unwrap().is_none());
    let ids: Vec<JobId> = (0..5)
        .map(|n| graph.submit(request("c", &n.to_string())).unwrap())
        .collect();
    graph.cancel(&ids[0]).unwrap();
    graph.start(&ids[2]).unwrap();
    for n in [1, 3, 4] {
        let run = match n {
            3 => graph.nonblocking().claim_next().wait().unwrap().unwrap(),
            _ => graph.claim_next().unwrap().unwrap(),
        };
        assert_eq!(run.id(), &ids[n]);
        assert_eq!(run.request(), &request("c", &n.to_string()));
        assert_eq!(job(&graph, &ids[n]).state(), State::Running);
        run.detach();
    }
    assert!(graph.claim_next().unwrap().is_none());
    assert!(graph.nonblocking().claim_next().wait().unwrap().is_none());
}

#[test]
fn sixteen_threads_never_claim_the_same_job() {
    const JOBS: usize = 800;
    let dir = tempfile::tempdir().unwrap();
    let store = small_segments().open(dir.path()).unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let (first, later) = (JOBS / 2, JOBS - JOBS / 2);
    graph.submit_all(vec![request("c", "{}"); first]).unwrap();
    let claimed: Mutex<Vec<Vec<u64>>> = Mutex::default();
    let together = Barrier::new(17);
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let (graph, claimed, together) = (&graph, &claimed, &together);
            scope.spawn(move || {
                together.wait();
                let mut ours = Vec::new();
                while graph.count(State::Complete).unwrap() < JOBS as u64 {
                    let run = match thread % 2 {
                        0 => graph.claim_next().unwrap(),
                        _ => graph.nonblocking().claim_next().wait().unwrap(),
                    };
                    let Some(run) = run else { continue };
                    ours.push(job(graph, run.id()).sequence());
                    let done = run.complete(Outcome::succeeded()).unwrap();
                    assert_eq!(done, Completion::Done);
                }
                claimed.lock().unwrap().push(ours);
            });
        }
        together.wait();
        for _ in 0..later {
            submit(&graph);
        }
    });
    let claimed = claimed.into_inner().unwrap();
    for ours in &claimed {
        assert!(ours.is_sorted_by(|a, b| a < b), "not the oldest: {ours:?}");
    }
    let all: Vec<u64> = claimed.into_iter().flatten().collect();
    assert_eq!(all.len(), JOBS);
    let different: BTreeSet<u64> = all.into_iter().collect();
    assert!(different.into_iter().eq(0..JOBS as u64));
}

// ---- Outcomes ----

#[test]
fn the_first_outcome_stays_and_is_told_to_whoever_comes_later() {
    let (_store, graph) = store_in_memory();
    let id = submit(&graph);
    graph.start(&id).unwrap();
    let first = Outcome::partially_failed("GES.1", "half of it")
        .with_detail_json(r#"{"done": 5.0e1}"#)
        .unwrap();
    let done = graph.complete(&id, first.clone()).unwrap();
    assert_eq!(done, Completion::Done);
    let finished = job(&graph, &id).completed_at();
    for later in [
        Outcome::succeeded(),
        first.clone(),
        Outcome::cancelled(),
        Outcome::interrupted(),
    ] {
        let answer = graph.complete(&id, later.clone()).unwrap();
        assert_eq!(answer, Completion::AlreadyComplete(first.clone()));
        let answer = graph.nonblocking().complete(&id, later).wait().unwrap();
        assert_eq!(answer, Completion::AlreadyComplete(first.clone()));
    }
    let after = job(&graph, &id);
    assert_eq!(after.outcome(), Some(&first));
    assert_eq!(after.completed_at(), finished);
}

#[test]
fn of_many_who_complete_a_job_at_once_one_is_first() {
    let (_store, graph) = store_in_memory();
    for _ in 0..20 {
        let id = submit(&graph);
        graph.start(&id).unwrap();
        let together = Barrier::new(8);
        let answers: Vec<(usize, Completion)> = std::thread::scope(|scope| {
            let threads = (0..8).map(|n| {
                let (graph, id, together) = (&graph, &id, &together);
                scope.spawn(move || {
                    let outcome = Outcome::failed(n.to_string(), "");
                    together.wait();
                    (n, graph.complete(id, outcome).unwrap())
                })
            });
            let threads: Vec<_> = threads.collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let done = |(_, answer): &&(usize, Completion)| *answer == Completion::Done;
        assert_eq!(answers.iter().filter(done).count(), 1);
        let (first, _) = answers.iter().find(done).unwrap();
        let first = Outcome::failed(first.to_string(), "");
        assert_eq!(job(&graph, &id).outcome(), Some(&first));
        for (_, answer) in answers.iter().filter(|answer| !done(answer)) {
            assert_eq!(*answer, Completion::AlreadyComplete(first.clone()));
        }
    }
}

/// Every kind of outcome, with and without its parts, up to their limits.
fn outcomes() -> Vec<Outcome> {
    let largest = format!("\"{}\"", "d".repeat((64 << 10) - 2));
    assert_eq!(largest.len(), 64 << 10);
    let kinds = [
        Outcome::succeeded(),
        Outcome::partially_failed("GES.7", "teils schief ü"),
        Outcome::failed("", ""),
        Outcome::failed("c".repeat(256), "m".repeat(8 << 10)),
        Outcome::cancelled(),
        Outcome::interrupted(),
    ];
    let mut all = Vec::new();
    for outcome in kinds {
        let detail = r#"{"b":1.50,"a":[null,"ä\n"],"b":123456789012345678901234567890}"#;
        all.push(outcome.clone());
        all.push(outcome.clone().with_detail_json(detail).unwrap());
        all.push(outcome.clone().with_result_ref("").unwrap());
        let full = outcome.with_detail_json(&largest).unwrap();
        all.push(full.with_result_ref("r".repeat(1024)).unwrap());
    }
    all
}

#[test]
fn outcomes_come_back_to_the_letter_from_memory_packs_and_a_new_index() {
    let dir = tempfile::tempdir().unwrap();
    let store = small_segments().open(dir.path()).unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let outcomes = outcomes();
    let mut ids = Vec::new();
    for outcome in &outcomes {
        let id = submit(&graph);
        graph.start(&id).unwrap();
        graph.complete(&id, outcome.clone()).unwrap();
        assert_eq!(job(&graph, &id).outcome(), Some(outcome));
        ids.push(id);
    }
    let check = |graph: &Graph, when: &str| {
        let page = graph.list(JobQuery::new()).unwrap();
        for ((listed, id), outcome) in page.jobs().zip(&ids).zip(&outcomes) {
            let (listed, found) = (listed.unwrap(), job(graph, id));
            assert_eq!(listed.outcome(), Some(outcome), "listed, {when}");
            assert_eq!(found.outcome(), Some(outcome), "found, {when}");
            let again = graph.complete(id, Outcome::succeeded()).unwrap();
            let known = Completion::AlreadyComplete(outcome.clone());
            assert_eq!(again, known, "{when}");
        }
        assert_eq!(page.len(), ids.len());
    };
    check(&graph, "just written");
    pack(&store, dir.path());
    check(&graph, "packed");
    let mut store = store;
    for when in ["reopened", "reopened again, without the index"] {
        store.close().unwrap();
        if when.contains("without") {
            lose_index(dir.path());
        }
        store = small_segments().open(dir.path()).unwrap();
        let graph = store.graph("p", "g").unwrap();
        check(&graph, when);
        pack(&store, dir.path());
        check(&graph, "packed again");
    }
}

#[test]
fn parts_of_an_outcome_over_their_bounds_are_refused_and_change_nothing() {
    let too_large = |error: Error, part: &str, bytes: usize, max: usize| {
        let expected = matches!(
            error,
            Error::OutcomeTooLarge { what, given_bytes, max_bytes }
                if what == part && given_bytes == bytes && max_bytes == max
        );
        assert!(expected, "{error:?}");
    };
    let text = |bytes: usize| "d".repeat(bytes - 2);
    let (fits, over) = (64 << 10, (64 << 10) + 1);
    for with_spaces in [false, true] {
        let json = |bytes| match with_spaces {
            false => format!("\"{}\"", text(bytes)),
            true => format!("  \"{}\" \n", text(bytes)),
        };
        let outcome = Outcome::succeeded().with_detail_json(json(fits)).unwrap();
        assert_eq!(outcome.detail().unwrap().len(), fits);
        let refused = Outcome::succeeded().with_detail_json(json(over));
        too_large(refused.unwrap_err(), "detail", over, fits);
    }
    let outcome = Outcome::succeeded().with_detail(&text(fits)).unwrap();
    assert_eq!(outcome.detail().unwrap().len(), fits);
    let refused = Outcome::succeeded().with_detail(&text(over));
    too_large(refused.unwrap_err(), "detail", over, fits);
    let refused = Outcome::succeeded().with_result_ref("r".repeat(1025));
    too_large(refused.unwrap_err(), "result_ref", 1025, 1024);
    let refused = Outcome::succeeded().with_detail_json("{");
    assert!(matches!(refused, Err(Error::InvalidJson { .. })));
    // A text at the limit is kept whole.
    for bytes in [1, 8191, 8192] {
        let message = "m".repeat(bytes);
        assert_eq!(Outcome::failed("", &*message).message(), Some(&*message));
    }
    assert_eq!(
        Outcome::failed("", "m".repeat(8193))
            .message()
            .unwrap()
            .len(),
        8192
    );
}
