// Graphs: handles, and the calls that create, list, and drop them.

use std::mem::MaybeUninit;

use jobstore::{Error, Graph, JobStore};
use serde_json::json;

use crate::bytes::jobstore_bytes;
use crate::call::{call, free, get, given, handle, put};
use crate::error::{Failure, jobstore_error};
use crate::store::jobstore_store;
use crate::text::jobstore_text;

/// A graph of a store. Any number of threads may use it at the same time.
pub struct jobstore_graph(pub(crate) Graph);

/// Creates a graph.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_create_graph(
    store: Option<&jobstore_store>,
    project_id: jobstore_text,
    name: jobstore_text,
    graph: Option<&mut MaybeUninit<*mut jobstore_graph>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        open(store, (project_id, name), graph, JobStore::create_graph)
    })
}

/// Returns a graph that exists.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_get_graph(
    store: Option<&jobstore_store>,
    project_id: jobstore_text,
    name: jobstore_text,
    graph: Option<&mut MaybeUninit<*mut jobstore_graph>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        open(store, (project_id, name), graph, JobStore::graph)
    })
}

/// Returns a graph, and creates it if it does not exist.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_get_or_create_graph(
    store: Option<&jobstore_store>,
    project_id: jobstore_text,
    name: jobstore_text,
    graph: Option<&mut MaybeUninit<*mut jobstore_graph>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        open(
            store,
            (project_id, name),
            graph,
            JobStore::get_or_create_graph,
        )
    })
}

fn open(
    store: Option<&jobstore_store>,
    (project_id, name): (jobstore_text, jobstore_text),
    graph: Option<&mut MaybeUninit<*mut jobstore_graph>>,
    open: impl FnOnce(&JobStore, &str, &str) -> Result<Graph, Error>,
) -> Result<(), Failure> {
    let store = &given(store, "store")?.0;
    let (project_id, name) = (project_id.read("project_id")?, name.read("name")?);
    put(graph, "graph", || {
        Ok(handle(jobstore_graph(open(store, project_id, name)?)))
    })
}

/// Drops a graph and all its jobs. Handles of the graph then return
/// `JOBSTORE_ERROR_GRAPH_DROPPED`, and still have to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_drop_graph(
    store: Option<&jobstore_store>,
    project_id: jobstore_text,
    name: jobstore_text,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let store = &given(store, "store")?.0;
        Ok(store.drop_graph(project_id.read("project_id")?, name.read("name")?)?)
    })
}

/// Returns all graphs as JSON: `{"graphs":[{"projectId":"10001","graphName":"movie"}]}`.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_graphs(
    store: Option<&jobstore_store>,
    json: Option<&mut MaybeUninit<jobstore_bytes>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let graphs = given(store, "store")?.0.graphs()?;
        let names = graphs
            .iter()
            .map(|graph| json!({"projectId": graph.project_id(), "graphName": graph.name()}));
        let graphs = json!({"graphs": names.collect::<Vec<_>>()});
        put(json, "json", || jobstore_bytes::new(graphs.to_string()))
    })
}

/// Returns the graph's name. It is valid until the graph is freed.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_graph_name(graph: Option<&jobstore_graph>) -> jobstore_text {
    get(graph, jobstore_text::EMPTY, |graph| {
        jobstore_text::of(graph.0.name())
    })
}

/// Returns the id of the graph's project. It is valid until the graph is freed.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_graph_project_id(graph: Option<&jobstore_graph>) -> jobstore_text {
    get(graph, jobstore_text::EMPTY, |graph| {
        jobstore_text::of(graph.0.project_id())
    })
}

/// Frees the handle of a graph. The graph itself is not affected.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_graph_free(graph: Option<Box<jobstore_graph>>) {
    free(graph);
}
