//! Looking up a job by its id: generated ids, external ids, open jobs, and unknown ids.
//!
//! `cargo bench --bench lookups`; `JOBSTORE_BENCH_JOBS=10000000` for more jobs. A mean hides what
//! most callers see, so the median and the tail of single calls are printed as well.

mod common;

use std::hint::black_box;
use std::time::{Duration, Instant};

use common::requests::Seeded;
use common::settings::{self, sized};
use common::stores::{Filled, SCATTERED_ONE_IN, Shape};
use common::table;
use common::work::{PROJECT, foreign_id, requests};
use criterion::{Criterion, Throughput};
use jobstore::{Graph, JobQuery, JobStore, State};

/// The number of ids that are looked up in turn. They are from all over the graph.
const IDS: u64 = 10_000;

fn main() {
    let jobs = settings::jobs();
    let lookups = &mut Lookups {
        criterion: settings::criterion(),
        tails: Vec::new(),
    };
    {
        let finished = Filled::new(Shape::Finished, jobs);
        let (store, graph) = finished.open();
        let own = drawn(|random| id_at(&graph, JobQuery::new().offset(random.below(jobs))));
        lookups.measure("own id", &graph, &own, true);
        let unknown: Vec<String> = own.iter().map(|id| with_other_digits(id, 43)).collect();
        lookups.measure("like a generated id, unknown", &graph, &unknown, false);
        let moved: Vec<String> = own.iter().map(|id| with_other_digits(id, 20)).collect();
        lookups.measure("a generated id with another time", &graph, &moved, false);
        store.close().expect("close");
    }
    {
        // This uses fewer jobs, because few engines use external ids, and filling such a store
        // takes long.
        let jobs = jobs / 10;
        let brought = Filled::new(Shape::Brought, jobs);
        let (store, graph) = brought.open();
        let foreign = drawn(|random| foreign_id(random.below(jobs)));
        lookups.measure("foreign id", &graph, &foreign, true);
        let unknown = drawn(|random| foreign_id(jobs + random.below(jobs)));
        lookups.measure("external id, unknown", &graph, &unknown, false);
        store.close().expect("close");
    }
    {
        let states = Filled::new(Shape::States, jobs);
        let (store, graph) = states.open();
        let scattered = jobs / SCATTERED_ONE_IN;
        let pending = drawn(|random| {
            let offset = random.below(scattered);
            id_at(&graph, JobQuery::new().state(State::Pending).offset(offset))
        });
        lookups.measure("pending job", &graph, &pending, true);
        store.close().expect("close");
    }
    lookups.running_jobs();
    lookups.criterion.final_summary();
    lookups.print_tails();
}

fn drawn(mut draw: impl FnMut(&mut Seeded) -> String) -> Vec<String> {
    let mut random = Seeded(4);
    let ids = sized(100, IDS);
    (0..ids).map(|_| draw(&mut random)).collect()
}

/// Returns the id of the first job of a list.
fn id_at(graph: &Graph, list: JobQuery) -> String {
    let page = graph.list(list.limit(1)).expect("a page");
    let job = page.jobs().next().expect("a job").expect("a job");
    job.id().to_string()
}

/// Returns the id with other hexadecimal digits in eight positions, starting at `from`. A generated
/// id consists of a number of 19 digits and a UUID. The first half of the UUID encodes the time,
/// and the second half the job.
fn with_other_digits(id: &str, from: usize) -> String {
    let other = |(at, digit): (usize, char)| match digit {
        '-' => '-',
        _ if !(from..from + 8).contains(&at) => digit,
        '0' => '1',
        _ => '0',
    };
    id.char_indices().map(other).collect()
}

struct Lookups {
    criterion: Criterion,
    /// The durations of single calls.
    tails: Vec<(&'static str, Vec<Duration>)>,
}

impl Lookups {
    fn measure(&mut self, what: &'static str, graph: &Graph, ids: &[String], there: bool) {
        let look = |id: &String| {
            let found = graph.job(id).expect("an answer");
            assert_eq!(found.is_some(), there, "{id}");
            black_box(found);
        };
        let mut group = self
            .criterion
            .benchmark_group(format!("lookup, of {}", settings::jobs()));
        group.throughput(Throughput::Elements(1));
        let mut next = ids.iter().cycle();
        group.bench_function(what, |b| b.iter(|| look(next.next().expect("ids"))));
        group.finish();
        let timed = |id| {
            let start = Instant::now();
            look(id);
            start.elapsed()
        };
        let mut times: Vec<Duration> = ids.iter().map(timed).collect();
        times.sort_unstable();
        self.tails.push((what, times));
    }

    /// Measures running jobs in a separate store, because an open of the filled store would recover
    /// them. They are in the segment being written.
    fn running_jobs(&mut self) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = JobStore::open(dir.path()).expect("open");
        let graph = store.create_graph(PROJECT, "movie").expect("create");
        let count = sized(100, IDS as usize);
        let ids = graph.submit_all(requests(6, count)).expect("submit");
        let started = ids.iter().map(|id| graph.nonblocking().start(id));
        for write in started.collect::<Vec<_>>() {
            write.wait().expect("start");
        }
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        self.measure("running job", &graph, &ids, true);
        store.close().expect("close");
    }

    fn print_tails(&self) {
        println!("\nsingle calls");
        table::head(&["what", "p50, us", "p99, us", "max, us"]);
        for (what, times) in &self.tails {
            let us = |n: usize| format!("{:.1}", times[n].as_secs_f64() * 1e6);
            let last = times.len() - 1;
            let cells = [times.len() / 2, times.len() * 99 / 100, last].map(us);
            table::row(&[&[(*what).to_owned()], &cells[..]].concat());
        }
    }
}
