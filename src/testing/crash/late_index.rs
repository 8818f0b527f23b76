//! Guarantee: reads are correct however far the index is behind the log.
//!
//! The index is written between any two operations. Then segments are packed, packs are merged, and
//! the process is killed, so the index ends in the middle of a pack. This needs a real directory,
//! where the index persists between opens.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::engine::open::directory::open_directory;
use crate::model::options::Durability;
use crate::testing::crash::client::{Client, Store, assert_no_thread_panicked, options};
use crate::testing::crash::world::Seen;

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Returns the files that a killed process leaves. Reads them repeatedly until they have not
/// changed during a read, because the index engine flushes by itself.
fn left_in(directory: &Path) -> Files {
    let mut before = Err(std::io::ErrorKind::NotFound.into());
    loop {
        let mut files = Files::new();
        let now = read_all(directory, Path::new(""), &mut files).map(|()| files);
        match (before, now) {
            (Ok(before), Ok(now)) if before == now => return now,
            (_, now) => before = now,
        }
    }
}

fn read_all(directory: &Path, inner: &Path, files: &mut Files) -> std::io::Result<()> {
    for entry in fs::read_dir(directory.join(inner))? {
        let name = inner.join(entry?.file_name());
        if directory.join(&name).is_dir() {
            read_all(directory, &name, files)?;
        } else {
            files.insert(name.clone(), fs::read(directory.join(&name))?);
        }
    }
    Ok(())
}

fn put_into(directory: &Path, files: &Files) {
    for (name, content) in files {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, content).expect("a copy");
    }
}

#[test]
fn an_index_that_ends_within_a_pack_is_brought_up_to_date() {
    for seed in 0..6 {
        let dir = tempfile::tempdir().expect("a directory");
        let mut client = Client::new(30 + seed, "graph", true);
        for session in 0..4 {
            let path = dir.path().join(session.to_string());
            let opened = open_directory(options(Durability::Synced), &path);
            let store = Store::of(opened.expect("it opens"));
            client.world = client.world.reopened();
            let seen = Seen::read(&store);
            assert!(seen.error().is_none(), "seed {seed}: {:?}", seen.error());
            assert_eq!(
                seen.compare(&client.world),
                Ok(()),
                "seed {seed}, {session}"
            );
            for _ in 0..3 {
                let steps = client.random.below(15);
                client.steps(&store, steps);
                store.engine.apply_to_index();
                let steps = client.random.below(15);
                client.steps(&store, steps);
            }
            store.wait_until_packed();
            put_into(&dir.path().join((session + 1).to_string()), &left_in(&path));
        }
    }
    assert_no_thread_panicked();
}
