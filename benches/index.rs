//! The index's engines side by side: what a store costs and gives with each.
//!
//! `cargo bench --features redb --bench index`; `JOBSTORE_BENCH_JOBS=10000000` for more
//! jobs, `JOBSTORE_BENCH_ROUNDS` for more rounds. Each engine runs in processes of its
//! own, in turns, so that their memory is told apart.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use common::{Seeded, child, fill, import, is_test, memory_kib, number};
use jobstore::{Graph, IndexEngine, JobStore, List, Options, Outcome};

const CALLERS: u64 = 64;

fn engines() -> Vec<(&'static str, IndexEngine)> {
    vec![
        ("sled", IndexEngine::Sled),
        #[cfg(feature = "redb")]
        ("redb", IndexEngine::Redb),
    ]
}

fn main() {
    let engines = engines();
    if let Some(role) = child::role() {
        let found = engines.iter().find(|(known, _)| *known == role[1]);
        let (name, engine) = *found.expect("an engine");
        return match role[0].as_str() {
            "work" => work(engine, Path::new(&role[2])),
            _ => measure(name, engine),
        };
    }
    let rounds = if is_test() {
        1
    } else {
        number("JOBSTORE_BENCH_ROUNDS", 3)
    };
    let mut order = Vec::new();
    let mut figures: BTreeMap<String, BTreeMap<&str, Vec<f64>>> = BTreeMap::new();
    for round in 0..rounds {
        let mut turn = engines.clone();
        if round % 2 == 1 {
            turn.reverse();
        }
        for (name, _) in turn {
            for line in child::output(&["measure", name]).lines() {
                let (what, figure) = line.split_once(": ").expect("a figure");
                if !order.contains(&what.to_owned()) {
                    order.push(what.to_owned());
                }
                let of_engine = figures.entry(what.to_owned()).or_default();
                let figure = figure.parse().expect("a number");
                of_engine.entry(name).or_default().push(figure);
            }
        }
    }
    println!("medians of {rounds}");
    let names: Vec<&str> = engines.iter().map(|(name, _)| *name).collect();
    println!("| what | {} | last / first |", names.join(" | "));
    println!("|---|{}---|", "---|".repeat(names.len()));
    for what in order {
        let medians: Vec<f64> = names
            .iter()
            .map(|name| {
                let mut all = figures[&what][name].clone();
                all.sort_by(f64::total_cmp);
                all[all.len() / 2]
            })
            .collect();
        let cells: Vec<String> = medians.iter().map(|m| format!("{m:.1}")).collect();
        let ratio = medians[medians.len() - 1] / medians[0];
        println!("| {what} | {} | {ratio:.2} |", cells.join(" | "));
    }
}

fn say(what: &str, figure: f64) {
    println!("{what}: {figure}");
}

fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// Works on the store until it is killed.
fn work(engine: IndexEngine, dir: &Path) {
    let store = JobStore::options().index(engine).open(dir).expect("open");
    let graph = store.graph("10001", "movie").expect("graph");
    let mut random = Seeded(9);
    let mut cycle = move || life_cycle(&graph, &mut random);
    let before = if is_test() { 10 } else { 10_000 };
    (0..before).for_each(|_| cycle());
    child::until_killed(cycle)
}

fn life_cycle(graph: &Graph, random: &mut Seeded) {
    let id = graph.submit(import(random)).expect("submit");
    graph.start(&id).expect("start");
    graph.complete(&id, Outcome::succeeded()).expect("complete");
}

fn measure(name: &str, engine: IndexEngine) {
    let jobs = if is_test() {
        5_000
    } else {
        number("JOBSTORE_BENCH_JOBS", 1_000_000)
    };
    let foreign = jobs / 10;
    let root = tempfile::tempdir().expect("a temporary folder");
    let dir = root.path().join("store");
    let options = || -> Options { JobStore::options().index(engine) };
    let open = |dir: &Path| options().open(dir).expect("open");
    let store = open(&dir);
    let graph = store.create_graph("10001", "movie").expect("create");
    let filled = seconds(|| {
        fill(&graph, jobs - foreign, 0);
        std::thread::scope(|scope| {
            for caller in 0..CALLERS {
                let graph = &graph;
                scope.spawn(move || {
                    let mut random = Seeded(caller);
                    for n in (caller..foreign).step_by(CALLERS as usize) {
                        let request = import(&mut random);
                        graph.submit_as(foreign_id(n), request).expect("submit");
                    }
                });
            }
        });
    });
    say("fill, s", filled);
    say("close, ms", seconds(|| store.close().expect("close")) * 1e3);
    drop((graph, store));
    let folder = match engine {
        IndexEngine::Sled => dir.join("index"),
        _ => dir.join("index-redb"),
    };
    say("index on disk, MiB", mib(&folder));

    let opened = |dir: &Path| {
        let start = Instant::now();
        let store = open(dir);
        (start.elapsed().as_secs_f64() * 1e3, store)
    };
    let (sealed_ms, store) = opened(&dir);
    store.close().expect("close");
    std::fs::remove_file(dir.join("CLOSED")).expect("remove");
    let (unsealed_ms, store) = opened(&dir);
    say("open, ms", sealed_ms);
    say("open without the seal's check, ms", unsealed_ms);
    store.close().expect("close");
    drop(store);
    child::kill_when_ready(&["work", name, dir.to_str().expect("a path")]);
    let (killed_ms, store) = opened(&dir);
    say("open after a kill, ms", killed_ms);
    store.close().expect("close");

    std::fs::remove_dir_all(&folder).expect("remove");
    let (rebuilt_ms, store) = opened(&dir);
    say("open with a rebuild, ms", rebuilt_ms);
    say(
        "memory at most in the rebuild, MiB",
        memory_kib("VmHWM") as f64 / 1024.0,
    );
    store.close().expect("close");
    say("index on disk after it, MiB", mib(&folder));

    let store = open(&dir);
    let graph = store.graph("10001", "movie").expect("graph");
    let mut random = Seeded(5);
    let lookups = if is_test() { 100 } else { 20_000 };
    let took = seconds(|| {
        for _ in 0..lookups {
            let id = foreign_id(random.below(foreign));
            assert!(graph.job(&id).expect("job").is_some());
        }
    });
    say(
        "lookup of a foreign id, us",
        took / f64::from(lookups) * 1e6,
    );
    let page_jobs = 10_000.min(jobs);
    let pages = if is_test() { 1 } else { 20 };
    let took = seconds(|| {
        for _ in 0..pages {
            let offset = random.below(jobs - page_jobs + 1);
            let page = graph.list(List::new().offset(offset).limit(page_jobs));
            let page = page.expect("list");
            let seen = page.jobs().filter(|job| job.is_ok()).count() as u64;
            assert_eq!(seen, page_jobs);
        }
    });
    say(
        "page of 10000 typed jobs, ms",
        took / f64::from(pages) * 1e3,
    );

    let span = if is_test() { 0.05 } else { 4.0 };
    let start = Instant::now();
    let cycles: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let graph = &graph;
                scope.spawn(move || {
                    let (mut random, mut done) = (Seeded(100 + caller), 0);
                    while start.elapsed().as_secs_f64() < span {
                        life_cycle(graph, &mut random);
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
    say(
        "life cycles by 64 callers, /s",
        cycles as f64 / start.elapsed().as_secs_f64(),
    );
    say("memory then, MiB", memory_kib("VmRSS") as f64 / 1024.0);
    store.close().expect("close");
}

fn foreign_id(n: u64) -> String {
    format!("request-{n:012}")
}

fn mib(folder: &Path) -> f64 {
    use std::os::unix::fs::MetadataExt;
    let mut sum = 0.0;
    for entry in std::fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        sum += match path.is_dir() {
            true => mib(&path),
            false => path.metadata().expect("metadata").blocks() as f64 / 2048.0,
        };
    }
    sum
}
