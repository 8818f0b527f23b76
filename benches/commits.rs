//! Durable writes per second, by blocking threads and by pending writes that one thread awaits; in
//! one graph and in many; one by one and in bulk.
//!
//! Run it with `cargo bench --bench commits`. In one iteration, every caller makes one call. Each
//! figure uses a new store with the default options, which packs and indexes while it is measured.
//! `limits` compares these figures with the limits of the machine.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::callers::Callers;
use common::requests::Seeded;
use common::settings;
use common::work::{self, PROJECT, Work};
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput};
use futures::executor::block_on;
use futures::stream::{FuturesUnordered, StreamExt};
use jobstore::{Graph, JobStore, Request};
use tempfile::TempDir;

const CALLERS: [u64; 4] = [1, 8, 64, 256];
const BULK: usize = 10_000;

fn main() {
    let criterion = &mut settings::criterion();
    for work in [Work::Submit, Work::LifeCycle] {
        for graphs in [1, 16] {
            let named = match work {
                Work::Submit => "submit",
                Work::LifeCycle => "submit, start, complete",
            };
            let mut group = criterion.benchmark_group(format!("{named}; graphs: {graphs}"));
            group.sampling_mode(SamplingMode::Flat);
            for callers in CALLERS {
                group.throughput(Throughput::Elements(callers));
                threads(&mut group, work, graphs, callers);
                writes(&mut group, work, graphs, callers);
            }
        }
    }
    bulk(criterion);
    making(criterion);
    criterion.final_summary();
}

/// An empty store, and the requests that are submitted to it.
struct Fresh {
    graphs: Vec<Graph>,
    requests: Vec<Request>,
    store: JobStore,
    _dir: TempDir,
}

impl Fresh {
    fn new(graphs: usize) -> Fresh {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = JobStore::open(dir.path()).expect("open");
        let create = |n| store.create_graph(PROJECT, &format!("movie-{n}"));
        Fresh {
            graphs: (0..graphs).map(|n| create(n).expect("create")).collect(),
            requests: work::requests(1, BULK),
            store,
            _dir: dir,
        }
    }

    /// Returns the graph and request of the `n`-th call.
    fn call(&self, n: u64) -> (&Graph, Request) {
        let graph = &self.graphs[n as usize % self.graphs.len()];
        (graph, self.requests[n as usize % BULK].clone())
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        self.store.close().expect("close");
    }
}

type Group<'a> = BenchmarkGroup<'a, WallTime>;

fn threads(group: &mut Group<'_>, work: Work, graphs: usize, callers: u64) {
    let fresh = Arc::new(Fresh::new(graphs));
    let callers_of = fresh.clone();
    let threads = Callers::new(callers, move |n| {
        let (graph, request) = callers_of.call(n);
        work.carry_out(graph, request);
    });
    group.bench_function(BenchmarkId::new("threads", callers), |b| {
        b.iter_custom(|calls| threads.run(calls));
    });
}

fn writes(group: &mut Group<'_>, work: Work, graphs: usize, callers: u64) {
    let fresh = Fresh::new(graphs);
    let mut numbers = 0..;
    group.bench_function(BenchmarkId::new("writes of one thread", callers), |b| {
        b.iter_custom(|calls| in_flight(&fresh, work, callers, &mut numbers, calls * callers));
    });
}

/// Awaits `calls` calls, several of them concurrently.
fn in_flight(
    fresh: &Fresh,
    work: Work,
    at_once: u64,
    numbers: &mut impl Iterator<Item = u64>,
    calls: u64,
) -> Duration {
    let mut calls = numbers.take(calls as usize).map(|n| {
        let (graph, request) = fresh.call(n);
        work.carry_out_queued(graph, request)
    });
    let start = Instant::now();
    block_on(async {
        let mut flying: FuturesUnordered<_> = calls.by_ref().take(at_once as usize).collect();
        while flying.next().await.is_some() {
            flying.extend(calls.next());
        }
    });
    start.elapsed()
}

fn bulk(criterion: &mut Criterion) {
    let fresh = Fresh::new(1);
    let mut group = criterion.benchmark_group("submit_all");
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Elements(BULK as u64));
    group.bench_function(BenchmarkId::from_parameter(BULK), |b| {
        b.iter_batched(
            || fresh.requests.clone(),
            |requests| fresh.graphs[0].submit_all(requests).expect("submit_all"),
            BatchSize::PerIteration,
        );
    });
}

/// Measures what an engine does before it submits, without any disk access.
fn making(criterion: &mut Criterion) {
    let mut random = Seeded(1);
    let parts: Vec<_> = (0..1000)
        .map(|_| common::requests::next(&mut random))
        .collect();
    let mut group = criterion.benchmark_group("a request made of its parts");
    group.throughput(Throughput::ElementsAndBytes {
        elements: parts.len() as u64,
        bytes: parts.iter().map(|p| p.to_json().len() as u64).sum(),
    });
    group.bench_function("1000", |b| {
        b.iter(|| {
            for parts in &parts {
                std::hint::black_box(work::made_of(parts));
            }
        });
    });
}
