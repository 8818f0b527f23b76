//! Guarantee: a close returns in time, and nothing waits for the index.
//!
//! A call to the index does not return, or a thread of the store hangs. Writes and lists continue.
//! A close reports what hangs. What was acknowledged is present after the next open.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::sync::atomic::Ordering;
use crate::base::sync::{Condvar, Mutex};
use crate::engine::core::INDEX_LAG_MAX;
use crate::engine::open::directory::open_directory;
use crate::engine::open::{IndexLocation, open};
use crate::engine::state::store_lock::lock;
use crate::engine::state::watchdog::HANG_TIMEOUT;
use crate::engine::state::workers::Worker;
use crate::index::directory::IndexDirectory;
use crate::index::memory::MemoryIndex;
use crate::index::{Batch, EachRow, Fault, Index};
use crate::log::disk::memory::MemoryDisk;
use crate::log::disk::os::OsDirectory;
use crate::log::file_names;
use crate::model::error::{Error, Result};
use crate::model::health::Health;
use crate::model::job_query::JobQuery;
use crate::model::options::{Durability, Options};
use crate::testing::crash::client::{
    Act, Client, Store, assert_no_thread_panicked, options, within_bounds,
};
use crate::testing::crash::power_cuts::check;
use crate::testing::crash::world::{Seen, World};

/// How long a test waits for an event that must occur.
const WAIT: Duration = Duration::from_secs(60);

/// The call of the index's thread that hangs.
#[derive(Default)]
struct Hang {
    state: Mutex<HangState>,
    changed: Condvar,
}

#[derive(Default)]
struct HangState {
    call: Option<&'static str>,
    hangs: bool,
}

impl Hang {
    fn in_call(&self, call: &'static str) {
        self.state.lock().call = Some(call);
    }

    fn end(&self) {
        self.state.lock().call = None;
        self.changed.notify_all();
    }

    fn wait_until_it_hangs(&self) {
        let mut state = self.state.lock();
        while !state.hangs {
            let waited = self.changed.wait_for(&mut state, WAIT);
            assert!(!waited.timed_out(), "no such call came");
        }
    }

    fn pass(&self, call: &'static str) {
        if std::thread::current().name() != Some(Worker::Indexer.name()) {
            return;
        }
        let mut state = self.state.lock();
        while state.call == Some(call) {
            state.hangs = true;
            self.changed.notify_all();
            self.changed.wait(&mut state);
        }
    }
}

/// An index that hangs on demand.
struct Hanging {
    index: Arc<dyn Index>,
    hang: Arc<Hang>,
}

impl Index for Hanging {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.hang.pass("read");
        self.index.get(key)
    }

    fn scan(&self, prefix: &[u8], each: EachRow<'_>) -> Result<(), Fault> {
        self.hang.pass("scan");
        self.index.scan(prefix, each)
    }

    fn write(&self, batch: &Batch) -> Result<(), Fault> {
        self.hang.pass("write");
        self.index.write(batch)
    }

    fn flush(&self) -> Result<(), Fault> {
        self.hang.pass("flush");
        self.index.flush()
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        self.hang.pass("release");
    }
}

/// How long a close waits for an event that does not occur. This is much longer than it takes for
/// an expected event to occur.
const SHORT: Duration = Duration::from_secs(2);

fn closing_within(timeout: Duration) -> Options {
    options(Durability::Synced).close_timeout(timeout)
}

/// Opens a store in memory, with a lock on a directory.
fn open_hanging(
    disk: &Arc<MemoryDisk>,
    directory: &Path,
    hang: &Arc<Hang>,
    timeout: Duration,
) -> Store {
    let lock = lock(&OsDirectory::open(directory).expect("a directory")).expect("the lock");
    let index = |_| -> Arc<dyn Index> {
        Arc::new(Hanging {
            index: Arc::new(MemoryIndex::default()),
            hang: hang.clone(),
        })
    };
    let location = IndexLocation::Memory(&index);
    let engine = open(closing_within(timeout), disk.clone(), Some(lock), location);
    Store::of(engine.expect("it opens"))
}

fn is_locked(directory: &Path) -> bool {
    match lock(&OsDirectory::open(directory).expect("a directory")) {
        Ok(_) => false,
        Err(Error::StoreInUse { .. }) => true,
        Err(error) => panic!("{error}"),
    }
}

fn check_reads(what: &str, store: &Store, world: &World) {
    let seen = Seen::read(store);
    assert!(seen.error().is_none(), "{what}: {:?}", seen.error());
    assert_eq!(seen.compare(world), Ok(()), "{what}");
}

fn assert_index_stuck(call: &str, closed: Result<()>) {
    match closed {
        Err(Error::IndexStuck { what }) => {
            assert!(what.contains(&format!("in a {call} ")), "{what}");
        }
        other => panic!("stuck in a {call}, and the close says {other:?}"),
    }
}

#[test]
fn whatever_call_the_index_is_stuck_in_a_close_ends_the_log_and_says_so() {
    within_bounds("a stuck index".to_owned(), || {
        std::thread::scope(|scope| {
            for call in ["write", "read", "scan", "flush", "release"] {
                scope.spawn(move || check_stuck(call));
            }
        });
    });
    assert_no_thread_panicked();
}

fn check_stuck(call: &'static str) {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = Arc::new(MemoryDisk::default());
    let hang = Arc::new(Hang::default());
    let store = open_hanging(&disk, directory.path(), &hang, SHORT);
    let mut client = Client::new(70, "graph", true);
    client.world = World::default().reopened();
    client.steps(&store, 30);
    store.engine.apply_to_index();
    hang.in_call(call);
    // Dropping a graph makes the indexer scan the index.
    let name = client.world.graphs[0].0.clone();
    let act = Act::DropGraph { name };
    let ids = store.apply_act(&act).expect("it is dropped");
    client.world.apply(&act, &ids);
    client.steps(&store, 10);
    if !["flush", "release"].contains(&call) {
        store.engine.wake_indexer();
        hang.wait_until_it_hangs();
    }
    client.steps(&store, 100);
    check_reads(call, &store, &client.world);
    let closed = store.engine.close();
    assert_index_stuck(call, closed);
    let names = disk.names_now();
    for name in [file_names::CLOSED, file_names::INDEX_OPENING] {
        assert!(names.contains(&name.to_owned()), "{call}: no {name}");
    }
    assert!(
        !is_locked(directory.path()),
        "{call}: the directory stays locked"
    );
    assert!(store.engine.close().is_ok(), "{call}: closed again");
    check(call, disk.image().after_kill(), &[client.world], true);
    hang.end();
}

#[test]
fn the_last_handle_does_not_wait_for_a_stuck_index_either() {
    within_bounds("the last handle".to_owned(), || {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = Arc::new(MemoryDisk::default());
        let hang = Arc::new(Hang::default());
        let store = open_hanging(&disk, directory.path(), &hang, SHORT);
        hang.in_call("write");
        let mut client = Client::new(71, "graph", false);
        client.world = World::default().reopened();
        client.steps(&store, 20);
        drop(store);
        assert!(!is_locked(directory.path()));
        check("dropped", disk.image().after_kill(), &[client.world], true);
        hang.end();
    });
}

#[test]
fn a_stuck_index_refuses_new_jobs_once_it_is_too_far_behind_and_the_health_says_so() {
    within_bounds("a stuck index".to_owned(), || {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = Arc::new(MemoryDisk::default());
        let hang = Arc::new(Hang::default());
        let store = open_hanging(&disk, directory.path(), &hang, WAIT);
        let mut client = Client::new(72, "graph", false);
        client.world = World::default().reopened();
        client.steps(&store, 20);
        hang.in_call("write");
        store.engine.wake_indexer();
        hang.wait_until_it_hangs();
        client.steps(&store, 20);
        let now = Instant::now();
        assert_eq!(store.engine.health_at(now), Health::Ok);
        match store.engine.health_at(now + HANG_TIMEOUT + HANG_TIMEOUT) {
            Health::Degraded { why } => assert!(why.contains("in a write for"), "{why}"),
            other => panic!("{other:?}"),
        }
        let lag = &store.engine.index_lag;
        let before = lag.fetch_add(INDEX_LAG_MAX, Ordering::Relaxed);
        let mut refused = 0;
        for _ in 0..40 {
            let act = client.draw();
            match store.apply_act(&act) {
                Ok(ids) => {
                    assert!(!act.adds(), "{act:?}");
                    client.world.apply(&act, &ids);
                }
                Err(Error::IndexUnavailable { .. }) if act.adds() => refused += 1,
                Err(error) => panic!("{act:?}: {error}"),
            }
        }
        assert!(refused > 0);
        check_reads("too far behind", &store, &client.world);
        lag.store(before, Ordering::Relaxed);
        client.steps(&store, 20);
        // The hanging call returns, and everything continues.
        hang.end();
        store.engine.close().expect("it closes");
        assert!(
            !disk
                .names_now()
                .contains(&file_names::INDEX_OPENING.to_owned())
        );
        check("closed", disk.image().after_kill(), &[client.world], true);
    });
    assert_no_thread_panicked();
}

/// This uses the real index in a real directory. The next open is in the same process.
#[test]
fn after_a_stuck_index_the_next_open_makes_it_anew() {
    within_bounds("the next open".to_owned(), || {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        let hang = Arc::new(Hang::default());
        let disk = Arc::new(OsDirectory::open(path).expect("a directory"));
        let held = lock(&disk).expect("the lock");
        let index = |rebuild| -> Arc<dyn Index> {
            let directory = IndexDirectory::new(&disk, 4 << 20);
            let index = directory.open(rebuild, None).expect("an index");
            directory.opened().expect("the marker goes");
            let hang = hang.clone();
            Arc::new(Hanging { index, hang })
        };
        let location = IndexLocation::Memory(&index);
        let opened = open(closing_within(SHORT), disk.clone(), Some(held), location);
        let store = Store::of(opened.expect("it opens"));
        let mut client = Client::new(73, "graph", true);
        client.world = World::default().reopened();
        client.steps(&store, 60);
        store.engine.apply_to_index();
        hang.in_call("flush");
        client.steps(&store, 20);
        assert_index_stuck("flush", store.engine.close());
        let world = client.world.reopened();
        let opened = open_directory(options(Durability::Synced), path);
        let again = Store::of(opened.expect("it opens again"));
        check_reads("again", &again, &world);
        assert!(again.engine.index_is_sound());
        assert!(!path.join(file_names::INDEX_OPENING).exists());
        again.engine.close().expect("it closes");
        hang.end();
    });
    assert_no_thread_panicked();
}

/// All pages can be read without the index, no matter how long the index fails to respond.
#[test]
fn lists_do_not_ask_the_index() {
    within_bounds("a list".to_owned(), || {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = Arc::new(MemoryDisk::default());
        let hang = Arc::new(Hang::default());
        let store = open_hanging(&disk, directory.path(), &hang, WAIT);
        let mut client = Client::new(74, "graph", false);
        client.world = World::default().reopened();
        client.steps(&store, 60);
        store.engine.apply_to_index();
        store.wait_until_packed();
        hang.in_call("read");
        // Calls from a thread with this name block as well.
        let reader = std::thread::Builder::new().name(Worker::Indexer.name().to_owned());
        std::thread::scope(|scope| {
            let reader = reader.spawn_scoped(scope, || {
                for graph in store.graphs() {
                    let page = graph.list(JobQuery::new()).expect("a page");
                    let jobs = page.total().unwrap();
                    assert!(jobs > 5, "only {jobs} jobs");
                    page.to_json().expect("JSON");
                }
            });
            reader.expect("a thread").join().expect("no panic");
        });
        hang.end();
        store.engine.close().expect("it closes");
    });
}

#[test]
fn while_a_commit_is_stuck_a_close_comes_back_and_the_directory_stays_locked() {
    within_bounds("a stuck commit".to_owned(), || {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = Arc::new(MemoryDisk::default());
        let hang = Arc::new(Hang::default());
        let store = open_hanging(&disk, directory.path(), &hang, SHORT);
        let mut client = Client::new(75, "graph", false);
        client.world = World::default().reopened();
        client.steps(&store, 20);
        let name = client.world.graphs[0].0.clone();
        let act = Act::DropGraph { name };
        disk.hold_syncs();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| store.apply_act(&act));
            disk.wait_until_held();
            match store.engine.close() {
                Err(Error::CloseStuck { what }) => {
                    assert!(what.contains(Worker::Committer.name()), "{what}");
                }
                other => panic!("a stuck commit, and the close says {other:?}"),
            }
            assert!(is_locked(directory.path()), "somebody may still write");
            assert!(!disk.names_now().contains(&file_names::CLOSED.to_owned()));
            disk.release_syncs();
            writer.join().expect("no panic").expect("it is dropped");
        });
        client.world.apply(&act, &[]);
        drop(store);
        wait_until_unlocked(directory.path());
        check("closed", disk.image().after_kill(), &[client.world], true);
    });
    assert_no_thread_panicked();
}

#[test]
fn while_packing_is_stuck_a_close_comes_back_and_the_directory_stays_locked() {
    within_bounds("stuck packing".to_owned(), || {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = Arc::new(MemoryDisk::default());
        let hang = Arc::new(Hang::default());
        let store = open_hanging(&disk, directory.path(), &hang, SHORT);
        let mut client = Client::new(76, "graph", false);
        client.world = World::default().reopened();
        client.steps(&store, 20);
        {
            // The packer takes this lock in the last step of each round.
            let _problem = store.engine.packing_problem.lock();
            store.engine.wake_packer();
            match store.engine.close() {
                Err(Error::CloseStuck { what }) => {
                    assert!(what.contains(Worker::Packer.name()), "{what}");
                }
                other => panic!("stuck packing, and the close says {other:?}"),
            }
            assert!(is_locked(directory.path()), "somebody may still write");
            assert!(disk.names_now().contains(&file_names::CLOSED.to_owned()));
            match store.engine.close() {
                Err(Error::CloseStuck { .. }) => {}
                other => panic!("it is stuck still, and the second close says {other:?}"),
            }
            assert!(is_locked(directory.path()));
        }
        store.engine.close().expect("it is stuck no more");
        assert!(!is_locked(directory.path()), "the close did not release it");
        store.engine.close().expect("it is closed");
        drop(store);
        wait_until_unlocked(directory.path());
        check("closed", disk.image().after_kill(), &[client.world], true);
    });
    assert_no_thread_panicked();
}

/// The archive's directory may be on a network file system that does not respond.
#[cfg(feature = "archive")]
#[test]
fn a_hung_archive_holds_up_neither_packing_nor_another_policy_nor_a_close() {
    use crate::log::archive::Archive;
    use crate::model::request::{Body, Request};
    use crate::model::retention::{ArchiveTo, Retention};
    use crate::model::states::State;

    within_bounds("a hung archive".to_owned(), || {
        let directory = tempfile::tempdir().expect("a directory");
        let (disk, archive_disk) = (
            Arc::new(MemoryDisk::default()),
            Arc::new(MemoryDisk::default()),
        );
        let hang = Arc::new(Hang::default());
        let store = open_hanging(&disk, directory.path(), &hang, SHORT);
        let mut client = Client::new(77, "graph", false);
        client.world = World::default().reopened();
        client.steps(&store, 20);
        store.create_graph("archived");
        let graph = store.graph("archived");
        let request = || Request::new("c", "/ges", Body::empty()).expect("a request");
        for _ in 0..10 {
            let id = graph.submit(request()).expect("a job");
            graph.cancel(&id).expect("it is cancelled");
        }
        let to = directory.path().join("archive");
        let archive = Archive::open_on(archive_disk.clone(), ("archived", 1), 1 << 20);
        let state = graph.core.archive.state();
        state.put_open(archive.expect("an archive"), ArchiveTo(to.clone()), 1 << 20);
        let policy = Retention::new().max_jobs(0).archive_to(&to);
        archive_disk.hold_syncs();
        graph
            .set_retention(Some(policy.archive_file_bytes(1 << 20)))
            .expect("a policy");
        archive_disk.wait_until_held();
        for _ in 0..200 {
            graph.submit(request()).expect("a job");
        }
        store.wait_until_packed();
        let now = Instant::now();
        match store.engine.health_at(now + HANG_TIMEOUT + HANG_TIMEOUT) {
            Health::Degraded { why } => assert!(why.contains("archive"), "{why}"),
            other => panic!("{other:?}"),
        }
        graph.set_retention(None).expect("another policy");
        store.engine.close().expect("it closes");
        assert!(!is_locked(directory.path()), "the directory stays locked");
        archive_disk.release_syncs();
        drop(store);
        // The job was archived but not purged, so nothing is lost.
        let left = Store::open(Arc::new(disk.image().after_kill()), Durability::Synced);
        let left = left.expect("it opens");
        assert_eq!(
            left.graph("archived")
                .count(State::Complete)
                .expect("a count"),
            10
        );
        left.engine.close().expect("it closes");
    });
    assert_no_thread_panicked();
}

/// A hanging thread keeps the lock until it has ended.
fn wait_until_unlocked(directory: &Path) {
    let deadline = Instant::now() + WAIT;
    while is_locked(directory) {
        assert!(Instant::now() < deadline, "it stays locked");
        std::thread::sleep(Duration::from_millis(1));
    }
}
