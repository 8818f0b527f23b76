//! Many readers and writers work on one store for some time. Every page is checked to show one
//! instant.
//!
//! Runs the threads for the given time, and prints the report. It uses only the public API. It
//! exits with status 0 only if every check succeeded and every kind of work was done at least once.
//!
//! `cargo run --release -p jobstore-trials --bin stress -- --seconds 20`

#![forbid(unsafe_code)]

mod readers;
mod tally;
mod writers;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jobstore::{Health, JobQuery, JobStore, Options};

use tally::{Graphs, Random, Tally};

/// How often the directory is checked for new and removed packs.
const LOOK: Duration = Duration::from_millis(20);
const PAIR_WRITERS: u64 = 4;
const BRINGERS: u64 = 3;
const WORKERS: u64 = 3;
const READERS: u64 = 4;

fn options() -> Options {
    // A few writes fill a segment, so packs are created and merged all the time.
    JobStore::options().segment_bytes(64 << 10)
}

fn main() {
    let seconds = match parse(std::env::args().skip(1)) {
        Ok(seconds) => seconds,
        Err(usage) => {
            eprintln!("{usage}");
            std::process::exit(2);
        }
    };
    let root = tempfile::tempdir().expect("a temporary directory");
    // The store creates this directory, without access for others.
    let dir = root.path().join("store");
    let tally = Tally::default();
    let before = run(&dir, seconds, &tally);
    // Everything must be there again after the close.
    let store = options().open(&dir).expect("a reopen");
    assert!(before == everything(&store), "another list after the close");
    store.close().expect("it closes");
    tally.print();
    tally.assert_all_was_done();
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<u64, &'static str> {
    const USAGE: &str = "usage: stress [--seconds N]";
    match arguments.next().as_deref() {
        None => Ok(20),
        Some("--seconds") => {
            let seconds = arguments.next().and_then(|text| text.parse().ok());
            seconds.filter(|_| arguments.next().is_none()).ok_or(USAGE)
        }
        Some(_) => Err(USAGE),
    }
}

/// Stops all threads when dropped, even after a panic.
struct Stop<'t>(&'t Tally);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::SeqCst);
    }
}

/// Runs the threads on a new store. Returns the whole list as it was at the close.
fn run(dir: &Path, seconds: u64, tally: &Tally) -> Vec<String> {
    let store = options().open(dir).expect("it opens");
    let graph = |name| store.create_graph("p", name).expect("it is created");
    let graphs = Graphs {
        pairs: graph("pairs"),
        brought: graph("brought"),
        work: graph("work"),
    };
    let until = Instant::now() + Duration::from_secs(seconds);
    std::thread::scope(|scope| {
        let (store, graphs) = (&store, &graphs);
        let start = |seed: u64, work: fn(&JobStore, &Graphs, &Tally, Random, u64), n: u64| {
            scope.spawn(move || {
                let _stop = Stop(tally);
                work(store, graphs, tally, Random(seed), n);
            });
        };
        for n in 0..PAIR_WRITERS {
            start(n, writers::pairs, n);
        }
        for n in 0..BRINGERS {
            start(100 + n, writers::bring, n);
        }
        for n in 0..WORKERS {
            start(200 + n, writers::work, n);
        }
        start(300, writers::give_work, 0);
        start(301, writers::drop_and_create, 0);
        for n in 0..READERS {
            start(400 + n, readers::pages, n);
        }
        start(500, readers::walks, 0);
        let mut known = BTreeSet::new();
        while Instant::now() < until && !tally.stop.load(Ordering::SeqCst) {
            watch_packs(dir, &mut known, tally);
            std::thread::sleep(LOOK);
        }
        drop(Stop(tally));
    });
    assert_eq!(store.health(), Health::Ok);
    let before = everything(&store);
    store.close().expect("it closes");
    before
}

/// Returns the list of every graph as JSON, in pages.
fn everything(store: &JobStore) -> Vec<String> {
    let mut documents = Vec::new();
    for graph in store.graphs().expect("the graphs") {
        let mut offset = 0;
        loop {
            let page = graph.list(JobQuery::new().offset(offset)).expect("a page");
            documents.push(String::from_utf8(page.to_json().expect("JSON")).expect("UTF-8"));
            offset += page.len() as u64;
            if page.next().is_none() {
                break;
            }
        }
    }
    documents
}

/// Counts new and removed packs. A pack is identified by its name. A removed pack was merged into
/// another.
fn watch_packs(dir: &Path, known: &mut BTreeSet<String>, tally: &Tally) {
    let entries = fs::read_dir(dir).expect("the directory");
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let now: BTreeSet<String> = names.filter(|name| name.ends_with(".pack")).collect();
    let new = now.difference(known).count() as u64;
    let gone = known.difference(&now).count() as u64;
    tally.packs.fetch_add(new, Ordering::Relaxed);
    tally.merged.fetch_add(gone, Ordering::Relaxed);
    *known = now;
}
