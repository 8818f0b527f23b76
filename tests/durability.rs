//! Durability: everything acknowledged is present after a close and after the last handle was
//! dropped. The index may be lost, damaged, outdated, or foreign; the loss of a log file is an
//! error.
//!
//! Tests guarantee 6 (nothing is lost silently), and 1 (acknowledged writes are durable) as far as
//! a close can show it. `tests/trials` tests kills and power failures.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jobstore::{
    Durability, Error, Graph, Job, JobQuery, JobStore, Options, Outcome, Recovery, State,
};

use common::{Random, copy_directory, files_ending, lose_index, pack, request, small_segments};

// ---- The content of a store, for comparison ----

fn leave() -> Options {
    small_segments().recovery(Recovery::Leave)
}

/// Everything that can be read from a store: lists, times, outcomes; each job also by its id.
fn dump(store: &JobStore) -> Vec<String> {
    let mut out = Vec::new();
    for graph in store.graphs().unwrap() {
        out.push(format!("{graph:?} {}", graph.number()));
        let page = graph.list(JobQuery::new()).unwrap();
        out.push(String::from_utf8(page.to_json().unwrap()).unwrap());
        for job in &page {
            let job = job.unwrap();
            let by_id = graph.job(job.id()).unwrap().unwrap();
            assert_eq!(life(&by_id), life(&job));
            out.push(life(&job));
        }
    }
    out
}

fn life(job: &Job) -> String {
    let times = (job.submitted_at(), job.started_at(), job.completed_at());
    let details = job.outcome().map(|outcome| {
        (
            outcome.message(),
            outcome.detail().map(str::len),
            outcome.result_ref(),
        )
    });
    format!("{job:?} {times:?} {details:?}")
}

/// A closed store with all states, kinds of ids, sizes, and outcomes, in packs and in the segment
/// after them.
fn make_store(dir: &Path) -> Vec<String> {
    let store = leave().open(dir).unwrap();
    let mut random = Random(5);
    for name in ["one", "two"] {
        let graph = store.create_graph("p", name).unwrap();
        for part in 0..3 {
            for n in 0..70 {
                let bytes = [3, 400, 2_000, 40_000][random.below(4) as usize / (n % 7).max(1)];
                let request = request("fill", &format!("\"{}\"", "b".repeat(bytes)));
                let id = match n % 2 {
                    0 => graph.submit(request).unwrap(),
                    _ => {
                        let id = format!("{name}-{part}-{n}");
                        graph.submit_as(id, request).unwrap().id().clone()
                    }
                };
                match random.below(5) {
                    0 => {}
                    1 => graph.start(&id).unwrap(),
                    2 => {
                        graph.start(&id).unwrap();
                        graph.cancel(&id).unwrap();
                    }
                    3 => {
                        graph.cancel(&id).unwrap();
                    }
                    _ => {
                        graph.start(&id).unwrap();
                        let outcome = Outcome::failed("c", "m").with_detail(&n).unwrap();
                        let outcome = outcome.with_result_ref(format!("ref-{n}")).unwrap();
                        graph.complete(&id, outcome).unwrap();
                    }
                }
            }
            if part < 2 {
                pack(&store, dir);
            }
        }
    }
    // Packs are merged when there are 8; here some must remain.
    while !(3..=6).contains(&files_ending(dir, ".pack").len()) {
        pack(&store, dir);
    }
    store
        .graph("p", "one")
        .unwrap()
        .submit(request("c", "{}"))
        .unwrap();
    let all = dump(&store);
    store.close().unwrap();
    all
}

fn assert_same(dir: &Path, expected: &[String], what: &str) {
    let store = leave().open(dir).unwrap();
    let found = dump(&store);
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected, "{what}");
    }
    assert_eq!(found.len(), expected.len(), "{what}");
    store.close().unwrap();
}

// ---- Closing, dropping, and changes to the index ----

#[test]
fn everything_is_there_after_close_and_reopen_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let all = make_store(dir.path());
    for open in 0..4 {
        assert_same(dir.path(), &all, &format!("open {open}"));
    }
}

#[test]
fn everything_is_there_after_the_last_handle_was_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let store = leave().open(dir.path()).unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    drop(store);
    let id = graph.submit(request("c", "1")).unwrap();
    let write = graph.nonblocking().submit(request("c", "2"));
    let page = graph.list(JobQuery::new()).unwrap();
    let (clone, run) = (graph.clone(), graph.claim(&id).unwrap());
    run.detach();
    drop(graph);
    let in_use = leave().open(dir.path()).unwrap_err();
    assert!(matches!(in_use, Error::StoreInUse { .. }), "{in_use:?}");
    drop(clone);
    drop(page);
    drop(write);
    let store = leave().open(dir.path()).unwrap();
    let graph = store.graph("p", "g").unwrap();
    assert_eq!(graph.list(JobQuery::new()).unwrap().total().unwrap(), 2);
    assert_eq!(graph.job(&id).unwrap().unwrap().state(), State::Running);
}

#[test]
fn in_interval_mode_everything_is_there_after_close() {
    let dir = tempfile::tempdir().unwrap();
    let interval = Durability::Interval(Duration::from_secs(60));
    let store = leave().durability(interval).open(dir.path()).unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    for n in 0..300 {
        let id = graph.submit(request("c", &n.to_string())).unwrap();
        if n % 3 > 0 {
            graph.start(&id).unwrap();
        }
        if n % 3 > 1 {
            graph.complete(&id, Outcome::succeeded()).unwrap();
        }
    }
    let all = dump(&store);
    store.close().unwrap();
    assert_same(dir.path(), &all, "closed");
    lose_index(dir.path());
    assert_same(dir.path(), &all, "closed, and the index lost");
}

#[test]
fn a_closed_store_opens_again_at_once_though_the_engine_starts_processes() {
    let dir = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // A child process that is being started briefly has its parent's files open.
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let started = Command::new("true").stdin(Stdio::null()).status();
                assert!(started.unwrap().success());
            }
        });
        let opens: Vec<_> = (0..100)
            .map(|_| JobStore::open(dir.path()).and_then(|store| store.close()))
            .collect();
        // A failed open does not leave the directory locked either.
        fs::write(dir.path().join("STORE"), b"cut").unwrap();
        let refused: Vec<_> = (0..100).map(|_| JobStore::open(dir.path())).collect();
        stop.store(true, Ordering::Relaxed);
        for refused in refused {
            assert!(matches!(refused, Err(Error::Damaged { .. })), "{refused:?}");
        }
        for (n, opened) in opens.into_iter().enumerate() {
            assert!(opened.is_ok(), "open {n}: {opened:?}");
        }
    });
}

#[test]
fn the_index_may_be_lost_damaged_unfinished_old_or_foreign() {
    let origin = tempfile::tempdir().unwrap();
    let all = make_store(origin.path());
    for is_sealed in [true, false] {
        let root = tempfile::tempdir().unwrap();
        copy_directory(origin.path(), &root.path().join("store"));
        index_lost_damaged_unfinished_old_or_foreign(root.path(), &all, is_sealed);
    }
}

/// A changed index is detected by its seal; without one, as after a kill, by its content.
fn index_lost_damaged_unfinished_old_or_foreign(root: &Path, all: &[String], is_sealed: bool) {
    let dir = root.join("store");
    let index = dir.join("index");
    let young = root.join("young");
    copy_directory(&index, &young);
    let assert_same = |what: &str| {
        let closed = dir.join("CLOSED");
        let text = fs::read_to_string(&closed).unwrap();
        assert!(text.contains("\nindex "), "{text}");
        if !is_sealed {
            fs::remove_file(closed).unwrap();
        }
        assert_same(&dir, all, &format!("sealed {is_sealed}: {what}"));
    };
    let lose_index = || fs::remove_dir_all(&index).unwrap();

    lose_index();
    assert_same("lost");

    for name in fs::read_dir(&index).unwrap() {
        let path = name.unwrap().path();
        if path.is_file() {
            fs::write(path, b"garbage garbage garbage").unwrap();
        }
    }
    assert_same("garbage in every file");

    lose_index();
    fs::write(&index, b"a file, no directory").unwrap();
    assert_same("a file in the directory's place");

    lose_index();
    fs::create_dir(&index).unwrap();
    for name in ["db", "conf", "snap.0000000000000000"] {
        fs::write(index.join(name), vec![0xa5; 100_000]).unwrap();
    }
    assert_same("a directory of garbage");

    for cut in [0, 1, 100, 5_000, 50_000] {
        let path = index.join("db");
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..cut.min(bytes.len())]).unwrap();
        assert_same("cut");
    }

    for flip in 0..4 {
        let path = index.join("db");
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes.len() / 4 * flip + 40 * flip;
        bytes[at] ^= 0x55;
        fs::write(&path, &bytes).unwrap();
        assert_same("a byte changed");
    }

    fs::write(dir.join("INDEX-OPENING"), []).unwrap();
    assert_same("an open that died in it");
    assert!(!dir.join("INDEX-OPENING").exists());

    lose_index();
    copy_directory(&young, &index);
    assert_same("an old one put back");

    let other = root.join("other");
    let store = leave().open(&other).unwrap();
    for name in ["one", "two", "three"] {
        let graph = store.create_graph("p", name).unwrap();
        graph.submit_all(vec![request("c", "{}"); 30]).unwrap();
    }
    store.close().unwrap();
    lose_index();
    copy_directory(&other.join("index"), &index);
    assert_same("one of another store");
    let store = leave().open(&other).unwrap();
    assert_eq!(store.graphs().unwrap().len(), 3);
}

#[test]
fn an_index_that_ends_in_the_middle_of_a_pack_is_carried_on() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    let store = leave().open(&dir).unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let ids = graph.submit_all(vec![request("c", "{}"); 40]).unwrap();
    ids.iter().for_each(|id| graph.start(id).unwrap());
    // The index receives all of that, and hands it to the system.
    std::thread::sleep(Duration::from_millis(2_500));
    let old = root.path().join("old");
    copy_directory(&dir.join("index"), &old);
    // The index must later look up the position of the very next event.
    for (n, id) in ids.iter().enumerate() {
        let outcome = Outcome::succeeded().with_detail(&n).unwrap();
        graph.complete(id, outcome).unwrap();
    }
    pack(&store, &dir);
    let all = dump(&store);
    store.close().unwrap();
    // As after a kill: the index has no seal.
    fs::remove_file(dir.join("CLOSED")).unwrap();
    fs::remove_dir_all(dir.join("index")).unwrap();
    copy_directory(&old, &dir.join("index"));
    assert_same(&dir, &all, "an index of a moment within a pack");
}

#[test]
fn dropped_graphs_do_not_come_back_nor_stand_in_the_way_when_the_index_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let store = leave().open(dir).unwrap();
    let kept = store.create_graph("p", "kept").unwrap();
    let mut gone = store.create_graph("p", "gone").unwrap();
    let fill = |graph: &Graph| {
        let body = format!("\"{}\"", "b".repeat(500));
        graph.submit_all(vec![request("c", &body); 50]).unwrap();
    };
    for _ in 0..3 {
        for _ in 0..3 {
            fill(&gone);
            fill(&kept);
            pack(&store, dir);
        }
        // Some of its jobs precede the drop in the same segment, and packs are merged after it.
        fill(&gone);
        store.drop_graph("p", "gone").unwrap();
        gone = store.create_graph("p", "gone").unwrap();
        fill(&gone);
        for _ in 0..4 {
            pack(&store, dir);
        }
    }
    fill(&gone);
    store.drop_graph("p", "gone").unwrap();
    let all = dump(&store);
    store.close().unwrap();
    assert_same(dir, &all, "as it was closed");
    lose_index(dir);
    assert_same(dir, &all, "the index lost");
    let store = leave().open(dir).unwrap();
    let unknown = store.graph("p", "gone").unwrap_err();
    assert!(matches!(unknown, Error::UnknownGraph { .. }), "{unknown:?}");
}

#[test]
fn a_dropped_graph_does_not_come_back_though_handles_and_pages_of_it_were_held() {
    for packed in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let store = leave().open(dir.path()).unwrap();
        let kept = store.create_graph("p", "kept").unwrap();
        let gone = store.create_graph("p", "gone").unwrap();
        for graph in [&kept, &gone] {
            graph.submit_all(vec![request("c", "{}"); 50]).unwrap();
        }
        // The index receives the graph, and must remove it again.
        std::thread::sleep(Duration::from_millis(1_500));
        let page = gone.list(JobQuery::new()).unwrap();
        store.drop_graph("p", "gone").unwrap();
        if packed {
            pack(&store, dir.path());
        }
        let all = dump(&store);
        store.close().unwrap();
        assert_same(dir.path(), &all, "closed with handles of it");
        drop((gone, page));
        assert_same(dir.path(), &all, "opened again");
        lose_index(dir.path());
        assert_same(dir.path(), &all, "and the index lost");
    }
}

#[test]
fn a_graph_dropped_before_its_jobs_were_packed_does_not_stand_in_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    // Its jobs are in a segment that is packed after the drop, and in one that is not packed.
    for attempt in 0..5 {
        let store = leave().open(dir).unwrap();
        let name = format!("gone-{attempt}");
        let graph = store.create_graph("p", &name).unwrap();
        let body = format!("\"{}\"", "b".repeat(5_000));
        for _ in 0..14 {
            graph.submit(request("c", &body)).unwrap();
        }
        store.drop_graph("p", &name).unwrap();
        store.close().unwrap();
        assert_same(dir, &[], "closed before or after packing");
        lose_index(dir);
        assert_same(dir, &[], "and the index lost");
    }
}

// ---- Changes to the log that must be detected ----

/// Opens a store that must be refused as damaged, and returns the file named.
fn damaged_file(dir: &Path, what: &str) -> PathBuf {
    match JobStore::open(dir) {
        Err(Error::Damaged {
            file, what: why, ..
        }) => {
            assert!(!why.is_empty());
            assert_eq!(file.parent(), Some(dir), "{what}");
            file
        }
        Err(other) => panic!("{what}: {other:?}"),
        Ok(_) => panic!("{what}: it opened"),
    }
}

/// The first and the last LSN of a pack, from its name.
fn lsns_of(pack: &Path) -> (u64, u64) {
    let name = pack.file_stem().unwrap().to_str().unwrap();
    let (first, last) = name.split_once('-').unwrap();
    let lsn = |text| u64::from_str_radix(text, 16).unwrap();
    (lsn(first), lsn(last))
}

/// The packs of a closed store. A close does not wait until packs that have been merged are removed.
fn log_packs(dir: &Path) -> Vec<PathBuf> {
    let packs = files_ending(dir, ".pack");
    let is_merged = |(first, last): (u64, u64)| {
        let mut others = packs.iter().map(|pack| lsns_of(pack));
        others.any(|other| other != (first, last) && other.0 <= first && last <= other.1)
    };
    let kept = packs.iter().filter(|pack| !is_merged(lsns_of(pack)));
    kept.cloned().collect()
}

/// The segments of a closed store that are not packed. A close does not wait until a segment that has
/// been packed is removed.
fn log_segments(dir: &Path) -> Vec<PathBuf> {
    const FIRST_LSN: std::ops::Range<usize> = 40..48;
    let packs = files_ending(dir, ".pack");
    let packed_lsn = packs.iter().map(|pack| lsns_of(pack).1).max();
    let first_lsn = |segment: &PathBuf| {
        let bytes = fs::read(segment).unwrap();
        u64::from_le_bytes(bytes[FIRST_LSN].try_into().unwrap())
    };
    let segments = files_ending(dir, ".segment").into_iter();
    segments
        .filter(|segment| first_lsn(segment) > packed_lsn.unwrap_or(0))
        .collect()
}

#[test]
fn a_missing_file_of_the_log_is_damage() {
    let root = tempfile::tempdir().unwrap();
    let origin = root.path().join("origin");
    let all = make_store(&origin);
    let (packs, segments) = (log_packs(&origin), log_segments(&origin));
    let log: Vec<&PathBuf> = packs.iter().chain(&segments).collect();
    for with_index in [true, false] {
        for (n, missing) in log.iter().enumerate() {
            let dir = root.path().join("copy");
            copy_directory(&origin, &dir);
            if !with_index {
                lose_index(&dir);
            }
            let name = missing.file_name().unwrap();
            fs::remove_file(dir.join(name)).unwrap();
            let what = format!("{name:?} removed, index there: {with_index}");
            let named = damaged_file(&dir, &what);
            // The file itself, or a neighbor that reveals the gap.
            let near = &log[n.saturating_sub(1)..(n + 2).min(log.len())];
            let known = near
                .iter()
                .any(|file| file.file_name() == named.file_name());
            assert!(known, "{what}: {named:?}");
            // The failed open changed nothing.
            fs::copy(missing, dir.join(name)).unwrap();
            assert_same(&dir, &all, &what);
            fs::remove_dir_all(&dir).unwrap();
        }
    }
}

#[test]
fn swapped_and_foreign_files_are_damage() {
    let root = tempfile::tempdir().unwrap();
    let (origin, other) = (root.path().join("origin"), root.path().join("other"));
    make_store(&origin);
    make_store(&other);
    // All may have been merged into one.
    while log_packs(&origin).len() < 2 {
        let store = common::small_segments().open(&origin).unwrap();
        common::pack(&store, &origin);
        store.close().unwrap();
    }
    let name = |path: &PathBuf| path.file_name().unwrap().to_owned();
    let packs: Vec<_> = log_packs(&origin).iter().map(name).collect();
    let segment = name(&log_segments(&origin)[0]);
    assert!(packs.len() >= 2, "{packs:?}");

    let dir = root.path().join("swapped");
    copy_directory(&origin, &dir);
    fs::rename(dir.join(&packs[0]), dir.join("aside")).unwrap();
    fs::rename(dir.join(&packs[1]), dir.join(&packs[0])).unwrap();
    fs::rename(dir.join("aside"), dir.join(&packs[1])).unwrap();
    let named = damaged_file(&dir, "two packs swapped");
    assert!(packs[..2].contains(&name(&named)), "{named:?}");

    let foreign = files_ending(&other, ".pack").remove(0);
    for (file, with) in [
        (&packs[0], foreign),
        (&segment, files_ending(&other, ".segment").remove(0)),
    ] {
        let dir = root.path().join(format!("foreign-{}", file.display()));
        copy_directory(&origin, &dir);
        fs::copy(with, dir.join(file)).unwrap();
        assert_eq!(damaged_file(&dir, "a foreign file"), dir.join(file));
    }

    let dir = root.path().join("marks");
    copy_directory(&origin, &dir);
    fs::copy(other.join("CLOSED"), dir.join("CLOSED")).unwrap();
    assert_eq!(damaged_file(&dir, "a foreign CLOSED"), dir.join("CLOSED"));
    fs::write(dir.join("CLOSED"), b"closed\n").unwrap();
    assert_eq!(damaged_file(&dir, "a cut CLOSED"), dir.join("CLOSED"));
    fs::copy(origin.join("CLOSED"), dir.join("CLOSED")).unwrap();
    fs::copy(other.join("STORE"), dir.join("STORE")).unwrap();
    damaged_file(&dir, "a foreign STORE");
    fs::write(dir.join("STORE"), b"jobstore\nformat 0\n").unwrap();
    assert_eq!(damaged_file(&dir, "a cut STORE"), dir.join("STORE"));

    let dir = root.path().join("without-store");
    copy_directory(&origin, &dir);
    fs::remove_file(dir.join("STORE")).unwrap();
    assert_eq!(damaged_file(&dir, "no STORE"), dir.join("STORE"));
}

#[test]
fn a_cut_segment_of_a_store_that_was_closed_is_damage() {
    let root = tempfile::tempdir().unwrap();
    let origin = root.path().join("origin");
    let all = make_store(&origin);
    // The end of the log is recorded in a human-readable file.
    let closed = fs::read_to_string(origin.join("CLOSED")).unwrap();
    let end = closed
        .lines()
        .find_map(|line| line.strip_prefix("offset "))
        .unwrap();
    let end: u64 = end.parse().unwrap();
    let segments = files_ending(&origin, ".segment");
    let name = segments.last().unwrap().file_name().unwrap();
    let dir = root.path().join("copy");
    copy_directory(&origin, &dir);
    for with_index in [true, false] {
        if !with_index {
            lose_index(&dir);
        }
        let path = dir.join(name);
        for len in [end - 1, end - 30, end / 2, 100, 65, 64, 63, 1] {
            fs::copy(origin.join(name), &path).unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_len(len).unwrap();
            assert_eq!(damaged_file(&dir, &format!("cut at {len}")), path);
            // Zeros after the end, as a lost write leaves them.
            file.set_len(end + 4096).unwrap();
            assert_eq!(damaged_file(&dir, &format!("zeros from {len}")), path);
        }
    }
    // After the end there is nothing to lose.
    fs::copy(origin.join(name), dir.join(name)).unwrap();
    let file = fs::File::options().write(true).open(dir.join(name));
    file.unwrap().set_len(end).unwrap();
    assert_same(&dir, &all, "cut at the end");
}

#[test]
fn a_segment_cut_within_its_header_is_damage_in_a_store_that_was_killed() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    make_store(&dir);
    fs::remove_file(dir.join("CLOSED")).unwrap();
    let path = files_ending(&dir, ".segment").pop().unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    // The last bytes of the header are zeros.
    for len in [63, 62, 61] {
        file.set_len(len).unwrap();
        assert_eq!(damaged_file(&dir, &format!("cut at {len}")), path);
    }
}

/// A closed store with more than one segment. The packer runs concurrently, so this may take
/// several attempts.
fn make_store_with_segments(dir: &Path) -> usize {
    for _ in 0..20 {
        let store = leave().open(dir).unwrap();
        let graph = store.get_or_create_graph("p", "g").unwrap();
        let body = format!("\"{}\"", "b".repeat(30_000));
        // Each segment is larger than what the test leaves of it.
        graph.submit(request("c", &body)).unwrap();
        graph.submit_all(vec![request("c", &body); 4]).unwrap();
        graph.submit_all(vec![request("c", &body); 4]).unwrap();
        graph.submit_all(vec![request("c", &body); 4]).unwrap();
        store.close().unwrap();
        let segments = log_segments(dir).len();
        if segments >= 3 {
            return segments;
        }
    }
    panic!("everything is packed before the store is closed");
}

#[test]
fn a_missing_or_cut_segment_in_the_middle_is_damage() {
    let root = tempfile::tempdir().unwrap();
    let origin = root.path().join("origin");
    let count = make_store_with_segments(&origin);
    let segments = log_segments(&origin);
    for cut in [None, Some(0), Some(40), Some(1000)] {
        for segment in &segments[..count - 1] {
            // After its last frame, a segment has nothing to lose.
            let bytes = fs::read(segment).unwrap();
            let end = bytes
                .iter()
                .rposition(|&b| b != 0)
                .map_or(0, |at| at as u64 + 1);
            if cut.is_some_and(|cut| cut >= end) {
                continue;
            }
            let dir = root.path().join("copy");
            copy_directory(&origin, &dir);
            let path = dir.join(segment.file_name().unwrap());
            match cut {
                None => fs::remove_file(&path).unwrap(),
                Some(len) => {
                    let file = fs::File::options().write(true).open(&path).unwrap();
                    file.set_len(len).unwrap();
                }
            }
            let named = damaged_file(&dir, &format!("{path:?} cut at {cut:?}"));
            // The second segment reveals that the first one is missing.
            let first = *segment == segments[0] && cut.unwrap_or(0) < 64;
            assert!(named == path || first, "{cut:?} of {path:?}: {named:?}");
            fs::remove_dir_all(&dir).unwrap();
        }
    }
}
