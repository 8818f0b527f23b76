//! What all benchmarks share: requests of realistic shape, a filled store, and
//! measuring in turns.
//!
//! The shapes and sizes follow the documented requests of a graph engine service:
//! 92 to 563 bytes, a median near 260, imports above 300.
#![allow(dead_code)] // Each benchmark uses its own part of this.

pub mod child;

use std::time::{Duration, Instant};

use jobstore::{Body, Graph, Outcome, Request};

/// A small generator with a fixed seed (SplitMix64), so that runs can be compared.
pub struct Seeded(pub u64);

impl Seeded {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// An import request of about 400 bytes.
pub fn import(random: &mut Seeded) -> Request {
    let (a, b, c) = (random.below(100_000), random.below(1000), random.below(64));
    let body = format!(
        concat!(
            r#"{{"edgesetPath":"bucket-{}/demo_movie/edges/part-{:05}.csv","edgesetFormat":"csv","#,
            r#""vertexsetPath":"bucket-{}/demo_movie/vertices/part-{:05}.csv","vertexsetFormat":"csv","#,
            r#""schemaPath":"bucket-{}/demo_movie/incremental_data_schema.xml","#,
            r#""logDir":"bucket-{}/importlogdir","parallelEdge":{{"action":"override","ignoreLabel":true}}}}"#
        ),
        c, a, c, b, c, c
    );
    let url = "/ges/v1.0/10001/graphs/movie/action?action_id=import-graph";
    Request::new("import_graph", url, Body::from_json(body).expect("JSON")).expect("request")
}

/// A mix: mostly imports, some algorithms and queries.
pub fn request(random: &mut Seeded) -> Request {
    match random.below(10) {
        0 => {
            let body = format!(
                r#"{{"algorithmName":"pagerank","parameters":{{"alpha":0.{},"convergence":0.00001,"max_iterations":{},"directed":true}}}}"#,
                1 + random.below(98),
                random.below(1000)
            );
            let url = "/ges/v1.0/10001/graphs/movie/action?action_id=execute-algorithm";
            Request::new("execute_algorithm", url, Body::from_json(body).expect("JSON"))
        }
        1 => {
            let body = format!(
                r#"{{"offset":{},"limit":{},"labels":["movies","user"],"vertexFilters":[{{"propertyName":"Age","predicate":"=","values":["{}"]}}]}}"#,
                random.below(1000),
                random.below(100),
                random.below(90)
            );
            let url = "/ges/v1.0/10001/graphs/movie/vertices/action?action_id=query";
            Request::new("vertex_query", url, Body::from_json(body).expect("JSON"))
        }
        _ => return import(random),
    }
    .expect("request")
}

/// Fills a graph with jobs; `open` of the last ones stay pending.
pub fn fill(graph: &Graph, jobs: u64, open: u64) {
    let mut random = Seeded(7);
    let mut done = 0;
    while done < jobs {
        let batch = (jobs - done).min(10_000);
        let requests: Vec<Request> = (0..batch).map(|_| import(&mut random)).collect();
        let ids = graph.submit_all(requests).expect("submit");
        let mut last = None;
        for (n, id) in ids.iter().enumerate() {
            if done + (n as u64) < jobs - open {
                // Queued without waiting: the order is kept.
                drop(graph.queue().start(id));
                last = Some(graph.queue().complete(id, Outcome::succeeded()));
            }
        }
        if let Some(ticket) = last {
            ticket.wait().expect("complete");
        }
        done += batch;
    }
}

/// The number in an environment variable, or `default`.
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// Whether this is `cargo bench -- --test`: run everything once, small.
pub fn is_test() -> bool {
    std::env::args().any(|argument| argument == "--test")
}

/// What is measured, with its name.
pub type Measured<'a> = (&'a str, Box<dyn FnMut() + 'a>);

/// Runs each of several things in turn, `rounds` times, the order turned round
/// every time, and returns the median time of each.
pub fn in_turns(rounds: usize, things: &mut [Measured<'_>]) -> Vec<Duration> {
    let mut times = vec![Vec::new(); things.len()];
    for (_, thing) in things.iter_mut() {
        thing();
    }
    for round in 0..rounds {
        for n in 0..things.len() {
            let n = if round % 2 == 0 {
                n
            } else {
                things.len() - 1 - n
            };
            let start = Instant::now();
            (things[n].1)();
            times[n].push(start.elapsed());
        }
    }
    times.into_iter().map(median).collect()
}

pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// A line of the process's own status, in KiB: `VmRSS`, `VmHWM`.
pub fn memory_kib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| {
            line.strip_prefix(name)?
                .trim_start_matches(':')
                .trim()
                .split(' ')
                .next()?
                .parse()
                .ok()
        })
        .unwrap_or(0)
}
