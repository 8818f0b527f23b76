//! The job list over HTTP, by real sockets.
//!
//! Promise proved: what a client gets is the contract's answer or the contract's failure;
//! additions change nothing for who does not ask for them; who is refused learns nothing;
//! no secret and no token leaves by an answer or a log.

mod common;
#[path = "common/http.rs"]
mod http;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use common::request;
use http::{Answer, Server};
use jobstore::http::{Access, Action, Limits, Routes, metrics, no_such_resource, openapi};
use jobstore::{Body, Graph, JobStore, List, Outcome, Request};
use serde_json::Value;

/// The documentation's sample, compact; its four jobs have the same request.
const IDS: [&str; 4] = [
    "62582163123991943683d0f9aa3-f701-48be-a662-360e6a0455da",
    "62582163123991943683fe74caf-f4d3-48b3-b3ee-66daaedcd2ca",
    "6258216312399194368daa80df3-e3bd-440d-9764-74f4622a550f",
    "62582163123991943680ed2761f-01f7-4fbf-b867-0a9aae6d9c12",
];
const REQUEST: &str = concat!(
    r#"{"command":"import_graph","url":"/ges/v1.0/10001/graphs/moviejx/action?action_id=import-graph","#,
    r#""body":{"edgesetPath":"file:///root/ges-install/auDatas/ranking_edge-sp.csv","#,
    r#""vertexsetPath":"file:///root/ges-install/auDatas/movies_vertex_new.csv","#,
    r#""schemaPath":"file:///root/ges-install/auDatas/schema_aikv.xml.bak"}}"#
);

const LIST: &str = "/ges/v1.0/10001/graphs/moviejx/jobs/status";

fn sample() -> String {
    let job = |id| format!(r#"{{"jobId":"{id}","status":"complete","request":{REQUEST}}}"#);
    let jobs = IDS.map(job).join(",");
    format!(r#"{{"jobs":[{jobs}],"result":"success"}}"#)
}

fn app(routes: &Routes) -> Router {
    routes.all().fallback(no_such_resource)
}

fn serve(store: &JobStore) -> Server {
    Server::start(app(&Routes::new(store)))
}

/// A store with the sample's graph, and a server over it.
fn with_sample() -> (JobStore, Graph, Server) {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "moviejx").unwrap();
    for id in IDS {
        let request = Request::from_json(REQUEST).unwrap();
        graph.submit_as(id, request).unwrap();
        graph
            .run(id)
            .unwrap()
            .complete(Outcome::succeeded())
            .unwrap();
    }
    let server = serve(&store);
    (store, graph, server)
}

/// Jobs `job-0`.. of this many bytes each, pending.
fn fill(graph: &Graph, jobs: usize, bytes: usize) {
    let body = format!(r#""{}""#, "x".repeat(bytes));
    for n in 0..jobs {
        graph
            .submit_as(format!("job-{n}"), request("fill", &body))
            .unwrap();
    }
}

fn page(graph: &Graph, list: List) -> String {
    String::from_utf8(graph.list(list).unwrap().to_json().unwrap()).unwrap()
}

fn ids_in(text: &str) -> Vec<String> {
    let document: Value = serde_json::from_str(text).unwrap();
    let jobs = document["jobs"].as_array().unwrap().iter();
    jobs.map(|job| job["jobId"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_documented_sample_comes_to_the_letter() {
    let (_store, _graph, server) = with_sample();
    let answer = server.get(&format!("{LIST}?limit=100000&offset=0"));
    assert_eq!(answer.ok(), sample());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let length = sample().len().to_string();
    assert_eq!(answer.header("content-length"), Some(length.as_str()));
    assert_eq!(answer.header("x-total-count"), Some("4"));
    assert_eq!(answer.header("x-next-cursor"), None);
    assert_eq!(server.get(LIST).ok(), sample());
    assert_eq!(server.get(&format!("{LIST}?")).ok(), sample());
}

#[test]
fn without_additions_the_bytes_are_the_pages_own_however_long() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "moviejx").unwrap();
    // Lengths around that of a piece, and a body that is stored in pieces.
    for (n, bytes) in [10, 65_400, 65_536, 1_000_000, 0, 70_000]
        .into_iter()
        .enumerate()
    {
        let body = format!(r#"{{"n":0.00001,"x":"{}"}}"#, "é".repeat(bytes / 2));
        graph
            .submit_as(format!("job-{n}"), request("c", &body))
            .unwrap();
    }
    let server = serve(&store);
    for offset in 0..7 {
        for limit in 1..7 {
            let answer = server.get(&format!("{LIST}?offset={offset}&limit={limit}"));
            let expected = page(&graph, List::new().offset(offset).limit(limit));
            assert!(answer.ok() == expected, "{offset} {limit}");
            let is_long = answer.header("content-length").is_none();
            assert_eq!(is_long, expected.len() >= 65_536, "{offset} {limit}");
        }
    }
}

#[test]
fn head_says_the_same_without_the_body() {
    let (_store, _graph, server) = with_sample();
    for path in [
        LIST.to_owned(),
        format!("{}/status", LIST.replace("status", IDS[0])),
    ] {
        let (get, head) = (server.get(&path), server.ask("HEAD", &path, &[]));
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        for name in [
            "content-type",
            "content-length",
            "x-total-count",
            "cache-control",
        ] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
    }
    assert_eq!(
        server.ask("HEAD", &format!("{LIST}?limit=0"), &[]).status,
        400
    );
}

#[test]
fn every_error_of_the_contracts_table_comes_in_its_form() {
    let (store, graph, server) = with_sample();
    let at = |path: &str| server.get(&format!("/ges/v1.0/10001/graphs/{path}"));
    at("movidde/jobs/status").is_failure(400, "GES.8000", "graph : movidde not exist");
    let other = server.get(&LIST.replace("10001", "10002"));
    other.is_failure(400, "GES.8000", "graph : moviejx not exist");
    for (given, shown) in [
        ("0", "0"),
        ("100001", "100001"),
        ("-1", "-1"),
        ("%2B1", "+1"),
        ("1.0", "1.0"),
        ("abc", "abc"),
        ("", ""),
        ("18446744073709551616", "18446744073709551616"),
    ] {
        let message = format!(
            "parameter limit is {shown:?}, it must be a whole number in 1..=100000; \
             correct it or leave it out"
        );
        at(&format!("moviejx/jobs/status?limit={given}")).is_failure(400, "GES.8000", &message);
    }
    at("moviejx/jobs/status?offset=-1").is_failure(
        400,
        "GES.8000",
        "parameter offset is \"-1\", it must be a whole number of 0 or more; correct it or leave \
         it out",
    );
    at("moviejx/jobs/status?job_id=nope").is_failure(
        400,
        "GES.8301",
        "can not find job, jobId is nope",
    );
    at("moviejx/jobs/nope/status").is_failure(400, "GES.8301", "can not find job, jobId is nope");
    let unusable = "can not find job, jobId is a job";
    at("moviejx/jobs/status?job_id=a+job").is_failure(400, "GES.8301", unusable);
    at("moviejx/jobs/a%20job/status").is_failure(400, "GES.8301", unusable);
    let cancel = |id: &str| server.ask("DELETE", &LIST.replace("status", id), &[]);
    cancel("nope").is_failure(400, "GES.8303", "can not find job to cancel, id is nope");
    cancel("a%20job").is_failure(400, "GES.8303", "can not find job to cancel, id is a job");
    for path in [
        "/",
        "/ges",
        "/ges/v1.0/10001/graphs/moviejx/jobs",
        "/ges/v1.0/10001/graphs/moviejx/jobs/x/y",
    ] {
        server
            .get(path)
            .is_failure(404, "GES.8000", "no such resource");
    }
    // What is no text names nothing.
    at("%FF/jobs/status").is_failure(404, "GES.8000", "no such resource");
    let message = "the method is not allowed here; the header Allow names those that are";
    for (method, path, allow) in [
        ("POST", LIST.to_owned(), "GET,HEAD"),
        ("DELETE", LIST.to_owned(), "GET,HEAD"),
        ("PUT", LIST.replace("status", "x/status"), "GET,HEAD"),
        ("GET", LIST.replace("status", "x"), "DELETE"),
    ] {
        let answer = server.ask(method, &path, &[]);
        answer.is_failure(405, "GES.8000", message);
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
    graph.purge(List::new().command("none")).unwrap();
    store.close().unwrap();
    for path in [LIST.to_owned(), LIST.replace("status", "x/status")] {
        server
            .get(&path)
            .is_failure(503, "GES.8602", "engine service unavailable");
    }
    cancel(IDS[0]).is_failure(503, "GES.8602", "engine service unavailable");
}

#[test]
fn a_purged_job_is_told_from_one_that_never_was() {
    let (_store, graph, server) = with_sample();
    graph.purge(List::new()).unwrap();
    assert_eq!(server.get(LIST).ok(), r#"{"jobs":[],"result":"success"}"#);
    let id = IDS[1];
    let purged = graph.tombstone(id).unwrap().unwrap().purged_at;
    for path in [
        format!("{LIST}?job_id={id}"),
        LIST.replace("status", &format!("{id}/status")),
    ] {
        let answer = server.get(&path);
        let document: Value = serde_json::from_str(answer.text()).unwrap();
        let message = document["errorMessage"].as_str().unwrap();
        let (before, at) = message.rsplit_once(' ').unwrap();
        assert_eq!(before, format!("job {id} was purged at"));
        let at: jiff::Timestamp = at.parse().unwrap();
        let since = purged.duration_since(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(at.as_millisecond(), since.as_millis() as i64);
        answer.is_failure(400, "GES.8301", message);
    }
    let cancelled = server.ask("DELETE", &LIST.replace("status", id), &[]);
    let message = format!("can not find job to cancel, id is {id}");
    cancelled.is_failure(400, "GES.8303", &message);
}

#[test]
fn one_job_is_listed_by_its_id() {
    let (_store, _graph, server) = with_sample();
    let one = format!(
        r#"{{"jobs":[{{"jobId":"{}","status":"complete","request":{REQUEST}}}],"result":"success"}}"#,
        IDS[2]
    );
    let at = |rest: &str| server.get(&format!("{LIST}?job_id={}{rest}", IDS[2]));
    assert_eq!(at("").ok(), one);
    assert_eq!(at("&limit=1&offset=0").ok(), one);
    assert_eq!(at("&offset=1").ok(), r#"{"jobs":[],"result":"success"}"#);
    for other in ["&state=complete", "&command=x", "&cursor=00"] {
        assert_eq!(at(other).status, 400, "{other}");
    }
}

#[test]
fn what_is_not_known_or_said_twice_is_refused_by_name() {
    let (_store, _graph, server) = with_sample();
    for (query, name) in [
        ("limt=5", "limt"),
        ("Limit=5", "Limit"),
        ("limit=5&limit=5", "limit"),
        ("offset=0&offset=1", "offset"),
        ("state=done", "state"),
        ("state=pending,done", "state"),
        ("state=", "state"),
        ("outcome=success", "outcome"),
        ("order=up", "order"),
        ("detail=yes", "detail"),
        ("detail", "detail"),
        ("count_total=1", "count_total"),
        ("limit_bytes=0", "limit_bytes"),
        ("cursor=abc", "cursor"),
        ("submitted_from=yesterday", "submitted_from"),
        ("finished_before=-5", "finished_before"),
        ("started_from=253402300800000", "started_from"),
        ("body_pointer=%2Fa", "body_pointer"),
        ("%6Cimit=0", "limit"),
        ("=x", "\\\"\\\""),
        ("limit=%zz", "query"),
        ("limit=%", "query"),
        ("command=%FF", "query"),
    ] {
        let answer = server.get(&format!("{LIST}?{query}"));
        assert_eq!(answer.status, 400, "{query}");
        let begin = format!(r#"{{"errorMessage":"parameter {name} "#);
        let unknown = format!(r#"{{"errorMessage":"parameter \"{name}\" is not known"#);
        let nameless = r#"{"errorMessage":"parameter \"\" is not known"#;
        let text = answer.text();
        assert!(
            text.starts_with(&begin) || text.starts_with(&unknown) || text.starts_with(nameless),
            "{query}: {text}"
        );
        assert!(text.contains(r#""errorCode":"GES.8000""#), "{query}");
    }
    // What was given is shown short.
    let long = server.get(&format!("{LIST}?limit={}", "9".repeat(5000)));
    assert!(long.status == 400 && long.body.len() < 300, "{long:?}");
    for path in [
        LIST.replace("status", "x/status?limit=5"),
        LIST.replace("status", "x?a"),
    ] {
        let method = if path.contains("/status") {
            "GET"
        } else {
            "DELETE"
        };
        assert!(
            server
                .ask(method, &path, &[])
                .text()
                .contains("this path takes none")
        );
    }
}

#[test]
fn each_addition_shows_what_the_librarys_list_shows() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "moviejx").unwrap();
    let outcomes = [
        Outcome::succeeded(),
        Outcome::failed("E", "why"),
        Outcome::partially_failed("E", "some"),
    ];
    for n in 0..60 {
        let body = format!(r#"{{"n":{n},"name":"a b&c=d+e%"}}"#);
        let url = format!("/ges/{}/x", n % 5);
        let command = ["import graph", "clear&all"][n % 2];
        let request = Request::new(command, url, Body::from_json(body).unwrap()).unwrap();
        let id = graph.submit(request).unwrap();
        match n % 4 {
            0 => {}
            1 => graph.start(&id).unwrap(),
            _ => {
                let run = graph.run(&id).unwrap();
                run.complete(outcomes[n % 3].clone()).unwrap();
            }
        }
    }
    let server = serve(&store);
    use jobstore::OutcomeKind::{Failed, PartiallyFailed};
    use jobstore::State::{Complete, Pending, Running};
    let list = || List::new();
    let day = |days: u64| std::time::UNIX_EPOCH + Duration::from_secs(days * 86_400);
    let cases: Vec<(&str, List)> = vec![
        ("state=pending", list().state(Pending)),
        (
            "state=pending&state=running",
            list().state(Pending).state(Running),
        ),
        (
            "state=running,complete",
            list().state(Running).state(Complete),
        ),
        (
            "outcome=failed,partially_failed",
            list().outcome(Failed).outcome(PartiallyFailed),
        ),
        (
            "outcome=failed&limit=3&offset=2",
            list().outcome(Failed).limit(3).offset(2),
        ),
        ("command=import+graph", list().command("import graph")),
        (
            "command=import%20graph&command=clear%26all",
            list().command("clear&all").command("import graph"),
        ),
        ("order=newest&limit=7", list().newest_first().limit(7)),
        ("order=oldest", list()),
        ("submitted_from=0", list().submitted_from(day(0))),
        (
            "submitted_before=1970-01-02T00:00:00Z",
            list().submitted_before(day(1)),
        ),
        (
            "finished_from=1970-01-02T02:00:00%2B02:00",
            list().finished_from(day(1)),
        ),
        (
            "started_before=253402300799999",
            list().started_from(day(1)),
        ),
        ("limit_bytes=2000", list().limit_bytes(2000)),
        ("url_prefix=/ges/3", list().url_prefix("/ges/3")),
        ("url_contains=%2F4%2F", list().url_contains("/4/")),
        (
            "body_contains=%22n%22%3A7",
            list().body_contains(r#""n":7"#),
        ),
        ("body_pointer=/n&body_value=7", list().body_value("/n", "7")),
        (
            "body_pointer=/n&body_value=7&body_pointer=/name&body_value=%22a%20b%26c%3Dd%2Be%25%22",
            list()
                .body_value("/n", "7")
                .body_value("/name", r#""a b&c=d+e%""#),
        ),
    ];
    for (query, list) in cases {
        let answer = server.get(&format!("{LIST}?{query}"));
        let expected = graph.list(list).unwrap();
        let text = String::from_utf8(expected.to_json().unwrap()).unwrap();
        assert_eq!(answer.ok(), text, "{query}");
        let total = expected.total().map(|total| total.to_string());
        assert_eq!(answer.header("x-total-count"), total.as_deref(), "{query}");
        let next = expected.next().map(|next| next.to_string());
        assert_eq!(answer.header("x-next-cursor"), next.as_deref(), "{query}");
    }
    let counted = server.get(&format!("{LIST}?outcome=failed&limit=1&count_total=true"));
    let total = graph
        .list(list().outcome(Failed))
        .unwrap()
        .len()
        .to_string();
    assert_eq!(counted.header("x-total-count"), Some(total.as_str()));
    for bad in [
        "body_pointer=n&body_value=7",
        "body_pointer=/n&body_value=%7B",
    ] {
        assert_eq!(server.get(&format!("{LIST}?{bad}")).status, 400, "{bad}");
    }
}

#[test]
fn a_detailed_list_tells_of_lives_behind_the_contracts_keys() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "moviejx").unwrap();
    let submit = |id: &str| graph.submit_as(id, request("c", "{}")).unwrap();
    for id in ["good", "bad", "cut", "runs", "waits"] {
        submit(id);
    }
    let good = Outcome::succeeded().with_result_ref("r/1").unwrap();
    graph.run("good").unwrap().complete(good).unwrap();
    let bad = Outcome::failed("E1", "no file").with_detail_json(r#"{"row": 1e1}"#);
    graph.run("bad").unwrap().complete(bad.unwrap()).unwrap();
    drop(graph.run("cut").unwrap());
    let run = graph.run("runs").unwrap();
    run.progress(40, "iterating");
    graph.cancel("runs").unwrap();
    let server = serve(&store);
    let text = server.get(&format!("{LIST}?detail=true")).ok().to_owned();

    let ms = |time: Option<std::time::SystemTime>| {
        let since = time.unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
        since.as_millis()
    };
    let mut expected = Vec::new();
    for job in &graph.list(List::new()).unwrap() {
        let job = job.unwrap();
        let mut life = format!(r#""submitTime":{}"#, ms(Some(job.submitted_at())));
        if job.started_at().is_some() {
            life += &format!(r#","startTime":{}"#, ms(job.started_at()));
        }
        if job.finished_at().is_some() {
            life += &format!(r#","endTime":{}"#, ms(job.finished_at()));
        }
        life += match job.id().as_str() {
            "good" => r#","outcome":{"kind":"succeeded","resultRef":"r/1"}"#,
            "bad" => concat!(
                r#","failReason":"no file","outcome":{"kind":"failed","code":"E1","#,
                r#""message":"no file","detail":{"row":1e1}}"#
            ),
            "cut" => r#","failReason":"interrupted","outcome":{"kind":"interrupted"}"#,
            "runs" => r#","progress":40,"progressText":"iterating","cancelRequested":true"#,
            _ => "",
        };
        expected.push(format!(
            r#"{{"jobId":"{}","status":"{}","request":{{"command":"c","url":"/ges","body":{{}}}},{life}}}"#,
            job.id(),
            job.state()
        ));
    }
    let jobs = expected.join(",");
    assert_eq!(
        text,
        format!(r#"{{"jobs":[{jobs}],"result":"success","totalCount":5}}"#)
    );

    let first = server.get(&format!("{LIST}?detail=true&limit=2&order=newest"));
    let next = first.header("x-next-cursor").unwrap();
    let (last, before) = (&expected[4], &expected[3]);
    assert_eq!(
        first.ok(),
        format!(
            r#"{{"jobs":[{last},{before}],"result":"success","totalCount":5,"nextCursor":"{next}"}}"#
        )
    );
    let none = server.get(&format!("{LIST}?detail=true&offset=9"));
    assert_eq!(
        none.ok(),
        r#"{"jobs":[],"result":"success","totalCount":5}"#
    );
    let scanned = server.get(&format!("{LIST}?detail=true&outcome=cancelled"));
    assert_eq!(scanned.ok(), r#"{"jobs":[],"result":"success"}"#);

    // One job's state says the same.
    for (n, (id, status)) in [
        ("good", "success"),
        ("bad", "failed"),
        ("cut", "failed"),
        ("runs", "running"),
        ("waits", "pending"),
    ]
    .into_iter()
    .enumerate()
    {
        let life = expected[n].split_once(r#""body":{}},"#).unwrap().1;
        let state = server.get(&LIST.replace("status", &format!("{id}/status")));
        assert_eq!(
            state.ok(),
            format!(r#"{{"jobId":"{id}","status":"{status}",{life}"#)
        );
    }
}

#[test]
fn a_long_detailed_list_is_the_plain_one_with_members_behind() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "moviejx").unwrap();
    fill(&graph, 700, 400);
    let server = serve(&store);
    for order in ["oldest", "newest"] {
        let plain = server.get(&format!("{LIST}?order={order}"));
        let detailed = server.get(&format!("{LIST}?order={order}&detail=true"));
        let (plain, mut more): (Value, Value) = (
            serde_json::from_str(plain.ok()).unwrap(),
            serde_json::from_str(detailed.ok()).unwrap(),
        );
        for job in more["jobs"].as_array_mut().unwrap() {
            assert!(job.as_object_mut().unwrap().remove("submitTime").is_some());
        }
        assert_eq!(
            more.as_object_mut().unwrap().remove("totalCount"),
            Some(700.into())
        );
        assert!(plain == more, "{order}");
    }
}

#[test]
fn a_job_is_called_off_and_asking_twice_gives_one_answer() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "moviejx").unwrap();
    for id in ["waits", "runs", "done"] {
        graph.submit_as(id, request("c", "{}")).unwrap();
    }
    let run = graph.run("runs").unwrap();
    graph
        .run("done")
        .unwrap()
        .complete(Outcome::succeeded())
        .unwrap();
    let server = serve(&store);
    let cancel = |id: &str| server.ask("DELETE", &LIST.replace("status", id), &[]);
    for _ in 0..2 {
        for id in ["waits", "runs", "done"] {
            let answer = cancel(id);
            assert_eq!(answer.ok(), "{}", "{id}");
            assert_eq!(answer.header("content-type"), Some("application/json"));
        }
    }
    assert!(run.cancel_requested());
    let kind = |id: &str| graph.job(id).unwrap().unwrap().outcome().unwrap().kind();
    assert_eq!(kind("waits"), jobstore::OutcomeKind::Cancelled);
    assert_eq!(kind("done"), jobstore::OutcomeKind::Succeeded);
}

#[test]
fn names_are_percent_decoded_once_and_to_the_letter() {
    let store = JobStore::in_memory().unwrap();
    for name in ["a b", "a+b", "a%2Bb", "фильм", "a?b#c", "status"] {
        let graph = store.create_graph("p 1", name).unwrap();
        graph.submit_as("one", request(name, "{}")).unwrap();
    }
    let server = serve(&store);
    for (path, name) in [
        ("a%20b", "a b"),
        ("a+b", "a+b"),
        ("a%2Bb", "a+b"),
        ("a%252Bb", "a%2Bb"),
        ("%D1%84%D0%B8%D0%BB%D1%8C%D0%BC", "фильм"),
        ("a%3Fb%23c", "a?b#c"),
        ("status", "status"),
    ] {
        let answer = server.get(&format!("/ges/v1.0/p%201/graphs/{path}/jobs/status"));
        let command = format!(r#""command":{}"#, serde_json::to_string(name).unwrap());
        assert!(answer.ok().contains(&command), "{path}: {answer:?}");
    }
}

/// What the hook was asked.
type Asked = Arc<Mutex<Vec<(Option<String>, String, Action)>>>;

/// Token `of-P` is good for the project P; some other tokens are known.
fn guarded(store: &JobStore) -> (Server, Asked) {
    let asked = Asked::default();
    let log = asked.clone();
    let routes = Routes::new(store).authorize(move |caller| {
        let log = log.clone();
        async move {
            tokio::task::yield_now().await;
            assert!(!format!("{caller:?}").contains("of-"), "{caller:?}");
            let token = caller.token.as_ref().map(|token| token.as_str().to_owned());
            let entry = (token.clone(), caller.project_id.clone(), caller.action);
            log.lock().unwrap().push(entry);
            match token.as_deref().and_then(|token| token.strip_prefix("of-")) {
                Some(project) if project == caller.project_id => Access::Granted,
                Some(_) => Access::Refused,
                None => Access::Unknown,
            }
        }
    });
    (Server::start(app(&routes)), asked)
}

#[test]
fn who_has_no_good_token_learns_nothing_of_what_there_is() {
    let (store, graph, _) = with_sample();
    let (server, asked) = guarded(&store);
    let ask = |method: &str, path: &str, token: Option<&str>| -> Answer {
        let headers: Vec<(&str, &str)> = token.iter().map(|t| ("X-Auth-Token", *t)).collect();
        server.ask(method, path, &headers)
    };
    let there = LIST.to_owned();
    let id = IDS[0];
    let paths = [
        ("GET", there.clone()),
        ("GET", there.replace("moviejx", "movidde")),
        ("GET", format!("{there}?limit=0")),
        ("GET", format!("{there}?job_id={id}")),
        ("GET", format!("{there}?job_id=nope")),
        ("GET", there.replace("status", &format!("{id}/status"))),
        ("GET", there.replace("status", "nope/status")),
        ("DELETE", there.replace("status", id)),
        ("DELETE", there.replace("status", "nope")),
    ];
    let mut told = BTreeSet::new();
    for (method, path) in &paths {
        let none = ask(method, path, None);
        none.is_failure(401, "GES.8007", "invalid or missing token");
        ask(method, path, Some("made-up")).is_failure(401, "GES.8007", "invalid or missing token");
        let other = ask(method, path, Some("of-10002"));
        other.is_failure(403, "GES.8020", "no permission");
        let names: Vec<&str> = other
            .headers
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        told.insert(names.join(" "));
    }
    assert_eq!(told.len(), 1, "refusals differ: {told:?}");
    assert!(graph.job(id).unwrap().is_some());
    let good = ask("GET", LIST, Some("of-10001"));
    assert_eq!(good.ok(), sample());
    let cancelled = ask("DELETE", &there.replace("status", id), Some("of-10001"));
    assert_eq!(cancelled.ok(), "{}");

    let asked = std::mem::take(&mut *asked.lock().unwrap());
    assert_eq!(asked.len(), 3 * paths.len() + 2);
    assert!(asked.iter().all(|(_, project, _)| project == "10001"));
    let cancels = asked
        .iter()
        .filter(|(_, _, action)| *action == Action::Cancel);
    assert_eq!(cancels.count(), 2 * 3 + 1);

    // Of two tokens nobody knows which one counts.
    let two = [("X-Auth-Token", "of-10001"), ("X-Auth-Token", "of-10002")];
    assert_eq!(server.ask("GET", LIST, &two).status, 401);
    let odd = [("X-Auth-Token", "of-10001\u{e9}")];
    assert_eq!(server.ask("GET", LIST, &odd).status, 401);
}

#[test]
fn a_hook_that_does_not_answer_is_not_waited_for() {
    let (store, _graph, _) = with_sample();
    let limits = Limits::new().first_byte(Duration::from_millis(50));
    let routes = Routes::new(&store)
        .authorize(|_| std::future::pending())
        .limits(limits);
    let server = Server::start(app(&routes));
    server
        .get(LIST)
        .is_failure(503, "GES.8602", "engine service unavailable");
}

#[test]
fn each_route_can_be_mounted_alone_beside_an_engines_own() {
    use axum::routing::get;
    let (store, _graph, _) = with_sample();
    let routes = Routes::new(&store);
    let own = Router::new()
        .route(
            "/ges/v1.0/{p}/graphs/{g}/jobs/{j}/status",
            get(|| async { "the engine's own" }),
        )
        .route(
            "/ges/v1.0/{p}/graphs/{g}/jobs/{j}",
            get(|| async { "a job" }),
        )
        .route("/health", get(|| async { "well" }))
        .with_state(());
    // The engine's router has a state of its own.
    let stateful: Router<u32> = Router::new().merge(routes.list());
    let app = own.merge(stateful.with_state(7));
    let server = Server::start(app);
    assert_eq!(server.get(LIST).ok(), sample());
    assert_eq!(
        server.get(&LIST.replace("status", "x/status")).ok(),
        "the engine's own"
    );
    assert_eq!(server.get("/health").ok(), "well");
    assert_eq!(server.get("/metrics").status, 404);
    // Nothing of ours answers for the engine's 404.
    assert!(server.get("/nope").body.is_empty());

    let app = Router::new()
        .route(
            "/ges/v1.0/{project_id}/graphs/{graph_name}/jobs/{job_id}",
            get(|| async { "a job" }),
        )
        .merge(routes.cancel());
    let server = Server::start(app);
    let job = LIST.replace("status", IDS[3]);
    assert_eq!(server.get(&job).ok(), "a job");
    assert_eq!(server.ask("DELETE", &job, &[]).ok(), "{}");
    let server = Server::start(routes.job());
    let state = server.get(&LIST.replace("status", &format!("{}/status", IDS[3])));
    assert!(state.ok().contains(r#""status":"success""#));
    assert_eq!(server.get(LIST).status, 404);
}

#[test]
fn answers_carry_the_requests_id_or_a_new_one() {
    let (_store, _graph, server) = with_sample();
    let id_of = |given: &str, path: &str| {
        let headers = [("X-Request-Id", given)];
        let answer = server.ask("GET", path, &headers);
        answer.header("x-request-id").unwrap().to_owned()
    };
    let longest = "x".repeat(128);
    for path in [LIST, "/nope", &format!("{LIST}?limit=0")] {
        for good in ["a", "7f3/b:c_d.e-f+g=", &longest] {
            assert_eq!(id_of(good, path), *good);
        }
        let mut made = BTreeSet::new();
        for bad in ["", "a b", "a\"b", "{}", &format!("{longest}x")] {
            let id = id_of(bad, path);
            assert_eq!(id.len(), 36, "{bad:?} {id:?}");
            assert!(made.insert(id), "an id was made twice");
        }
    }
}

#[test]
fn a_client_gets_the_encoding_it_takes_and_the_same_text_in_it() {
    use std::io::Read;
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "moviejx").unwrap();
    fill(&graph, 600, 1000);
    let server = serve(&store);
    let plain = server.get(LIST).ok().to_owned();
    assert!(plain.len() > 600_000);
    let ask = |limit: usize, accepted: &str| {
        let headers = [("Accept-Encoding", accepted)];
        server.ask("GET", &format!("{LIST}?limit={limit}"), &headers)
    };
    for limit in [600, 40, 3] {
        let plain = page(&graph, List::new().limit(limit as u64));
        let gzip = ask(limit, "gzip, deflate, br");
        assert_eq!(gzip.header("content-encoding"), Some("gzip"), "{limit}");
        let mut text = String::new();
        let mut decoder = flate2::read::GzDecoder::new(&gzip.body[..]);
        decoder.read_to_string(&mut text).unwrap();
        assert!(text == plain && gzip.is_whole, "{limit}");

        let zstd = ask(limit, "gzip;q=0.5, zstd");
        assert_eq!(zstd.header("content-encoding"), Some("zstd"), "{limit}");
        let text = zstd::decode_all(&zstd.body[..]).unwrap();
        assert!(text == plain.as_bytes() && zstd.is_whole, "{limit}");
        assert!(gzip.body.len() * 3 < plain.len() && zstd.body.len() * 3 < plain.len());

        let other = ask(limit, "br, gzip;q=0");
        assert_eq!(other.header("content-encoding"), None, "{limit}");
        assert!(other.ok() == plain, "{limit}");
        for answer in [gzip, zstd, other] {
            assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
        }
    }
    // What is short stays as it is.
    let short = server.ask(
        "GET",
        &format!("{LIST}?offset=600"),
        &[("Accept-Encoding", "gzip")],
    );
    assert_eq!(short.ok(), r#"{"jobs":[],"result":"success"}"#);
    assert_eq!(short.header("content-encoding"), None);
}

#[test]
fn no_secret_leaves_by_any_route() {
    const CANARY: &str = "c4n4ry";
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "moviejx").unwrap();
    let body =
        format!(r#"{{"path":"a","deep":[{{"SecretKey":"{CANARY}"}}],"accessKey":"{CANARY}"}}"#);
    for id in ["a", "b"] {
        graph.submit_as(id, request("export_graph", &body)).unwrap();
    }
    let detail = format!(r#"{{"secretKey":"{CANARY}"}}"#);
    let outcome = Outcome::failed("E", "w").with_detail_json(detail).unwrap();
    graph.run("a").unwrap().complete(outcome).unwrap();
    let server = serve(&store);
    for path in [
        LIST.to_owned(),
        format!("{LIST}?detail=true"),
        format!("{LIST}?job_id=a"),
        format!("{LIST}?order=newest&detail=true&outcome=failed"),
        LIST.replace("status", "a/status"),
    ] {
        let answer = server.get(&path);
        assert!(!answer.ok().contains(CANARY), "{path}: {answer:?}");
        assert!(answer.text().contains("******"), "{path}");
    }
    assert!(!metrics(&store).unwrap().contains(CANARY));
    // Nor can it be guessed.
    let found = server.get(&format!("{LIST}?body_contains={CANARY}"));
    assert_eq!(found.ok(), r#"{"jobs":[],"result":"success"}"#);
}

#[test]
fn who_pages_sees_each_job_once_while_others_write() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "moviejx").unwrap();
    let before = 3000;
    graph
        .submit_all(vec![request("c", r#"{"x":1}"#); before])
        .unwrap();
    let known = ids_in(&page(&graph, List::new()));
    let server = serve(&store);
    let is_over = std::sync::atomic::AtomicBool::new(false);
    use std::sync::atomic::Ordering::Relaxed;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                graph.submit_all(vec![request("more", "{}"); 20]).unwrap();
                if let Some(run) = graph.run_next().unwrap() {
                    run.complete(Outcome::succeeded()).unwrap();
                }
            }
        });
        let mut by_offset = Vec::new();
        while by_offset.len() < before {
            let offset = by_offset.len();
            let answer = server.get(&format!("{LIST}?limit=170&offset={offset}"));
            by_offset.append(&mut ids_in(answer.ok()));
        }
        by_offset.truncate(before);
        assert!(by_offset == known);

        let (mut by_cursor, mut cursor) = (Vec::new(), String::new());
        while by_cursor.len() < before {
            let answer = server.get(&format!("{LIST}?limit=170{cursor}"));
            by_cursor.append(&mut ids_in(answer.ok()));
            cursor = format!("&cursor={}", answer.header("x-next-cursor").unwrap());
        }
        by_cursor.truncate(before);
        assert!(by_cursor == known);
        is_over.store(true, Relaxed);
    });
    let other = store.create_graph("10001", "other").unwrap();
    fill(&other, 2, 1);
    let first = server.get(
        &LIST
            .replace("moviejx", "other")
            .replace("status", "status?limit=1"),
    );
    let cursor = first.header("x-next-cursor").unwrap();
    let foreign = server.get(&format!("{LIST}?cursor={cursor}"));
    foreign.is_failure(
        400,
        "GES.8000",
        "parameter cursor is not usable: it belongs to another graph; list again from an offset",
    );
}

#[test]
fn any_query_gets_a_page_or_a_failure() {
    use proptest::prelude::*;
    let (_store, graph, server) = with_sample();
    let keys = prop::sample::select(vec![
        "limit",
        "offset",
        "job_id",
        "state",
        "outcome",
        "command",
        "cursor",
        "order",
        "detail",
        "limit_bytes",
        "count_total",
        "submitted_from",
        "started_before",
        "url_prefix",
        "url_contains",
        "body_contains",
        "body_pointer",
        "body_value",
        "x",
        "",
    ]);
    let some = vec![
        "0",
        "1",
        "100000",
        "18446744073709551615",
        "true",
        "newest",
        "pending,complete",
        "failed",
        "%00",
        "%",
        "+",
        "a%26b",
        "2026-01-01T00:00:00Z",
        "/",
        "/a",
        "{}",
        IDS[0],
    ];
    let values = prop_oneof![
        prop::sample::select(some).prop_map(str::to_owned),
        "[!$'-;=?-Z_a-z~%&+]{0,12}",
    ];
    let query = prop::collection::vec((keys, values), 0..5);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 600,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let whole = page(&graph, List::new());
    let checked = runner.run(&query, |pairs| {
        let pairs: Vec<String> = pairs.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let query = pairs.join("&");
        let answer = server.get(&format!("{LIST}?{query}"));
        prop_assert!(answer.is_whole);
        let document: Value = serde_json::from_str(answer.text()).unwrap();
        match answer.status {
            200 => {
                prop_assert_eq!(&document["result"], "success");
                if query.is_empty() {
                    prop_assert_eq!(answer.text(), whole.as_str());
                }
            }
            400 => {
                prop_assert_eq!(&document["result"], "failed");
                prop_assert!(answer.body.len() < 1000);
            }
            other => prop_assert!(false, "{} for {}", other, query),
        }
        Ok(())
    });
    checked.unwrap();
}

#[test]
fn the_openapi_document_names_what_there_is_and_nothing_else() {
    let document: Value = serde_json::from_str(openapi()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 50);
    for reference in &references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(
            document.pointer(pointer).is_some(),
            "{reference} leads nowhere"
        );
    }
    // The list's keys are those that the routes know.
    let (_store, _graph, server) = with_sample();
    let refused = server.get(&format!("{LIST}?nope=1"));
    let known = refused
        .text()
        .split_once("those that are known are ")
        .unwrap()
        .1;
    let known: BTreeSet<&str> = known.split_once('"').unwrap().0.split(", ").collect();
    let list = "/paths/~1ges~1v1.0~1{project_id}~1graphs~1{graph_name}~1jobs~1status";
    let listed = document.pointer(&format!("{list}/parameters")).unwrap();
    let parameters = listed.as_array().unwrap().iter().map(|parameter| {
        let pointer = parameter["$ref"]
            .as_str()
            .unwrap()
            .strip_prefix('#')
            .unwrap();
        document.pointer(pointer).unwrap()
    });
    let described: BTreeSet<&str> = parameters
        .filter(|parameter| parameter["in"] == "query")
        .map(|parameter| parameter["name"].as_str().unwrap())
        .collect();
    assert_eq!(described, known);
    // Each operation answers, and what is no operation is not allowed.
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = path
            .replace("{project_id}", "10001")
            .replace("{graph_name}", "moviejx")
            .replace("{job_id}", IDS[0]);
        for method in ["get", "head", "post", "put", "delete", "patch"] {
            let answer = server.ask(&method.to_uppercase(), &path, &[]);
            let status = if item.get(method).is_some() { 200 } else { 405 };
            assert_eq!(answer.status, status, "{method} {path}");
        }
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                match (key.as_str(), value) {
                    ("$ref", Value::String(reference)) => references.push(reference.clone()),
                    _ => collect(value, references),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}

#[test]
fn metrics_are_text_that_prometheus_reads() {
    let store = JobStore::in_memory().unwrap();
    let odd = store.create_graph("10001", "a \"quoted\\name\"").unwrap();
    let movie = store.create_graph("10001", "movie").unwrap();
    fill(&movie, 5, 10);
    movie.start("job-0").unwrap();
    movie.cancel("job-1").unwrap();
    let text = metrics(&store).unwrap();
    let mut kinds = std::collections::BTreeMap::new();
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(kinds.insert(name, kind).is_none(), "{name} twice");
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(seen.insert(series), "{series} twice");
        assert!(value.parse::<f64>().unwrap() >= 0.0, "{line}");
        let name = series.split('{').next().unwrap();
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| {
            name.strip_suffix(end)
                .filter(|base| kinds.contains_key(base))
        });
        let kind = kinds[base.unwrap_or(name)];
        assert_eq!(kind == "histogram", base.is_some(), "{line}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
    }
    for line in [
        r#"jobstore_jobs{project="10001",graph="movie",state="pending"} 3"#,
        r#"jobstore_jobs{project="10001",graph="movie",state="running"} 1"#,
        r#"jobstore_jobs{project="10001",graph="movie",state="complete"} 1"#,
        r#"jobstore_jobs{project="10001",graph="a \"quoted\\name\"",state="pending"} 0"#,
        r#"jobstore_health{state="ok"} 1"#,
        r#"jobstore_health{state="degraded"} 0"#,
        "jobstore_stats_up 1",
        "jobstore_queue_bytes 0",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in {text}");
    }
    // Buckets are cumulative and end with the count.
    let stats = store.stats().unwrap();
    let buckets: Vec<u64> = text
        .lines()
        .filter(|line| line.starts_with("jobstore_commit_wait_seconds_bucket"))
        .map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
        .collect();
    assert_eq!(buckets.len(), stats.commit_waits.counts.len());
    assert!(buckets.is_sorted());
    assert_eq!(*buckets.last().unwrap(), stats.commit_waits.count());
    assert!(text.contains("jobstore_commit_wait_seconds_bucket{le=\"0.00001\"}"));
    drop(odd);
    store.close().unwrap();
    assert!(metrics(&store).is_err());
}

#[test]
fn the_numbers_as_json_are_those_of_the_stats() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("10001", "movie").unwrap();
    fill(&movie, 3, 10);
    movie.start("job-1").unwrap();
    let stats = store.stats().unwrap();
    let json: Value = serde_json::from_str(&stats.to_json()).unwrap();
    let graph = &json["graphs"][0];
    assert_eq!(
        (&graph["projectId"], &graph["name"]),
        (&"10001".into(), &"movie".into())
    );
    assert_eq!(
        (&graph["pending"], &graph["running"]),
        (&2.into(), &1.into())
    );
    let since = |time: std::time::SystemTime| {
        let since = time.duration_since(std::time::UNIX_EPOCH).unwrap();
        Value::from(u64::try_from(since.as_millis()).unwrap())
    };
    assert_eq!(
        graph["oldestPendingMs"],
        since(stats.graphs[0].oldest_pending.unwrap())
    );
    assert_eq!(
        graph["longestRunningMs"],
        since(stats.graphs[0].longest_running.unwrap())
    );
    assert_eq!(json["events"], stats.events);
    assert_eq!(json["lastPurgeMs"], Value::Null);
    assert_eq!(json["commitWaits"]["boundsUs"][0], 10);
    assert_eq!(json["commitWaits"]["counts"].as_array().unwrap().len(), 17);
    assert_eq!(json["health"]["state"], "ok");
}

#[test]
fn the_example_alerts_look_at_numbers_that_there_are() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("10001", "movie").unwrap();
    fill(&movie, 2, 10);
    movie.start("job-0").unwrap();
    let numbers = metrics(&store).unwrap();
    let rules = include_str!("../examples/alerts.yml");
    let words = rules.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let names: BTreeSet<&str> = words.filter(|w| w.starts_with("jobstore_")).collect();
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        let is_there = |line: &str| {
            line.starts_with(&format!("{name} ")) || line.starts_with(&format!("{name}{{"))
        };
        let is_histogram = numbers.contains(&format!("# TYPE {name} histogram"));
        assert!(
            numbers.lines().any(is_there) || is_histogram,
            "there is no {name}"
        );
    }
}
