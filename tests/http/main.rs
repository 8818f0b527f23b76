//! The job list over HTTP, through real sockets.
//!
//! Guarantee: for every request, a client gets a complete response or an error of the GES API.

mod anything;
#[path = "../common/mod.rs"]
mod common;
mod compressed;
mod connections;
mod documents;
mod failures;
mod follower;
#[path = "../common/http.rs"]
mod http;
mod list;
mod monitoring;
#[path = "../common/names.rs"]
mod names;
mod operations;
mod operator;
mod paging;
mod routes;
mod who;

use axum::Router;
use common::request;
use http::Server;
use jobstore::http::{Routes, no_such_resource};
use jobstore::{Graph, JobQuery, JobStore, Outcome, Request};

/// The sample of the API's documentation, compact; its four jobs have the same request.
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

/// A store with the sample's graph, and a server for it.
fn with_sample() -> (JobStore, Graph, Server) {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "moviejx").unwrap();
    for id in IDS {
        let request = Request::from_json(REQUEST).unwrap();
        graph.submit_as(id, request).unwrap();
        graph
            .claim(id)
            .unwrap()
            .complete(Outcome::succeeded())
            .unwrap();
    }
    let server = serve(&store);
    (store, graph, server)
}

/// Submits jobs `job-0`.. of this many bytes each.
fn fill(graph: &Graph, jobs: usize, bytes: usize) {
    let body = format!(r#""{}""#, "x".repeat(bytes));
    for n in 0..jobs {
        graph
            .submit_as(format!("job-{n}"), request("fill", &body))
            .unwrap();
    }
}

fn page(graph: &Graph, list: JobQuery) -> String {
    String::from_utf8(graph.list(list).unwrap().to_json().unwrap()).unwrap()
}
