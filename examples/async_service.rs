//! A service whose jobs are worked on by tokio tasks, on a store on disk.
//!
//! ```text
//! SERVICE_TOKEN=s3cret cargo run --features http --example async_service -- data 127.0.0.1:8080
//! GRAPH=http://127.0.0.1:8080/ges/v1.0/10001/graphs/movie
//! curl -H 'X-Auth-Token: s3cret' "$GRAPH/action?action_id=count" -d '{"steps": 100}'
//! curl -H 'X-Auth-Token: s3cret' "$GRAPH/jobs/status"
//! curl -H 'X-Auth-Token: s3cret' -X DELETE "$GRAPH/jobs/$JOB_ID"
//! ```
//!
//! - The handler of a submission returns the job's id once the job is durable. The library's
//!   own routes list jobs, show one, and cancel one.
//! - Workers wait for jobs without polling, report progress, and stop when their job is canceled.
//! - On SIGTERM or Ctrl-C, the service stops claiming jobs. Jobs that do not finish in time are
//!   requeued, and so are those that were running when the process was killed.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use jobstore::http::{Access, Bounds, Caller, Permission, Routes, no_such_resource, serve};
use jobstore::{Body, Graph, JobStore, Outcome, Recovery, Request, Run};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

const PROJECT: &str = "10001";
const GRAPH: &str = "movie";
const ACTION: &str = "/ges/v1.0/10001/graphs/movie/action";
const WORKERS: usize = 2;
/// How long running jobs may take to finish once the service shuts down.
const GRACE: Duration = Duration::from_secs(1);
/// How long a worker waits after an error that may pass, such as a full disk.
const RETRY: Duration = Duration::from_secs(1);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let data = arguments.next().unwrap_or_else(|| "data".to_owned());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let token = std::env::var("SERVICE_TOKEN").map_err(|_| "set SERVICE_TOKEN")?;

    // Opening and closing read and sync files, so neither runs on the runtime's threads. The work
    // can be repeated, so jobs that a killed process left running become pending again.
    let store = JobStore::options().recovery(Recovery::Requeue).open(data)?;
    for found in store.recovered().jobs() {
        let found = found?;
        println!("recovered {}: {:?}", found.job.id(), found.action);
    }
    let movie = store.get_or_create_graph(PROJECT, GRAPH)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let served = runtime.block_on(run(&store, movie, address.parse()?, token.into()));
    // All tasks have ended by now, so no more jobs are claimed.
    store.close()?;
    println!("closed");
    served
}

/// Serves until a signal comes, or until the workers cannot continue.
async fn run(
    store: &JobStore,
    movie: Graph,
    address: SocketAddr,
    token: Arc<str>,
) -> Result<(), Box<dyn Error>> {
    let (stop, stopping) = watch::channel(false);
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        workers.spawn(work(movie.clone(), stopping.clone()));
    }
    let (mut term, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let app = app(store, Service { movie, token });
    let mut failed = None;
    // Requests in progress are still answered. Jobs that they submit are started after the next
    // start of the service.
    serve(listener, app, Bounds::new(), async {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
            worker = workers.join_next() => failed = worker,
        }
        stop.send_replace(true);
    })
    .await;
    while let Some(worker) = workers.join_next().await {
        failed.get_or_insert(worker);
    }
    Ok(failed.unwrap_or(Ok(Ok(())))??)
}

#[derive(Clone)]
struct Service {
    movie: Graph,
    token: Arc<str>,
}

fn app(store: &JobStore, service: Service) -> Router {
    let token = service.token.clone();
    let routes = Routes::new(store).authorize(move |caller| {
        let access = access(&caller, &token);
        async move { access }
    });
    Router::new()
        .route(ACTION, post(submit))
        .with_state(service)
        .merge(routes.all())
        .merge(routes.operations())
        .fallback(no_such_resource)
}

fn access(caller: &Caller, token: &str) -> Access {
    match &caller.token {
        Some(given) if given.as_str() != token => Access::Unauthenticated,
        Some(_) if caller.permission == Permission::Observe => Access::Granted,
        Some(_) if caller.project_id == PROJECT => Access::Granted,
        Some(_) => Access::Forbidden,
        None => Access::Unauthenticated,
    }
}

/// Records a job, and returns its id once the job is durable.
async fn submit(
    State(service): State<Service>,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response {
    let given = headers.get("x-auth-token").map(|token| token.as_bytes());
    if given != Some(service.token.as_bytes()) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let mut keys = uri.query().unwrap_or_default().split('&');
    let command = keys.find_map(|key| key.strip_prefix("action_id="));
    let request = Body::from_json(body)
        .and_then(|body| Request::new(command.unwrap_or_default(), uri.to_string(), body));
    let submitted = match request {
        // If the client disconnects and this handler is dropped, the job is still recorded.
        Ok(request) => service.movie.nonblocking().submit(request).await,
        Err(error) => Err(error),
    };
    match submitted {
        Ok(id) => format!(r#"{{"jobId":"{id}"}}"#).into_response(),
        Err(error) => error.api_error().into_response(),
    }
}

/// Works on one job after another, until the service stops.
async fn work(movie: Graph, stopping: watch::Receiver<bool>) -> jobstore::Result<()> {
    loop {
        let run = tokio::select! {
            run = movie.claim_next_async() => run,
            // This drops the claim. If the claim already has a job, that job becomes pending again.
            () = stopped(stopping.clone()) => return Ok(()),
        };
        let worked = match run {
            Ok(run) => work_on(&run, stopping.clone()).await,
            Err(error) => Err(error),
        };
        if let Err(error) = worked {
            use jobstore::Error::{Closed, Deposed, ReadOnly};
            // These errors last until the store is opened again. After `Deposed`, it must not be:
            // another engine has it.
            if let Closed | ReadOnly { .. } | Deposed { .. } = error {
                return Err(error);
            }
            eprintln!("a worker continues after an error: {error}");
            sleep(RETRY).await;
        }
    }
}

/// Works on one job, and records its outcome.
async fn work_on(run: &Run, stopping: watch::Receiver<bool>) -> jobstore::Result<()> {
    let out_of_time = async {
        stopped(stopping).await;
        sleep(GRACE).await;
    };
    let outcome = tokio::select! {
        outcome = count(run) => outcome,
        () = run.cancelled() => Outcome::cancelled(),
        () = out_of_time => {
            run.requeue_async().await?;
            return Ok(());
        }
    };
    run.complete_async(outcome).await.map(drop)
}

/// The work itself: `{"steps": 100}` takes 100 steps of 20 ms each. When the job is canceled, this
/// future is dropped at its next `await`. Work without an `await` should run on its own thread and
/// check `Run::cancel_requested`.
async fn count(run: &Run) -> Outcome {
    let body: serde_json::Value = match serde_json::from_str(run.request().body()) {
        Ok(body) => body,
        Err(error) => return Outcome::failed("GES.8012", error.to_string()),
    };
    let Some(steps) = body["steps"].as_u64().filter(|&steps| steps > 0) else {
        return Outcome::failed("GES.8012", "\"steps\" must be a positive number");
    };
    for step in 0..steps {
        run.progress((step * 100 / steps) as u8, "counting");
        sleep(Duration::from_millis(20)).await;
    }
    Outcome::succeeded()
}

/// Resolves when the service is to stop.
async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error means that the sender was dropped, so the service is gone.
    stopping.wait_for(|&stop| stop).await.ok();
}
