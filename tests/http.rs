//! The routes, over real sockets.
//!
//! Promise: what a client gets is the contract's answer to the byte, or the contract's
//! failure; nobody sees what is not theirs, and nobody sees a secret.

mod common;
#[path = "common/http.rs"]
mod net;

use std::io::Read;

use axum::Router;
use common::{files_ending, pack, request, shared, small_segments};
use jobstore::http::{Access, Limits, Routes, metrics, no_such_resource, openapi};
use jobstore::{Cursor, Graph, JobStore, List, Outcome, Request, State};
use net::{Answer, Server};
use proptest::prelude::*;

const LIST: &str = "/ges/v1.0/10001/graphs/movie/jobs/status";
const CANARY: &str = "c4n4ry";

fn job_path(id: &str) -> String {
    format!("/ges/v1.0/10001/graphs/movie/jobs/{id}/status")
}

fn cancel_path(id: &str) -> String {
    format!("/ges/v1.0/10001/graphs/movie/jobs/{id}")
}

fn app(routes: &Routes) -> Router {
    Router::new().merge(routes.all()).fallback(no_such_resource)
}

fn serve(store: &JobStore) -> Server {
    Server::start(app(&Routes::new(store)))
}

/// A store with jobs of every state, the last of them complete.
fn filled() -> (JobStore, Graph, Server) {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("10001", "movie").unwrap();
    for n in 0..30 {
        let id = format!("job-{n}");
        let body = format!(r#"{{"n":{n},"x":0.00001,"secretKey":"{CANARY}"}}"#);
        movie
            .submit_as(&id, request("import_graph", &body))
            .unwrap();
        if n % 3 > 0 {
            movie.start(&id).unwrap();
        }
        if n % 3 > 1 {
            let outcome = match n % 2 {
                0 => Outcome::succeeded(),
                _ => Outcome::failed("GES.8012", "no such vertex"),
            };
            movie.complete(&id, outcome).unwrap();
        }
    }
    let server = serve(&store);
    (store, movie, server)
}

fn page(movie: &Graph, list: List) -> String {
    String::from_utf8(movie.list(list).unwrap().to_json().unwrap()).unwrap()
}

#[test]
fn a_list_is_the_contracts_sample_to_the_byte() {
    let store = JobStore::options()
        .secret_keys([""; 0])
        .in_memory()
        .unwrap();
    let movie = store.create_graph("10001", "movie").unwrap();
    let sample = concat!(
        r#"{"jobs":[{"jobId":"b64dc73b-54fd-4a52-8f01-9c4a0b3b2c9e000000001","status":"complete","#,
        r#""request":{"command":"import_graph","url":"/ges/v1.0/10001/graphs/movie/action","#,
        r#""body":{"edgesetPath":"a/b.csv","x":0.00001,"n":123456789012345678901234567890}}}],"#,
        r#""result":"success"}"#
    );
    let own = [(sample.to_owned(), "own")];
    let contract = shared("contract/list_success.json")
        .map(|path| (std::fs::read_to_string(path).unwrap(), "the contract's"));
    let server = serve(&store);
    for (text, what) in own.into_iter().chain(contract) {
        let graph = store.graph_or_create("10001", what).unwrap();
        #[derive(serde::Deserialize)]
        struct Document<'a> {
            #[serde(borrow)]
            jobs: Vec<Listed<'a>>,
        }
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Listed<'a> {
            job_id: &'a str,
            #[serde(borrow)]
            request: &'a serde_json::value::RawValue,
        }
        let document: Document<'_> = serde_json::from_str(&text).unwrap();
        let mut expected = String::new();
        for job in &document.jobs {
            let request = Request::from_json(job.request.get()).unwrap();
            let wire = request.as_json().to_owned();
            graph.submit_as(job.job_id, request).unwrap();
            graph
                .run(job.job_id)
                .unwrap()
                .complete(Outcome::succeeded())
                .unwrap();
            let comma = if expected.is_empty() { "" } else { "," };
            expected += &format!(
                r#"{comma}{{"jobId":"{}","status":"complete","request":{wire}}}"#,
                job.job_id
            );
        }
        let expected = format!(r#"{{"jobs":[{expected}],"result":"success"}}"#);
        let name = what.replace(' ', "%20").replace('\'', "%27");
        let path = format!("/ges/v1.0/10001/graphs/{name}/jobs/status?limit=100000&offset=0");
        let answer = server.get(&path);
        assert_eq!(answer.ok(), expected, "{what}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    drop(movie);
}

#[test]
fn pages_and_filters_are_those_of_the_library() {
    let (_store, movie, server) = filled();
    for (query, list) in [
        ("", List::new()),
        ("?limit=7", List::new().limit(7)),
        ("?offset=28&limit=7", List::new().offset(28).limit(7)),
        ("?offset=31", List::new().offset(31)),
        ("?state=running", List::new().state(State::Running)),
        (
            "?state=pending,complete&limit=3",
            List::new()
                .state(State::Pending)
                .state(State::Complete)
                .limit(3),
        ),
        (
            "?outcome=failed&order=newest",
            List::new()
                .outcome(jobstore::OutcomeKind::Failed)
                .newest_first(),
        ),
        (
            "?command=import_graph&offset=2",
            List::new().command("import_graph").offset(2),
        ),
        ("?command=none", List::new().command("none")),
        (
            "?body_pointer=/n&body_value=7",
            List::new().body_value("/n", "7"),
        ),
        (
            "?body_contains=%22n%22%3A1",
            List::new().body_contains(r#""n":1"#),
        ),
        (
            "?url_prefix=/ges&url_contains=s",
            List::new().url_prefix("/ges").url_contains("s"),
        ),
        ("?submitted_from=1970-01-01T00:00:00Z", List::new()),
        (
            "?submitted_before=1",
            List::new().submitted_before(std::time::UNIX_EPOCH),
        ),
    ] {
        let answer = server.get(&format!("{LIST}{query}"));
        assert_eq!(answer.ok(), page(&movie, list), "{query}");
    }
    assert_eq!(
        server.get(&format!("{LIST}?offset=1000")).ok(),
        r#"{"jobs":[],"result":"success"}"#
    );
}

#[test]
fn a_walk_by_cursor_shows_every_job_once() {
    let (_store, movie, server) = filled();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = server.get(&format!("{LIST}?limit=7{cursor}"));
        let document: serde_json::Value = serde_json::from_str(answer.ok()).unwrap();
        let jobs = document["jobs"].as_array().unwrap().iter();
        seen.extend(jobs.map(|job| job["jobId"].as_str().unwrap().to_owned()));
        assert_eq!(answer.header("x-total-count"), Some("30"));
        match answer.header("x-next-cursor") {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, common::ids(&movie.list(List::new()).unwrap()));
    let next = movie.list(List::new().limit(1)).unwrap().next().unwrap();
    let foreign: Cursor = next.to_string().parse().unwrap();
    let refused = server.get(&format!("{LIST}?state=running&cursor={foreign}"));
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("cursor"), "{refused:?}");
}

#[test]
fn one_job_is_listed_by_its_id() {
    let (_store, movie, server) = filled();
    let one = page(&movie, List::new().offset(7).limit(1));
    assert_eq!(server.get(&format!("{LIST}?job_id=job-7")).ok(), one);
    for id in ["job-99", "no%20id", ""] {
        let shown = id.replace("%20", " ");
        server.get(&format!("{LIST}?job_id={id}")).is_failure(
            400,
            "GES.8301",
            &format!("can not find job, jobId is {shown}"),
        );
    }
    movie.purge(List::new().body_value("/n", "2")).unwrap();
    let purged = server.get(&format!("{LIST}?job_id=job-2"));
    assert_eq!(purged.status, 400);
    let text = purged.text();
    assert!(text.contains(r#""errorCode":"GES.8301""#), "{text}");
    assert!(text.contains("job job-2 was purged at 20"), "{text}");
}

#[test]
fn a_wrong_parameter_is_named_with_what_was_given_and_is_allowed() {
    let (_store, _movie, server) = filled();
    for (query, words) in [
        ("limit=0", ["limit", "0", "1..=100000"]),
        ("limit=100001", ["limit", "100001", "1..=100000"]),
        ("limit=-1", ["limit", "-1", "1..=100000"]),
        ("limit=", ["limit", "", "1..=100000"]),
        ("limit=1e3", ["limit", "1e3", "1..=100000"]),
        (
            "limit=99999999999999999999",
            ["limit", "9999999", "1..=100000"],
        ),
        ("offset=-1", ["offset", "-1", "0 or more"]),
        ("offset=x", ["offset", "x", "0 or more"]),
        ("limit=1&limit=2", ["limit", "2", "once"]),
        ("stat=running", ["stat", "not known", "state"]),
        (
            "state=success",
            ["state", "success", "pending, running or complete"],
        ),
        ("outcome=done", ["outcome", "done", "succeeded"]),
        (
            "submitted_from=yesterday",
            ["submitted_from", "yesterday", "1970"],
        ),
        ("order=up", ["order", "up", "oldest or newest"]),
        ("cursor=zz", ["cursor", "not", "cursor"]),
        ("detail=yes", ["detail", "yes", "true or false"]),
        ("body_pointer=/a", ["body_pointer", "/a", "body_value"]),
        ("body_pointer=a&body_value=1", ["pointer", "a", ""]),
        (
            "job_id=job-1&state=running",
            ["job_id", "job-1", "without a filter"],
        ),
        ("limit=%ff", ["%ff", "UTF-8", "encode"]),
    ] {
        let answer = server.get(&format!("{LIST}?{query}"));
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
        let document: serde_json::Value = serde_json::from_str(answer.text()).unwrap();
        assert_eq!(document["errorCode"], "GES.8000", "{query}");
        let message = document["errorMessage"].as_str().unwrap();
        for word in words {
            assert!(message.contains(word), "{query}: {message}");
        }
    }
}

#[test]
fn what_is_not_there_is_said_in_the_contracts_words() {
    let (store, _movie, server) = filled();
    let unknown = LIST.replace("movie", "movidde");
    let message = "graph : movidde not exist";
    server.get(&unknown).is_failure(400, "GES.8000", message);
    server.get(&LIST.replace("10001", "10002")).is_failure(
        400,
        "GES.8000",
        "graph : movie not exist",
    );
    for path in ["/", "/ges", "/ges/v1.0/10001/graphs/movie/jobs", "/health"] {
        server
            .get(path)
            .is_failure(404, "GES.8000", "no such resource");
    }
    let wrong = server.ask("POST", LIST, &[]);
    assert_eq!(
        (wrong.status, wrong.header("allow")),
        (405, Some("GET,HEAD"))
    );
    assert!(wrong.text().starts_with(r#"{"errorMessage":"#));
    store.close().unwrap();
    server
        .get(LIST)
        .is_failure(503, "GES.8602", "engine service unavailable");
}

#[test]
fn a_jobs_state_is_told_in_its_four_words() {
    let (_store, movie, server) = filled();
    movie.submit_as("calm", request("c", "{}")).unwrap();
    movie.cancel("calm").unwrap();
    for (id, word) in [
        ("job-0", "pending"),
        ("job-1", "running"),
        ("job-2", "success"),
        ("job-5", "failed"),
        ("calm", "failed"),
    ] {
        let answer = server.get(&job_path(id));
        let begin = format!(r#"{{"jobId":"{id}","status":"{word}""#);
        assert!(answer.ok().starts_with(&begin), "{answer:?}");
    }
    server.get(&job_path("job-99")).is_failure(
        400,
        "GES.8301",
        "can not find job, jobId is job-99",
    );
}

#[test]
fn a_job_is_called_off() {
    let (_store, movie, server) = filled();
    for id in ["job-0", "job-1", "job-2", "job-0"] {
        let answer = server.ask("DELETE", &cancel_path(id), &[]);
        assert_eq!(answer.ok(), "{}", "{id}");
    }
    assert_eq!(
        movie.job("job-0").unwrap().unwrap().state(),
        State::Complete
    );
    assert!(movie.job("job-1").unwrap().unwrap().cancel_requested());
    for id in ["job-99", "no%20id"] {
        let shown = id.replace("%20", " ");
        server.ask("DELETE", &cancel_path(id), &[]).is_failure(
            400,
            "GES.8303",
            &format!("can not find job to cancel, id is {shown}"),
        );
    }
}

#[test]
fn a_token_sees_its_own_project_and_cannot_tell_what_others_have() {
    let (store, _movie, _open) = filled();
    store.create_graph("10002", "secret").unwrap();
    let routes = Routes::new(&store).authorize(|caller| async move {
        let token = caller.token.as_ref().map(|token| token.as_str());
        match (token, caller.project_id.as_str()) {
            (Some("good"), "10001") => Access::Granted,
            (Some("good"), _) => Access::Refused,
            _ => Access::Unknown,
        }
    });
    let server = Server::start(app(&routes));
    let ask = |method: &str, path: &str, token: &str| {
        server.ask(method, path, &[("X-Auth-Token", token)])
    };
    assert!(ask("GET", LIST, "good").ok().starts_with(r#"{"jobs":[{"#));
    for (method, path) in [
        ("GET", LIST.to_owned()),
        ("GET", job_path("job-1")),
        ("DELETE", cancel_path("job-1")),
    ] {
        for answer in [ask(method, &path, "bad"), server.ask(method, &path, &[])] {
            answer.is_failure(401, "GES.8007", "invalid or missing token");
        }
        let theirs = path.replace("10001", "10002").replace("movie", "secret");
        let none = path.replace("10001", "10003").replace("movie", "none");
        for path in [theirs, none] {
            ask(method, &path, "good").is_failure(403, "GES.8020", "no permission");
        }
    }
    assert!(!ask("GET", LIST, "good").text().contains("cancelRequested"));
}

#[test]
fn details_and_totals_come_only_when_they_are_asked_for() {
    let (_store, movie, server) = filled();
    let run = movie.run("job-0").unwrap();
    run.progress(40, "iterating");
    let answer = server.get(&format!("{LIST}?detail=true&limit=9"));
    let document: serde_json::Value = serde_json::from_str(answer.ok()).unwrap();
    assert_eq!(document["totalCount"], 30);
    let jobs = document["jobs"].as_array().unwrap();
    assert_eq!(
        (&jobs[0]["progress"], &jobs[0]["status"]),
        (&40.into(), &"running".into())
    );
    assert_eq!(jobs[5]["failReason"], "no such vertex");
    assert_eq!(jobs[5]["outcome"]["code"], "GES.8012");
    for (n, job) in jobs.iter().enumerate() {
        assert!(job["submitTime"].as_u64().is_some());
        assert_eq!(job["endTime"].is_null(), n % 3 != 2, "{job}");
    }
    assert!(!answer.text().contains(CANARY));
    run.leave();
    let plain = server.get(&format!("{LIST}?limit=9"));
    assert!(!plain.ok().contains("submitTime"));
    let scanned = server.get(&format!(
        "{LIST}?command=import_graph&limit=1&count_total=true"
    ));
    assert_eq!(scanned.header("x-total-count"), Some("30"));
}

#[test]
fn answers_are_compressed_where_the_client_takes_it() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("10001", "movie").unwrap();
    movie
        .submit_all((0..3000).map(|n| request("c", &format!("[{n}]"))))
        .unwrap();
    let server = serve(&store);
    let plain = server.get(LIST);
    let ask = |encoding: &str| server.ask("GET", LIST, &[("Accept-Encoding", encoding)]);
    let gzip = ask("gzip");
    assert!(gzip.is_whole && gzip.body.len() * 3 < plain.body.len());
    assert_eq!(gzip.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(&gzip.body[..])
        .read_to_string(&mut text)
        .unwrap();
    assert!(text == plain.ok());
    let zstd = ask("gzip;q=0.1, zstd");
    assert_eq!(zstd.header("content-encoding"), Some("zstd"));
    assert!(zstd::decode_all(&zstd.body[..]).unwrap() == plain.body);
    for encoding in ["identity", "br", "gzip;q=0, zstd;q=0"] {
        let answer = ask(encoding);
        assert!(answer.header("content-encoding").is_none(), "{encoding}");
        assert!(answer.ok() == plain.ok());
    }
}

#[test]
fn a_head_is_the_answer_without_its_body_and_requests_have_ids() {
    let (_store, _movie, server) = filled();
    let head = server.ask("HEAD", LIST, &[("X-Request-Id", "mine-1")]);
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("x-request-id"), Some("mine-1"));
    let made = |answer: &Answer| answer.header("x-request-id").unwrap().to_owned();
    let (first, second) = (server.get(LIST), server.get(LIST));
    assert_ne!(made(&first), made(&second));
    let refused = server.ask("GET", LIST, &[("X-Request-Id", "no way {}")]);
    assert_ne!(refused.header("x-request-id"), Some("no way {}"));
}

#[test]
fn each_route_can_be_mounted_alone() {
    let (store, _movie, _all) = filled();
    let routes = Routes::new(&store);
    let own = axum::routing::get(|| async { "the engine's own" });
    let app = Router::new()
        .merge(routes.list())
        .route("/ges/v1.0/{project}/graphs/{graph}/jobs/{job}/status", own);
    let server = Server::plain(app);
    assert!(server.get(LIST).ok().starts_with(r#"{"jobs":["#));
    assert_eq!(server.get(&job_path("job-1")).ok(), "the engine's own");
    assert_eq!(server.ask("DELETE", &cancel_path("job-1"), &[]).status, 404);
}

#[test]
fn a_damaged_store_is_a_fault_whose_details_stay_inside() {
    let dir = tempfile::tempdir().unwrap();
    let store = small_segments().open(dir.path()).unwrap();
    let movie = store.create_graph("10001", "movie").unwrap();
    movie
        .submit_as("first", request("c", &format!("\"{}\"", "x".repeat(900))))
        .unwrap();
    pack(&store, dir.path());
    for path in files_ending(dir.path(), ".pack") {
        use std::os::unix::fs::FileExt;
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(&[0x55; 24], 40).unwrap();
    }
    let server = serve(&store);
    server
        .get(LIST)
        .is_failure(500, "GES.8302", "job query error");
    server
        .get(&job_path("first"))
        .is_failure(500, "GES.8302", "job query error");
}

#[test]
fn beyond_the_bounds_one_is_told_to_come_again() {
    let (store, _movie, _open) = filled();
    let many = (0..3000).map(|n| request("c", &format!("[{n}]")));
    store
        .graph("10001", "movie")
        .unwrap()
        .submit_all(many)
        .unwrap();
    let limits = Limits::new().long_pages(0).scans(0);
    let server = Server::start(app(&Routes::new(&store).limits(limits)));
    server
        .get(LIST)
        .is_failure(503, "GES.8602", "engine service unavailable");
    server.get(&format!("{LIST}?command=c&limit=1")).is_failure(
        503,
        "GES.8602",
        "engine service unavailable",
    );
    // Long pages keep nobody from a short one.
    assert!(server.get(&format!("{LIST}?limit=10")).is_whole);
}

#[test]
fn no_answer_has_a_secret() {
    let (store, _movie, server) = filled();
    for path in [
        LIST.to_owned(),
        format!("{LIST}?detail=true"),
        format!("{LIST}?order=newest&limit=3"),
        job_path("job-2"),
        format!("{LIST}?body_contains={CANARY}"),
    ] {
        let answer = server.get(&path);
        assert!(!answer.ok().contains(CANARY), "{path}");
    }
    // It cannot be guessed either.
    let none = server.get(&format!("{LIST}?body_contains={CANARY}"));
    assert_eq!(none.ok(), r#"{"jobs":[],"result":"success"}"#);
    assert!(!metrics(&store).unwrap().contains(CANARY));
}

#[test]
fn metrics_are_prometheus_text_and_the_document_is_openapi() {
    let (store, _movie, _server) = filled();
    let text = metrics(&store).unwrap();
    assert!(text.contains("jobstore_jobs{") && text.ends_with('\n'));
    let mut series = 0;
    for line in text.lines() {
        if line.starts_with("# HELP ") || line.starts_with("# TYPE ") {
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("jobstore_"), "{line}");
        assert!(value == "+Inf" || value.parse::<f64>().is_ok(), "{line}");
        series += 1;
    }
    assert!(series > 20);
    let document: serde_json::Value = serde_json::from_str(openapi()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["paths"].as_object().unwrap().len(), 3);
}

#[test]
fn the_example_alerts_are_about_metrics_that_there_are() {
    let (store, movie, _server) = filled();
    movie.run_next().unwrap().unwrap().leave();
    let text = metrics(&store).unwrap();
    let rules = include_str!("../examples/alerts.yml");
    let rules = rules.lines().filter(|line| line.contains("expr:"));
    let mut names = 0;
    for rule in rules {
        for word in rule.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            if word.starts_with("jobstore_") {
                assert!(text.contains(word), "{word}");
                names += 1;
            }
        }
    }
    assert!(names >= 10);
}

#[test]
fn whatever_is_asked_is_answered_in_the_contracts_form() {
    let (_store, _movie, server) = filled();
    let keys = "(limit|offset|job_id|state|outcome|command|order|cursor|detail|x|submitted_from)";
    let pair = format!("{keys}=[0-9a-zA-Z%,:+.{{}}\"-]{{0,12}}");
    let queries = proptest::collection::vec(pair.as_str(), 0..4).prop_map(|pairs| pairs.join("&"));
    let any = prop_oneof![queries, "[!-~&&[^#\"<>\\\\^`{}|]]{0,40}"];
    let config = ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(query in any)| {
        let query = query.replace(['"', '{', '}'], "%22");
        let answer = server.get(&format!("{LIST}?{query}"));
        prop_assert!(answer.is_whole);
        let document: serde_json::Value = serde_json::from_str(answer.text()).unwrap();
        match answer.status {
            200 => prop_assert_eq!(&document["result"], "success"),
            400 => {
                prop_assert_eq!(&document["result"], "failed");
                prop_assert!(document["errorMessage"].is_string());
            }
            other => prop_assert!(false, "{other} for {query}"),
        }
    });
}
