//! Guarantee: each route responds only to its own path, with the exact names.

use std::collections::BTreeSet;

use axum::Router;
use jobstore::http::Routes;
use jobstore::{JobStore, Outcome};

use crate::common::request;
use crate::http::Server;
use crate::{IDS, LIST, sample, serve, with_sample};

#[test]
fn a_job_is_called_off_and_asking_twice_gives_one_answer() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "moviejx").unwrap();
    for id in ["waits", "runs", "done"] {
        graph.submit_as(id, request("c", "{}")).unwrap();
    }
    let run = graph.claim("runs").unwrap();
    graph
        .claim("done")
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
    // The engine's router has its own state.
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
    // The engine's own 404 is not replaced.
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
