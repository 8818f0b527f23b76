//! How long it takes until a follower shows what the writer has acknowledged.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use jobstore::{Graph, JobId, JobQuery, JobStore};

use crate::common::settings::sized;
use crate::common::table;
use crate::common::work::{PROJECT, requests};
use crate::{Backend, open};

const JOBS_PER_SECOND: u32 = 5_000;
/// How many jobs are submitted before the writer waits for the next turn.
const JOBS_PER_TURN: u32 = 25;

/// Waits until a follower shows everything that the writer shows now.
pub fn catch_up(graph: &Graph, followed: &Graph) {
    let lsn = |graph: &Graph| {
        let page = graph.list(JobQuery::new().limit(1));
        page.expect("a page").as_of_lsn()
    };
    let end = lsn(graph);
    while lsn(followed) < end {
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub fn measure(backends: &[Backend]) {
    let time = sized(Duration::from_millis(200), Duration::from_secs(20));
    println!(
        "\nlag of a follower at {JOBS_PER_SECOND} jobs/s, one job in {JOBS_PER_TURN}, {time:?}\n"
    );
    table::head(&["backend", "jobs/s", "p50, ms", "p99, ms", "max, ms"]);
    for Backend { name, connect } in backends {
        let dirs = tempfile::tempdir().expect("a temporary directory");
        let replica = connect();
        let (store, graph) = open(&dirs.path().join("here"), Some(replica.clone()));
        let follower = JobStore::follow(dirs.path().join("there"), replica).expect("a follower");
        let followed = follower.graph(PROJECT, "movie").expect("a graph");
        let begun = Instant::now();
        let (jobs, mut lags) = at_pace(&graph, &followed, time);
        let rate = f64::from(jobs) / begun.elapsed().as_secs_f64();
        lags.sort();
        let at = |percent: usize| lags[(lags.len() - 1) * percent / 100].as_secs_f64() * 1e3;
        table::row(&[
            name.clone(),
            format!("{rate:.0}"),
            format!("{:.1}", at(50)),
            format!("{:.1}", at(99)),
            format!("{:.1}", at(100)),
        ]);
        follower.close().expect("close");
        store.close().expect("close");
    }
}

/// Submits jobs at a constant rate. Returns their number, and how long after its acknowledgement
/// the follower had the last job of each turn.
fn at_pace(graph: &Graph, followed: &Graph, time: Duration) -> (u32, Vec<Duration>) {
    let requests = requests(5, 1_000);
    let (give, acknowledged) = channel::<(JobId, Instant)>();
    std::thread::scope(|scope| {
        let watching = scope.spawn(move || {
            let mut lags = Vec::new();
            for (id, at) in acknowledged {
                while !matches!(followed.job(&id), Ok(Some(_))) {
                    std::thread::sleep(Duration::from_micros(500));
                }
                lags.push(at.elapsed());
            }
            lags
        });
        let (begun, mut jobs) = (Instant::now(), 0);
        let mut own = requests.iter().cycle();
        while begun.elapsed() < time {
            let mut last = None;
            for request in own.by_ref().take(JOBS_PER_TURN as usize) {
                last = Some(graph.nonblocking().submit(request.clone()));
            }
            if let Some(write) = last {
                // Another thread waits, so that a slow backend does not slow the writer down.
                let give = give.clone();
                scope.spawn(move || {
                    let id = write.wait().expect("submitted");
                    give.send((id, Instant::now())).ok();
                });
            }
            jobs += JOBS_PER_TURN;
            let due = begun + Duration::from_secs(1) * jobs / JOBS_PER_SECOND;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        drop(give);
        (jobs, watching.join().expect("the watcher"))
    })
}
