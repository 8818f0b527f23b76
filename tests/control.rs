//! The control socket of a store at work.
//!
//! Promise: the people who run an engine see and do through it what the library does; it
//! is open to the store's user alone, and gone with the store.

mod common;
#[path = "common/http.rs"]
mod net;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::{listed, request};
use jobstore::{Error, JobStore, List, Outcome, OutcomeKind, State};
use net::{Answer, control};

const CANARY: &str = "c4n4ry";

fn ask(dir: &Path, method: &str, target: &str, body: &str) -> Answer {
    control(&dir.join("control.sock"), method, target, body.as_bytes())
}

fn filled(dir: &Path) -> JobStore {
    let store = JobStore::open(dir).unwrap();
    let movie = store.create_graph("10001", "movie").unwrap();
    for n in 0..6 {
        let body = format!(r#"{{"n":{n},"secretKey":"{CANARY}"}}"#);
        movie
            .submit_as(format!("job-{n}"), request("c", &body))
            .unwrap();
    }
    movie.start("job-0").unwrap();
    movie
        .run("job-1")
        .unwrap()
        .complete(Outcome::succeeded())
        .unwrap();
    store
}

#[test]
fn the_socket_is_its_owners_alone_and_goes_with_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("store");
    let store = filled(&dir);
    let path = dir.join("control.sock");
    // One that a process left when it was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let opened = store.control().unwrap();
    assert_eq!(opened.path(), path);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(matches!(store.control(), Err(Error::InvalidUse { .. })));
    assert!(ask(&dir, "GET", "/control/graphs", "").is_whole);
    drop(opened);
    assert!(!path.exists());
    let again = store.control().unwrap();
    store.close().unwrap();
    assert!(!path.exists());
    drop(again);
    // What a crash leaves keeps nobody from the store.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(JobStore::verify(&dir).unwrap().is_sound());
    JobStore::open(&dir).unwrap().close().unwrap();
    assert!(JobStore::in_memory().unwrap().control().is_err());
}

#[test]
fn a_path_that_no_socket_can_have_is_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("d".repeat(120));
    let store = JobStore::open(&deep).unwrap();
    let refused = store.control().unwrap_err();
    assert!(matches!(refused, Error::PathTooLong { .. }), "{refused:?}");
    assert!(refused.to_string().contains("107"), "{refused}");
}

#[test]
fn jobs_are_seen_found_ended_and_called_off() {
    let dir = tempfile::tempdir().unwrap();
    let dir = &dir.path().join("store");
    let store = filled(dir);
    let movie = store.graph("10001", "movie").unwrap();
    let _control = store.control().unwrap();
    let get = |target: &str| ask(dir, "GET", target, "");
    let graphs: serde_json::Value = serde_json::from_str(get("/control/graphs").ok()).unwrap();
    let movie_alone = serde_json::json!({"graphs": [{"projectId": "10001", "graphName": "movie"}]});
    assert_eq!(graphs, movie_alone);
    let list = get("/control/graphs/10001/movie/list");
    assert_eq!(list.ok(), listed(&movie));
    let list = get("/ges/v1.0/10001/graphs/movie/jobs/status?state=running");
    assert!(list.ok().contains("job-0") && !list.ok().contains("job-1"));
    let job = get("/control/graphs/10001/movie/jobs/job-1");
    let whole: serde_json::Value = serde_json::from_str(job.ok()).unwrap();
    assert_eq!(whole["outcome"]["kind"], "succeeded");
    let of = r#"{"command":"c","url":"/ges","body":{"secretKey":"x","n":3}}"#;
    let found = ask(dir, "POST", "/control/graphs/10001/movie/find", of);
    assert!(found.ok().starts_with(r#"{"jobId":"job-3""#), "{found:?}");
    assert_eq!(found.ok().lines().count(), 1);

    let jobs = "/control/graphs/10001/movie/jobs";
    let failed = r#"{"outcome":"failed","message":"it hung"}"#;
    let ended = ask(dir, "POST", &format!("{jobs}/job-0/complete"), failed);
    assert_eq!(ended.ok(), r#"{"completed":true}"#);
    let outcome = movie
        .job("job-0")
        .unwrap()
        .unwrap()
        .outcome()
        .cloned()
        .unwrap();
    assert_eq!(
        (outcome.kind(), outcome.message()),
        (OutcomeKind::Failed, Some("it hung"))
    );
    let again = ask(dir, "POST", &format!("{jobs}/job-0/complete"), failed);
    assert_eq!(again.ok(), r#"{"completed":false,"outcome":"failed"}"#);
    let off = ask(dir, "POST", &format!("{jobs}/job-2/cancel"), "");
    assert_eq!(off.ok(), r#"{"cancelled":"beforeStart"}"#);
    assert_eq!(
        movie.job("job-2").unwrap().unwrap().state(),
        State::Complete
    );

    let stats: serde_json::Value = serde_json::from_str(get("/control/stats").ok()).unwrap();
    assert_eq!(stats["health"]["state"], "ok", "{stats}");
    assert_eq!(stats["graphs"][0]["pending"], 3);
    let none = get("/control/graphs/10001/none/list");
    assert_eq!(
        (none.status, none.text().contains("graph : none not exist")),
        (400, true)
    );
    assert_eq!(get("/control/nothing").status, 404);
    let bad = get("/control/graphs/10001/movie/list?stat=x");
    assert!(bad.status == 400 && bad.text().contains("stat"), "{bad:?}");
}

#[test]
fn jobs_go_out_and_in_masked_unless_it_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let dir = &dir.path().join("store");
    let store = filled(dir);
    let movie = store.graph("10001", "movie").unwrap();
    let _control = store.control().unwrap();
    let lines = ask(
        dir,
        "GET",
        "/control/graphs/10001/movie/export?state=pending",
        "",
    );
    assert_eq!(lines.ok().lines().count(), 4);
    assert!(!lines.ok().contains(CANARY));
    for target in ["list?detail=true", "jobs/job-1", "list"] {
        let answer = ask(
            dir,
            "GET",
            &format!("/control/graphs/10001/movie/{target}"),
            "",
        );
        assert!(!answer.ok().contains(CANARY), "{target}");
    }
    let real = ask(
        dir,
        "GET",
        "/control/graphs/10001/movie/export?reveal_secrets=true",
        "",
    );
    assert_eq!(real.ok().matches(CANARY).count(), 6);
    let target = "/control/graphs/10001/copy/import";
    let refused = ask(dir, "POST", target, real.text());
    assert_eq!(refused.status, 400, "{refused:?}");
    let target = "/control/graphs/10001/copy/import?create=true&skip_bad=true";
    let mut text = real.text().to_owned();
    text += "no job\n";
    let report = ask(dir, "POST", target, &text);
    let report: serde_json::Value = serde_json::from_str(report.ok()).unwrap();
    assert_eq!(
        (&report["imported"], &report["badLines"][0]["line"]),
        (&6.into(), &7.into())
    );
    let copy = store.graph("10001", "copy").unwrap();
    assert_eq!(listed(&copy), listed(&movie));
}

#[test]
fn a_store_at_work_is_purged_backed_up_and_looked_over() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, copy) = (dir.path().join("store"), dir.path().join("copy"));
    let store = filled(&dir);
    let movie = store.graph("10001", "movie").unwrap();
    let _control = store.control().unwrap();
    let purge = "/control/graphs/10001/movie/purge";
    let dry = ask(&dir, "POST", &format!("{purge}?dry_run=true"), "");
    assert_eq!(dry.ok(), r#"{"jobs":1}"#);
    assert_eq!(movie.count(State::Complete).unwrap(), 1);
    let done = ask(&dir, "POST", &format!("{purge}?outcome=succeeded"), "");
    assert_eq!(done.ok(), r#"{"jobs":1}"#);
    assert_eq!(movie.list(List::new()).unwrap().total(), Some(5));
    let report = ask(&dir, "POST", "/control/verify", "");
    let report: serde_json::Value = serde_json::from_str(report.ok()).unwrap();
    assert!(report.is_object());
    let to = format!(r#"{{"to":{}}}"#, serde_json::to_string(&copy).unwrap());
    let backed_up = ask(&dir, "POST", "/control/backup", &to);
    assert!(
        backed_up.is_whole && backed_up.status == 200,
        "{backed_up:?}"
    );
    let copy = JobStore::open(&copy).unwrap();
    assert_eq!(
        copy.graph("10001", "movie")
            .unwrap()
            .list(List::new())
            .unwrap()
            .len(),
        5
    );
}
