//! Guarantee: health and metrics are returned in the standard formats, and data about all projects
//! only to authorized callers.

use std::os::unix::fs::PermissionsExt;

use jobstore::JobStore;
use jobstore::http::{Access, METRICS_CONTENT_TYPE, Permission, Routes, openapi};

use crate::http::{Answer, Server};
use crate::{LIST, app, with_sample};

const PATHS: [&str; 3] = ["/health", "/metrics", "/openapi.json"];

fn with_operations(routes: &Routes) -> Server {
    Server::start(app(routes).merge(routes.operations()))
}

#[test]
fn health_numbers_and_the_document_are_told() {
    let (store, _graph, _) = with_sample();
    let server = with_operations(&Routes::new(&store));
    let health = server.get("/health");
    assert_eq!(health.ok(), r#"{"state":"ok"}"#);
    assert_eq!(health.header("content-type"), Some("application/json"));
    let numbers = server.get("/metrics");
    assert!(numbers.ok().contains("jobstore_jobs{project=\"10001\""));
    assert_eq!(numbers.header("content-type"), Some(METRICS_CONTENT_TYPE));
    let without = server.get("/metrics?graphs=0");
    assert!(
        without
            .ok()
            .contains("jobstore_store_jobs{state=\"pending\"}")
    );
    assert!(!without.ok().contains("graph=\""));
    for query in ["graphs=10001", "graphs=x", "graph=movie"] {
        assert_eq!(
            server.get(&format!("/metrics?{query}")).status,
            400,
            "{query}"
        );
    }
    assert_eq!(server.get("/openapi.json").ok(), openapi());
    // These two take no parameters, and ignore them.
    assert_eq!(server.get("/health?x=1").ok(), health.text());
    assert_eq!(server.get("/openapi.json?x=1").ok(), openapi());
    let message = "method not allowed; the Allow header lists the allowed methods";
    for path in PATHS {
        let answers = ["GET", "HEAD"].map(|method| server.ask(method, path, &[]));
        for answer in &answers {
            assert_eq!(answer.status, 200, "{path}");
            assert!(answer.header("x-request-id").is_some());
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
        let wrong = server.ask("POST", path, &[]);
        wrong.is_failure(405, "GES.8000", message);
        assert_eq!(wrong.header("allow"), Some("GET,HEAD"));
    }
    store.close().unwrap();
    let closed = server.get("/health");
    assert_eq!(
        (closed.status, closed.text()),
        (503, r#"{"state":"closed"}"#)
    );
    assert!(closed.header("x-request-id").is_some());
    server
        .get("/metrics")
        .is_failure(503, "GES.8602", "engine service unavailable");
}

#[test]
fn what_is_of_all_projects_is_for_who_may_know_of_all() {
    // Other users can access this directory, so there is a reason to report.
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let store = JobStore::open(dir.path()).unwrap();
    store.create_graph("10001", "moviejx").unwrap();
    let routes = Routes::new(&store).authorize(|caller| async move {
        let token = caller.token.as_ref().map(|token| token.as_str());
        match (token, caller.permission, caller.project_id.as_str()) {
            (Some("all"), Permission::Observe, "") => Access::Granted,
            (Some("one"), Permission::Read, "10001") => Access::Granted,
            (Some("one" | "all"), _, _) => Access::Forbidden,
            _ => Access::Unauthenticated,
        }
    });
    let server = with_operations(&routes);
    let ask = |path: &str, tokens: &[&str]| -> Answer {
        let headers: Vec<(&str, &str)> = tokens.iter().map(|t| ("X-Auth-Token", *t)).collect();
        server.ask("GET", path, &headers)
    };
    assert_eq!(ask(LIST, &["one"]).status, 200);
    assert!(ask("/metrics", &["all"]).ok().contains("jobstore_jobs{"));
    ask("/metrics", &["one"]).is_failure(403, "GES.8020", "no permission");
    let why = ask("/health", &["all"]);
    assert!(why.ok().starts_with(r#"{"state":"degraded","why":""#));
    // If there are two tokens, it is unclear which one counts.
    for tokens in [&[][..], &["made-up"], &["all", "one"], &["all", "all"]] {
        let refused = ask("/metrics", tokens);
        refused.is_failure(401, "GES.8007", "invalid or missing token");
        assert_eq!(ask("/health", tokens).ok(), r#"{"state":"degraded"}"#);
        assert_eq!(ask("/openapi.json", tokens).ok(), openapi());
    }
}
