//! One store with many jobs: opening it after a close and after a kill, its memory, pages, lookups,
//! searches, tallies, and closing it.
//!
//! `cargo bench --bench scale`; `JOBSTORE_BENCH_JOBS=100000000` for more jobs, and
//! `JOBSTORE_BENCH_DIR` for a directory in which the filled store is kept. Each round runs in a
//! process of its own. The store is changed only by a few jobs that the rounds submit.

mod common;

use std::path::Path;
use std::time::Instant;

use common::child;
use common::directory::disk_bytes;
use common::memory::memory;
use common::requests::Seeded;
use common::settings;
use common::stores::{Filled, Shape, graph};
use common::table;
use common::turns::spread;
use common::work::requests;
use jobstore::{Body, Graph, JobId, JobQuery, JobStore, Outcome, Request, TallyBy};

const PAGE: u64 = 100_000;
/// How many jobs are looked up.
const LOOKUPS: u64 = 1_000;

fn main() {
    if let Some(role) = child::role() {
        let dir = Path::new(&role[1]);
        return match role[0].as_str() {
            "be killed" => be_killed(dir),
            _ => round(dir),
        };
    }
    let jobs = settings::jobs();
    let filled = Filled::new(Shape::Finished, jobs);
    let dir = filled.dir.to_str().expect("a path in UTF-8");
    let mut figures: Vec<(String, Vec<f64>)> = Vec::new();
    for _ in 0..settings::rounds(5) {
        let closed = child::output(&["after a close", dir]);
        child::kill_when_ready(&["be killed", dir]);
        let killed = child::output(&["after a kill", dir]);
        let lines = closed.lines().map(|line| line.to_owned());
        let killed = killed.lines().take(1);
        let killed = killed.map(|line| line.replace("open and", "after a kill: open and"));
        for line in lines.chain(killed) {
            let (what, figure) = line.rsplit_once(": ").expect("a figure");
            let figure = figure.parse().expect("a number");
            match figures.iter_mut().find(|(known, _)| known == what) {
                Some((_, known)) => known.push(figure),
                None => figures.push((what.to_owned(), vec![figure])),
            }
        }
    }
    println!("{jobs} complete jobs: median (min..max)");
    table::head(&["what", "figure"]);
    for (what, figures) in figures {
        table::row(&[what, spread(figures).to_string()]);
    }
    let bytes = disk_bytes(&filled.dir) as f64 / jobs as f64;
    table::row(&[
        "disk space per job, bytes".to_owned(),
        format!("{bytes:.1}"),
    ]);
}

fn milliseconds<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let begun = Instant::now();
    let done = work();
    (done, begun.elapsed().as_secs_f64() * 1e3)
}

fn say(what: &str, figure: f64) {
    println!("{what}: {figure}");
}

/// Prints the figures of a process that opens the store, reads it, and closes it.
fn round(dir: &Path) {
    let ((store, movie), ms) = milliseconds(|| {
        let store = JobStore::open(dir).expect("open");
        let movie = graph(&store);
        movie.list(JobQuery::new().limit(1)).expect("a page");
        (store, movie)
    });
    say("open and list one job, ms", ms);
    say(
        "memory after the open, MiB",
        memory().now_kib as f64 / 1024.0,
    );
    let page = movie.list(JobQuery::new().limit(1)).expect("a page");
    let jobs = page.total().expect("a total");
    let mut random = Seeded(std::process::id().into());
    pages(&movie, jobs, &mut random);
    let ids = some_ids(&movie, jobs, &mut random);
    say(
        "get a job by id, p50, us",
        p50(&ids, |id| drop(movie.job(id).expect("a job"))),
    );
    let none: Vec<Request> = (0..LOOKUPS)
        .map(|n| {
            let body = Body::from_value(&("no such job", n)).expect("a body");
            Request::new("import_graph", "/ges", body).expect("a request")
        })
        .collect();
    let search = |request: &Request| movie.find(request).expect("a search").next();
    say(
        "find by a request that no job has, p50, us",
        p50(&none, |request| assert!(search(request).is_none())),
    );
    let known: Vec<_> = ids
        .iter()
        .map(|id| movie.job(id).expect("a job").expect("it exists"))
        .collect();
    say(
        "find the newest job with a request, p50, us",
        p50(&known, |job| assert!(search(job.request()).is_some())),
    );
    for (by, name) in [(TallyBy::Outcome, "outcome"), (TallyBy::Command, "command")] {
        let (_, ms) = milliseconds(|| movie.tally(JobQuery::new(), by).expect("a tally"));
        say(&format!("tally by {name}, ms"), ms);
    }
    say(
        "memory after all of this, MiB",
        memory().now_kib as f64 / 1024.0,
    );
    drop((known, movie));
    let (_, ms) = milliseconds(|| store.close().expect("close"));
    say("close, ms", ms);
}

fn pages(movie: &Graph, jobs: u64, random: &mut Seeded) {
    for (name, limit) in [
        ("full page anywhere, ms", PAGE),
        ("page of 100 anywhere, ms", 100),
    ] {
        let mut took = Vec::new();
        let mut out = Vec::new();
        for _ in 0..settings::sized(2, 20) {
            let offset = random.below(jobs.saturating_sub(limit).max(1));
            let page = JobQuery::new().offset(offset).limit(limit);
            out.clear();
            let (_, ms) = milliseconds(|| {
                let page = movie.list(page).expect("a page");
                page.write_json(&mut out).expect("written");
            });
            took.push(ms);
        }
        say(name, spread(took).median);
    }
}

/// Returns the ids of jobs everywhere in the list.
fn some_ids(movie: &Graph, jobs: u64, random: &mut Seeded) -> Vec<JobId> {
    let mut ids = Vec::new();
    for _ in 0..settings::sized(10, LOOKUPS) {
        let one = JobQuery::new().offset(random.below(jobs)).limit(1);
        let page = movie.list(one).expect("a page");
        ids.extend(page.jobs().map(|job| job.expect("a job").id().clone()));
    }
    ids
}

/// Returns the median duration of the work for each of these, in microseconds.
fn p50<T>(all: &[T], mut work: impl FnMut(&T)) -> f64 {
    let took = all.iter().map(|one| milliseconds(|| work(one)).1 * 1e3);
    spread(took).median
}

/// Submits and completes jobs until it is killed.
fn be_killed(dir: &Path) {
    let store = JobStore::open(dir).expect("open");
    let movie = graph(&store);
    let some = requests(9, 100);
    let work = move || {
        for id in movie.submit_all(some.clone()).expect("submit") {
            drop(movie.nonblocking().start(&id));
            drop(movie.nonblocking().complete(&id, Outcome::succeeded()));
        }
    };
    work();
    let _store = store;
    child::until_killed(work);
}
