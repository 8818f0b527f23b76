//! The GES job-list API, exactly: the success document with its keys in order, the error document,
//! its codes, and the three words for a state.
//!
//! Guarantee: what an engine recorded is listed as the API's documentation shows it, before and
//! after packing, reopening, and the loss of the index.

mod common;

use std::io;

use common::{listed, lose_index, pack, request, shared, small_segments};
use jobstore::{Body, Error, Graph, JobQuery, JobStore, Outcome, Request, State};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The sample from the API's documentation, as printed there.
const SAMPLE: &str = r#"{
    "jobs": [
        {
            "jobId": "62582163123991943683d0f9aa3-f701-48be-a662-360e6a0455da",
            "status": "complete",
            "request": {
                "command": "import_graph",
                "url": "/ges/v1.0/10001/graphs/moviejx/action?action_id=import-graph",
                "body": {
                    "edgesetPath": "file:///root/ges-install/auDatas/ranking_edge-sp.csv",
                    "vertexsetPath": "file:///root/ges-install/auDatas/movies_vertex_new.csv",
                    "schemaPath": "file:///root/ges-install/auDatas/schema_aikv.xml.bak"
                }
            }
        },
        {
            "jobId": "62582163123991943683fe74caf-f4d3-48b3-b3ee-66daaedcd2ca",
            "status": "complete",
            "request": {
                "command": "import_graph",
                "url": "/ges/v1.0/10001/graphs/moviejx/action?action_id=import-graph",
                "body": {
                    "edgesetPath": "file:///root/ges-install/auDatas/ranking_edge-sp.csv",
                    "vertexsetPath": "file:///root/ges-install/auDatas/movies_vertex_new.csv",
                    "schemaPath": "file:///root/ges-install/auDatas/schema_aikv.xml.bak"
                }
            }
        },
        {
            "jobId": "6258216312399194368daa80df3-e3bd-440d-9764-74f4622a550f",
            "status": "complete",
            "request": {
                "command": "import_graph",
                "url": "/ges/v1.0/10001/graphs/moviejx/action?action_id=import-graph",
                "body": {
                    "edgesetPath": "file:///root/ges-install/auDatas/ranking_edge-sp.csv",
                    "vertexsetPath": "file:///root/ges-install/auDatas/movies_vertex_new.csv",
                    "schemaPath": "file:///root/ges-install/auDatas/schema_aikv.xml.bak"
                }
            }
        },
        {
            "jobId": "62582163123991943680ed2761f-01f7-4fbf-b867-0a9aae6d9c12",
            "status": "complete",
            "request": {
                "command": "import_graph",
                "url": "/ges/v1.0/10001/graphs/moviejx/action?action_id=import-graph",
                "body": {
                    "edgesetPath": "file:///root/ges-install/auDatas/ranking_edge-sp.csv",
                    "vertexsetPath": "file:///root/ges-install/auDatas/movies_vertex_new.csv",
                    "schemaPath": "file:///root/ges-install/auDatas/schema_aikv.xml.bak"
                }
            }
        }
    ],
    "result": "success"
}"#;

const FAILURE: &str =
    r#"{"errorMessage":"graph : movidde not exist","errorCode":"GES.8000","result":"failed"}"#;

/// Requests of the kinds that an engine receives, compact.
const REQUESTS: [&str; 10] = [
    r#"{"command":"execute_algorithm","url":"/ges/v1.0/10001/graphs/movie/action?action_id=execute-algorithm","body":{"algorithmName":"pagerank","parameters":{"alpha":0.85,"convergence":0.00001,"max_iterations":1000,"directed":true}}}"#,
    r#"{"command":"execute_algorithm","url":"/ges/v1.0/10001/graphs/movie/action?action_id=execute-algorithm","body":{"parameters":{"k":3,"source":"Lee","mode":"OUT"},"algorithmName":"k_hop"}}"#,
    r#"{"command":"export_graph","url":"/ges/v1.0/10001/graphs/movie/action?action_id=export-graph","body":{"graphExportPath":"bucket/out/","edgeSetName":"set_edge","accessKey":"ak","secretKey":"sk"}}"#,
    r#"{"command":"vertex_filtered_query","url":"/ges/v1.0/10001/graphs/movie/vertices/action?action_id=query","body":{"filters":[{"labelName":{"leftvalue":"movie","predicate":"="}},{"propertyFilter":{"leftvalue":{"property_name":{"name":"Year"}},"predicate":">=","rightvalue":{"value":"1990"}}}],"limit":100}}"#,
    r#"{"command":"clear_graph","url":"/ges/v1.0/10001/graphs/movie/action?action_id=clear-graph","body":{}}"#,
    r#"{"command":"clear_graph","url":"","body":null}"#,
    r#"{"command":"add_property","url":"/a?b=c&d=\"e\"","body":[1,-0,1e400,123456789012345678901234567890,"Фильм 电影 🎬"]}"#,
    r#"{"command":"a \"quoted\"\\command\n","url":"/ü/\u0001","body":"{\"status\":\"complete\"}"}"#,
    r#"{"command":"odd","url":"/x","body":{"jobId":"x\",\"status\":\"pending","status":"running","request":{"command":"y"}}}"#,
    r#"{"command":"dup","url":"/x","body":{"a":1,"a":2,"":{},"\ud83c\udfac":false}}"#,
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<'a> {
    #[serde(borrow)]
    jobs: Vec<Listed<'a>>,
    result: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed<'a> {
    #[serde(rename = "jobId")]
    job_id: &'a str,
    status: &'a str,
    #[serde(borrow)]
    request: &'a RawValue,
}

/// `text` without the white space outside of strings.
fn compact(text: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let mut keep = |c: char| {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            return true;
        }
        in_string = c == '"';
        !c.is_ascii_whitespace()
    };
    text.chars().filter(|&c| keep(c)).collect()
}

/// Runs `look` on the graph as submitted, packed, reopened, and reopened without its index; `fill`
/// records the jobs. Nothing is masked: the sample and the corpus have values under secret keys.
fn unmasked() -> jobstore::Options {
    small_segments().secret_keys([""; 0])
}

fn at_every_stage(fill: impl FnOnce(&Graph), look: impl Fn(&str, &Graph)) {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let store = unmasked().open(dir).unwrap();
    let graph = store.create_graph("10001", "moviejx").unwrap();
    fill(&graph);
    look("as submitted", &graph);
    store.close().unwrap();
    let reopen = || {
        let store = unmasked().open(dir).unwrap();
        let graph = store.graph("10001", "moviejx").unwrap();
        (store, graph)
    };
    let (store, graph) = reopen();
    look("reopened", &graph);
    pack(&store, dir);
    look("packed", &graph);
    store.close().unwrap();
    let (store, graph) = reopen();
    look("packed and reopened", &graph);
    store.close().unwrap();
    lose_index(dir);
    let (_store, graph) = reopen();
    look("without its index", &graph);
}

fn complete(graph: &Graph, id: &str) {
    graph.start(id).unwrap();
    graph.complete(id, Outcome::succeeded()).unwrap();
}

fn record_sample(graph: &Graph) {
    let sample: Document<'_> = serde_json::from_str(SAMPLE).unwrap();
    assert_eq!((sample.jobs.len(), sample.result), (4, "success"));
    for job in &sample.jobs {
        assert_eq!(job.status, "complete");
        let request = Request::from_json(job.request.get()).unwrap();
        graph.submit_as(job.job_id, request).unwrap();
    }
    for job in &sample.jobs {
        complete(graph, job.job_id);
    }
}

#[test]
fn the_documented_sample_comes_out_to_the_letter() {
    let expected = compact(SAMPLE);
    at_every_stage(record_sample, |stage, graph| {
        assert_eq!(listed(graph), expected, "{stage}");
    });
}

#[test]
fn a_store_in_memory_gives_the_documented_sample_too() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "moviejx").unwrap();
    record_sample(&graph);
    assert_eq!(listed(&graph), compact(SAMPLE));
}

#[test]
fn the_samples_quoted_here_are_those_of_the_contract() {
    for (name, quoted) in [
        ("contract/list_success.json", compact(SAMPLE)),
        ("contract/list_failure.json", FAILURE.to_owned()),
    ] {
        if let Some(path) = shared(name) {
            let text = std::fs::read_to_string(path).unwrap();
            assert_eq!(compact(&text), quoted, "{name}");
        }
    }
}

#[test]
fn an_empty_list_is_a_success_with_no_jobs() {
    at_every_stage(
        |_| {},
        |stage, graph| {
            assert_eq!(
                listed(graph),
                r#"{"jobs":[],"result":"success"}"#,
                "{stage}"
            );
        },
    );
}

#[test]
fn an_offset_past_the_end_is_a_success_with_no_jobs() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    graph.submit(request("c", "1")).unwrap();
    for offset in [1, 2, 100_000, u64::MAX] {
        let page = graph.list(JobQuery::new().offset(offset)).unwrap();
        let json = String::from_utf8(page.to_json().unwrap()).unwrap();
        assert_eq!(json, r#"{"jobs":[],"result":"success"}"#, "offset {offset}");
        assert_eq!(page.total().unwrap(), 1);
    }
}

#[test]
fn one_job_is_listed_alone() {
    at_every_stage(
        |graph| {
            let request = Request::new("clear_graph", "/ges?x=1", Body::empty()).unwrap();
            graph.submit_as("only-one", request).unwrap();
        },
        |stage, graph| {
            assert_eq!(
                listed(graph),
                r#"{"jobs":[{"jobId":"only-one","status":"pending","request":{"command":"clear_graph","url":"/ges?x=1","body":{}}}],"result":"success"}"#,
                "{stage}"
            );
        },
    );
}

#[test]
fn a_request_without_a_body_is_recorded_with_an_empty_object() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let request = Request::from_json(r#" {"url" : "/a", "command":"c"} "#).unwrap();
    graph.submit_as("a", request).unwrap();
    assert_eq!(
        listed(&graph),
        r#"{"jobs":[{"jobId":"a","status":"pending","request":{"command":"c","url":"/a","body":{}}}],"result":"success"}"#
    );
}

#[test]
fn the_wire_has_three_words_for_a_state_and_every_end_is_complete() {
    let outcomes = || {
        [
            Outcome::succeeded(),
            Outcome::partially_failed("GES.1", "some"),
            Outcome::failed("GES.2", "all"),
            Outcome::cancelled(),
            Outcome::interrupted(),
        ]
    };
    let fill = |graph: &Graph| {
        for (n, outcome) in outcomes().into_iter().enumerate() {
            let id = format!("ended-{n}");
            graph.submit_as(&id, request("c", "0")).unwrap();
            graph.start(&id).unwrap();
            graph.complete(&id, outcome).unwrap();
        }
        graph.submit_as("waits", request("c", "0")).unwrap();
        graph.submit_as("stopped", request("c", "0")).unwrap();
        graph.cancel("stopped").unwrap();
        graph.submit_as("waits-too", request("c", "0")).unwrap();
    };
    at_every_stage(fill, |stage, graph| {
        let json = listed(graph);
        let document: Document<'_> = serde_json::from_str(&json).unwrap();
        let words: Vec<_> = document.jobs.iter().map(|j| (j.job_id, j.status)).collect();
        assert_eq!(
            words,
            [
                ("ended-0", "complete"),
                ("ended-1", "complete"),
                ("ended-2", "complete"),
                ("ended-3", "complete"),
                ("ended-4", "complete"),
                ("waits", "pending"),
                ("stopped", "complete"),
                ("waits-too", "pending"),
            ],
            "{stage}"
        );
    });
    // A restart interrupts running jobs, so this cannot be a case of the test above.
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    graph.submit_as("runs", request("c", "0")).unwrap();
    graph.start("runs").unwrap();
    assert!(listed(&graph).contains(r#""jobId":"runs","status":"running","request":"#));
    graph.cancel("runs").unwrap();
    assert!(listed(&graph).contains(r#""jobId":"runs","status":"running","request":"#));
    assert_eq!(
        State::ALL.map(State::as_str),
        ["pending", "running", "complete"]
    );
}

/// Submits all lines and checks that each is listed with the same text.
fn come_out_as_they_went_in(lines: &[String]) {
    let ids = std::cell::RefCell::new(Vec::new());
    let fill = |graph: &Graph| {
        for line in lines {
            let request = Request::from_json(line).unwrap();
            assert_eq!(request.as_json(), line);
            ids.borrow_mut().push(graph.submit(request).unwrap());
        }
        // Some are listed in each state; a restart would interrupt running jobs.
        for id in ids.borrow().iter().step_by(3) {
            complete(graph, id.as_str());
        }
    };
    at_every_stage(fill, |stage, graph| {
        let ids = ids.borrow();
        let jobs: Vec<String> = lines
            .iter()
            .zip(ids.iter())
            .enumerate()
            .map(|(n, (line, id))| {
                let status = if n % 3 == 0 { "complete" } else { "pending" };
                format!(r#"{{"jobId":"{id}","status":"{status}","request":{line}}}"#)
            })
            .collect();
        let expected = format!(r#"{{"jobs":[{}],"result":"success"}}"#, jobs.join(","));
        assert_eq!(listed(graph), expected, "{stage}");
        let page = graph.list(JobQuery::new()).unwrap();
        for (line, job) in lines.iter().zip(&page) {
            assert_eq!(job.unwrap().request().as_json(), line, "{stage}");
        }
        for (line, id) in lines.iter().zip(ids.iter()) {
            let job = graph.job(id).unwrap().unwrap();
            assert_eq!(job.request().as_json(), line, "{stage}");
        }
    });
}

#[test]
fn requests_come_out_of_the_list_with_the_text_they_went_in_with() {
    come_out_as_they_went_in(&REQUESTS.map(str::to_owned));
}

#[test]
fn every_line_of_the_shared_corpus_comes_out_with_the_same_text() {
    let Some(corpus) = shared("corpus") else {
        return;
    };
    let mut lines = Vec::new();
    for name in common::names_in(&corpus) {
        if name.ends_with(".jsonl") {
            let text = std::fs::read_to_string(corpus.join(name)).unwrap();
            lines.extend(text.lines().map(str::to_owned));
        }
    }
    assert!(!lines.is_empty(), "the corpus has no lines");
    come_out_as_they_went_in(&lines);
}

#[test]
fn an_unknown_graph_is_the_documented_failure_to_the_letter() {
    let store = JobStore::in_memory().unwrap();
    store.create_graph("10001", "movie").unwrap();
    let error = store.graph("10001", "movidde").unwrap_err();
    let failure = error.api_error();
    assert_eq!((failure.status, failure.code), (400, "GES.8000"));
    assert_eq!(failure.message, "graph : movidde not exist");
    assert_eq!(failure.to_json(), FAILURE);
}

#[test]
fn a_failure_is_json_whatever_was_asked_for() {
    let store = JobStore::in_memory().unwrap();
    for name in ["a\"b", "a\\", "a\nb\u{1}", "\u{2028}", "", "電影"] {
        let failure = store.graph("10001", name).unwrap_err().api_error();
        let value: serde_json::Value = serde_json::from_str(&failure.to_json()).unwrap();
        assert_eq!(value["errorMessage"], format!("graph : {name} not exist"));
        assert_eq!(value["errorCode"], "GES.8000");
        assert_eq!(value["result"], "failed");
        assert_eq!(value.as_object().unwrap().len(), 3);
    }
}

#[test]
fn each_kind_of_error_has_the_contracts_status_code_and_message() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("store");
    let store = JobStore::open(&at).unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let dropped = store.create_graph("10001", "gone").unwrap();
    store.drop_graph("10001", "gone").unwrap();
    graph.submit_as("taken", request("c", "1")).unwrap();
    let in_use = JobStore::open(&at).unwrap_err();
    let not_a_store = JobStore::open(dir.path()).unwrap_err();
    struct Full;
    impl io::Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::other("the client went away"))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let page = graph.list(JobQuery::new()).unwrap();
    let output = page.write_json(Full).unwrap_err();
    drop(page);
    let limit = |limit| graph.list(JobQuery::new().limit(limit)).unwrap_err();
    let unavailable = "engine service unavailable";
    let fault = "job query error";
    let mut cases: Vec<(Error, u16, &str, &str)> = vec![
        (
            graph.start("lost").unwrap_err(),
            400,
            "GES.8301",
            "can not find job, jobId is lost",
        ),
        (
            dropped.list(JobQuery::new()).unwrap_err(),
            400,
            "GES.8000",
            "graph : gone not exist",
        ),
        (
            limit(0),
            400,
            "GES.8000",
            "invalid value 0 for parameter limit: it must be 1 to 100000",
        ),
        (
            limit(100_001),
            400,
            "GES.8000",
            "invalid value 100001 for parameter limit: it must be 1 to 100000",
        ),
        (in_use, 503, "GES.8602", unavailable),
        (not_a_store, 500, "GES.8302", fault),
        (output, 500, "GES.8302", fault),
    ];
    // All other invalid input is an error of the caller, and the message says what is wrong.
    for error in [
        "nonsense".parse::<jobstore::Cursor>().unwrap_err(),
        graph.job("no id").unwrap_err(),
        graph.submit_as("taken", request("c", "2")).unwrap_err(),
        graph.complete("taken", Outcome::succeeded()).unwrap_err(),
        store.create_graph("10001", "movie").unwrap_err(),
        store.create_graph("10001", "mo/vie").unwrap_err(),
        Request::new("", "/", Body::empty()).unwrap_err(),
        Request::new("c", "x".repeat(9000), Body::empty()).unwrap_err(),
        Body::from_json("{").unwrap_err(),
        Body::from_json("[".repeat(200) + &"]".repeat(200)).unwrap_err(),
        Outcome::succeeded()
            .with_result_ref("x".repeat(2000))
            .unwrap_err(),
        store.backup(dir.path()).unwrap_err(),
    ] {
        let failure = error.api_error();
        assert_eq!(
            (failure.status, failure.code),
            (400, "GES.8000"),
            "{error:?}"
        );
        assert_eq!(failure.message, error.to_string());
    }
    store.close().unwrap();
    cases.push((
        graph.list(JobQuery::new()).unwrap_err(),
        503,
        "GES.8602",
        unavailable,
    ));
    cases.push((
        store.graph("10001", "movie").unwrap_err(),
        503,
        "GES.8602",
        unavailable,
    ));
    for (error, status, code, message) in cases {
        let failure = error.api_error();
        assert_eq!(failure.status, status, "{error:?}");
        assert_eq!(failure.code, code, "{error:?}");
        assert_eq!(failure.message, message, "{error:?}");
        assert_eq!(
            failure.to_json(),
            format!(r#"{{"errorMessage":"{message}","errorCode":"{code}","result":"failed"}}"#)
        );
    }
}

#[test]
fn a_document_that_was_cut_off_is_no_json() {
    struct Short(Vec<u8>, usize);
    impl io::Write for &mut Short {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0.len() + bytes.len() > self.1 {
                return Err(io::Error::new(io::ErrorKind::BrokenPipe, "gone"));
            }
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let body = format!("\"{}\"", "y".repeat(10_000));
    graph.submit_all(vec![request("c", &body); 60]).unwrap();
    let page = graph.list(JobQuery::new()).unwrap();
    let mut short = Short(Vec::new(), 400_000);
    let error = page.write_json(&mut short).unwrap_err();
    assert!(
        matches!(
            &error,
            Error::Output {
                kind: io::ErrorKind::BrokenPipe,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(error.to_string().contains("gone"), "{error}");
    assert!(!short.0.is_empty());
    assert!(page.to_json().unwrap().starts_with(&short.0));
    let cut: Result<serde_json::Value, _> = serde_json::from_slice(&short.0);
    assert!(cut.is_err());
}
