//! The processor time of a full page of 100,000 complete jobs over HTTP, as the body of the router
//! is read to its end in this process: plain, and compressed without the cache, with an empty
//! cache, and from the cache.
//!
//! Run it with `cargo bench --bench compression --features http`. `JOBSTORE_BENCH_JOBS` sets the
//! number of stored jobs, and `JOBSTORE_BENCH_ROUNDS` the number of rounds. All cases are measured
//! alternately. A ratio is relative to a `memcpy` of the page's text into mapped memory.

mod common;

use std::future::poll_fn;
use std::hint::black_box;
use std::pin::Pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use common::settings;
use common::stores::{Filled, Shape};
use common::table;
use common::took::cpu;
use common::turns::{Measured, in_turns, ratios, spread};
use http_body::Body as _;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use jobstore::http::{Limits, Routes};
use jobstore::{JobQuery, JobStore};
use tokio::runtime::Runtime;

const LIST: &str = "/ges/v1.0/10001/graphs/movie/jobs/status";

/// Where the compressed jobs of a response come from.
#[derive(Clone, Copy)]
enum Cache {
    Off,
    Empty,
    Filled,
}

const CASES: [(&str, &str, Cache); 7] = [
    ("plain", "identity", Cache::Off),
    ("zstd, without the cache", "zstd", Cache::Off),
    ("zstd, cache empty", "zstd", Cache::Empty),
    ("zstd, from the cache", "zstd", Cache::Filled),
    ("gzip, without the cache", "gzip", Cache::Off),
    ("gzip, cache empty", "gzip", Cache::Empty),
    ("gzip, from the cache", "gzip", Cache::Filled),
];

fn main() {
    let filled = Filled::new(Shape::Finished, settings::jobs());
    let (store, graph) = filled.open();
    let text = graph.list(JobQuery::new()).expect("a page");
    let text = text.to_json().expect("JSON");
    let runtime = Runtime::new().expect("a runtime");
    let mut copy = text.clone();
    let mut sizes = vec![text.len()];
    let mut things: Vec<Measured<'_>> = vec![Box::new(|| {
        used(|| {
            copy.copy_from_slice(black_box(&text));
            black_box(&copy);
        })
    })];
    for (_, encoding, cache) in CASES {
        let app = router(&store, cache);
        sizes.push(runtime.block_on(read(app.clone(), encoding)));
        let (store, runtime) = (&store, &runtime);
        things.push(Box::new(move || {
            let app = match cache {
                Cache::Empty => router(store, cache),
                Cache::Off | Cache::Filled => app.clone(),
            };
            used(|| {
                black_box(runtime.block_on(read(app, encoding)));
            })
        }));
    }
    let times = in_turns(settings::rounds(11), &mut things);
    drop(things);
    table::head(&["page", "MB", "processor ms", "ratio to memcpy (min..max)"]);
    let names = std::iter::once("memcpy of the text").chain(CASES.map(|case| case.0));
    for ((name, size), time) in names.zip(sizes).zip(&times) {
        let ms = spread(time.iter().map(|seconds| seconds * 1e3));
        table::row(&[
            name.to_owned(),
            format!("{:.2}", size as f64 / 1e6),
            format!("{:.2}", ms.median),
            format!("{:.2}", ratios(time, &times[0])),
        ]);
    }
    store.close().expect("close");
}

/// The processor time of all threads of this process.
fn used(work: impl FnOnce()) -> Duration {
    let begun = cpu();
    work();
    cpu() - begun
}

fn router(store: &JobStore, cache: Cache) -> Router {
    let limits = match cache {
        Cache::Off => Limits::new().compressed_cache_bytes(0),
        Cache::Empty | Cache::Filled => Limits::new(),
    };
    Routes::new(store).limits(limits).list()
}

/// Reads a full page and returns the length of its body.
async fn read(app: Router, encoding: &str) -> usize {
    let request = Request::get(LIST).header(header::ACCEPT_ENCODING, encoding);
    let request = request.body(Body::empty()).expect("a request");
    let Ok(response) = TowerToHyperService::new(app).call(request).await;
    let (mut body, mut len) = (response.into_body(), 0);
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.expect("a frame");
        len += frame.data_ref().map_or(0, |data| data.len());
    }
    len
}
