//! Memory and threads of a process with a store, on a real directory.
//!
//! Prepares a store, leaves it idle, and checks the limits. An idle store has few threads and uses
//! little memory, whatever was done to it. A closed store has no threads.

use std::path::Path;
use std::time::{Duration, Instant};

use jobstore::{Graph, JobQuery, JobStore, Outcome, Retention};
use jobstore_trials::random::Random;

use crate::life::Finding;
use crate::real::failed_to;
use crate::requests::Content;

const CACHE_BYTES: u64 = 16 << 20;
/// The maximum memory of a process, excluding its cache.
const FIXED_BYTES: u64 = 64 << 20;
/// The memory for an open job. The next constant is that for a graph. Both are documented.
const OPEN_JOB_BYTES: u64 = 512;
const GRAPH_BYTES: u64 = 3 << 10;
/// The committer, the packer, the indexer, and the archiver.
const WORKERS: u64 = 4;
/// The maximum number of threads of the index's engine, which are shared by the whole process and
/// never end.
const POOL_THREADS_MAX: u64 = 8;
/// The number of threads that flush an index.
const INDEX_THREADS: u64 = 1;
const GRAPHS: u64 = 40;
const JOBS: u64 = 40_000;
/// How long it may take until a store is idle.
const REST: Duration = Duration::from_secs(30);

fn status(key: &str) -> Result<u64, Finding> {
    let text = std::fs::read_to_string("/proc/self/status").map_err(|e| e.to_string())?;
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|line| line.split_whitespace().next());
    let number = number.and_then(|number| number.parse().ok());
    number.ok_or_else(|| format!("/proc/self/status has no {key}"))
}

fn threads() -> Result<u64, Finding> {
    status("Threads:")
}

/// Returns the number of threads that are named after the store.
fn own_threads() -> Result<u64, Finding> {
    let tasks = std::fs::read_dir("/proc/self/task").map_err(|e| e.to_string())?;
    let names = tasks.flatten().map(|task| task.path().join("comm"));
    let names = names.filter_map(|comm| std::fs::read_to_string(comm).ok());
    Ok(names.filter(|name| name.starts_with("jobstore")).count() as u64)
}

fn resident_bytes() -> Result<u64, Finding> {
    Ok(status("VmRSS:")? << 10)
}

/// Waits until a value is at most `max`. If it stays larger, reports the actual value.
fn at_rest(what: &str, now: impl Fn() -> Result<u64, Finding>, max: u64) -> Result<(), Finding> {
    let deadline = Instant::now() + REST;
    loop {
        let there = now()?;
        if there <= max {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("{there} {what} when idle, more than {max}"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn fill(graph: &Graph, random: &mut Random) -> Result<(), Finding> {
    for _ in 0..JOBS / GRAPHS / 100 {
        let contents = (0..100).map(|_| {
            let mut content = Content::draw(random);
            content.filler %= 2_000;
            content.request()
        });
        graph
            .submit_all(contents)
            .map_err(failed_to("submit_all"))?;
    }
    let mut left = JOBS / GRAPHS / 2;
    while left > 0 {
        let Some(run) = graph.claim_next().map_err(failed_to("claim_next"))? else {
            break;
        };
        run.complete(Outcome::failed("GES.2", "no"))
            .map_err(failed_to("complete"))?;
        left -= 1;
    }
    Ok(())
}

/// Lists everything from several threads, with and without a search, and keeps the results.
fn list_all(graphs: &[Graph]) -> Result<(), Finding> {
    std::thread::scope(|scope| {
        let listing = graphs.chunks(graphs.len().div_ceil(8));
        let listing = listing.map(|graphs| {
            scope.spawn(move || {
                for graph in graphs {
                    for list in [JobQuery::new(), JobQuery::new().url_contains("?n=3")] {
                        let page = graph.list(list).map_err(failed_to("list"))?;
                        page.to_json().map_err(failed_to("to_json"))?;
                    }
                    let changes = graph.changes(None).map_err(failed_to("changes"))?;
                    for change in changes {
                        change.map_err(failed_to("changes"))?;
                    }
                }
                Ok::<(), Finding>(())
            })
        });
        let listing: Vec<_> = listing.collect();
        for listing in listing {
            listing.join().map_err(|_| "a panic".to_owned())??;
        }
        Ok(())
    })
}

pub fn bounds(random: &mut Random, dir: &Path) -> Result<(), Finding> {
    let (threads_before, memory_before) = (threads()?, resident_bytes()?);
    for round in 0..3 {
        let options = JobStore::options().cache_bytes(CACHE_BYTES);
        let store = options.open(dir.join("store")).map_err(failed_to("open"))?;
        let mut graphs = Vec::new();
        for n in 0..GRAPHS {
            let graph = store.get_or_create_graph("1", &format!("g{n}"));
            graphs.push(graph.map_err(failed_to("create"))?);
        }
        if round < 2 {
            for graph in &graphs {
                fill(graph, random)?;
            }
        }
        list_all(&graphs)?;
        if round == 1 {
            for graph in &graphs {
                let keeps = Retention::new().max_jobs(100);
                let archive = dir.join("archive");
                graph
                    .set_retention(Some(keeps.archive_to(archive)))
                    .map_err(failed_to("set_retention"))?;
            }
        }
        let stats = store.stats().map_err(failed_to("stats"))?;
        let open: u64 = stats.graphs.iter().map(|g| g.pending + g.running).sum();
        let max = CACHE_BYTES + FIXED_BYTES + OPEN_JOB_BYTES * open + GRAPH_BYTES * GRAPHS;
        at_rest("bytes of memory", resident_bytes, memory_before + max)?;
        let idle_max = threads_before + POOL_THREADS_MAX;
        at_rest("threads", threads, idle_max + WORKERS + INDEX_THREADS)?;
        drop(graphs);
        store.close().map_err(failed_to("close"))?;
        drop(store);
        let after = |e| format!("after a close (round {round}), {e}");
        at_rest("threads", threads, idle_max).map_err(after)?;
        at_rest("threads of the store's", own_threads, 0).map_err(after)?;
    }
    Ok(())
}
