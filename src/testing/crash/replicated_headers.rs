//! Guarantee: a replica never lacks the header of a segment, even if the segment has no frame.
//!
//! The header of a segment is sent to the replica together with the first frame that follows it.
//! Until then, a store can be closed, and its next open must send the header.

use std::sync::Arc;

use crate::engine::open::open_disk;
use crate::log::disk::memory::MemoryDisk;
use crate::model::options::{Durability, Options};
use crate::replica::MemoryReplica;
use crate::testing::crash::client::{Store, options};

fn open(options: Options, disk: &Arc<MemoryDisk>) -> Store {
    let engine = open_disk(options, disk.clone());
    Store::of(engine.unwrap_or_else(|error| panic!("{error}")))
}

/// Begins this many segments after another, closes the store, and opens it again. Then writes, and
/// opens the replica elsewhere.
fn leave_segments(count: usize) {
    let replica = Arc::new(MemoryReplica::default());
    let with_replica = || options(Durability::Synced).replica(replica.clone());
    let disk = Arc::new(MemoryDisk::default());
    let store = open(with_replica(), &disk);
    for _ in 0..count {
        let left = store.engine.lock_committer().log.leave_segment();
        assert!(left.is_ok());
    }
    store.engine.close().expect("it closes");
    let store = open(with_replica(), &disk);
    store.create_graph("g");
    store.engine.close().expect("it closes");

    let elsewhere = Arc::new(MemoryDisk::default());
    let store = open(with_replica(), &elsewhere);
    store.engine.close().expect("it closes");
}

#[test]
fn segments_without_a_frame_are_in_the_replica_once_a_later_one_is() {
    for count in 0..4 {
        leave_segments(count);
    }
}
