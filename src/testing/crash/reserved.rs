//! Guarantee: purging frees space even if freed space goes to root's reserve first.
//!
//! Root has used all blocks that the file system reserves for it, so the store cannot use the first
//! blocks that it frees. Replaced files become the reserves of the store instead. No page and no
//! backup that shares such a file may read anything else in it, and no purged request stays in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::log::disk::Disk;
use crate::log::disk::memory::MemoryDisk;
use crate::log::disk::memory::trial::Image;
use crate::log::file_names;
use crate::model::error::Error;
use crate::model::job_query::JobQuery;
use crate::model::options::Durability;
use crate::testing::crash::client::{
    Random, SEGMENT_BYTES, Store, assert_no_thread_panicked, tried_to_purge_all,
};
use crate::testing::crash::freeing::{
    fill, fill_between_packs, free, full, request, until, until_accepted,
};

/// What root gets back first. The stores of these tests free more than this.
const RESERVED: [u64; 3] = [1, 6 * SEGMENT_BYTES, 40 << 10];

#[test]
fn space_is_freed_even_if_root_gets_the_first_of_it() {
    for (n, room) in [90 << 10, 150 << 10, 300 << 10].into_iter().enumerate() {
        for reserved in RESERVED {
            for (drops, no_files) in [(false, false), (false, true), (true, false), (true, true)] {
                let (disk, store, jobs) = full(400 + n as u64, room, no_files);
                disk.reserve_freed(reserved);
                let what = format!("room {room}, reserved {reserved}, {drops}, {no_files}");
                free(&what, &store, &disk, jobs, drops);
            }
        }
    }
    assert_no_thread_panicked();
}

/// Root has used more than the store can free. Nevertheless, all packs are rewritten.
#[test]
fn all_packs_are_rewritten_even_if_no_freed_space_can_be_used() {
    let (disk, store, jobs) = full(410, 200 << 10, true);
    disk.reserve_freed(1 << 30);
    let used = disk.used_bytes();
    for graph in store.graphs() {
        until(&store, "the purge", || tried_to_purge_all(&graph));
    }
    let bound = 10 * SEGMENT_BYTES + 64 * jobs;
    assert!(used > 2 * bound, "{used} bytes were used");
    until(&store, "that space is freed", || disk.used_bytes() < bound);
    assert_eq!(disk.free_bytes().expect("it is known"), Some(0));
    store.engine.close().expect("it closes");
    assert_no_thread_panicked();
}

/// Fills the disk with a large pack that stays in use, and with small packs that are purged. None of
/// them could become the next scratch file, because the rest of the large pack might not fit.
fn small_packs_are_purged(record: bool) -> (Arc<MemoryDisk>, Store, u64) {
    let disk = Arc::new(MemoryDisk::default());
    let store = Store::open(disk.clone(), Durability::Synced).expect("it opens");
    store.create_graph("kept");
    store.create_graph("gone");
    let mut random = Random(470);
    let large = request(&mut random, 7 * SEGMENT_BYTES / 2);
    store.graph("kept").submit(large).expect("there is room");
    let gone = store.graph("gone");
    // Too few packs to be merged.
    for _ in 0..18 {
        let id = gone
            .submit(request(&mut random, 700))
            .expect("there is room");
        gone.cancel(&id).expect("there is room");
    }
    until(&store, "that the segments are packed", || {
        store.engine.log_files.read().segments.len() == 1
    });
    fill_between_packs(&store, &disk);
    disk.reserve_freed(1 << 30);
    let used = disk.used_bytes();
    if record {
        disk.record(1, Vec::new());
    }
    until(&store, "the purge", || tried_to_purge_all(&gone));
    (disk, store, used)
}

fn scratch_bytes(disk: &MemoryDisk) -> Option<u64> {
    let scratch = disk.open(file_names::SCRATCH).ok()?;
    scratch.len().ok()
}

#[test]
fn small_packs_are_rewritten_without_making_the_scratch_file_smaller() {
    let (disk, store, used) = small_packs_are_purged(false);
    // Each of the 18 jobs took about 600 bytes.
    until(&store, "that space is freed", || {
        disk.used_bytes() + 7_000 < used
    });
    until(&store, "the whole scratch file", || {
        let _between_two_packs = store.engine.files_lock.lock();
        scratch_bytes(&disk) == Some(2 * SEGMENT_BYTES)
    });
    assert_eq!(disk.free_bytes().expect("it is known"), Some(0));
    let page = store.graph("kept").list(JobQuery::new()).expect("a page");
    assert!(page.to_json().expect("it is intact").len() as u64 > 2 * SEGMENT_BYTES);
    store.engine.close().expect("it closes");
    let store = Store::open(disk.clone(), Durability::Synced).expect("it opens");
    store.engine.close().expect("it closes");
    assert_no_thread_panicked();
}

#[test]
fn small_packs_are_rewritten_after_a_kill_or_a_power_cut_at_any_call() {
    let (disk, store, used) = small_packs_are_purged(true);
    let (room, files) = (used, disk.names_now().len());
    let is_freed = |disk: &MemoryDisk| disk.used_bytes() + 7_000 < used;
    until(&store, "that space is freed", || is_freed(&disk));
    let images = disk.images();
    let (step, mut random, mut later) = (images.len() / 90 + 1, Random(471), 0);
    for (n, image) in images.iter().enumerate().step_by(step) {
        let disk = Arc::new(match n / step % 3 {
            0 => image.after_kill(),
            1 => image.after_power_cut(),
            _ => image.after_torn_power_cut(|end| random.below(end)),
        });
        later += u64::from(!is_freed(&disk));
        disk.limit_with_reserved(room, 1 << 30);
        disk.leave_files(files.saturating_sub(disk.names_now().len()));
        let store = Store::open(disk.clone(), Durability::Synced);
        let store = store.unwrap_or_else(|e| panic!("killed at {n}: {e}"));
        let gone = store.graph("gone");
        until(&store, "the purge", || tried_to_purge_all(&gone));
        let what = format!("killed at {n}: that space is freed");
        until(&store, &what, || is_freed(&disk));
    }
    assert!(later > 5, "{later} kills before space was freed");
    assert_no_thread_panicked();
}

#[test]
fn so_it_is_after_a_kill_or_a_power_cut_at_any_call() {
    let mut kills = BTreeMap::new();
    for (seed, reserved) in [(420, 6 * SEGMENT_BYTES), (421, 1)] {
        let (disk, store, jobs) = full(seed, 100 << 10, true);
        disk.reserve_freed(reserved);
        let (room, files) = (disk.used_bytes(), disk.names_now().len());
        disk.record(1, Vec::new());
        free("first", &store, &disk, jobs, seed == 421);
        let images: Vec<Image> = disk.images();
        let step = images.len() / 60 + 1;
        let mut random = Random(seed);
        for (n, image) in images.iter().enumerate().step_by(step) {
            let kind = n / step % 3;
            let disk = Arc::new(match kind {
                0 => image.after_kill(),
                1 => image.after_power_cut(),
                _ => image.after_torn_power_cut(|end| random.below(end)),
            });
            let names = disk.names_now().len();
            disk.limit_with_reserved(room, reserved);
            disk.leave_files(files.saturating_sub(names));
            let what = format!("seed {seed}, killed at {n}");
            let store = Store::open(disk.clone(), Durability::Synced);
            let store = store.unwrap_or_else(|e| panic!("{what}: {e}"));
            if store.graphs().iter().any(|graph| graph.name() == "again") {
                continue;
            }
            free(&what, &store, &disk, jobs, seed == 421);
            *kills.entry(kind).or_insert(0) += 1;
        }
    }
    assert!(kills.values().all(|&n| n > 5), "{kills:?} kills");
    assert_eq!(kills.len(), 3);
    assert_no_thread_panicked();
}

/// After every single call, the files are those of a store that opens and is intact.
#[test]
fn whatever_becomes_a_reserve_the_log_stays_intact() {
    let mut kept = 0;
    let (disk, store, jobs) = full(430, 60 << 10, false);
    disk.reserve_freed(4 * SEGMENT_BYTES);
    disk.record(1, Vec::new());
    free("first", &store, &disk, jobs, false);
    let mut random = Random(430);
    for (n, image) in disk.images().iter().enumerate() {
        kept += u64::from(!image.names().contains(&file_names::SCRATCH.to_owned()));
        for kind in 0..3 {
            let disk = Arc::new(match kind {
                0 => image.after_kill(),
                1 => image.after_power_cut(),
                _ => image.after_torn_power_cut(|end| random.below(end)),
            });
            let opened = Store::open(disk, Durability::Synced);
            let store = opened.unwrap_or_else(|e| panic!("call {n}, {kind}: {e}"));
            for graph in store.graphs() {
                let page = graph.list(JobQuery::new()).expect("a page");
                page.to_json()
                    .unwrap_or_else(|e| panic!("call {n}, {kind}: {e}"));
            }
        }
    }
    assert!(kept > 0, "the scratch file was never in use");
    assert_no_thread_panicked();
}

/// A linked backup shares packs with the store.
#[test]
fn a_file_that_a_backup_shares_never_becomes_a_reserve() {
    let (disk, store, _) = full(440, 100 << 10, false);
    let backup = {
        let _files = store.engine.files_lock.lock();
        let packs = store.engine.log_files.read().packs.clone();
        for pack in &packs {
            disk.link(&pack.name, &format!("{}.backup", pack.name))
                .expect("a link");
        }
        shared(&disk)
    };
    assert!(backup.len() > 3, "only {} packs", backup.len());
    disk.reserve_freed(1);
    for graph in store.graphs() {
        until(&store, "the purge", || tried_to_purge_all(&graph));
    }
    until(&store, "that a pack is rewritten", || {
        let packs = store.engine.log_files.read().packs.clone();
        !packs
            .iter()
            .any(|pack| disk.links(&pack.name).is_ok_and(|links| links > 1))
    });
    store.engine.close().expect("it closes");
    assert!(shared(&disk) == backup, "the backup has changed");
    let store = Store::open(disk.clone(), Durability::Synced).expect("it opens");
    store.engine.close().expect("it closes");
    assert!(shared(&disk) == backup, "the backup has changed");
    assert_no_thread_panicked();
}

fn shared(disk: &MemoryDisk) -> Vec<(String, Vec<u8>)> {
    let mut files = disk.files();
    files.retain(|(name, _)| name.ends_with(".backup"));
    files
}

/// A crash may leave a reserve that is also a part of the log.
#[test]
fn a_reserve_that_is_also_a_pack_is_not_used() {
    for name in [file_names::SCRATCH, file_names::RESERVE] {
        let (disk, store, _) = full(450, 60 << 10, false);
        until(&store, "a pack", || {
            disk.leave_room(60 << 10);
            !store.engine.log_files.read().packs.is_empty()
        });
        let pack = store.engine.log_files.read().packs[0].name.clone();
        store.engine.close().expect("it closes");
        drop(store);
        disk.remove(name).ok();
        disk.link(&pack, name).expect("a link");
        disk.unbound();
        let store = Store::open(disk.clone(), Durability::Synced).expect("it opens");
        for graph in store.graphs() {
            let page = graph.list(JobQuery::new()).expect("a page");
            page.to_json().expect("it is intact");
        }
        // The pack may have been merged, and removed.
        assert!(disk.links(&pack).expect("a number") <= 1);
        until(&store, "a reserve of its own", || {
            disk.links(name).expect("a number") == 1
        });
        store.engine.close().expect("it closes");
    }
    assert_no_thread_panicked();
}

#[test]
fn pages_read_a_replaced_file_until_they_expire() {
    let disk = Arc::new(MemoryDisk::default());
    let store = Store::open(disk.clone(), Durability::Synced).expect("it opens");
    store.create_graph("one");
    let graph = store.graph("one");
    disk.leave_room(300 << 10);
    let mut random = Random(3);
    fill(&store, &mut random, &["one"]);
    fill_between_packs(&store, &disk);
    disk.reserve_freed(6 * SEGMENT_BYTES);
    let first = graph.list(JobQuery::new()).expect("a page");
    let before = first.to_json().expect("it has not expired");
    let mut pages = vec![first];
    until(&store, "the purge of a graph", || {
        if pages.len() < 20 {
            pages.push(graph.list(JobQuery::new()).expect("a page"));
        }
        tried_to_purge_all(&graph)
    });
    let mut expired = 0;
    until_accepted(&store, "with pages", &graph, &mut random, 900);
    for _ in 0..100 {
        match pages[0].to_json() {
            Ok(json) => assert_eq!(json, before),
            Err(Error::PageExpired) => expired += 1,
            Err(error) => panic!("a page: {error}"),
        }
        until_accepted(&store, "with pages", &graph, &mut random, 900);
    }
    for page in &pages {
        match page.to_json() {
            Ok(_) => {}
            Err(Error::PageExpired) => expired += 1,
            Err(error) => panic!("a page: {error}"),
        }
    }
    assert!(expired > 0, "no page has expired");
    store.engine.close().expect("it closes");
    assert_no_thread_panicked();
}

#[test]
fn no_purged_request_stays_in_a_reserve() {
    let (disk, store, jobs) = full(460, 100 << 10, false);
    disk.reserve_freed(6 * SEGMENT_BYTES);
    free("purged", &store, &disk, jobs, false);
    let reserves = [file_names::RESERVE, file_names::SCRATCH];
    let files = disk.files().into_iter();
    let reserves: Vec<_> = files
        .filter(|(name, _)| reserves.contains(&&**name))
        .collect();
    assert_eq!(reserves.len(), 2);
    for (name, content) in reserves {
        assert!(content.iter().all(|&byte| byte == 0), "{name} is not zero");
    }
    assert_no_thread_panicked();
}
