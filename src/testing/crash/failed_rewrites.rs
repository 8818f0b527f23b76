//! Guarantee: no failure during a background rewrite of packs stops the store.
//!
//! One call to the disk fails, or one call and all later ones, while a pack is compacted or packs
//! are merged. The test begins with the first call, then the second, and so on until every call has
//! failed. Afterward, the store finds its files, returns the same data, accepts writes, can rewrite
//! the packs, and opens with the same jobs.

use std::sync::Arc;

use crate::engine::background::compaction;
use crate::log::disk::memory::MemoryDisk;
use crate::log::disk::memory::trial::Fault;
use crate::log::pack::Pack;
use crate::model::job_query::JobQuery;
use crate::model::options::Durability;
use crate::model::request::{Body, Request};
use crate::testing::crash::client::{Random, Store};
use crate::testing::crash::rewritten::settle;

const EIO: i32 = 5;
const EMFILE: i32 = 24;

fn request(n: u64) -> Request {
    let body = Body::from_json(format!(r#"{{"n":{n},"filler":"{}"}}"#, "x".repeat(300)));
    Request::new("import", "/ges", body.expect("JSON")).expect("a request")
}

fn jobs(store: &Store) -> Vec<u8> {
    let page = store.graph("movie").list(JobQuery::new()).expect("a page");
    page.to_json().expect("its text")
}

/// Returns a store with several packs, a third of whose jobs were purged.
fn begun() -> (Arc<MemoryDisk>, Store) {
    let disk = Arc::new(MemoryDisk::default());
    let store = Store::open(disk.clone(), Durability::Synced).expect("it opens");
    store.create_graph("movie");
    let graph = store.graph("movie");
    for n in 0..230 {
        let id = graph.submit(request(n)).expect("it is taken");
        if n % 3 == 0 {
            graph.cancel(&id).expect("it is cancelled");
        }
    }
    graph.purge(JobQuery::new()).expect("a purge");
    settle(&store);
    (disk, store)
}

/// Makes each call of a rewrite fail in turn. Returns the number of calls.
fn sweep(fault: Fault, chosen: fn(Vec<Arc<Pack>>) -> Vec<Arc<Pack>>) -> u64 {
    let mut calls = 0;
    loop {
        let what = format!("{fault:?} after {calls} calls");
        let (disk, store) = begun();
        let before = jobs(&store);
        let packs = chosen(store.engine.log_files.read().packs.clone());
        assert!(!packs.is_empty(), "there are packs");
        disk.fail_after(calls, fault);
        let rewritten =
            compaction::rewrite(&store.engine, packs.clone(), "rewrite", &mut Vec::new());
        let has_failed = disk.has_failed();
        disk.heal();
        assert!(has_failed || rewritten.is_ok(), "{what}: {rewritten:?}");
        let found = store.engine.check_files();
        assert!(found.is_ok(), "{what}: {found:?}");
        assert_eq!(jobs(&store), before, "{what}");
        let scrubbed = store.engine.scrub().expect("a scrub");
        assert!(scrubbed.is_sound(), "{what}: {scrubbed}");
        // The store accepts writes, and can repeat the rewrite that failed.
        store
            .graph("movie")
            .submit(request(1000))
            .expect("it is taken");
        let packs = chosen(store.engine.log_files.read().packs.clone());
        compaction::rewrite(&store.engine, packs.clone(), "rewrite", &mut Vec::new())
            .expect("it is rewritten");
        let before = jobs(&store);
        let image = disk.image();
        drop(store);
        let mut random = Random(calls);
        for left in [
            image.after_kill(),
            image.after_power_cut(),
            image.after_torn_power_cut(|end| random.below(end)),
        ] {
            let store = Store::open(Arc::new(left), Durability::Synced).expect("it opens");
            assert_eq!(jobs(&store), before, "{what}");
        }
        if !has_failed {
            return calls;
        }
        calls += 1;
    }
}

#[test]
fn a_store_outlives_each_failing_call_of_a_rewrite() {
    for errno in [EIO, EMFILE] {
        for lasting in [false, true] {
            let fault = Fault {
                errno,
                lasting,
                hits: |_| true,
            };
            let compacted = sweep(fault, |packs| packs.into_iter().take(1).collect());
            let merged = sweep(fault, |packs| packs);
            assert!(compacted >= 5 && merged >= 5, "{compacted}, {merged}");
        }
    }
}
