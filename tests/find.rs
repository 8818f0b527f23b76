//! Finding jobs by their request, if their ids are lost.
//!
//! Guarantee: all jobs with the same request are found, newest first, and no others, however the
//! request is spelled and wherever its jobs are stored: as submitted, packed, merged, reopened,
//! without the index, after a repair. The model test (`tests/model.rs`) also finds by request after
//! every crash.

mod common;

use std::fs;
use std::os::unix::fs::FileExt;

use common::{
    Random, copy_directory, files_ending, lose_index, pack, request, small_segments,
    wait_until_packed,
};
use jobstore::{Body, Error, Graph, Job, JobId, JobStore, Outcome, Request, State, Submitted};

fn found(graph: &Graph, request: &Request) -> Vec<Job> {
    let found = graph.find(request).unwrap();
    found.map(|job| job.unwrap()).collect()
}

fn found_sequences(graph: &Graph, request: &Request) -> Vec<u64> {
    found(graph, request).iter().map(Job::sequence).collect()
}

/// A JSON value, independent of its spelling.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    /// Numbers by their text, and literals.
    Plain(&'static str),
    Text(String),
    List(Vec<Value>),
    /// No duplicate keys; sorted by key.
    Members(Vec<(String, Value)>),
}

const PLAIN: [&str; 8] = [
    "1",
    "1.0",
    "1e0",
    "-0",
    "0",
    "true",
    "null",
    "123456789012345678901",
];
const CHARACTERS: [char; 8] = ['a', 'A', '"', '\\', '/', '\n', 'é', '\u{1F980}'];

fn text(random: &mut Random) -> String {
    let len = random.below(12);
    (0..len)
        .map(|_| CHARACTERS[random.below(8) as usize])
        .collect()
}

fn value(random: &mut Random, depth: u64) -> Value {
    match random.below(if depth < 3 { 5 } else { 2 }) {
        0 => Value::Plain(PLAIN[random.below(8) as usize]),
        1 => Value::Text(text(random)),
        2 => {
            let len = random.below(4);
            Value::List((0..len).map(|_| value(random, depth + 1)).collect())
        }
        _ => {
            let len = random.below(5);
            let mut members: Vec<_> = (0..len)
                .map(|_| (text(random), value(random, depth + 1)))
                .collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            members.dedup_by(|a, b| a.0 == b.0);
            Value::Members(members)
        }
    }
}

fn spell_text(text: &str, random: &mut Random) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        let must = matches!(character, '"' | '\\' | '\n');
        let how = random.below(3);
        match character {
            '/' if how == 0 => out += "\\/",
            '\n' if how == 0 => out += "\\n",
            '"' | '\\' if how == 0 => out.extend(['\\', character]),
            _ if must || how == 1 => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    match random.below(2) {
                        0 => out += &format!("\\u{unit:04x}"),
                        _ => out += &format!("\\u{unit:04X}"),
                    }
                }
            }
            _ => out.push(character),
        }
    }
    out + "\""
}

/// One of the many texts of a value.
fn spell(value: &Value, random: &mut Random) -> String {
    let spaces = ["", "", " ", "\n\t "];
    let mut space = || spaces[random.below(4) as usize];
    let (before, after) = (space(), space());
    let inside = match value {
        Value::Plain(text) => (*text).to_owned(),
        Value::Text(text) => spell_text(text, random),
        Value::List(values) => {
            let values: Vec<_> = values.iter().map(|v| spell(v, random)).collect();
            format!("[{}]", values.join(","))
        }
        Value::Members(members) => {
            let mut members = members.clone();
            for n in (1..members.len()).rev() {
                members.swap(n, random.below(n as u64 + 1) as usize);
            }
            let members: Vec<_> = members
                .iter()
                .map(|(key, value)| format!("{}:{}", spell_text(key, random), spell(value, random)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
    };
    format!("{before}{inside}{after}")
}

fn spelled(value: &Value, random: &mut Random) -> Request {
    let body = Body::from_json(spell(value, random)).unwrap();
    Request::new("c", "/ges", body).unwrap()
}

/// The sequence numbers of the jobs with this value, newest first.
fn of_value(jobs: &[Value], value: &Value) -> Vec<u64> {
    let jobs = (0..).zip(jobs);
    let same = jobs.filter(|(_, job)| *job == value).map(|(n, _)| n);
    let mut same: Vec<u64> = same.collect();
    same.reverse();
    same
}

#[test]
fn jobs_are_found_however_their_request_is_spelled_and_wherever_they_lie() {
    for seed in 0..6 {
        let mut random = Random(seed);
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        // Few enough to repeat, and small, so that some are nearly equal.
        let values: Vec<Value> = (0..40).map(|_| value(&mut random, 0)).collect();
        let mut jobs: Vec<Value> = Vec::new();
        for stage in 0..6 {
            let store = small_segments().open(dir).unwrap();
            let graph = store.get_or_create_graph("10001", "movie").unwrap();
            let other = store.get_or_create_graph("10001", "other").unwrap();
            for _ in 0..50 {
                let value = values[random.below(40) as usize].clone();
                graph.submit(spelled(&value, &mut random)).unwrap();
                jobs.push(value);
                let value = &values[random.below(40) as usize];
                other.submit(spelled(value, &mut random)).unwrap();
            }
            let look = |random: &mut Random| {
                for value in &values {
                    let found = found_sequences(&graph, &spelled(value, random));
                    assert_eq!(found, of_value(&jobs, value), "seed {seed}: {value:?}");
                }
            };
            look(&mut random);
            if stage % 2 == 1 {
                pack(&store, dir);
                look(&mut random);
            }
            store.close().unwrap();
            if stage == 3 {
                lose_index(dir);
            }
        }
    }
}

#[test]
fn another_command_or_url_is_another_request() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let body = || Body::from_json(r#"{"a":1}"#).unwrap();
    let requests = [
        ("c", "/u"),
        ("c", "/U"),
        ("C", "/u"),
        ("c/u", ""),
        ("c", "/u "),
    ]
    .map(|(command, url)| Request::new(command, url, body()).unwrap());
    for request in &requests {
        graph.submit(request.clone()).unwrap();
    }
    for (n, request) in (0..).zip(&requests) {
        assert_eq!(found_sequences(&graph, request), [n]);
    }
}

#[test]
fn members_with_one_key_are_compared_in_their_order() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    for body in [r#"{"k":1,"k":2,"a":0}"#, r#"{"k":2,"k":1,"a":0}"#] {
        graph.submit(request("c", body)).unwrap();
    }
    let again = request("c", r#"{"a":0,"k":1,"k":2}"#);
    assert_eq!(found_sequences(&graph, &again), [0]);
}

#[test]
fn what_is_found_shows_the_state_it_has_when_it_is_read() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let request = request("c", "1");
    let ids: Vec<JobId> = graph.submit_all(vec![request.clone(); 3]).unwrap();
    graph.start(&ids[1]).unwrap();
    let mut matches = graph.find(&request).unwrap();
    // A later job is not shown; later changes to the others are.
    graph.submit(request.clone()).unwrap();
    graph.complete(&ids[1], Outcome::succeeded()).unwrap();
    let states: Vec<_> = matches.by_ref().map(|job| job.unwrap().state()).collect();
    assert_eq!(states, [State::Pending, State::Complete, State::Pending]);
    assert!(matches.next().is_none());
    assert_eq!(found(&graph, &request).len(), 4);
}

#[test]
fn thousands_of_one_request_are_all_found_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = small_segments().open(dir.path()).unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let (same, other) = (request("c", "[1]"), request("c", "[2]"));
    for n in 0..30 {
        let mut batch = vec![same.clone(); 100];
        batch.push(other.clone());
        graph.submit_all(batch).unwrap();
        if n == 20 {
            wait_until_packed(dir.path());
        }
    }
    for _ in 0..2 {
        let expected: Vec<u64> = (0..3030).rev().filter(|n| n % 101 != 100).collect();
        assert_eq!(found_sequences(&graph, &same), expected);
        let expected: Vec<u64> = (0..3030).rev().filter(|n| n % 101 == 100).collect();
        assert_eq!(found_sequences(&graph, &other), expected);
        pack(&store, dir.path());
    }
}

#[test]
fn large_requests_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = small_segments().open(dir.path()).unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let large = |end: char| request("c", &format!("\"{}{end}\"", "é".repeat(200_000)));
    graph
        .submit_all([large('a'), large('b'), large('a')])
        .unwrap();
    for _ in 0..2 {
        assert_eq!(found_sequences(&graph, &large('a')), [2, 0]);
        assert_eq!(found_sequences(&graph, &large('b')), [1]);
        assert_eq!(found_sequences(&graph, &large('c')), [0; 0]);
        pack(&store, dir.path());
    }
}

#[test]
fn a_graph_that_was_dropped_or_a_store_that_was_closed_says_so() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let request = request("c", "1");
    graph.submit(request.clone()).unwrap();
    let mut matches = graph.find(&request).unwrap();
    store.drop_graph("10001", "movie").unwrap();
    let error = graph.find(&request).unwrap_err();
    assert!(matches!(error, Error::GraphDropped { .. }), "{error:?}");
    store.create_graph("10001", "movie").unwrap();
    let again = store.graph("10001", "movie").unwrap();
    assert!(found(&again, &request).is_empty());
    store.close().unwrap();
    let error = matches.next().unwrap().unwrap_err();
    assert!(matches!(error, Error::Closed), "{error:?}");
    assert!(matches.next().is_none());
    assert!(matches!(graph.find(&request), Err(Error::Closed)));
}

#[test]
fn the_same_request_is_the_same_to_submit_as() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let given = request("c", r#"{"a": "\u0041", "b": [1, 2]}"#);
    graph.submit_as("job", given).unwrap();
    let again = request("c", r#"{"b":[1,2],"a":"A"}"#);
    let submitted = graph.submit_as("job", again.clone()).unwrap();
    assert_eq!(
        submitted,
        Submitted::AlreadyExists(JobId::new("job").unwrap())
    );
    assert_eq!(found_sequences(&graph, &again), [0]);
    let other = request("c", r#"{"b":[1.0,2],"a":"A"}"#);
    let error = graph.submit_as("job", other).unwrap_err();
    assert!(matches!(error, Error::JobIdTaken { .. }), "{error:?}");
}

#[test]
fn damaged_fingerprints_are_an_error_and_repaired_without_loss() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    let store = small_segments().open(&whole).unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let of = |n: usize| request("c", &format!("[{n},{}]", n * 7919));
    graph.submit_all((0..300).map(of)).unwrap();
    pack(&store, &whole);
    // If the whole pack is lost, this job shows that there is such a graph.
    graph.submit(of(300)).unwrap();
    store.close().unwrap();
    drop((graph, store));
    let pack = files_ending(&whole, ".pack").remove(0);
    let name = pack.file_name().unwrap();
    let bytes = fs::metadata(&pack).unwrap().len();
    let mut seen_damaged = 0;
    for at in (32..bytes).step_by(331) {
        let damaged = dir.path().join("damaged");
        copy_directory(&whole, &damaged);
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(damaged.join(name));
        let file = file.unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
        if let Ok(store) = small_segments().open(&damaged) {
            let graph = store.graph("10001", "movie").unwrap();
            for n in 0..300 {
                // Correct, or an error; never a different job, never a missing one.
                let matches = graph.find(&of(n)).unwrap();
                match matches.collect::<Result<Vec<Job>, Error>>() {
                    Ok(jobs) => assert_eq!(jobs[0].sequence(), n as u64, "byte {at}"),
                    Err(Error::Damaged { .. }) => seen_damaged += 1,
                    Err(error) => panic!("byte {at}: {error:?}"),
                }
            }
            store.close().unwrap();
        }
        let report = JobStore::verify(&damaged).unwrap();
        assert!(!report.is_sound(), "byte {at}");
        let repaired = JobStore::repair(&damaged).unwrap();
        let store = small_segments().open(&damaged).unwrap();
        // Its name may be among the lost data.
        let mut graphs = store.graphs().unwrap().into_iter();
        let graph = graphs.find(|graph| ["movie", "graph-0"].contains(&graph.name()));
        let graph = graph.unwrap();
        let mut found = 0;
        for n in 0..300 {
            for job in graph.find(&of(n)).unwrap() {
                assert_eq!(job.unwrap().sequence(), n as u64, "byte {at}");
                found += 1;
            }
        }
        assert_eq!(
            found + graph.quarantined().unwrap(),
            300,
            "byte {at}: {repaired}"
        );
        store.close().unwrap();
        drop((graph, store));
        fs::remove_dir_all(&damaged).unwrap();
    }
    assert!(seen_damaged > 0);
}
