//! Spans and events that the library sends to `tracing`.
//!
//! Guarantee: spans and events identify projects, graphs, jobs, and HTTP requests by their ids;
//! they contain nothing of a request's body, a query, or a token.

mod common;
#[path = "common/http.rs"]
mod http;

use std::fmt::{Debug, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use common::request;
use http::{Server, control};
use jobstore::http::{Access, Routes, no_such_resource};
use jobstore::{JobQuery, JobStore, OnBadLine, Outcome};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const CANARY: &str = "c4n4ry";

/// Collects everything as text.
struct Told;

static TOLD: Mutex<String> = Mutex::new(String::new());
static SPANS: AtomicU64 = AtomicU64::new(1);

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl Subscriber for Told {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut told = TOLD.lock().unwrap();
        told.push_str(span.metadata().name());
        span.record(&mut Fields(&mut told));
        told.push('\n');
        Id::from_u64(SPANS.fetch_add(1, Ordering::Relaxed))
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Fields(&mut TOLD.lock().unwrap()));
    }

    fn event(&self, event: &Event<'_>) {
        let mut told = TOLD.lock().unwrap();
        told.push_str("event");
        event.record(&mut Fields(&mut told));
        told.push('\n');
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn ids_are_told_and_never_what_a_request_carries() {
    tracing::subscriber::set_global_default(Told).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let store = JobStore::open(dir.path().join("store")).unwrap();
    let movie = store.create_graph("10001", "movie").unwrap();
    let body = format!(r#"{{"path":"{CANARY}","secretKey":"{CANARY}"}}"#);
    let submit = |id: &str| movie.submit_as(id, request("c", &body)).unwrap();
    submit("job-1");
    let made = movie.submit(request("c", &body)).unwrap();
    movie.submit_once(CANARY, request("c", &body)).unwrap();
    let run = movie.claim("job-1").unwrap();
    run.progress(50, CANARY);
    let detail = format!(r#"{{"of":"{CANARY}"}}"#);
    let failed = Outcome::failed("E1", CANARY).with_detail_json(detail);
    run.complete(failed.unwrap()).unwrap();
    movie.cancel(&made).unwrap();
    assert!(movie.start("job-1").is_err());
    movie.find(&request("c", &body)).unwrap().for_each(drop);
    movie.list(JobQuery::new().body_contains(CANARY)).unwrap();
    let mut lines = Vec::new();
    let mut export = movie.export(JobQuery::new()).unwrap().reveal_secrets();
    export.write_all(&mut lines).unwrap();
    let bad = format!("{CANARY}\n");
    assert!(movie.import(bad.as_bytes(), OnBadLine::Stop).is_err());
    movie.import(&lines[..], OnBadLine::Stop).unwrap();

    let routes = Routes::new(&store).authorize(|_| async { Access::Granted });
    let server = Server::start(routes.all().fallback(no_such_resource));
    let list = "/ges/v1.0/10001/graphs/movie/jobs/status";
    let headers = [("X-Auth-Token", CANARY), ("X-Request-Id", "request-7")];
    for query in ["body_contains=", "limit=", "state=", "nope="] {
        server.ask("GET", &format!("{list}?{query}{CANARY}"), &headers);
    }
    server.ask("GET", &list.replace("status", "job-1/status"), &headers);
    server.ask("DELETE", &list.replace("status", "job-1"), &headers);
    // A hook may panic with a token in the message.
    let died = Routes::new(&store).authorize(|caller| async move {
        panic!("of {:?}", caller.token.map(|t| t.as_str().to_owned()))
    });
    let dead = Server::start(died.list());
    assert_eq!(dead.ask("GET", list, &headers).status, 500);
    let opened = store.control().unwrap();
    let graph = "/control/graphs/10001/movie";
    let asked = format!(r#"{{"command":"c","url":"/ges","body":{body}}}"#);
    control(
        opened.path(),
        "POST",
        &format!("{graph}/find"),
        asked.as_bytes(),
    );
    control(
        opened.path(),
        "POST",
        &format!("{graph}/import"),
        bad.as_bytes(),
    );
    movie.submit_as("hangs", request("c", &body)).unwrap();
    movie.submit_as("waits", request("c", &body)).unwrap();
    let run = movie.claim("hangs").unwrap();
    let post = |path: &str, body: &str| {
        let path = format!("{graph}/{path}");
        control(opened.path(), "POST", &path, body.as_bytes());
    };
    let ended = format!(r#"{{"outcome":"failed","message":"{CANARY}"}}"#);
    post("jobs/hangs/cancel", "");
    post("jobs/hangs/complete", &ended);
    // Already complete: nothing to log.
    post("jobs/hangs/complete", &ended);
    server.ask("DELETE", &list.replace("status", "waits"), &headers);
    drop(run);
    post("purge", "");
    drop(opened);
    store.create_graph("10001", "roads").unwrap();
    store.drop_graph("10001", "roads").unwrap();
    store.backup(dir.path().join("copy")).unwrap();
    store.scrub().unwrap();
    store.close().unwrap();
    // A request that fails because of a fault is also logged.
    let closed = server.ask("GET", &format!("{list}?command={CANARY}"), &headers);
    assert_eq!(closed.status, 503);

    let told = TOLD.lock().unwrap();
    assert!(!told.contains(CANARY), "{told}");
    assert!(!told.contains("dropped run"), "a false alarm: {told}");
    let acts = |action: &str| {
        let what = format!("event message=job or graph changed by a client action=\"{action}\"");
        told.lines()
            .filter(|line| line.starts_with(&what))
            .collect::<Vec<_>>()
    };
    let by = format!(
        "by=uid {} pid {}",
        rustix::process::geteuid().as_raw(),
        std::process::id()
    );
    let job = r#"project="10001" graph="movie" job="hangs""#;
    assert!(
        acts("complete").len() == 1 && acts("cancel").len() == 2,
        "{told}"
    );
    assert!(
        acts("complete")[0].ends_with(&format!("{job} {by} done=failed")),
        "{told}"
    );
    assert!(
        acts("cancel")[0].ends_with(&format!("{job} {by} done=requested")),
        "{told}"
    );
    let waits = r#"job="waits" by=an HTTP client done=canceled before it started"#;
    assert!(acts("cancel")[1].ends_with(waits), "{told}");
    assert!(
        acts("purge")[0].contains(&format!(r#"graph="movie" {by} done="#)),
        "{told}"
    );
    let dropped = r#"project="10001" graph="roads""#;
    assert!(
        told.contains(&format!("event message=graph dropped {dropped}")),
        "{told}"
    );
    for expected in [
        "open dir=",
        r#"submit project="10001" graph="movie" job="job-1""#,
        &format!(r#"event message=recorded job="{made}""#),
        r#"start project="10001" graph="movie" job="job-1""#,
        r#"complete project="10001" graph="movie" job="job-1""#,
        r#"job project="10001" graph="movie" job="job-1""#,
        &format!(r#"cancel project="10001" graph="movie" job="{made}""#),
        r#"list project="10001" graph="movie""#,
        r#"find project="10001" graph="movie""#,
        r#"export project="10001" graph="movie""#,
        r#"import project="10001" graph="movie""#,
        r#"purge project="10001" graph="movie""#,
        "commit writes=1",
        "backup dir=",
        "scrub dir=",
        "close dir=",
        &format!(r#"http id="request-7" method=GET path={list}"#),
        "http id=\"request-7\" method=DELETE",
        "event message=response sent status=200",
        "event message=request failed: the handler panicked",
        "event message=request failed error=the store is closed",
    ] {
        assert!(told.contains(expected), "{expected} is not in {told}");
    }
}
