//! Guarantee: the statistics are correct: counts match those of lists, each commit and each wait is
//! counted once, and reading them blocks nobody.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use common::{request, small_segments};
use jobstore::{Health, Histogram, JobQuery, Outcome, State};

#[test]
fn counts_are_those_of_lists_and_commits_are_counted_once() {
    let dir = common::closed_directory();
    let store = small_segments().open(dir.path()).unwrap();
    let before = store.stats().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    store.create_graph("2", "roads").unwrap();
    let begun = SystemTime::now() - Duration::from_secs(1);
    for n in 0..30 {
        movie.submit(request("c", &format!("[{n}]"))).unwrap();
    }
    for n in 0..10 {
        let run = movie.claim_next().unwrap().unwrap();
        match n % 2 {
            0 => run.detach(),
            _ => {
                run.complete(Outcome::succeeded()).unwrap();
            }
        }
    }
    let stats = store.stats().unwrap();
    let [one, two] = &stats.graphs[..] else {
        panic!("{stats:?}");
    };
    assert_eq!((&*one.project_id, &*one.name), ("1", "movie"));
    for (state, count) in [
        (State::Pending, one.pending),
        (State::Running, one.running),
        (State::Complete, one.complete),
    ] {
        assert_eq!(
            movie
                .list(JobQuery::new().state(state))
                .unwrap()
                .total()
                .unwrap(),
            count
        );
    }
    assert_eq!((one.pending, one.running, one.complete), (20, 5, 5));
    assert!(one.oldest_pending_at > Some(begun) && one.longest_running_at > Some(begun));
    assert_eq!(
        (two.oldest_pending_at, two.longest_running_at),
        (None, None)
    );
    // 2 graphs, 30 jobs, 10 starts, 5 completions: no commit was shared.
    assert_eq!(stats.frames - before.frames, 47);
    // One more event assigned a number to the command.
    assert_eq!(stats.events - before.events, 48);
    assert!(stats.frame_bytes - before.frame_bytes > 47 * 32);
    assert_eq!(stats.commit_waits.count() - before.commit_waits.count(), 47);
    assert!(stats.syncs.count() - before.syncs.count() >= 47);
    assert!(stats.commit_waits.sum() >= stats.syncs.sum() / 2);
    assert_eq!(
        (stats.queued, stats.queued_bytes, stats.writes_refused),
        (0, 0, 0)
    );
    assert_eq!((stats.opens, &stats.health), (1, &Health::Ok));
    assert!(stats.segment_bytes > 0);
    assert_eq!(
        stats.index_bytes,
        common::bytes_in(&dir.path().join("index"))
    );
    assert!(stats.preallocated_bytes > 0);
    assert_eq!((stats.purged, stats.last_purge_at), (0, None));

    movie.purge(JobQuery::new()).unwrap();
    common::pack(&store, dir.path());
    let stats = store.stats().unwrap();
    assert_eq!((stats.purged, stats.graphs[0].complete), (5, 0));
    assert!(stats.last_purge_at > Some(begun));
    // The packer closes replaced files a moment later.
    let deadline = Instant::now() + Duration::from_secs(20);
    while store.stats().unwrap().oldest_pin.is_some() {
        assert!(Instant::now() < deadline, "a replaced file is still open");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(stats.packs > 0 && stats.pack_bytes > 0);
    store.close().unwrap();
    assert!(store.stats().is_err());
}

#[test]
fn bounds_ascend_and_there_is_a_bucket_above_them() {
    assert!(Histogram::bounds().is_sorted());
    let store = jobstore::JobStore::in_memory().unwrap();
    let stats = store.stats().unwrap();
    assert_eq!(stats.syncs.counts().len(), Histogram::bounds().len() + 1);
}

#[test]
fn who_asks_all_the_time_stops_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let store = small_segments().open(dir.path()).unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let stats = store.stats().unwrap();
                let graph = &stats.graphs[0];
                assert!(graph.pending + graph.running + graph.complete <= 500);
            }
        });
        for n in 0..500 {
            let id = movie.submit(request("c", &format!("[{n}]"))).unwrap();
            movie
                .claim(&id)
                .unwrap()
                .complete(Outcome::succeeded())
                .unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(store.stats().unwrap().graphs[0].complete, 500);
}
