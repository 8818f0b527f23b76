//! Invalid input: requests, ids, names, pages, options, and directories.
//!
//! Guarantee: each case has its own error, which says what was given and what is allowed; nothing
//! is recorded, nothing is lost, nothing panics, and a refused directory is unchanged.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{listed, names_in, pack, request, small_segments};
use jobstore::{
    Body, Cursor, Durability, Error, Graph, JobId, JobQuery, JobStore, Options, Outcome, Request,
    State,
};

const EMPTY_LIST: &str = r#"{"jobs":[],"result":"success"}"#;

/// Asserts that the error's message contains all these parts and is short.
fn assert_says(error: &Error, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
    assert!(text.len() < 500, "{} bytes: {text}", text.len());
}

/// Asserts that nothing was recorded: the list is empty, and the next job is the first.
fn assert_nothing_recorded(graph: &Graph) {
    assert_eq!(listed(graph), EMPTY_LIST);
    for state in State::ALL {
        assert_eq!(graph.count(state).unwrap(), 0);
    }
    assert!(graph.claim_next().unwrap().is_none());
    let id = graph.submit(request("c", "1")).unwrap();
    assert_eq!(graph.job(&id).unwrap().unwrap().sequence(), 0);
}

/// Everything in a directory, with its content.
fn content(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for name in names_in(dir) {
        let path = dir.join(&name);
        if path.is_dir() {
            let within = content(&path).into_iter();
            all.extend(within.map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
            all.insert(format!("{name}/"), Vec::new());
        } else {
            all.insert(name, fs::read(path).unwrap());
        }
    }
    all
}

// Requests.

#[test]
fn a_request_without_a_command_is_refused() {
    for error in [
        Request::new("", "/ges", Body::empty()).unwrap_err(),
        Request::from_json(r#"{"command":"","url":"/ges"}"#).unwrap_err(),
    ] {
        assert!(matches!(error, Error::EmptyCommand), "{error:?}");
        assert_says(&error, &["command is empty", "import_graph"]);
    }
}

#[test]
fn a_command_or_url_over_its_bound_is_refused_with_both_lengths() {
    let make = |command: usize, url: usize| {
        Request::new("c".repeat(command), "u".repeat(url), Body::empty())
    };
    make(256, 8192).unwrap();
    make(1, 0).unwrap();
    for (command, url, what, given, max) in [
        (257, 0, "command", 257, 256),
        (1, 8193, "url", 8193, 8192),
        (1_000_000, 0, "command", 1_000_000, 256),
    ] {
        let error = make(command, url).unwrap_err();
        assert!(
            matches!(
                error,
                Error::TextTooLong { what: w, given_bytes: g, max_bytes: m }
                    if (w, g, m) == (what, given, max)
            ),
            "{error:?}"
        );
        assert_says(&error, &[what, &given.to_string(), &max.to_string()]);
    }
    // The limit is in bytes.
    let error = Request::new("é".repeat(129), "", Body::empty()).unwrap_err();
    assert_says(&error, &["258", "256"]);
}

#[test]
fn a_body_that_is_not_json_is_refused_with_the_place() {
    for (text, line, column) in [
        ("", 1, Some(0)),
        ("  ", 1, Some(2)),
        ("{", 1, Some(1)),
        ("nul", 1, Some(3)),
        ("{\n \"a\": x}", 2, Some(7)),
        ("[1,]", 1, Some(4)),
        ("{\"a\":1,}", 1, Some(8)),
        ("{a:1}", 1, Some(2)),
        ("{'a':1}", 1, Some(2)),
        ("1 2", 1, Some(3)),
        ("[1][2]", 1, Some(4)),
        ("01", 1, Some(2)),
        ("+1", 1, Some(1)),
        ("1.", 1, Some(2)),
        (".5", 1, Some(1)),
        ("NaN", 1, Some(1)),
        ("Infinity", 1, Some(1)),
        ("\"a", 1, Some(2)),
        ("\"\\x\"", 1, Some(3)),
        // The parser decides which position in a string it reports.
        ("\"\\u12g4\"", 1, None),
        ("\"\n\"", 1, None),
        ("\"\u{0}\"", 1, None),
        ("\u{feff}{}", 1, Some(1)),
        ("\u{a0}1", 1, Some(1)),
        ("{} // no", 1, Some(4)),
        ("]", 1, Some(1)),
        ("TRUE", 1, Some(1)),
    ] {
        let error = Body::from_json(text).unwrap_err();
        assert!(
            matches!(error, Error::InvalidJson { what: "body", line: l, .. } if l == line),
            "{text:?}: {error:?}"
        );
        let column: String = column.map_or_else(String::new, |column: u32| column.to_string());
        let place = format!("line {line} column {column}");
        assert_says(&error, &["invalid JSON in the body", &place]);
    }
}

#[test]
fn a_request_that_is_no_object_of_command_url_and_body_is_refused() {
    for text in [
        "",
        "null",
        "[]",
        "\"c\"",
        "{}",
        r#"{"command":"c"}"#,
        r#"{"url":"/"}"#,
        r#"{"command":1,"url":"/"}"#,
        r#"{"command":null,"url":"/"}"#,
        r#"{"command":"c","url":"/","boddy":{}}"#,
        r#"{"command":"c","command":"d","url":"/"}"#,
        r#"{"command":"c","url":"/","body":{},"body":{}}"#,
        r#"{"command":"c","url":"/","body":}"#,
        r#"{"command":"c","url":"/"} {}"#,
        r#"{"command":"\ud800","url":"/"}"#,
    ] {
        let error = Request::from_json(text).unwrap_err();
        let what = "request";
        assert!(
            matches!(error, Error::InvalidJson { what: w, .. } if w == what),
            "{text}: {error:?}"
        );
        let is_json = serde_json::from_str::<serde_json::Value>(text).is_ok();
        let why = match (is_json, text) {
            (true, "{}" | r#"{"url":"/"}"#) => "invalid request: missing field \"command\"",
            (true, r#"{"command":"c"}"#) => "invalid request: missing field \"url\"",
            (true, _) => {
                "invalid request: expected an object with command, url, and, optionally, body and origin"
            }
            (false, _) => "invalid JSON in the request: ",
        };
        assert_says(&error, &["request", why, " at line "]);
    }
}

#[test]
fn a_value_without_a_form_in_json_is_refused() {
    let by_pair = std::collections::HashMap::from([((1, 2), 3)]);
    let error = Body::from_value(&by_pair).unwrap_err();
    assert!(
        matches!(error, Error::InvalidJson { what: "body", .. }),
        "{error:?}"
    );
    let error = Outcome::succeeded().with_detail(&by_pair).unwrap_err();
    assert!(
        matches!(error, Error::InvalidJson { what: "detail", .. }),
        "{error:?}"
    );
}

#[test]
fn nesting_over_the_bound_is_refused_wherever_json_goes_in() {
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    Body::from_json(deep(120)).unwrap();
    let as_request = format!(r#"{{"command":"c","url":"","body":{}}}"#, deep(121));
    let value: serde_json::Value = serde_json::from_str(&deep(121)).unwrap();
    for (what, error) in [
        ("body", Body::from_json(deep(121)).unwrap_err()),
        ("body", Body::from_value(&value).unwrap_err()),
        ("body", Request::from_json(&as_request).unwrap_err()),
        (
            "detail",
            Outcome::succeeded()
                .with_detail_json(deep(121))
                .unwrap_err(),
        ),
        (
            "detail",
            Outcome::succeeded().with_detail(&value).unwrap_err(),
        ),
    ] {
        assert!(
            matches!(
                error,
                Error::TooDeep { what: w, given: 121, max: 120 } if w == what
            ),
            "{error:?}"
        );
        assert_says(&error, &[what, "121", "120"]);
    }
}

#[test]
fn a_request_over_the_size_limit_is_refused_by_every_call() {
    let store = JobStore::options()
        .max_request_bytes(1024)
        .in_memory()
        .unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let around = request("c", "\"\"").as_json().len();
    let large = request("c", &format!("\"{}\"", "x".repeat(1025 - around)));
    assert_eq!(large.as_json().len(), 1025);
    let small = request("c", "1");
    for error in [
        graph.submit(large.clone()).unwrap_err(),
        graph.submit_as("id", large.clone()).unwrap_err(),
        // One invalid request fails the whole batch.
        graph
            .submit_all([small.clone(), large.clone(), small])
            .unwrap_err(),
        graph.try_submit(large.clone()).unwrap_err(),
        graph
            .nonblocking()
            .submit(large.clone())
            .wait()
            .unwrap_err(),
        graph
            .nonblocking()
            .submit_as("id", large.clone())
            .wait()
            .unwrap_err(),
        graph.nonblocking().submit_all([large]).wait().unwrap_err(),
    ] {
        assert!(
            matches!(
                error,
                Error::RequestTooLarge {
                    given_bytes: 1025,
                    max_bytes: 1024
                }
            ),
            "{error:?}"
        );
        assert_says(&error, &["1025", "1024", "max_request_bytes"]);
    }
    assert_nothing_recorded(&graph);
}

#[test]
fn a_batch_over_its_cap_is_refused_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = JobStore::open(dir.path()).unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    assert_eq!(graph.submit_all([]).unwrap(), Vec::<JobId>::new());
    let small = request("c", "1");
    let too_many = || std::iter::repeat_n(small.clone(), 100_001);
    let large = request("c", &format!("\"{}\"", "x".repeat((16 << 20) - 100)));
    let too_large = || std::iter::repeat_n(large.clone(), 17);
    let nonblocking = graph.nonblocking();
    for (error, max, unit) in [
        (
            graph.submit_all(too_many()).unwrap_err(),
            100_000,
            "requests",
        ),
        (
            nonblocking.submit_all(too_many()).wait().unwrap_err(),
            100_000,
            "requests",
        ),
        (
            graph.submit_all(too_large()).unwrap_err(),
            256 << 20,
            "bytes",
        ),
        // An infinite batch is refused early.
        (
            graph
                .submit_all(std::iter::repeat(small.clone()))
                .unwrap_err(),
            100_000,
            "requests",
        ),
    ] {
        assert!(
            matches!(error, Error::BatchTooLarge { max: m, unit: u } if (m, u) == (max, unit)),
            "{error:?}"
        );
        assert_says(&error, &[&max.to_string(), unit, "split"]);
    }
    assert_nothing_recorded(&graph);
    drop(graph);
    store.close().unwrap();
    let store = JobStore::open(dir.path()).unwrap();
    let graph = store.graph("10001", "movie").unwrap();
    assert_eq!(graph.list(JobQuery::new()).unwrap().total().unwrap(), 1);
    let ids = graph
        .submit_all(std::iter::repeat_n(small, 100_000))
        .unwrap();
    assert_eq!(ids.len(), 100_000);
    assert_eq!(
        graph.list(JobQuery::new()).unwrap().total().unwrap(),
        100_001
    );
}

// Ids.

/// Every call that takes an id, with the error it gives.
fn with_id(graph: &Graph, id: &str) -> Vec<(&'static str, Error)> {
    let done = Outcome::succeeded;
    let nonblocking = graph.nonblocking();
    vec![
        ("start", graph.start(id).unwrap_err()),
        ("complete", graph.complete(id, done()).unwrap_err()),
        ("cancel", graph.cancel(id).unwrap_err()),
        ("claim", graph.claim(id).unwrap_err()),
        ("queue start", nonblocking.start(id).wait().unwrap_err()),
        (
            "queue complete",
            nonblocking.complete(id, done()).wait().unwrap_err(),
        ),
        ("queue cancel", nonblocking.cancel(id).wait().unwrap_err()),
    ]
}

#[test]
fn text_that_cannot_be_an_id_is_refused_by_every_call() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let (long, longer) = ("x".repeat(129), "y".repeat(1_000_000));
    for id in [
        "", " ", "a b", "a\n", "a/b", "a.b", "é", "電", "a\0", "a:b", "%61", "\"", "+", &long,
        &longer,
    ] {
        let mut errors = with_id(&graph, id);
        errors.push(("job", graph.job(id).unwrap_err()));
        errors.push(("new", JobId::new(id).unwrap_err()));
        errors.push(("parse", id.parse::<JobId>().unwrap_err()));
        let brought = graph.submit_as(id, request("c", "1"));
        errors.push(("submit_as", brought.unwrap_err()));
        let queued = graph.nonblocking().submit_as(id, request("c", "1"));
        errors.push(("queue submit_as", queued.wait().unwrap_err()));
        let start: String = id.chars().take(10).collect();
        for (call, error) in errors {
            assert!(
                matches!(
                    &error,
                    Error::InvalidJobId { given, max: 128 } if given.starts_with(&start)
                ),
                "{call} {start:?}: {error:?}"
            );
            assert_says(&error, &["1 to 128", "0-9, A-Z, a-z, '_', and '-'"]);
        }
    }
    assert_nothing_recorded(&graph);
}

#[test]
fn an_id_no_job_has_is_refused_by_every_call_that_needs_one() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    for id in ["lost", &"x".repeat(128), &format!("{}0", graph.number())] {
        assert!(graph.job(id).unwrap().is_none());
        for (call, error) in with_id(&graph, id) {
            assert!(
                matches!(&error, Error::UnknownJob { id: named } if named == id),
                "{call}: {error:?}"
            );
            assert_eq!(
                error.to_string(),
                format!("can not find job, jobId is {id}")
            );
        }
    }
    assert_nothing_recorded(&graph);
}

#[test]
fn an_unknown_graph_is_named_in_the_contracts_words() {
    let store = JobStore::in_memory().unwrap();
    store.create_graph("10001", "movie").unwrap();
    for error in [
        store.graph("10001", "movidde").unwrap_err(),
        store.drop_graph("10001", "movidde").unwrap_err(),
    ] {
        assert!(
            matches!(&error, Error::UnknownGraph { graph } if graph == "movidde"),
            "{error:?}"
        );
        assert_eq!(error.to_string(), "graph : movidde not exist");
    }
    assert_eq!(store.graphs().unwrap().len(), 1);
}

// Pages and outcomes.

#[test]
fn a_limit_outside_1_to_100000_is_refused_and_never_clamped() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    for limit in [1, 2, 99_999, 100_000] {
        graph.list(JobQuery::new().limit(limit)).unwrap();
    }
    for limit in [0, 100_001, 1 << 32, u64::MAX] {
        let error = graph.list(JobQuery::new().limit(limit)).unwrap_err();
        assert!(
            matches!(error, Error::PageLimit { given, max: 100_000 } if given == limit),
            "{error:?}"
        );
        assert_says(&error, &["limit", &limit.to_string(), "1 to 100000"]);
    }
}

#[test]
fn text_that_is_no_cursor_is_refused() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    graph.submit_all(vec![request("c", "1"); 3]).unwrap();
    let page = graph.list(JobQuery::new().limit(1)).unwrap();
    let good = page.next().unwrap().to_string();
    assert_eq!(good.parse::<Cursor>().unwrap(), page.next().unwrap());
    let (shorter, longer, upper) = (&good[1..], format!("{good}0"), good.to_uppercase());
    let wide = format!("{}é", &good[..good.len() - 2]);
    for text in ["", "0", "nonsense", shorter, &longer, &wide] {
        let error = text.parse::<Cursor>().unwrap_err();
        assert!(matches!(error, Error::InvalidCursor { .. }), "{error:?}");
        assert_says(&error, &["cursor", "start again without a cursor"]);
    }
    // With any one character changed: not a cursor, or not one of this list.
    for at in 0..good.len() {
        let mut text = good.clone();
        let other = if text.as_bytes()[at] == b'5' {
            "6"
        } else {
            "5"
        };
        text.replace_range(at..=at, other);
        let listed = text
            .parse::<Cursor>()
            .and_then(|cursor| graph.list(JobQuery::new().cursor(&cursor)));
        assert!(
            matches!(listed, Err(Error::InvalidCursor { .. })),
            "{text}: {listed:?}"
        );
    }
    assert!(upper == good || upper.parse::<Cursor>().is_err());
}

#[test]
fn an_outcome_over_its_bounds_is_refused_and_the_job_goes_on() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    graph.submit_as("id", request("c", "1")).unwrap();
    graph.start("id").unwrap();
    let before = format!("{:?} {}", graph.job("id").unwrap(), listed(&graph));
    let text = |bytes: usize| "x".repeat(bytes);
    let detail = |bytes: usize| {
        let json = format!("\"{}\"", text(bytes - 2));
        Outcome::succeeded().with_detail_json(json)
    };
    for (error, what, given, max) in [
        (detail(65_537).unwrap_err(), "detail", 65_537, 65_536),
        (
            Outcome::succeeded().with_detail(&text(65_535)).unwrap_err(),
            "detail",
            65_537,
            65_536,
        ),
        (
            Outcome::cancelled()
                .with_result_ref(text(1025))
                .unwrap_err(),
            "result_ref",
            1025,
            1024,
        ),
    ] {
        assert!(
            matches!(
                error,
                Error::OutcomeTooLarge { what: w, given_bytes: g, max_bytes: m }
                    if (w, g, m) == (what, given, max)
            ),
            "{error:?}"
        );
        assert_says(&error, &[what, &given.to_string(), &max.to_string()]);
    }
    let error = Outcome::succeeded().with_detail_json("{no}").unwrap_err();
    assert!(
        matches!(error, Error::InvalidJson { what: "detail", .. }),
        "{error:?}"
    );
    let after = format!("{:?} {}", graph.job("id").unwrap(), listed(&graph));
    assert_eq!(after, before);
    // At the limits it is accepted, and round-trips.
    let largest = Outcome::failed(text(256), text(8192))
        .with_detail_json(format!("\"{}\"", text(65_534)))
        .unwrap()
        .with_result_ref(text(1024))
        .unwrap();
    graph.complete("id", largest.clone()).unwrap();
    let job = graph.job("id").unwrap().unwrap();
    assert!(job.outcome() == Some(&largest));
}

// Options.

#[test]
fn an_option_outside_its_range_is_refused_and_makes_nothing() {
    const MIB: u64 = 1 << 20;
    type Set = fn(Options, u64) -> Options;
    let ranges: [(&str, Set, u64, u64, &str); 7] = [
        (
            "cache_bytes",
            Options::cache_bytes,
            4 * MIB,
            MIB * MIB,
            "4 MiB to 1 TiB",
        ),
        (
            "segment_bytes",
            Options::segment_bytes,
            64 << 10,
            1024 * MIB,
            "64 KiB to 1 GiB",
        ),
        (
            "max_request_bytes",
            Options::max_request_bytes,
            1024,
            256 * MIB,
            "1 KiB to 256 MiB",
        ),
        (
            "max_queue_bytes",
            Options::max_queue_bytes,
            64 << 10,
            16 * 1024 * MIB,
            "64 KiB to 16 GiB",
        ),
        (
            "page_threads",
            |options, threads| options.page_threads(threads as usize),
            1,
            64,
            "1 to 64",
        ),
        (
            "durability interval in ms",
            |options, ms| options.durability(Durability::Interval(Duration::from_millis(ms))),
            1,
            60_000,
            "1 ms to 60 s",
        ),
        (
            "close_timeout in ms",
            |options, ms| options.close_timeout(Duration::from_millis(ms)),
            1,
            3_600_000,
            "1 ms to 1 h",
        ),
    ];
    let dir = tempfile::tempdir().unwrap();
    for (name, set, min, max, range) in ranges {
        for value in [min - 1, max + 1, u64::MAX] {
            let path = dir.path().join("refused");
            for error in [
                set(JobStore::options(), value).open(&path).unwrap_err(),
                set(JobStore::options(), value).in_memory().unwrap_err(),
            ] {
                assert!(
                    matches!(
                        error,
                        Error::InvalidOption { option, given, allowed }
                            if (option, given, allowed) == (name, value, range)
                    ),
                    "{error:?}"
                );
                assert_says(&error, &[name, &value.to_string(), range]);
            }
            assert!(!path.exists(), "{name} {value}");
        }
        // The limits themselves are valid; the largest segments are not created in a test.
        set(JobStore::options(), min).in_memory().unwrap();
        if name != "segment_bytes" {
            set(JobStore::options(), max).in_memory().unwrap();
        }
    }
}

// Directories.

/// A closed store with a job; returns its list, and the content of its directory.
fn make_store(dir: &Path) -> String {
    let store = small_segments().open(dir).unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    graph.submit_as("first", request("c", "1")).unwrap();
    let list = listed(&graph);
    drop(graph);
    store.close().unwrap();
    list
}

fn assert_whole(dir: &Path, list: &str) {
    let store = small_segments().open(dir).unwrap();
    assert_eq!(listed(&store.graph("10001", "movie").unwrap()), list);
}

/// The open is refused and changes nothing in the directory except the lock.
fn refused(dir: &Path) -> Error {
    let without_lock = |dir: &Path| {
        let mut all = content(dir);
        all.remove("LOCK");
        all
    };
    let before = without_lock(dir);
    let error = small_segments().open(dir).unwrap_err();
    let after = without_lock(dir);
    let names = |all: &BTreeMap<String, Vec<u8>>| all.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&after), names(&before), "{error}");
    assert!(after == before, "a file was changed: {error}");
    error
}

#[test]
fn a_store_that_is_open_in_this_process_is_refused_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = small_segments().open(dir.path()).unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let path = dir.path();
    for _ in 0..2 {
        let error = small_segments().open(path).unwrap_err();
        assert!(
            matches!(
                &error,
                Error::StoreInUse { path: named, holder: Some(holder) }
                    if named == path && *holder == std::process::id()
            ),
            "{error:?}"
        );
        let (path, pid) = (path.to_str().unwrap(), std::process::id().to_string());
        assert_says(&error, &[path, &pid, "close it there", "another directory"]);
        graph.submit(request("c", "1")).unwrap();
    }
    // Another path to the same directory makes no difference.
    let around = path.join("..").join(path.file_name().unwrap());
    let error = small_segments().open(around).unwrap_err();
    assert!(matches!(error, Error::StoreInUse { .. }), "{error:?}");
    assert_eq!(graph.list(JobQuery::new()).unwrap().total().unwrap(), 2);
    drop(graph);
    store.close().unwrap();
    let store = small_segments().open(path).unwrap();
    let graph = store.graph("10001", "movie").unwrap();
    assert_eq!(graph.list(JobQuery::new()).unwrap().total().unwrap(), 2);
}

/// Passes the directory to a test that runs in a child process.
const CHILD: &str = "JOBSTORE_INPUT_TEST_CHILD";

/// This test program, set up to run only the given test.
fn this_program(test: &str) -> Command {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", test, "--nocapture", "--test-threads", "1"]);
    program
}

#[test]
fn a_store_that_is_open_in_another_process_is_refused_with_that_process_named() {
    if let Some(dir) = std::env::var_os(CHILD) {
        let store = small_segments().open(Path::new(&dir)).unwrap();
        println!("it is open");
        // Until the parent exits or closes the pipe.
        std::io::stdin().lines().next();
        store.close().unwrap();
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let list = make_store(dir);
    let mut child =
        this_program("a_store_that_is_open_in_another_process_is_refused_with_that_process_named")
            .env(CHILD, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let is_open = lines.any(|line| line.unwrap().contains("it is open"));
    assert!(is_open, "the child did not open the store");
    let error = small_segments().open(dir).unwrap_err();
    assert!(
        matches!(
            &error,
            Error::StoreInUse { path, holder: Some(holder) }
                if path == dir && *holder == child.id()
        ),
        "{error:?}"
    );
    let pid = child.id().to_string();
    assert_says(&error, &[dir.to_str().unwrap(), &pid, "close it there"]);
    drop(child.stdin.take());
    assert!(lines.all(|line| line.is_ok()));
    assert!(child.wait().unwrap().success());
    assert_whole(dir, &list);
}

#[test]
fn a_store_that_was_closed_can_be_opened_though_a_child_is_just_being_started() {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    let dir = tempfile::tempdir().unwrap();
    let list = make_store(dir.path());
    let store = small_segments().open(dir.path()).unwrap();
    let (mut ours, mut childs) = UnixStream::pair().unwrap();
    let mut command = Command::new("true");
    let wait = move || {
        childs.write_all(b"f")?;
        childs.read_exact(&mut [0])
    };
    // Between fork and exec, a child has all files of its parent, whatever their flags, including
    // the store's lock. SAFETY: the child writes to and reads from an existing socket, which needs
    // no memory and no lock.
    unsafe { command.pre_exec(wait) };
    let started = std::thread::spawn(move || command.status());
    ours.read_exact(&mut [0]).unwrap();
    let closed = store.close();
    let opened = small_segments().open(dir.path());
    // The child continues in any case.
    ours.write_all(b"e").unwrap();
    assert!(started.join().unwrap().unwrap().success());
    closed.unwrap();
    let graph = opened.unwrap().graph("10001", "movie").unwrap();
    assert_eq!(listed(&graph), list);
}

#[test]
fn a_directory_that_holds_something_else_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for name in ["notes.txt", "store", "STORE.txt", ".hidden", "index.html"] {
        let path = dir.join(format!("with-{name}"));
        fs::create_dir(&path).unwrap();
        fs::write(path.join(name), "mine").unwrap();
        let before = content(&path);
        let error = small_segments().open(&path).unwrap_err();
        assert!(
            matches!(
                &error,
                Error::NotAStore { path: p, found } if *p == path && found == name
            ),
            "{error:?}"
        );
        assert_says(&error, &[path.to_str().unwrap(), name, "empty directory"]);
        assert_eq!(content(&path), before, "not even a lock");
    }
    let with_directory = dir.join("with-directory");
    fs::create_dir_all(with_directory.join("photos")).unwrap();
    let error = small_segments().open(&with_directory).unwrap_err();
    assert!(
        matches!(&error, Error::NotAStore { found, .. } if found == "photos"),
        "{error:?}"
    );
    assert_eq!(names_in(&with_directory), ["photos"]);
}

#[test]
fn a_file_in_the_place_of_a_directory_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, "mine").unwrap();
    for at in [path.clone(), path.join("store")] {
        let error = small_segments().open(&at).unwrap_err();
        assert!(
            matches!(
                &error,
                Error::Io { path: p, kind: std::io::ErrorKind::NotADirectory, .. } if *p == at
            ),
            "{error:?}"
        );
        assert_says(&error, &[at.to_str().unwrap(), "directory"]);
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    assert_eq!(names_in(dir.path()), ["file"]);
}

#[test]
fn a_missing_store_is_not_made_unasked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("not-there");
    for at in [path.as_path(), dir.path()] {
        let error = small_segments().create(false).open(at).unwrap_err();
        assert!(
            matches!(&error, Error::StoreMissing { path } if path == at),
            "{error:?}"
        );
        assert_says(&error, &[at.to_str().unwrap(), "create(true)"]);
    }
    assert_eq!(names_in(dir.path()), Vec::<String>::new());
    let list = make_store(&path);
    let store = small_segments().create(false).open(&path).unwrap();
    assert_eq!(listed(&store.graph("10001", "movie").unwrap()), list);
}

/// CRC-32 of IEEE 802.3, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            let low_bit = crc & 1;
            crc = (crc >> 1) ^ (0xedb8_8320 * low_bit);
        }
    }
    !crc
}

/// The text of a STORE file followed by its checksum.
fn sealed(text: &str) -> String {
    format!("{text}crc {:08x}\n", crc32(text.as_bytes()))
}

#[test]
fn a_store_of_a_later_format_is_refused_with_both_formats_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let list = make_store(dir);
    let original = fs::read_to_string(dir.join("STORE")).unwrap();
    let (text, _) = original.split_at(original.find("crc ").unwrap());
    assert_eq!(sealed(text), original, "the checksum is the known one");
    let format = text.lines().find(|line| line.starts_with("format "));
    let format = format.unwrap();
    let supported: u32 = format["format ".len()..].parse().unwrap();
    for found in [supported + 1, 99, u32::MAX] {
        // Only that release knows what follows the format.
        for later in [
            text.replace(format, &format!("format {found}")),
            format!("jobstore\nformat {found}\nflags 7\nother things\n"),
        ] {
            fs::write(dir.join("STORE"), sealed(&later)).unwrap();
            let error = refused(dir);
            assert!(
                matches!(
                    &error,
                    Error::NewerFormat { path, found: f, supported: s }
                        if path.join("STORE") == dir.join("STORE")
                            && (*f, *s) == (found, supported)
                ),
                "{error:?}"
            );
            let (path, found) = (dir.to_str().unwrap(), found.to_string());
            let reads = format!("supports formats up to {supported}");
            assert_says(
                &error,
                &[path, &found, &reads, "the release that wrote the store"],
            );
        }
    }
    fs::write(dir.join("STORE"), original).unwrap();
    assert_whole(dir, &list);
}

/// The text of a STORE file, without its checksum.
fn text_of(content: &str) -> &str {
    content.split_at(content.find("crc ").unwrap()).0
}

#[test]
fn a_store_from_before_the_first_release_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let list = make_store(dir);
    let original = fs::read_to_string(dir.join("STORE")).unwrap();
    let id = text_of(&original).lines().last().unwrap();
    let oldest = text_of(&original).replace("format 2\n", "format 1\n");
    for (older, text) in [(0, format!("jobstore\nformat 0\n{id}\n")), (1, oldest)] {
        fs::write(dir.join("STORE"), sealed(&text)).unwrap();
        let error = refused(dir);
        assert!(
            matches!(error, Error::OlderFormat { found, oldest: 2, .. } if found == older),
            "{error:?}"
        );
        let format = format!("format {older}");
        assert_says(&error, &[dir.to_str().unwrap(), &format, "export the jobs"]);
    }
    fs::write(dir.join("STORE"), original).unwrap();
    assert_whole(dir, &list);
}

#[test]
fn what_a_later_release_added_is_passed_over_where_it_says_so_and_refused_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let list = make_store(dir);
    let original = fs::read_to_string(dir.join("STORE")).unwrap();
    let with = |flags: &str, bits: &str| {
        let none = format!("\n{flags} 00000000\n");
        assert!(original.contains(&none));
        sealed(&text_of(&original).replace(&none, &format!("\n{flags} {bits}\n")))
    };
    for bits in ["00000002", "80000000", "fffffffe"] {
        fs::write(dir.join("STORE"), with("incompatible", bits)).unwrap();
        let error = refused(dir);
        assert!(matches!(error, Error::UnknownFeatures { .. }), "{error:?}");
        let said = format!("0x{bits}");
        assert_says(
            &error,
            &[
                dir.to_str().unwrap(),
                &said,
                "the release that wrote the store",
            ],
        );
    }
    let later = with("compatible", "c0000001");
    fs::write(dir.join("STORE"), &later).unwrap();
    assert_whole(dir, &list);
    assert_eq!(fs::read_to_string(dir.join("STORE")).unwrap(), later);
}

#[test]
fn a_damaged_store_file_is_named_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let list = make_store(dir);
    let path = dir.join("STORE");
    let original = fs::read(&path).unwrap();
    let text = String::from_utf8(original.clone()).unwrap();
    let mut damages: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"\n".to_vec(),
        b"mine".to_vec(),
        vec![0; original.len()],
        vec![0xff; 100],
        original[..original.len() - 1].to_vec(),
        original[..original.len() / 2].to_vec(),
        [&original[..], b"\n"].concat(),
        original.repeat(200),
        // Valid checksums over text that no release wrote.
        sealed("").into_bytes(),
        sealed("another program\nformat 0\n").into_bytes(),
        sealed("jobstore\nformat x\n").into_bytes(),
        sealed("jobstore\nformat -1\n").into_bytes(),
        sealed("jobstore\nformat 2\n").into_bytes(),
        sealed("jobstore\nformat 2\nid zz\n").into_bytes(),
        sealed(&text_of(&text).replace("\nid ", "\nid 0")).into_bytes(),
        sealed(&text_of(&text).replace("\ncompatible", "\ncompatible ")).into_bytes(),
        sealed(&(text_of(&text).to_owned() + "more\n")).into_bytes(),
        sealed("jobstore\nformat 99999999999\nid 00\n").into_bytes(),
        text.to_uppercase().into_bytes(),
    ];
    for at in 0..original.len() {
        for bit in [0, 3, 7] {
            let mut bytes = original.clone();
            bytes[at] ^= 1 << bit;
            damages.push(bytes);
        }
    }
    for bytes in damages {
        fs::write(&path, &bytes).unwrap();
        let error = refused(dir);
        assert!(
            matches!(&error, Error::Damaged { file, .. } if *file == path),
            "{error:?} for {:?}",
            String::from_utf8_lossy(&bytes)
        );
        assert_says(&error, &[path.to_str().unwrap(), "corrupt", "backup"]);
    }
    // Without it, the other files of the store are not ignored.
    fs::remove_file(&path).unwrap();
    let error = refused(dir);
    assert!(
        matches!(&error, Error::Damaged { file, .. } if *file == path),
        "{error:?}"
    );
    assert_says(&error, &[path.to_str().unwrap(), "missing"]);
    fs::write(&path, original).unwrap();
    assert_whole(dir, &list);
}

#[test]
fn the_store_file_of_another_store_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (dir.path().join("one"), dir.path().join("other"));
    let list = make_store(&one);
    make_store(&other);
    let original = fs::read(one.join("STORE")).unwrap();
    fs::copy(other.join("STORE"), one.join("STORE")).unwrap();
    let error = refused(&one);
    assert!(
        matches!(&error, Error::Damaged { file, .. } if file.starts_with(&one)),
        "{error:?}"
    );
    fs::write(one.join("STORE"), original).unwrap();
    assert_whole(&one, &list);
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn assert_no_permission(error: &Error, below: &Path) {
    assert!(
        matches!(
            error,
            Error::PermissionDenied { path, .. } if path.starts_with(below)
        ),
        "{error:?}"
    );
    assert_says(
        error,
        &["permission denied", below.to_str().unwrap(), "must belong"],
    );
}

#[test]
fn a_directory_without_permission_is_refused_and_nothing_is_lost() {
    if rustix::process::geteuid().is_root() {
        // Root ignores file modes, so this test reruns itself as nobody.
        const NOBODY: u32 = 65534;
        let run = this_program("a_directory_without_permission_is_refused_and_nothing_is_lost")
            .current_dir("/")
            .env_remove("TMPDIR")
            .uid(NOBODY)
            .gid(NOBODY)
            .output();
        match run {
            Ok(output) => {
                let passed = String::from_utf8_lossy(&output.stdout).contains("1 passed");
                assert!(output.status.success() && passed, "as nobody: {output:?}");
            }
            Err(error) => println!("skipped: root, and nobody cannot run this test: {error}"),
        }
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let closed_parent = dir.join("closed");
    fs::create_dir(&closed_parent).unwrap();
    // A directory in which nothing can be created.
    set_mode(&closed_parent, 0o500);
    let error = small_segments()
        .open(closed_parent.join("store"))
        .unwrap_err();
    assert_no_permission(&error, &closed_parent);
    // A directory that cannot even be read.
    set_mode(&closed_parent, 0o000);
    for at in [closed_parent.clone(), closed_parent.join("store")] {
        let error = small_segments().open(&at).unwrap_err();
        assert_no_permission(&error, &closed_parent);
    }
    set_mode(&closed_parent, 0o700);
    assert_eq!(names_in(&closed_parent), Vec::<String>::new());
    // A store whose directory or files this user may not access.
    let path = dir.join("store");
    let list = make_store(&path);
    let store = small_segments().open(&path).unwrap();
    pack(&store, &path);
    store.close().unwrap();
    set_mode(&path, 0o000);
    assert_no_permission(&small_segments().open(&path).unwrap_err(), &path);
    set_mode(&path, 0o500);
    assert_no_permission(&small_segments().open(&path).unwrap_err(), &path);
    set_mode(&path, 0o700);
    assert_whole(&path, &list);
    let ends = ["STORE", "CLOSED", "LOCK", ".segment", ".pack"];
    for name in names_in(&path) {
        if !ends.iter().any(|end| name.ends_with(end)) {
            continue;
        }
        let file = path.join(&name);
        set_mode(&file, 0o000);
        assert_no_permission(&small_segments().open(&path).unwrap_err(), &file);
        set_mode(&file, 0o600);
    }
    assert_whole(&path, &list);
}

#[test]
fn a_full_disk_is_said_and_loses_nothing_and_space_that_comes_back_is_used() {
    let test = "a_full_disk_is_said_and_loses_nothing_and_space_that_comes_back_is_used";
    let Some(dir) = std::env::var_os(CHILD) else {
        // A separate file system, in namespaces that end with the child.
        let dir = tempfile::tempdir().unwrap();
        let mounted = "mount -t tmpfs -o size=8m tmpfs \"$0\" || exit 77; exec \"$@\"";
        let program = this_program(test);
        let output = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", mounted])
            .arg(dir.path())
            .arg(program.get_program())
            .args(program.get_args())
            .env(CHILD, dir.path())
            .output();
        match output {
            Ok(output) if output.status.success() => {
                let said = String::from_utf8_lossy(&output.stdout).contains("the disk was full");
                assert!(said, "the child did not run its test: {output:?}");
            }
            Ok(output) if output.status.code() == Some(101) => panic!("{output:?}"),
            Ok(output) => println!("skipped: no file system of its own: {output:?}"),
            Err(error) => println!("skipped: no unshare: {error}"),
        }
        return;
    };
    let dir = Path::new(&dir);
    let (path, ballast) = (dir.join("store"), dir.join("ballast"));
    fs::write(&ballast, vec![1; 2 << 20]).unwrap();
    let store = small_segments().open(&path).unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let body = format!("\"{}\"", "電影".repeat(700));
    let mut acknowledged = 0;
    let fill = |acknowledged: &mut u64| {
        loop {
            // Incompressible.
            let noise: String = (0..250u64)
                .map(|n| {
                    format!(
                        "{:016x}",
                        (n + *acknowledged * 250)
                            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                            .rotate_left(29)
                            .wrapping_mul(0xbf58_476d_1ce4_e5b9)
                    )
                })
                .collect();
            let body = format!("[{body},\"{noise}\"]");
            match graph.submit_as(format!("id-{acknowledged}"), request("c", &body)) {
                Ok(_) => *acknowledged += 1,
                Err(error) => return error,
            }
        }
    };
    for _ in 0..3 {
        let error = fill(&mut acknowledged);
        assert!(
            matches!(&error, Error::DiskFull { path: p, .. } if p.starts_with(&path)),
            "{error:?}"
        );
        let named = path.to_str().unwrap();
        assert_says(
            &error,
            &["no space left", named, "the write was not recorded"],
        );
    }
    println!("the disk was full");
    let page = graph.list(JobQuery::new()).unwrap();
    assert_eq!(page.total().unwrap(), acknowledged);
    assert_eq!(
        page.jobs().filter(|job| job.is_ok()).count() as u64,
        acknowledged
    );
    let full = acknowledged;
    fs::remove_file(&ballast).unwrap();
    for _ in 0..20 {
        graph
            .submit_as(format!("id-{acknowledged}"), request("c", "1"))
            .unwrap();
        acknowledged += 1;
    }
    let list = listed(&graph);
    drop((page, graph));
    store.close().unwrap();
    let store = small_segments().open(&path).unwrap();
    let graph = store.graph("10001", "movie").unwrap();
    assert!(listed(&graph) == list, "reopened");
    assert_eq!(
        graph.list(JobQuery::new()).unwrap().total().unwrap(),
        acknowledged
    );
    assert!(full > 100 && acknowledged == full + 20);
}

// After the close.

#[test]
fn a_closed_store_refuses_every_call() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    graph.submit_as("id", request("c", "1")).unwrap();
    store.close().unwrap();
    store.close().unwrap();
    let closed = |call: &str, result: Result<(), Error>| {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Closed), "{call}: {error:?}");
        assert_eq!(error.to_string(), "the store is closed");
    };
    let asked = || request("c", "1");
    closed("create_graph", store.create_graph("1", "g").map(drop));
    closed("graph", store.graph("10001", "movie").map(drop));
    closed("graphs", store.graphs().map(drop));
    closed("drop_graph", store.drop_graph("10001", "movie"));
    closed("submit", graph.submit(asked()).map(drop));
    closed("submit_all", graph.submit_all([asked()]).map(drop));
    closed("submit_as", graph.submit_as("id", asked()).map(drop));
    closed("try_submit", graph.try_submit(asked()).map(drop));
    closed("claim_next", graph.claim_next().map(drop));
    closed("job", graph.job("id").map(drop));
    closed("list", graph.list(JobQuery::new()).map(drop));
    closed("count", graph.count(State::Pending).map(drop));
    closed(
        "queue",
        graph.nonblocking().submit(asked()).wait().map(drop),
    );
    for (call, error) in with_id(&graph, "id") {
        closed(call, Err(error));
    }
}
