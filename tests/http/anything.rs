//! Guarantee: any request, with any names, gets a response of the GES API, and never data of
//! another project.

use std::cell::RefCell;
use std::collections::BTreeSet;

use jobstore::http::{Access, Routes};
use jobstore::{JobQuery, JobStore};
use proptest::prelude::*;
use serde_json::Value;

use crate::common::request;
use crate::http::Server;
use crate::names::{fits, named, part, runner};
use crate::{IDS, LIST, app, page, with_sample};

#[test]
fn any_query_gets_a_page_or_a_failure() {
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
        "newest_first",
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
    let whole = page(&graph, JobQuery::new());
    let checked = runner(600).run(&query, |pairs| {
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

/// Must not occur in any response about another project's jobs.
const CANARY: &str = "c4n4ry";
const JOB: &str = "c4n4ry1";

/// Adds a project whose names and jobs all contain the canary.
fn add_other_project(store: &JobStore) {
    let graph = store.create_graph("10002", "moviejx").unwrap();
    graph.submit_as(JOB, request(CANARY, "{}")).unwrap();
    store.create_graph("10002", CANARY).unwrap();
}

/// Whether a path names the sample's graph of project 10001, or a job of it.
fn is_there(method: &str, path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let [
        "",
        "ges",
        "v1.0",
        project,
        "graphs",
        graph,
        "jobs",
        rest @ ..,
    ] = &parts[..]
    else {
        return false;
    };
    let is = |part: &str, name: &str| named(part).is_some_and(|named| named == name);
    let is_job = |part: &str| IDS.iter().any(|id| is(part, id));
    let known = match rest {
        // Only the exact path belongs to the list.
        ["status"] => method != "DELETE",
        [job] => method == "DELETE" && is_job(job),
        [job, "status"] => method != "DELETE" && is_job(job),
        _ => false,
    };
    known && is(project, "10001") && is(graph, "moviejx")
}

#[test]
fn any_path_gets_what_it_names_or_a_failure_and_nothing_of_another_project() {
    let (store, _graph, open) = with_sample();
    add_other_project(&store);
    let guarded = Routes::new(&store).authorize(|caller| async move {
        match caller.project_id == "10001" {
            true => Access::Granted,
            false => Access::Forbidden,
        }
    });
    let guarded = Server::start(app(&guarded));
    let place = (
        part(&["10001", "10001", "10002"]),
        part(&["moviejx", "moviejx", CANARY]),
    );
    let job = part(&[IDS[0], IDS[3], JOB, "status"]);
    let routes = prop::sample::select(vec![
        ("GET", "jobs/status"),
        ("HEAD", "jobs/status"),
        ("GET", "jobs/J/status"),
        ("HEAD", "jobs/J/status"),
        ("DELETE", "jobs/J"),
        ("GET", "jobs/J"),
    ]);
    let seen = RefCell::new(BTreeSet::new());
    let checked = runner(1000).run(
        &(place, job, routes),
        |((project, graph), job, (method, rest))| {
            let rest = rest.replace('J', &job);
            let path = format!("/ges/v1.0/{project}/graphs/{graph}/{rest}");
            let there = is_there(method, &path);
            let answer = guarded.ask(method, &path, &[]);
            seen.borrow_mut().insert(answer.status);
            fits(method, &answer, there)?;
            // A message may contain the request's own text, and nothing else.
            let told = format!("{:?} {}", answer.headers, answer.text());
            prop_assert!(path.contains(CANARY) || !told.contains(CANARY), "{}", told);
            // Without authorization, another project is accessible only under its own name.
            if !path.contains("10002") {
                fits(method, &open.ask(method, &path, &[]), there)?;
            }
            Ok(())
        },
    );
    checked.unwrap();
    assert_eq!(seen.into_inner(), BTreeSet::from([200, 400, 403, 404, 405]));
}
