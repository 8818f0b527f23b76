//! Durable writes: how many a second, by how many callers, next to the disk's own
//! speed.
//!
//! `cargo bench --bench commits`. The disk is measured in turns with the store:
//! one `fdatasync` after another of frames of the size a single caller's commit
//! has, to a file that was written before.

mod common;

use std::os::unix::fs::FileExt;
use std::time::Instant;

use common::{Seeded, import, is_test, median, number};
use jobstore::{Graph, JobStore, Outcome, Request};

/// What a frame adds to one request, about.
const FRAME_BYTES: usize = 120;

fn main() {
    let seconds = if is_test() { 0.05 } else { 2.0 };
    let rounds = if is_test() {
        1
    } else {
        number("JOBSTORE_BENCH_ROUNDS", 3) as usize
    };
    let dir = tempfile::tempdir().expect("a temporary folder");
    let store = JobStore::open(dir.path().join("store")).expect("open");
    let graph = store.create_graph("10001", "movie").expect("create");
    let frame = import(&mut Seeded(1)).as_json().len() + FRAME_BYTES;
    let file = prepared_file(&dir.path().join("plain"));
    println!(
        "| callers | submits/s | one sync after another/s | ratio | life cycles/s |\n|---|---|---|---|---|"
    );
    for callers in [1, 8, 64, 256] {
        let (mut submits, mut syncs, mut cycles) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            syncs.push(syncs_per_second(&file, frame, seconds));
            submits.push(per_second(&graph, callers, seconds, submit));
            cycles.push(per_second(&graph, callers, seconds, life_cycle));
        }
        let (submits, syncs, cycles) = (middle(submits), middle(syncs), middle(cycles));
        println!(
            "| {callers} | {submits:.0} | {syncs:.0} | {:.2} | {cycles:.0} |",
            submits / syncs
        );
    }
    let mut times = Vec::new();
    for _ in 0..rounds {
        let mut random = Seeded(3);
        let batch: Vec<Request> = (0..10_000).map(|_| import(&mut random)).collect();
        let start = Instant::now();
        graph.submit_all(batch).expect("submit_all");
        times.push(start.elapsed());
    }
    println!(
        "\nsubmit_all of 10000: {:.1} ms",
        median(times).as_secs_f64() * 1e3
    );
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn prepared_file(path: &std::path::Path) -> std::fs::File {
    let file = std::fs::File::create_new(path).expect("file");
    file.write_all_at(&vec![0; 16 << 20], 0).expect("write");
    file.sync_all().expect("sync");
    file
}

fn syncs_per_second(file: &std::fs::File, frame: usize, seconds: f64) -> f64 {
    let bytes = vec![7u8; frame];
    let (start, mut done, mut at) = (Instant::now(), 0u64, 0);
    while start.elapsed().as_secs_f64() < seconds {
        file.write_all_at(&bytes, at).expect("write");
        file.sync_data().expect("sync");
        at = (at + frame as u64) % (15 << 20);
        done += 1;
    }
    done as f64 / start.elapsed().as_secs_f64()
}

fn submit(graph: &Graph, request: Request) {
    graph.submit(request).expect("submit");
}

fn life_cycle(graph: &Graph, request: Request) {
    let id = graph.submit(request).expect("submit");
    graph.start(&id).expect("start");
    graph.complete(&id, Outcome::succeeded()).expect("complete");
}

fn per_second(graph: &Graph, callers: u64, seconds: f64, work: fn(&Graph, Request)) -> f64 {
    let start = Instant::now();
    let done: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..callers)
            .map(|caller| {
                scope.spawn(move || {
                    let mut random = Seeded(caller);
                    let mut done = 0;
                    while start.elapsed().as_secs_f64() < seconds {
                        work(graph, import(&mut random));
                        done += 1;
                    }
                    done
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("thread"))
            .sum()
    });
    done as f64 / start.elapsed().as_secs_f64()
}
