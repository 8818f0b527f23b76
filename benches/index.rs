//! The index's engines side by side: what a store costs and gives with each.
//!
//! `cargo bench --features redb --bench index`; `JOBSTORE_BENCH_JOBS=10000000` for more
//! jobs, `JOBSTORE_BENCH_ROUNDS` for more rounds. Each engine runs in processes of its
//! own, in turns, so that their memory is told apart.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use common::callers::Callers;
use common::child;
use common::folder::{disk_bytes, wait_until_packed};
use common::memory::memory;
use common::requests::Seeded;
use common::settings::{self, is_test, sized};
use common::stores::{fill, fill_brought, graph};
use common::table;
use common::turns::{spread, timed, turned};
use common::work::{PROJECT, Work, foreign_id, requests};
use jobstore::{Graph, IndexEngine, JobStore, List};

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
        let dir = role.get(2).map_or(Path::new(""), Path::new);
        return match role[0].as_str() {
            "work" => work(engine, dir),
            "rebuild" => rebuild(engine, dir),
            "serve" => serve(engine, dir),
            _ => measure(name, engine),
        };
    }
    let rounds = settings::rounds(3);
    let mut order = Vec::new();
    let mut figures: BTreeMap<String, BTreeMap<&str, Vec<f64>>> = BTreeMap::new();
    for round in 0..rounds {
        for n in turned(round, engines.len()) {
            let (name, _) = engines[n];
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
    println!("{} jobs; medians of {rounds} rounds", settings::jobs());
    let names: Vec<&str> = engines.iter().map(|(name, _)| *name).collect();
    table::head(&[&["what"], &names[..], &["last / first"]].concat());
    for what in order {
        let all = |name| spread(figures[&what][name].iter().copied()).median;
        let medians: Vec<f64> = names.iter().map(all).collect();
        let mut cells = vec![what.clone()];
        cells.extend(medians.iter().map(|median| format!("{median:.1}")));
        cells.push(format!("{:.2}", medians[medians.len() - 1] / medians[0]));
        table::row(&cells);
    }
}

fn say(what: &str, figure: f64) {
    println!("{what}: {figure}");
}

fn mib(folder: &Path) -> f64 {
    disk_bytes(folder) as f64 / f64::from(1 << 20)
}

/// Life cycles by many callers.
fn cycles(graph: &Graph) -> Callers {
    let (graph, requests) = (graph.clone(), requests(9, 10_000));
    Callers::new(CALLERS, move |n| {
        let request = &requests[n as usize % requests.len()];
        Work::LifeCycle.carry_out(&graph, request.clone());
    })
}

/// Works on the store until it is killed.
fn work(engine: IndexEngine, dir: &Path) {
    let store = JobStore::options().index(engine).open(dir).expect("open");
    let callers = cycles(&graph(&store));
    callers.run(sized(1, 200));
    child::until_killed(move || {
        callers.run(1);
    })
}

fn measure(name: &str, engine: IndexEngine) {
    let jobs = settings::jobs();
    let foreign = jobs / 10;
    let root = tempfile::tempdir().expect("a temporary folder");
    let dir = root.path().join("store");
    let store = JobStore::options().index(engine).open(&dir).expect("open");
    let graph = store.create_graph(PROJECT, "movie").expect("create");
    let filled = timed(|| {
        fill(&graph, jobs - foreign, |_| false);
        fill_brought(&graph, foreign);
    });
    say("fill, s", filled.as_secs_f64());
    wait_until_packed(&dir);
    let closed = timed(|| store.close().expect("close"));
    say("close, ms", closed.as_secs_f64() * 1e3);
    drop((graph, store));
    let folder = match engine {
        IndexEngine::Sled => dir.join("index"),
        _ => dir.join("index-redb"),
    };
    say("index on disk, MiB", mib(&folder));

    say("open, ms", open_ms(engine, &dir));
    std::fs::remove_file(dir.join("CLOSED")).expect("remove");
    let unsealed = open_ms(engine, &dir);
    say("open without the seal's check, ms", unsealed);
    let path = dir.to_str().expect("a path");
    child::kill_when_ready(&["work", name, path]);
    say("open after a kill, ms", open_ms(engine, &dir));
    std::fs::remove_dir_all(&folder).expect("remove");
    print!("{}", child::output(&["rebuild", name, path]));
    say("index on disk after it, MiB", mib(&folder));
    print!("{}", child::output(&["serve", name, path]));
}

/// How long an open takes. The store is closed again once it is at rest.
fn open_ms(engine: IndexEngine, dir: &Path) -> f64 {
    let start = Instant::now();
    let store = JobStore::options().index(engine).open(dir).expect("open");
    let took = start.elapsed();
    wait_until_packed(dir);
    store.close().expect("close");
    took.as_secs_f64() * 1e3
}

fn rebuild(engine: IndexEngine, dir: &Path) {
    say("open with a rebuild, ms", open_ms(engine, dir));
    let most = memory().most_kib as f64 / 1024.0;
    say("memory at most in the rebuild, MiB", most);
}

fn serve(engine: IndexEngine, dir: &Path) {
    let store = JobStore::options().index(engine).open(dir).expect("open");
    wait_until_packed(dir);
    let (graph, jobs) = (graph(&store), settings::jobs());
    let mut random = Seeded(5);
    let lookups = sized(100, 20_000);
    let took = timed(|| {
        for _ in 0..lookups {
            let id = foreign_id(random.below(jobs / 10));
            assert!(graph.job(&id).expect("job").is_some());
        }
    });
    let each = took.as_secs_f64() / f64::from(lookups);
    say("lookup of a foreign id, us", each * 1e6);
    let page_jobs = 10_000.min(jobs);
    let pages = sized(1, 20);
    let took = timed(|| {
        for _ in 0..pages {
            let offset = random.below(jobs - page_jobs + 1);
            let page = graph.list(List::new().offset(offset).limit(page_jobs));
            let page = page.expect("list");
            let seen = page.jobs().filter(|job| job.is_ok()).count() as u64;
            assert_eq!(seen, page_jobs);
        }
    });
    let each = took.as_secs_f64() / f64::from(pages);
    say("page of 10000 typed jobs, ms", each * 1e3);
    let callers = cycles(&graph);
    let calls = match is_test() {
        true => 1,
        false => callers.calls_for(Duration::from_secs(4)),
    };
    let took = callers.run(calls).as_secs_f64();
    let each = took / (calls * CALLERS) as f64;
    say("life cycles by 64 callers, /s", 1.0 / each);
    say("memory then, MiB", memory().now_kib as f64 / 1024.0);
    store.close().expect("close");
}
