//! Stores as past releases wrote them, in `tests/golden/`.
//!
//! Guarantee: a store of any format from 2 on opens, lists, exports, finds, and returns changes as
//! when it was written.
//!
//! `format-N/NAME/` is a store, and `format-N/NAME.jsonl` the expected results for its graphs, one
//! per line. They are written once, by the release that introduces a format
//! (`JOBSTORE_WRITE_GOLDEN=1 cargo test --test golden`). The stores never change; if a release
//! renames a key of an export, the lines get the new key.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use common::{copy_directory, names_in, pack, request, small_segments};
use jobstore::{
    Body, Clock, Graph, JobQuery, JobStore, OnBadLine, Options, Outcome, Recovery, Request, State,
    Submitted,
};

/// The format that this release writes.
const FORMAT: u32 = 2;

/// A clock that advances by one millisecond whenever it is read.
struct Ticking(std::sync::atomic::AtomicU64);

impl Clock for Ticking {
    fn now(&self) -> SystemTime {
        let ms = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
    }
}

fn options() -> Options {
    small_segments()
        .recovery(Recovery::Leave)
        .clock(Ticking(1_800_000_000_000.into()))
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// A reproducible request.
fn of(n: u64) -> Request {
    request(&format!("c{n}"), &format!(r#"{{"n":{n},"x":0.00001}}"#))
}

fn secret() -> Request {
    request(
        "secret",
        r#"{"accessKey":"AK","list":[{"secretKey":{"a":["SK"]}}]}"#,
    )
    .with_origin("alice")
    .unwrap()
}

fn large() -> Request {
    let ids: Vec<String> = (0..60_000).map(|n| (n % 100).to_string()).collect();
    request(
        "large",
        &format!(r#"{{"ids":"{}","n":1.50}}"#, ids.join(",,")),
    )
    .with_origin("bob")
    .unwrap()
}

/// Jobs of every kind, packed and not packed.
fn fill(store: &JobStore, dir: &Path) {
    let dropped = store.create_graph("10001", "dropped").unwrap();
    dropped.submit(of(0)).unwrap();
    store.drop_graph("10001", "dropped").unwrap();
    let movie = store.create_graph("10001", "movie").unwrap();
    for half in 0..2 {
        let name = |what: &str| format!("{what}-{half}");
        movie.submit_all((0..20).map(of)).unwrap();
        let outcomes = [
            Outcome::succeeded(),
            Outcome::succeeded()
                .with_result_ref("results/42.csv")
                .unwrap(),
            Outcome::failed("GES.8012", "no such vertex")
                .with_detail_json(r#"{"vertex":"ü","secretKey":"SK"}"#)
                .unwrap(),
            Outcome::cancelled(),
            Outcome::interrupted(),
        ];
        for outcome in outcomes {
            let run = movie.claim_next().unwrap().unwrap();
            run.complete(outcome).unwrap();
        }
        movie.submit_as(name("brought"), secret()).unwrap();
        movie.submit_as(name("large"), large()).unwrap();
        let traced = of(77).with_origin("trace 4bf92f35").unwrap();
        movie.submit_once(name("key"), traced).unwrap();
        movie.submit_as(name("running"), of(78)).unwrap();
        movie.start(name("running")).unwrap();
        movie.submit_as(name("cancelling"), of(79)).unwrap();
        movie.start(name("cancelling")).unwrap();
        movie.cancel(name("cancelling")).unwrap();
        movie.submit_as(name("purged"), of(80)).unwrap();
        let failed = Outcome::failed("E", "no").with_result_ref("r").unwrap();
        movie
            .claim(name("purged"))
            .unwrap()
            .complete(failed)
            .unwrap();
        let only = JobQuery::new().command("c80");
        assert_eq!(movie.purge(only).unwrap().jobs, 1);
        let masked = r#"{"request":{"command":"c","url":"","body":{"accessKey":"******"}}}"#;
        let imported = concat!(
            r#"{"jobId":"imported","status":"complete","request":{"command":"i","url":"/u"},"#,
            r#""outcome":{"kind":"interrupted","recoveredAtOpen":9},"submittedAt":5,"startedAt":6,"completedAt":7}"#
        );
        let lines = format!("{masked}\n{imported}\n");
        movie.import(lines.as_bytes(), OnBadLine::Stop).unwrap();
        if half == 0 {
            pack(store, dir);
        }
    }
}

/// Every result that must stay the same, one per line.
fn answers(store: &JobStore) -> String {
    let mut lines = Vec::new();
    for graph in store.graphs().unwrap() {
        let head = format!("graph {} {}\n", graph.project_id(), graph.name());
        lines.extend_from_slice(head.as_bytes());
        if graph.name() == "filler" {
            lines.extend_from_slice(
                format!("{:?}\n", State::ALL.map(|s| graph.count(s))).as_bytes(),
            );
            continue;
        }
        let export = graph.export(JobQuery::new()).unwrap();
        export.reveal_secrets().write_all(&mut lines).unwrap();
        let page = graph.list(JobQuery::new().newest_first()).unwrap();
        page.write_json(&mut lines).unwrap();
        lines.push(b'\n');
        for change in graph.changes(None).unwrap() {
            let change = change.unwrap();
            let (sequence, id) = (change.sequence, change.id);
            // The time of a purged job is known until its segment is packed.
            let at = change.at.filter(|_| id.is_some()).map(ms);
            lines.extend_from_slice(format!("{sequence:?} {id:?} {at:?}\n").as_bytes());
        }
        for id in ["purged-0", "purged-1", "never"] {
            let stone = graph.tombstone(id).unwrap();
            let stone = stone.map(|stone| (ms(stone.purged_at), stone.reason));
            lines.extend_from_slice(format!("{id}: {stone:?}\n").as_bytes());
        }
        for request in [of(3), secret(), large(), of(80)] {
            let found = graph.find(&request).unwrap();
            let ids: Vec<String> = found.map(|job| job.unwrap().id().to_string()).collect();
            lines.extend_from_slice(format!("found {ids:?}\n").as_bytes());
        }
    }
    let lines = String::from_utf8(lines).unwrap();
    lines.lines().map(|line| shorten(line) + "\n").collect()
}

/// Abbreviates a very long line to its ends, its length, and a checksum.
fn shorten(line: &str) -> String {
    if line.len() < 20_000 {
        return line.to_owned();
    }
    let sum = line.bytes().fold(0u64, |sum, byte| {
        sum.wrapping_mul(0x0100_0000_01b3).wrapping_add(byte.into())
    });
    let (start, end) = (&line[..300], &line[line.len() - 300..]);
    format!("{start} .. {} bytes, {sum:016x} .. {end}", line.len())
}

fn ms(time: SystemTime) -> u128 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_millis()
}

/// The store also accepts new writes.
fn goes_on(movie: &Graph) {
    for half in 0..2 {
        let key = format!("key-{half}");
        let known = movie.submit_once(&key, of(77)).unwrap();
        assert!(matches!(known, Submitted::AlreadyExists(_)), "{key}");
        assert!(movie.submit_once(&key, of(78)).is_err());
        assert!(movie.submit_as(format!("purged-{half}"), of(1)).is_err());
        let running = movie.attach(format!("running-{half}")).unwrap();
        running.complete(Outcome::succeeded()).unwrap();
        assert!(
            movie
                .attach(format!("cancelling-{half}"))
                .unwrap()
                .cancel_requested()
        );
    }
    let last = movie
        .submit(Request::new("new", "", Body::empty()).unwrap())
        .unwrap();
    let newest = movie.list(JobQuery::new().newest_first().limit(1)).unwrap();
    assert_eq!(newest.jobs().next().unwrap().unwrap().id(), &last);
}

#[test]
fn stores_of_every_format_open_and_hold_what_they_did() {
    if std::env::var_os("JOBSTORE_WRITE_GOLDEN").is_some() {
        write();
    }
    let mut seen = Vec::new();
    for format in names_in(&golden()) {
        let directory = golden().join(&format);
        for name in names_in(&directory)
            .iter()
            .filter(|name| !name.ends_with(".jsonl"))
        {
            let what = format!("{format}/{name}");
            let dir = tempfile::tempdir().unwrap();
            copy_directory(&directory.join(name), dir.path());
            let expected = fs::read_to_string(directory.join(format!("{name}.jsonl"))).unwrap();
            let sound = JobStore::verify(dir.path()).unwrap();
            assert!(sound.is_sound(), "{what}: {sound}");
            let store = options().open(dir.path()).unwrap();
            let found = answers(&store);
            for (n, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
                assert_eq!(found, expected, "{what}: line {}", n + 1);
            }
            assert_eq!(found.len(), expected.len(), "{what}");
            goes_on(&store.graph("10001", "movie").unwrap());
            store.close().unwrap();
            assert!(options().open(dir.path()).is_ok(), "{what}");
            seen.push(what);
        }
    }
    for name in ["closed", "killed"] {
        let own = format!("format-{FORMAT}/{name}");
        assert!(seen.contains(&own), "{own} is missing: {seen:?}");
    }
}

/// Writes the stores of this release's format; existing ones are not changed.
fn write() {
    let directory = golden().join(format!("format-{FORMAT}"));
    fs::create_dir_all(&directory).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (at_work, killed) = (dir.path().join("store"), directory.join("killed"));
    assert!(!killed.exists(), "a golden store is never written again");
    let clock = Ticking(1_700_000_000_000.into());
    let opened = small_segments().recovery(Recovery::Leave).clock(clock);
    let store = opened.open(&at_work).unwrap();
    fill(&store, &at_work);
    // A backup equals the result of a kill, except for its mark of a clean close.
    store.backup(&killed).unwrap();
    fs::remove_file(killed.join("CLOSED")).unwrap();
    fs::write(directory.join("killed.jsonl"), answers(&store)).unwrap();
    fs::write(directory.join("closed.jsonl"), answers(&store)).unwrap();
    store.close().unwrap();
    copy_directory(&at_work, &directory.join("closed"));
    for name in ["LOCK", "RESERVE", "SCRATCH"] {
        fs::remove_file(directory.join("closed").join(name)).ok();
    }
    fs::remove_dir_all(directory.join("closed/index")).unwrap();
}
