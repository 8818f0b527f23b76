//! A follower serves the list that the store it follows would serve, and refuses to cancel.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jobstore::JobStore;
use jobstore::replica::MemoryReplica;

use crate::common::request;
use crate::{LIST, serve};

#[test]
fn a_follower_serves_the_list_and_says_how_old_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let replica = Arc::new(MemoryReplica::default());
    let options = JobStore::options().replica(replica.clone());
    let writer = options.open(dir.path().join("a")).unwrap();
    let graph = writer.create_graph("10001", "moviejx").unwrap();
    graph.submit_as("job-1", request("c", "{}")).unwrap();
    let follower = JobStore::follow(dir.path().join("b"), replica).unwrap();
    graph.submit_as("job-2", request("c", "{}")).unwrap();
    let (here, there) = (serve(&writer), serve(&follower));
    let ours = here.get(LIST);
    let lsn = |text: Option<&str>| text.unwrap().parse::<u64>().unwrap();
    let as_of = lsn(ours.header("x-as-of-lsn"));
    assert_eq!(ours.header("x-lag-ms"), None);
    let begun = Instant::now();
    let theirs = loop {
        let theirs = there.get(LIST);
        if lsn(theirs.header("x-as-of-lsn")) >= as_of {
            break theirs;
        }
        assert!(begun.elapsed() < Duration::from_secs(60));
    };
    assert!(theirs.header("x-lag-ms").is_some());
    assert_eq!(ours.ok(), theirs.ok());
    let job = LIST.replace("status", "job-1");
    for status in [format!("{job}/status"), format!("{job}/status?limit=1")] {
        assert_eq!(here.get(&status).ok(), there.get(&status).ok());
    }
    assert_eq!(there.ask("DELETE", &job, &[]).status, 503);
    assert_eq!(here.get(LIST).ok(), there.get(LIST).ok());
    let metrics = jobstore::http::metrics(&follower).unwrap();
    assert!(metrics.contains("jobstore_follower_lag_seconds "));
    assert!(!metrics.contains("jobstore_replica_"));
    let metrics = jobstore::http::metrics(&writer).unwrap();
    assert!(!metrics.contains("jobstore_follower_"));
    for (name, value) in [
        ("reign", 1),
        ("retries_total", 0),
        ("waiting_seconds", 0),
        (
            "last_chunk",
            writer.stats().unwrap().replica.unwrap().last_chunk,
        ),
    ] {
        let line = format!("jobstore_replica_{name} {value}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
    assert!(follower.control().is_ok());
}
