//! The client: it submits requests in the form of the GES API, waits for them, and cancels two.
//! Like a client on the network, it refers to the graph's jobs only by their ids. Every wait has a
//! timeout, so a job that makes no progress is an error and does not hang the program.

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use jobstore::{Body, Cancellation, Graph, Job, JobId, Request, State};

const TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// A command, and the part of its URL that follows the graph's name.
type Action = (&'static str, &'static str);
const IMPORT_GRAPH: Action = ("import_graph", "action?action_id=import-graph");
const EXECUTE_ALGORITHM: Action = ("execute_algorithm", "action?action_id=execute-algorithm");
const VERTEX_QUERY: Action = ("vertex_query", "vertices/action?action_id=query");
const EXPORT_GRAPH: Action = ("export_graph", "action?action_id=export-graph");

const IMPORT: &str =
    r#"{"edgesetPath":"data/ratings.csv","vertexsetPath":["data/users.csv","data/movies.csv"]}"#;

const EXPORT: &str = r#"{"graphExportPath":"exports/","edgeSetName":"ratings.csv"}"#;

/// Without damping, the rank oscillates between users and movies forever, so this request ends only
/// if it is canceled.
const ENDLESS: &str = r#"{"algorithmName":"pagerank","parameters":{"alpha":1.0,"convergence":0.000000000001,"max_iterations":1000000000000,"directed":false}}"#;

/// The requests of the batch that run to completion.
const REQUESTS: [(Action, &str); 9] = [
    (
        EXECUTE_ALGORITHM,
        r#"{"algorithmName":"pagerank","parameters":{"alpha":0.85,"convergence":0.00001,"max_iterations":1000,"directed":true}}"#,
    ),
    (
        EXECUTE_ALGORITHM,
        r#"{"algorithmName":"pagerank","parameters":{"alpha":0.85,"convergence":0.00001,"max_iterations":1000,"directed":false}}"#,
    ),
    (
        EXECUTE_ALGORITHM,
        r#"{"algorithmName":"k_hop","parameters":{"k":3,"source":"u300","mode":"ALL"}}"#,
    ),
    (
        EXECUTE_ALGORITHM,
        r#"{"algorithmName":"shortest_path","parameters":{"source":"u300","target":"u84","directed":false}}"#,
    ),
    (
        EXECUTE_ALGORITHM,
        r#"{"algorithmName":"shortest_path","parameters":{"source":"u300","target":"u84","weight":"score","directed":false}}"#,
    ),
    (
        // This request fails, because there is no user u999.
        EXECUTE_ALGORITHM,
        r#"{"algorithmName":"shortest_path","parameters":{"source":"u999","target":"u1","directed":false}}"#,
    ),
    (
        VERTEX_QUERY,
        r#"{"offset":0,"limit":5,"labels":["user"],"vertexFilters":[{"propertyName":"age","predicate":"=","values":["18-24"]}]}"#,
    ),
    (
        VERTEX_QUERY,
        r#"{"offset":0,"limit":5,"labels":["movie"],"vertexFilters":[{"propertyName":"genres","predicate":"CONTAIN","values":["Film-Noir"]}]}"#,
    ),
    (EXPORT_GRAPH, EXPORT),
];

/// The ids of one batch of requests.
pub struct Batch {
    /// The jobs that never complete by themselves.
    endless: Vec<JobId>,
    /// The job that the client cancels before it is started.
    regretted: JobId,
    /// All jobs, in the order of submission.
    all: Vec<JobId>,
}

pub fn submit_import(graph: &Graph) -> Result<JobId, jobstore::Error> {
    graph.submit(request(graph, IMPORT_GRAPH, IMPORT)?)
}

impl Batch {
    /// Submits the requests in one batch. It begins with `endless_count` requests that never
    /// complete by themselves. There are as many of these as workers, so the others stay pending.
    pub fn submit(graph: &Graph, endless_count: usize) -> Result<Batch, Box<dyn Error>> {
        let mut requests = Vec::new();
        for _ in 0..endless_count {
            requests.push(request(graph, EXECUTE_ALGORITHM, ENDLESS)?);
        }
        for (action, body) in REQUESTS {
            requests.push(request(graph, action, body)?);
        }
        requests.push(request(graph, EXPORT_GRAPH, EXPORT)?);
        let all = graph.submit_all(requests)?;
        let regretted = all.last().ok_or("the batch came back without ids")?.clone();
        let endless = all.iter().take(endless_count).cloned().collect();
        Ok(Batch {
            endless,
            regretted,
            all,
        })
    }

    /// Cancels a job. Must be called while there is no worker, so that the job cannot have been
    /// started.
    pub fn cancel_before_start(&self, graph: &Graph) -> Result<Cancellation, jobstore::Error> {
        graph.cancel(&self.regretted)
    }

    /// Waits until the requests that never complete by themselves are running.
    pub fn wait_until_running(&self, graph: &Graph) -> Result<(), Box<dyn Error>> {
        for id in &self.endless {
            // On a busy machine, the engine's time limit may expire before the client sees the job
            // running.
            wait_until(graph, id, |job| match job.state() {
                State::Pending => false,
                State::Running => job.progress().is_some(),
                State::Complete => true,
            })?;
        }
        Ok(())
    }

    pub fn cancel_running(&self, graph: &Graph) -> Result<Vec<Cancellation>, jobstore::Error> {
        self.endless.iter().map(|id| graph.cancel(id)).collect()
    }

    pub fn wait_until_complete(&self, graph: &Graph) -> Result<(), Box<dyn Error>> {
        for id in &self.all {
            wait_until(graph, id, |job| job.state() == State::Complete)?;
        }
        Ok(())
    }
}

fn request(graph: &Graph, action: Action, body: &str) -> Result<Request, jobstore::Error> {
    let (command, resource) = action;
    let (project_id, name) = (graph.project_id(), graph.name());
    let url = format!("/ges/v1.0/{project_id}/graphs/{name}/{resource}");
    // The body is passed as text, not as a value, because the list returns the text exactly:
    // 0.00001 stays 0.00001.
    Request::new(command, url, Body::from_json(body)?)
}

fn wait_until(
    graph: &Graph,
    id: &JobId,
    reached: impl Fn(&Job) -> bool,
) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    loop {
        match graph.job(id)? {
            None => return Err(format!("job {id} is not there any more").into()),
            Some(job) if reached(&job) => return Ok(()),
            Some(job) if began.elapsed() > TIMEOUT => {
                let state = job.state();
                let waited_s = TIMEOUT.as_secs();
                return Err(format!("job {id} is still {state} after {waited_s} s").into());
            }
            Some(_) => thread::sleep(POLL_INTERVAL),
        }
    }
}
