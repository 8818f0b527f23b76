//! Guarantee: the routes for operators have the effects of the library's calls, for callers with
//! the permission that each route needs, and a feed ends cleanly.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jobstore::http::{Access, Limits, Permission, Routes};
use jobstore::{Graph, JobQuery, JobStore, Outcome, OutcomeKind, Retention, State, TallyBy};
use serde_json::{Value, json};

use crate::app;
use crate::common::{request, wait_until};
use crate::http::{Answer, Server, ask, chunks, head, send};

const MOVIE: &str = "/jobstore/v1/graphs/10001/movie";

/// Two graphs of a project, and one of another, with jobs in all states.
struct Live {
    store: JobStore,
    movie: Graph,
    server: Server,
}

impl Live {
    fn new() -> Live {
        Live::with(|routes| routes)
    }

    fn with(set: impl FnOnce(Routes) -> Routes) -> Live {
        let store = JobStore::in_memory().unwrap();
        let movie = store.create_graph("10001", "movie").unwrap();
        for id in ["waits", "runs", "good", "bad"] {
            let body = format!(r#"{{"of":"{id}","secretKey":"c4n4ry"}}"#);
            movie.submit_as(id, request("c", &body)).unwrap();
        }
        movie.start("runs").unwrap();
        movie
            .claim("good")
            .unwrap()
            .complete(Outcome::succeeded())
            .unwrap();
        let failed = Outcome::failed("E1", "no file");
        movie.claim("bad").unwrap().complete(failed).unwrap();
        for (project, name) in [("10001", "roads"), ("10002", "movie")] {
            let graph = store.create_graph(project, name).unwrap();
            graph.submit_as("other", request("d", "{}")).unwrap();
        }
        let routes = set(Routes::new(&store));
        let server = Server::start(app(&routes).merge(routes.operator()));
        Live {
            store,
            movie,
            server,
        }
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        ask(self.server.connect(), method, path, &[], body.as_bytes())
    }

    /// A path below the graph.
    fn of_movie(&self, method: &str, path: &str, body: &str) -> Answer {
        self.ask(method, &format!("{MOVIE}{path}"), body)
    }

    /// Follows the feed. Returns a reader of its lines.
    fn follow(&self, query: &str) -> Lines {
        let mut stream = self.server.connect();
        let path = format!("{MOVIE}/changes?follow=true{query}");
        send(&mut stream, "GET", &path, &[], b"");
        let mut reader = BufReader::new(stream);
        let (status, headers) = head(&mut reader);
        assert_eq!(status, 200);
        let kind = headers.iter().find(|(name, _)| name == "content-type");
        assert_eq!(kind.unwrap().1, "application/x-ndjson");
        Lines(reader)
    }
}

/// A followed feed. Each chunk contains whole lines.
struct Lines(BufReader<std::net::TcpStream>);

impl Lines {
    /// The lines of the next chunk; `None` at the end of the response.
    fn next(&mut self) -> Option<Vec<Value>> {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let length = usize::from_str_radix(line.trim_end(), 16).unwrap();
        let mut chunk = vec![0; length + 2];
        self.0.read_exact(&mut chunk).unwrap();
        let text = String::from_utf8(chunk).unwrap();
        (length > 0).then(|| values(&text))
    }

    /// The next line that is not a heartbeat.
    fn next_change(&mut self) -> Value {
        loop {
            let found = self.next().unwrap();
            if let Some(change) = found.iter().find(|line| line["kind"] != "heartbeat") {
                return change.clone();
            }
        }
    }
}

fn values(lines: &str) -> Vec<Value> {
    let lines = lines.trim().lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn value(answer: &Answer) -> Value {
    serde_json::from_str(answer.ok()).unwrap()
}

fn ids(answer: &Answer) -> Vec<String> {
    let jobs = values(answer.ok());
    jobs.iter()
        .map(|job| job["jobId"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn graphs_and_the_store_are_described_by_their_statistics() {
    let live = Live::new();
    let graphs = value(&live.ask("GET", "/jobstore/v1/graphs", ""));
    let graphs = graphs["graphs"].as_array().unwrap();
    let stats: Value = serde_json::from_str(&live.store.stats().unwrap().to_json()).unwrap();
    assert_eq!(*graphs, *stats["graphs"].as_array().unwrap());
    assert_eq!(graphs[0]["name"], "movie");
    assert_eq!(value(&live.of_movie("GET", "", "")), graphs[0]);
    let of_store = value(&live.ask("GET", "/jobstore/v1/store", ""));
    assert_eq!(of_store["graphs"], json!([]));
    assert_eq!(of_store["totals"], stats["totals"]);
    let unknown = live.ask("GET", "/jobstore/v1/graphs/10001/movidde", "");
    unknown.is_failure(400, "GES.8000", "graph : movidde not exist");
    for path in ["/graphs?x=1", "/store?graphs=1", "/graphs/10001/movie?x=1"] {
        assert_eq!(
            live.ask("GET", &format!("/jobstore/v1{path}"), "").status,
            400,
            "{path}"
        );
    }
}

#[test]
fn the_jobs_of_all_graphs_are_counted_together() {
    let live = Live::new();
    for by in [
        "state",
        "outcome",
        "command",
        "origin",
        "submitted&period_ms=3600000",
    ] {
        let tally = value(&live.ask("GET", &format!("/jobstore/v1/tally?by={by}"), ""));
        let stats: Value = serde_json::from_str(&live.store.stats().unwrap().to_json()).unwrap();
        let graphs = stats["graphs"].as_array().unwrap();
        let states = ["pending", "running", "complete"];
        let jobs: u64 = graphs
            .iter()
            .flat_map(|graph| states.map(|state| graph[state].as_u64().unwrap()))
            .sum();
        assert_eq!(tally["jobs"], jobs, "{by}: {tally}");
        let groups = tally["groups"].as_array().unwrap();
        let in_groups: u64 = groups.iter().map(|g| g["jobs"].as_u64().unwrap()).sum();
        assert_eq!(in_groups, jobs, "{by}");
    }
    for refused in ["", "?by=color", "?by=submitted", "?by=state&limit=1"] {
        let path = format!("/jobstore/v1/tally{refused}");
        assert_eq!(live.ask("GET", &path, "").status, 400, "{path}");
    }
}

#[test]
fn the_last_hour_of_each_graph_is_counted() {
    let live = Live::new();
    let recent = value(&live.ask("GET", "/jobstore/v1/recent", ""));
    let stats: Value = serde_json::from_str(&live.store.stats().unwrap().to_json()).unwrap();
    let (recent, stats) = (&recent["graphs"], &stats["graphs"]);
    assert_eq!(
        recent.as_array().unwrap().len(),
        stats.as_array().unwrap().len()
    );
    for n in 0..2 {
        assert_eq!(recent[n]["name"], stats[n]["name"]);
        // All jobs are new.
        assert_eq!(recent[n]["counts"], stats[n]["counters"]);
        let completed = recent[n]["counts"]["completed"].as_object().unwrap();
        let jobs: u64 = completed.values().map(|jobs| jobs.as_u64().unwrap()).sum();
        let steps = recent[n]["completedPer5Minutes"].as_array().unwrap();
        let in_steps: u64 = steps.iter().map(|jobs| jobs.as_u64().unwrap()).sum();
        assert_eq!((steps.len(), in_steps), (12, jobs));
    }
    assert_eq!(live.ask("GET", "/jobstore/v1/recent?x=1", "").status, 400);
}

#[test]
fn jobs_of_all_graphs_are_listed_page_by_page() {
    let live = Live::new();
    let list = |query: &str| live.ask("GET", &format!("/jobstore/v1/jobs?{query}"), "");
    let all = list("");
    assert_eq!(
        ids(&all),
        ["waits", "runs", "good", "bad", "other", "other"]
    );
    assert_eq!(all.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(all.header("x-next-cursor"), None);
    assert!(!all.ok().contains("c4n4ry"));
    let jobs = values(all.ok());
    let place = |n: usize| json!([jobs[n]["projectId"], jobs[n]["graphName"]]);
    assert_eq!(place(0), json!(["10001", "movie"]));
    assert_eq!(place(5), json!(["10002", "movie"]));
    // A job is the same line as alone.
    let alone = live.of_movie("GET", "/jobs/bad", "").ok().to_owned();
    let line = all.ok().lines().nth(3).unwrap();
    assert!(line.ends_with(&alone[1..]), "{line}");
    let (mut found, mut query) = (Vec::new(), "order=newest_first&limit=4".to_owned());
    loop {
        let page = list(&query);
        found.extend(ids(&page));
        match page.header("x-next-cursor") {
            Some(next) => query = format!("order=newest_first&limit=4&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(found, ["other", "other", "bad", "good", "runs", "waits"]);
    assert_eq!(ids(&list("outcome=failed")), ["bad"]);
    for wrong in [
        "limit=0",
        "limit=1001",
        "offset=1",
        "detail=true",
        "cursor=x",
        "nope=1",
    ] {
        assert_eq!(list(wrong).status, 400, "{wrong}");
    }
}

#[test]
fn a_job_is_waited_for_and_what_is_purged_leaves_a_tombstone() {
    let live = Live::new();
    let still = value(&live.of_movie("GET", "/jobs/runs?wait_ms=1", ""));
    assert_eq!(still["status"], "running");
    let done = std::thread::scope(|scope| {
        let waits = scope.spawn(|| live.of_movie("GET", "/jobs/runs?wait_ms=60000", ""));
        std::thread::sleep(Duration::from_millis(50));
        live.movie.complete("runs", Outcome::succeeded()).unwrap();
        waits.join().unwrap()
    });
    assert_eq!(value(&done)["outcome"]["kind"], "succeeded");
    let none = live.of_movie("GET", "/jobs/good/tombstone", "");
    none.is_failure(400, "GES.8301", "can not find job, jobId is good");
    live.movie
        .purge(JobQuery::new().outcome(OutcomeKind::Failed))
        .unwrap();
    let tombstone = live.movie.tombstone("bad").unwrap().unwrap().to_json();
    assert_eq!(
        live.of_movie("GET", "/jobs/bad/tombstone", "").ok(),
        tombstone
    );
    for path in ["/jobs/bad", "/jobs/bad?wait_ms=10"] {
        let purged = live.of_movie("GET", path, "");
        assert_eq!(purged.status, 400);
        assert!(
            purged.text().contains("job bad was purged at "),
            "{}",
            purged.text()
        );
    }
    for (path, status) in [("/jobs/nope?wait_ms=5", 400), ("/jobs/runs?wait_ms=0", 400)] {
        assert_eq!(live.of_movie("GET", path, "").status, status, "{path}");
    }
}

#[test]
fn jobs_are_changed_one_by_one_and_all_at_once() {
    let live = Live::new();
    let failed = r#"{"outcome":"failed","message":"by hand"}"#;
    let done = live.of_movie("POST", "/jobs/runs/complete", failed);
    assert_eq!(value(&done), json!({"completed": true}));
    let again = live.of_movie("POST", "/jobs/runs/cancel", "");
    assert_eq!(value(&again), json!({"cancelled": "alreadyComplete"}));
    for id in ["a", "b"] {
        live.movie.submit_as(id, request("c", "{}")).unwrap();
    }
    live.movie.start("a").unwrap();
    let expected = json!({"jobs": 3, "cancelled": 2, "requested": 1, "alreadyComplete": 0});
    let dry = live.of_movie("POST", "/cancel?command=c&dry_run=true", "");
    assert_eq!(value(&dry), expected);
    assert_eq!(live.movie.count(State::Pending).unwrap(), 2);
    assert_eq!(
        value(&live.of_movie("POST", "/cancel?command=d", ""))["jobs"],
        0
    );
    assert_eq!(
        value(&live.of_movie("POST", "/cancel?command=c", "")),
        expected
    );
    assert_eq!(live.movie.count(State::Pending).unwrap(), 0);
    assert!(live.movie.job("a").unwrap().unwrap().cancel_requested());
    let dry = live.of_movie("POST", "/purge?outcome=failed&dry_run=true", "");
    assert_eq!(value(&dry), json!({"jobs": 2}));
    assert_eq!(live.movie.count(State::Complete).unwrap(), 5);
    let purged = live.of_movie("POST", "/purge?outcome=failed", "");
    assert_eq!(value(&purged), json!({"jobs": 2}));
    assert_eq!(live.movie.count(State::Complete).unwrap(), 3);
    for path in [
        "/cancel?limit=1",
        "/purge?offset=1",
        "/cancel?dry_run=maybe",
        "/cancel?command=",
    ] {
        assert_eq!(live.of_movie("POST", path, "").status, 400, "{path}");
    }
}

#[test]
fn changes_in_bulk_end_before_the_client_is_told_that_the_engine_is_not_there() {
    let live = Live::with(|routes| routes.limits(Limits::new().first_byte(Duration::from_secs(2))));
    // Enough for several steps. What is reported as partial continues with the next request.
    for _ in 0..5 {
        live.movie
            .submit_all(vec![request("c", "{}"); 1000])
            .unwrap();
    }
    let mut cancelled = 0;
    loop {
        let done = value(&live.of_movie("POST", "/cancel?state=pending", ""));
        cancelled += done["cancelled"].as_u64().unwrap();
        if done.get("isPartial").is_none() {
            break;
        }
    }
    assert_eq!(cancelled, 5001);
    assert_eq!(live.movie.count(State::Pending).unwrap(), 0);
}

#[test]
fn jobs_are_found_and_exported_without_secrets() {
    let live = Live::new();
    let wanted = request("c", r#"{"secretKey":"c4n4ry","of":"good"}"#);
    let found = live.of_movie("POST", "/find", wanted.as_json());
    assert_eq!(ids(&found), ["good"]);
    let found = live.of_movie("POST", "/find?url_prefix=/ges&limit=2", "");
    assert_eq!(ids(&found), ["bad", "good"]);
    assert!(found.header("x-next-cursor").is_some());
    let mut lines = Vec::new();
    live.movie
        .export(JobQuery::new())
        .unwrap()
        .write_all(&mut lines)
        .unwrap();
    let exported = live.of_movie("GET", "/export", "");
    assert_eq!(exported.ok().as_bytes(), lines);
    assert!(!exported.ok().contains("c4n4ry") && !found.ok().contains("c4n4ry"));
    let page = live.of_movie("GET", "/jobs?state=complete", "");
    assert_eq!(ids(&page), ["good", "bad"]);
    assert_eq!(page.header("x-total-count"), Some("2"));
    let revealed = live.of_movie("GET", "/export?reveal_secrets=true", "");
    assert_eq!(revealed.status, 400);
    assert!(
        revealed.text().contains("unknown parameter"),
        "{}",
        revealed.text()
    );
}

#[test]
fn a_retention_policy_is_read_and_replaced() {
    let live = Live::new();
    assert_eq!(live.of_movie("GET", "/retention", "").ok(), "null");
    let policy = Retention::new().max_jobs(7);
    let put = live.of_movie("PUT", "/retention", r#"{"maxJobs":7}"#);
    assert_eq!(put.ok(), policy.to_json());
    assert_eq!(live.movie.retention(), Some(policy.clone()));
    assert_eq!(
        live.of_movie("GET", "/retention", "").ok(),
        policy.to_json()
    );
    for wrong in ["", "{", r#"{"maxJob":7}"#, r#"{"maxAgeOfMs":{"lost":1}}"#] {
        assert_eq!(
            live.of_movie("PUT", "/retention", wrong).status,
            400,
            "{wrong}"
        );
    }
    assert_eq!(live.movie.retention(), Some(policy));
    assert_eq!(live.of_movie("PUT", "/retention", "null").ok(), "null");
    assert_eq!(live.movie.retention(), None);
    let refused = live.of_movie("PUT", "/retention", r#"{"archiveTo":"/tmp/x"}"#);
    assert_eq!(refused.status, 400);
    assert_eq!(live.movie.retention(), None);
}

#[cfg(feature = "archive")]
#[test]
fn a_client_keeps_the_archive_that_the_engine_chose() {
    let live = Live::new();
    let dir = tempfile::tempdir().unwrap();
    let policy = Retention::new().archive_to(dir.path());
    live.movie.set_retention(Some(policy.clone())).unwrap();
    let mut given: Value = serde_json::from_str(&policy.to_json()).unwrap();
    given["maxJobs"] = 100.into();
    let kept = live.of_movie("PUT", "/retention", &given.to_string());
    assert_eq!(value(&kept)["archiveTo"], dir.path().to_str().unwrap());
    given["archiveTo"] = "/elsewhere".into();
    for other in [given.to_string(), "null".to_owned(), "{}".to_owned()] {
        let refused = live.of_movie("PUT", "/retention", &other);
        assert_eq!(refused.status, 400);
        assert!(refused.text().contains("only be changed by the engine"));
    }
    assert_eq!(live.movie.retention(), Some(policy.max_jobs(100)));
}

#[test]
fn jobs_are_counted_now_and_over_time() {
    let live = Live::new();
    let tally = |query: &str| value(&live.of_movie("GET", &format!("/tally?{query}"), ""));
    let by_outcome = tally("by=outcome");
    let expected = live.movie.tally(JobQuery::new(), TallyBy::Outcome).unwrap();
    let expected: Value = serde_json::from_str(&expected.to_json()).unwrap();
    assert_eq!(by_outcome, expected);
    assert_eq!(
        (&by_outcome["jobs"], &by_outcome["isPartial"]),
        (&json!(4), &json!(false))
    );
    let failed = tally("by=command&outcome=failed");
    assert_eq!(failed["groups"], json!([{"command": "c", "jobs": 1}]));
    assert_eq!(tally("by=state&state=pending")["jobs"], 1);
    assert_eq!(tally("by=submitted&period_ms=86400000")["jobs"], 4);
    for wrong in [
        "",
        "by=",
        "by=url",
        "by=submitted",
        "by=state&period_ms=5",
        "by=origin&period_ms=5",
        "by=state&limit=1",
    ] {
        let refused = live.of_movie("GET", &format!("/tally?{wrong}"), "");
        assert_eq!(refused.status, 400, "{wrong}");
    }
    let history = |query: &str| value(&live.of_movie("GET", &format!("/history?{query}"), ""));
    let all = history("step_ms=86400000");
    let points = all["points"].as_array().unwrap();
    // Midnight may lie between the jobs.
    let submitted = |point: &Value| point["counts"]["submitted"].as_u64().unwrap();
    assert_eq!(points.iter().map(submitted).sum::<u64>(), 4);
    let bounds = all["boundsMs"].as_array().unwrap().len();
    assert_eq!(
        points[0]["counts"]["waits"]["counts"]
            .as_array()
            .unwrap()
            .len(),
        bounds + 1
    );
    let from = points[0]["start"].as_u64().unwrap();
    assert_eq!(history(&format!("from={from}&step_ms=86400000")), all);
    assert_eq!(history("to=1000")["points"], json!([]));
    for wrong in [
        "step_ms=1",
        "step_ms=5400000",
        "from=5&to=4",
        "from=yesterday",
        "to=",
        "limit=1",
    ] {
        let refused = live.of_movie("GET", &format!("/history?{wrong}"), "");
        assert_eq!(refused.status, 400, "{wrong}");
    }
}

#[test]
fn jobs_are_counted_by_origin() {
    let live = Live::new();
    for n in 0..3 {
        let traced = request("c", "{}").with_origin("alice").unwrap();
        live.movie.submit_as(format!("{n}"), traced).unwrap();
    }
    let tally = value(&live.of_movie("GET", "/tally?by=origin", ""));
    let groups = json!([{"origin": null, "jobs": 4}, {"origin": "alice", "jobs": 3}]);
    assert_eq!(tally["groups"], groups);
    let running = value(&live.of_movie("GET", "/tally?by=origin&state=running", ""));
    assert_eq!(running["groups"], json!([{"origin": null, "jobs": 1}]));
}

#[test]
fn a_feed_is_read_in_parts_and_resumed_after_any_line() {
    let live = Live::new();
    let changes = |query: &str| values(live.of_movie("GET", &format!("/changes{query}"), "").ok());
    let all = changes("");
    let expected: Vec<Value> = live
        .movie
        .changes(None)
        .unwrap()
        .map(|change| {
            let json = live.movie.change_to_json(&change.unwrap());
            serde_json::from_str(&json).unwrap()
        })
        .collect();
    assert_eq!(all, expected);
    assert_eq!(all.len(), 9);
    for (n, line) in all.iter().enumerate() {
        let position = line["position"].as_str().unwrap();
        assert_eq!(changes(&format!("?after={position}")), all[n + 1..]);
    }
    assert!(changes("?after=end").is_empty());
    let kinds: Vec<String> = changes("?coalesce=1")
        .iter()
        .map(|line| format!("{} {}", line["jobId"].as_str().unwrap(), line["kind"]))
        .collect();
    let last = [
        "waits \"submitted\"",
        "runs \"started\"",
        "good \"completed\"",
        "bad \"completed\"",
    ];
    assert_eq!(kinds, last);
    for wrong in [
        "after=",
        "after=x",
        "follow=1",
        "coalesce=0",
        "coalesce=60001",
        "state=running",
    ] {
        let refused = live.of_movie("GET", &format!("/changes?{wrong}"), "");
        assert_eq!(refused.status, 400, "{wrong}");
    }
}

#[test]
fn a_followed_feed_shows_changes_as_they_happen_and_ends_with_the_server() {
    let mut live = Live::new();
    let mut lines = live.follow("&after=end");
    let first = lines.next().unwrap();
    assert_eq!(first[0]["kind"], "heartbeat");
    live.movie.cancel("waits").unwrap();
    let change = lines.next_change();
    assert_eq!(
        (&change["kind"], &change["jobId"]),
        (&json!("completed"), &json!("waits"))
    );
    // The feed continues after its first line, too.
    let position = first[0]["position"].as_str().unwrap();
    let since = live.of_movie("GET", &format!("/changes?after={position}"), "");
    assert_eq!(values(since.ok()), [change]);
    live.server.end();
    while let Some(more) = lines.next() {
        assert_eq!(more[0]["kind"], "heartbeat");
    }
    live.store.close().unwrap();
}

#[test]
fn a_followed_feed_ends_with_its_graph_its_store_or_its_time() {
    let live = Live::new();
    let mut lines = live.follow("&after=end");
    lines.next().unwrap();
    live.store.drop_graph("10001", "movie").unwrap();
    while lines.next().is_some() {}

    let live = Live::new();
    let mut lines = live.follow("&after=end");
    lines.next().unwrap();
    live.store.close().unwrap();
    while lines.next().is_some() {}

    let whole = Limits::new().whole(Duration::from_millis(20));
    let live = Live::with(|routes| routes.limits(whole));
    let mut lines = live.follow("");
    let mut seen = 0;
    while let Some(more) = lines.next() {
        seen += more.len();
    }
    assert!(seen > 0);
}

#[test]
fn an_idle_feed_sends_heartbeats_and_takes_a_slot_until_its_client_leaves() {
    let limits = Limits::new()
        .long_pages(1)
        .stall(Duration::from_millis(100));
    let live = Live::with(|routes| routes.limits(limits));
    let mut lines = live.follow("&after=end");
    for _ in 0..3 {
        let heartbeat = lines.next().unwrap();
        assert_eq!(heartbeat[0]["kind"], "heartbeat");
    }
    let refused = live.of_movie("GET", "/changes?follow=true", "");
    refused.is_failure(503, "GES.8602", "engine service unavailable");
    drop(lines);
    wait_until("the slot is free", || {
        let mut stream = live.server.connect();
        let path = format!("{MOVIE}/changes?follow=true&after=end");
        send(&mut stream, "GET", &path, &[], b"");
        head(&mut BufReader::new(stream)).0 == 200
    });
}

#[test]
fn a_client_that_does_not_read_its_feed_loses_its_slot() {
    let limits = Limits::new()
        .long_pages(1)
        .stall(Duration::from_millis(100));
    let live = Live::with(|routes| routes.limits(limits));
    // More than the buffers of the connection.
    let body = format!("\"{}\"", "x".repeat(60 << 10));
    for n in 0..200 {
        let id = format!("large-{n}");
        live.movie.submit_as(&id, request("c", "{}")).unwrap();
        let run = live.movie.claim(&id).unwrap();
        run.complete(Outcome::succeeded().with_detail_json(&body).unwrap())
            .unwrap();
    }
    let stalled = live.follow("");
    wait_until("the slot is free", || {
        live.of_movie("HEAD", "/changes?follow=true&after=end", "")
            .status
            == 200
    });
    // The body is aborted, not ended as if it were complete.
    let mut reader = stalled.0;
    let whole = chunks(&mut reader, |_| {});
    assert!(!whole);
}

#[test]
fn each_route_needs_its_permission() {
    use Permission::{Cancel, Complete, Export, Observe, Purge, Read};
    type Seen = Vec<(Permission, String, Option<String>, Option<String>)>;
    let asked: Arc<Mutex<Seen>> = Arc::default();
    let seen = asked.clone();
    let live = Live::with(move |routes| {
        routes.authorize(move |caller| {
            let entry = (
                caller.permission,
                caller.project_id.clone(),
                caller.graph_name.clone(),
                caller.job_id.clone(),
            );
            seen.lock().unwrap().push(entry);
            std::future::ready(match caller.headers.get("x-auth-token") {
                Some(_) => Access::Forbidden,
                None => Access::Unauthenticated,
            })
        })
    });
    let complete = r#"{"outcome":"failed"}"#;
    for (method, path, body, permission) in [
        ("GET", "", "", Observe),
        ("GET", "/jobs", "", Read),
        ("GET", "/jobs/runs", "", Read),
        ("GET", "/jobs/runs/tombstone", "", Read),
        ("POST", "/jobs/runs/cancel", "", Cancel),
        ("POST", "/jobs/runs/complete", complete, Complete),
        ("POST", "/find", "", Read),
        ("GET", "/changes?follow=true", "", Read),
        ("POST", "/cancel", "", Cancel),
        ("POST", "/purge", "", Purge),
        ("GET", "/retention", "", Observe),
        ("PUT", "/retention", "null", Purge),
        ("GET", "/tally?by=state", "", Observe),
        ("GET", "/tally?by=state&command=c", "", Observe),
        ("GET", "/tally?by=state&body%5Fcontains=x", "", Read),
        ("GET", "/tally?by=state&origin=alice", "", Read),
        ("GET", "/tally?by=origin", "", Read),
        ("GET", "/tally?by=%6Frigin", "", Read),
        ("GET", "/history", "", Observe),
        ("GET", "/export", "", Export),
    ] {
        for (headers, status) in [(&[][..], 401), (&[("X-Auth-Token", "known")][..], 403)] {
            for graph in ["movie", "movidde"] {
                let path = format!("/jobstore/v1/graphs/10001/{graph}{path}");
                let stream = live.server.connect();
                let answer = ask(stream, method, &path, headers, body.as_bytes());
                assert_eq!(answer.status, status, "{method} {path}");
                let asked = std::mem::take(&mut *asked.lock().unwrap());
                let job = path.contains("/runs").then(|| "runs".to_owned());
                let expected = (permission, "10001".to_owned(), Some(graph.to_owned()), job);
                assert_eq!(asked, [expected], "{method} {path}");
            }
        }
    }
    let none = live.ask("GET", "/jobstore/v1/store", "");
    assert_eq!(none.status, 401);
    assert_eq!(live.ask("GET", "/jobstore/v1/graphs", "").status, 401);
    assert_eq!(live.ask("GET", "/jobstore/v1/jobs", "").status, 401);
    assert_eq!(live.movie.count(State::Running).unwrap(), 1);
    assert_eq!(live.movie.count(State::Complete).unwrap(), 2);
}

#[test]
fn a_caller_learns_which_permissions_it_has() {
    let live = Live::with(|routes| {
        routes.authorize(|caller| {
            let token = caller.token.as_ref().map(|token| token.as_str().to_owned());
            let is_own = caller.project_id == "10001" && caller.job_id.is_none();
            let is_read = matches!(caller.permission, Permission::Read | Permission::Observe);
            // The method is that of a request that needs the permission.
            let is_get = caller.method == axum::http::Method::GET;
            assert_eq!(is_get, is_read || caller.permission == Permission::Export);
            std::future::ready(match token.as_deref() {
                Some("operator") if is_own => Access::Granted,
                Some("reader") if is_own && is_read => Access::Granted,
                Some(_) => Access::Forbidden,
                None => Access::Unauthenticated,
            })
        })
    });
    let permissions = |graph: &str, token: Option<&str>| {
        let path = format!("/jobstore/v1/graphs/{graph}/permissions");
        let headers: Vec<(&str, &str)> = token.iter().map(|t| ("X-Auth-Token", *t)).collect();
        ask(live.server.connect(), "GET", &path, &headers, b"")
    };
    let all = json!({"permissions": ["read", "cancel", "complete", "purge", "export", "observe"]});
    let read = json!({"permissions": ["read", "observe"]});
    assert_eq!(value(&permissions("10001/movie", Some("operator"))), all);
    assert_eq!(value(&permissions("10001/movie", Some("reader"))), read);
    // A caller without any permission does not learn whether the graph exists.
    for (graph, status) in [("movie", 200), ("movidde", 400)] {
        let own = permissions(&format!("10001/{graph}"), Some("reader"));
        assert_eq!(own.status, status, "{graph}");
        let none = permissions(&format!("10001/{graph}"), None);
        assert_eq!(none.status, 401, "{graph}");
        let other = permissions(&format!("10002/{graph}"), Some("operator"));
        assert_eq!(other.status, 403, "{graph}");
    }
    let open = Live::new().of_movie("GET", "/permissions", "");
    assert_eq!(value(&open), all);
    assert_eq!(
        Live::new().of_movie("GET", "/permissions?x=1", "").status,
        400
    );
}

#[test]
fn a_caller_sees_only_the_graphs_that_are_allowed() {
    let live = Live::with(|routes| {
        routes.authorize(|caller| {
            let is_own =
                caller.project_id == "10001" && caller.graph_name.as_deref() == Some("movie");
            let access = match (caller.permission, is_own) {
                (Permission::Read | Permission::Observe, true) => Access::Granted,
                _ => Access::Forbidden,
            };
            std::future::ready(access)
        })
    });
    let graphs = value(&live.ask("GET", "/jobstore/v1/graphs", ""));
    assert_eq!(graphs["graphs"].as_array().unwrap().len(), 1);
    let jobs = live.ask("GET", "/jobstore/v1/jobs", "");
    assert_eq!(ids(&jobs), ["waits", "runs", "good", "bad"]);
    assert_eq!(live.ask("GET", "/jobstore/v1/store", "").status, 403);
    assert_eq!(live.of_movie("POST", "/cancel", "").status, 403);
}

#[test]
fn a_page_of_another_site_cannot_change_anything() {
    let live = Live::new();
    let from = |site: &str, method: &str, path: &str| {
        let path = format!("{MOVIE}{path}");
        let headers = [("Sec-Fetch-Site", site)];
        ask(live.server.connect(), method, &path, &headers, b"").status
    };
    for site in ["cross-site", "same-site"] {
        assert_eq!(from(site, "POST", "/cancel"), 403);
        assert_eq!(from(site, "POST", "/jobs/waits/cancel"), 403);
    }
    assert_eq!(live.movie.count(State::Pending).unwrap(), 1);
    assert_eq!(from("cross-site", "GET", "/jobs"), 200);
    assert_eq!(from("same-origin", "POST", "/jobs/waits/cancel"), 200);
    assert_eq!(live.movie.count(State::Pending).unwrap(), 0);
}
