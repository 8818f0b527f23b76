//! Full pages with a replica and on a follower, compared with a plain store; and how long it takes
//! until an empty directory, and a follower, have taken over.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use jobstore::replica::Replica;
use jobstore::{Graph, JobQuery, JobStore};

use crate::common::directory::wait_until_packed;
use crate::common::settings;
use crate::common::stores::fill;
use crate::common::table;
use crate::common::turns::{Measured, in_turns, ratios, spread, timed};
use crate::common::work::PROJECT;
use crate::lag::catch_up;
use crate::{Backend, open};

pub fn measure(backends: &[Backend]) {
    let (rounds, jobs) = (settings::rounds(5), settings::jobs());
    println!("\npages and takeovers of {jobs} jobs, {rounds} rounds: median (min..max)\n");
    table::head(&[
        "backend",
        "full page, with a replica / plain",
        "full page, on a follower / plain",
        "takeover by an empty directory, s",
        "takeover by a follower, s",
    ]);
    for Backend { name, connect } in backends {
        let dirs = tempfile::tempdir().expect("a temporary directory");
        let dir = |name: &str| dirs.path().join(name);
        let replica = connect();
        let (plain_store, plain) = open(&dir("plain"), None);
        let (store, graph) = open(&dir("replicated"), Some(replica.clone()));
        for (name, graph) in [("plain", &plain), ("replicated", &graph)] {
            fill(graph, jobs, |_| false);
            wait_until_packed(&dir(name));
        }
        let follower = JobStore::follow(dir("follower"), replica.clone()).expect("a follower");
        let followed = follower.graph(PROJECT, "movie").expect("a graph");
        catch_up(&graph, &followed);
        wait_until_packed(&dir("follower"));
        let page = |graph: &Graph| {
            let page = graph.list(JobQuery::new().limit(100_000)).expect("a page");
            page.write_json(std::io::sink()).expect("written");
        };
        let mut things: Vec<Measured<'_>> = vec![
            Box::new(|| timed(|| page(&plain))),
            Box::new(|| timed(|| page(&graph))),
            Box::new(|| timed(|| page(&followed))),
        ];
        let times = in_turns(3 * rounds, &mut things);
        drop(things);
        plain_store.close().expect("close");
        store.close().expect("close");
        let mut follower = Some(follower);
        let (mut by_empty, mut by_follower) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let empty = dir(&format!("elsewhere-{round}"));
            by_empty.push(take_over(&empty, &replica, || ()));
            std::fs::remove_dir_all(&empty).expect("removed");
            let own = follower.take();
            let close = || {
                own.into_iter()
                    .for_each(|store| store.close().expect("close"))
            };
            by_follower.push(take_over(&dir("follower"), &replica, close));
            let again = JobStore::follow(dir("follower"), replica.clone());
            follower = Some(again.expect("a follower"));
        }
        drop(follower);
        table::row(&[
            name.clone(),
            ratios(&times[1], &times[0]).to_string(),
            ratios(&times[2], &times[0]).to_string(),
            spread(by_empty).to_string(),
            spread(by_follower).to_string(),
        ]);
    }
}

/// Opens the store in this directory, after `before`, lists a job, and closes the store. Returns the
/// seconds until the job was listed.
fn take_over(dir: &Path, replica: &Arc<dyn Replica>, before: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    before();
    let (store, graph) = open(dir, Some(replica.clone()));
    graph.list(JobQuery::new().limit(1)).expect("a page");
    let took = begun.elapsed().as_secs_f64();
    store.close().expect("close");
    took
}
