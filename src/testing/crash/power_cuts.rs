//! Guarantee: acknowledged writes are durable, and no write is partially visible.
//!
//! While clients work, segments rotate, packs are written and merged, and sessions end with a close
//! or a kill, an image of the disk is taken after every few calls to it. Each image is opened after
//! three power failures: one that keeps only synced data, and two that keep an arbitrary part of
//! the rest. The store must then contain what it contained after some operation between the last
//! acknowledged one and the last attempted one, and must remain usable.
//!
//! `JOBSTORE_SEEDS=N cargo test --release power_cuts -- --nocapture` tries N seeds instead of a
//! few, takes an image after every call, and prints how many images it opened.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::log::disk::Disk;
use crate::log::disk::memory::MemoryDisk;
use crate::log::disk::memory::trial::Image;
use crate::log::event::Event;
use crate::log::file_names;
use crate::log::frame::Builder;
use crate::log::identity;
use crate::log::preallocation::{Preallocation, Room};
use crate::log::writer::LogWriter;
use crate::model::options::Durability;
use crate::model::store_id::StoreId;
use crate::testing::crash::client::{
    Client, Random, SEGMENT_BYTES, Store, assert_no_thread_panicked,
};
use crate::testing::crash::world::{Seen, World};

/// The seeds to try, and the number of calls between images.
fn seeds(few: RangeInclusive<u64>, every: u64) -> (RangeInclusive<u64>, u64) {
    let asked = std::env::var("JOBSTORE_SEEDS").ok();
    match asked.map(|text| text.parse::<u64>().expect("JOBSTORE_SEEDS is a number")) {
        Some(count) => (1..=count, 1),
        None => (few, every),
    }
}

/// The time from an open to a close or a kill.
struct Session {
    /// What the store contained after 0, 1, 2, ... operations.
    history: Vec<World>,
    /// The images. Their counters are the minimum and maximum number of operations that they
    /// contain.
    images: Vec<Image>,
}

impl Session {
    /// Returns what the store may contain in this image.
    fn candidates(&self, image: &Image) -> &[World] {
        let (must, can) = (image.counters[0] as usize, image.counters[1] as usize);
        &self.history[must..=can.min(self.history.len() - 1)]
    }
}

/// Records a client that works for several sessions on one disk.
fn record(seed: u64, durability: Durability, sessions: u64, every: u64) -> Vec<Session> {
    let mut client = Client::new(seed, "graph", true);
    // In interval mode, only a close makes everything durable.
    let durable = match durability {
        Durability::Synced => client.acknowledged.clone(),
        Durability::Interval(_) => Arc::new(AtomicU64::new(0)),
    };
    let mut recorded = Vec::new();
    let mut disk = Arc::new(MemoryDisk::default());
    for n in 0..sessions {
        disk.record(every, vec![durable.clone(), client.attempted.clone()]);
        let opened = client.open(disk.clone(), durability);
        let store = opened.unwrap_or_else(|e| panic!("seed {seed}, session {n}: {e}"));
        let steps = 30 + client.random.below(30);
        client.steps(&store, steps);
        let is_killed = n % 2 == 1;
        if !is_killed {
            store.engine.close().expect("it closes");
        }
        let session = Session {
            history: client.history.clone(),
            images: disk.images(),
        };
        if is_killed {
            // The kill happens at some earlier point, in the middle of an operation.
            let count = session.images.len();
            let back = client.random.below(count.min(20) as u64) as usize;
            let image = &session.images[count - 1 - back];
            disk = Arc::new(image.after_kill());
            let left = Store::open(Arc::new(image.after_kill()), Durability::Synced);
            let seen = Seen::read(&left.expect("it opens"));
            let is_it = |world: &World| seen.compare(&world.reopened()).is_ok();
            let candidates = session.candidates(image);
            let n = candidates.iter().position(is_it);
            let n = n.expect("it holds what it may") + image.counters[0] as usize;
            client.go_back_to(n, image.counters[0]);
        }
        durable.store(client.acknowledged.load(Ordering::SeqCst), Ordering::SeqCst);
        recorded.push(session);
    }
    assert_packs_were_merged(recorded.iter().flat_map(|session| &session.images));
    recorded
}

/// Runs a client. Each of its sessions ends with a power failure that keeps an arbitrary part of
/// the unsynced data, so the next session continues the log after a torn tail, which complete
/// frames may follow. Returns how many images were opened.
fn continue_torn_tails(seed: u64, sessions: u64) -> u64 {
    let durability = Durability::Interval(Duration::from_secs(60));
    let mut client = Client::new(seed, "graph", true);
    let mut random = Random(seed);
    let mut disk = Arc::new(MemoryDisk::default());
    let mut opened = 0;
    for n in 0..sessions {
        let what = format!("torn, seed {seed}, session {n}");
        // Only an open certainly makes anything durable.
        let durable = Arc::new(AtomicU64::new(0));
        disk.record(1, vec![durable.clone(), client.attempted.clone()]);
        let store = client.open(disk.clone(), durability);
        let store = store.unwrap_or_else(|e| panic!("{what}: {e}"));
        durable.store(client.acknowledged.load(Ordering::SeqCst), Ordering::SeqCst);
        let steps = 5 + client.random.below(20);
        client.steps(&store, steps);
        let session = Session {
            history: client.history.clone(),
            images: disk.images(),
        };
        drop(store);
        let count = session.images.len() as u64;
        let image = &session.images[(count - 1 - random.below(count.min(8))) as usize];
        let torn = image.after_torn_power_cut(|end| random.below(end));
        let files = torn.files();
        let left = Arc::new(MemoryDisk::holding(files.clone()));
        let left = Store::open(left, durability);
        let left = left.unwrap_or_else(|e| panic!("{what}: {e}"));
        let seen = Seen::read(&left);
        let is_it = |world: &World| seen.compare(&world.reopened()).is_ok();
        let candidates = session.candidates(image);
        let found = candidates.iter().position(is_it);
        let found = found.unwrap_or_else(|| panic!("{what}: it holds nothing it may hold"));
        check(&what, MemoryDisk::holding(files.clone()), candidates, true);
        client.go_back_to(found + image.counters[0] as usize, image.counters[0]);
        disk = Arc::new(MemoryDisk::holding(files));
        opened += 3;
    }
    opened
}

#[test]
fn a_log_that_continues_behind_a_torn_tail_never_takes_up_what_lay_there() {
    let (seeds, _) = seeds(1..=12, 1);
    let opened: u64 = seeds.map(|seed| continue_torn_tails(seed, 8)).sum();
    println!("{opened} images opened");
    assert_no_thread_panicked();
}

/// The worst case after the end of the log: a torn frame that has the same length as the first
/// frame of the next open, followed by a complete frame.
#[test]
fn a_frame_behind_a_torn_one_is_never_taken_for_the_successor_of_a_new_one() {
    let (store, time_ms) = (StoreId(7), 1_764_000_000_000);
    let memory = Arc::new(MemoryDisk::default());
    let disk: Arc<dyn Disk> = memory.clone();
    identity::create(&*disk, store).expect("an identity");
    let preallocation = Arc::new(Preallocation::new(1, SEGMENT_BYTES));
    let prepared = preallocation
        .take(&*disk, 0, Room::Ordinary)
        .expect("a segment");
    let log = LogWriter::begin(disk, store, preallocation, prepared, 1, (0, 0), None);
    let mut log = log.expect("a log");
    let create = |graph, name| Event::GraphCreated {
        graph,
        number: 1_000_000_000_000_000_000,
        key: [1, 2],
        time_ms,
        project: "10001",
        name,
    };
    let mut append = |event| {
        let mut frame = Builder::default();
        frame.clear();
        frame.push(&event);
        let appended = log.append(&mut frame, Room::Ordinary);
        let at = appended.map(|appended| appended.at);
        (at.unwrap_or_else(|_| panic!("it is written")), frame.len())
    };
    append(create(0, "first"));
    let (torn_at, torn_len) = append(Event::GraphDropped { graph: 0, time_ms });
    append(create(1, "second"));
    let mut opening = Builder::default();
    opening.clear();
    opening.push(&Event::StoreOpened {
        open_number: 1,
        time_ms,
    });
    assert_eq!(opening.len(), torn_len, "otherwise the test shows nothing");
    let mut files = memory.files();
    let segment = files
        .iter_mut()
        .find(|(name, _)| *name == file_names::segment(1));
    segment.expect("the segment").1[torn_at as usize] ^= 0xff;
    let durability = Durability::Synced;
    for close in [false, true] {
        let mut disk = Arc::new(MemoryDisk::holding(files.clone()));
        for n in 0..4 {
            let what = format!("close: {close}, open {n}");
            let store = Store::open(disk.clone(), durability);
            let store = store.unwrap_or_else(|e| panic!("{what}: {e}"));
            let graphs = store.graphs();
            let names: Vec<&str> = graphs.iter().map(|graph| graph.name()).collect();
            assert_eq!(names, ["first"], "{what}");
            if close {
                store.engine.close().expect("it closes");
            }
            disk = Arc::new(MemoryDisk::holding(disk.files()));
        }
    }
}

/// Opens all images after power failures. Prints how many were opened.
fn check_all(what: &str, recorded: &[Session], random: &mut Random) -> u64 {
    let mut opened = 0;
    for (n, session) in recorded.iter().enumerate() {
        for (i, image) in session.images.iter().enumerate() {
            let (candidates, goes_on) = (session.candidates(image), i % 8 == 0);
            for (kind, disk) in power_cuts(image, random) {
                let what = format!("{what}, session {n}, image {i}, {kind}");
                check(&what, disk, candidates, goes_on);
                opened += 1;
            }
        }
    }
    assert_no_thread_panicked();
    opened
}

/// Asserts that packs were merged. Otherwise, the test would cover less than it claims.
fn assert_packs_were_merged<'i>(images: impl Iterator<Item = &'i Image>) {
    let (mut ever, mut last) = (BTreeSet::new(), BTreeSet::new());
    for image in images {
        let names = image.names().into_iter();
        last = names.filter(|name| name.ends_with(".pack")).collect();
        ever.extend(last.iter().cloned());
    }
    assert!(ever.len() > last.len(), "of {ever:?} none was merged");
}

pub(super) fn power_cuts(image: &Image, random: &mut Random) -> [(&'static str, MemoryDisk); 3] {
    [
        ("only what was synced", image.after_power_cut()),
        ("torn", image.after_torn_power_cut(|end| random.below(end))),
        (
            "torn again",
            image.after_torn_power_cut(|end| random.below(end)),
        ),
    ]
}

pub(super) fn check(what: &str, disk: MemoryDisk, candidates: &[World], goes_on: bool) {
    let disk = Arc::new(disk);
    let store = match Store::open(disk.clone(), Durability::Synced) {
        Ok(store) => store,
        Err(error) => panic!("{what}: it does not open: {error}"),
    };
    let seen = Seen::read(&store);
    assert!(seen.error().is_none(), "{what}: {:?}", seen.error());
    let mut differences = Vec::new();
    for candidate in candidates {
        let expected = candidate.reopened();
        match seen.compare(&expected) {
            Err(difference) => differences.push(difference),
            Ok(()) => {
                for (graph, (_, jobs)) in seen.graphs.iter().zip(&expected.graphs) {
                    let looked_up = graph.look_up(jobs, 5);
                    assert!(matches!(looked_up, Ok(None)), "{what}: {looked_up:?}");
                }
                if goes_on {
                    check_goes_on(what, store, &disk, expected);
                }
                return;
            }
        }
    }
    panic!(
        "{what}: it holds none of the {} worlds it may: {differences:#?}",
        candidates.len()
    );
}

/// Checks that the store accepts writes, closes, and opens again with all its content.
fn check_goes_on(what: &str, store: Store, disk: &Arc<MemoryDisk>, world: World) {
    let mut client = Client::new(1, "later", true);
    client.world = world;
    client.steps(&store, 8);
    let closed = store.engine.close();
    assert!(closed.is_ok(), "{what}: {closed:?}");
    let reopened = Store::open(disk.clone(), Durability::Synced);
    let store = reopened.unwrap_or_else(|e| panic!("{what}: it does not open again: {e}"));
    let seen = Seen::read(&store);
    assert_eq!(
        seen.compare(&client.world.reopened()),
        Ok(()),
        "{what}, later"
    );
}

#[test]
fn a_power_cut_takes_nothing_that_was_acknowledged() {
    let (seeds, every) = seeds(1..=2, 5);
    let mut opened = 0;
    for seed in seeds {
        let recorded = record(seed, Durability::Synced, 5, every);
        opened += check_all(&format!("seed {seed}"), &recorded, &mut Random(seed));
    }
    println!("{opened} images opened");
}

#[test]
fn in_interval_mode_a_power_cut_takes_the_latest_operations_at_most() {
    let durability = Durability::Interval(Duration::from_secs(60));
    let (seeds, every) = seeds(3..=3, 4);
    let mut opened = 0;
    for seed in seeds {
        let recorded = record(seed, durability, 4, every);
        let what = format!("interval, seed {seed}");
        opened += check_all(&what, &recorded, &mut Random(seed));
    }
    println!("{opened} images opened");
}

/// An open makes visible any data that it finds written but not synced, and deletes files that it
/// finds replaced. That data, and the files that replace the others, must be durable first.
#[test]
fn a_power_cut_during_the_open_after_a_kill_takes_nothing_either() {
    let (seeds, every) = seeds(7..=7, 1);
    let opened: u64 = seeds.map(|seed| cut_opens_after_kills(seed, every)).sum();
    println!("{opened} images opened");
    assert_no_thread_panicked();
}

fn cut_opens_after_kills(seed: u64, every: u64) -> u64 {
    let recorded = record(seed, Durability::Synced, 3, every);
    let mut random = Random(seed);
    let mut opened = 0;
    let mut killed = Vec::new();
    for session in &recorded {
        let images = session.images.iter();
        let images = images.filter(|image| image.has_unsynced(".pack") || random.below(24) == 0);
        killed.extend(images.map(|image| (session, image)));
    }
    for (session, image) in killed {
        let disk = Arc::new(image.after_kill());
        disk.record(1, Vec::new());
        let store = Store::open(disk.clone(), Durability::Synced).expect("it opens");
        let images = disk.images();
        drop(store);
        let mut candidates = session.candidates(image).to_vec();
        candidates.extend(session.candidates(image).iter().map(World::reopened));
        for (n, image) in images.iter().enumerate() {
            for (kind, left) in power_cuts(image, &mut random) {
                let what = format!("seed {seed}, call {n} of an open, {kind}");
                check(&what, left, &candidates, false);
                opened += 1;
            }
        }
    }
    opened
}

/// Each thread has its own graph, so the content of a graph follows from its thread's operations.
/// The threads share commits.
#[test]
fn writes_that_share_a_commit_are_each_there_once_acknowledged() {
    const THREADS: u64 = 3;
    let disk = Arc::new(MemoryDisk::default());
    let store = Store::open(disk.clone(), Durability::Synced).expect("it opens");
    let mut clients: Vec<Client> = (0..THREADS)
        .map(|n| Client::new(n, &format!("thread{n}-"), false))
        .collect();
    disk.record(3, clients.iter().flat_map(Client::counters).collect());
    std::thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(|| client.steps(&store, 60));
        }
    });
    store.engine.close().expect("it closes");
    let mut random = Random(4);
    for (n, image) in disk.images().iter().enumerate() {
        for (kind, left) in power_cuts(image, &mut random) {
            let what = format!("image {n}, {kind}");
            let opened = Store::open(Arc::new(left), Durability::Synced);
            let store = opened.unwrap_or_else(|e| panic!("{what}: it does not open: {e}"));
            let seen = Seen::read(&store);
            assert!(seen.error().is_none(), "{what}: {:?}", seen.error());
            for (client, counters) in clients.iter().zip(image.counters.chunks(2)) {
                let (must, can) = (counters[0] as usize, counters[1] as usize);
                let can = can.min(client.history.len() - 1);
                let name = &client.world.graphs[0].0;
                let graph = seen.graphs.iter().find(|graph| graph.name == *name);
                let may_be = client.history[must..=can].iter().any(|world| {
                    let mut world = world.clone();
                    world.open_number = store.engine.open_event().open_number - 1;
                    match (world.reopened().graphs.first(), graph) {
                        (Some((_, jobs)), Some(graph)) => graph.compare(jobs).is_ok(),
                        (there, seen) => there.is_none() && seen.is_none(),
                    }
                });
                assert!(may_be, "{what}: graph {name} holds nothing it may hold");
            }
        }
    }
    assert_no_thread_panicked();
}
