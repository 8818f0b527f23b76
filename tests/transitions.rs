//! Transitions: every call in every state of a job.
//!
//! Guarantee: pending -> running -> complete and pending -> complete as canceled, and nothing else;
//! a refused call reports both states and changes nothing: not the job, not the list, not the
//! totals, even after packing, reopening, and the loss of the index.

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{listed, lose_index, pack, request, small_segments};
use jobstore::{
    Cancellation, Clock, Completion, Error, Graph, JobQuery, JobStore, Options, Outcome,
    OutcomeKind, Recovery, State,
};

/// The state of a job before the call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Before {
    Pending,
    Running,
    /// Running, with a cancellation requested.
    Stopping,
    Complete(OutcomeKind),
}

/// The call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Start,
    Complete(OutcomeKind),
    Cancel,
    Run,
    RunNext,
}

/// The expected result of a call, which determines what it changes.
#[derive(Debug, PartialEq)]
enum Answer {
    Started,
    /// `claim_next` found nothing pending.
    Nothing,
    Completed,
    AlreadyComplete(OutcomeKind),
    CancelledBeforeStart,
    CancelRequested,
    Illegal {
        from: State,
        to: State,
    },
}

const KINDS: [OutcomeKind; 5] = [
    OutcomeKind::Succeeded,
    OutcomeKind::PartiallyFailed,
    OutcomeKind::Failed,
    OutcomeKind::Cancelled,
    OutcomeKind::Interrupted,
];

fn all_before() -> Vec<Before> {
    let mut all = vec![Before::Pending, Before::Running, Before::Stopping];
    all.extend(KINDS.map(Before::Complete));
    all
}

fn all_calls() -> Vec<Call> {
    let mut all = vec![Call::Start, Call::Cancel, Call::Run, Call::RunNext];
    all.extend(KINDS.map(Call::Complete));
    all
}

/// The rules, specified independently.
fn expected(before: Before, call: Call) -> Answer {
    match (before, call) {
        (Before::Pending, Call::Start | Call::Run | Call::RunNext) => Answer::Started,
        (Before::Pending, Call::Cancel) => Answer::CancelledBeforeStart,
        (Before::Pending, Call::Complete(OutcomeKind::Cancelled)) => Answer::Completed,
        (Before::Pending, Call::Complete(_)) => Answer::Illegal {
            from: State::Pending,
            to: State::Complete,
        },
        (Before::Running | Before::Stopping, Call::Start | Call::Run) => Answer::Illegal {
            from: State::Running,
            to: State::Running,
        },
        (Before::Running | Before::Stopping, Call::Cancel) => Answer::CancelRequested,
        (Before::Running | Before::Stopping, Call::Complete(_)) => Answer::Completed,
        (Before::Complete(_), Call::Start | Call::Run) => Answer::Illegal {
            from: State::Complete,
            to: State::Running,
        },
        (Before::Complete(kind), Call::Cancel | Call::Complete(_)) => Answer::AlreadyComplete(kind),
        (_, Call::RunNext) => Answer::Nothing,
    }
}

/// Every recorded part of an outcome depends on `first`.
fn outcome(kind: OutcomeKind, first: bool) -> Outcome {
    let word = if first { "first" } else { "second" };
    let outcome = match kind {
        OutcomeKind::Succeeded => Outcome::succeeded(),
        OutcomeKind::PartiallyFailed => Outcome::partially_failed("GES.1", word),
        OutcomeKind::Failed => Outcome::failed("GES.2", word),
        OutcomeKind::Cancelled => Outcome::cancelled(),
        _ => Outcome::interrupted(),
    };
    let outcome = outcome.with_detail_json(format!("{{\"word\":\"{word}\"}}"));
    outcome.unwrap().with_result_ref(word).unwrap()
}

/// Each reading is a second later than the previous one.
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// An open with these changes nothing in a job.
fn options() -> Options {
    small_segments()
        .recovery(Recovery::Leave)
        .clock(Ticking(AtomicU64::new(1_000_000)))
}

/// Everything about a job except its progress.
#[derive(Clone, Debug, PartialEq)]
struct Life {
    id: String,
    sequence: u64,
    state: State,
    outcome: Option<Outcome>,
    cancel_requested: bool,
    submitted_at: SystemTime,
    started_at: Option<SystemTime>,
    completed_at: Option<SystemTime>,
}

fn life(job: &jobstore::Job) -> Life {
    Life {
        id: job.id().to_string(),
        sequence: job.sequence(),
        state: job.state(),
        outcome: job.outcome().cloned(),
        cancel_requested: job.cancel_requested(),
        submitted_at: job.submitted_at(),
        started_at: job.started_at(),
        completed_at: job.completed_at(),
    }
}

/// Everything about a graph's jobs.
#[derive(Clone, Debug, PartialEq)]
struct Facts {
    lives: Vec<Life>,
    json: String,
    /// Pending, running, complete.
    totals: [u64; 3],
}

fn facts(graph: &Graph) -> Facts {
    let page = graph.list(JobQuery::new()).unwrap();
    let lives: Vec<Life> = page.jobs().map(|job| life(&job.unwrap())).collect();
    for one in &lives {
        assert_eq!(life(&graph.job(&one.id).unwrap().unwrap()), *one);
    }
    let totals = State::ALL.map(|state| {
        let total = graph
            .list(JobQuery::new().state(state))
            .unwrap()
            .total()
            .unwrap();
        assert_eq!(total, graph.count(state).unwrap());
        let in_state = lives.iter().filter(|life| life.state == state);
        assert_eq!(total, in_state.count() as u64);
        total
    });
    assert_eq!(page.total().unwrap(), totals.iter().sum::<u64>());
    Facts {
        lives,
        json: listed(graph),
        totals,
    }
}

/// The job on which the call is made; a complete one comes before and after it.
const SUBJECT: &str = "subject";

fn prepare(graph: &Graph, before: Before) {
    for id in ["left", SUBJECT, "right"] {
        graph.submit_as(id, request("c", "0")).unwrap();
    }
    for id in ["left", "right"] {
        graph.cancel(id).unwrap();
    }
    if before == Before::Pending {
        return;
    }
    graph.start(SUBJECT).unwrap();
    match before {
        Before::Stopping => {
            let cancelled = graph.cancel(SUBJECT).unwrap();
            assert_eq!(cancelled, Cancellation::Requested);
        }
        Before::Complete(kind) => {
            let done = graph.complete(SUBJECT, outcome(kind, true)).unwrap();
            assert_eq!(done, Completion::Done);
        }
        _ => {}
    }
}

/// Makes the call in its blocking form, or through the queue if it has that form.
fn make(graph: &Graph, call: Call, queued: bool) -> Result<Answer, Error> {
    let nonblocking = graph.nonblocking();
    let kind_of = |outcome: Outcome| {
        // The previous outcome is returned unchanged.
        let first = self::outcome(outcome.kind(), true);
        assert_eq!(outcome, first);
        outcome.kind()
    };
    match call {
        Call::Start if queued => nonblocking.start(SUBJECT).wait().map(|()| Answer::Started),
        Call::Start => graph.start(SUBJECT).map(|()| Answer::Started),
        Call::Run => graph.claim(SUBJECT).map(|run| {
            assert_eq!(run.id().as_str(), SUBJECT);
            assert!(!run.cancel_requested());
            run.detach();
            Answer::Started
        }),
        Call::RunNext => {
            let run = if queued {
                nonblocking.claim_next().wait()?
            } else {
                graph.claim_next()?
            };
            Ok(run.map_or(Answer::Nothing, |run| {
                assert_eq!(run.id().as_str(), SUBJECT);
                run.detach();
                Answer::Started
            }))
        }
        Call::Complete(kind) => {
            let second = outcome(kind, false);
            let completion = if queued {
                nonblocking.complete(SUBJECT, second).wait()?
            } else {
                graph.complete(SUBJECT, second)?
            };
            Ok(match completion {
                Completion::Done => Answer::Completed,
                Completion::AlreadyComplete(first) => Answer::AlreadyComplete(kind_of(first)),
            })
        }
        Call::Cancel => {
            let cancellation = if queued {
                nonblocking.cancel(SUBJECT).wait()?
            } else {
                graph.cancel(SUBJECT)?
            };
            Ok(match cancellation {
                Cancellation::CancelledBeforeStart => Answer::CancelledBeforeStart,
                Cancellation::Requested => Answer::CancelRequested,
                Cancellation::AlreadyComplete(first) => Answer::AlreadyComplete(kind_of(first)),
            })
        }
    }
}

/// The call's result; a refusal is a result too.
fn answer(result: Result<Answer, Error>) -> Answer {
    match result {
        Ok(answer) => answer,
        Err(error) => {
            let Error::IllegalTransition { id, from, to } = &error else {
                panic!("{error:?}");
            };
            assert_eq!(id.as_str(), SUBJECT);
            let says = format!("job {SUBJECT} is {from} and cannot become {to}");
            assert!(error.to_string().starts_with(&says), "{error}");
            Answer::Illegal {
                from: *from,
                to: *to,
            }
        }
    }
}

/// Checks the job after a call that succeeded.
fn check_change(before: &Life, call: Call, answer: &Answer, after: &Life) {
    let same = (before.id.as_str(), before.sequence, before.submitted_at);
    assert_eq!(
        (after.id.as_str(), after.sequence, after.submitted_at),
        same
    );
    match answer {
        Answer::Started => {
            assert_eq!(after.state, State::Running);
            assert!(after.started_at > Some(before.submitted_at));
            assert_eq!((after.completed_at, after.outcome.clone()), (None, None));
            assert!(!after.cancel_requested);
        }
        Answer::Completed | Answer::CancelledBeforeStart => {
            assert_eq!(after.state, State::Complete);
            assert!(after.completed_at > before.started_at.max(Some(before.submitted_at)));
            assert_eq!(after.started_at, before.started_at);
            assert!(!after.cancel_requested);
            let recorded = match call {
                Call::Complete(kind) => outcome(kind, false),
                _ => Outcome::cancelled(),
            };
            assert_eq!(after.outcome, Some(recorded));
        }
        Answer::CancelRequested => {
            let mut asked = before.clone();
            asked.cancel_requested = true;
            assert_eq!(*after, asked);
        }
        Answer::Nothing | Answer::AlreadyComplete(_) | Answer::Illegal { .. } => {
            assert_eq!(after, before);
        }
    }
}

/// Every call in every state, each pair in its own graph.
fn every_pair() -> Vec<(String, Before, Call, bool)> {
    let mut pairs = Vec::new();
    for before in all_before() {
        for call in all_calls() {
            for queued in [false, true] {
                let name = format!("{before:?} {call:?} {queued}");
                pairs.push((name, before, call, queued));
            }
        }
    }
    assert_eq!(pairs.len(), 8 * 9 * 2);
    pairs
}

#[test]
fn every_state_answers_every_call_as_the_rules_say_and_keeps_what_it_said() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let store = options().open(dir).unwrap();
    let mut recorded = Vec::new();
    for (name, before, call, queued) in every_pair() {
        let graph = store.create_graph("10001", &name).unwrap();
        prepare(&graph, before);
        let facts_before = facts(&graph);
        let answer = answer(make(&graph, call, queued));
        let facts_after = facts(&graph);
        assert_eq!(answer, expected(before, call), "{name}");
        check_change(&facts_before.lives[1], call, &answer, &facts_after.lives[1]);
        for neighbour in [0, 2] {
            let (before, after) = (&facts_before.lives, &facts_after.lives);
            assert_eq!(before[neighbour], after[neighbour], "{name}");
        }
        let refused = matches!(
            answer,
            Answer::Nothing | Answer::AlreadyComplete(_) | Answer::Illegal { .. }
        );
        if refused {
            assert_eq!(facts_after, facts_before, "{name} changed something");
        }
        recorded.push((name, facts_after));
    }
    let look = |stage: &str, store: &JobStore| {
        for (name, facts_then) in &recorded {
            let graph = store.graph("10001", name).unwrap();
            assert_eq!(facts(&graph), *facts_then, "{stage}: {name}");
        }
    };
    look("as it was left", &store);
    store.close().unwrap();
    let store = options().open(dir).unwrap();
    look("reopened", &store);
    pack(&store, dir);
    look("packed", &store);
    store.close().unwrap();
    lose_index(dir);
    let store = options().open(dir).unwrap();
    look("without the index", &store);
}

#[test]
fn a_job_that_was_read_back_from_disk_answers_every_call_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let store = options().open(dir).unwrap();
    for (name, before, _, _) in every_pair() {
        let graph = store.create_graph("10001", &name).unwrap();
        prepare(&graph, before);
    }
    pack(&store, dir);
    store.close().unwrap();
    let store = options().open(dir).unwrap();
    let mut recorded = Vec::new();
    for (name, before, call, queued) in every_pair() {
        let graph = store.graph("10001", &name).unwrap();
        let facts_before = facts(&graph);
        let answer = answer(make(&graph, call, queued));
        let after = facts(&graph);
        assert_eq!(answer, expected(before, call), "{name}");
        let refused = matches!(
            answer,
            Answer::Nothing | Answer::AlreadyComplete(_) | Answer::Illegal { .. }
        );
        assert!(!refused || after == facts_before, "{name}");
        recorded.push((name, after));
    }
    store.close().unwrap();
    lose_index(dir);
    let store = options().open(dir).unwrap();
    for (name, facts_then) in recorded {
        let graph = store.graph("10001", &name).unwrap();
        assert_eq!(facts(&graph), facts_then, "{name}");
    }
}

#[test]
fn calls_that_wait_together_are_carried_out_one_after_the_other() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    for round in 0..50 {
        let id = format!("id-{round}");
        graph.submit_as(&id, request("c", "0")).unwrap();
        let nonblocking = graph.nonblocking();
        let too_early = nonblocking.complete(&id, Outcome::succeeded());
        let starts = [nonblocking.start(&id), nonblocking.start(&id)];
        let cancel = nonblocking.cancel(&id);
        let ends = [
            nonblocking.complete(&id, Outcome::failed("GES.1", "first")),
            nonblocking.complete(&id, Outcome::succeeded()),
        ];
        let too_late = (nonblocking.start(&id), nonblocking.cancel(&id));
        let error = too_early.wait().unwrap_err();
        assert!(
            matches!(
                error,
                Error::IllegalTransition {
                    from: State::Pending,
                    to: State::Complete,
                    ..
                }
            ),
            "{error:?}"
        );
        let [first, second] = starts.map(|write| write.wait());
        assert!(first.is_ok(), "{first:?}");
        assert!(
            matches!(
                second,
                Err(Error::IllegalTransition {
                    from: State::Running,
                    to: State::Running,
                    ..
                })
            ),
            "{second:?}"
        );
        assert_eq!(cancel.wait().unwrap(), Cancellation::Requested);
        let failed = Outcome::failed("GES.1", "first");
        let [first, second] = ends.map(|write| write.wait().unwrap());
        assert_eq!(first, Completion::Done);
        assert_eq!(second, Completion::AlreadyComplete(failed.clone()));
        let (start, cancel) = (too_late.0.wait(), too_late.1.wait());
        assert!(
            matches!(
                start,
                Err(Error::IllegalTransition {
                    from: State::Complete,
                    to: State::Running,
                    ..
                })
            ),
            "{start:?}"
        );
        assert_eq!(cancel.unwrap(), Cancellation::AlreadyComplete(failed));
    }
    assert_eq!(graph.count(State::Complete).unwrap(), 50);
}

#[test]
fn of_many_threads_that_start_or_end_a_job_one_does() {
    const THREADS: usize = 8;
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    for round in 0..40 {
        let id = format!("id-{round}");
        graph.submit_as(&id, request("c", "0")).unwrap();
        let answers: Vec<(bool, Completion)> = std::thread::scope(|scope| {
            let calls: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let (graph, id) = (&graph, &id);
                    scope.spawn(move || {
                        let started = graph.start(id).is_ok();
                        let outcome = Outcome::failed("GES.1", thread.to_string());
                        // Whichever call started it, it is running now or complete.
                        (started, graph.complete(id, outcome).unwrap())
                    })
                })
                .collect();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        });
        assert_eq!(answers.iter().filter(|(started, _)| *started).count(), 1);
        let done: Vec<usize> = (0..THREADS)
            .filter(|&thread| answers[thread].1 == Completion::Done)
            .collect();
        assert_eq!(done.len(), 1, "{id}");
        let kept = Outcome::failed("GES.1", done[0].to_string());
        for (_, completion) in &answers {
            let same = Completion::AlreadyComplete(kept.clone());
            assert!(*completion == Completion::Done || *completion == same);
        }
        let job = graph.job(&id).unwrap().unwrap();
        assert_eq!(job.outcome(), Some(&kept));
    }
}

#[test]
fn a_running_job_becomes_pending_by_recovery_and_can_run_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = options().open(dir.path()).unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    prepare(&graph, Before::Running);
    store.close().unwrap();
    let store = options()
        .recovery(Recovery::Requeue)
        .open(dir.path())
        .unwrap();
    let graph = store.graph("10001", "movie").unwrap();
    let requeued = facts(&graph);
    assert_eq!(requeued.totals, [1, 0, 2]);
    assert_eq!(requeued.lives[1].started_at, None);
    for call in all_calls() {
        let allowed = expected(Before::Pending, call);
        if let Answer::Illegal { .. } = allowed {
            assert_eq!(answer(make(&graph, call, false)), allowed, "{call:?}");
            assert_eq!(facts(&graph), requeued, "{call:?}");
        }
    }
    assert_eq!(
        answer(make(&graph, Call::RunNext, false)),
        Answer::Started,
        "it is claimed again"
    );
    let done = graph.complete(SUBJECT, Outcome::succeeded()).unwrap();
    assert_eq!(done, Completion::Done);
}
