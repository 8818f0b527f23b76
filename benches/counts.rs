//! Counting: tallies of a graph's jobs, and its history.
//!
//! `cargo bench --bench counts`; `JOBSTORE_BENCH_JOBS=10000000` for more jobs.

mod common;

use std::time::{Duration, Instant, SystemTime};

use common::stores::{Filled, Shape};
use common::work::{PROJECT, request};
use common::{requests::Seeded, settings, table};
use jobstore::{Clock, JobQuery, JobStore, Outcome, OutcomeKind, TallyBy};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn main() {
    tallies();
    println!();
    histories();
}

/// Returns the shortest of several measurements, in milliseconds.
fn least(mut work: impl FnMut()) -> f64 {
    let rounds = 0..settings::rounds(5);
    let took = rounds.map(|_| {
        let begun = Instant::now();
        work();
        begun.elapsed().as_secs_f64() * 1e3
    });
    took.fold(f64::INFINITY, f64::min)
}

fn tallies() {
    table::head(&["tally", "jobs", "ms", "ns per job"]);
    let filled = Filled::new(Shape::States, settings::jobs());
    let (store, graph) = filled.open();
    for (name, by, query) in [
        ("by state", TallyBy::State, JobQuery::new()),
        ("by outcome", TallyBy::Outcome, JobQuery::new()),
        ("by command", TallyBy::Command, JobQuery::new()),
        ("by origin", TallyBy::Origin, JobQuery::new()),
        (
            "by hour of submission",
            TallyBy::SubmittedPer(DAY / 24),
            JobQuery::new(),
        ),
        (
            "by hour of completion",
            TallyBy::CompletedPer(DAY / 24),
            JobQuery::new(),
        ),
        (
            "by command, of the jobs that failed",
            TallyBy::Command,
            JobQuery::new().outcome(OutcomeKind::Failed),
        ),
    ] {
        let jobs = graph
            .tally(JobQuery::new(), TallyBy::State)
            .expect("a tally")
            .jobs;
        let ms = least(|| drop(graph.tally(query.clone(), by).expect("a tally")));
        table::row(&[
            name.to_owned(),
            jobs.to_string(),
            format!("{ms:.2}"),
            format!("{:.1}", ms * 1e6 / jobs as f64),
        ]);
    }
    store.close().expect("close");
}

/// A clock that advances by a minute with each job.
#[derive(Clone)]
struct Minutes(std::sync::Arc<std::sync::atomic::AtomicU64>);

impl Clock for Minutes {
    fn now(&self) -> SystemTime {
        let minutes = self.0.load(std::sync::atomic::Ordering::Relaxed);
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + 60 * minutes)
    }
}

fn histories() {
    table::head(&["history of", "by", "points", "ms"]);
    let days = settings::sized(1, 100);
    let root = tempfile::tempdir().expect("a temporary directory");
    let clock = Minutes(std::sync::Arc::default());
    let store = JobStore::options().clock(clock.clone()).open(root.path());
    let store = store.expect("open");
    let graph = store.create_graph(PROJECT, "movie").expect("create");
    let mut random = Seeded(5);
    for _ in 0..days * 24 * 60 {
        let id = graph
            .nonblocking()
            .submit(request(&mut random))
            .wait()
            .expect("submit");
        drop(graph.nonblocking().start(&id));
        let completed = graph.nonblocking().complete(&id, Outcome::succeeded());
        completed.wait().expect("complete");
        clock.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
    // No job happens in the minute after the last one.
    let now = clock.now() + DAY / 24 / 60;
    let points = |days: u32, step| {
        let from = now - days * DAY;
        graph.history(from, now, step).expect("a history").len()
    };
    for (days, step, name) in [
        (1, DAY / 24 / 60, "minute"),
        (7, DAY / 24, "hour"),
        (30, DAY / 24, "hour"),
        (30, DAY, "day"),
        (90, DAY, "day"),
    ] {
        let count = points(days, step);
        let ms = least(|| assert_eq!(points(days, step), count));
        table::row(&[
            format!("{days} days"),
            name.to_owned(),
            count.to_string(),
            format!("{ms:.2}"),
        ]);
    }
    store.close().expect("close");
}
