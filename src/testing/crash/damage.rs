//! Guarantee: no data is lost silently.
//!
//! The test uses a closed store of packs, a segment, `STORE`, and `CLOSED`. In one file at a time,
//! bits are flipped, ranges are zeroed, and parts are removed or written at the wrong position.
//! Then the store is opened and everything is read, as values and as JSON. Every result is correct,
//! or an error that names a file of the store. There is never a panic, a wrong record, or a
//! shortened list. If the store opens, it is written to and opened again, so that the test would
//! detect damage that is packed into a file that looks intact.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::log::disk::memory::MemoryDisk;
use crate::model::error::Error;
use crate::model::options::Durability;
use crate::model::request::{Body, Request};
use crate::testing::crash::client::{Act, Client, Random, Store, assert_no_thread_panicked};
use crate::testing::crash::rewritten::settle;
use crate::testing::crash::world::{Seen, World};

pub(super) type Files = Vec<(String, Vec<u8>)>;

/// A closed store with data of every kind.
fn a_closed_store(with_large_job: bool) -> (Files, World) {
    let (files, client) = a_closed_store_of(21, with_large_job);
    (files, client.world)
}

/// Returns the store that a client with this seed leaves behind, and the client.
pub(super) fn a_closed_store_of(seed: u64, with_large_job: bool) -> (Files, Client) {
    let disk = Arc::new(MemoryDisk::default());
    let mut client = Client::new(seed, "graph", true);
    for session in 0..2 {
        let opened = client.open(disk.clone(), Durability::Synced);
        let store = opened.expect("it opens");
        client.steps(&store, 40);
        if session == 1 && with_large_job {
            // Spans several blocks.
            let text = "0123456789abcdef".repeat(20 << 10);
            let body = Body::from_json(format!("\"{text}\"")).expect("JSON");
            let graph = client.world.graphs[0].0.clone();
            let request = Request::new("large", "/ges", body).expect("a request");
            let act = Act::Submit { graph, request };
            let ids = store.apply_act(&act).expect("it is recorded");
            client.world.apply(&act, &ids);
        }
        store.wait_until_packed();
        client.steps(&store, 8);
        store.engine.close().expect("it closes");
    }
    (disk.files(), client)
}

/// Returns a closed store. Most of its graphs were dropped and most of its jobs were purged, some
/// of them before their files were packed, merged, or rewritten.
pub(super) fn a_closed_store_with_much_gone(seed: u64) -> (Files, Client) {
    let disk = Arc::new(MemoryDisk::default());
    let mut client = Client::new(seed, "graph", true);
    let mut reused = 0;
    for _ in 0..2 {
        let opened = client.open(disk.clone(), Durability::Synced);
        let store = opened.expect("it opens");
        for _ in 0..3 {
            let steps = 10 + client.random.below(20);
            client.steps(&store, steps);
            if client.random.below(2) == 0 {
                settle(&store);
            }
            let graphs = client.world.graphs.clone();
            for (graph, _) in graphs {
                let mut acts = match client.random.below(6) {
                    0 => vec![Act::DropGraph {
                        name: graph.clone(),
                    }],
                    1..=3 => vec![Act::Purge {
                        graph: graph.clone(),
                    }],
                    _ => continue,
                };
                if matches!(acts[0], Act::DropGraph { .. }) && client.random.below(2) == 0 {
                    // Create another graph with the same name.
                    reused += 1;
                    acts.push(Act::CreateGraph {
                        name: graph,
                        number: 1000 + reused,
                    });
                }
                for act in acts {
                    let done = client.apply_act(&store, &act);
                    done.unwrap_or_else(|(error, _)| panic!("{act:?}: {error}"));
                }
            }
            if client.random.below(2) == 0 {
                settle(&store);
            }
        }
        store.engine.close().expect("it closes");
    }
    (disk.files(), client)
}

/// Changes a file. Returns a description of the change.
pub(super) fn alter(content: &mut Vec<u8>, random: &mut Random) -> String {
    let len = content.len() as u64;
    // The first and last bytes of a file describe how to read the rest.
    let at = match random.below(3) {
        0 => random.below(len.min(128)),
        1 => len - 1 - random.below(len.min(256)),
        _ => random.below(len),
    } as usize;
    let size = 1 + random.below(64.min(len - at as u64)) as usize;
    match random.below(20) {
        0..=9 => {
            let bit = random.below(8);
            content[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} flipped")
        }
        10..=12 => {
            content[at] = random.below(256) as u8;
            format!("byte {at} overwritten")
        }
        13 | 14 => {
            content[at..at + size].fill(0);
            format!("{size} bytes at {at} zeroed")
        }
        15 => {
            content[at..].fill(0);
            format!("zeroed from {at}")
        }
        16 => {
            content[..at].fill(0);
            format!("zeroed up to {at}")
        }
        17 => {
            let from = random.below(len - size as u64 + 1) as usize;
            content.copy_within(from..from + size, at);
            format!("{size} bytes of {from} written at {at}")
        }
        _ => {
            content.truncate(at);
            format!("cut at {at}")
        }
    }
}

/// Opens the store and reads everything. Returns the error, or `None` if everything was correct.
pub(super) fn open_and_read(what: &str, disk: &Arc<MemoryDisk>, world: &World) -> Option<Error> {
    let store = match Store::open(disk.clone(), Durability::Synced) {
        Ok(store) => store,
        Err(error) => return Some(error),
    };
    let seen = Seen::read(&store);
    let mut error = seen.error();
    assert_eq!(seen.compare(world), Ok(()), "{what}");
    for (graph, (_, jobs)) in seen.graphs.iter().zip(&world.graphs) {
        match graph.look_up(jobs, 1) {
            Ok(failed) => error = error.or(failed),
            Err(wrong) => panic!("{what}: {wrong}"),
        }
    }
    // A close may also detect the damage.
    store.engine.close().err().or(error)
}

fn check(what: &str, files: Files, world: &World) {
    let disk = Arc::new(MemoryDisk::holding(files));
    let first = open_and_read(what, &disk, &world.reopened());
    let error = match first {
        None => open_and_read(what, &disk, &world.reopened().reopened()),
        error => error,
    };
    let known = match &error {
        None | Some(Error::NewerFormat { .. }) => true,
        Some(Error::Damaged { file, .. }) => file.starts_with("memory"),
        Some(_) => false,
    };
    assert!(known, "{what}: {error:?}");
}

fn check_changes(count: u64, files: &Files, world: &World) {
    for end in [".pack", ".segment", "STORE", "CLOSED"] {
        assert!(
            files.iter().any(|(name, _)| name.ends_with(end)),
            "no {end}"
        );
    }
    let mut random = Random(22);
    for n in 0..count {
        let mut files = files.clone();
        let at = n as usize % files.len();
        let (name, content) = &mut files[at];
        let before = content.clone();
        let what = format!("change {n}: {name}: {}", alter(content, &mut random));
        if *content == before {
            continue;
        }
        let checked = catch_unwind(AssertUnwindSafe(|| check(&what, files, world)));
        if let Err(panic) = checked {
            println!("{what}");
            std::panic::resume_unwind(panic);
        }
    }
    assert_no_thread_panicked();
}

#[test]
fn whatever_byte_changes_in_a_closed_store_what_is_read_is_right_or_an_error() {
    let (files, world) = a_closed_store(false);
    check_changes(6000, &files, &world);
}

#[test]
fn whatever_byte_changes_around_a_large_job_it_is_read_whole_or_not_at_all() {
    let (files, world) = a_closed_store(true);
    check_changes(150, &files, &world);
}

#[test]
fn a_file_that_is_missing_from_a_closed_store_is_noticed() {
    let (files, world) = a_closed_store(false);
    for n in 0..files.len() {
        let mut files = files.clone();
        let (name, _) = files.remove(n);
        let what = format!("{name} is missing");
        let disk = Arc::new(MemoryDisk::holding(files));
        let error = open_and_read(&what, &disk, &world.reopened());
        // If `CLOSED` is missing, the close is treated as a crash, after which everything is also
        // present. A missing reserve is recreated.
        let holds_events = !["CLOSED", "RESERVE", "SCRATCH"].contains(&&*name);
        assert_eq!(error.is_some(), holds_events, "{what}: {error:?}");
    }
}
