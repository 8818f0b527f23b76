//! Purging: what is purged, what stays, what is remembered, what space is freed.
//!
//! Guarantee: only complete jobs are ever purged; the rest is listed as before, byte for byte,
//! across restarts, a lost index, and rewritten files; a purged id is distinguished from an unknown
//! one for as long as configured.

mod common;

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::{Random, files_ending, listed, lose_index, request, small_segments};
use jobstore::{
    Clock, Error, Graph, Health, JobQuery, JobStore, Outcome, OutcomeKind, PurgeReason, Retention,
    State, Submitted,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A clock that the test sets.
#[derive(Clone)]
struct Hands(Arc<AtomicU64>);

impl Hands {
    fn new() -> Hands {
        Hands(Arc::new(AtomicU64::new(1_700_000_000_000)))
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

fn finish(graph: &Graph, id: &str, outcome: Outcome) {
    graph.claim(id).unwrap().complete(outcome).unwrap();
}

fn submit(graph: &Graph, ids: std::ops::Range<u64>) {
    let mut random = Random(ids.start);
    for n in ids {
        let made = graph.submit_as(
            format!("job-{n}"),
            request(&format!("c{n}"), &body(&mut random)),
        );
        assert!(matches!(made, Ok(Submitted::Created(_))));
    }
}

/// A body that does not compress well.
fn body(random: &mut Random) -> String {
    let digits: String = (0..20)
        .map(|_| format!("{:016x}", random.below(u64::MAX)))
        .collect();
    format!("\"{digits}\"")
}

fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "not so yet: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn ids(graph: &Graph) -> Vec<String> {
    common::ids(&graph.list(JobQuery::new()).unwrap())
}

#[test]
fn a_policy_of_count_keeps_the_youngest_complete_jobs_and_all_open_ones() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), &Hands::new());
    let movie = store.create_graph("1", "movie").unwrap();
    submit(&movie, 0..200);
    for n in 0..150 {
        finish(&movie, &format!("job-{n}"), Outcome::succeeded());
    }
    movie.start("job-150").unwrap();
    let policy = Retention::new().max_jobs(30);
    movie.set_retention(Some(policy.clone())).unwrap();
    assert_eq!(movie.retention(), Some(policy));
    wait("30 are left", || {
        movie.count(State::Complete).unwrap() == 30
    });
    let left: Vec<String> = (120..200).map(|n| format!("job-{n}")).collect();
    assert_eq!(ids(&movie), left);
    assert_eq!(movie.count(State::Running).unwrap(), 1);
    assert_eq!(movie.count(State::Pending).unwrap(), 49);
    let stone = movie.tombstone("job-7").unwrap().unwrap();
    assert_eq!(stone.reason, PurgeReason::Count);
    assert_eq!(movie.tombstone("job-130").unwrap(), None);
    assert_eq!(movie.tombstone("job-999").unwrap(), None);
}

#[test]
fn what_is_left_is_listed_as_before_however_the_store_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let hands = Hands::new();
    let store = open(dir.path(), &hands);
    let movie = store.create_graph("1", "movie").unwrap();
    submit(&movie, 0..1000);
    let own = movie.submit(request("own", "{}")).unwrap();
    for n in (0..1000).filter(|n| n % 10 != 3) {
        finish(&movie, &format!("job-{n}"), Outcome::succeeded());
    }
    finish(&movie, own.as_str(), Outcome::failed("c", "m"));
    common::pack(&store, dir.path());
    let before = files_ending(dir.path(), ".pack");
    let bytes = |paths: &[std::path::PathBuf]| -> u64 {
        paths
            .iter()
            .map(|p| p.metadata().map_or(0, |m| m.len()))
            .sum()
    };
    let bytes_before = bytes(&before);
    assert_eq!(movie.purge_dry_run(JobQuery::new()).unwrap().jobs, 901);
    assert_eq!(movie.count(State::Complete).unwrap(), 901);
    assert_eq!(movie.purge(JobQuery::new()).unwrap().jobs, 901);
    assert_eq!(movie.purge(JobQuery::new()).unwrap().jobs, 0);
    let left: Vec<String> = (0..1000)
        .filter(|n| n % 10 == 3)
        .map(|n| format!("job-{n}"))
        .collect();
    let check = |movie: &Graph, what: &str| {
        assert_eq!(ids(movie), left, "{what}");
        assert_eq!(movie.quarantined().unwrap(), 0, "{what}");
        // Its form leads to the same job, but it is a different id.
        let mut other = own.to_string().into_bytes();
        let last = other.len() - 37 + 1;
        other[last] = if other[last] == b'0' { b'1' } else { b'0' };
        let other = String::from_utf8(other).unwrap();
        assert!(movie.tombstone(&other).unwrap().is_none(), "{what} {other}");
        for gone in ["job-0", "job-999", own.as_str()] {
            assert!(movie.job(gone).unwrap().is_none(), "{what}");
            assert!(movie.tombstone(gone).unwrap().is_some(), "{what} {gone}");
            let error = movie.start(gone).unwrap_err();
            assert!(matches!(error, Error::JobPurged { .. }), "{what}");
            let error = movie.submit_as(gone, request("again", "{}")).unwrap_err();
            assert!(matches!(error, Error::JobIdPurged { .. }), "{what}");
        }
        assert!(movie.tombstone("job-3").unwrap().is_none());
        assert!(matches!(
            movie.start("job-1000"),
            Err(Error::UnknownJob { .. })
        ));
    };
    check(&movie, "at once");
    let list = listed(&movie);
    wait("room is back", || {
        bytes(&files_ending(dir.path(), ".pack")) < bytes_before / 2
    });
    check(&movie, "written anew");
    assert_eq!(listed(&movie), list);
    let scrubbed = store.scrub().unwrap();
    assert!(scrubbed.damage.is_empty(), "{scrubbed}");
    drop((movie, store));
    for way in ["reopened", "index lost", "index lost again"] {
        if way != "reopened" {
            lose_index(dir.path());
        }
        let report = JobStore::verify(dir.path()).unwrap();
        assert!(report.damage.is_empty(), "{way}: {report}");
        let store = open(dir.path(), &hands);
        let movie = store.graph("1", "movie").unwrap();
        check(&movie, way);
        assert_eq!(listed(&movie), list, "{way}");
        let after = movie.submit(request("after", "{}")).unwrap();
        assert_eq!(
            movie.job(&after).unwrap().unwrap().request().command(),
            "after"
        );
        movie.cancel(&after).unwrap();
        movie.purge(JobQuery::new()).unwrap();
        assert!(movie.tombstone(&after).unwrap().is_some());
        store.close().unwrap();
    }
}

#[test]
fn age_counts_from_the_end_and_by_outcome() {
    let dir = tempfile::tempdir().unwrap();
    let hands = Hands::new();
    let store = open(dir.path(), &hands);
    let movie = store.create_graph("1", "movie").unwrap();
    submit(&movie, 0..40);
    for n in 0..10 {
        finish(&movie, &format!("job-{n}"), Outcome::succeeded());
    }
    for n in 10..20 {
        finish(&movie, &format!("job-{n}"), Outcome::failed("c", "m"));
    }
    let policy = Retention::new()
        .max_age(2 * DAY)
        .max_age_of(OutcomeKind::Failed, 5 * DAY);
    movie.set_retention(Some(policy)).unwrap();
    let later = |days: u32| {
        hands.step(days * DAY);
        store.confirm_clock().unwrap();
    };
    later(1);
    for n in 20..30 {
        finish(&movie, &format!("job-{n}"), Outcome::succeeded());
    }
    later(1);
    wait("10 are purged", || {
        movie.count(State::Complete).unwrap() == 20
    });
    assert!(movie.tombstone("job-9").unwrap().is_some());
    later(1);
    wait("20 are purged", || {
        movie.count(State::Complete).unwrap() == 10
    });
    later(2);
    wait("30 are purged", || {
        movie.count(State::Complete).unwrap() == 0
    });
    assert_eq!(movie.count(State::Pending).unwrap(), 10);
    let stone = movie.tombstone("job-15").unwrap().unwrap();
    assert_eq!(stone.reason, PurgeReason::Age);
}

#[test]
fn a_clock_that_leaps_purges_nothing() {
    let dir = tempfile::tempdir().unwrap();
    // Created by the store, so that other users have no access.
    let home = dir.path().join("store");
    let hands = Hands::new();
    let policy = Retention::new().max_age(10 * DAY).max_jobs(25);
    let store = open(&home, &hands);
    let movie = store.create_graph("1", "movie").unwrap();
    submit(&movie, 0..30);
    for n in 0..30 {
        finish(&movie, &format!("job-{n}"), Outcome::succeeded());
    }
    // While it is open, and across a restart.
    for _ in 0..2 {
        let store = store.clone();
        movie.set_retention(Some(policy.clone())).unwrap();
        hands.step(365 * DAY);
        wait("the count is kept", || {
            movie.count(State::Complete).unwrap() == 25
        });
        assert_eq!(store.health(), Health::Ok);
    }
    drop((movie, store));
    hands.step(365 * DAY);
    let store = open(&home, &hands);
    let movie = store.graph("1", "movie").unwrap();
    movie
        .set_retention(Some(policy.clone().max_jobs(20)))
        .unwrap();
    // The count needs no clock: once it was enforced, ages have been checked, too.
    wait("the count is kept", || {
        movie.count(State::Complete).unwrap() == 20
    });
    assert!(matches!(store.health(), Health::Degraded { .. }));
    movie.set_retention(Some(policy.max_jobs(15))).unwrap();
    wait("the count is kept", || {
        movie.count(State::Complete).unwrap() == 15
    });
    store.confirm_clock().unwrap();
    wait("all are old", || movie.count(State::Complete).unwrap() == 0);
    assert_eq!(store.health(), Health::Ok);
}

#[test]
fn tombstones_are_bounded_and_an_id_is_free_again_behind_them() {
    let dir = tempfile::tempdir().unwrap();
    let hands = Hands::new();
    let store = open(dir.path(), &hands);
    let movie = store.create_graph("1", "movie").unwrap();
    submit(&movie, 0..30);
    for n in 0..30 {
        finish(&movie, &format!("job-{n}"), Outcome::succeeded());
        movie.purge(JobQuery::new()).unwrap();
    }
    movie
        .set_retention(Some(Retention::new().max_tombstones(10)))
        .unwrap();
    wait("10 are left", || {
        movie.tombstone("job-19").unwrap().is_none()
    });
    assert!(movie.tombstone("job-20").unwrap().is_some());
    let again = movie.submit_as("job-5", request("again", "{}")).unwrap();
    assert_eq!(again, Submitted::Created("job-5".parse().unwrap()));
    let check = |movie: &Graph, what: &str| {
        assert_eq!(ids(movie), ["job-5"], "{what}");
        assert!(movie.tombstone("job-6").unwrap().is_none(), "{what}");
        assert!(movie.tombstone("job-20").unwrap().is_some(), "{what}");
    };
    check(&movie, "at once");
    drop((movie, store));
    for way in ["reopened", "index lost"] {
        if way == "index lost" {
            lose_index(dir.path());
        }
        let store = open(dir.path(), &hands);
        let movie = store.graph("1", "movie").unwrap();
        check(&movie, way);
        common::pack(&store, dir.path());
        check(&movie, way);
        drop((movie, store));
    }
    let store = open(dir.path(), &hands);
    let movie = store.graph("1", "movie").unwrap();
    let policy = Retention::new().tombstone_age(DAY);
    movie.set_retention(Some(policy)).unwrap();
    hands.step(2 * DAY);
    store.confirm_clock().unwrap();
    wait("all are old", || {
        movie.tombstone("job-29").unwrap().is_none()
    });
}

#[test]
fn another_policy_of_age_looks_at_all_jobs_again() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    submit(&movie, 0..20);
    for n in 0..20 {
        let outcome = match n % 2 {
            0 => Outcome::succeeded(),
            _ => Outcome::failed("c", "m"),
        };
        finish(&movie, &format!("job-{n}"), outcome);
    }
    let policy = Retention::new().max_age_of(OutcomeKind::Failed, Duration::ZERO);
    movie.set_retention(Some(policy)).unwrap();
    wait("the failed ones are purged", || {
        movie.count(State::Complete).unwrap() == 10
    });
    // Ages are checked once more, and recorded.
    submit(&movie, 20..21);
    finish(&movie, "job-20", Outcome::failed("c", "m"));
    wait("another failed one is purged", || {
        movie.count(State::Complete).unwrap() == 10
    });
    let policy = Retention::new().max_age(Duration::ZERO);
    movie.set_retention(Some(policy)).unwrap();
    wait("all are", || movie.count(State::Complete).unwrap() == 0);
}

#[test]
fn what_a_clock_that_had_leapt_wrote_grows_old_like_all_else() {
    let dir = tempfile::tempdir().unwrap();
    let hands = Hands::new();
    let right = hands.0.load(Ordering::Relaxed);
    let mut store = open(dir.path(), &hands);
    let movie = store.create_graph("1", "movie").unwrap();
    submit(&movie, 0..6);
    for n in 0..6 {
        // Two before the clock jump, two during it, two when the clock is right again.
        match n {
            2 => hands.step(73 * 365 * DAY),
            4 => hands.0.store(right + 60_000, Ordering::Relaxed),
            _ => {}
        }
        finish(&movie, &format!("job-{n}"), Outcome::succeeded());
        if n % 2 == 0 {
            let only = JobQuery::new().command(format!("c{n}"));
            assert_eq!(movie.purge(only).unwrap().jobs, 1);
        }
    }
    drop(movie);
    for way in ["open", "reopened"] {
        let movie = store.graph("1", "movie").unwrap();
        if way == "open" {
            let policy = Retention::new().max_age(DAY).tombstone_age(DAY);
            movie.set_retention(Some(policy)).unwrap();
            submit(&movie, 6..7);
            assert_eq!(movie.count(State::Complete).unwrap(), 3);
            drop(movie);
            store.close().unwrap();
            drop(store);
            store = open(dir.path(), &hands);
            continue;
        }
        assert_eq!(movie.count(State::Complete).unwrap(), 3, "nobody is older");
        let policy = Retention::new()
            .max_age(Duration::ZERO)
            .tombstone_age(Duration::ZERO);
        movie.set_retention(Some(policy)).unwrap();
        wait("all are old", || movie.count(State::Complete).unwrap() == 0);
        wait("all are forgotten", || {
            (0..6).all(|n| movie.tombstone(format!("job-{n}")).unwrap().is_none())
        });
    }
}

#[test]
fn damage_in_one_graph_keeps_no_other_from_being_purged_and_is_told() {
    let dir = common::closed_directory();
    let home = dir.path().join("store");
    let store = open(&home, &Hands::new());
    let (movie, other) = (
        store.create_graph("1", "movie").unwrap(),
        store.create_graph("1", "other").unwrap(),
    );
    submit(&movie, 0..200);
    common::pack(&store, &home);
    submit(&other, 0..600);
    common::pack(&store, &home);
    for n in 0..600 {
        let of_both: &[&Graph] = if n < 200 {
            &[&movie, &other]
        } else {
            &[&other]
        };
        for graph in of_both {
            finish(graph, &format!("job-{n}"), Outcome::succeeded());
        }
    }
    // In the block of the first jobs.
    let pack = &files_ending(&home, ".pack")[0];
    let file = std::fs::OpenOptions::new().write(true).open(pack).unwrap();
    for at in 1..20 {
        file.write_all_at(&[0x55; 64], at * 500).unwrap();
    }
    let packed = || -> u64 {
        let packs = files_ending(&home, ".pack");
        packs
            .iter()
            .map(|p| p.metadata().map_or(0, |m| m.len()))
            .sum()
    };
    let before = packed();
    let policy = || Some(Retention::new().max_jobs(5));
    movie.set_retention(policy()).unwrap();
    other.set_retention(policy()).unwrap();
    wait("the other is purged", || {
        other.count(State::Complete).unwrap() == 5
    });
    wait("it is told", || match store.health() {
        Health::Degraded { why, .. } => why.contains("\"movie\" are overdue for purging"),
        _ => false,
    });
    assert_eq!(movie.count(State::Complete).unwrap(), 200);
    wait("room is back", || packed() < before);
    movie.set_retention(None).unwrap();
    wait("it is told no more", || match store.health() {
        Health::Degraded { why, .. } => !why.contains("overdue for purging"),
        _ => true,
    });
}

#[test]
fn a_cursor_goes_on_behind_purged_jobs_and_an_old_page_expires_at_last() {
    let dir = tempfile::tempdir().unwrap();
    let store = small_segments()
        .snapshot_timeout(Duration::from_secs(1))
        .open(dir.path())
        .unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    submit(&movie, 0..400);
    for n in 0..300 {
        finish(&movie, &format!("job-{n}"), Outcome::succeeded());
    }
    common::pack(&store, dir.path());
    let page = movie.list(JobQuery::new().limit(150)).unwrap();
    let text = page.to_json().unwrap();
    let cursor = page.next().unwrap().clone();
    movie.purge(JobQuery::new()).unwrap();
    assert_eq!(page.to_json().unwrap(), text, "it shows its instant");
    let next = movie.list(JobQuery::new().cursor(&cursor)).unwrap();
    let left: Vec<String> = (300..400).map(|n| format!("job-{n}")).collect();
    assert_eq!(common::ids(&next), left);
    wait("the page has expired", || match page.to_json() {
        Ok(same) => {
            assert_eq!(same, text);
            false
        }
        Err(Error::PageExpired) => true,
        Err(other) => panic!("{other}"),
    });
    assert_eq!(ids(&movie), left);
}

#[test]
#[cfg(target_os = "linux")]
fn an_expired_page_keeps_no_replaced_file_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap();
    let options = small_segments().snapshot_timeout(Duration::from_secs(1));
    let store = options.open(&path).unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    submit(&movie, 0..400);
    // Some of its jobs are not packed yet.
    let page = movie.list(JobQuery::new()).unwrap();
    submit(&movie, 400..800);
    common::pack(&store, &path);
    wait("the files are closed", || {
        let open = std::fs::read_dir("/proc/self/fd").unwrap();
        let mut open = open.filter_map(|file| std::fs::read_link(file.unwrap().path()).ok());
        !open.any(|file| {
            let name = file.to_string_lossy();
            file.starts_with(&path) && name.ends_with(" (deleted)")
        })
    });
    assert!(matches!(page.to_json(), Err(Error::PageExpired)));
}

#[test]
fn what_was_listed_before_a_purge_is_read_after_it_with_its_times_and_outcomes() {
    let dir = tempfile::tempdir().unwrap();
    let store = small_segments().open(dir.path().join("store")).unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    submit(&movie, 0..300);
    for n in 0..300 {
        // Some are in the index when they are purged, some are not.
        if n == 200 {
            common::pack(&store, &dir.path().join("store"));
        }
        let outcome = match n % 2 {
            0 => Outcome::failed("c", format!("m{n}")),
            _ => Outcome::succeeded(),
        };
        finish(&movie, &format!("job-{n}"), outcome);
    }
    let facts = |page: &jobstore::Page| -> Vec<_> {
        let jobs = page.jobs().map(|job| job.unwrap());
        jobs.map(|job| {
            (
                job.id().clone(),
                job.started_at(),
                job.completed_at(),
                job.outcome().cloned(),
            )
        })
        .collect()
    };
    let page = movie.list(JobQuery::new()).unwrap();
    let before = facts(&page);
    let lines = |export: &mut jobstore::Export| {
        let mut lines = Vec::new();
        export.write_all(&mut lines).unwrap();
        lines
    };
    let exported = lines(&mut movie.export(JobQuery::new()).unwrap());
    let mut late = movie.export(JobQuery::new()).unwrap();
    common::pack(&store, &dir.path().join("store"));
    let packed = store.stats().unwrap().pack_bytes;
    movie.purge(JobQuery::new()).unwrap();
    assert_eq!(facts(&page), before);
    // Nor when the log no longer contains the jobs.
    wait("the packs are rewritten", || {
        store.stats().unwrap().pack_bytes < packed / 2
    });
    assert_eq!(facts(&page), before);
    assert!(lines(&mut late) == exported);
    assert!(
        movie
            .list(JobQuery::new().outcome(OutcomeKind::Failed))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_store_of_constant_size_stays_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), &Hands::new());
    let movie = store.create_graph("1", "movie").unwrap();
    let policy = Retention::new().max_jobs(500).max_tombstones(500);
    movie.set_retention(Some(policy)).unwrap();
    let (mut sizes, mut n, mut random) = (Vec::new(), 0u64, Random(1));
    for _ in 0..8 {
        for _ in 0..10 {
            let requests: Vec<_> = (0..100)
                .map(|_| {
                    n += 1;
                    request(&format!("c{n}"), &body(&mut random))
                })
                .collect();
            for id in movie.submit_all(requests).unwrap() {
                movie.cancel(&id).unwrap();
            }
        }
        wait("the count is kept", || {
            movie.count(State::Complete).unwrap() <= 500
        });
        let packed = || -> u64 {
            let packs = files_ending(dir.path(), ".pack");
            packs
                .iter()
                .map(|p| p.metadata().map_or(0, |m| m.len()))
                .sum()
        };
        // 500 jobs take about 120 KiB, tombstones 20, and up to half of a file may be purged jobs.
        wait("room is back", || packed() < 500 << 10);
        sizes.push(packed());
    }
    println!("bytes of packs after each generation: {sizes:?}");
}

/// Arbitrary changes in any order, with a clock that jumps: open jobs stay, and the list matches a
/// simple model.
#[test]
fn any_life_with_purges_is_what_a_model_says() {
    for seed in 0..6 {
        life(seed);
    }
}

fn life(seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let hands = Hands::new();
    let mut random = Random(seed);
    let mut store = open(dir.path(), &hands);
    store.create_graph("1", "movie").unwrap();
    // From number to state, in the order of submission.
    let mut model: BTreeMap<u64, State> = BTreeMap::new();
    let (mut submitted, mut purged) = (0u64, Vec::new());
    for step in 0..120 {
        let movie = store.graph("1", "movie").unwrap();
        match random.below(12) {
            0..=3 => {
                let count = 1 + random.below(60);
                submit(&movie, submitted..submitted + count);
                model.extend((submitted..submitted + count).map(|n| (n, State::Pending)));
                submitted += count;
            }
            4..=7 => {
                let open: Vec<u64> = model
                    .iter()
                    .filter(|(_, s)| **s != State::Complete)
                    .map(|(&n, _)| n)
                    .collect();
                for n in open {
                    let id = format!("job-{n}");
                    match (random.below(4), model[&n]) {
                        (0, State::Pending) => {
                            movie.start(&id).unwrap();
                            model.insert(n, State::Running);
                        }
                        (1 | 2, State::Running) => {
                            movie.complete(&id, Outcome::succeeded()).unwrap();
                            model.insert(n, State::Complete);
                        }
                        (3, State::Pending) => {
                            movie.cancel(&id).unwrap();
                            model.insert(n, State::Complete);
                        }
                        _ => {}
                    }
                }
            }
            8 => {
                let complete: Vec<u64> = model
                    .iter()
                    .filter(|(_, s)| **s == State::Complete)
                    .map(|(&n, _)| n)
                    .collect();
                let done = movie.purge(JobQuery::new()).unwrap();
                assert_eq!(done.jobs, complete.len() as u64, "{seed} {step}");
                for n in complete {
                    model.remove(&n);
                    purged.push(n);
                }
            }
            9 => {
                let kept = random.below(40);
                let complete: Vec<u64> = model
                    .iter()
                    .filter(|(_, s)| **s == State::Complete)
                    .map(|(&n, _)| n)
                    .collect();
                let policy = Retention::new().max_jobs(kept).max_age(DAY);
                movie.set_retention(Some(policy)).unwrap();
                let over = (complete.len() as u64).saturating_sub(kept);
                wait("the count is kept", || {
                    movie.count(State::Complete).unwrap() == complete.len() as u64 - over
                });
                movie.set_retention(None).unwrap();
                for n in &complete[..over as usize] {
                    model.remove(n);
                    purged.push(*n);
                }
            }
            10 => hands.step(DAY * random.below(800) as u32),
            _ => {
                drop(movie);
                store.close().unwrap();
                drop(store);
                let lost = random.below(2) == 0;
                if lost {
                    lose_index(dir.path());
                }
                let report = JobStore::verify(dir.path()).unwrap();
                assert!(report.damage.is_empty(), "{seed} {step}: {report}");
                store = small_segments()
                    .clock(hands.clone())
                    .recovery(jobstore::Recovery::Leave)
                    .open(dir.path())
                    .unwrap();
            }
        }
        let movie = store.graph("1", "movie").unwrap();
        let jobs = movie.list(JobQuery::new()).unwrap();
        let found: Vec<(String, State)> = jobs
            .jobs()
            .map(|job| job.map(|job| (job.id().to_string(), job.state())).unwrap())
            .collect();
        let expected: Vec<(String, State)> = model
            .iter()
            .map(|(n, s)| (format!("job-{n}"), *s))
            .collect();
        assert_eq!(found, expected, "{seed} {step}");
        for &n in purged.iter().rev().take(3) {
            let stone = movie.tombstone(format!("job-{n}")).unwrap();
            assert!(stone.is_some(), "{seed} {step} {n}");
        }
    }
}

#[test]
fn a_purge_refuses_what_it_would_ignore() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    submit(&movie, 0..30);
    for n in 0..30 {
        movie.cancel(format!("job-{n}")).unwrap();
    }
    let cursor = movie
        .list(JobQuery::new().limit(5))
        .unwrap()
        .next()
        .unwrap();
    for (what, list) in [
        ("limit", JobQuery::new().limit(10)),
        ("limit", JobQuery::new().limit(100_000)),
        ("limit_bytes", JobQuery::new().limit_bytes(10)),
        ("offset", JobQuery::new().offset(10)),
        ("cursor", JobQuery::new().cursor(&cursor)),
        ("count_total", JobQuery::new().count_total()),
        ("empty", JobQuery::new().url_prefix("")),
        ("empty", JobQuery::new().url_prefix("/").url_prefix("")),
        ("empty", JobQuery::new().command("c").url_contains("")),
        ("empty", JobQuery::new().body_contains("")),
    ] {
        for error in [
            movie.purge(list.clone()).unwrap_err(),
            movie.purge_dry_run(list).unwrap_err(),
        ] {
            assert!(matches!(error, Error::InvalidUse { .. }), "{error:?}");
            assert!(error.to_string().contains(what), "{error}");
        }
        assert_eq!(movie.count(State::Complete).unwrap(), 30);
    }
    for (what, list) in [
        ("limit", JobQuery::new().limit(10)),
        ("limit_bytes", JobQuery::new().limit_bytes(10)),
        ("count_total", JobQuery::new().count_total()),
    ] {
        let error = movie.export(list).unwrap_err();
        assert!(matches!(error, Error::InvalidUse { .. }), "{error:?}");
        assert!(error.to_string().contains(what), "{error}");
    }
    assert_eq!(movie.export(JobQuery::new().offset(10)).unwrap().of(), 20);
    assert_eq!(movie.purge(JobQuery::new()).unwrap().jobs, 30);
}

#[test]
fn who_purges_by_hand_is_told_how_far_it_has_come() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("1", "g").unwrap();
    graph.submit_all(vec![request("c", "{}"); 2500]).unwrap();
    while let Some(run) = graph.claim_next().unwrap() {
        run.complete(Outcome::succeeded()).unwrap();
    }
    let mut told = Vec::new();
    let done = graph.purge_with_progress(JobQuery::new(), |purged| told.push(purged.jobs));
    assert_eq!(done.unwrap().jobs, 2500);
    assert_eq!(told, [1024, 2048, 2500]);
}
