//! Guarantee: a tally counts each job that matches once, in the group to which it belongs, whether
//! the jobs are packed, purged, or in an index that was lost.

mod common;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{lose_index, request, small_segments};
use jobstore::{
    Clock, Error, Graph, Job, JobQuery, JobStore, Outcome, OutcomeKind, State, Tally, TallyBy,
    TallyKey,
};

#[derive(Clone)]
struct Hands(Arc<AtomicU64>);

impl Clock for Hands {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0.fetch_add(977, Ordering::Relaxed))
    }
}

const MINUTE: Duration = Duration::from_secs(60);

fn period(at: SystemTime) -> TallyKey {
    let since = at.duration_since(UNIX_EPOCH).unwrap();
    let minutes = since.as_secs() / 60;
    TallyKey::Period(UNIX_EPOCH + MINUTE * u32::try_from(minutes).unwrap())
}

fn key(job: &Job, by: TallyBy) -> TallyKey {
    let or_state = |key: Option<TallyKey>| key.unwrap_or(TallyKey::State(job.state()));
    match by {
        TallyBy::State => TallyKey::State(job.state()),
        TallyBy::Outcome => or_state(
            job.outcome()
                .map(|outcome| TallyKey::Outcome(outcome.kind())),
        ),
        TallyBy::Command => TallyKey::Command(Some(job.request().command().to_owned())),
        TallyBy::Origin => TallyKey::Origin(job.request().origin().map(str::to_owned)),
        TallyBy::SubmittedPer(_) => period(job.submitted_at()),
        TallyBy::CompletedPer(_) => or_state(job.completed_at().map(period)),
        _ => unreachable!("another property"),
    }
}

/// Compares every tally with a list of the same jobs.
fn check(graph: &Graph, what: &str) {
    let queries = || {
        [
            JobQuery::new(),
            JobQuery::new().state(State::Pending).state(State::Running),
            JobQuery::new().outcome(OutcomeKind::Failed),
            JobQuery::new().command("b").newest_first(),
        ]
    };
    for by in [
        TallyBy::State,
        TallyBy::Outcome,
        TallyBy::Command,
        TallyBy::Origin,
        TallyBy::SubmittedPer(MINUTE),
        TallyBy::CompletedPer(MINUTE),
    ] {
        for (n, (query, listed)) in queries().into_iter().zip(queries()).enumerate() {
            let mut expected: BTreeMap<TallyKey, u64> = BTreeMap::new();
            for job in graph.list(listed).unwrap().jobs() {
                *expected.entry(key(&job.unwrap(), by)).or_default() += 1;
            }
            let tally = graph.tally(query, by).unwrap();
            let seen: BTreeMap<TallyKey, u64> = tally.groups.iter().cloned().collect();
            assert_eq!(seen, expected, "{what}: {by:?} of query {n}");
            assert_eq!(tally.jobs, expected.values().sum::<u64>());
            assert!(!tally.is_partial);
        }
    }
}

#[test]
fn a_tally_is_that_of_a_list() {
    let dir = common::closed_directory();
    let hands = Hands(Arc::new(AtomicU64::new(1_700_000_000_000)));
    let open = || {
        small_segments()
            .clock(hands.clone())
            .open(dir.path())
            .unwrap()
    };
    let mut store = open();
    let movie = store.create_graph("1", "movie").unwrap();
    for n in 0..1500 {
        // Some jobs are too large for a block.
        let rest = "x".repeat(if n % 400 == 7 { 100_000 } else { 0 });
        let request = request(["a", "b", "c"][n % 3], &format!("\"{n:0100}{rest}\""));
        let origin = ["", "alice", "bob", "trace-4bf92f35"][n % 4];
        movie.submit(request.with_origin(origin).unwrap()).unwrap();
    }
    for n in 0..1000 {
        let run = movie.claim_next().unwrap().unwrap();
        match n % 4 {
            0 => run.complete(Outcome::failed("c", "m")).unwrap(),
            1 => run.complete(Outcome::succeeded()).unwrap(),
            2 => run.complete(Outcome::partially_failed("c", "m")).unwrap(),
            _ => {
                run.detach();
                continue;
            }
        };
    }
    check(&movie, "unpacked");
    common::pack(&store, dir.path());
    check(&movie, "packed");
    let query = JobQuery::new().outcome(OutcomeKind::Succeeded).command("a");
    assert!(movie.purge(query).unwrap().jobs > 50);
    check(&movie, "purged");
    for lose in [false, true] {
        store.close().unwrap();
        if lose {
            lose_index(dir.path());
        }
        store = open();
        check(&store.graph("1", "movie").unwrap(), "reopened");
    }
}

#[test]
fn a_tally_that_is_stopped_says_so() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    let requests = (0..20_000).map(|_| request("c", "1"));
    movie.submit_all(requests).unwrap();
    let tally = |stops: bool, by: TallyBy| -> Tally {
        let query = JobQuery::new().on_progress(move |progress| {
            assert!(progress.looked_at <= progress.of && progress.of == 20_000);
            match stops {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        movie.tally(query, by).unwrap()
    };
    for by in [TallyBy::SubmittedPer(MINUTE), TallyBy::Origin] {
        let (whole, part) = (tally(false, by), tally(true, by));
        assert!(!whole.is_partial && whole.jobs == 20_000);
        assert!(part.is_partial && part.jobs > 0 && part.jobs < 20_000);
    }
    for refused in [
        movie.tally(JobQuery::new().limit(3), TallyBy::State),
        movie.tally(JobQuery::new(), TallyBy::SubmittedPer(Duration::ZERO)),
    ] {
        assert!(matches!(refused, Err(Error::InvalidUse { .. })));
    }
}

#[test]
fn a_tally_that_is_stopped_does_not_continue_with_the_next_graph() {
    let store = JobStore::in_memory().unwrap();
    let graphs: Vec<_> = ["a", "b", "c"]
        .map(|name| store.create_graph("p", name).unwrap())
        .into();
    for graph in &graphs {
        graph.submit(request("c", "{}")).unwrap();
    }
    // The only report of a small graph is the last one.
    let stop = |_: &_| ControlFlow::Break(());
    for query in [JobQuery::new(), JobQuery::new().submitted_from(UNIX_EPOCH)] {
        let query = query.on_progress(stop);
        let tally = store.tally(&graphs, query, TallyBy::Command).unwrap();
        assert_eq!((tally.jobs, tally.is_partial), (1, true));
    }
    let last = JobQuery::new().on_progress(stop);
    let tally = store.tally(&graphs[..1], last, TallyBy::Command).unwrap();
    assert_eq!((tally.jobs, tally.is_partial), (1, false));
}

#[test]
fn periods_are_whole_numbers_of_milliseconds() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    for period in [Duration::ZERO, Duration::from_micros(1500)] {
        let tally = graph.tally(JobQuery::new(), TallyBy::SubmittedPer(period));
        assert!(matches!(tally, Err(Error::InvalidUse { .. })), "{period:?}");
    }
}

#[test]
fn a_tally_of_too_many_origins_is_refused() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    let of = |n: u32| request("c", "1").with_origin(format!("trace-{n}")).unwrap();
    movie.submit_all((0..10_000).map(of)).unwrap();
    let tally = || movie.tally(JobQuery::new(), TallyBy::Origin);
    assert_eq!(tally().unwrap().groups.len(), 10_000);
    movie.submit(of(10_000)).unwrap();
    assert!(matches!(tally(), Err(Error::InvalidUse { .. })));
    let few = JobQuery::new().origin("trace-3").origin("trace-4");
    assert_eq!(movie.tally(few, TallyBy::Origin).unwrap().jobs, 2);
}

#[test]
fn a_tally_of_several_graphs_is_the_sum_of_theirs() {
    let store = JobStore::in_memory().unwrap();
    let mut graphs = Vec::new();
    for (name, jobs) in [("movie", 3), ("roads", 2), ("empty", 0), ("dropped", 4)] {
        let graph = store.create_graph("10001", name).unwrap();
        for n in 0..jobs {
            let id = graph.submit(request(&format!("c{n}"), "{}")).unwrap();
            if n == 1 {
                graph.cancel(&id).unwrap();
            }
        }
        graphs.push(graph);
    }
    // A graph that is given twice is counted once.
    graphs.push(graphs[0].clone());
    store.drop_graph("10001", "dropped").unwrap();
    let tally = |query, by| store.tally(&graphs, query, by).unwrap();
    let by_state = tally(JobQuery::new(), TallyBy::State);
    assert_eq!((by_state.jobs, by_state.is_partial), (5, false));
    assert_eq!(by_state.of(&TallyKey::State(State::Pending)), 3);
    assert_eq!(by_state.of(&TallyKey::State(State::Complete)), 2);
    let by_command = tally(JobQuery::new().state(State::Pending), TallyBy::Command);
    assert_eq!(by_command.of(&TallyKey::Command(Some("c0".to_owned()))), 2);
    assert_eq!(by_command.of(&TallyKey::Command(Some("c2".to_owned()))), 1);
    let stopped = JobQuery::new().on_progress(|_| ControlFlow::Break(()));
    let partial = tally(stopped, TallyBy::Outcome);
    assert!(partial.jobs <= 5);
    let other = JobStore::in_memory().unwrap();
    let foreign = [other.create_graph("10001", "movie").unwrap()];
    for refused in [
        store.tally(&graphs, JobQuery::new().limit(1), TallyBy::State),
        store.tally(&foreign, JobQuery::new(), TallyBy::State),
    ] {
        assert!(matches!(refused, Err(Error::InvalidUse { .. })));
    }
    let refused = store.list(&foreign, JobQuery::new(), None);
    assert!(matches!(refused, Err(Error::InvalidUse { .. })));
}
