//! Full pages: the contract's JSON and typed jobs, at the first, middle and last
//! offset, next to a copy of the same bytes.
//!
//! `cargo bench --bench pages`; `JOBSTORE_BENCH_JOBS=10000000` for more jobs.

mod common;

use std::hint::black_box;

use common::{fill, in_turns, is_test, memory_kib, number};
use jobstore::{JobStore, List, State};

fn main() {
    let jobs = if is_test() {
        20_000
    } else {
        number("JOBSTORE_BENCH_JOBS", 1_000_000)
    };
    let page_jobs = jobs.min(100_000);
    let rounds = if is_test() { 1 } else { 15 };
    let dir = tempfile::tempdir().expect("a temporary folder");
    let store = JobStore::open(dir.path()).expect("open");
    let graph = store.create_graph("10001", "movie").expect("create");
    let start = std::time::Instant::now();
    fill(&graph, jobs, 0);
    println!(
        "{jobs} jobs filled in {:.1} s",
        start.elapsed().as_secs_f64()
    );
    // Opened anew, as an engine finds it, and packed.
    store.close().expect("close");
    drop((graph, store));
    let start = std::time::Instant::now();
    let store = JobStore::open(dir.path()).expect("open");
    println!("opened in {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    let graph = store.graph("10001", "movie").expect("graph");
    wait_until_packed(dir.path());

    let page = |offset: u64| {
        graph
            .list(List::new().offset(offset).limit(page_jobs))
            .expect("list")
    };
    for offset in [0, jobs - page_jobs] {
        page(offset).write_json(std::io::sink()).expect("json");
    }
    println!(
        "memory after full pages: {} MiB now, {} MiB at most",
        memory_kib("VmRSS") / 1024,
        memory_kib("VmHWM") / 1024
    );
    let json = page(0).to_json().expect("json");
    let bytes = json.len();
    let mut copy = vec![1u8; bytes + bytes / 8];
    let mut outs = vec![vec![1u8; bytes + bytes / 8]; 3];
    let offsets = [0, (jobs - page_jobs) / 2, jobs - page_jobs];
    let (first, rest) = outs.split_at_mut(1);
    let (middle, last) = rest.split_at_mut(1);
    let write = |offset: u64, out: &mut Vec<u8>| {
        out.clear();
        page(offset).write_json(&mut *out).expect("json");
        black_box(out.len());
    };
    let times = in_turns(
        rounds,
        &mut [
            (
                "memcpy of the first page",
                Box::new(|| {
                    copy[..bytes].copy_from_slice(black_box(&json));
                    black_box(&copy);
                }),
            ),
            (
                "first page, JSON",
                Box::new(|| write(offsets[0], &mut first[0])),
            ),
            (
                "middle page, JSON",
                Box::new(|| write(offsets[1], &mut middle[0])),
            ),
            (
                "last page, JSON",
                Box::new(|| write(offsets[2], &mut last[0])),
            ),
        ],
    );
    println!(
        "\na page of {page_jobs} jobs, {:.1} MB of JSON, medians of {rounds}",
        bytes as f64 / 1e6
    );
    println!("| what | ms | / memcpy | / first page |\n|---|---|---|---|");
    for (name, time) in [
        "memcpy of the first page",
        "first page, JSON",
        "middle page, JSON",
        "last page, JSON",
    ]
    .iter()
    .zip(&times)
    {
        let ms = time.as_secs_f64() * 1e3;
        let over = |base: usize| time.as_secs_f64() / times[base].as_secs_f64();
        println!("| {name} | {ms:.2} | {:.2} | {:.2} |", over(0), over(1));
    }
    let typed = in_turns(
        rounds.min(5),
        &mut [(
            "typed",
            Box::new(|| {
                black_box(
                    page(0)
                        .jobs()
                        .map(|job| job.expect("job").sequence())
                        .sum::<u64>(),
                );
            }),
        )],
    );
    println!(
        "| first page, typed jobs | {:.2} | {:.2} | {:.2} |",
        typed[0].as_secs_f64() * 1e3,
        typed[0].as_secs_f64() / times[0].as_secs_f64(),
        typed[0].as_secs_f64() / times[1].as_secs_f64()
    );
    assert_eq!(graph.count(State::Complete).expect("count"), jobs);
    let on_disk = disk_bytes(dir.path());
    println!("\non disk: {} bytes a job", on_disk / jobs);
}

/// At rest, at most the segment that is written to and one prepared are there.
fn wait_until_packed(dir: &std::path::Path) {
    for _ in 0..600 {
        let segments = std::fs::read_dir(dir)
            .expect("folder")
            .filter(|entry| {
                let name = entry.as_ref().expect("entry").file_name();
                name.to_string_lossy().ends_with(".segment")
            })
            .count();
        if segments <= 2 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

fn disk_bytes(dir: &std::path::Path) -> u64 {
    let mut sum = 0;
    for entry in std::fs::read_dir(dir).expect("folder") {
        let entry = entry.expect("entry");
        let found = entry.metadata().expect("metadata");
        sum += if found.is_dir() {
            disk_bytes(&entry.path())
        } else {
            found.len()
        };
    }
    sum
}
