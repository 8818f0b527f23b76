//! A store whose replica is in S3.

use std::path::Path;
use std::sync::Arc;

use jobstore::replica::S3Replica;
use jobstore::{Body, Error, Graph, JobQuery, JobStore, Request};

use crate::fake_s3::{FakeS3, Fault};
use crate::replica_at;

const JOBS: usize = 300;

fn open(replica: &S3Replica, dir: &Path) -> jobstore::Result<JobStore> {
    let options = JobStore::options().segment_bytes(64 << 10);
    options.replica(Arc::new(replica.clone())).open(dir)
}

fn submit(graph: &Graph, n: usize) -> jobstore::Result<()> {
    let body = Body::from_value(&"x".repeat(n % 700))?;
    graph.submit_as(format!("job-{n}"), Request::new("c", "/ges", body)?)?;
    Ok(())
}

fn listed(graph: &Graph) -> Vec<u8> {
    graph.list(JobQuery::new()).unwrap().to_json().unwrap()
}

/// Fills a store, takes it over while it is open, and loses its directory.
pub fn lose_the_machine(replica: &S3Replica) {
    let dir = tempfile::tempdir().unwrap();
    let (a, b, c) = (
        dir.path().join("a"),
        dir.path().join("b"),
        dir.path().join("c"),
    );
    let old = open(replica, &a).unwrap();
    let graph = old.create_graph("1", "movie").unwrap();
    for n in 0..JOBS {
        submit(&graph, n).unwrap();
    }
    let before = listed(&graph);

    let new = open(replica, &b).unwrap();
    let taken = new.graph("1", "movie").unwrap();
    assert!(listed(&taken) == before, "the list is another");
    let refused = submit(&graph, JOBS).unwrap_err();
    assert!(
        matches!(refused, Error::Deposed { .. } | Error::CommitUnknown { .. }),
        "{refused}"
    );
    submit(&taken, JOBS).unwrap();
    let after = listed(&taken);
    drop((graph, old));
    new.close().unwrap();
    std::fs::remove_dir_all(&b).unwrap();

    let store = open(replica, &c).unwrap();
    assert!(
        listed(&store.graph("1", "movie").unwrap()) == after,
        "the list is another"
    );
    store.close().unwrap();
}

#[test]
fn a_store_survives_the_loss_of_its_machine() {
    let server = FakeS3::start();
    lose_the_machine(&replica_at(&server.url, "engine"));
}

#[test]
fn a_server_that_is_not_atomic_is_refused_when_the_store_is_opened() {
    let server = FakeS3::start();
    server.fail_with(Fault::IgnoresCondition);
    let dir = tempfile::tempdir().unwrap();
    let error = open(&replica_at(&server.url, "engine"), dir.path())
        .err()
        .unwrap();
    assert!(error.to_string().contains("If-None-Match"), "{error}");
    assert_eq!(server.keys(), [""; 0]);
}
