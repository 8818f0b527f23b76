//! Pages: the JSON of the GES API and typed jobs, with 1 to 100,000 jobs, at the first, the middle,
//! and the last offset, by state, by cursor, and from files that the system has not cached.
//!
//! `cargo bench --bench pages`; `JOBSTORE_BENCH_JOBS=10000000` for more jobs.

mod common;

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use common::directory::{drop_cache, is_cold};
use common::settings;
use common::stores::{Filled, SCATTERED_ONE_IN, Shape, open_jobs};
use common::turns::timed;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput};
use jobstore::{Graph, JobQuery, Page, State};

const SIZES: [u64; 4] = [1, 100, 10_000, 100_000];
/// The number of pages of a walk.
const WALK_PAGES: usize = 10;

fn main() {
    let jobs = settings::jobs();
    let criterion = &mut settings::criterion();
    {
        let finished = Filled::new(Shape::Finished, jobs);
        let (store, graph) = finished.open();
        by_offset(criterion, &graph, jobs);
        by_cursor(criterion, &graph, jobs);
        cold(criterion, &graph, jobs, &finished.dir);
        store.close().expect("close");
    }
    let states = Filled::new(Shape::States, jobs);
    let (store, graph) = states.open();
    by_state(criterion, &graph, jobs);
    store.close().expect("close");
    criterion.final_summary();
}

/// Returns the page sizes for this number of jobs.
fn sizes(jobs: u64) -> Vec<u64> {
    let mut sizes = SIZES.map(|size| size.min(jobs)).to_vec();
    sizes.dedup();
    sizes
}

fn offsets(jobs: u64, size: u64) -> [(&'static str, u64); 3] {
    let last = jobs - size;
    [("first", 0), ("middle", last / 2), ("last", last)]
}

/// Returns a benchmark group. Its name includes the number of jobs, so that criterion does not
/// compare it with the figures of another store.
fn group<'c>(criterion: &'c mut Criterion, what: &str, jobs: u64) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(format!("{what}, of {jobs}"));
    group.sampling_mode(SamplingMode::Flat);
    group
}

fn page(graph: &Graph, list: JobQuery) -> Page {
    graph.list(list).expect("a page")
}

/// Writes a page's JSON to existing memory.
fn write(page: &Page, out: &mut Vec<u8>) {
    out.clear();
    page.write_json(&mut *out).expect("JSON");
    black_box(&out);
}

fn scan(page: &Page) {
    for job in page.jobs() {
        black_box(job.expect("a job"));
    }
}

/// Returns the jobs and bytes of a page. Throughput is measured in both.
fn throughput(page: &Page) -> Throughput {
    Throughput::ElementsAndBytes {
        elements: page.len() as u64,
        bytes: page.to_json().expect("JSON").len() as u64,
    }
}

fn by_offset(criterion: &mut Criterion, graph: &Graph, jobs: u64) {
    let mut out = Vec::new();
    for (what, as_json) in [("json", true), ("typed", false)] {
        let mut group = group(criterion, what, jobs);
        for size in sizes(jobs) {
            for (place, offset) in offsets(jobs, size) {
                let list = JobQuery::new().offset(offset).limit(size);
                group.throughput(throughput(&page(graph, list.clone())));
                group.bench_function(BenchmarkId::new(place, size), |b| {
                    b.iter(|| {
                        let page = page(graph, list.clone());
                        match as_json {
                            true => write(&page, &mut out),
                            false => scan(&page),
                        }
                    });
                });
            }
        }
    }
}

/// Reads pages from the middle of the list on. Each begins where the previous one ended.
fn by_cursor(criterion: &mut Criterion, graph: &Graph, jobs: u64) {
    let mut group = group(criterion, "walk by cursor, json", jobs);
    let mut out = Vec::new();
    for size in sizes(jobs) {
        let walk = |each: &mut dyn FnMut(&Page)| {
            let mut shown = page(graph, JobQuery::new().offset((jobs - size) / 2).limit(size));
            for _ in 1..WALK_PAGES {
                each(&shown);
                let Some(next) = shown.next() else { return };
                shown = page(graph, JobQuery::new().limit(size).cursor(&next));
            }
            each(&shown);
        };
        let mut elements = 0;
        walk(&mut |page| elements += page.len() as u64);
        group.throughput(Throughput::Elements(elements));
        group.bench_function(BenchmarkId::new("from the middle", size), |b| {
            b.iter(|| walk(&mut |page| write(page, &mut out)));
        });
    }
}

/// Reads pages after the system has evicted the store's files, so that it reads them from the disk
/// again. The store's own cache remains.
fn cold(criterion: &mut Criterion, graph: &Graph, jobs: u64, dir: &Path) {
    match drop_cache(dir).and_then(|()| is_cold(dir)) {
        Ok(true) => {}
        Ok(false) => {
            return eprintln!("cold pages: skipped, this file system keeps its files in memory");
        }
        Err(error) => return eprintln!("cold pages: skipped, {error}"),
    }
    let mut out = Vec::new();
    for (what, as_json) in [("json, cold", true), ("typed, cold", false)] {
        let mut group = group(criterion, what, jobs);
        for size in sizes(jobs) {
            for (place, offset) in offsets(jobs, size) {
                let list = JobQuery::new().offset(offset).limit(size);
                group.throughput(throughput(&page(graph, list.clone())));
                let mut once = || {
                    drop_cache(dir).expect("a cold file cache");
                    timed(|| {
                        let page = page(graph, list.clone());
                        match as_json {
                            true => write(&page, &mut out),
                            false => scan(&page),
                        }
                    })
                };
                group.bench_function(BenchmarkId::new(place, size), |b| {
                    b.iter_custom(|times| (0..times).map(|_| once()).sum::<Duration>());
                });
            }
        }
    }
}

fn by_state(criterion: &mut Criterion, graph: &Graph, jobs: u64) {
    let scattered = jobs / SCATTERED_ONE_IN;
    for (what, before, matches) in [
        ("by state, json, one in a hundred", 0, scattered),
        ("by state, json, adjacent", scattered, open_jobs(jobs)),
    ] {
        let mut group = group(criterion, what, jobs);
        let mut out = Vec::new();
        for size in sizes(matches) {
            for (place, offset) in offsets(matches, size) {
                let list = JobQuery::new().state(State::Pending);
                let list = list.offset(before + offset).limit(size);
                group.throughput(throughput(&page(graph, list.clone())));
                group.bench_function(BenchmarkId::new(place, size), |b| {
                    b.iter(|| write(&page(graph, list.clone()), &mut out));
                });
            }
        }
    }
}
