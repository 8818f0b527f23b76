//! Finding jobs by their request, and exporting and importing whole jobs.
//!
//! `cargo bench --bench finds`; `JOBSTORE_BENCH_JOBS=10000000` for more jobs. For single searches,
//! the median and the tail are printed.

mod common;

use std::hint::black_box;
use std::time::{Duration, Instant};

use common::requests::Seeded;
use common::settings::{self, sized};
use common::stores::{Filled, Shape};
use common::table;
use common::work::PROJECT;
use jobstore::{Body, Graph, JobQuery, JobStore, OnBadLine, Request};

fn main() {
    let jobs = settings::jobs();
    let finished = Filled::new(Shape::Finished, jobs);
    let (store, graph) = finished.open();
    table::head(&["search", "p50, us", "p99, us"]);
    let mut random = Seeded(9);
    let there: Vec<Request> = (0..sized(50, 2000))
        .map(|_| {
            let list = JobQuery::new().offset(random.below(jobs)).limit(1);
            let page = graph.list(list).expect("a page");
            let job = page.jobs().next().expect("a job").expect("a job");
            job.request().clone()
        })
        .collect();
    search("newest job of a request", &graph, &there, true);
    let none: Vec<Request> = (0..sized(50, 2000))
        .map(|n| {
            let body = Body::from_value(&("no such job", n)).expect("a body");
            Request::new("import_graph", "/ges", body).expect("a request")
        })
        .collect();
    search("a request without jobs", &graph, &none, false);

    println!();
    table::head(&["whole jobs", "jobs per second"]);
    let count = jobs.min(sized(5_000, 1_000_000));
    let list = JobQuery::new().offset(jobs - count);
    let mut lines = Vec::new();
    let start = Instant::now();
    let export = graph.export(list).expect("an export");
    let of = export.of();
    { export }.write_all(&mut lines).expect("lines");
    rate("exported to memory", of, start.elapsed());
    store.close().expect("close");

    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = JobStore::open(dir.path().join("store")).expect("open");
    let copy = store.create_graph(PROJECT, "copy").expect("create");
    let start = Instant::now();
    let report = copy.import(&lines[..], OnBadLine::Stop).expect("an import");
    assert_eq!(report.imported, of);
    rate("imported from memory, durably", of, start.elapsed());
    store.close().expect("close");
}

fn search(what: &str, graph: &Graph, requests: &[Request], is_there: bool) {
    let timed = |request: &Request| {
        let start = Instant::now();
        let found = graph.find(request).expect("matches").next();
        let time = start.elapsed();
        assert_eq!(found.is_some(), is_there);
        black_box(found);
        time
    };
    let mut times: Vec<Duration> = requests.iter().map(timed).collect();
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e6;
    table::row(&[
        what.to_owned(),
        format!("{:.1}", at(50)),
        format!("{:.1}", at(99)),
    ]);
}

fn rate(what: &str, jobs: u64, time: Duration) {
    let rate = jobs as f64 / time.as_secs_f64();
    table::row(&[what.to_owned(), format!("{rate:.0}")]);
}
