//! The costs of a store other than those of its calls: opening it after a close, after a kill, and
//! without its index; packing; memory; and disk space.
//!
//! `cargo bench --bench opens`; `JOBSTORE_BENCH_JOBS=10000000` for more jobs. Memory is measured in
//! processes that do nothing else.

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::callers::Callers;
use common::child;
use common::directory::{copy, disk_bytes, segments, wait_until_packed};
use common::memory::memory;
use common::settings::{self, sized};
use common::stores::{Filled, Shape, end_all, graph};
use common::table;
use common::turns::{Spread, spread, timed};
use common::work::{PROJECT, Work, requests};
use criterion::{Criterion, SamplingMode, Throughput};
use jobstore::{JobQuery, JobStore};

const CALLERS: u64 = 64;
const BATCH: u64 = 10_000;
/// The maximum number of open jobs whose memory is measured.
const OPEN_JOBS_MAX: u64 = 1_000_000;

fn main() {
    if let Some(role) = child::role() {
        let dir = Path::new(&role[1]);
        return match role[0].as_str() {
            "work" => work(dir),
            "rebuild" => rebuild(dir),
            "read pages" => read_pages(dir),
            _ => open_only(dir),
        };
    }
    let jobs = settings::jobs();
    let root = tempfile::tempdir().expect("a temporary directory");
    let dir = root.path().join("store");
    copy(&Filled::new(Shape::Finished, jobs).dir, &dir);
    let on_disk = disk_bytes(&dir) as f64 / jobs as f64;
    let pages = ask("read pages", &dir);

    let criterion = &mut settings::criterion();
    opens(criterion, jobs, &dir);
    criterion.final_summary();

    let rounds = settings::rounds(3);
    let rebuilds: Vec<[f64; 2]> = (0..rounds).map(|_| without_index(&dir)).collect();
    let packing = spread((0..rounds).map(|_| packing(jobs)));
    let open_job = bytes_per_open_job(jobs.min(OPEN_JOBS_MAX));
    println!("\n{jobs} complete jobs; {rounds} rounds: median (min..max)");
    table::head(&["what", "figure"]);
    let one = |figure| spread([figure]);
    let of = |n: usize| spread(rebuilds.iter().map(|figures| figures[n]));
    say("open with the index lost, s", of(0));
    say("peak memory during the rebuild, MiB", of(1));
    say("log packed per second, MB", packing);
    say(
        "memory after an open and two full pages, MiB",
        one(pages[0]),
    );
    say("peak memory until then, MiB", one(pages[1]));
    say("disk space per job, bytes", one(on_disk));
    say("memory per open job, bytes", one(open_job));
}

fn say(what: &str, figure: Spread) {
    let figure = match figure.least == figure.most {
        true => format!("{:.2}", figure.median),
        false => format!("{figure}"),
    };
    table::row(&[what.to_owned(), figure]);
}

/// Returns the two numbers that a child in this role prints.
fn ask(role: &str, dir: &Path) -> [f64; 2] {
    let printed = child::output(&[role, dir.to_str().expect("a path")]);
    let number = |text: &str| text.parse().expect("a number");
    let numbers: Vec<f64> = printed.split_whitespace().map(number).collect();
    numbers.try_into().expect("two numbers")
}

/// Returns the duration of an open. Closes the store again once it is idle.
fn open_time(dir: &Path) -> Duration {
    let start = Instant::now();
    let store = JobStore::open(dir).expect("open");
    let took = start.elapsed();
    wait_until_packed(dir);
    store.close().expect("close");
    took
}

fn opens(criterion: &mut Criterion, jobs: u64, dir: &Path) {
    let mut group = criterion.benchmark_group(format!("open, of {jobs}"));
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Elements(jobs));
    group.bench_function("after a close", |b| {
        b.iter_custom(|times| (0..times).map(|_| open_time(dir)).sum());
    });
    let killed = || {
        child::kill_when_ready(&["work", dir.to_str().expect("a path")]);
        open_time(dir)
    };
    group.bench_function("after a kill", |b| {
        b.iter_custom(|times| (0..times).map(|_| killed()).sum());
    });
}

/// Runs in a child process: takes some jobs through their life cycles, and continues until it is
/// killed.
fn work(dir: &Path) {
    let store = JobStore::open(dir).expect("open");
    let (graph, requests) = (graph(&store), requests(9, BATCH as usize));
    let callers = Callers::new(CALLERS, move |n| {
        let request = &requests[n as usize % requests.len()];
        Work::LifeCycle.carry_out(&graph, request.clone());
    });
    callers.run(sized(1, 100));
    child::until_killed(move || {
        callers.run(1);
    })
}

/// Returns the seconds and MiB that an open takes to rebuild the index.
fn without_index(dir: &Path) -> [f64; 2] {
    std::fs::remove_dir_all(dir.join("index")).expect("remove");
    ask("rebuild", dir)
}

/// Runs in a child process: opens a store that has no index, and reports its progress.
fn rebuild(dir: &Path) {
    let tenths = AtomicU64::new(0);
    let options = JobStore::options().on_replay(move |replayed| {
        let tenth = replayed.events * 10 / replayed.of.max(1);
        if tenths.swap(tenth, Ordering::Relaxed) != tenth {
            eprintln!("{} of {} events", replayed.events, replayed.of);
        }
    });
    let mut opened = None;
    let took = timed(|| opened = Some(options.open(dir).expect("open")));
    println!("{} {}", took.as_secs_f64(), mib(memory().most_kib));
    wait_until_packed(dir);
    opened.expect("a store").close().expect("close");
}

/// Runs in a child process: prints the current and the peak memory after an open and two full
/// pages.
fn read_pages(dir: &Path) {
    let store = JobStore::open(dir).expect("open");
    let jobs = settings::jobs();
    let page_jobs = jobs.min(100_000);
    for offset in [0, jobs - page_jobs] {
        let list = JobQuery::new().offset(offset).limit(page_jobs);
        let page = graph(&store).list(list).expect("a page");
        page.write_json(std::io::sink()).expect("JSON");
    }
    print_memory();
    store.close().expect("close");
}

/// Runs in a child process: prints the current and the peak memory after an open.
fn open_only(dir: &Path) {
    let store = JobStore::open(dir).expect("open");
    print_memory();
    store.close().expect("close");
}

fn print_memory() {
    let memory = memory();
    println!("{} {}", mib(memory.now_kib), mib(memory.most_kib));
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// Returns the megabytes of sealed segments that are packed per second, once submitting has
/// stopped. The whole segment that is being packed at that time is included.
fn packing(jobs: u64) -> f64 {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = JobStore::open(dir.path()).expect("open");
    let graph = store.create_graph(PROJECT, "movie").expect("create");
    let requests = requests(8, BATCH.min(jobs) as usize);
    for _ in 0..(jobs.min(OPEN_JOBS_MAX) / BATCH).max(1) {
        graph.submit_all(requests.clone()).expect("submit_all");
    }
    let start = Instant::now();
    let mut sealed = segments(dir.path());
    sealed.pop();
    // A segment that has already been packed is gone.
    let bytes = sealed.iter().map(|s| s.metadata().map_or(0, |m| m.len()));
    let bytes: u64 = bytes.sum();
    let took = wait_until_packed(dir.path()) - start;
    store.close().expect("close");
    bytes as f64 / 1e6 / took.as_secs_f64()
}

/// Returns the additional memory of an open store if all jobs are pending instead of complete.
fn bytes_per_open_job(jobs: u64) -> f64 {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let dir = dir.path();
    let store = JobStore::open(dir).expect("open");
    let graph = store.create_graph(PROJECT, "movie").expect("create");
    let requests = requests(10, BATCH.min(jobs) as usize);
    for _ in 0..(jobs / BATCH).max(1) {
        graph.submit_all(requests.clone()).expect("submit_all");
    }
    let pending = opened_at_rest(&store, dir);
    let store = JobStore::open(dir).expect("open");
    end_all(&common::stores::graph(&store));
    let complete = opened_at_rest(&store, dir);
    (pending - complete) * f64::from(1 << 20) / jobs as f64
}

/// Closes a store once it is idle. Returns the memory that is needed to open it, in MiB.
fn opened_at_rest(store: &JobStore, dir: &Path) -> f64 {
    wait_until_packed(dir);
    store.close().expect("close");
    ask("open", dir)[0]
}
