//! HTTP in an engine: the job list merged into the engine's own router.
//!
//! ```text
//! cargo run --features http --example http_server -- 127.0.0.1:8080
//! curl -H 'X-Auth-Token: demo' 'http://127.0.0.1:8080/ges/v1.0/10001/graphs/movie/jobs/status?limit=2'
//! ```
//!
//! It creates some jobs in a store in memory, accepts the token `demo` for the project 10001,
//! prints its address, and exits when its standard input ends.

use std::error::Error;
use std::io::Read;

use axum::Router;
use jobstore::http::{Access, Bounds, Caller, Permission, Routes, no_such_resource, serve};
use jobstore::{Body, Graph, JobStore, Outcome, Request};
use tokio::net::TcpListener;

fn main() -> Result<(), Box<dyn Error>> {
    let store = JobStore::in_memory()?;
    fill(&store.create_graph("10001", "movie")?)?;
    let address = std::env::args().nth(1);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let address = address.as_deref().unwrap_or("127.0.0.1:0");
        let listener = TcpListener::bind(address).await?;
        println!("listening on http://{}", listener.local_addr()?);
        serve(listener, app(&store), Bounds::new(), input_ended()).await;
        Ok::<(), std::io::Error>(())
    })?;
    store.close()?;
    Ok(())
}

/// Returns a router with the engine's own routes and the routes of the store.
fn app(store: &JobStore) -> Router {
    let routes = Routes::new(store).authorize(who);
    Router::new()
        // .merge(the engine's own)
        .merge(routes.all())
        .merge(routes.operations())
        .fallback(no_such_resource)
}

async fn who(caller: Caller) -> Access {
    match caller.token.as_ref().map(|token| token.as_str()) {
        Some("demo") if caller.permission == Permission::Observe => Access::Granted,
        Some("demo") if caller.project_id == "10001" => Access::Granted,
        Some("demo") => Access::Forbidden,
        _ => Access::Unauthenticated,
    }
}

async fn input_ended() {
    let ended = tokio::task::spawn_blocking(|| {
        let mut input = std::io::stdin().lock();
        input.read_to_end(&mut Vec::new())
    });
    ended.await.ok();
}

/// Creates jobs in all states, with all outcomes.
fn fill(movie: &Graph) -> Result<(), jobstore::Error> {
    let url = "/ges/v1.0/10001/graphs/movie/action?action_id=import-graph";
    let request = || {
        let body = r#"{"edgesetPath": "edges.csv", "limit": 0.00001, "secretKey": "hidden"}"#;
        Request::new("import_graph", url, Body::from_json(body)?)
    };
    let outcomes = [
        Outcome::succeeded().with_result_ref("results/1.csv")?,
        Outcome::partially_failed("GES.8011", "3 of 10 rows"),
        Outcome::failed("GES.8012", "no such file").with_detail_json(r#"{"row": 7}"#)?,
        Outcome::cancelled(),
        Outcome::interrupted(),
    ];
    for (n, outcome) in outcomes.into_iter().enumerate() {
        let id = format!("job-{n}");
        movie.submit_as(&id, request()?)?;
        movie.claim(&id)?.complete(outcome)?;
    }
    movie.submit_as("running", request()?)?;
    movie.start("running")?;
    for _ in 0..200 {
        movie.submit(request()?)?;
    }
    Ok(())
}
