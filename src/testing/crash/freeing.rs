//! Guarantee: freeing space requires no space.
//!
//! The disk has no byte and no inode left. Then all jobs are purged, or every graph is dropped. The
//! files shrink to almost nothing and new jobs are accepted, without outside help, even if the
//! store is reopened, or killed at any call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::api::graph::Graph;
use crate::log::disk::Disk;
use crate::log::disk::memory::MemoryDisk;
use crate::log::disk::memory::trial::Image;
use crate::log::file_names;
use crate::log::preallocation::Preallocation;
use crate::model::error::Error;
use crate::model::job_query::JobQuery;
use crate::model::options::Durability;
use crate::model::request::{Body, Request};
use crate::testing::crash::client::{
    Random, SEGMENT_BYTES, Store, assert_no_thread_panicked, tried_to_purge_all,
};

/// How long a test waits for space to become free.
const WAIT: Duration = Duration::from_secs(60);
/// Space for two reserves, a reserve in use, two segments, and a few packs. In addition, purged
/// jobs keep some data until their tombstones are forgotten.
const NEARLY_EMPTY_BYTES: u64 = 8 * SEGMENT_BYTES;
/// The space for a tombstone, including its share of packs that contain little else.
const TOMBSTONE_BYTES: u64 = 64;

pub(super) fn request(random: &mut Random, bytes: u64) -> Request {
    // Random characters, which cannot be compressed.
    let text: String = (0..bytes)
        .map(|_| char::from(b'0' + random.below(74) as u8))
        .filter(|c| c.is_ascii_alphanumeric())
        .collect();
    let body = Body::from_json(format!("{text:?}")).expect("JSON");
    Request::new("import", "/ges", body).expect("a request")
}

/// Submits and cancels jobs until no more are accepted. Returns the number of jobs.
pub(super) fn fill(store: &Store, random: &mut Random, graphs: &[&str]) -> u64 {
    let mut jobs = 0;
    loop {
        let graph = store.graph(graphs[random.below(graphs.len() as u64) as usize]);
        let bytes = match random.below(30) {
            0 => 2 * SEGMENT_BYTES,
            _ => random.below(900),
        };
        match graph.submit(request(random, bytes)) {
            Ok(id) => {
                jobs += 1;
                match graph.cancel(&id) {
                    Ok(_) | Err(Error::DiskFull { .. }) => {}
                    Err(error) => panic!("a cancellation: {error}"),
                }
            }
            Err(Error::DiskFull { .. }) if bytes < 1000 => return jobs,
            Err(Error::DiskFull { .. }) => {}
            Err(error) => panic!("a submission: {error}"),
        }
        assert!(jobs < 20_000, "the disk does not get full");
    }
}

fn sizes(store: &Store) -> Vec<(String, u64)> {
    let names = store.engine.disk.names().unwrap_or_default().into_iter();
    names
        .map(|name| {
            let len = store.engine.disk.open(&name).and_then(|file| file.len());
            (name, len.unwrap_or(0))
        })
        .collect()
}

pub(super) fn until(store: &Store, what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + WAIT;
    while !is_so() {
        assert!(
            Instant::now() < deadline,
            "{what} does not happen; files: {:?}, bytes free: {:?}, health: {:?}",
            sizes(store),
            store.engine.disk.free_bytes(),
            store.engine.health()
        );
        store.engine.apply_to_index();
        store.engine.wake_packer();
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Submits a job of about this many bytes as soon as there is space.
pub(super) fn until_accepted(
    store: &Store,
    what: &str,
    graph: &Graph,
    random: &mut Random,
    bytes: u64,
) {
    let accepted = format!("{what}: that a job is accepted");
    until(store, &accepted, || {
        match graph.submit(request(random, bytes)) {
            Ok(_) => true,
            Err(Error::DiskFull { .. }) => false,
            Err(error) => panic!("{what}: {error}"),
        }
    });
}

/// Cancels and purges all jobs. Retries if the log has no space at first.
fn purge_everything(store: &Store) {
    for graph in store.graphs() {
        purge_all_of(store, &graph);
    }
}

fn purge_all_of(store: &Store, graph: &Graph) {
    until(store, "the purge of a graph", || tried_to_purge_all(graph));
}

fn drop_everything(store: &Store) {
    for graph in store.graphs() {
        let act = super::client::Act::DropGraph {
            name: graph.name().to_owned(),
        };
        until(store, "the drop of a graph", || {
            match store.apply_act(&act) {
                Ok(_) => true,
                Err(Error::DiskFull { .. }) => false,
                Err(error) => panic!("a drop: {error}"),
            }
        });
    }
}

/// Purges or drops everything in a store on a full disk. Asserts that space becomes free and jobs
/// are accepted.
pub(super) fn free(what: &str, store: &Store, disk: &MemoryDisk, jobs: u64, drops: bool) {
    match drops {
        true => drop_everything(store),
        false => purge_everything(store),
    }
    let bound = NEARLY_EMPTY_BYTES + jobs * TOMBSTONE_BYTES;
    until(store, &format!("{what}: that space comes back"), || {
        disk.used_bytes() <= bound
    });
    let mut random = Random(7);
    until(store, &format!("{what}: that graphs are accepted"), || {
        let act = super::client::Act::CreateGraph {
            name: "again".to_owned(),
            number: 99,
        };
        match store.apply_act(&act) {
            Ok(_) => true,
            Err(Error::DiskFull { .. }) => false,
            Err(error) => panic!("{what}: {error}"),
        }
    });
    for _ in 0..10 {
        until_accepted(store, what, &store.graph("again"), &mut random, 200);
    }
    // Afterward, the store can be closed, read again, and verified.
    store
        .engine
        .close()
        .unwrap_or_else(|e| panic!("{what}: close: {e}"));
}

/// Fills the disk between two packs: the scratch file becomes a pack, and is complete again once the
/// files that the pack replaces have been removed.
pub(super) fn fill_between_packs(store: &Store, disk: &MemoryDisk) {
    until(store, "a complete scratch file", || {
        let _files = store.engine.files_lock.lock();
        let mut names = disk.names_now().into_iter();
        let is_complete = names.any(|name| name == file_names::SCRATCH);
        if is_complete {
            let preallocation = &store.engine.preallocation;
            preallocation.stand_still(|| disk.leave_room(0));
        }
        is_complete
    });
}

/// Returns a store that has filled its disk up to the last byte and, with `no_files`, the last
/// inode.
pub(super) fn full(seed: u64, room: u64, no_files: bool) -> (Arc<MemoryDisk>, Store, u64) {
    let disk = Arc::new(MemoryDisk::default());
    let store = Store::open(disk.clone(), Durability::Synced).expect("it opens");
    store.create_graph("one");
    store.create_graph("two");
    disk.leave_room(room);
    let mut random = Random(seed);
    let mut jobs = fill(&store, &mut random, &["one", "two"]);
    fill_between_packs(&store, &disk);
    if no_files {
        disk.leave_files(0);
    }
    jobs += fill(&store, &mut random, &["one", "two"]);
    (disk, store, jobs)
}

/// Each request has its own segment. A pack of the segment fits into the scratch file but is larger
/// than the segment, so the space that packing frees would not suffice for the next scratch file.
#[test]
fn large_requests_do_not_use_the_scratch_file_up() {
    let disk = Arc::new(MemoryDisk::default());
    let store = Store::open(disk.clone(), Durability::Synced).expect("it opens");
    store.create_graph("one");
    let mut random = Random(1);
    {
        // While this lock is held, nothing is packed.
        let _files = store.engine.files_lock.lock();
        for _ in 0..250 {
            let graph = store.graph("one");
            let submitted = graph.submit(request(&mut random, 7 * SEGMENT_BYTES / 4));
            submitted.expect("there is room");
        }
        store
            .engine
            .preallocation
            .stand_still(|| disk.leave_room(0));
    }
    for _ in 0..100 {
        // A thread that still reads a packed segment delays the next scratch file.
        until(&store, "a whole scratch file between two packs", || {
            let _between_two_packs = store.engine.files_lock.lock();
            let scratch = disk.open_to_write(file_names::SCRATCH);
            scratch.is_ok_and(|file| file.len().is_ok_and(|len| len == 2 * SEGMENT_BYTES))
        });
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_no_thread_panicked();
}

/// A large segment precedes the segments of the purged jobs, and is packed first. The disk is
/// filled except for the space that is needed to pack the large segment. Without that space, the
/// purged jobs could not free theirs.
#[test]
fn a_large_segment_does_not_keep_the_disk_full() {
    let disk = Arc::new(MemoryDisk::default());
    let store = Store::open(disk.clone(), Durability::Synced).expect("it opens");
    store.create_graph("kept");
    store.create_graph("purged");
    let mut random = Random(2);
    {
        // While this lock is held, nothing is packed.
        let _files = store.engine.files_lock.lock();
        let large = request(&mut random, 16 * SEGMENT_BYTES);
        store
            .graph("kept")
            .submit(large)
            .expect("there is no limit yet");
        store
            .engine
            .preallocation
            .stand_still(|| disk.leave_room(24 * SEGMENT_BYTES));
        let mut jobs = 0;
        loop {
            match store.graph("purged").submit(request(&mut random, 900)) {
                Ok(_) => jobs += 1,
                Err(Error::DiskFull { .. }) => break,
                Err(error) => panic!("a submission: {error}"),
            }
        }
        assert!(jobs > 10, "only {jobs} jobs");
    }
    let purged = store.graph("purged");
    purge_all_of(&store, &purged);
    for _ in 0..10 {
        until_accepted(&store, "purged", &purged, &mut random, 900);
    }
    store.engine.close().expect("it closes");
    assert_no_thread_panicked();
}

/// A power failure removes most of a scratch file that was truncated. The removed space is free.
/// Together with the rest of the file, it is exactly enough for the smallest scratch file.
#[test]
fn what_a_power_cut_leaves_of_a_scratch_file_is_made_whole_again() {
    for left in [0, 1, 100, SEGMENT_BYTES - 1] {
        let disk = MemoryDisk::default();
        let file = disk.create(file_names::SCRATCH).expect("it is created");
        file.write_all_at(&vec![0; left as usize], 0)
            .expect("there is no limit yet");
        disk.leave_room(SEGMENT_BYTES - left);
        let preallocation = Preallocation::new(1, SEGMENT_BYTES);
        // A complete scratch file would require twice as much space.
        let made = preallocation.make_reserves(&disk, false);
        assert!(matches!(made, Err(Error::DiskFull { .. })), "{made:?}");
        let scratch_file = preallocation.lend_scratch(&disk, "pack").expect("no fault");
        let bytes = scratch_file.map(|scratch_file| scratch_file.bytes);
        assert_eq!(bytes, Some(SEGMENT_BYTES), "{left} bytes left");
    }
}

/// Pages that are not dropped keep replaced files open, but only for a limited time.
#[test]
fn pages_do_not_keep_the_disk_full() {
    let disk = Arc::new(MemoryDisk::default());
    let store = Store::open(disk.clone(), Durability::Synced).expect("it opens");
    store.create_graph("one");
    let graph = store.graph("one");
    disk.leave_room(300 << 10);
    let mut random = Random(3);
    fill(&store, &mut random, &["one"]);
    let has = |name: &str| disk.names_now().iter().any(|one| one == name);
    until(&store, "the reserves", || {
        store.fill_disk(&disk);
        let done = has(file_names::SCRATCH) && has(file_names::RESERVE);
        disk.leave_room(if done { 0 } else { 4 * SEGMENT_BYTES });
        done
    });
    let mut pages = Vec::new();
    until(&store, "the purge of a graph", || {
        // Later pages keep the rest of the graph's data, in files that packs have since been merged
        // into.
        if pages.len() < 20 {
            pages.push(graph.list(JobQuery::new()).expect("a page"));
        }
        tried_to_purge_all(&graph)
    });
    for _ in 0..100 {
        until_accepted(&store, "with pages", &graph, &mut random, 900);
    }
    let expired = pages.iter().map(|page| match page.to_json() {
        Ok(_) => 0,
        Err(Error::PageExpired) => 1,
        Err(error) => panic!("a page: {error}"),
    });
    assert!(expired.sum::<u32>() > 0);
    store.engine.close().expect("it closes");
    assert_no_thread_panicked();
}

/// A job that an open found running can be read until the store is closed, but it does not keep a
/// dropped graph in memory.
#[test]
fn a_dropped_graph_is_not_kept_because_its_jobs_were_found_running() {
    let disk = Arc::new(MemoryDisk::default());
    let store = Store::open(disk.clone(), Durability::Synced).expect("it opens");
    store.create_graph("one");
    let graph = store.graph("one");
    graph.submit(request(&mut Random(4), 900)).expect("a job");
    let run = graph.claim_next().expect("it starts").expect("a job");
    run.detach();
    drop((graph, store));
    let store = Store::open(disk, Durability::Synced).expect("it opens");
    let core = Arc::downgrade(&store.graph("one").core);
    drop_everything(&store);
    until(&store, "that nobody has it", || core.upgrade().is_none());
}

#[test]
fn a_full_disk_is_freed_by_purging_everything_or_dropping_all_graphs() {
    for (n, room) in [20 << 10, 25 << 10, 60 << 10, 300 << 10]
        .into_iter()
        .enumerate()
    {
        for drops in [false, true] {
            for no_files in [false, true] {
                let seed = 100 + n as u64;
                let (disk, store, jobs) = full(seed, room, no_files);
                let what = format!("room {room}, drops {drops}, no files {no_files}");
                free(&what, &store, &disk, jobs, drops);
                drop(store);
                let store = Store::open(disk.clone(), Durability::Synced).expect("it opens");
                let jobs = store
                    .graph("again")
                    .count(crate::State::Pending)
                    .expect("a count");
                assert_eq!(jobs, 10);
            }
        }
    }
    assert_no_thread_panicked();
}

#[test]
fn so_it_is_after_a_close_or_a_kill_on_the_full_disk() {
    for (n, room) in [20 << 10, 30 << 10, 120 << 10].into_iter().enumerate() {
        for close in [true, false] {
            let drops = n == 1;
            let (disk, store, jobs) = full(200 + n as u64, room, true);
            let what = format!("room {room}, close {close}");
            if close {
                let closed = store.engine.close();
                closed.unwrap_or_else(|e| panic!("{what}: close: {e}"));
            }
            let disk = Arc::new(disk.image().after_kill());
            disk.leave_room(0);
            disk.leave_files(0);
            drop(store);
            let store = Store::open(disk.clone(), Durability::Synced);
            let store = store.unwrap_or_else(|e| panic!("{what}: {e}"));
            free(&what, &store, &disk, jobs, drops);
        }
    }
    assert_no_thread_panicked();
}

#[test]
fn so_it_is_after_a_kill_or_a_power_cut_at_any_call_while_space_is_freed() {
    let mut kills = 0;
    for seed in [300, 301] {
        let (disk, store, jobs) = full(seed, 40 << 10, true);
        let (room, files) = (disk.used_bytes(), disk.names_now().len());
        disk.record(1, Vec::new());
        free("first", &store, &disk, jobs, seed == 301);
        let images: Vec<Image> = disk.images();
        let step = images.len() / 36 + 1;
        let mut random = Random(seed);
        for (n, image) in images.iter().enumerate().step_by(step) {
            let disk = Arc::new(match n / step % 3 {
                0 => image.after_kill(),
                1 => image.after_power_cut(),
                _ => image.after_torn_power_cut(|end| random.below(end)),
            });
            let (used, names) = (disk.used_bytes(), disk.names_now().len());
            disk.leave_room(room.saturating_sub(used));
            disk.leave_files(files.saturating_sub(names));
            let what = format!("seed {seed}, killed at {n}");
            let store = Store::open(disk.clone(), Durability::Synced);
            let store = store.unwrap_or_else(|e| panic!("{what}: {e}"));
            if store.graphs().iter().any(|graph| graph.name() == "again") {
                continue;
            }
            free(&what, &store, &disk, jobs, seed == 301);
            kills += 1;
        }
    }
    assert!(kills > 5, "only {kills} kills");
    assert_no_thread_panicked();
}
