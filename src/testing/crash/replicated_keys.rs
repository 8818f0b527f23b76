//! Guarantee: a replica never lacks the record of the secret keys because the record could not be
//! read when it was to be copied there.

use std::sync::Arc;

use crate::engine::background::uploading;
use crate::engine::open::open_disk;
use crate::log::disk::memory::MemoryDisk;
use crate::log::disk::memory::trial::{Call, Fault};
use crate::log::{file_names, secret_keys};
use crate::model::error::{Error, Result};
use crate::model::options::{Durability, Options};
use crate::model::replica::Replica;
use crate::model::secrets::Keys;
use crate::replica::MemoryReplica;
use crate::testing::crash::client::{Store, options};

/// How an input error fails each call that opens a file.
const UNREADABLE: Fault = Fault {
    errno: 5,
    lasting: true,
    hits: |call| matches!(call, Call::Open),
};

fn open(options: Options, disk: &Arc<MemoryDisk>) -> Result<Store> {
    open_disk(options, disk.clone()).map(Store::of)
}

fn keys(disk: &MemoryDisk, store: &Store) -> Option<Keys> {
    let recorded = secret_keys::read(disk, store.engine.store).expect("a record");
    recorded.map(|recorded| recorded.keys)
}

#[test]
fn a_checkpoint_without_the_secret_keys_is_not_made() {
    let replica = Arc::new(MemoryReplica::default());
    let with_replica = || options(Durability::Synced).replica(replica.clone());
    let disk = Arc::new(MemoryDisk::default());
    let store = open(with_replica().secret_keys(["pin"]), &disk).expect("it opens");
    disk.fail_after(0, UNREADABLE);
    let checkpoint = uploading::checkpoint_now(&store.engine);
    assert!(
        matches!(checkpoint, Err(Error::Io { .. })),
        "{checkpoint:?}"
    );
    disk.heal();
    uploading::checkpoint_now(&store.engine).expect("a checkpoint");
    store.engine.close().expect("it closes");

    let elsewhere = Arc::new(MemoryDisk::default());
    let store = open(with_replica(), &elsewhere).expect("it opens elsewhere");
    assert_eq!(keys(&elsewhere, &store), Some(Keys::these(["pin"])));
    store.engine.close().expect("it closes");
}

#[test]
fn a_store_whose_secret_keys_are_corrupt_is_not_copied_to_a_replica() {
    let disk = Arc::new(MemoryDisk::default());
    let plain = options(Durability::Synced).secret_keys(["pin"]);
    let store = open(plain, &disk).expect("it opens");
    store.engine.close().expect("it closes");
    let corrupt = |(name, mut bytes): (String, Vec<u8>)| {
        if name == file_names::SECRET_KEYS {
            bytes[20] ^= 1;
        }
        (name, bytes)
    };
    let disk = Arc::new(MemoryDisk::holding(disk.files().into_iter().map(corrupt)));
    let replica = Arc::new(MemoryReplica::default());
    let opened = open(options(Durability::Synced).replica(replica.clone()), &disk);
    match opened.map(drop) {
        Err(Error::Damaged { file, .. }) => assert!(file.ends_with(file_names::SECRET_KEYS)),
        other => panic!("{other:?}"),
    }
    assert_eq!(replica.numbers(0), Ok(Vec::new()), "nothing is claimed");
}
