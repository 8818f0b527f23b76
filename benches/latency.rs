//! The latency of a single commit, with eight callers that submit all the time: without other work,
//! while a reader reads full pages, and while packs are written.
//!
//! `cargo bench --bench latency`; `JOBSTORE_BENCH_ROUNDS` for more rounds. The three cases are
//! measured alternately; the tail of one run means little, so each figure is the median of several
//! runs, with the minimum and the maximum.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::directory::wait_until_packed;
use common::quiet::{self, Quiet};
use common::settings::{self, sized};
use common::stores::fill;
use common::table;
use common::turns::{ratios, spread, turned};
use common::work::{PROJECT, Work, requests};
use jobstore::{Graph, JobQuery, JobStore, Request};

const CALLERS: usize = 8;
const PAGE_JOBS: u64 = 100_000;
/// Under load, many segments of this size are sealed and packed per second.
const SMALL_SEGMENT_BYTES: u64 = 256 << 10;

/// The latencies of one run.
struct Latencies {
    calls_per_second: f64,
    p50_us: f64,
    p99_us: f64,
    max_us: f64,
}

fn main() {
    let rounds = settings::rounds(9);
    let time = sized(Duration::from_millis(50), Duration::from_secs(2));
    let jobs = sized(5_000, PAGE_JOBS);
    let requests = requests(3, 10_000);

    let quiet = Quiet::new();
    fill(&quiet.graph, jobs, |_| false);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = JobStore::options().segment_bytes(SMALL_SEGMENT_BYTES);
    let packing = options.open(dir.path()).expect("open");
    let packed = packing.create_graph(PROJECT, "movie").expect("create");
    fill(&packed, jobs, |_| false);

    let alone = || quietly(&quiet, || submit(&quiet.graph, &requests, time));
    let beside_reader = || {
        quietly(&quiet, || {
            let done = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| read_pages(&quiet.graph, jobs, &done));
                let latencies = submit(&quiet.graph, &requests, time);
                done.store(true, Ordering::Relaxed);
                latencies
            })
        })
    };
    let while_packing = || {
        wait_until_packed(dir.path());
        submit(&packed, &requests, time)
    };
    let settings: [(&str, &dyn Fn() -> Latencies); 3] = [
        ("alone", &alone),
        ("with a reader of full pages", &beside_reader),
        ("while packs are written", &while_packing),
    ];
    let mut found: [Vec<Latencies>; 3] = Default::default();
    for round in 0..rounds {
        for n in turned(round, settings.len()) {
            found[n].push(settings[n].1());
        }
    }

    println!(
        "{CALLERS} callers submit for {time:?}, {rounds} alternating rounds: median (min..max); \
         ratios to the same round alone"
    );
    table::head(&[
        "", "calls/s", "p50, us", "ratio", "p99, us", "ratio", "max, us", "ratio",
    ]);
    for ((name, _), runs) in settings.iter().zip(&found) {
        let rates = spread(runs.iter().map(|run| run.calls_per_second));
        let mut cells = vec![(*name).to_owned(), format!("{rates:.0}")];
        let figures: [fn(&Latencies) -> f64; 3] = [|l| l.p50_us, |l| l.p99_us, |l| l.max_us];
        for figure in figures {
            let of = |runs: &[Latencies]| runs.iter().map(figure).collect::<Vec<f64>>();
            let ratios = ratios(&of(runs), &of(&found[0]));
            cells.push(format!("{:.0}", spread(of(runs))));
            cells.push(ratios.to_string());
        }
        table::row(&cells);
    }
    quiet.store.close().expect("close");
    packing.close().expect("close");
}

/// Makes a measurement during which nothing must be packed. Reports if something was packed.
fn quietly(quiet: &Quiet, measure: impl FnOnce() -> Latencies) -> Latencies {
    quiet.make_room(quiet::segment_bytes() / 2);
    let before = quiet.mark();
    let latencies = measure();
    if quiet.mark().segment != before.segment {
        eprintln!("a segment filled up during a run: a pack was written");
    }
    latencies
}

fn submit(graph: &Graph, requests: &[Request], time: Duration) -> Latencies {
    let start = Instant::now();
    let call = |caller| {
        let mut took = Vec::new();
        let mut own = requests.iter().skip(caller).step_by(CALLERS).cycle();
        while took.is_empty() || start.elapsed() < time {
            let request = own.next().expect("more requests than callers").clone();
            let called = Instant::now();
            Work::Submit.carry_out(graph, request);
            took.push(called.elapsed());
        }
        took
    };
    let mut took: Vec<Duration> = std::thread::scope(|scope| {
        let threads = (0..CALLERS).map(|caller| scope.spawn(move || call(caller)));
        let threads: Vec<_> = threads.collect();
        let ended = threads.into_iter().map(|t| t.join().expect("a caller"));
        ended.flatten().collect()
    });
    let seconds = start.elapsed().as_secs_f64();
    took.sort_unstable();
    let us = |n: usize| took[n].as_secs_f64() * 1e6;
    Latencies {
        calls_per_second: took.len() as f64 / seconds,
        p50_us: us(took.len() / 2),
        p99_us: us(took.len() * 99 / 100),
        max_us: us(took.len() - 1),
    }
}

/// Reads the first page repeatedly.
fn read_pages(graph: &Graph, jobs: u64, done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        let page = graph.list(JobQuery::new().limit(jobs)).expect("a page");
        page.write_json(std::io::sink()).expect("JSON");
    }
}
