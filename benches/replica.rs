//! The cost of a replica: acknowledgements compared with the local sync and with the engine alone,
//! full pages compared with a store without a replica, and how long a takeover takes.
//!
//! `cargo bench --bench replica`. The engines are in memory, and each `create` takes as long as the
//! one measured on a real engine. With the features `replica-s3` and `replica-etcd`,
//! `JOBSTORE_BENCH_REPLICAS` names real ones: URLs, separated by spaces.

mod common;

use std::io::{Read, Write};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::directory::wait_until_packed;
use common::settings::{self, sized};
use common::stores::fill;
use common::table;
use common::turns::{Measured, in_turns, ratios, spread, timed};
use common::work::{PROJECT, Work, requests};
use jobstore::replica::{Created, MemoryReplica, Replica, ReplicaError};
use jobstore::{Graph, JobQuery, JobStore, Request};

const MANY_CALLERS: usize = 64;
const CHUNK_BYTES: usize = 500;

/// An engine whose `create` takes a fixed time.
struct Slow {
    contents: MemoryReplica,
    time: Duration,
}

impl Replica for Slow {
    fn create(&self, number: u64, chunk: &[u8]) -> Result<Created, ReplicaError> {
        if !self.time.is_zero() {
            std::thread::sleep(self.time);
        }
        self.contents.create(number, chunk)
    }

    fn read(&self, number: u64, wait: Duration) -> Result<Option<Vec<u8>>, ReplicaError> {
        self.contents.read(number, wait)
    }

    fn numbers(&self, from: u64) -> Result<Vec<u64>, ReplicaError> {
        self.contents.numbers(from)
    }

    fn trim(&self, below: u64, keep: &[u64]) -> Result<(), ReplicaError> {
        self.contents.trim(below, keep)
    }

    fn put(&self, name: &str, len: u64, from: &mut dyn Read) -> Result<(), ReplicaError> {
        self.contents.put(name, len, from)
    }

    fn get(&self, name: &str, range: Range<u64>, to: &mut dyn Write) -> Result<(), ReplicaError> {
        self.contents.get(name, range, to)
    }

    fn names(&self, prefix: &str) -> Result<Vec<(String, u64)>, ReplicaError> {
        self.contents.names(prefix)
    }

    fn remove(&self, names: &[String]) -> Result<(), ReplicaError> {
        self.contents.remove(names)
    }

    fn scratch(&self) -> Result<Box<dyn Replica>, ReplicaError> {
        self.contents.scratch()
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }
}

/// An engine, and a name for it.
type Engine = (String, Box<dyn Fn() -> Arc<dyn Replica>>);

fn engines() -> Vec<Engine> {
    let mut engines: Vec<Engine> = Vec::new();
    for (name, micros) in [
        ("0", 0),
        ("1.4 ms", 1_400),
        ("2.8 ms", 2_800),
        ("20 ms", 20_000),
    ] {
        let create = move || -> Arc<dyn Replica> {
            Arc::new(Slow {
                contents: MemoryReplica::default(),
                time: Duration::from_micros(micros),
            })
        };
        engines.push((format!("memory, {name}"), Box::new(create)));
    }
    #[cfg(any(feature = "replica-s3", feature = "replica-etcd"))]
    for url in std::env::var("JOBSTORE_BENCH_REPLICAS")
        .unwrap_or_default()
        .split_whitespace()
    {
        let (url, count) = (url.to_owned(), std::sync::atomic::AtomicU64::new(0));
        let name = url.split("//").next().unwrap_or_default().to_owned();
        let process = std::process::id();
        let create = move || {
            let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            jobstore::replica::connect(&format!("{url}/{process}-{n}")).expect("an engine")
        };
        engines.push((name, Box::new(create)));
    }
    engines
}

fn open(dir: &std::path::Path, replica: Option<Arc<dyn Replica>>) -> (JobStore, Graph) {
    let options = JobStore::options();
    let options = match replica {
        Some(replica) => options.replica(replica),
        None => options,
    };
    let store = options.open(dir).expect("open");
    let graph = store
        .get_or_create_graph(PROJECT, "movie")
        .expect("a graph");
    (store, graph)
}

/// The median time of a call, in milliseconds.
fn median_ms(calls: usize, mut call: impl FnMut()) -> f64 {
    let times = (0..calls).map(|_| timed(&mut call).as_secs_f64() * 1e3);
    spread(times).median
}

/// Requests per second of many callers.
fn rate(graph: &Graph, requests: &[Request], time: Duration) -> f64 {
    let start = Instant::now();
    let submitted: usize = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..MANY_CALLERS)
            .map(|caller| {
                scope.spawn(move || {
                    let mut own = requests.iter().skip(caller).step_by(MANY_CALLERS).cycle();
                    let mut count = 0;
                    while count == 0 || start.elapsed() < time {
                        let request = own.next().expect("enough requests").clone();
                        Work::Submit.carry_out(graph, request);
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        callers
            .into_iter()
            .map(|caller| caller.join().expect("a caller"))
            .sum()
    });
    submitted as f64 / start.elapsed().as_secs_f64()
}

fn acknowledgements() {
    let rounds = settings::rounds(5);
    let calls = sized(3, 200);
    let time = sized(Duration::from_millis(20), Duration::from_secs(2));
    let requests = requests(3, 10_000);
    println!("acknowledgements, {rounds} rounds: median (min..max)\n");
    table::head(&[
        "engine",
        "store alone, p50, ms",
        "engine alone, p50, ms",
        "with the replica, p50, ms",
        "of the slower one",
        "64 callers, requests/s",
        "of 64 / engine's latency",
    ]);
    for (name, create) in engines() {
        let dirs = tempfile::tempdir().expect("a temporary directory");
        let (plain_store, plain) = open(&dirs.path().join("plain"), None);
        let (store, graph) = open(&dirs.path().join("replicated"), Some(create()));
        let engine = create();
        let (mut alone, mut engine_alone, mut both, mut many) = (vec![], vec![], vec![], vec![]);
        let mut number = 0;
        let chunk = [7; CHUNK_BYTES];
        let mut own = requests.iter().cycle();
        let mut next = || own.next().expect("requests").clone();
        for round in 0..rounds {
            let mut steps = vec![0, 1, 2, 3];
            if round % 2 == 1 {
                steps.reverse();
            }
            for step in steps {
                match step {
                    0 => alone.push(median_ms(calls, || Work::Submit.carry_out(&plain, next()))),
                    1 => engine_alone.push(median_ms(calls, || {
                        number += 1;
                        engine.create(number, &chunk).expect("created");
                    })),
                    2 => both.push(median_ms(calls, || Work::Submit.carry_out(&graph, next()))),
                    _ => many.push(rate(&graph, &requests, time)),
                }
            }
        }
        let slower: Vec<f64> = alone
            .iter()
            .zip(&engine_alone)
            .map(|(a, b)| a.max(*b))
            .collect();
        let ideal: Vec<f64> = slower
            .iter()
            .map(|ms| MANY_CALLERS as f64 / ms * 1e3)
            .collect();
        table::row(&[
            name,
            format!("{:.3}", spread(alone)),
            format!("{:.3}", spread(engine_alone.clone())),
            format!("{:.3}", spread(both.clone())),
            format!("{:.2}", ratios(&both, &slower)),
            format!("{:.0}", spread(many.clone())),
            format!("{:.2}", ratios(&many, &ideal)),
        ]);
        store.close().expect("close");
        plain_store.close().expect("close");
    }
}

/// Full pages with and without a replica, and takeovers by an empty directory.
fn pages_and_takeovers() {
    let rounds = settings::rounds(5);
    let jobs = settings::jobs();
    let dirs = tempfile::tempdir().expect("a temporary directory");
    let replica = Arc::new(MemoryReplica::default());
    let (plain_store, plain) = open(&dirs.path().join("plain"), None);
    let (store, graph) = open(&dirs.path().join("replicated"), Some(replica.clone()));
    for (dir, graph) in [("plain", &plain), ("replicated", &graph)] {
        fill(graph, jobs, |_| false);
        wait_until_packed(&dirs.path().join(dir));
    }
    let page = |graph: &Graph| {
        let page = graph.list(JobQuery::new().limit(100_000)).expect("a page");
        page.write_json(std::io::sink()).expect("written");
    };
    let mut things: Vec<Measured<'_>> = vec![
        Box::new(|| timed(|| page(&plain))),
        Box::new(|| timed(|| page(&graph))),
    ];
    let times = in_turns(rounds, &mut things);
    drop(things);
    println!(
        "\na full page, with a replica / without: {}",
        ratios(&times[1], &times[0])
    );
    store.close().expect("close");
    plain_store.close().expect("close");
    let mut took = Vec::new();
    for round in 0..rounds {
        let dir = dirs.path().join(format!("elsewhere-{round}"));
        let begun = Instant::now();
        let (store, graph) = open(&dir, Some(replica.clone()));
        graph.list(JobQuery::new().limit(1)).expect("a page");
        took.push(begun.elapsed().as_secs_f64());
        store.close().expect("close");
        std::fs::remove_dir_all(&dir).expect("removed");
    }
    println!(
        "takeover of {jobs} jobs by an empty directory, s: {}",
        spread(took)
    );
}

fn main() {
    acknowledgements();
    pages_and_takeovers();
}
