//! The history of a graph and the counters of an open store.
//!
//! Guarantee: everything that happened is counted once, at its time and under its command, whether
//! the store is reopened, its index is lost, its jobs are purged, or its files are rewritten.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{lose_index, request, small_segments};
use jobstore::{
    Clock, Error, Graph, HistoryPoint, JobCounts, JobQuery, JobStore, OnBadLine, Outcome,
    OutcomeKind, Recovery,
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const BEGIN_MS: u64 = 1_700_006_400_000; // a full hour

/// A clock that the test sets.
#[derive(Clone)]
struct Hands(Arc<AtomicU64>);

impl Hands {
    fn new() -> Hands {
        Hands(Arc::new(AtomicU64::new(BEGIN_MS)))
    }

    fn step(&self, time: Duration) {
        self.0.fetch_add(time.as_millis() as u64, Ordering::Relaxed);
    }
}

impl Clock for Hands {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

fn open(dir: &Path, hands: &Hands) -> JobStore {
    small_segments().clock(hands.clone()).open(dir).unwrap()
}

fn history(graph: &Graph, step: Duration) -> Vec<HistoryPoint> {
    let end = UNIX_EPOCH + 40_000 * DAY;
    graph.history(UNIX_EPOCH, end, step).unwrap()
}

fn sum<'p>(points: impl IntoIterator<Item = &'p HistoryPoint>) -> JobCounts {
    let mut sum = JobCounts::default();
    points.into_iter().for_each(|point| sum.add(&point.counts));
    sum
}

fn begin() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(BEGIN_MS)
}

#[test]
fn events_are_counted_at_their_minute_and_under_their_command() {
    let hands = Hands::new();
    let store = JobStore::options()
        .clock(hands.clone())
        .in_memory()
        .unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    let first = movie.submit(request("import", "1")).unwrap();
    let second = movie.submit(request("export", "1")).unwrap();
    hands.step(Duration::from_secs(90));
    let run = movie.claim(&first).unwrap();
    hands.step(Duration::from_secs(600));
    run.complete(Outcome::failed("c", "m")).unwrap();
    movie.cancel(&second).unwrap();

    let points = history(&movie, MINUTE);
    let starts: Vec<SystemTime> = points.iter().map(|point| point.start).collect();
    assert_eq!(starts, [0, 1, 11].map(|minute| begin() + minute * MINUTE));
    assert!(points.iter().all(|point| point.length == MINUTE));
    let [submitted, started, completed] = &points[..] else {
        panic!("{points:?}");
    };
    assert_eq!(submitted.counts.submitted(), 2);
    let commands = |point: &HistoryPoint| -> Vec<Option<String>> {
        point
            .commands
            .iter()
            .map(|(name, _)| name.clone())
            .collect()
    };
    let names = |names: &[&str]| -> Vec<Option<String>> {
        names.iter().map(|name| Some((*name).to_owned())).collect()
    };
    assert_eq!(commands(submitted), names(&["export", "import"]));
    assert_eq!(commands(started), names(&["import"]));
    assert_eq!(started.counts.waits().sum(), Duration::from_secs(90));
    assert_eq!(completed.counts.completed(OutcomeKind::Failed), 1);
    assert_eq!(completed.counts.completed(OutcomeKind::Cancelled), 1);
    let ran = completed.counts.runs(OutcomeKind::Failed);
    assert_eq!((ran.count(), ran.sum()), (1, Duration::from_secs(600)));
    assert_eq!(completed.counts.runs(OutcomeKind::Cancelled).count(), 0);

    let day = history(&movie, DAY);
    assert_eq!((day.len(), &day[0].counts), (1, &sum(&points)));
    let counters = store.stats().unwrap().graphs[0].counters.clone();
    assert_eq!(counters, sum(&points));
    assert_eq!(store.stats().unwrap().totals.counters, counters);

    let part =
        |from: Duration, to: Duration| movie.history(begin() + from, begin() + to, MINUTE).unwrap();
    assert_eq!(part(MINUTE, 2 * MINUTE), points[1..2]);
    assert_eq!(part(Duration::from_millis(59_999), MINUTE), points[..1]);
    assert_eq!(part(MINUTE, MINUTE), []);
    for step in [
        Duration::ZERO,
        Duration::from_secs(90),
        MINUTE + Duration::from_nanos(1),
    ] {
        let refused = movie.history(begin(), begin() + DAY, step);
        assert!(matches!(refused, Err(Error::InvalidUse { .. })), "{step:?}");
    }
    store.drop_graph("1", "movie").unwrap();
    let refused = movie.history(begin(), begin() + DAY, MINUTE);
    assert!(matches!(refused, Err(Error::GraphDropped { .. })));
    assert_eq!(store.stats().unwrap().totals.counters, counters);
}

#[test]
fn a_purge_subtracts_nothing_even_if_the_index_is_lost_after_files_were_rewritten() {
    let dir = common::closed_directory();
    let hands = Hands::new();
    let mut store = open(dir.path(), &hands);
    let movie = store.create_graph("1", "movie").unwrap();
    // Several segments, so that starts and completions are in other packs than submissions.
    for n in 0..3000u32 {
        let body = format!("\"{:0200}\"", n.wrapping_mul(2_654_435_761));
        movie
            .submit(request(["a", "b", "c"][n as usize % 3], &body))
            .unwrap();
        if n % 2 == 0 {
            hands.step(Duration::from_secs(11));
        }
    }
    for n in 0..2500 {
        let run = movie.claim_next().unwrap().unwrap();
        hands.step(Duration::from_millis(n * 7));
        match n % 3 {
            0 => run.complete(Outcome::failed("c", "m")).unwrap(),
            _ => run.complete(Outcome::succeeded()).unwrap(),
        };
    }
    common::pack(&store, dir.path());
    let expected = history(&movie, MINUTE);
    let all = sum(&expected);
    assert_eq!((all.submitted(), all.started()), (3000, 2500));
    assert_eq!(all.waits().count(), 2500);
    assert_eq!(all.runs(OutcomeKind::Failed).count(), 834);

    let packed = || -> u64 {
        let packs = common::files_ending(dir.path(), ".pack");
        packs
            .iter()
            .filter_map(|pack| pack.metadata().ok())
            .map(|pack| pack.len())
            .sum()
    };
    let before = packed();
    let purged = movie
        .purge(JobQuery::new().outcome(OutcomeKind::Succeeded))
        .unwrap();
    assert_eq!(purged.jobs, 1666);
    let purged = movie.purge(JobQuery::new().command("a")).unwrap();
    assert_eq!(purged.jobs, 834);
    // Wait until the packs were rewritten.
    common::wait_until("the packs are rewritten", || packed() < before / 2);
    assert_eq!(history(&movie, MINUTE), expected);
    for lose in [false, true] {
        store.close().unwrap();
        if lose {
            lose_index(dir.path());
        }
        store = open(dir.path(), &hands);
        let movie = store.graph("1", "movie").unwrap();
        assert_eq!(history(&movie, MINUTE), expected, "{lose}");
        // Counters begin again.
        assert!(store.stats().unwrap().totals.counters.is_empty());
    }
    store.close().unwrap();
    for lose in [false, true] {
        if lose {
            lose_index(dir.path());
        }
        let reader = JobStore::options()
            .read_only(true)
            .open(dir.path())
            .unwrap();
        let movie = reader.graph("1", "movie").unwrap();
        assert_eq!(history(&movie, MINUTE), expected, "{lose}");
        assert_eq!(sum(&history(&movie, HOUR)), all);
    }
}

#[test]
fn old_history_is_kept_per_hour_and_per_day() {
    let dir = common::closed_directory();
    let hands = Hands::new();
    let mut store = open(dir.path(), &hands);
    let movie = store.create_graph("1", "movie").unwrap();
    for _ in 0..2000 {
        movie.submit(request("c", "1")).unwrap();
        hands.step(2 * HOUR + MINUTE);
    }
    let expected = history(&movie, MINUTE);
    let length = |length| {
        expected
            .iter()
            .filter(|point| point.length == length)
            .count()
    };
    assert_eq!(length(MINUTE), 168);
    assert_eq!(length(MINUTE) + length(HOUR) + length(DAY), expected.len());
    assert!(length(HOUR) > 1000 && length(DAY) > 50);
    assert_eq!(sum(&expected).submitted(), 2000);
    for lose in [false, true] {
        store.close().unwrap();
        if lose {
            lose_index(dir.path());
        }
        store = open(dir.path(), &hands);
        let movie = store.graph("1", "movie").unwrap();
        assert_eq!(history(&movie, MINUTE), expected, "{lose}");
    }
    store.close().unwrap();
}

#[test]
fn recovered_jobs_are_counted_under_their_command() {
    let dir = common::closed_directory();
    let hands = Hands::new();
    let store = open(dir.path(), &hands);
    let movie = store.create_graph("1", "movie").unwrap();
    for n in 0..4 {
        movie.submit(request(["a", "b"][n % 2], "1")).unwrap();
        movie.claim_next().unwrap().unwrap().detach();
    }
    store.close().unwrap();
    let options = small_segments().clock(hands.clone());
    let store = options
        .recovery(Recovery::Interrupt)
        .open(dir.path())
        .unwrap();
    let movie = store.graph("1", "movie").unwrap();
    let points = history(&movie, DAY);
    let counts = &points[0].counts;
    assert_eq!(counts.completed(OutcomeKind::Interrupted), 4);
    assert_eq!(counts.runs(OutcomeKind::Interrupted).count(), 0);
    for (_, counts) in &points[0].commands {
        assert_eq!(counts.completed(OutcomeKind::Interrupted), 2);
    }
    assert!(store.stats().unwrap().totals.counters.is_empty());
}

#[test]
fn a_job_that_runs_across_opens_keeps_its_start_and_command() {
    let dir = common::closed_directory();
    let hands = Hands::new();
    let options = || {
        small_segments()
            .clock(hands.clone())
            .recovery(Recovery::Leave)
    };
    let store = options().open(dir.path()).unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    let id = movie.submit(request("a", "1")).unwrap();
    movie.start(&id).unwrap();
    common::pack(&store, dir.path());
    store.close().unwrap();
    for lose in [false, true] {
        if lose {
            lose_index(dir.path());
        }
        hands.step(HOUR);
        options().open(dir.path()).unwrap().close().unwrap();
    }
    let store = options().open(dir.path()).unwrap();
    let movie = store.graph("1", "movie").unwrap();
    movie.complete(&id, Outcome::succeeded()).unwrap();
    let points = history(&movie, DAY);
    let all = sum(&points);
    assert_eq!(all.runs(OutcomeKind::Succeeded).sum(), 2 * HOUR);
    assert!(points.iter().all(|p| {
        p.commands
            .iter()
            .all(|(name, _)| name.as_deref() == Some("a"))
    }));
}

#[test]
fn imported_jobs_are_in_the_history_at_their_times_and_not_in_the_counters() {
    let hands = Hands::new();
    let store = JobStore::options()
        .clock(hands.clone())
        .in_memory()
        .unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    for _ in 0..5 {
        let id = movie.submit(request("c", "1")).unwrap();
        let run = movie.claim(&id).unwrap();
        hands.step(5 * MINUTE);
        run.complete(Outcome::succeeded()).unwrap();
    }
    let mut lines = Vec::new();
    movie
        .export(JobQuery::new())
        .unwrap()
        .write_all(&mut lines)
        .unwrap();
    hands.step(DAY);
    let copy = store.create_graph("1", "copy").unwrap();
    copy.import(&lines[..], OnBadLine::Stop).unwrap();
    assert_eq!(history(&copy, MINUTE), history(&movie, MINUTE));
    assert!(store.stats().unwrap().graphs[1].counters.is_empty());
}

#[test]
fn commands_beyond_the_first_64_are_counted_together() {
    let dir = common::closed_directory();
    let hands = Hands::new();
    let mut store = open(dir.path(), &hands);
    let mut movie = store.create_graph("1", "movie").unwrap();
    let requests = (0..70).map(|n| request(&format!("c{n:02}"), "1"));
    movie.submit_all(requests).unwrap();
    movie.submit(request("c69", "2")).unwrap();
    movie.submit(request("c63", "2")).unwrap();
    for lose in [false, true] {
        let points = history(&movie, DAY);
        let [point] = &points[..] else {
            panic!("{points:?}");
        };
        assert_eq!(point.commands.len(), 65);
        let of = |name: Option<&str>| {
            let mut commands = point.commands.iter();
            let found = commands.find(|(known, _)| known.as_deref() == name);
            found.map(|(_, counts)| counts.submitted())
        };
        assert_eq!(
            [of(None), of(Some("c63")), of(Some("c00"))],
            [Some(7), Some(2), Some(1)]
        );
        if lose {
            break;
        }
        store.close().unwrap();
        lose_index(dir.path());
        store = open(dir.path(), &hands);
        movie = store.graph("1", "movie").unwrap();
    }
}

#[test]
fn a_job_that_was_requeued_did_not_run_when_it_is_cancelled_in_the_same_commit() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    for _ in 0..20 {
        let id = movie.submit(request("c", "{}")).unwrap();
        let run = movie.claim(&id).unwrap();
        // Writes that are queued together share a commit.
        let other = movie.nonblocking().submit(request("d", "{}"));
        let requeued = run.requeue_async();
        let cancelled = movie.nonblocking().cancel(&id);
        requeued.wait().unwrap();
        cancelled.wait().unwrap();
        other.wait().unwrap();
    }
    let (end, day) = (
        SystemTime::now() + Duration::from_secs(60),
        Duration::from_secs(86_400),
    );
    let points = movie.history(UNIX_EPOCH, end, day).unwrap();
    let (mut cancelled, mut ran) = (0, 0);
    for point in points {
        cancelled += point.counts.completed(OutcomeKind::Cancelled);
        ran += point.counts.runs(OutcomeKind::Cancelled).count();
    }
    assert_eq!((cancelled, ran), (20, 0));
}

#[test]
fn a_step_that_does_not_fit_hours_and_days_is_refused() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    let ask = |minutes: u64| {
        movie.history(
            UNIX_EPOCH,
            SystemTime::now(),
            Duration::from_secs(60 * minutes),
        )
    };
    for minutes in [1, 5, 30, 60, 120, 720, 1440, 7 * 1440] {
        assert!(ask(minutes).is_ok(), "{minutes} minutes");
    }
    for minutes in [0, 7, 40, 90, 300, 2160] {
        let refused = ask(minutes).unwrap_err();
        assert!(refused.to_string().contains("30 minutes"), "{refused}");
    }
}
