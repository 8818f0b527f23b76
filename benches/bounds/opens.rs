//! How the time of an open, and the memory of a process that has a store open, depend on the number
//! of open jobs and on the number of jobs purged before.

use std::path::Path;
use std::time::Duration;

use jobstore::{JobQuery, JobStore};

use crate::common::child;
use crate::common::directory::{copy, wait_until_packed};
use crate::common::memory::memory;
use crate::common::requests::Seeded;
use crate::common::settings::{rounds, sized};
use crate::common::took::{Took, took};
use crate::common::turns::{Spread, spread};
use crate::process::{descriptors, resident_mib};
use crate::{jobs, row};

/// The number of jobs purged per step of filling.
const STEP: u64 = 500_000;

pub fn measure() {
    let purged = sized(5_000, 5_000_000);
    let open = sized(vec![0, 1_000], vec![0, 10_000, 100_000, 1_000_000]);
    let root = tempfile::tempdir().expect("a temporary directory");
    let base = root.path().join("base");
    purge_all(&base, purged);
    for open in open {
        let dir = root.path().join(open.to_string());
        copy(&base, &dir);
        let store = JobStore::open(&dir).expect("open");
        jobs::submit(&jobs::graph(&store), &mut Seeded(open), open);
        let title = format!("{purged} purged, {open} pending");
        let closed = closed_opens(store, &dir);
        report(&format!("{title}: open after a close"), &closed, open);
        memory_of_open(&title, &dir);
        let killed: Vec<Took> = (0..rounds(5)).map(|_| open_killed(&dir)).collect();
        report(&format!("{title}: open after a kill"), &killed, open);
        std::fs::remove_dir_all(&dir).expect("remove");
    }
}

/// Creates a store whose jobs were all purged.
fn purge_all(dir: &Path, jobs: u64) {
    let store = JobStore::open(dir).expect("open");
    let graph = jobs::graph(&store);
    let random = &mut Seeded(5);
    for first in (0..jobs).step_by(STEP as usize) {
        jobs::complete(&graph, random, STEP.min(jobs - first));
        graph.purge(JobQuery::new()).expect("purge");
    }
    wait_until_packed(dir);
    // Wait, because the index is also rewritten while the store is idle.
    std::thread::sleep(sized(Duration::ZERO, Duration::from_secs(10)));
    store.close().expect("close");
}

/// Closes the store once it is idle. Then opens and closes it repeatedly.
fn closed_opens(store: JobStore, dir: &Path) -> Vec<Took> {
    let close = |store: JobStore| {
        wait_until_packed(dir);
        store.close().expect("close");
    };
    close(store);
    let once = |_| {
        let (store, took) = took(|| JobStore::open(dir).expect("open"));
        close(store);
        took
    };
    (0..rounds(5)).map(once).collect()
}

fn open_killed(dir: &Path) -> Took {
    child::kill_when_ready(&["work", dir.to_str().expect("a path")]);
    let (store, took) = took(|| JobStore::open(dir).expect("open"));
    store.close().expect("close");
    took
}

fn report(what: &str, all: &[Took], open: u64) {
    let ms =
        |of: fn(&Took) -> Duration| spread(all.iter().map(|took| of(took).as_secs_f64() * 1e3));
    let (wall, cpu): (Spread, Spread) = (ms(|took| took.wall), ms(|took| took.cpu));
    let bound = format!("{} ms", 50 + open / 10_000);
    row(what, format!("{wall:.1} ms, processor {cpu:.1} ms"), &bound);
}

/// Prints the memory and descriptors of a process that opens a store and lists all of it.
pub fn memory_of_open(what: &str, dir: &Path) {
    let line = child::output(&["open and list", dir.to_str().expect("a path")]);
    let numbers: Vec<&str> = line.split_whitespace().collect();
    let bound = "128 MiB and what is documented of open jobs and graphs";
    let figure = format!(
        "{} MiB, then {} MiB (at most {})",
        numbers[0], numbers[1], numbers[2]
    );
    row(
        &format!("{what}: memory after an open, after a full list"),
        figure,
        bound,
    );
    row(
        &format!("{what}: descriptors after them"),
        numbers[3].to_owned(),
        "64",
    );
}

/// Runs in a child process: opens a store and lists all of it.
pub fn open_and_list(dir: &Path) {
    let store = JobStore::open(dir).expect("open");
    let opened = resident_mib();
    for graph in store.graphs().expect("graphs") {
        jobs::list_all(&graph);
    }
    let most = memory().most_kib as f64 / 1024.0;
    println!(
        "{opened:.0} {:.0} {most:.0} {}",
        resident_mib(),
        descriptors()
    );
    store.close().expect("close");
}
