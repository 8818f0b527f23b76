//! Opens over the life of a store: what they leave behind, and what they need.
//!
//! Tests that opening and closing a store leaves nothing behind, however the process ends; that a
//! read-only open changes nothing, needs no write permission, and does not disturb an engine; and
//! that a few descriptors suffice for many files.

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::{closed_directory, listed, names_in, pack, request, small_segments};
use jobstore::{Error, Health, JobQuery, JobStore, OnBadLine, Outcome, Retention, State};

/// The environment variable that passes the store to a process that opens it and dies.
const DIE: &str = "JOBSTORE_TEST_OPEN_AND_DIE";

fn filled() -> tempfile::TempDir {
    let dir = closed_directory();
    let store = JobStore::open(dir.path()).unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    graph.submit(request("import", "{}")).unwrap();
    store.close().unwrap();
    dir
}

/// The number of files in the store's directory, and their size without the index.
fn size(dir: &Path) -> (usize, u64) {
    let names = names_in(dir);
    let len = |name: &String| fs::metadata(dir.join(name)).unwrap();
    let files = names.iter().map(len).filter(|known| known.is_file());
    (names.len(), files.map(|known| known.len()).sum())
}

#[test]
fn an_idle_cycle_of_open_and_close_leaves_nothing_behind() {
    let dir = filled();
    JobStore::open(dir.path()).unwrap().close().unwrap();
    let before = size(dir.path());
    let cycles = 100;
    for _ in 0..cycles {
        JobStore::open(dir.path()).unwrap().close().unwrap();
    }
    let after = size(dir.path());
    assert_eq!(after.0, before.0, "{:?}", names_in(dir.path()));
    // Numbers in texts now have more digits.
    assert!(after.1 - before.1 < 64, "{after:?}, was {before:?}");
    let store = JobStore::open(dir.path()).unwrap();
    assert_eq!(store.opens(), cycles + 3, "each writable open is counted");
    let graph = store.graph("10001", "movie").unwrap();
    assert_eq!(graph.list(JobQuery::new()).unwrap().total(), Some(1));
}

/// Runs in a child process of the test below; does nothing otherwise.
#[test]
fn a_process_that_opens_the_store_and_dies() {
    if let Some(dir) = std::env::var_os(DIE) {
        std::mem::forget(JobStore::open(dir).unwrap());
        std::process::abort();
    }
}

#[test]
fn processes_that_die_right_after_opening_leave_nothing_behind() {
    let dir = filled();
    let this = std::env::current_exe().unwrap();
    let die = || {
        let ended = Command::new(&this)
            .args(["--exact", "a_process_that_opens_the_store_and_dies"])
            .env(DIE, dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(!ended.success());
    };
    let files = || {
        let names = names_in(dir.path()).into_iter();
        names.filter(|name| name.ends_with(".segment")).count()
    };
    die();
    for _ in 0..30 {
        die();
    }
    // The one being written, a full one, and a preallocated one.
    assert!(files() <= 3, "{:?}", names_in(dir.path()));
    assert!(JobStore::verify(dir.path()).unwrap().is_sound());
    let store = JobStore::open(dir.path()).unwrap();
    assert_eq!(store.opens(), 33);
    let graph = store.graph("10001", "movie").unwrap();
    assert_eq!(graph.list(JobQuery::new()).unwrap().total(), Some(1));
}

fn read_only(dir: &Path) -> Result<JobStore, Error> {
    JobStore::options().read_only(true).open(dir)
}

/// Name, content, mode, and modification time.
type Known = (PathBuf, Vec<u8>, u32, (i64, i64));

/// Everything below a directory: name, content, mode, and modification time.
fn everything(dir: &Path) -> Vec<Known> {
    let mut found = Vec::new();
    let mut left = vec![dir.to_path_buf()];
    while let Some(path) = left.pop() {
        let known = fs::metadata(&path).unwrap();
        let content = match known.is_dir() {
            true => {
                let below = fs::read_dir(&path).unwrap();
                left.extend(below.map(|entry| entry.unwrap().path()));
                Vec::new()
            }
            false => fs::read(&path).unwrap(),
        };
        let changed = (known.ctime(), known.ctime_nsec());
        found.push((path, content, known.mode(), changed));
    }
    found.sort();
    found
}

/// A store with packed jobs in all states, some purged, closed or killed; returns its list.
fn worked(dir: &Path, close: bool) -> String {
    let store = small_segments().open(dir).unwrap();
    let movie = store.create_graph("10001", "movie").unwrap();
    let mut ids = Vec::new();
    for n in 0..40 {
        ids.push(movie.submit(request("import", &format!("{n}"))).unwrap());
    }
    movie
        .submit_as("brought-1", request("import", "1"))
        .unwrap();
    for id in &ids[..30] {
        movie.start(id).unwrap();
    }
    for id in &ids[..20] {
        movie
            .complete(id, Outcome::failed("code", "words"))
            .unwrap();
    }
    movie.cancel(&ids[25]).unwrap();
    pack(&store, dir);
    movie.submit(request("export", "{}")).unwrap();
    let seen = listed(&movie);
    match close {
        true => store.close().unwrap(),
        // Simulates a killed process; the copy below has no lock.
        false => std::mem::forget(store),
    }
    seen
}

#[test]
fn a_read_only_open_shows_everything_and_changes_nothing() {
    let dir = closed_directory();
    let path = dir.path().join("store");
    let seen = worked(&path, true);
    let before = everything(dir.path());
    for _ in 0..3 {
        let store = read_only(&path).unwrap();
        assert_eq!((store.opens(), store.health()), (1, Health::Ok));
        let movie = store.graph("10001", "movie").unwrap();
        assert_eq!(listed(&movie), seen);
        assert_eq!(
            movie.count(State::Running).unwrap(),
            10,
            "they are not recovered"
        );
        let failed = movie.list(JobQuery::new().limit(1)).unwrap();
        let failed = (&failed).into_iter().next().unwrap().unwrap();
        assert_eq!(failed.outcome().unwrap().message(), Some("words"));
        let brought = movie.job("brought-1").unwrap().unwrap();
        assert_eq!(brought.state(), State::Pending);
        let cancelling = movie.list(JobQuery::new().offset(25).limit(1)).unwrap();
        assert!(
            (&cancelling)
                .into_iter()
                .next()
                .unwrap()
                .unwrap()
                .cancel_requested()
        );
        assert_eq!(movie.find(&request("import", "3")).unwrap().count(), 1);
        let mut lines = Vec::new();
        movie
            .export(JobQuery::new())
            .unwrap()
            .write_all(&mut lines)
            .unwrap();
        assert_eq!(lines.iter().filter(|&&byte| byte == b'\n').count(), 42);
        assert!(store.stats().unwrap().to_json().contains("\"movie\""));
        assert!(store.scrub().unwrap().is_sound());
        assert!(store.recovered().is_empty());
        store.close().unwrap();
        assert!(matches!(movie.list(JobQuery::new()), Err(Error::Closed)));
    }
    assert!(JobStore::verify(&path).unwrap().is_sound());
    assert!(everything(dir.path()) == before, "something was changed");
    let store = JobStore::open(&path).unwrap();
    assert_eq!(store.opens(), 2);
}

#[test]
fn every_write_to_a_read_only_store_is_refused() {
    let dir = closed_directory();
    worked(dir.path(), true);
    let before = everything(dir.path());
    let store = read_only(dir.path()).unwrap();
    let movie = store.graph("10001", "movie").unwrap();
    let id = movie.list(JobQuery::new().offset(25).limit(1)).unwrap();
    let id = (&id).into_iter().next().unwrap().unwrap().id().clone();
    let done = Outcome::succeeded;
    let refused: Vec<(&str, Error)> = vec![
        ("create", store.create_graph("1", "g").unwrap_err()),
        (
            "get or create",
            store.get_or_create_graph("1", "g").unwrap_err(),
        ),
        ("drop", store.drop_graph("10001", "movie").unwrap_err()),
        ("submit", movie.submit(request("a", "1")).unwrap_err()),
        (
            "submit all",
            movie.submit_all(vec![request("a", "1")]).unwrap_err(),
        ),
        (
            "submit as",
            movie.submit_as("new", request("a", "1")).unwrap_err(),
        ),
        (
            "submit once",
            movie.submit_once("key", request("a", "1")).unwrap_err(),
        ),
        ("start", movie.start("brought-1").unwrap_err()),
        ("complete", movie.complete(&id, done()).unwrap_err()),
        ("cancel", movie.cancel(&id).unwrap_err()),
        ("claim", movie.claim("brought-1").unwrap_err()),
        ("run next", movie.claim_next().unwrap_err()),
        ("purge", movie.purge(JobQuery::new()).unwrap_err()),
        (
            "import",
            movie.import(&b"{}\n"[..], OnBadLine::Stop).unwrap_err(),
        ),
        (
            "retention",
            movie.set_retention(Some(Retention::new())).unwrap_err(),
        ),
        ("wait", movie.wait(&id, Duration::from_secs(9)).unwrap_err()),
        (
            "queued submit",
            movie
                .nonblocking()
                .submit(request("a", "1"))
                .wait()
                .unwrap_err(),
        ),
        (
            "queued complete",
            movie
                .nonblocking()
                .complete(&id, done())
                .wait()
                .unwrap_err(),
        ),
        (
            "queued cancel",
            movie.nonblocking().cancel(&id).wait().unwrap_err(),
        ),
        (
            "queued run next",
            movie.nonblocking().claim_next().wait().unwrap_err(),
        ),
        (
            "queued create",
            store
                .nonblocking()
                .create_graph("1", "g")
                .wait()
                .unwrap_err(),
        ),
        (
            "queued drop",
            store
                .nonblocking()
                .drop_graph("10001", "movie")
                .wait()
                .unwrap_err(),
        ),
    ];
    for (what, error) in refused {
        assert!(matches!(error, Error::OpenedReadOnly), "{what}: {error:?}");
    }
    assert_eq!(movie.purge_dry_run(JobQuery::new()).unwrap().jobs, 20);
    drop((movie, store));
    assert!(everything(dir.path()) == before, "something was changed");
    let in_memory = JobStore::options().read_only(true).in_memory();
    assert!(matches!(in_memory, Err(Error::InvalidUse { .. })));
}

#[test]
fn what_a_killed_process_left_is_read_as_it_is() {
    let dir = closed_directory();
    let seen = worked(&dir.path().join("store"), false);
    let left = dir.path().join("left");
    common::copy_directory(&dir.path().join("store"), &left);
    let before = everything(&left);
    let store = read_only(&left).unwrap();
    let movie = store.graph("10001", "movie").unwrap();
    assert_eq!(listed(&movie), seen);
    assert!(everything(&left) == before, "something was changed");
    // A copy of it is a normal store.
    let copy = dir.path().join("copy");
    store.backup(&copy).unwrap();
    assert!(JobStore::verify(&copy).unwrap().is_sound());
    let copied = read_only(&copy).unwrap();
    assert_eq!(listed(&copied.graph("10001", "movie").unwrap()), seen);
    assert!(everything(&left) == before, "something was changed");
}

#[test]
fn a_directory_without_write_permission_is_enough() {
    let dir = closed_directory();
    let path = dir.path().join("store");
    let seen = worked(&path, true);
    for (path, ..) in everything(&path) {
        let mode = match path.is_dir() {
            true => 0o500,
            false => 0o400,
        };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let store = read_only(&path).unwrap();
    assert_eq!(listed(&store.graph("10001", "movie").unwrap()), seen);
    assert!(JobStore::verify(&path).unwrap().is_sound());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn an_engine_works_beside_a_reader_and_keeps_others_from_opening() {
    let dir = closed_directory();
    let path = dir.path();
    let seen = worked(path, true);
    let reader = read_only(path).unwrap();
    let other = read_only(path).unwrap();
    let store = small_segments().open(path).unwrap();
    let refused = read_only(path);
    assert!(matches!(refused, Err(Error::StoreInUse { .. })));
    assert!(matches!(
        JobStore::verify(path),
        Err(Error::StoreInUse { .. })
    ));
    let movie = store.graph("10001", "movie").unwrap();
    movie.purge(JobQuery::new()).unwrap();
    movie.submit(request("later", "{}")).unwrap();
    store.drop_graph("filler", "filler").unwrap();
    pack(&store, path);
    pack(&store, path);
    for reader in [&reader, &other] {
        let read = reader.graph("10001", "movie").unwrap();
        assert_eq!(listed(&read), seen);
        assert!(reader.scrub().unwrap().is_sound());
        let wait = read
            .wait_async("brought-1")
            .unwrap()
            .wait_timeout(Duration::from_secs(9));
        assert!(matches!(wait, Err(Error::OpenedReadOnly)));
    }
    store.close().unwrap();
    assert_eq!(listed(&reader.graph("10001", "movie").unwrap()), seen);
    let later = read_only(path).unwrap();
    assert_ne!(listed(&later.graph("10001", "movie").unwrap()), seen);
}

#[test]
fn what_is_no_store_is_not_opened_to_be_read() {
    let dir = closed_directory();
    let missing = read_only(&dir.path().join("typo"));
    assert!(matches!(missing, Err(Error::StoreMissing { .. })));
    assert!(names_in(dir.path()).is_empty(), "nothing was made");
    fs::write(dir.path().join("letter"), b"").unwrap();
    assert!(matches!(
        read_only(dir.path()),
        Err(Error::NotAStore { .. })
    ));
}

#[test]
fn a_read_only_open_records_no_secret_keys() {
    let dir = filled();
    let before = everything(dir.path());
    let named = JobStore::options()
        .read_only(true)
        .secret_keys(["password"]);
    named.open(dir.path()).unwrap().close().unwrap();
    assert!(everything(dir.path()) == before, "something was changed");
}

#[test]
fn cursors_of_a_reader_are_good_for_the_engine_and_the_other_way_round() {
    let dir = closed_directory();
    worked(dir.path(), true);
    let of_reader = {
        let store = read_only(dir.path()).unwrap();
        let movie = store.graph("10001", "movie").unwrap();
        movie
            .list(JobQuery::new().limit(10))
            .unwrap()
            .next()
            .unwrap()
    };
    let rest = |store: &JobStore, cursor| {
        let movie = store.graph("10001", "movie").unwrap();
        movie.list(JobQuery::new().cursor(cursor)).unwrap().len()
    };
    let store = JobStore::open(dir.path()).unwrap();
    assert_eq!(rest(&store, &of_reader), 32);
    let movie = store.graph("10001", "movie").unwrap();
    let of_engine = movie
        .list(JobQuery::new().limit(12))
        .unwrap()
        .next()
        .unwrap();
    store.close().unwrap();
    assert_eq!(rest(&read_only(dir.path()).unwrap(), &of_engine), 30);
}

#[test]
fn a_reader_of_a_closed_store_does_not_read_the_whole_log_again() {
    let dir = closed_directory();
    let seen = worked(dir.path(), true);
    let read = || {
        let events = Arc::new(AtomicU64::new(0));
        let count = events.clone();
        let options = JobStore::options().read_only(true);
        let options = options.on_replay(move |so_far| {
            count.store(so_far.events, Ordering::Relaxed);
        });
        let store = options.open(dir.path()).unwrap();
        let movie = store.graph("10001", "movie").unwrap();
        let cursor = movie.list(JobQuery::new().limit(10)).unwrap().next();
        (events.load(Ordering::Relaxed), listed(&movie), cursor)
    };
    let (events, list, cursor) = read();
    assert_eq!((events, &list), (0, &seen));
    // Whatever happens to the index, the log is complete.
    for entry in fs::read_dir(dir.path().join("index")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let mut content = fs::read(&path).unwrap();
            if let Some(byte) = content.last_mut() {
                *byte ^= 1;
            }
            fs::write(&path, content).unwrap();
        }
    }
    let (events, list, other) = read();
    assert!(events > 90, "{events}");
    assert_eq!((&list, other), (&seen, cursor));
}
