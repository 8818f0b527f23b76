//! Whether a store with many graphs performs like one with few. Measures how long a write waits
//! during background work, the cost of an idle store, the time to open and close it, and the memory
//! per graph.
//!
//! `cargo bench --bench graphs --features http`; `JOBSTORE_BENCH_GRAPHS=100000` for one size.

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::memory::memory;
use common::requests::Seeded;
use common::took::{Begun, cpu};
use common::work::{PROJECT, requests};
use common::{settings, table};
use jobstore::{Graph, Histogram, JobStore, PendingWrite};

/// The number of jobs submitted to each graph; one of them is canceled.
const JOBS: usize = 3;
/// The number of writes queued at the same time while the store is filled.
const QUEUED: usize = 2_000;

/// The environment variable that passes the store to a child process, which opens it so that its
/// memory can be measured.
const OPENED: &str = "JOBSTORE_BENCH_OPENED";

fn main() {
    if let Ok(dir) = std::env::var(OPENED) {
        let store = JobStore::open(dir).expect("open");
        std::thread::sleep(Duration::from_secs(3));
        print!("{} MB", memory().now_kib >> 10);
        return store.close().expect("close");
    }
    table::head(&["graphs", "what", "value"]);
    let sizes: Vec<u64> = match std::env::var("JOBSTORE_BENCH_GRAPHS") {
        Ok(text) => vec![text.parse().expect("a number of graphs")],
        Err(_) if settings::is_test() => vec![50],
        Err(_) => vec![1_000, 10_000, 100_000],
    };
    for size in sizes {
        measure(size);
    }
}

fn measure(size: u64) {
    let told = |what: &str, value: String| {
        table::row(&[size.to_string(), what.to_owned(), value]);
    };
    let took = |what: &str, begun: Begun| told(what, begun.took().to_string());
    let root = tempfile::tempdir().expect("a temporary directory");
    let dir = root.path().join("store");
    let before = memory().now_kib;
    let store = JobStore::open(&dir).expect("open");

    let begun = Begun::now();
    let made = (0..size).map(|n| {
        store
            .nonblocking()
            .create_graph(PROJECT, &format!("graph-{n}"))
    });
    let graphs: Vec<Graph> = in_groups(made);
    took("create all", begun);
    let begun = Begun::now();
    fill(&graphs);
    took("submit 3 jobs to each, cancel one", begun);

    told(
        "writes while indexed and packed",
        writes(&store, &graphs, settings::sized(20, 6_000)),
    );
    std::thread::sleep(settings::sized(Duration::ZERO, Duration::from_secs(40)));
    let idle = settings::sized(Duration::from_millis(10), Duration::from_secs(10));
    told("CPU of one core when idle", idle_cpu(idle));
    told(
        "memory",
        format!("{} MB", memory().now_kib.saturating_sub(before) >> 10),
    );
    let begun = Begun::now();
    let stats = store.stats().expect("statistics");
    took("stats()", begun);
    drop(stats);
    told(
        "writes during stats()",
        beside(&store, &graphs, || drop(store.stats())),
    );
    #[cfg(feature = "http")]
    {
        let begun = Begun::now();
        let text = jobstore::http::metrics(&store).expect("metrics");
        took("metrics()", begun);
        told("size of metrics()", format!("{} KB", text.len() >> 10));
    }
    let begun = Begun::now();
    assert_eq!(store.graphs().expect("graphs").len() as u64, size);
    took("graphs()", begun);
    let begun = Begun::now();
    store.backup(root.path().join("copy")).expect("backup");
    took("backup", begun);
    drop(graphs);
    let begun = Begun::now();
    store.close().expect("close");
    took("close", begun);
    drop(store);
    let begun = Begun::now();
    assert!(JobStore::verify(&dir).expect("verify").is_sound());
    took("verify", begun);
    told("open", opened(&dir));
    remove_index(&dir);
    told("open without its index", opened(&dir));

    told(
        "memory of a process that opens it",
        memory_when_opened(&dir),
    );
    let store = JobStore::open(&dir).expect("open");
    let begun = Begun::now();
    let dropped = (0..size / 2).map(|n| {
        store
            .nonblocking()
            .drop_graph(PROJECT, &format!("graph-{n}"))
    });
    let _: Vec<()> = in_groups(dropped);
    took("drop half", begun);
    let graphs = store.graphs().expect("graphs");
    told(
        "writes after that",
        writes(&store, &graphs, settings::sized(20, 3_000)),
    );
    drop(graphs);
    let begun = Begun::now();
    store.close().expect("close");
    took("close", begun);
}

fn fill(graphs: &[Graph]) {
    let some = requests(7, 1_000);
    let submits = graphs.iter().enumerate().flat_map(|(n, graph)| {
        let of_graph = (0..JOBS).map(move |k| (n * JOBS + k) % 1_000);
        of_graph.map(|n| graph.nonblocking().submit(some[n].clone()))
    });
    let ids: Vec<_> = in_groups(submits);
    let cancels = graphs.iter().zip(ids.chunks(JOBS));
    let _: Vec<_> = in_groups(cancels.map(|(graph, ids)| graph.nonblocking().cancel(&ids[0])));
}

/// Waits for pending writes in order. Several of them are queued at a time.
fn in_groups<T: Send + 'static>(writes: impl Iterator<Item = PendingWrite<T>>) -> Vec<T> {
    let mut waiting = std::collections::VecDeque::new();
    let mut done = Vec::new();
    for write in writes {
        waiting.push_back(write);
        if waiting.len() == QUEUED {
            done.extend(
                waiting
                    .drain(..QUEUED / 2)
                    .map(|t: PendingWrite<T>| t.wait().expect("done")),
            );
        }
    }
    done.extend(waiting.into_iter().map(|t| t.wait().expect("done")));
    done
}

/// Measures the latency of single writes to one graph after another, at most one per millisecond.
///
/// Returns, in addition, the duration of the slowest sync of the log in that time. The rest of the
/// latency is due to the store and the machine.
fn writes(store: &JobStore, graphs: &[Graph], count: u64) -> String {
    let syncs = || store.stats_of(0).expect("statistics").syncs;
    let before = syncs();
    let (mut random, some) = (Seeded(3), requests(9, 100));
    let mut times = Vec::new();
    for n in 0..count {
        let graph = &graphs[random.below(graphs.len() as u64) as usize];
        let begun = Instant::now();
        graph
            .submit(some[n as usize % 100].clone())
            .expect("submit");
        times.push(begun.elapsed());
        std::thread::sleep(Duration::from_millis(1).saturating_sub(begun.elapsed()));
    }
    let after = syncs();
    let mut more = after.counts().iter().zip(before.counts());
    let slowest = more.rposition(|(after, before)| after > before);
    let bound = slowest.and_then(|n| Histogram::bounds().get(n));
    let syncs = bound.map_or("many s".to_owned(), |bound| format!("{bound:?}"));
    format!("{} (slowest sync <= {syncs})", quantiles(times))
}

fn quantiles(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    format!(
        "p50 {:.2}, p99 {:.2}, max {:.1} ms",
        at(0.5),
        at(0.99),
        at(1.0)
    )
}

/// Like [`writes`], while another operation is repeated.
fn beside(store: &JobStore, graphs: &[Graph], other: impl Fn() + Sync) -> String {
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                other();
            }
        });
        let told = writes(store, graphs, settings::sized(20, 1_000));
        is_done.store(true, std::sync::atomic::Ordering::Relaxed);
        told
    })
}

fn idle_cpu(time: Duration) -> String {
    let (begun, before) = (Instant::now(), cpu());
    std::thread::sleep(time);
    let share = (cpu() - before).as_secs_f64() / begun.elapsed().as_secs_f64();
    format!("{:.2} %", share * 100.0)
}

fn opened(dir: &Path) -> String {
    let begun = Begun::now();
    let store = JobStore::open(dir).expect("open");
    let open = begun.took();
    let begun = Begun::now();
    store.close().expect("close");
    format!("{open}; and close {}", begun.took())
}

fn memory_when_opened(dir: &Path) -> String {
    let this = std::env::current_exe().expect("this program");
    let opened = std::process::Command::new(this).env(OPENED, dir).output();
    let opened = opened.expect("a process");
    assert!(opened.status.success());
    String::from_utf8(opened.stdout).expect("text")
}

fn remove_index(dir: &Path) {
    std::fs::remove_dir_all(dir.join("index")).expect("the index");
}
