//! Disk space and file descriptors of a store after many generations of jobs. The jobs were purged
//! by retention, purged explicitly, or dropped with their graphs.

use std::path::Path;
use std::time::{Duration, Instant};

use jobstore::{JobQuery, JobStore, Retention, State, Stats};

use crate::common::directory::{disk_bytes, wait_until_packed};
use crate::common::requests::Seeded;
use crate::common::settings::{rounds, sized};
use crate::common::work::PROJECT;
use crate::process::most_descriptors;
use crate::{jobs, opens, row};

/// How long the store may take to free space.
const IDLE: Duration = Duration::from_secs(60);
/// The interval at which the size is read while the store frees space.
const STEP: Duration = Duration::from_secs(5);

pub fn measure() {
    // By default, a policy keeps a million tombstones of each graph.
    for tombstones in [sized(400, 100_000), sized(1_000, 1_000_000)] {
        measure_with(tombstones);
    }
}

fn measure_with(tombstones: u64) {
    let generations = sized(2, rounds(20));
    let generation = sized(2_000, 500_000);
    let kept = sized(400, 100_000);
    let root = tempfile::tempdir().expect("a temporary directory");
    let dir = root.path().join("store");
    let store = JobStore::open(&dir).expect("open");
    let (most, descriptors) = most_descriptors(|| {
        let mut most = 0;
        for n in 0..generations {
            run_generation(&store, n, generation, (kept, tombstones));
            most = most.max(disk_bytes(&dir));
            eprintln!("generation {n}: {} MiB", disk_bytes(&dir) >> 20);
        }
        most
    });
    let title = format!(
        "{generations} generations of {generation} jobs, {kept} kept, at most {tombstones} \
         tombstones per graph"
    );
    row(
        &format!("{title}: descriptors at most"),
        descriptors.to_string(),
        "64",
    );
    row(&format!("{title}: disk at most"), mib(most), "");
    let idle = Instant::now();
    let idle_max = sized(Duration::from_secs(1), IDLE);
    let mut seen = Vec::new();
    while idle.elapsed() < idle_max {
        seen.push((idle.elapsed(), disk_bytes(&dir)));
        std::thread::sleep(STEP.min(idle_max));
    }
    seen.push((idle.elapsed(), disk_bytes(&dir)));
    let bytes = seen.last().map_or(0, |last| last.1);
    let rest = seen.iter().find(|seen| seen.1 == bytes);
    let stats = store.stats().expect("statistics");
    let listed = jobs::list_all(&jobs::graph(&store));
    assert_eq!(listed, kept);
    store.close().expect("close");
    let live = live_bytes(&root.path().join("live"), kept);
    row(
        &format!("{title}: disk after {} s idle", idle_max.as_secs()),
        format!(
            "{} (final value reached after {} s)",
            mib(bytes),
            rest.map_or(0, |rest| rest.0.as_secs())
        ),
        &format!(
            "{} = 2 x {} live + 40 MiB",
            mib(2 * live + (40 << 20)),
            mib(live)
        ),
    );
    row(
        "of which packs, segments, index, preallocated",
        parts(&stats),
        "",
    );
    opens::memory_of_open("that store", &dir);
}

/// Completes jobs in three graphs and removes them in three ways: by a policy, by an explicit
/// purge, and by dropping their graph. The policy keeps `kept` jobs.
fn run_generation(store: &JobStore, n: u64, jobs: u64, (kept, tombstones): (u64, u64)) {
    let random = &mut Seeded(n);
    let policy = Retention::new().max_tombstones(tombstones);
    let movie = jobs::graph(store);
    movie
        .set_retention(Some(policy.clone().max_jobs(kept)))
        .expect("a policy");
    jobs::complete(&movie, random, jobs / 2);
    let by_hand = store
        .get_or_create_graph(PROJECT, "by hand")
        .expect("a graph");
    by_hand.set_retention(Some(policy)).expect("a policy");
    jobs::complete(&by_hand, random, jobs / 4);
    by_hand.purge(JobQuery::new()).expect("purge");
    let name = format!("dropped-{n}");
    let dropped = store.create_graph(PROJECT, &name).expect("a graph");
    jobs::complete(&dropped, random, jobs / 4);
    store.drop_graph(PROJECT, &name).expect("drop");
    while movie.count(State::Complete).expect("a count") > kept {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Returns the size of the packs of a store that never contained more than this number of such
/// jobs.
fn live_bytes(dir: &Path, jobs: u64) -> u64 {
    // The segments are small, so that nearly all of them are packed.
    let store = JobStore::options().segment_bytes(64 << 10).open(dir);
    let store = store.expect("open");
    jobs::complete(&jobs::graph(&store), &mut Seeded(0), jobs);
    wait_until_packed(dir);
    let bytes = store.stats().expect("statistics").pack_bytes;
    store.close().expect("close");
    bytes
}

fn parts(stats: &Stats) -> String {
    let all = [
        stats.pack_bytes,
        stats.segment_bytes,
        stats.index_bytes,
        stats.preallocated_bytes,
    ];
    all.map(mib).join(", ")
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
