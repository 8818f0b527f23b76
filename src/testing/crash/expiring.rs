//! Guarantee: a scrub reads all files completely, however soon replaced files expire.

use std::sync::Arc;
use std::time::Duration;

use crate::base::sync::time::Instant;
use crate::log::disk::memory::MemoryDisk;
use crate::model::job_query::JobQuery;
use crate::model::options::Durability;
use crate::model::request::{Body, Request};
use crate::testing::crash::client::{Store, assert_no_thread_panicked};
use crate::testing::crash::rewritten::settle;

fn request(n: u64) -> Request {
    let filler = format!("{n:016x}").repeat(100);
    let body = Body::from_json(format!("{filler:?}")).expect("JSON");
    Request::new("import", "/ges", body).expect("a request")
}

#[test]
fn a_scrub_reads_files_that_were_replaced_meanwhile() {
    let store = Store::open(Arc::new(MemoryDisk::default()), Durability::Synced);
    let store = store.expect("it opens");
    store.create_graph("movie");
    let graph = store.graph("movie");
    let ids = graph
        .submit_all((0..4000).map(request))
        .expect("they are taken");
    for id in &ids {
        drop(graph.nonblocking().cancel(id));
    }
    settle(&store);
    std::thread::scope(|scope| {
        let scrub = scope.spawn(|| store.engine.scrub());
        std::thread::sleep(Duration::from_millis(20));
        graph.purge(JobQuery::new()).expect("it is purged");
        settle(&store);
        let later = Instant::now() + Duration::from_secs(3600);
        store.engine.expire_retired(later);
        assert!(!scrub.is_finished(), "nothing was replaced while it ran");
        let report = scrub.join().expect("no panic").expect("a report");
        assert!(report.is_sound(), "{:?}", report.damage);
    });
    assert_no_thread_panicked();
}
