// Retention policies, and purges by hand.

use std::mem::MaybeUninit;

use jobstore::{JobQuery, Retention};

use crate::bytes::jobstore_bytes;
use crate::call::{call, given, put, put_if_wanted};
use crate::error::jobstore_error;
use crate::graph::jobstore_graph;
use crate::text::jobstore_text;

/// Sets the retention policy of a graph, as JSON: `{"maxAgeMs":..,"maxAgeOfMs":{"failed":..},
/// "maxJobs":..,"maxBytes":..,"maxTombstones":..,"tombstoneAgeMs":..,"archiveTo":"..",
/// "archiveFileBytes":..}`, in which every member is optional. The empty text removes the policy.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_set_retention(
    graph: Option<&jobstore_graph>,
    policy: jobstore_text,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let policy = match policy.read("policy")? {
            "" => None,
            json => Some(Retention::from_json(json)?),
        };
        Ok(given(graph, "graph")?.0.set_retention(policy)?)
    })
}

/// Returns the retention policy of a graph as JSON. If there is none, the pointer is NULL, and the
/// call succeeds.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_retention(
    graph: Option<&jobstore_graph>,
    json: Option<&mut MaybeUninit<jobstore_bytes>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let policy = given(graph, "graph")?.0.retention();
        put(json, "json", || {
            policy.map_or(Ok(jobstore_bytes::NONE), |p| {
                jobstore_bytes::new(p.to_json())
            })
        })
    })
}

/// Purges the complete jobs that match a query string; if `dry_run` is true, only counts them. `jobs`
/// receives their number; it may be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_purge(
    graph: Option<&jobstore_graph>,
    query: jobstore_text,
    dry_run: bool,
    jobs: Option<&mut MaybeUninit<u64>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let graph = &given(graph, "graph")?.0;
        let query: JobQuery = query.read("query")?.parse()?;
        let purged = match dry_run {
            true => graph.purge_dry_run(query)?,
            false => graph.purge(query)?,
        };
        put_if_wanted(jobs, purged.jobs);
        Ok(())
    })
}
