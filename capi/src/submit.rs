// Submitting requests.

use std::mem::MaybeUninit;

use jobstore::Submitted;

use crate::call::{call, given, put, put_if_wanted};
use crate::error::jobstore_error;
use crate::graph::jobstore_graph;
use crate::text::{array, array_out, jobstore_job_id, jobstore_request, jobstore_text};

/// Submits a request, and returns the id of the new job. When the call returns, the job is durable.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_submit(
    graph: Option<&jobstore_graph>,
    request: Option<&jobstore_request>,
    id: Option<&mut MaybeUninit<jobstore_job_id>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let graph = given(graph, "graph")?;
        let request = given(request, "request")?.read()?;
        put(id, "id", || {
            Ok(jobstore_job_id::of(&graph.0.submit(request)?))
        })
    })
}

/// Submits a request under an id that the caller chose: 1 to 128 characters from 0-9, A-Z, a-z,
/// `_`, and `-`. If the id belongs to a job with the same request, nothing is submitted and
/// `created` is false, so the call can be repeated. `created` may be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_submit_as(
    graph: Option<&jobstore_graph>,
    id: jobstore_text,
    request: Option<&jobstore_request>,
    created: Option<&mut MaybeUninit<bool>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let (graph, id) = (given(graph, "graph")?, id.read("id")?);
        let submitted = graph.0.submit_as(id, given(request, "request")?.read()?)?;
        put_if_wanted(created, matches!(submitted, Submitted::Created(_)));
        Ok(())
    })
}

/// Submits a request once per idempotency key, however often the call is repeated. Returns the id
/// of the job that belongs to the key. `created` may be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_submit_once(
    graph: Option<&jobstore_graph>,
    key: jobstore_text,
    request: Option<&jobstore_request>,
    id: Option<&mut MaybeUninit<jobstore_job_id>>,
    created: Option<&mut MaybeUninit<bool>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let (graph, key) = (given(graph, "graph")?, key.read("key")?);
        let request = given(request, "request")?.read()?;
        put(id, "id", || {
            let submitted = graph.0.submit_once(key, request)?;
            put_if_wanted(created, matches!(submitted, Submitted::Created(_)));
            Ok(jobstore_job_id::of(submitted.id()))
        })
    })
}

/// Submits several requests in one commit: either all of them or none. `ids` is an array of `count`
/// ids, into which the ids of the new jobs are stored in the same order.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_submit_many(
    graph: Option<&jobstore_graph>,
    requests: *const jobstore_request,
    count: usize,
    ids: *mut jobstore_job_id,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let graph = given(graph, "graph")?;
        let requests = array(requests, count, "requests")?.iter();
        let ids = array_out(ids, count, "ids")?;
        let requests: Vec<_> = requests
            .map(jobstore_request::read)
            .collect::<Result<_, _>>()?;
        for (to, id) in ids.iter_mut().zip(graph.0.submit_all(requests)?) {
            to.write(jobstore_job_id::of(&id));
        }
        Ok(())
    })
}
