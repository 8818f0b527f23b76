//! The control socket of a store that an engine has open.
//!
//! Guarantee: the socket has the same effects as the library's calls; only users that may open the
//! directory can connect; it leaves no files behind, and does not keep a store from closing.

mod common;
#[path = "common/http.rs"]
mod http;
#[path = "common/names.rs"]
mod names;

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::{Random, files_ending, names_in, pack, request, small_segments};
use http::{Answer, ask, control};
use jobstore::http::Control;
use jobstore::{Error, Graph, JobQuery, JobStore, Outcome, OutcomeKind, Request};
use serde_json::{Value, json};

const CANARY: &str = "c4n4ry";

/// A store with a graph of jobs in all states, one of which has a secret, and its control socket.
struct Live {
    dir: tempfile::TempDir,
    store: JobStore,
    movie: Graph,
    control: Option<Control>,
}

impl Live {
    fn new() -> Live {
        let dir = tempfile::tempdir().unwrap();
        let store = JobStore::open(dir.path().join("store")).unwrap();
        let movie = store.create_graph("10001", "movie").unwrap();
        for id in ["waits", "runs", "good", "bad", "secret"] {
            let body = match id {
                "secret" => format!(r#"{{"accessKey":"{CANARY}"}}"#),
                _ => format!(r#"{{"of":"{id}"}}"#),
            };
            movie.submit_as(id, request("c", &body)).unwrap();
        }
        movie.start("runs").unwrap();
        let good = movie.claim("good").unwrap();
        good.complete(Outcome::succeeded()).unwrap();
        let bad = movie.claim("bad").unwrap();
        bad.complete(Outcome::failed("E1", "no file")).unwrap();
        let control = Some(store.control().unwrap());
        Live {
            dir,
            store,
            movie,
            control,
        }
    }

    fn socket(&self) -> PathBuf {
        self.store.path().join("control.sock")
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        control(&self.socket(), method, path, body.as_bytes())
    }

    /// A path below the graph.
    fn of_movie(&self, method: &str, path: &str, body: &str) -> Answer {
        self.ask(method, &format!("/control/graphs/10001/movie/{path}"), body)
    }

    fn lines(&self, graph: &Graph, list: JobQuery) -> String {
        let mut lines = Vec::new();
        let mut export = graph.export(list).unwrap();
        export.write_all(&mut lines).unwrap();
        String::from_utf8(lines).unwrap()
    }
}

fn value(answer: &Answer) -> Value {
    serde_json::from_str(answer.ok()).unwrap()
}

#[test]
fn the_contracts_routes_and_the_lists_own_give_the_librarys_pages() {
    let live = Live::new();
    let page = live.movie.list(JobQuery::new()).unwrap().to_json().unwrap();
    let page = String::from_utf8(page).unwrap();
    assert!(!page.contains(CANARY));
    let list = "/ges/v1.0/10001/graphs/movie/jobs/status";
    assert_eq!(live.ask("GET", list, "").ok(), page);
    assert_eq!(live.of_movie("GET", "list", "").ok(), page);
    let newest = live
        .movie
        .list(JobQuery::new().newest_first().limit(2))
        .unwrap();
    let newest = String::from_utf8(newest.to_json().unwrap()).unwrap();
    let answer = live.of_movie("GET", "list?order=newest_first&limit=2", "");
    assert_eq!(answer.ok(), newest);
    assert_eq!(answer.header("x-total-count"), Some("5"));
    let state = live.ask("GET", &list.replace("status", "bad/status"), "");
    assert!(state.ok().contains(r#""status":"failed""#));
    let detailed = live.of_movie(
        "GET",
        "list?detail=true&outcome=failed&count_total=true",
        "",
    );
    assert_eq!(value(&detailed)["totalCount"], 1);
}

#[test]
fn graphs_and_numbers_are_told() {
    let live = Live::new();
    live.store.create_graph("1 0", "a\"b").unwrap();
    let graphs = value(&live.ask("GET", "/control/graphs", ""));
    let graph = |n: usize| {
        let graph = &graphs["graphs"][n];
        json!([graph["projectId"], graph["name"], graph["complete"]])
    };
    assert_eq!(graph(0), json!(["10001", "movie", 2]));
    assert_eq!(graph(1), json!(["1 0", "a\"b", 0]));
    assert_eq!(graphs["graphs"].as_array().unwrap().len(), 2);
    let stats = value(&live.ask("GET", "/control/stats", ""));
    assert_eq!(stats["graphs"][0]["complete"], 2);
    assert_eq!(stats["health"]["state"], "ok");
    let empty = live.ask("GET", "/control/graphs/1%200/a%22b/list", "");
    assert_eq!(empty.ok(), r#"{"jobs":[],"result":"success"}"#);
}

#[test]
fn a_job_comes_as_the_line_that_an_export_has_for_it() {
    let live = Live::new();
    let lines = live.lines(&live.movie, JobQuery::new());
    for line in lines.lines() {
        let id = serde_json::from_str::<Value>(line).unwrap()["jobId"].clone();
        let path = format!("jobs/{}", id.as_str().unwrap());
        assert_eq!(live.of_movie("GET", &path, "").ok(), line);
    }
    let message = "can not find job, jobId is nope";
    live.of_movie("GET", "jobs/nope", "")
        .is_failure(400, "GES.8301", message);
    let unknown = live.ask("GET", "/control/graphs/10001/movidde/jobs/waits", "");
    unknown.is_failure(400, "GES.8000", "graph : movidde not exist");
}

#[test]
fn a_page_comes_as_the_lines_that_an_export_has_and_the_progress_of_what_runs() {
    let live = Live::new();
    let page = |query: &str| live.of_movie("GET", &format!("jobs?{query}"), "");
    let all = page("");
    assert_eq!(all.ok(), live.lines(&live.movie, JobQuery::new()));
    assert!(all.ok().contains("******") && !all.ok().contains(CANARY));
    assert_eq!(all.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(all.header("x-total-count"), Some("5"));
    assert_eq!(all.header("x-next-cursor"), None);
    assert_eq!(all.header("x-quarantined"), None);
    let first = page("order=newest_first&limit=2");
    let next = first.header("x-next-cursor").unwrap();
    let rest = page(&format!("order=newest_first&cursor={next}"));
    let newest = live.lines(&live.movie, JobQuery::new().newest_first());
    assert_eq!(first.ok().to_owned() + rest.ok(), newest);
    let run = live.movie.attach("runs").unwrap();
    run.progress(40, "iter\"ating");
    let running = page("state=running");
    let progress = r#","progress":{"percent":40,"text":"iter\"ating"}}"#;
    assert!(running.ok().ends_with(&format!("{progress}\n")));
    let line = live.of_movie("GET", "jobs/runs", "").ok().to_owned();
    assert_eq!(running.ok(), line + "\n");
    for wrong in ["detail=true", "limit=0", "nope=1"] {
        assert_eq!(page(wrong).status, 400, "{wrong}");
    }
}

#[test]
fn jobs_are_ended_as_the_librarys_calls_end_them() {
    let live = Live::new();
    let complete =
        |id: &str, body: &str| live.of_movie("POST", &format!("jobs/{id}/complete"), body);
    let failed = r#"{"outcome":"failed","message":"by hand","code":"E9"}"#;
    assert_eq!(value(&complete("runs", failed)), json!({"completed": true}));
    let ended = live.movie.job("runs").unwrap().unwrap();
    let outcome = ended.outcome().unwrap();
    assert_eq!(
        (outcome.kind(), outcome.code()),
        (OutcomeKind::Failed, Some("E9"))
    );
    assert_eq!(outcome.message(), Some("by hand"));
    let again = complete("runs", r#"{"outcome":"succeeded"}"#);
    assert_eq!(
        value(&again),
        json!({"completed": false, "outcome": "failed"})
    );
    for (id, body, words) in [
        (
            "waits",
            failed,
            "job waits is pending and cannot become complete",
        ),
        ("nope", failed, "can not find job, jobId is nope"),
        (
            "waits",
            r#"{"outcome":"done"}"#,
            "succeeded, partially_failed, failed",
        ),
        (
            "waits",
            r#"{"outcome":"failed","why":"secret words"}"#,
            "unexpected field or type",
        ),
        ("waits", "secret words", "invalid JSON"),
        ("waits", "", "invalid JSON"),
    ] {
        let answer = complete(id, body);
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.text().contains(words), "{answer:?}");
        assert!(!answer.text().contains("secret words"), "{answer:?}");
    }
    let cancel = |id: &str| live.of_movie("POST", &format!("jobs/{id}/cancel"), "");
    assert_eq!(value(&cancel("waits")), json!({"cancelled": "beforeStart"}));
    assert_eq!(
        value(&cancel("waits")),
        json!({"cancelled": "alreadyComplete"})
    );
    live.movie.start("secret").unwrap();
    assert_eq!(value(&cancel("secret")), json!({"cancelled": "requested"}));
    let message = "can not find job to cancel, id is nope";
    cancel("nope").is_failure(400, "GES.8303", message);
}

#[test]
fn jobs_are_found_by_their_request_newest_first_and_masked() {
    let live = Live::new();
    let again = r#"{"of":"good"}"#;
    live.movie.submit_as("again", request("c", again)).unwrap();
    let asked = Request::from_json(r#"{"command":"c","url":"/ges","body":{"of":"good"}}"#);
    let asked = asked.unwrap().as_json().to_owned();
    let expected: String = live
        .movie
        .find(&Request::from_json(&asked).unwrap())
        .unwrap()
        .map(|job| job.unwrap().to_json() + "\n")
        .collect();
    assert_eq!(expected.lines().count(), 2);
    assert_eq!(live.of_movie("POST", "find", &asked).ok(), expected);
    let first = expected.split_inclusive('\n').next().unwrap();
    assert_eq!(live.of_movie("POST", "find?limit=1", &asked).ok(), first);
    let secret = format!(r#"{{"command":"c","url":"/ges","body":{{"accessKey":"{CANARY}"}}}}"#);
    let found = live.of_movie("POST", "find", &secret);
    assert!(found.ok().contains(r#""jobId":"secret""#) && !found.text().contains(CANARY));
    let none = live.of_movie("POST", "find", r#"{"command":"other","url":"/ges"}"#);
    assert_eq!(none.ok(), "");
    for (path, body) in [
        ("find?limit=0", asked.as_str()),
        ("find?x=1", &asked),
        ("find?command=c", &asked),
        ("find?stop_after_ms=5", &asked),
        ("find", "{"),
        ("find", "{}"),
    ] {
        assert_eq!(
            live.of_movie("POST", path, body).status,
            400,
            "{path} {body}"
        );
    }
}

#[test]
fn jobs_are_found_by_parts_newest_first_and_where_that_goes_on() {
    let live = Live::new();
    let find = |query: &str| live.of_movie("POST", &format!("find?{query}"), "");
    let line = |id: &str| live.movie.job(id).unwrap().unwrap().to_json() + "\n";
    let lines = |ids: &[&str]| ids.iter().map(|id| line(id)).collect::<String>();
    let all = find("url_prefix=/ges");
    assert_eq!(all.ok(), lines(&["secret", "bad", "good", "runs", "waits"]));
    assert_eq!(all.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(all.header("x-next-cursor"), None);
    assert_eq!(all.header("x-searched"), Some("5/5"));
    assert_eq!(find("outcome=failed&command=c").ok(), line("bad"));
    let value = "body_pointer=/of&body_value=%22good%22&state=complete";
    assert_eq!(find(value).ok(), line("good"));
    let none = find("body_contains=nowhere");
    assert_eq!((none.ok(), none.header("x-next-cursor")), ("", None));
    // No secret is shown, and none can be guessed.
    assert!(!all.text().contains(CANARY));
    assert_eq!(find(&format!("body_contains={CANARY}")).ok(), "");

    let (mut found, mut cursor) = (String::new(), String::new());
    for _ in 0..10 {
        let some = find(&format!("command=c&limit=2{cursor}"));
        found += some.ok();
        let Some(next) = some.header("x-next-cursor") else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found, all.text());
    for wrong in [
        "",
        "limit=5",
        "limit=0&command=c",
        "limit=100001&command=c",
        "stop_after_ms=0&command=c",
        "order=oldest_first&command=c",
        "body_pointer=n&body_value=1",
        &format!("command=other{cursor}"),
        &cursor[1..],
    ] {
        let refused = find(wrong);
        assert_eq!(refused.status, 400, "{wrong}: {refused:?}");
        assert!(refused.text().contains("GES.8000"), "{refused:?}");
    }
}

#[test]
fn a_search_that_is_stopped_goes_on_to_the_same_end() {
    let live = Live::new();
    for _ in 0..30 {
        let jobs = (0..1000).map(|n| request("c", &format!(r#"{{"n":{n}}}"#)));
        live.movie.submit_all(jobs).unwrap();
    }
    let parts = "body_pointer=/n&body_value=7";
    let whole = live.of_movie("POST", &format!("find?{parts}"), "");
    assert_eq!(whole.ok().lines().count(), 30);
    let (mut found, mut stretches, mut cursor) = (String::new(), 0, String::new());
    loop {
        let query = format!("find?{parts}&stop_after_ms=1{cursor}");
        let some = live.of_movie("POST", &query, "");
        found += some.ok();
        stretches += 1;
        let (looked_at, of) = some.header("x-searched").unwrap().split_once('/').unwrap();
        let left = of.parse::<u64>().unwrap() - looked_at.parse::<u64>().unwrap();
        let Some(next) = some.header("x-next-cursor") else {
            assert_eq!(left, 0);
            break;
        };
        cursor = format!("&cursor={next}");
    }
    assert!(found == whole.text() && stretches > 1, "{stretches}");
}

#[test]
fn jobs_go_out_and_come_in_as_lines() {
    let live = Live::new();
    let lines = live.lines(&live.movie, JobQuery::new());
    let out = live.of_movie("GET", "export", "");
    assert_eq!(out.ok(), lines);
    assert_eq!(out.header("content-type"), Some("application/x-ndjson"));
    assert!(!lines.contains(CANARY) && lines.contains("******"));
    let revealed = live.of_movie("GET", "export?reveal_secrets=true", "");
    assert!(revealed.ok().contains(CANARY));
    let some = live.of_movie("GET", "export?state=complete&order=newest_first", "");
    let list = JobQuery::new()
        .state(jobstore::State::Complete)
        .newest_first();
    assert_eq!(some.ok(), live.lines(&live.movie, list));
    assert_eq!(live.of_movie("GET", "export?limit=5", "").status, 400);

    let into = |query: &str, body: &str| {
        live.ask(
            "POST",
            &format!("/control/graphs/10001/copy/import{query}"),
            body,
        )
    };
    into("", revealed.text()).is_failure(400, "GES.8000", "graph : copy not exist");
    let done = value(&into("?create=true", revealed.text()));
    assert_eq!(
        (&done["imported"], &done["skipped"]),
        (&json!(5), &json!(0))
    );
    let copy = live.store.graph("10001", "copy").unwrap();
    assert_eq!(live.lines(&copy, JobQuery::new()), lines);
    let again = value(&into("", revealed.text()));
    assert_eq!(
        (&again["imported"], &again["there"]),
        (&json!(0), &json!(5))
    );

    let bad =
        "{\"command\":\"c\",\"url\":\"/\"}\nsecret words\n\n{\"jobId\":\"x\",\"command\":\"c\"}\n";
    let stopped = into("", bad);
    assert_eq!(stopped.status, 400);
    assert!(
        stopped.text().contains("line 2 is not a valid job"),
        "{stopped:?}"
    );
    assert!(!stopped.text().contains("secret words"), "{stopped:?}");
    let skipped = value(&into("?skip_bad=true", bad));
    assert_eq!(
        (&skipped["imported"], &skipped["skipped"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(skipped["badLines"][0]["line"], 2);
    assert_eq!(skipped["lines"], 4);
}

#[test]
fn many_jobs_go_through_in_pieces_and_what_breaks_off_is_no_end() {
    let live = Live::new();
    let line = format!(
        r#"{{"command":"c","url":"/","body":"{}"}}"#,
        "x".repeat(1000)
    );
    let lines = format!("{line}\n").repeat(20_000);
    let path = "/control/graphs/10001/many/import?create=true";
    assert_eq!(value(&live.ask("POST", path, &lines))["imported"], 20_000);
    let many = live.store.graph("10001", "many").unwrap();
    let out = live.ask("GET", "/control/graphs/10001/many/export", "");
    assert!(out.ok() == live.lines(&many, JobQuery::new()));
    assert_eq!(out.header("content-length"), None);
    // A bad line at the beginning: the client still sends everything, and gets the error.
    let bad = format!("nonsense\n{lines}");
    let told = live.ask("POST", path, &bad);
    assert!(
        told.text().contains("line 1 is not a valid job"),
        "{told:?}"
    );

    // A body that is cut off after a line is incomplete: nothing of it is recorded.
    let broken = live.store.create_graph("10001", "broken").unwrap();
    let mut stream = UnixStream::connect(live.socket()).unwrap();
    let path = "/control/graphs/10001/broken/import";
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
    stream
        .write_all(format!("{head}{line}\n").as_bytes())
        .unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    stream.read_to_end(&mut Vec::new()).ok();
    let end = Instant::now() + Duration::from_millis(300);
    while Instant::now() < end {
        assert!(broken.list(JobQuery::new()).unwrap().is_empty());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn jobs_are_purged_by_what_a_list_shows() {
    let live = Live::new();
    let purge = |query: &str| live.of_movie("POST", &format!("purge{query}"), "");
    assert_eq!(value(&purge("?dry_run=true")), json!({"jobs": 2}));
    assert_eq!(
        value(&purge("?outcome=failed&dry_run=true")),
        json!({"jobs": 1})
    );
    assert_eq!(value(&purge("?state=pending")), json!({"jobs": 0}));
    // A misspelled filter purges nothing.
    for wrong in [
        "?outcomes=failed",
        "?limit=1",
        "?dry_run=yes",
        "?outcome=success",
    ] {
        assert_eq!(purge(wrong).status, 400, "{wrong}");
    }
    assert_eq!(live.movie.list(JobQuery::new()).unwrap().len(), 5);
    assert_eq!(value(&purge("?outcome=failed")), json!({"jobs": 1}));
    assert!(live.movie.tombstone("bad").unwrap().is_some());
    assert!(live.movie.job("good").unwrap().is_some());
}

#[test]
fn a_store_is_backed_up_and_looked_over_while_it_is_open() {
    let live = Live::new();
    let to = live.dir.path().join("copy");
    let body = json!({"to": to}).to_string();
    let done = value(&live.ask("POST", "/control/backup", &body));
    assert!(done["bytes"].as_u64().unwrap() > 0 && done["bytes"] == done["of"]);
    assert!(JobStore::verify(&to).unwrap().is_sound());
    let copy = JobStore::open(&to).unwrap();
    assert_eq!(
        copy.graph("10001", "movie")
            .unwrap()
            .list(JobQuery::new())
            .unwrap()
            .len(),
        5
    );
    let again = live.ask("POST", "/control/backup", &body);
    assert!(
        again.status == 400 && again.text().contains("is not empty: it contains "),
        "{again:?}"
    );
    // The operator sees what is wrong.
    let nowhere = json!({"to": to.join("STORE/copy")}).to_string();
    let failed = live.ask("POST", "/control/backup", &nowhere);
    assert!(
        failed.status == 500 && failed.text().contains("cannot create "),
        "{failed:?}"
    );
    assert_eq!(failed.header("x-error-code"), Some("Io"));
    for wrong in [r#"{"to":"copy2"}"#, "{}", ""] {
        assert_eq!(
            live.ask("POST", "/control/backup", wrong).status,
            400,
            "{wrong}"
        );
    }
    let report = value(&live.ask("POST", "/control/verify", ""));
    assert_eq!(report["damage"], json!([]));
    assert_eq!(report["graphs"][0]["sound"], 5);
}

#[test]
fn damage_is_told_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let store = small_segments().open(dir.path()).unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let mut random = Random(3);
    let text: String = (0..60)
        .map(|_| format!("{:016x}", random.below(u64::MAX)))
        .collect();
    graph
        .submit_as("first", request("c", &format!("\"{text}\"")))
        .unwrap();
    pack(&store, dir.path());
    for path in files_ending(dir.path(), ".pack") {
        use std::os::unix::fs::FileExt;
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(&[0x55; 24], 40).unwrap();
    }
    let _control = store.control().unwrap();
    let socket = dir.path().join("control.sock");
    let report = value(&control(&socket, "POST", "/control/verify", b""));
    assert!(!report["damage"].as_array().unwrap().is_empty());
    for path in ["export", "jobs/first"] {
        let path = format!("/control/graphs/10001/movie/{path}");
        let answer = control(&socket, "GET", &path, b"");
        let told = answer.text().contains("is corrupt at byte") && answer.text().contains(".pack");
        assert!(answer.status == 500 && told, "{answer:?}");
        assert!(
            answer.is_whole && answer.header("x-request-id").is_some(),
            "{answer:?}"
        );
    }
}

#[test]
fn what_is_not_known_is_refused_in_the_contracts_form() {
    let live = Live::new();
    for path in [
        "/",
        "/control",
        "/control/x",
        "/health",
        "/control/graphs/10001",
        "/control/graphs/10001/movie/x",
        "/control/store",
    ] {
        live.ask("GET", path, "")
            .is_failure(404, "GES.8000", "no such resource");
    }
    for (method, path) in [
        ("POST", "/control/stats"),
        ("GET", "/control/verify"),
        ("DELETE", "/control/graphs"),
    ] {
        let answer = live.ask(method, path, "");
        assert_eq!(answer.status, 405, "{method} {path}");
        assert!(answer.header("allow").is_some());
    }
    for path in ["graphs", "stats"] {
        let answer = live.ask("GET", &format!("/control/{path}?x=1"), "");
        assert!(answer.status == 400 && answer.text().contains("this route has no parameters"));
    }
}

#[test]
fn the_socket_is_its_owners_and_gone_in_the_end() {
    let mut live = Live::new();
    let socket = live.socket();
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(live.control.as_ref().unwrap().path(), socket);
    assert!(matches!(
        live.store.control(),
        Err(Error::InvalidUse { .. })
    ));
    live.control.take().unwrap().close();
    assert!(!socket.exists());
    // Again, and closed by a drop; no temporary file is left.
    for _ in 0..3 {
        let control = live.store.control().unwrap();
        assert_eq!(live.ask("GET", "/control/graphs", "").status, 200);
        drop(control);
        assert!(!socket.exists());
    }
    let names = names_in(&live.store.path());
    assert!(
        names.iter().all(|name| !name.ends_with(".aside")),
        "{names:?}"
    );
    assert!(JobStore::in_memory().unwrap().control().is_err());
}

#[test]
fn closing_the_store_takes_the_socket_away_and_lets_the_directory_go() {
    let mut live = Live::new();
    let (socket, directory) = (live.socket(), live.store.path());
    // An idle connection keeps nothing open.
    let mut idle = UnixStream::connect(&socket).unwrap();
    idle.write_all(b"GET /control/graphs HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    live.store.close().unwrap();
    assert!(!socket.exists());
    assert!(matches!(live.store.control(), Err(Error::Closed)));
    // Dropping the old handle does not affect the new socket.
    let next = JobStore::open(&directory).unwrap();
    let control = next.control().unwrap();
    drop(live.control.take());
    assert!(socket.exists());
    let answer = http::control(&socket, "GET", "/control/graphs", b"");
    assert_eq!(answer.status, 200);
    drop(control);
    drop(idle);
}

#[test]
fn the_socket_alone_keeps_the_store_open_and_lets_it_go() {
    let dir = tempfile::tempdir().unwrap();
    let store = JobStore::open(dir.path()).unwrap();
    let control = store.control().unwrap();
    drop(store);
    let answer = http::control(control.path(), "GET", "/control/stats", b"");
    assert_eq!(answer.status, 200);
    drop(control);
    let report = JobStore::verify(dir.path()).unwrap();
    assert_eq!(report.closed, Some(true));
}

#[test]
fn what_a_dead_process_left_is_replaced_and_harms_nothing() {
    let dir = tempfile::tempdir().unwrap();
    JobStore::open(dir.path()).unwrap().close().unwrap();
    let socket = dir.path().join("control.sock");
    // Bound and abandoned, as by a kill: the file remains and nobody listens.
    for name in ["control.sock", "c.aside"] {
        drop(UnixListener::bind(dir.path().join(name)).unwrap());
    }
    assert!(socket.exists() && UnixStream::connect(&socket).is_err());
    assert!(JobStore::verify(dir.path()).unwrap().is_sound());
    let repaired = JobStore::repair(dir.path()).unwrap();
    assert!(!repaired.changed());
    let store = JobStore::open(dir.path()).unwrap();
    let copy = tempfile::tempdir().unwrap();
    store.backup(copy.path().join("copy")).unwrap();
    assert!(!copy.path().join("copy/control.sock").exists());
    let control = store.control().unwrap();
    assert_eq!(
        http::control(&socket, "GET", "/control/graphs", b"").status,
        200
    );
    drop(control);
}

#[test]
fn a_path_too_long_for_a_socket_is_said_to_be_so() {
    let dir = tempfile::tempdir().unwrap();
    let long = dir.path().join("x".repeat(100));
    let store = JobStore::open(&long).unwrap();
    match store.control() {
        Err(Error::PathTooLong {
            given_bytes,
            max_bytes,
            ..
        }) => {
            assert_eq!((given_bytes, max_bytes), (long.as_os_str().len() + 13, 107));
        }
        other => panic!("{other:?}"),
    }
    // The workaround that the error suggests.
    let link = dir.path().join("l");
    store.close().unwrap();
    std::os::unix::fs::symlink(&long, &link).unwrap();
    let store = JobStore::open(&link).unwrap();
    let control = store.control().unwrap();
    assert_eq!(
        http::control(control.path(), "GET", "/control/graphs", b"").status,
        200
    );
}

/// Runs an operation while a client of the socket stalls in the middle of a long response.
fn while_stalled(live: &Live, then: impl FnOnce()) {
    let body = format!("\"{}\"", "x".repeat(100_000));
    for _ in 0..20 {
        live.movie
            .submit_all(vec![request("c", &body); 10])
            .unwrap();
    }
    let mut stalled = UnixStream::connect(live.socket()).unwrap();
    http::send(
        &mut stalled,
        "GET",
        "/control/graphs/10001/movie/export",
        &[],
        b"",
    );
    let mut first = [0; 12];
    stalled.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    then();
    drop(stalled);
}

#[test]
fn a_client_that_stalls_keeps_neither_others_nor_the_end_waiting() {
    let mut live = Live::new();
    let control = live.control.take().unwrap();
    while_stalled(&live, || {
        for _ in 0..3 {
            assert_eq!(live.ask("GET", "/control/stats", "").status, 200);
        }
        control.close();
        assert!(!live.socket().exists());
        live.store.close().unwrap();
    });
}

#[test]
fn engines_with_a_runtime_of_their_own_can_have_it_too() {
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path: &Path = dir.path();
    runtime.block_on(async {
        let store = JobStore::open(path).unwrap();
        let control = store.control().unwrap();
        let socket = control.path().to_owned();
        let asked = tokio::task::spawn_blocking(move || {
            ask(
                UnixStream::connect(socket).unwrap(),
                "GET",
                "/control/graphs",
                &[],
                b"",
            )
            .status
        });
        assert_eq!(asked.await.unwrap(), 200);
        control.close();
        store.close().unwrap();
    });
}

#[test]
fn any_path_under_control_gets_what_it_names_or_a_failure() {
    use proptest::prelude::*;
    let live = Live::new();
    let other = live.store.create_graph("10002", "movie").unwrap();
    let id = "0therproject";
    other.submit_as(id, request("other", "{}")).unwrap();
    let routes = prop::sample::select(vec![
        ("GET", "/list"),
        ("HEAD", "/list"),
        ("POST", "/find"),
        ("GET", "/export"),
        ("POST", "/import"),
        ("POST", "/purge?dry_run=true"),
        ("GET", "/jobs/J"),
        ("POST", "/jobs/J/complete"),
        ("POST", "/jobs/J/cancel"),
    ]);
    let place = (
        names::part(&["10001", "10001", "10003"]),
        names::part(&["movie"]),
    );
    let job = names::part(&["waits", "nope", id]);
    let asked = names::runner(700).run(
        &(place, job, routes),
        |((project, graph), job, (method, rest))| {
            let below = rest.replace('J', &job);
            let path = format!("/control/graphs/{project}/{graph}{below}");
            let is = |part: &str, name| names::named(part).is_some_and(|named| named == name);
            let parts: Vec<&str> = path.split('/').skip(3).collect();
            let is_named = match &parts[..] {
                [project, graph, below @ ..] if is(project, "10001") && is(graph, "movie") => {
                    match below {
                        // Their bodies specify the operation.
                        ["find"] | ["jobs", _, "complete"] => false,
                        ["jobs", job, ..] => {
                            below.len() == rest.split('/').count() - 1 && is(job, "waits")
                        }
                        [_] => true,
                        _ => false,
                    }
                }
                _ => false,
            };
            let answer = live.ask(method, &path, "");
            names::fits(method, &answer, is_named)?;
            prop_assert!(path.contains(id) || !answer.text().contains(id));
            Ok(())
        },
    );
    asked.unwrap();
    assert_eq!(other.count(jobstore::State::Pending).unwrap(), 1);
    assert_eq!(live.store.graphs().unwrap().len(), 2, "one was made");
}
