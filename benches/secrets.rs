//! The cost of handling secrets: pages and submits of jobs with and without credentials, in stores
//! with and without secret keys.
//!
//! Run it with `cargo bench --bench secrets`. `JOBSTORE_BENCH_JOBS` sets other sizes. All cases are
//! measured alternately. A ratio is relative to the store without secret keys and credentials.

mod common;

use std::hint::black_box;

use common::requests::{self, Seeded};
use common::settings;
use common::table;
use common::turns::{Measured, in_turns, ratios, spread, timed};
use common::work::PROJECT;
use jobstore::{Body, Graph, JobQuery, JobStore, Options, Request};

/// The number of requests in a batch.
const BATCH: u64 = 10_000;
/// The largest page.
const PAGE: u64 = 100_000;

/// One in this many requests contains credentials. Of the 28 asynchronous requests that a graph
/// engine service documents, 5 do.
const DOCUMENTED_ONE_IN: u64 = 6;

struct Case {
    name: &'static str,
    /// One in this many requests has secrets. 0 if none has.
    one_in: u64,
    keys: &'static [&'static str],
}

const DEFAULT_KEYS: &[&str] = &["accessKey", "secretKey"];

const CASES: [Case; 4] = [
    Case {
        name: "no secret keys",
        one_in: 0,
        keys: &[],
    },
    Case {
        name: "no request has secrets",
        one_in: 0,
        keys: DEFAULT_KEYS,
    },
    Case {
        name: "one in 6 requests has two secrets",
        one_in: DOCUMENTED_ONE_IN,
        keys: DEFAULT_KEYS,
    },
    Case {
        name: "each request has two secrets",
        one_in: 1,
        keys: DEFAULT_KEYS,
    },
];

fn requests(one_in: u64, count: u64) -> Vec<Request> {
    let mut random = Seeded(11);
    let mut make = |n: u64| {
        let parts = requests::next(&mut random);
        let (access, secret) = (random.next(), random.next());
        // The request has the same length with and without secrets.
        let names = match one_in > 0 && n % one_in == 0 {
            true => DEFAULT_KEYS,
            false => &["accessPath", "secretPath"][..],
        };
        let rest = parts.body.trim_start_matches('{');
        let body = format!(
            r#"{{"{}":"{access:020}","{}":"{secret:040}",{rest}"#,
            names[0], names[1]
        );
        let body = Body::from_json(body).expect("JSON");
        Request::new(parts.command, parts.url, body).expect("a request")
    };
    (0..count).map(&mut make).collect()
}

fn main() {
    let (jobs, rounds) = (settings::jobs(), settings::rounds(9));
    let root = tempfile::tempdir().expect("a temporary directory");
    let graphs: Vec<(JobStore, Graph)> = (0..)
        .zip(&CASES)
        .map(|(n, case): (u32, _)| {
            let options: Options = JobStore::options().secret_keys(case.keys.iter().copied());
            let store = options.open(root.path().join(n.to_string())).expect("open");
            let graph = store.create_graph(PROJECT, "movie").expect("create");
            let mut left = jobs;
            while left > 0 {
                let count = left.min(BATCH);
                graph
                    .submit_all(requests(case.one_in, count))
                    .expect("submit");
                left -= count;
            }
            let at = root.path().join(n.to_string());
            common::directory::wait_until_packed(&at);
            (store, graph)
        })
        .collect();

    println!("{jobs} jobs; {rounds} alternating rounds: median (min..max)\n");
    let mut pages: Vec<Measured<'_>> = Vec::new();
    for (_, graph) in &graphs {
        let mut out = Vec::new();
        pages.push(Box::new(move || {
            out.clear();
            let page = graph.list(JobQuery::new().limit(PAGE)).expect("a page");
            timed(|| {
                page.write_json(&mut out).expect("JSON");
                black_box(&out);
            })
        }));
    }
    report("a page as JSON", &in_turns(rounds, &mut pages));

    let mut typed: Vec<Measured<'_>> = Vec::new();
    for (_, graph) in &graphs {
        typed.push(Box::new(move || {
            let page = graph.list(JobQuery::new().limit(PAGE)).expect("a page");
            timed(|| {
                for job in page.jobs() {
                    black_box(job.expect("a job"));
                }
            })
        }));
    }
    report("the same as values", &in_turns(rounds, &mut typed));
    drop((pages, typed));

    let mut submits: Vec<Measured<'_>> = Vec::new();
    for ((_, graph), case) in graphs.iter().zip(&CASES) {
        submits.push(Box::new(move || {
            let batch = requests(case.one_in, BATCH.min(jobs));
            timed(|| drop(graph.submit_all(batch).expect("submit")))
        }));
    }
    report("a bulk submit", &in_turns(rounds, &mut submits));
}

fn report(what: &str, times: &[Vec<f64>]) {
    table::head(&[what, "ms", "relative to the first"]);
    for (case, times_of) in CASES.iter().zip(times) {
        table::row(&[
            case.name.to_owned(),
            format!("{:.2}", spread(times_of.iter().copied()).scaled(1e3)),
            format!("{:.2}", ratios(times_of, &times[0])),
        ]);
    }
    println!();
}
