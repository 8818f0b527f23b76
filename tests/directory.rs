//! The store's directory: changes to it while the store is open, the lock, and which of its files
//! belong to the store.

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jobstore::{Durability, Error, Graph, Health, JobQuery, JobStore, Outcome};

use common::{files_ending, names_in, pack, request, small_segments};

fn total(graph: &Graph) -> u64 {
    let page = graph.list(JobQuery::new()).unwrap();
    page.total().unwrap()
}

fn name_of(error: &Error) -> String {
    error.code().to_owned()
}

/// Submits until the store refuses; returns the number of acknowledged jobs.
fn submit_until_refused(graph: &Graph) -> (u64, Option<Error>) {
    let body = format!("\"{}\"", "x".repeat(512));
    for n in 0..400 {
        if let Err(error) = graph.submit(request("c", &body)) {
            return (n, Some(error));
        }
    }
    (400, None)
}

fn is_read_only(store: &JobStore) -> bool {
    matches!(store.health(), Health::ReadOnly { .. })
}

/// Asserts that the store in a directory has exactly this many jobs.
fn assert_store(dir: &Path, jobs: u64) {
    let report = JobStore::verify(dir).unwrap();
    assert!(report.is_sound(), "{}: {report}", dir.display());
    let store = small_segments().open(dir).unwrap();
    assert_eq!(total(&store.graph("p", "g").unwrap()), jobs);
    store.close().unwrap();
}

#[test]
fn a_directory_that_is_replaced_under_a_store_mixes_with_nothing() {
    let base = tempfile::tempdir().unwrap();
    let base = base.path();
    let (dir, old, copy) = (base.join("store"), base.join("old"), base.join("copy"));
    let store = small_segments().open(&dir).unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    for _ in 0..3 {
        graph.submit(request("c", "1")).unwrap();
    }
    store.backup(&copy).unwrap();
    graph.submit(request("c", "1")).unwrap();
    fs::rename(&dir, &old).unwrap();
    fs::rename(&copy, &dir).unwrap();
    let before = names_in(&dir);
    let (acknowledged, error) = submit_until_refused(&graph);
    let error = error.expect("writes go on after the directory was replaced");
    assert_eq!(acknowledged, 0);
    assert_eq!(name_of(&error), "CommitUnknown");
    assert!(error.to_string().contains(dir.to_str().unwrap()), "{error}");
    assert!(is_read_only(&store), "{:?}", store.health());
    assert!(!store.scrub().unwrap().is_sound());
    // Pages taken before can still be read.
    assert!(total(&graph) >= 4);
    // No file of the other directory is touched, not even by the index.
    assert_eq!(names_in(&dir), before);
    assert!(store.close().is_err());
    drop((graph, store));
    assert_eq!(names_in(&dir), before);
    assert_store(&dir, 3);
    let jobs = total(
        &small_segments()
            .open(&old)
            .unwrap()
            .graph("p", "g")
            .unwrap(),
    );
    assert!((4..=5).contains(&jobs), "{jobs} jobs");
    assert!(JobStore::verify(&old).unwrap().is_sound());
}

#[test]
fn a_directory_that_is_moved_away_ends_the_writes_until_it_is_back() {
    let base = tempfile::tempdir().unwrap();
    let (dir, moved) = (base.path().join("store"), base.path().join("moved"));
    for durability in [
        Durability::Synced,
        Durability::Interval(Duration::from_millis(1)),
    ] {
        let options = small_segments().durability(durability);
        let store = options.open(&dir).unwrap();
        let graph = store.get_or_create_graph("p", "g").unwrap();
        graph.submit(request("c", "1")).unwrap();
        fs::rename(&dir, &moved).unwrap();
        common::wait_until("writes are refused", || {
            graph.submit(request("c", "1")).is_err()
        });
        assert!(is_read_only(&store));
        assert!(store.close().is_err(), "the directory is elsewhere");
        assert!(!dir.exists());
        fs::rename(&moved, &dir).unwrap();
        let store = small_segments().open(&dir).unwrap();
        assert!(total(&store.graph("p", "g").unwrap()) >= 1);
        store.close().unwrap();
    }
}

#[test]
fn a_directory_that_moves_before_it_is_noticed_by_a_write_is_noticed_by_the_close() {
    let base = tempfile::tempdir().unwrap();
    let (dir, moved) = (base.path().join("store"), base.path().join("moved"));
    let store = small_segments().open(&dir).unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    graph.submit(request("c", "1")).unwrap();
    fs::rename(&dir, &moved).unwrap();
    assert!(store.close().is_err());
    assert!(!dir.exists());
    assert_store(&moved, 1);
}

#[test]
fn a_store_opened_by_a_relative_path_works_after_the_working_directory_changes() {
    const CHILD: &str = "JOBSTORE_DIRECTORY_TEST_CHILD";
    const NAME: &str =
        "a_store_opened_by_a_relative_path_works_after_the_working_directory_changes";
    if std::env::var_os(CHILD).is_some() {
        let store = small_segments().open("store").unwrap();
        let graph = store.create_graph("p", "g").unwrap();
        std::env::set_current_dir("/").unwrap();
        let (acknowledged, error) = submit_until_refused(&graph);
        assert!(error.is_none(), "{error:?}");
        assert_eq!(acknowledged, 400);
        assert_eq!(store.health(), Health::Ok);
        store.close().unwrap();
        return;
    }
    let base = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", NAME, "--test-threads", "1"]);
    let child = child.env(CHILD, "1").current_dir(base.path());
    assert!(child.status().unwrap().success());
    assert_store(&base.path().join("store"), 400);
}

#[test]
fn a_deleted_directory_ends_the_writes_before_any_is_acknowledged() {
    let base = tempfile::tempdir().unwrap();
    let dir = base.path().join("store");
    let store = small_segments().open(&dir).unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    graph.submit(request("c", "1")).unwrap();
    // The index may be creating a file.
    common::wait_until("it is gone", || fs::remove_dir_all(&dir).is_ok());
    let (acknowledged, error) = submit_until_refused(&graph);
    assert_eq!(
        acknowledged, 0,
        "acknowledged into a directory that is gone"
    );
    assert!(error.is_some());
    assert!(is_read_only(&store));
    assert!(!store.scrub().unwrap().is_sound());
    assert!(store.close().is_err());
    assert!(!dir.exists(), "it is not made again");
}

/// The segment being written.
fn active_segment(dir: &Path) -> PathBuf {
    let segments = files_ending(dir, ".segment").into_iter();
    let begun = segments.filter(|path| fs::read(path).unwrap().starts_with(b"JOBSLOG\0"));
    begun.max().unwrap()
}

#[test]
fn a_deleted_segment_ends_the_writes_before_any_is_acknowledged() {
    for replace in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let store = small_segments().open(dir.path()).unwrap();
        let graph = store.create_graph("p", "g").unwrap();
        graph.submit(request("c", "1")).unwrap();
        let segment = active_segment(dir.path());
        // A second hard link must not hide that the store's own name is gone.
        fs::hard_link(&segment, dir.path().join("kept")).unwrap();
        let bytes = fs::read(&segment).unwrap();
        fs::remove_file(&segment).unwrap();
        if replace {
            fs::write(&segment, bytes).unwrap();
        }
        let (acknowledged, error) = submit_until_refused(&graph);
        assert_eq!(acknowledged, 0);
        let error = error.unwrap().to_string();
        assert!(error.contains(segment.to_str().unwrap()), "{error}");
        assert!(is_read_only(&store));
        assert!(!store.scrub().unwrap().is_sound());
        assert!(store.close().is_err());
    }
}

#[test]
fn a_deleted_pack_or_identity_is_reported_and_ends_the_writes() {
    for what in ["STORE", ".pack", "SECRET-KEYS"] {
        for how in ["health", "scrub", "close", "wait"] {
            let dir = tempfile::tempdir().unwrap();
            let options = small_segments().secret_keys(["password"]);
            let store = options.open(dir.path()).unwrap();
            let graph = store.create_graph("p", "g").unwrap();
            graph.submit(request("c", "1")).unwrap();
            pack(&store, dir.path());
            assert!(!is_read_only(&store));
            let gone = files_ending(dir.path(), what).remove(0);
            fs::remove_file(&gone).unwrap();
            match how {
                // A pack that may be about to be replaced is not missed yet.
                "health" => common::wait_until("health says so", || is_read_only(&store)),
                "scrub" => {
                    common::wait_until("a scrub says so", || !store.scrub().unwrap().is_sound())
                }
                "wait" => common::wait_until("writes are refused", || {
                    graph.submit(request("c", "1")).is_err()
                }),
                _ => {}
            }
            if how != "close" {
                let error = graph.submit(request("c", "1")).unwrap_err();
                assert_eq!(name_of(&error), "ReadOnly", "{what}");
                assert!(
                    error.to_string().contains(gone.to_str().unwrap()),
                    "{error}"
                );
            }
            assert!(store.close().is_err(), "{what} {how}");
        }
    }
}

#[test]
fn a_store_whose_lock_file_was_deleted_is_still_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let store = small_segments().open(dir.path()).unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let is_refused = |error: Option<Error>| {
        let error = error.expect("it was opened twice");
        assert!(
            matches!(&error, Error::StoreInUse { holder: Some(holder), .. }
                if *holder == std::process::id()),
            "{error:?}"
        );
    };
    for replaced in [false, true] {
        fs::remove_file(dir.path().join("LOCK")).unwrap();
        if replaced {
            fs::write(dir.path().join("LOCK"), "1\n").unwrap();
        }
        is_refused(small_segments().open(dir.path()).err());
        is_refused(JobStore::verify(dir.path()).err());
        is_refused(JobStore::repair(dir.path()).err());
        graph.submit(request("c", "1")).unwrap();
        if !replaced {
            // For the next round.
            fs::write(dir.path().join("LOCK"), "").unwrap();
        }
    }
    store.close().unwrap();
    assert_store(dir.path(), 2);
}

#[test]
fn a_process_that_does_not_have_the_lock_is_not_named() {
    let dir = tempfile::tempdir().unwrap();
    small_segments().open(dir.path()).unwrap().close().unwrap();
    let lock = dir.path().join("LOCK");
    // As from a process in another container, or one that has exited since.
    fs::write(&lock, "1\n").unwrap();
    let file = fs::File::open(&lock).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let error = small_segments().open(dir.path()).unwrap_err();
    match error {
        Error::StoreInUse { holder, .. } => {
            assert!(
                holder.is_none_or(|pid| pid == std::process::id()),
                "{holder:?}"
            );
        }
        error => panic!("{error:?}"),
    }
}

#[test]
fn no_link_in_the_directory_is_followed() {
    for name in [
        "LOCK",
        "INDEX-OPENING",
        "RESERVE",
        "RESERVE.aside",
        "STORE.aside",
        "CLOSED.aside",
        "SECRET-KEYS.aside",
        "index",
        "index/db",
        "index-rewrite",
    ] {
        for there in [true, false] {
            let base = tempfile::tempdir().unwrap();
            let (dir, target) = (base.path().join("store"), base.path().join("target"));
            let store = small_segments().open(&dir).unwrap();
            store.create_graph("p", "g").unwrap();
            store.close().unwrap();
            if there && name.starts_with("index") && !name.contains('/') {
                fs::create_dir(&target).unwrap();
            } else if there {
                // The largest size of a reserve.
                fs::write(&target, vec![b'x'; 64 << 10]).unwrap();
            }
            if dir.join(name).is_dir() {
                fs::remove_dir_all(dir.join(name)).unwrap();
            } else {
                fs::remove_file(dir.join(name)).ok();
            }
            symlink(&target, dir.join(name)).unwrap();
            let opened = small_segments().secret_keys(["password"]).open(&dir);
            if let Ok(store) = &opened {
                submit_until_refused(&store.graph("p", "g").unwrap());
                store.close().unwrap();
            }
            // Only a link in place of the lock is refused; other links do not prevent the open.
            assert_eq!(
                opened.is_err(),
                name == "LOCK",
                "{name}: {:?}",
                opened.err()
            );
            match (there, name) {
                (false, _) => assert!(!target.exists(), "{name} was made"),
                (true, "index" | "index-rewrite") => assert!(names_in(&target).is_empty()),
                (true, _) => {
                    let content = fs::read(&target).unwrap();
                    assert!(content == vec![b'x'; 64 << 10], "{name} was written to");
                }
            }
        }
    }
}

#[test]
fn a_lock_that_is_a_pipe_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    small_segments().open(dir.path()).unwrap().close().unwrap();
    fs::remove_file(dir.path().join("LOCK")).unwrap();
    let made = Command::new("mkfifo").arg(dir.path().join("LOCK")).status();
    assert!(made.unwrap().success());
    let error = small_segments().open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("LOCK"), "{error}");
}

#[test]
fn files_that_only_look_like_the_stores_own_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    small_segments().open(dir).unwrap().close().unwrap();
    let theirs = [
        "notes.aside",
        ".aside",
        "STORE.bak.aside",
        "0123.pack.aside",
    ];
    for name in theirs {
        fs::write(dir.join(name), "mine").unwrap();
    }
    let directories = [
        "photos.aside",
        "CLOSED.aside",
        "RESERVE.aside",
        "STORE.aside",
    ];
    for name in directories {
        fs::create_dir(dir.join(name)).unwrap();
        fs::write(dir.join(name).join("photo"), "mine").unwrap();
    }
    let ours = [
        "SECRET-KEYS.aside",
        "0000000000000001-0000000000000002.pack.aside",
    ];
    for name in ours {
        fs::write(dir.join(name), "left by a crash").unwrap();
    }
    fs::remove_file(dir.join("RESERVE")).unwrap();
    for _ in 0..2 {
        let store = small_segments().open(dir).unwrap();
        let graph = store.get_or_create_graph("p", "g").unwrap();
        graph.submit(request("c", "1")).unwrap();
        assert!(dir.join("RESERVE").is_file());
        store.close().unwrap();
        assert!(dir.join("CLOSED").is_file());
    }
    for name in theirs {
        assert_eq!(fs::read(dir.join(name)).unwrap(), b"mine", "{name}");
    }
    for name in directories {
        assert!(dir.join(name).join("photo").is_file(), "{name}");
    }
    for name in ours {
        assert!(!dir.join(name).exists(), "{name}");
    }
}

#[test]
fn a_fresh_volume_is_as_good_as_an_empty_directory() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for name in ["lost+found", ".snapshot"] {
        fs::create_dir(dir.join(name)).unwrap();
    }
    fs::write(dir.join(".DS_Store"), "desktop").unwrap();
    for _ in 0..2 {
        let store = small_segments().open(dir).unwrap();
        store.get_or_create_graph("p", "g").unwrap();
        store.close().unwrap();
    }
    assert!(dir.join("lost+found").is_dir() && dir.join(".DS_Store").is_file());
}

/// Every file and directory below, with its mode.
fn modes(dir: &Path, found: &mut Vec<(PathBuf, u32)>) {
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().mode();
    found.push((dir.to_path_buf(), mode(dir)));
    for name in names_in(dir) {
        match dir.join(name) {
            path if path.is_dir() => modes(&path, found),
            path => found.push((path.clone(), mode(&path))),
        }
    }
}

#[test]
fn nothing_in_the_directory_is_for_others() {
    let base = tempfile::tempdir().unwrap();
    let dir = base.path().join("store");
    for round in 0..3 {
        let store = small_segments().open(&dir).unwrap();
        let graph = store.get_or_create_graph("p", "g").unwrap();
        let id = graph.submit(request("c", "1")).unwrap();
        graph.start(&id).unwrap();
        graph.complete(&id, Outcome::succeeded()).unwrap();
        for closed in [false, true] {
            if closed {
                store.close().unwrap();
            }
            let mut found = Vec::new();
            modes(&dir, &mut found);
            assert!(found.iter().any(|(path, _)| path.ends_with("index/db")));
            for (path, mode) in found {
                assert_eq!(
                    mode & 0o077,
                    0,
                    "round {round}: {}: {mode:o}",
                    path.display()
                );
            }
        }
        // The modes that an older release left.
        for path in files_ending(&dir.join("index"), "") {
            let mode = if path.is_dir() { 0o755 } else { 0o644 };
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
    }
}

/// Runs a function in a fork of this process; returns its result, 1 to 255.
fn in_a_fork(what: impl FnMut() -> u8 + Send + Sync + 'static) -> u8 {
    let mut what = what;
    let mut command = Command::new("true");
    let run = move || Err(std::io::Error::from_raw_os_error(i32::from(what())));
    // SAFETY: the child needs no lock that another thread may have held at the fork, or this test
    // hangs: that is what it tests.
    unsafe { command.pre_exec(run) };
    let error = command.spawn().unwrap_err();
    u8::try_from(error.raw_os_error().unwrap()).unwrap()
}

#[test]
fn a_fork_is_refused_and_leaves_the_store_to_its_parent() {
    let (dir, another) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = small_segments().open(dir.path()).unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let id = graph.submit(request("c", "1")).unwrap();
    let run = std::sync::Mutex::new(Some(graph.claim(&id).unwrap()));
    // Operations are always running, so that locks are held at the fork.
    let over = Arc::new(AtomicBool::new(false));
    let (busy, is_over) = (graph.clone(), over.clone());
    let busy = std::thread::spawn(move || {
        let mut jobs = 0;
        while !is_over.load(Ordering::Relaxed) {
            busy.submit(request("c", "1")).unwrap();
            jobs += 1;
        }
        jobs
    });
    for _ in 0..20 {
        let (store, graph, id) = (store.clone(), graph.clone(), id.clone());
        let another = another.path().join("store");
        let run = run.lock().unwrap().take();
        let handles = std::sync::Mutex::new(Some((store.clone(), run)));
        let said = in_a_fork(move || {
            let is_refused = |error: Option<Error>| error.is_some_and(|e| e.code() == "Forked");
            let calls = [
                is_refused(graph.submit(request("c", "1")).err()),
                is_refused(graph.list(JobQuery::new()).err()),
                is_refused(graph.job(&id).err()),
                is_refused(graph.nonblocking().submit(request("c", "1")).wait().err()),
                is_refused(store.create_graph("p", "h").err()),
                is_refused(store.graphs().err()),
                is_refused(store.stats().err()),
                is_refused(store.scrub().err()),
                is_refused(graph.cancel(&id).err()),
                is_refused(store.close().err()),
                store.health() == Health::Closed,
                // It would wait forever for threads that exist only in the parent.
                is_refused(small_segments().open(&another).err()),
            ];
            if let Some(n) = calls.iter().position(|is_refused| !is_refused) {
                return n as u8 + 1;
            }
            drop(handles.lock().unwrap().take());
            100
        });
        assert_eq!(said, 100, "call {said} was not refused");
    }
    over.store(true, Ordering::Relaxed);
    let jobs = busy.join().unwrap() + 1;
    let error = small_segments().open(dir.path()).unwrap_err();
    assert_eq!(name_of(&error), "StoreInUse", "the fork released the lock");
    assert_eq!(total(&graph), jobs);
    store.close().unwrap();
    assert_store(dir.path(), jobs);
}
