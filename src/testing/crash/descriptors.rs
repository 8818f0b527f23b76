//! Guarantees: The number of open descriptors is bounded, however many files a store has. A
//! replaced file is closed when the last page that reads it is dropped. If descriptors run out, the
//! error says so, and nothing is mistaken for damage.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::api::store::JobStore;
use crate::engine::background::compaction;
use crate::log::disk::Disk;
use crate::log::disk::os::OsDirectory;
use crate::log::event::{Event, SubmissionTexts};
use crate::log::fingerprint::Fingerprint;
use crate::log::frame::Builder;
use crate::log::identity;
use crate::log::preallocation::{Preallocation, Room};
use crate::log::writer::LogWriter;
use crate::model::error::Error;
use crate::model::job_query::JobQuery;
use crate::model::options::Options;
use crate::model::request::{Body, Request};
use crate::model::store_id::StoreId;

/// The number of log files. It is several times the number of files that may be open.
const SEGMENTS: u64 = 300;
const SEGMENT_BYTES: u64 = 4 << 10;
/// A sufficient number of descriptors.
const FEW: u64 = 64;
/// The environment variables that pass the store and the number of descriptors to the child
/// processes.
const AT: &str = "JOBSTORE_TEST_FEW_DESCRIPTORS_AT";
const COUNT: &str = "JOBSTORE_TEST_FEW_DESCRIPTORS";
const WAIT: Duration = Duration::from_secs(120);

fn request(n: u64) -> Request {
    let body = format!(r#"{{"n":{n},"text":"{}"}}"#, "x".repeat(600));
    Request::new("import", "/ges", Body::from_json(body).expect("JSON")).expect("a request")
}

/// Creates a store as left by processes that died before anything was packed: it has many segments,
/// each with one job of a few hundred bytes. Returns the number of jobs.
fn make_segments(dir: &Path) -> u64 {
    let store = StoreId(7);
    let disk: Arc<dyn Disk> = Arc::new(OsDirectory::open(dir).expect("a directory"));
    identity::create(&*disk, store).expect("an identity");
    let preallocation = Arc::new(Preallocation::new(1, SEGMENT_BYTES));
    let prepared = preallocation
        .take(&*disk, 0, Room::Ordinary)
        .expect("a segment");
    let log = LogWriter::begin(
        disk.clone(),
        store,
        preallocation,
        prepared,
        1,
        (0, 0),
        None,
    );
    let mut log = log.expect("a log");
    let mut frame = Builder::default();
    let mut jobs = 0;
    while log.active().header.epoch < SEGMENTS {
        frame.clear();
        if jobs == 0 {
            frame.push(&Event::GraphCreated {
                graph: 0,
                number: 1_000_000_000_000_000_001,
                key: [1, 2],
                time_ms: 1,
                project: "10001",
                name: "movie",
            });
        }
        let request = request(jobs);
        frame.push(&Event::Submitted {
            graph: 0,
            sequence: jobs,
            time_ms: 1,
            fingerprint: Fingerprint::of(store, &request),
            command: 0,
            texts: SubmissionTexts {
                unlisted: b"",
                id: &format!("brought-{jobs}"),
                request: request.as_json(),
            },
        });
        assert!(log.append(&mut frame, Room::Ordinary).is_ok());
        jobs += 1;
    }
    log.sync().expect("it is durable");
    jobs
}

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("the list").count()
}

fn limit(descriptors: u64) {
    let all = getrlimit(Resource::Nofile);
    let few = rustix::process::Rlimit {
        current: Some(descriptors),
        maximum: all.maximum,
    };
    setrlimit(Resource::Nofile, few).expect("the limit is set");
}

/// Runs one of the tests below in a child process.
fn with_few_descriptors(test: &str, dir: &Path, count: u64) {
    let this = std::env::current_exe().expect("this program");
    let output = Command::new(this)
        .args(["--exact", &format!("testing::crash::descriptors::{test}")])
        .args(["--nocapture", "--test-threads", "1"])
        .env(AT, dir)
        .env(COUNT, count.to_string())
        .stdin(Stdio::null())
        .output()
        .expect("it is started");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{words}");
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("1 passed"),
        "{test} is there"
    );
}

fn given() -> Option<(std::path::PathBuf, u64)> {
    let dir = std::env::var_os(AT)?;
    let count = std::env::var(COUNT).ok()?.parse().ok()?;
    Some((dir.into(), count))
}

fn total(store: &JobStore) -> u64 {
    let movie = store.graph("10001", "movie").expect("the graph");
    let page = movie.list(JobQuery::new()).expect("a page");
    let json = page.to_json().expect("its text");
    let jobs = json.windows(8).filter(|&part| part == b"\"jobId\":");
    assert_eq!(jobs.count() as u64, page.len() as u64);
    page.len() as u64
}

#[test]
fn many_files_need_few_descriptors() {
    if let Some((dir, count)) = given() {
        limit(count);
        let report = JobStore::verify(&dir).expect("it is looked over");
        assert!(report.is_sound(), "{report}");
        let repaired = JobStore::repair(&dir).expect("it is repaired");
        assert!(repaired.found.is_sound());
        let read_only = || Options::default().read_only(true).open(&dir);
        let reader = read_only().expect("it opens to be read");
        let jobs = total(&reader);
        assert!(open_descriptors() as u64 <= FEW);
        let copy = dir.with_extension("copy");
        reader.backup(&copy).expect("it is copied");
        drop(reader);
        let store = JobStore::open(&dir).expect("it opens");
        assert_eq!(total(&store), jobs);
        let movie = store.graph("10001", "movie").expect("the graph");
        movie.submit(request(jobs)).expect("it is taken");
        let until = Instant::now() + WAIT;
        let files = || fs::read_dir(&dir).expect("the names").count();
        while files() > 40 {
            assert!(Instant::now() < until, "{} files are left", files());
            assert!(open_descriptors() as u64 <= FEW);
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(total(&store), jobs + 1);
        assert!(store.scrub().expect("it is looked over").is_sound());
        assert!(
            matches!(store.health(), crate::Health::Ok),
            "{:?}",
            store.health()
        );
        store.close().expect("it closes");
        assert_eq!(total(&read_only().expect("it opens again")), jobs + 1);
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("store");
    OsDirectory::create(&path).expect("a directory");
    let jobs = make_segments(&path);
    with_few_descriptors("many_files_need_few_descriptors", &path, FEW);
    let copied = JobStore::open(path.with_extension("copy")).expect("the copy opens");
    assert_eq!(total(&copied), jobs);
}

#[test]
fn a_lack_of_descriptors_is_an_error_of_its_own() {
    if let Some((dir, count)) = given() {
        limit(count);
        let read_only = Options::default().read_only(true).open(&dir);
        for error in [
            JobStore::open(&dir).map(drop).expect_err("it cannot open"),
            JobStore::verify(&dir)
                .map(drop)
                .expect_err("nor be looked over"),
            JobStore::repair(&dir).map(drop).expect_err("nor repaired"),
            read_only.map(drop).expect_err("nor read"),
        ] {
            assert!(matches!(error, Error::TooManyOpenFiles { .. }), "{error:?}");
            let words = error.to_string();
            assert!(
                words.contains("too many open files; raise the limit"),
                "{words}"
            );
        }
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("store");
    let store = JobStore::open(&path).expect("it opens");
    let movie = store.create_graph("10001", "movie").expect("a graph");
    movie.submit(request(1)).expect("it is taken");
    store.close().expect("it closes");
    let index = || {
        let entries = fs::read_dir(path.join("index")).expect("the index");
        let known = entries.map(|entry| {
            use std::os::unix::fs::MetadataExt;
            let entry = entry.expect("an entry");
            (entry.file_name(), entry.metadata().expect("it").ino())
        });
        let mut known: Vec<_> = known.collect();
        known.sort();
        known
    };
    let before = index();
    // The numbers range from too few for the first file to almost enough, so that calls fail at
    // different points.
    with_few_descriptors("a_lack_of_descriptors_is_an_error_of_its_own", &path, 4);
    assert_eq!(index(), before);
    let store = JobStore::open(&path).expect("it opens");
    assert_eq!(total(&store), 1);
}

/// A child process opens the store with at most this many descriptors, and reports the result.
#[test]
fn whichever_descriptor_is_missing_nothing_is_lost() {
    if let Some((dir, count)) = given() {
        // The test's own descriptors are already open.
        let there = open_descriptors() as u64;
        limit(there + count);
        match JobStore::open(&dir) {
            Ok(store) => {
                assert_eq!(total(&store), 1);
                store.close().ok();
            }
            Err(Error::TooManyOpenFiles { .. }) => {}
            Err(error) => panic!("with {count}: {error:?}"),
        }
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("store");
    let store = JobStore::open(&path).expect("it opens");
    let movie = store.create_graph("10001", "movie").expect("a graph");
    movie.submit(request(1)).expect("it is taken");
    store.close().expect("it closes");
    for count in 0..16 {
        with_few_descriptors(
            "whichever_descriptor_is_missing_nothing_is_lost",
            &path,
            count,
        );
        assert!(
            JobStore::verify(&path)
                .expect("it is looked over")
                .is_sound()
        );
    }
    let store = JobStore::open(&path).expect("it opens");
    assert_eq!(total(&store), 1);
}

/// Returns the number of deleted files of a directory that are still open.
fn deleted(dir: &Path) -> usize {
    let open = fs::read_dir("/proc/self/fd").expect("the list");
    let targets = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let is_deleted = |target: &std::path::PathBuf| {
        target.starts_with(dir) && target.to_string_lossy().ends_with(" (deleted)")
    };
    targets.filter(is_deleted).count()
}

#[test]
fn a_replaced_file_is_closed_with_the_last_page_that_reads_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = Options::default().segment_bytes(64 << 10);
    let store = options.open(dir.path()).expect("it opens");
    let movie = store.create_graph("10001", "movie").expect("a graph");
    for n in 0..400 {
        movie.submit(request(n)).expect("it is taken");
    }
    let engine = store.engine();
    let until = Instant::now() + WAIT;
    let packs = || engine.log_files.read().packs.clone();
    while packs().is_empty() || engine.log_files.read().segments.len() > 1 {
        assert!(Instant::now() < until, "it is not packed");
        std::thread::sleep(Duration::from_millis(5));
    }
    let seen = movie
        .list(JobQuery::new())
        .expect("a page")
        .to_json()
        .expect("its text");
    let replace_all = || {
        for pack in packs() {
            let alone = std::slice::from_ref(&pack);
            compaction::rewrite(engine, alone.to_vec(), "compact", &mut Vec::new())
                .expect("it is rewritten");
        }
    };
    for _ in 0..10 {
        replace_all();
        assert_eq!(deleted(dir.path()), 0, "nobody reads what was replaced");
    }
    let page = movie.list(JobQuery::new()).expect("a page");
    let read = packs().len();
    for _ in 0..10 {
        replace_all();
        assert!(deleted(dir.path()) <= read, "a page keeps what it reads");
    }
    assert_eq!(page.to_json().expect("its text"), seen);
    drop(page);
    assert_eq!(deleted(dir.path()), 0);
    let again = movie.list(JobQuery::new()).expect("a page").to_json();
    assert_eq!(again.expect("its text"), seen);
}
