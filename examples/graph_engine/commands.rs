//! From a recorded request to a result: the commands that the engine implements, and the outcome of
//! each. This is independent of clients and threads. Every run is completed. A request that cannot
//! be executed gets an outcome with a code, and never causes a panic.

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jobstore::{Outcome, Run};
use petgraph::graph::NodeIndex;
use petgraph::visit::{Reversed, UndirectedAdaptor};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::algorithms::{Ending, PageRank, Ranks, page_rank, shortest_path, vertices_by_hop};
use crate::export::ratings_to_csv;
use crate::graph::{MovieGraph, Rating};
use crate::refusal::Refusal;
use crate::request_body::{
    Algorithm, ExportGraph, HopMode, ImportGraph, KHopParameters, PageRankParameters,
    ShortestPathParameters, Weight,
};
use crate::vertex_query::VertexQuery;

/// No request occupies a worker for longer than this, so even a request that nobody cancels ends.
const TIME_LIMIT: Duration = Duration::from_secs(3);

/// The interval at which a long run reports progress. A shorter one would not help a person.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// The maximum number of hops. In a graph in which movies connect everybody, further hops add
/// nothing.
const HOPS_MAX: u32 = 20;

/// The maximum number of vertices in a result. A detail is a summary, and the rest belongs in an
/// export.
const SHOWN_MAX: usize = 10;

/// The maximum length of a message. A refusal quotes the request, which may have megabytes, and the
/// store limits a message to 8 KiB.
const MESSAGE_CHARS_MAX: usize = 1000;

/// The graph that requests use, and the two directories in which they may name files.
pub struct Engine {
    csv_directory: PathBuf,
    data_directory: PathBuf,
    movies: RwLock<Option<Arc<MovieGraph>>>,
}

impl Engine {
    /// Imports read below `csv_directory`, and exports write below `data_directory`.
    pub fn new(csv_directory: PathBuf, data_directory: PathBuf) -> Engine {
        Engine {
            csv_directory,
            data_directory,
            movies: RwLock::new(None),
        }
    }

    /// Executes one request and records its outcome. An error is a fault of the store.
    pub fn execute(&self, run: Run) -> Result<(), jobstore::Error> {
        let outcome = self.answer(&run).unwrap_or_else(|refusal| {
            let message = refusal.to_string();
            let message: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
            Outcome::failed(refusal.code(), message)
        });
        // If the job is already complete, it keeps its outcome.
        run.complete(outcome).map(drop)
    }

    fn answer(&self, run: &Run) -> Result<Outcome, Refusal> {
        let request = run.request();
        match request.command() {
            "import_graph" => self.import_graph(run, &parse(request.body())?),
            "execute_algorithm" => match parse(request.body())? {
                Algorithm::Pagerank(parameters) => self.page_rank(run, &parameters),
                Algorithm::KHop(parameters) => self.k_hop(&parameters),
                Algorithm::ShortestPath(parameters) => self.shortest_path(&parameters),
            },
            "vertex_query" => self.vertex_query(&parse(request.body())?),
            "export_graph" => self.export_graph(run, &parse(request.body())?),
            unknown => Err(Refusal::UnknownCommand(unknown.to_owned())),
        }
    }

    fn import_graph(&self, run: &Run, import: &ImportGraph) -> Result<Outcome, Refusal> {
        let [users, movies] = &import.vertexset_path;
        let loaded = MovieGraph::read(
            open_below(&self.csv_directory, users)?,
            open_below(&self.csv_directory, movies)?,
            open_below(&self.csv_directory, &import.edgeset_path)?,
            |percent, text| run.progress(percent, text),
        )?;
        let (vertices, edges) = (loaded.graph.node_count(), loaded.graph.edge_count());
        // Requests in progress keep the graph with which they began.
        *self.movies.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(loaded));
        Ok(Outcome::succeeded().with_detail(&json!({
            "summary": format!("{vertices} vertices, {edges} edges"),
            "vertices": vertices,
            "edges": edges,
        }))?)
    }

    fn page_rank(&self, run: &Run, parameters: &PageRankParameters) -> Result<Outcome, Refusal> {
        let movies = self.movies()?;
        if !(0.0..=1.0).contains(&parameters.alpha) {
            return Err(Refusal::Parameter {
                name: "alpha",
                given: parameters.alpha.to_string(),
                allowed: "0 to 1",
            });
        }
        let settings = PageRank {
            alpha: parameters.alpha,
            convergence: parameters.convergence,
            max_iterations: parameters.max_iterations,
        };
        let began = Instant::now();
        let mut told: Option<Instant> = None;
        let mut after_iteration = |iteration: u64, change: f64| {
            if told.is_none_or(|at| at.elapsed() >= PROGRESS_INTERVAL) {
                told = Some(Instant::now());
                // The change shrinks by a constant factor per iteration, so its logarithm is
                // linear.
                let percent = (100.0 * change.ln() / settings.convergence.ln()).clamp(0.0, 99.0);
                run.progress(
                    percent as u8,
                    &format!("iteration {iteration}, change {change:.1e}"),
                );
            }
            if run.cancel_requested() || began.elapsed() >= TIME_LIMIT {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let found = if parameters.directed {
            page_rank(&movies.graph, &settings, &mut after_iteration)
        } else {
            let both_ways = UndirectedAdaptor(&movies.graph);
            page_rank(both_ways, &settings, &mut after_iteration)
        };

        if found.ending == Ending::Stopped && run.cancel_requested() {
            let iterations = found.iterations;
            return Ok(Outcome::cancelled().with_detail(&json!({
                "summary": format!("stopped after iteration {iterations}"),
                "iterations": iterations,
            }))?);
        }
        ranked(&movies, &found)
    }

    fn k_hop(&self, parameters: &KHopParameters) -> Result<Outcome, Refusal> {
        let movies = self.movies()?;
        let k = parameters.k;
        if !(1..=HOPS_MAX).contains(&k) {
            return Err(Refusal::Parameter {
                name: "k",
                given: k.to_string(),
                allowed: "1 to 20",
            });
        }
        let source = vertex(&movies, &parameters.source)?;
        let hops = match parameters.mode {
            HopMode::Out => vertices_by_hop(&movies.graph, source, k),
            HopMode::In => vertices_by_hop(Reversed(&movies.graph), source, k),
            HopMode::All => vertices_by_hop(UndirectedAdaptor(&movies.graph), source, k),
        };
        let counts: Vec<usize> = hops.iter().map(Vec::len).collect();
        let total: usize = counts.iter().sum();
        let by_hop: Vec<String> = counts.iter().map(usize::to_string).collect();
        Ok(Outcome::succeeded().with_detail(&json!({
            "summary": format!(
                "{total} vertices around {}, by hop {}",
                parameters.source,
                by_hop.join(" + ")
            ),
            "counts": counts,
        }))?)
    }

    fn shortest_path(&self, parameters: &ShortestPathParameters) -> Result<Outcome, Refusal> {
        let movies = self.movies()?;
        let source = vertex(&movies, &parameters.source)?;
        let target = vertex(&movies, &parameters.target)?;
        let length: fn(&Rating) -> u32 = match parameters.weight {
            Some(Weight::Score) => Rating::distance,
            None => |_| 1,
        };
        let found = if parameters.directed {
            shortest_path(&movies.graph, source, target, length)
        } else {
            shortest_path(UndirectedAdaptor(&movies.graph), source, target, length)
        };
        let Some((length, path)) = found else {
            return Err(Refusal::NoPath {
                from: parameters.source.clone(),
                to: parameters.target.clone(),
            });
        };
        let ids: Vec<&str> = path.iter().map(|&step| movies.graph[step].id()).collect();
        Ok(Outcome::succeeded().with_detail(&json!({
            "summary": format!("length {length}: {}", ids.join(" ")),
            "length": length,
            "path": ids,
        }))?)
    }

    fn vertex_query(&self, query: &VertexQuery) -> Result<Outcome, Refusal> {
        let movies = self.movies()?;
        let found = query.find(&movies);
        let shown: Vec<_> = found
            .vertices
            .iter()
            .take(SHOWN_MAX)
            .map(|&vertex| {
                let (id, name) = describe(&movies, vertex);
                json!({"vertex": id, "name": name})
            })
            .collect();
        let names: Vec<String> = found
            .vertices
            .iter()
            .take(2)
            .map(|&vertex| describe(&movies, vertex).1)
            .collect();
        Ok(Outcome::succeeded().with_detail(&json!({
            "summary": format!("{} found; first {}", found.total, names.join(", ")),
            "total": found.total,
            "vertices": shown,
        }))?)
    }

    fn export_graph(&self, run: &Run, export: &ExportGraph) -> Result<Outcome, Refusal> {
        let movies = self.movies()?;
        // The name contains the job's id, so an export never overwrites a file to which an earlier
        // outcome refers.
        let name = format!("{}-{}", run.id(), export.edge_set_name);
        let result_ref = Path::new(&export.graph_export_path).join(name);
        let path = below(&self.data_directory, &result_ref)?;
        let shown = result_ref.to_string_lossy().into_owned();
        let failed = |source| Refusal::File {
            path: shown.clone(),
            source,
        };
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        let edges = ratings_to_csv(&movies, &path).map_err(failed)?;
        let detail = json!({"summary": format!("{edges} edges"), "edges": edges});
        Ok(Outcome::succeeded()
            .with_detail(&detail)?
            .with_result_ref(shown)?)
    }

    fn movies(&self) -> Result<Arc<MovieGraph>, Refusal> {
        let movies = self.movies.read().unwrap_or_else(PoisonError::into_inner);
        movies.clone().ok_or(Refusal::NoGraph)
    }
}

/// Returns the outcome of a ranking. Ranks that have not converged are also a result: the job has
/// then partially failed.
fn ranked(movies: &MovieGraph, found: &Ranks) -> Result<Outcome, Refusal> {
    let iterations = found.iterations;
    let mut order: Vec<NodeIndex> = movies.graph.node_indices().collect();
    order.sort_by(|a, b| found.ranks[b.index()].total_cmp(&found.ranks[a.index()]));
    let top: Vec<_> = order
        .iter()
        .take(SHOWN_MAX)
        .map(|&vertex| {
            let (id, name) = describe(movies, vertex);
            json!({"vertex": id, "name": name, "rank": found.ranks[vertex.index()]})
        })
        .collect();
    let first = order
        .first()
        .map_or("no vertex".to_owned(), |&vertex| describe(movies, vertex).1);
    let detail = json!({
        "summary": format!("first of all {first}, {iterations} iterations"),
        "iterations": iterations,
        "converged": found.ending == Ending::Converged,
        "top": top,
    });
    let outcome = match found.ending {
        Ending::Converged => Outcome::succeeded(),
        Ending::IterationsUsedUp => Outcome::partially_failed(
            "engine.not_converged",
            format!("not converged after {iterations} iterations; ranks are approximate"),
        ),
        Ending::Stopped => Outcome::partially_failed(
            "engine.time_limit",
            format!(
                "not converged after {} s; ranks are approximate",
                TIME_LIMIT.as_secs()
            ),
        ),
    };
    Ok(outcome.with_detail(&detail)?)
}

fn parse<T: DeserializeOwned>(body: &str) -> Result<T, Refusal> {
    Ok(serde_json::from_str(body)?)
}

fn vertex(movies: &MovieGraph, id: &str) -> Result<NodeIndex, Refusal> {
    movies
        .vertex(id)
        .ok_or_else(|| Refusal::VertexNotFound(id.to_owned()))
}

fn describe(movies: &MovieGraph, vertex: NodeIndex) -> (&str, String) {
    let vertex = &movies.graph[vertex];
    (vertex.id(), vertex.display_name())
}

fn open_below(directory: &Path, relative: &str) -> Result<File, Refusal> {
    File::open(below(directory, Path::new(relative))?).map_err(|source| Refusal::File {
        path: relative.to_owned(),
        source,
    })
}

/// Returns the path of a file below a directory of the engine. A request comes from outside, so it
/// may not name any other file.
fn below(directory: &Path, relative: &Path) -> Result<PathBuf, Refusal> {
    let plain = relative
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if plain && relative.file_name().is_some() {
        Ok(directory.join(relative))
    } else {
        Err(Refusal::Parameter {
            name: "path",
            given: relative.display().to_string(),
            allowed: "a relative one without `..`",
        })
    }
}

#[cfg(test)]
mod tests {
    use jobstore::{Body, Graph, JobStore, OutcomeKind, Request};

    use super::*;

    fn movie_graph() -> Graph {
        let store = JobStore::in_memory().unwrap();
        store.get_or_create_graph("10001", "movie").unwrap()
    }

    fn engine(data_directory: &Path) -> Engine {
        Engine::new(crate::csv_directory(), data_directory.to_owned())
    }

    fn carry_out(graph: &Graph, engine: &Engine, command: &str, body: &str) -> Outcome {
        let body = Body::from_json(body).unwrap();
        let request = Request::new(command, "/ges/v1.0/10001/graphs/movie/action", body).unwrap();
        let id = graph.submit(request).unwrap();
        engine.execute(graph.claim(&id).unwrap()).unwrap();
        let job = graph.job(&id).unwrap().unwrap();
        job.outcome().unwrap().clone()
    }

    const IMPORT: &str = r#"{"edgesetPath":"data/ratings.csv",
        "vertexsetPath":["data/users.csv","data/movies.csv"]}"#;

    #[test]
    fn every_refusal_is_an_outcome_with_a_code() {
        let directory = tempfile::tempdir().unwrap();
        let graph = movie_graph();
        let engine = engine(directory.path());
        let path = r#"{"algorithmName":"shortest_path",
            "parameters":{"source":"u1","target":"u999","directed":false}}"#;
        let escape = r#"{"graphExportPath":"../","edgeSetName":"ratings.csv"}"#;
        let before = carry_out(&graph, &engine, "execute_algorithm", path);
        assert_eq!(before.code(), Some("engine.no_graph"));
        let import = carry_out(&graph, &engine, "import_graph", IMPORT);
        assert_eq!(import.kind(), OutcomeKind::Succeeded);
        for (command, body, code) in [
            ("execute_algorithm", path, "engine.vertex_not_found"),
            ("execute_algorithm", "{}", "engine.bad_request"),
            ("export_graph", escape, "engine.bad_request"),
            ("clear_graph", "{}", "engine.unknown_command"),
        ] {
            let outcome = carry_out(&graph, &engine, command, body);
            assert_eq!(outcome.kind(), OutcomeKind::Failed);
            assert_eq!(outcome.code(), Some(code));
            assert!(outcome.message().is_some());
        }
    }

    #[test]
    fn a_refusal_of_a_very_long_name_still_fits_an_outcome() {
        let directory = tempfile::tempdir().unwrap();
        let graph = movie_graph();
        let engine = engine(directory.path());
        carry_out(&graph, &engine, "import_graph", IMPORT);
        let body = format!(
            r#"{{"algorithmName":"k_hop","parameters":{{"k":1,"source":"{}","mode":"OUT"}}}}"#,
            "u".repeat(100_000)
        );
        let outcome = carry_out(&graph, &engine, "execute_algorithm", &body);
        assert_eq!(outcome.code(), Some("engine.vertex_not_found"));
        let message = outcome.message().unwrap();
        assert_eq!(message.chars().count(), MESSAGE_CHARS_MAX);
    }

    #[test]
    fn ranks_that_are_not_settled_are_a_partial_failure_with_a_result() {
        let directory = tempfile::tempdir().unwrap();
        let graph = movie_graph();
        let engine = engine(directory.path());
        carry_out(&graph, &engine, "import_graph", IMPORT);
        let body = r#"{"algorithmName":"pagerank","parameters":
            {"alpha":0.85,"convergence":1e-9,"max_iterations":2,"directed":false}}"#;
        let outcome = carry_out(&graph, &engine, "execute_algorithm", body);
        assert_eq!(outcome.kind(), OutcomeKind::PartiallyFailed);
        assert_eq!(outcome.code(), Some("engine.not_converged"));
        assert!(outcome.detail().unwrap().contains("\"top\""));
    }

    #[test]
    fn an_export_names_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let graph = movie_graph();
        let engine = engine(directory.path());
        carry_out(&graph, &engine, "import_graph", IMPORT);
        let body = r#"{"graphExportPath":"exports/","edgeSetName":"ratings.csv"}"#;
        let outcome = carry_out(&graph, &engine, "export_graph", body);
        let named = outcome.result_ref().unwrap();
        assert!(directory.path().join(named).is_file());
    }
}
