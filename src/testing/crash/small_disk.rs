//! Guarantee: on a real file system without a free byte or inode, purging frees space.
//!
//! The file system is a tmpfs of 24 MB, and contains the index as well. If the system does not let
//! the tests mount one, they are skipped with a message.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::engine::open::directory::open_directory;
use crate::model::error::Error;
use crate::model::health::Health;
use crate::model::job_query::JobQuery;
use crate::model::options::{Durability, Options};
use crate::model::request::{Body, Request};
use crate::model::retention::Retention;
use crate::testing::crash::client::{
    Client, Random, Store, assert_no_thread_panicked, options, tried_to_purge_all,
};
use crate::testing::crash::world::Seen;

const MB: u64 = 1 << 20;
/// A disk that refuses writes for this long is full.
const STAYS_FULL: Duration = Duration::from_secs(1);
const WAIT: Duration = Duration::from_secs(60);

/// A mounted file system, unmounted when dropped.
struct Mount {
    dir: tempfile::TempDir,
}

impl Mount {
    fn new(options: &str) -> Option<Mount> {
        let dir = tempfile::tempdir().expect("a directory");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", options, "none"]);
        let mounted = command.arg(dir.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Mount { dir }),
            refused => {
                eprintln!("SKIPPED: no file system can be mounted here: {refused:?}");
                None
            }
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().to_path_buf()
    }

    fn free(&self) -> (u64, u64) {
        let found = rustix::fs::statvfs(self.dir.path()).expect("its numbers");
        (found.f_bavail * found.f_frsize, found.f_favail)
    }

    /// Uses up every byte and inode that is left.
    fn fill(&self) {
        let ballast = self.path().join("ballast");
        fs::create_dir_all(&ballast).ok();
        let name = |n: u64| ballast.join(format!("{:?}-{n}", Instant::now()));
        if let Ok(mut file) = fs::File::create(name(0)) {
            let zeros = vec![1; 64 << 10];
            while file.write_all(&zeros).is_ok() {}
            while file.write_all(&[1; 512]).is_ok() {}
        }
        // By default a tmpfs has millions of inodes.
        for n in 1..1000 {
            if self.free().1 == 0 || fs::File::create(name(n)).is_err() {
                break;
            }
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        Command::new("umount")
            .arg("-l")
            .arg(self.dir.path())
            .output()
            .ok();
    }
}

fn open(path: &Path) -> Result<Store, Error> {
    open_directory(Options::default(), &path.join("store")).map(Store::of)
}

fn request(random: &mut Random, bytes: u64) -> Request {
    let text: String = (0..bytes)
        .map(|_| char::from(b'0' + random.below(74) as u8))
        .filter(|c| c.is_ascii_alphanumeric())
        .collect();
    Request::new(
        "import",
        "/ges",
        Body::from_json(format!("{text:?}")).expect("JSON"),
    )
    .expect("a request")
}

/// Submits and cancels jobs until the disk stays full. Returns the number of jobs.
fn fill(store: &Store, random: &mut Random) -> u64 {
    let graph = store.graph("movie");
    let (mut jobs, mut full_since) = (0, None);
    loop {
        let requests: Vec<_> = (0..8).map(|_| request(random, 3000)).collect();
        let ids = match graph.submit_all(requests) {
            Ok(ids) => ids,
            Err(Error::DiskFull { .. } | Error::IndexUnavailable { .. }) => {
                // Packing may still free space.
                let since: Instant = *full_since.get_or_insert_with(Instant::now);
                if since.elapsed() > STAYS_FULL {
                    return jobs;
                }
                store.engine.wake_packer();
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            Err(error) => panic!("a submission: {error}"),
        };
        full_since = None;
        jobs += ids.len() as u64;
        for id in ids {
            match graph.cancel(&id) {
                Ok(_) | Err(Error::DiskFull { .. }) => {}
                Err(error) => panic!("a cancellation: {error}"),
            }
        }
        assert!(jobs < 80_000, "the disk does not get full");
    }
}

fn until(store: &Store, what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + WAIT;
    while !is_so() {
        let health = store.engine.health();
        let names = store.engine.disk.names();
        assert!(
            Instant::now() < deadline,
            "{what} does not happen: {health:?} {names:?}"
        );
        store.engine.wake_packer();
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn purge(store: &Store) {
    let graph = store.graph("movie");
    until(store, "the purge", || tried_to_purge_all(&graph));
}

/// The size of all files below a directory.
fn used(path: &Path) -> u64 {
    fs::read_dir(path).map_or(0, |entries| {
        entries
            .filter_map(Result::ok)
            .map(|entry| match entry.metadata() {
                Ok(found) if found.is_dir() => used(&entry.path()),
                Ok(found) => found.len(),
                Err(_) => 0,
            })
            .sum()
    })
}

fn refills(store: &Store, mount: &Mount, what: &str) {
    let path = mount.path().join("store");
    until(store, &format!("{what}: that space comes back"), || {
        used(&path) < 12 * MB
    });
    let graph = store.graph("movie");
    let mut random = Random(3);
    for _ in 0..50 {
        until(
            store,
            &format!("{what}: that jobs are accepted"),
            || match graph.submit(request(&mut random, 3000)) {
                Ok(_) => true,
                Err(Error::DiskFull { .. }) => false,
                Err(error) => panic!("{what}: {error}"),
            },
        );
    }
}

#[test]
fn a_small_disk_is_freed_by_purging_and_fills_again_and_again() {
    let Some(mount) = Mount::new("size=24m") else {
        return;
    };
    let mut store = open(&mount.path()).expect("it opens");
    store.create_graph("movie");
    let mut random = Random(1);
    let first = fill(&store, &mut random);
    assert!(first > 1000, "only {first} jobs fit");
    for round in 0..4 {
        if round % 2 == 1 {
            store.engine.close().expect("it closes");
            drop(store);
            store = open(&mount.path()).expect("it opens again");
        }
        purge(&store);
        refills(&store, &mount, &format!("round {round}"));
        let again = fill(&store, &mut random);
        assert!(
            2 * again > first,
            "round {round}: {again} jobs fit, {first} did at first"
        );
    }
    store.engine.close().expect("it closes");
    assert_no_thread_panicked();
}

#[test]
fn retention_keeps_a_small_disk_from_filling_for_good() {
    let Some(mount) = Mount::new("size=24m") else {
        return;
    };
    let store = open(&mount.path()).expect("it opens");
    store.create_graph("movie");
    let graph = store.graph("movie");
    graph
        .set_retention(Some(Retention::new().max_jobs(500)))
        .expect("a policy");
    // This is several times the capacity of the disk, and faster than retention can purge.
    let mut random = Random(2);
    let mut refused = 0;
    for _ in 0..1500 {
        let requests: Vec<_> = (0..16).map(|_| request(&mut random, 3000)).collect();
        until(&store, "that jobs are accepted again", || {
            match graph.submit_all(requests.clone()) {
                Ok(ids) => {
                    for id in ids {
                        graph.cancel(&id).ok();
                    }
                    true
                }
                Err(Error::DiskFull { .. }) => {
                    refused += 1;
                    false
                }
                Err(error) => panic!("a submission: {error}"),
            }
        });
    }
    eprintln!("refused {refused} times");
    store.engine.close().expect("it closes");
    drop((graph, store));
    let store = open(&mount.path()).expect("it opens again");
    purge(&store);
    refills(&store, &mount, "at the end");
    store.engine.close().expect("it closes");
    assert_no_thread_panicked();
}

#[test]
fn without_a_byte_or_an_inode_a_store_opens_lists_purges_and_closes() {
    for (n, options) in ["size=40m,nr_inodes=60", "size=40m"]
        .into_iter()
        .enumerate()
    {
        let Some(mount) = Mount::new(options) else {
            return;
        };
        let store = open(&mount.path()).expect("it opens");
        store.create_graph("movie");
        let graph = store.graph("movie");
        let mut random = Random(n as u64);
        for _ in 0..100 {
            let id = graph.submit(request(&mut random, 20_000)).expect("a job");
            graph.cancel(&id).expect("a cancellation");
        }
        store.engine.close().expect("it closes");
        drop((graph, store));
        mount.fill();
        assert!(mount.free().0 < 64 << 10, "{:?}", mount.free());
        for round in 0..3 {
            let store = open(&mount.path()).unwrap_or_else(|e| panic!("{options} {round}: {e}"));
            let page = store.graph("movie").list(JobQuery::new()).expect("a page");
            let jobs = page.jobs().filter(|job| job.is_ok()).count();
            assert!(jobs > 0 || round > 1, "{options} {round}");
            assert!(matches!(store.engine.health(), Health::Degraded { .. }));
            if round == 1 {
                purge(&store);
            }
            store
                .engine
                .close()
                .unwrap_or_else(|e| panic!("{options} {round}: close: {e}"));
            drop((page, store));
            // This simulates another program that takes any space that is freed.
            if round == 0 {
                mount.fill();
            }
        }
        fs::remove_dir_all(mount.path().join("ballast")).expect("room");
        let store = open(&mount.path()).expect("it opens with room");
        refills(&store, &mount, options);
        until(&store, "its health", || store.engine.health() == Health::Ok);
        store.engine.close().expect("it closes");
    }
    assert_no_thread_panicked();
}

/// The index moves to memory and back between any two operations.
#[test]
fn an_index_in_memory_answers_like_the_one_on_disk() {
    for seed in 0..4 {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("store");
        let mut client = Client::new(seed, "graph", false);
        for session in 0..3 {
            let opened = open_directory(options(Durability::Synced), &path);
            let store = Store::of(opened.expect("it opens"));
            client.world = client.world.reopened();
            for step in 0..6 {
                let steps = client.random.below(25);
                client.steps(&store, steps);
                let is_back = step % 3 == 2;
                match is_back {
                    true => store.engine.index_to_disk(),
                    false => {
                        let mut indexer = store.engine.indexer.lock();
                        let moved = store.engine.index_to_memory(&mut indexer, "a test".into());
                        drop(indexer);
                        if let Err(error) = &moved {
                            panic!("seed {seed}, {session}.{step}: {error}");
                        }
                        store.engine.release_index(moved);
                    }
                }
                let in_memory = store.engine.index_in_memory.lock().is_some();
                assert!(
                    in_memory != is_back || is_back,
                    "seed {seed}, {session}.{step}"
                );
                let seen = Seen::read(&store);
                let what = format!("seed {seed}, {session}.{step}");
                assert!(seen.error().is_none(), "{what}: {:?}", seen.error());
                assert_eq!(seen.compare(&client.world), Ok(()), "{what}");
                assert!(store.engine.index_is_sound(), "{what}");
            }
            store.wait_until_packed();
            store.engine.close().expect("it closes");
        }
    }
    assert_no_thread_panicked();
}
