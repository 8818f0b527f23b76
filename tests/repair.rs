//! Verification and repair: reports give the file, the position, and the graph; damaged data is
//! quarantined and counted, the rest is served.
//!
//! Tests guarantee 6 (nothing is lost silently) for `verify`, `scrub`, and `repair`, and for the
//! open after a repair. The library's own tests repair stores with arbitrary damage.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jobstore::{
    Error, Health, JobQuery, JobStore, Outcome, OutcomeKind, Recovery, RecoveryAction,
    ReplayProgress, State,
};

use common::{
    copy_directory, files_ending, lose_index, pack, request, small_segments, wait_until_packed,
};

/// Every file of a directory with its content.
fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut directories = vec![dir.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => directories.push(path),
                false => {
                    files.insert(path.clone(), fs::read(&path).unwrap());
                }
            }
        }
    }
    files
}

/// A closed store of two graphs with 200 complete jobs each, packed, and one pending.
fn make_store(dir: &Path) {
    let store = small_segments().open(dir).unwrap();
    for name in ["one", "two"] {
        let graph = store.create_graph("10001", name).unwrap();
        for n in 0..200 {
            let body = format!("\"password-{n}-{}\"", "x".repeat(300));
            let id = graph.submit(request("fill", &body)).unwrap();
            graph.start(&id).unwrap();
            graph.complete(&id, Outcome::succeeded()).unwrap();
        }
    }
    wait_until_packed(dir);
    store
        .graph("10001", "one")
        .unwrap()
        .submit(request("last", "1"))
        .unwrap();
    store.close().unwrap();
}

/// Changes a byte in the middle of a file.
fn damage(path: &Path, at: u64) {
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

/// Damages a byte in a block of jobs of the largest pack.
fn damage_a_block(dir: &Path) -> PathBuf {
    let packs = files_ending(dir, ".pack");
    let largest = packs
        .iter()
        .max_by_key(|path| fs::metadata(path).unwrap().len());
    let path = largest.unwrap();
    let len = fs::metadata(path).unwrap().len();
    // Blocks are the first half of a pack; their fingerprints and the events follow.
    damage(path, len / 3);
    path.clone()
}

/// Damages a byte in the last chunk of a pack's events, which precedes the footer.
fn damage_the_events(path: &Path) {
    let bytes = fs::read(path).unwrap();
    let trailer = bytes.len() - 24;
    let footer_at = u64::from_le_bytes(bytes[trailer..trailer + 8].try_into().unwrap());
    damage(path, footer_at - 5);
}

#[test]
fn a_sound_store_is_said_to_be_so_and_nothing_changes() {
    let dir = tempfile::tempdir().unwrap();
    make_store(dir.path());
    let before = content(dir.path());
    let report = JobStore::verify(dir.path()).unwrap();
    assert!(report.is_sound(), "{report}");
    assert_eq!(report.closed, Some(true));
    let jobs: Vec<_> = report.graphs.iter().map(|g| (&*g.name, g.sound)).collect();
    assert_eq!(jobs, [("one", 201), ("two", 200)]);
    assert!(content(dir.path()) == before, "a look changed something");
    let repaired = JobStore::repair(dir.path()).unwrap();
    assert!(!repaired.changed(), "{repaired}");
    let mut after = content(dir.path());
    // A repair takes the lock, whose file contains the process id.
    after.insert(
        dir.path().join("LOCK"),
        before[&dir.path().join("LOCK")].clone(),
    );
    assert!(after == before, "repairing nothing changed something");
}

#[test]
fn who_verifies_is_told_how_far_it_has_come() {
    let dir = tempfile::tempdir().unwrap();
    make_store(dir.path());
    damage_a_block(dir.path());
    let mut told = Vec::new();
    let report =
        JobStore::verify_with_progress(dir.path(), |seen| told.push((seen.bytes, seen.of)));
    let bytes = report.unwrap().bytes;
    assert!(told.len() > 3, "{told:?}");
    assert!(told.is_sorted(), "{told:?}");
    assert!(told.iter().all(|&(_, of)| of >= bytes), "{told:?}");
    assert_eq!(told.first().unwrap().0, 0);
    let last = told.last().unwrap();
    assert_eq!(last.0, last.1);
}

#[test]
fn what_is_not_a_store_at_rest_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = JobStore::verify(dir.path().join("nowhere")).unwrap_err();
    assert!(matches!(nowhere, Error::StoreMissing { .. }), "{nowhere:?}");
    fs::write(dir.path().join("letter.txt"), "dear").unwrap();
    for error in [
        JobStore::verify(dir.path()).unwrap_err(),
        JobStore::repair(dir.path()).unwrap_err(),
    ] {
        assert!(matches!(error, Error::NotAStore { .. }), "{error:?}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let open = tempfile::tempdir().unwrap();
    let store = JobStore::open(open.path()).unwrap();
    for error in [
        JobStore::verify(open.path()).unwrap_err(),
        JobStore::repair(open.path()).unwrap_err(),
    ] {
        assert!(matches!(error, Error::StoreInUse { .. }), "{error:?}");
    }
    store.close().unwrap();
    assert!(JobStore::verify(open.path()).unwrap().is_sound());
}

#[test]
fn a_damaged_block_is_named_quarantined_and_counted_and_the_rest_is_served() {
    let dir = tempfile::tempdir().unwrap();
    make_store(dir.path());
    let file = damage_a_block(dir.path());
    let report = JobStore::verify(dir.path()).unwrap();
    assert!(!report.is_sound());
    assert_eq!(report.damage.len(), 1, "{report}");
    let found = &report.damage[0];
    assert_eq!(found.file, file);
    assert!(
        found.offset > 0 && (1..=64).contains(&found.jobs),
        "{report}"
    );
    let damaged: u64 = report.graphs.iter().map(|graph| graph.damaged).sum();
    assert_eq!(damaged, found.jobs);
    let text = report.to_string();
    for part in [
        "CORRUPT",
        &*file.display().to_string(),
        "10001/one",
        "10001/two",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("password") && !report.to_json().contains("password"));

    // Without a repair, the list is an error that gives the position.
    let graph = ["one", "two"][usize::from(report.graphs[1].damaged > 0)];
    let store = JobStore::open(dir.path()).unwrap();
    let page = store
        .graph("10001", graph)
        .unwrap()
        .list(JobQuery::new())
        .unwrap();
    let error = page.to_json().unwrap_err();
    assert!(
        matches!(&error, Error::Damaged { file: f, .. } if *f == file),
        "{error:?}"
    );
    store.close().unwrap();

    let repaired = JobStore::repair(dir.path()).unwrap();
    assert_eq!((repaired.jobs, repaired.events), (damaged, 0), "{repaired}");
    assert_eq!(repaired.quarantined.len(), 1);
    assert!(repaired.quarantined[0].exists() && repaired.to_string().contains("quarantined"));
    let again = JobStore::verify(dir.path()).unwrap();
    assert!(again.is_sound(), "{again}");

    let store = JobStore::open(dir.path()).unwrap();
    let graph = store.graph("10001", graph).unwrap();
    let page = graph.list(JobQuery::new()).unwrap();
    let there = again
        .graphs
        .iter()
        .find(|g| g.name == graph.name())
        .unwrap();
    assert_eq!(there.quarantined, damaged);
    assert_eq!(page.total().unwrap(), there.sound);
    assert_eq!(
        (page.quarantined(), graph.quarantined().unwrap()),
        (damaged, damaged)
    );
    assert_eq!(
        graph.count(State::Complete).unwrap(),
        there.sound - graph.count(State::Pending).unwrap()
    );
    for job in &page {
        let job = job.unwrap();
        assert_eq!(graph.job(job.id()).unwrap().unwrap().id(), job.id());
    }
    // It accepts writes, and numbers are not reused.
    let new = graph.submit(request("new", "{}")).unwrap();
    let new = graph.job(&new).unwrap().unwrap();
    assert_eq!(new.sequence(), there.sound + there.quarantined);
    for _ in 0..12 {
        pack(&store, dir.path());
    }
    assert_eq!(graph.list(JobQuery::new()).unwrap().quarantined(), damaged);
    let scrubbed = store.scrub().unwrap();
    assert!(scrubbed.is_sound(), "{scrubbed}");
    store.close().unwrap();
    lose_index(dir.path());
    let store = JobStore::open(dir.path()).unwrap();
    let graph = store.graph("10001", graph.name()).unwrap();
    assert_eq!(graph.list(JobQuery::new()).unwrap().quarantined(), damaged);
    assert_eq!(
        graph.list(JobQuery::new()).unwrap().total().unwrap(),
        there.sound + 1
    );
}

#[test]
fn a_store_without_its_identity_is_named_by_its_other_files() {
    let dir = tempfile::tempdir().unwrap();
    make_store(dir.path());
    for damage in [
        |path: &Path| fs::remove_file(path).unwrap(),
        |path: &Path| fs::write(path, "jobstore\nformat 0\nid 0\n").unwrap(),
    ] {
        damage(&dir.path().join("STORE"));
        let refused = JobStore::open(dir.path()).unwrap_err();
        assert!(matches!(refused, Error::Damaged { .. }), "{refused:?}");
        let report = JobStore::verify(dir.path()).unwrap();
        assert!(report.damage[0].file.ends_with("STORE"), "{report}");
        let repaired = JobStore::repair(dir.path()).unwrap();
        assert!(repaired.changed(), "{repaired}");
        assert_eq!((repaired.jobs, repaired.events), (0, 0), "{repaired}");
        let store = small_segments().open(dir.path()).unwrap();
        let graph = store.graph("10001", "one").unwrap();
        assert_eq!(graph.list(JobQuery::new()).unwrap().total().unwrap(), 201);
        store.close().unwrap();
    }
    // A store whose creation was interrupted has nothing to repair.
    let unborn = tempfile::tempdir().unwrap();
    fs::write(unborn.path().join("STORE.aside"), "job").unwrap();
    let missing = JobStore::verify(unborn.path()).unwrap_err();
    assert!(matches!(missing, Error::StoreMissing { .. }), "{missing:?}");
}

#[test]
fn an_end_of_the_log_that_only_the_index_has_seen_is_missed_and_can_be_given_up() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    let store = small_segments().open(&dir).unwrap();
    let graph = store.create_graph("10001", "g").unwrap();
    for n in 0..3 {
        graph.submit(request("c", &n.to_string())).unwrap();
    }
    // The index receives that, and hands it to the system.
    std::thread::sleep(Duration::from_millis(2_500));
    let left = root.path().join("left");
    copy_directory(&dir, &left);
    store.close().unwrap();
    let segment = files_ending(&left, ".segment").remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    let last = bytes.windows(4).rposition(|w| w == b"JFRM").unwrap();
    bytes[last..].fill(0);
    fs::write(&segment, bytes).unwrap();
    let refused = small_segments().open(&left).unwrap_err();
    assert!(matches!(refused, Error::Damaged { .. }), "{refused:?}");
    let repaired = JobStore::repair(&left).unwrap();
    assert_eq!(repaired.events, 1, "{repaired}");
    let store = small_segments().open(&left).unwrap();
    let graph = store.graph("10001", "g").unwrap();
    assert_eq!(graph.list(JobQuery::new()).unwrap().total().unwrap(), 2);
    store.close().unwrap();
    assert!(JobStore::verify(&left).unwrap().is_sound());
    small_segments().open(&left).unwrap().close().unwrap();
}

#[test]
fn a_job_whose_end_was_lost_is_interrupted_and_given_to_nobody_again() {
    let dir = tempfile::tempdir().unwrap();
    let options = || small_segments().recovery(Recovery::Requeue);
    let store = options().open(dir.path()).unwrap();
    let graph = store.create_graph("10001", "g").unwrap();
    let done = graph.submit(request("c", "1")).unwrap();
    graph.start(&done).unwrap();
    graph.complete(&done, Outcome::succeeded()).unwrap();
    let waiting: Vec<_> = (0..3)
        .map(|n| graph.submit(request("c", &n.to_string())).unwrap())
        .collect();
    pack(&store, dir.path());
    store.close().unwrap();
    lose_index(dir.path());
    damage_the_events(&files_ending(dir.path(), ".pack")[0]);
    let refused = options().open(dir.path()).unwrap_err();
    assert!(matches!(refused, Error::Damaged { .. }), "{refused:?}");

    let repaired = JobStore::repair(dir.path()).unwrap();
    assert!(repaired.events > 0, "{repaired}");
    let store = options().open(dir.path()).unwrap();
    let graph = store.graphs().unwrap().remove(0);
    assert_eq!((graph.project_id(), graph.name()), ("lost", "graph-0"));
    assert!(graph.claim_next().unwrap().is_none());
    for id in waiting.iter().chain([&done]) {
        let job = graph.job(id).unwrap().unwrap();
        assert_eq!(job.state(), State::Complete);
        assert_eq!(job.outcome().unwrap().kind(), OutcomeKind::Interrupted);
    }
    let recovered: Vec<_> = store
        .recovered()
        .jobs()
        .map(|found| found.unwrap())
        .filter(|found| found.graph.name() == graph.name())
        .map(|found| found.action)
        .collect();
    assert_eq!(recovered, [RecoveryAction::Interrupted; 4]);
    store.close().unwrap();
    let repaired = JobStore::repair(dir.path()).unwrap();
    assert!(!repaired.changed(), "{repaired}");
    let store = options().open(dir.path()).unwrap();
    assert!(store.recovered().is_empty());
}

#[test]
fn a_graph_whose_creation_was_lost_keeps_its_name_where_the_index_knows_it() {
    let dir = tempfile::tempdir().unwrap();
    make_store(dir.path());
    damage_the_events(&files_ending(dir.path(), ".pack")[0]);
    let repaired = JobStore::repair(dir.path()).unwrap();
    assert!(repaired.events > 0, "{repaired}");
    let store = JobStore::open(dir.path()).unwrap();
    let graph = store.graph("10001", "one").unwrap();
    let page = graph.list(JobQuery::new()).unwrap();
    assert_eq!(page.total().unwrap(), 201);
    for job in &page {
        let id = job.unwrap().id().clone();
        assert!(graph.job(&id).unwrap().is_some());
    }
}

#[test]
fn a_scrub_of_an_open_store_finds_what_rots_under_it() {
    let dir = common::closed_directory();
    make_store(dir.path());
    let store = small_segments().open(dir.path()).unwrap();
    let graph = store.graph("10001", "one").unwrap();
    graph.submit(request("tail", "\"password\"")).unwrap();
    // The previous data of the store is packed now, and only one segment is left.
    wait_until_packed(dir.path());
    let sound = store.scrub().unwrap();
    assert!(sound.is_sound() && sound.closed.is_none(), "{sound}");
    assert!(sound.bytes > 0 && sound.index_fault.is_none());
    assert_eq!(store.health(), Health::Ok);
    let file = damage_a_block(dir.path());
    let report = store.scrub().unwrap();
    assert_eq!(report.damage.len(), 1, "{report}");
    assert_eq!(report.damage[0].file, file);
    let damaged: u64 = report.graphs.iter().map(|graph| graph.damaged).sum();
    assert_eq!(damaged, report.damage[0].jobs);
    // The segment being written.
    let segment = files_ending(dir.path(), ".segment").remove(0);
    let bytes = fs::read(&segment).unwrap();
    let at = bytes.windows(8).position(|w| w == b"password").unwrap();
    damage(&segment, at as u64);
    let report = store.scrub().unwrap();
    assert_eq!(report.damage.len(), 2, "{report}");
    assert_eq!(report.damage[1].file, segment);
    let more: u64 = report.graphs.iter().map(|graph| graph.damaged).sum();
    assert_eq!(more, damaged + 1, "{report}");
    assert!(!report.to_string().contains("password"));
    let Health::Degraded { why, .. } = store.health() else {
        panic!("{:?}", store.health());
    };
    assert!(why.contains(&*file.display().to_string()), "{why}");
    store.close().unwrap();
    assert!(matches!(store.scrub(), Err(Error::Closed)));
}

#[test]
fn a_scrub_stands_in_nobodys_way_and_ends_with_the_store() {
    let dir = tempfile::tempdir().unwrap();
    make_store(dir.path());
    let store = small_segments().open(dir.path()).unwrap();
    let graph = store.graph("10001", "two").unwrap();
    let scrubs = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let scrubber = scope.spawn(|| {
            loop {
                match store.scrub() {
                    Ok(report) => assert!(report.is_sound(), "{report}"),
                    Err(error) => return error,
                }
                scrubs.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut n = 0;
        while scrubs.load(Ordering::Relaxed) < 3 {
            let body = format!("\"{}\"", "y".repeat(2_000));
            let id = graph.submit(request("c", &body)).unwrap();
            graph.cancel(&id).unwrap();
            n += 1;
            if n % 16 == 0 {
                pack(&store, dir.path());
            }
        }
        store.close().unwrap();
        let ended = scrubber.join().unwrap();
        assert!(matches!(ended, Error::Closed), "{ended:?}");
    });
    let report = JobStore::verify(dir.path()).unwrap();
    assert!(report.is_sound(), "{report}");
}

#[test]
fn who_opens_is_told_how_far_it_has_come() {
    let dir = tempfile::tempdir().unwrap();
    let store = JobStore::open(dir.path()).unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    for _ in 0..3 {
        graph.submit_all(vec![request("c", "{}"); 50_000]).unwrap();
    }
    pack(&store, dir.path());
    store.close().unwrap();
    lose_index(dir.path());
    let told = Arc::new(Mutex::new(Vec::<ReplayProgress>::new()));
    let telling = told.clone();
    let options =
        JobStore::options().on_replay(move |replayed| telling.lock().unwrap().push(*replayed));
    let store = options.clone().open(dir.path()).unwrap();
    store.close().unwrap();
    let heard = std::mem::take(&mut *told.lock().unwrap());
    assert!(heard.len() >= 2, "{heard:?}");
    assert!(
        heard.windows(2).all(|w| w[0].events < w[1].events),
        "{heard:?}"
    );
    assert!(
        heard.iter().all(|r| r.rebuilding && r.events <= r.of),
        "{heard:?}"
    );
    let last = heard.last().unwrap();
    assert!(last.events == last.of && last.events > 150_000, "{last:?}");
    // Nothing has to be read again.
    options.open(dir.path()).unwrap().close().unwrap();
    assert_eq!(*told.lock().unwrap(), []);
}
