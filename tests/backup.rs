//! Guarantee: a backup contains everything acknowledged before it, opens as a store, and is
//! independent; the original store keeps working, and its files are not changed.

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::{listed, names_in, request, small_segments};
use jobstore::{Error, Graph, JobQuery, JobStore, Outcome, Recovery, State};

fn open(dir: &Path) -> JobStore {
    small_segments()
        .recovery(Recovery::Leave)
        .open(dir)
        .unwrap()
}

fn body(n: u64) -> String {
    format!("\"{}\"", format!("{n:016x}").repeat(20))
}

#[test]
fn a_backup_may_take_longer_than_pages_live() {
    let root = tempfile::tempdir().unwrap();
    let (dir, copy) = (root.path().join("store"), root.path().join("copy"));
    let options = small_segments().snapshot_timeout(Duration::from_secs(1));
    let store = options.open(&dir).unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    let submit = |graph: &Graph, from: u64| {
        for n in from..from + 500 {
            let id = format!("job-{n}");
            graph.submit_as(&id, request("c", &body(n))).unwrap();
            graph.cancel(&id).unwrap();
        }
    };
    submit(&movie, 0);
    common::pack(&store, &dir);
    submit(&movie, 500);
    let mut is_first = true;
    let copied = store.backup_with_progress(&copy, |_| {
        if std::mem::take(&mut is_first) {
            // All files are replaced meanwhile, and pages that read them expire.
            movie.purge(JobQuery::new()).unwrap();
            submit(&movie, 1000);
            common::pack(&store, &dir);
            std::thread::sleep(Duration::from_secs(2));
            common::pack(&store, &dir);
        }
    });
    copied.unwrap();
    let copy = JobStore::open(&copy).unwrap();
    let movie = copy.graph("1", "movie").unwrap();
    assert_eq!(movie.count(State::Complete).unwrap(), 1000);
}

#[test]
fn a_backup_is_what_the_store_was_and_both_go_on_alone() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    let store = open(&dir);
    let movie = store.create_graph("1", "movie").unwrap();
    for n in 0..500 {
        let id = format!("job-{n}");
        movie.submit_as(&id, request("c", &body(n))).unwrap();
        match n % 3 {
            0 => drop(movie.cancel(&id).unwrap()),
            1 => movie.start(&id).unwrap(),
            _ => {}
        }
    }
    movie.purge(JobQuery::new().offset(0)).unwrap();
    movie.submit_once("key", request("once", "1")).unwrap();
    common::pack(&store, &dir);
    let (list, copy) = (listed(&movie), root.path().join("copy"));
    let position = movie.position().unwrap();
    let mut told = Vec::new();
    let done = store
        .backup_with_progress(&copy, |done| told.push(done))
        .unwrap();
    assert_eq!(told.last(), Some(&done));
    assert!(done.bytes == done.of && done.linked_bytes == 0, "{done:?}");
    assert!(told.is_sorted_by_key(|done| done.bytes));
    let names = names_in(&copy);
    assert!(!names.iter().any(|name| name.starts_with("index")));
    // The store continues; all its earlier jobs are purged.
    for n in 0..500 {
        movie.cancel(format!("job-{n}")).ok();
    }
    store.drop_graph("1", "movie").unwrap();
    common::pack(&store, &dir);
    drop((movie, store));
    std::fs::remove_dir_all(&dir).unwrap();

    let report = JobStore::verify(&copy).unwrap();
    assert!(report.is_sound(), "{report}");
    let store = open(&copy);
    let movie = store.graph("1", "movie").unwrap();
    assert_eq!(listed(&movie), list);
    assert!(movie.tombstone("job-3").unwrap().is_some());
    assert!(matches!(
        movie.submit_once("key", request("other", "1")),
        Err(Error::KeyTaken { .. })
    ));
    assert_eq!(movie.changes(Some(&position)).unwrap().count(), 0);
    movie.complete("job-1", Outcome::succeeded()).unwrap();
    movie.submit(request("after", "1")).unwrap();
    store.close().unwrap();
}

/// The texts that a store returned.
struct GivenOut {
    position: String,
    cursors: [String; 2],
}

fn lists() -> [JobQuery; 2] {
    [
        JobQuery::new().limit(4),
        JobQuery::new().limit(4).newest_first(),
    ]
}

fn give_out(movie: &Graph) -> GivenOut {
    let mut changes = movie.changes(None).unwrap();
    changes.by_ref().for_each(|change| drop(change.unwrap()));
    GivenOut {
        position: changes.position().to_string(),
        cursors: lists().map(|list| movie.list(list).unwrap().next().unwrap().to_string()),
    }
}

/// The sequence numbers of the jobs at which the position and the cursors continue.
fn go_on(movie: &Graph, given: &GivenOut) -> [Result<Vec<u64>, Error>; 3] {
    let position = given.position.parse().unwrap();
    let changes = movie.changes(Some(&position)).map(|changes| {
        changes
            .filter_map(|change| change.unwrap().sequence)
            .collect()
    });
    let [oldest, newest] = [0, 1].map(|n| {
        let list = lists()[n]
            .clone()
            .cursor(&given.cursors[n].parse().unwrap());
        let page = movie.list(list)?;
        Ok(page.jobs().map(|job| job.unwrap().sequence()).collect())
    });
    [changes, oldest, newest]
}

fn is_refused(went: &[Result<Vec<u64>, Error>; 3]) -> bool {
    matches!(went[0], Err(Error::InvalidPosition { .. }))
        && went[1..]
            .iter()
            .all(|went| matches!(went, Err(Error::InvalidCursor { .. })))
}

#[test]
fn what_was_given_out_before_holds_in_both_and_what_comes_later_in_one() {
    let root = tempfile::tempdir().unwrap();
    let dirs = ["store", "copy"].map(|name| root.path().join(name));
    let submit = |movie: &Graph, jobs: u64| {
        for n in 0..jobs {
            movie.submit(request("c", &n.to_string())).unwrap();
        }
    };
    let store = open(&dirs[0]);
    let movie = store.create_graph("1", "movie").unwrap();
    submit(&movie, 10);
    let before = give_out(&movie);
    store.backup(&dirs[1]).unwrap();
    submit(&movie, 10);
    // By the open during which the backup was made, and by a later one.
    let mut given = vec![give_out(&movie)];
    store.close().unwrap();
    drop((movie, store));
    let store = open(&dirs[0]);
    given.push(give_out(&store.graph("1", "movie").unwrap()));
    store.close().unwrap();
    drop(store);

    let mut of_copy = Vec::new();
    for round in 0..4 {
        let copy = open(&dirs[1]);
        let movie = copy.graph("1", "movie").unwrap();
        for given in &given {
            // Even if it has the same number of jobs and events.
            assert!(is_refused(&go_on(&movie, given)), "{round}");
            submit(&movie, 12);
            assert!(is_refused(&go_on(&movie, given)), "{round}");
        }
        let jobs = 10 + 24 * (round + 1);
        let [changes, oldest, newest] = go_on(&movie, &before).map(|went| went.unwrap());
        assert_eq!(changes, (10..jobs).collect::<Vec<_>>());
        assert_eq!((oldest, newest), (vec![4, 5, 6, 7], vec![5, 4, 3, 2]));
        of_copy.push(give_out(&movie));
        // Its own remain valid however often it is opened.
        for (opened, given) in of_copy.iter().enumerate() {
            let [changes, oldest, _] = go_on(&movie, given).map(|went| went.unwrap());
            let had = 10 + 24 * (opened as u64 + 1);
            assert_eq!(changes, (had..jobs).collect::<Vec<_>>());
            assert_eq!(oldest, [4, 5, 6, 7]);
        }
        copy.close().unwrap();
    }
    for _ in 0..2 {
        let store = open(&dirs[0]);
        let movie = store.graph("1", "movie").unwrap();
        submit(&movie, 100);
        for given in &of_copy {
            assert!(is_refused(&go_on(&movie, given)));
        }
        for given in given.iter().chain([&before]) {
            assert!(go_on(&movie, given).iter().all(|went| went.is_ok()));
        }
        store.close().unwrap();
    }
}

#[test]
fn what_was_acknowledged_before_is_in_it_while_others_write() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    let store = open(&dir);
    let movie = store.create_graph("1", "movie").unwrap();
    let (done, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0.. {
                if done.load(Ordering::Relaxed) {
                    return;
                }
                let id = format!("job-{n}");
                movie.submit_as(&id, request("c", &body(n))).unwrap();
                movie.cancel(&id).unwrap();
                acknowledged.store(n + 1, Ordering::SeqCst);
                if n % 200 == 199 {
                    movie.purge(JobQuery::new().command("none")).unwrap();
                }
            }
        });
        for round in 0..12 {
            let copy = root.path().join(format!("copy-{round}"));
            let before = acknowledged.load(Ordering::SeqCst);
            store.backup(&copy).unwrap();
            let after = acknowledged.load(Ordering::SeqCst);
            let report = JobStore::verify(&copy).unwrap();
            assert!(report.is_sound(), "{report}");
            let copied = open(&copy);
            let movie = copied.graph("1", "movie").unwrap();
            let ids = common::ids(&movie.list(JobQuery::new()).unwrap());
            let expected: Vec<String> = (0..ids.len()).map(|n| format!("job-{n}")).collect();
            assert_eq!(ids, expected);
            let complete = movie.count(State::Complete).unwrap();
            assert!(
                complete >= before && ids.len() as u64 <= after + 1,
                "{before} {after}"
            );
            drop((movie, copied));
            std::fs::remove_dir_all(&copy).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_backup_into_the_store_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    let store = open(&dir);
    store.create_graph("1", "movie").unwrap();
    std::os::unix::fs::symlink(&dir, root.path().join("link")).unwrap();
    let before = names_in(&dir);
    for into in ["store", "store/copy", "link/copy", "link/none/copy"] {
        let refused = store.backup(root.path().join(into));
        assert!(
            matches!(refused, Err(Error::InvalidUse { .. })),
            "{into}: {refused:?}"
        );
    }
    assert_eq!(names_in(&dir), before);
    store.close().unwrap();
    std::fs::create_dir_all(dir.join("index/sub")).unwrap();
    let before = names_in(&dir);
    let read = JobStore::options().read_only(true).open(&dir).unwrap();
    let into_index = dir.join("index/sub/copy");
    for into in ["store", "store/copy", "link/copy", "store/index/sub/copy"] {
        let refused = read.backup(root.path().join(into));
        assert!(
            matches!(refused, Err(Error::InvalidUse { .. })),
            "{into}: {refused:?}"
        );
    }
    assert!(!into_index.exists());
    assert_eq!(names_in(&dir), before);
}

#[test]
fn a_directory_with_something_in_it_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root.path().join("store"));
    store.create_graph("1", "movie").unwrap();
    let (full, empty) = (root.path().join("full"), root.path().join("empty"));
    std::fs::create_dir(&full).unwrap();
    std::fs::create_dir(&empty).unwrap();
    std::fs::write(full.join("notes"), "mine").unwrap();
    let refused = store.backup(&full);
    assert!(
        matches!(&refused, Err(Error::NotEmpty { path, found }) if *path == full && found == "notes"),
        "{refused:?}"
    );
    assert_eq!(names_in(&full), ["notes"]);
    let refused = store.backup(root.path().join("none/below"));
    assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
    store.backup(&empty).unwrap();
    assert!(JobStore::verify(&empty).unwrap().is_sound());
    let memory = JobStore::in_memory().unwrap();
    assert!(matches!(
        memory.backup(root.path().join("m")),
        Err(Error::InvalidUse { .. })
    ));
    assert!(!root.path().join("m").exists());
}

/// The inodes of the files with this suffix.
fn inodes(dir: &Path, end: &str) -> Vec<u64> {
    use std::os::unix::fs::MetadataExt;
    let files = common::files_ending(dir, end);
    files
        .iter()
        .map(|file| file.metadata().unwrap().ino())
        .collect()
}

#[test]
fn a_backup_shares_no_file_with_the_store_and_is_closed() {
    let root = tempfile::tempdir().unwrap();
    let (dir, copy) = (root.path().join("store"), root.path().join("copy"));
    let store = open(&dir);
    let movie = store.create_graph("1", "movie").unwrap();
    for n in 0..300 {
        movie.submit(request("c", &body(n))).unwrap();
    }
    common::pack(&store, &dir);
    store.backup(&copy).unwrap();
    let shared = inodes(&dir, ".pack");
    assert!(!shared.is_empty());
    assert!(
        inodes(&copy, ".pack")
            .iter()
            .all(|inode| !shared.contains(inode))
    );
    // Only on request.
    let linked = root.path().join("linked");
    let done = store.backup_linked(&linked, |_| {}).unwrap();
    assert!(done.linked_bytes > 0 && done.bytes == done.of, "{done:?}");
    let is_shared = |inode| shared.contains(inode);
    assert!(inodes(&linked, ".pack").iter().all(is_shared));
    let report = JobStore::verify(&linked).unwrap();
    assert!(report.is_sound() && report.closed == Some(true), "{report}");
    let report = JobStore::verify(&copy).unwrap();
    assert!(report.is_sound(), "{report}");
    assert_eq!(report.closed, Some(true));
    assert!(report.to_string().contains(": closed,"), "{report}");
}

#[test]
fn verify_counts_the_jobs_that_exist() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    let store = open(&dir);
    let movie = store.create_graph("1", "movie").unwrap();
    for n in 0..300 {
        let id = format!("job-{n}");
        movie.submit_as(&id, request("c", &body(n))).unwrap();
        if n % 3 == 0 {
            movie.cancel(&id).unwrap();
        }
    }
    let jobs = |report: &jobstore::VerifyReport| report.graphs[0].sound;
    movie.purge(JobQuery::new()).unwrap();
    assert_eq!(jobs(&store.scrub().unwrap()), 200);
    common::pack(&store, &dir);
    assert_eq!(jobs(&store.scrub().unwrap()), 200);
    store.close().unwrap();
    assert_eq!(jobs(&JobStore::verify(&dir).unwrap()), 200);
}
