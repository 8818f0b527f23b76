//! A pair of etcd and another backend.

use std::sync::Arc;

use jobstore::replica::{MemoryReplica, Pair, prove};
use jobstore::{Body, JobQuery, JobStore, Request};

use crate::cluster::Cluster;

#[test]
#[ignore = "needs etcd"]
fn a_pair_is_fit_for_a_store_that_loses_its_directory() {
    let cluster = Cluster::three();
    let packs = MemoryReplica::default();
    let pair = || {
        Arc::new(Pair::new(
            Arc::new(cluster.replica("jobs")),
            Arc::new(packs.clone()),
        ))
    };
    prove(&*pair()).unwrap();

    // The second request is larger than what the log's backend accepts.
    let bodies = ["{}".to_owned(), format!("\"{}\"", "x".repeat(3 << 20))];
    for opens in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let store = JobStore::options()
            .replica(pair())
            .open(dir.path())
            .unwrap();
        let graph = store.get_or_create_graph("10001", "movie").unwrap();
        let jobs = graph.list(JobQuery::new()).unwrap().jobs().count();
        assert_eq!(jobs, opens * bodies.len());
        for body in &bodies {
            let body = Body::from_json(body).unwrap();
            let request = Request::new("execute_algorithm", "/action", body).unwrap();
            graph.submit(request).unwrap();
        }
    }
}
