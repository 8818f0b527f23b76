// Counting jobs: by a property, and by time.

use std::mem::MaybeUninit;

use jobstore::{HistoryPoint, HistoryRequest, TallyRequest};

use crate::bytes::jobstore_bytes;
use crate::call::{call, given, put};
use crate::error::jobstore_error;
use crate::graph::jobstore_graph;
use crate::store::jobstore_store;
use crate::text::jobstore_text;

/// Counts the jobs of a graph by a property, and returns the counts as JSON:
/// `{"groups":[{"outcome":"failed","jobs":2}],"isPartial":false,"jobs":2}`. `query` is a query string
/// with the parameter `by` (`state`, `outcome`, `command`, or `origin`; or `submitted` or
/// `completed`, together with `period_ms`) and the filters of the list, such as
/// `by=outcome&command=import_graph`.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_tally(
    graph: Option<&jobstore_graph>,
    query: jobstore_text,
    json: Option<&mut MaybeUninit<jobstore_bytes>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let graph = &given(graph, "graph")?.0;
        let TallyRequest { query, by, .. } = query.read("query")?.parse()?;
        put(json, "json", || {
            jobstore_bytes::new(graph.tally(query, by)?.to_json())
        })
    })
}

/// Counts the jobs of all graphs of a store, as `jobstore_tally` does for one of them.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_tally_all(
    store: Option<&jobstore_store>,
    query: jobstore_text,
    json: Option<&mut MaybeUninit<jobstore_bytes>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let store = &given(store, "store")?.0;
        let TallyRequest { query, by, .. } = query.read("query")?.parse()?;
        put(json, "json", || {
            let tally = store.tally(&store.graphs()?, query, by)?;
            jobstore_bytes::new(tally.to_json())
        })
    })
}

/// Returns what happened to the jobs of a graph in a period, by time and command, as JSON:
/// `{"boundsMs":[10,..],"points":[{"start":..,"lengthMs":3600000,"counts":{..},"commands":[..]}]}`.
/// Purged jobs are included. `query` is a query string with the parameters `from` and `to`
/// (all times by default), and `step_ms`, the length of a point in milliseconds (an hour by
/// default): a number of minutes that divides an hour, a number of hours that divides a day, or a
/// number of days.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_history(
    graph: Option<&jobstore_graph>,
    query: jobstore_text,
    json: Option<&mut MaybeUninit<jobstore_bytes>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let graph = &given(graph, "graph")?.0;
        let asked: HistoryRequest = query.read("query")?.parse()?;
        put(json, "json", || {
            let points = graph.history(asked.from, asked.to, asked.step)?;
            let document: String = HistoryPoint::to_document(points).collect();
            jobstore_bytes::new(document)
        })
    })
}
