// Looking up jobs, and waiting for them.

use std::mem::MaybeUninit;

use jobstore::{Error, Graph, Job, State};

use crate::bytes::jobstore_bytes;
use crate::call::{call, given, invalid, put, timeout};
use crate::callback::{CallbackWriter, User, jobstore_write_fn};
use crate::error::{Failure, jobstore_error};
use crate::graph::jobstore_graph;
use crate::text::{jobstore_request, jobstore_text};

use std::ffi::c_void;
use std::io::Write;

/// Returns a job as JSON, with its secrets masked:
/// `{"jobId":"..","status":"complete","request":{..},"outcome":{..},"submittedAt":..}`. Times are
/// in milliseconds since 1970.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_job(
    graph: Option<&jobstore_graph>,
    id: jobstore_text,
    json: Option<&mut MaybeUninit<jobstore_bytes>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let graph = &given(graph, "graph")?.0;
        put(json, "json", || {
            jobstore_bytes::new(find(graph, id)?.to_json())
        })
    })
}

/// Returns the request of a job as JSON, with its real secrets: protect it like the credentials in
/// it.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_job_request(
    graph: Option<&jobstore_graph>,
    id: jobstore_text,
    json: Option<&mut MaybeUninit<jobstore_bytes>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let graph = &given(graph, "graph")?.0;
        put(json, "json", || {
            jobstore_bytes::new(find(graph, id)?.request().as_json())
        })
    })
}

/// A job that does not exist is an error: `UnknownJob` or `JobPurged`.
fn find(graph: &Graph, id: jobstore_text) -> Result<Job, Failure> {
    let id = id.read("id")?;
    match graph.job(id)? {
        Some(job) => Ok(job),
        None => match graph.list_one(id) {
            Err(error) => Err(error.into()),
            // The job was submitted in the meantime.
            Ok(_) => Ok(graph
                .job(id)?
                .ok_or_else(|| Error::UnknownJob { id: id.to_owned() })?),
        },
    }
}

/// Returns what remains of a purged job as JSON: `{"purgedAt":..,"reason":"age"}`. If there is no
/// tombstone, the pointer is NULL, and the call succeeds.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_tombstone(
    graph: Option<&jobstore_graph>,
    id: jobstore_text,
    json: Option<&mut MaybeUninit<jobstore_bytes>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let tombstone = given(graph, "graph")?.0.tombstone(id.read("id")?)?;
        put(json, "json", || {
            tombstone.map_or(Ok(jobstore_bytes::NONE), |t| {
                jobstore_bytes::new(t.to_json())
            })
        })
    })
}

/// Returns the number of jobs in a state: `pending`, `running`, or `complete`.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_count(
    graph: Option<&jobstore_graph>,
    state: jobstore_text,
    jobs: Option<&mut MaybeUninit<u64>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let graph = &given(graph, "graph")?.0;
        let word = state.read("state")?;
        let state = State::ALL.into_iter().find(|state| state.as_str() == word);
        let state = state.ok_or_else(|| {
            invalid(format!(
                "invalid state {word:?}; use pending, running, or complete"
            ))
        })?;
        put(jobs, "jobs", || Ok(graph.count(state)?))
    })
}

/// Waits until a job is complete, for at most `timeout_ms`; a negative timeout waits without limit.
/// Returns the job as JSON. If the timeout passes first, the pointer is NULL, and the call succeeds.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_wait(
    graph: Option<&jobstore_graph>,
    id: jobstore_text,
    timeout_ms: i64,
    json: Option<&mut MaybeUninit<jobstore_bytes>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let (graph, id) = (given(graph, "graph")?, id.read("id")?);
        let job = graph.0.wait(id, timeout(timeout_ms))?;
        put(json, "json", || {
            job.map_or(Ok(jobstore_bytes::NONE), |job| {
                jobstore_bytes::new(job.to_json())
            })
        })
    })
}

/// Finds the jobs that have exactly this request, newest first, and writes each as a line of JSON.
/// At most `limit` jobs are written; 0 stands for all.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_find(
    graph: Option<&jobstore_graph>,
    request: Option<&jobstore_request>,
    limit: u64,
    write: jobstore_write_fn,
    user: *mut c_void,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    let user = User(user);
    call(error, || {
        let graph = &given(graph, "graph")?.0;
        let request = given(request, "request")?.read()?;
        let write = given(write, "write")?;
        let mut out = CallbackWriter { write, user };
        let most = match limit {
            0 => usize::MAX,
            limit => usize::try_from(limit).unwrap_or(usize::MAX),
        };
        for job in graph.find(&request)?.take(most) {
            let line = job?.to_json() + "\n";
            out.write_all(line.as_bytes()).map_err(|e| Error::Output {
                kind: e.kind(),
                message: e.to_string().into(),
            })?;
        }
        Ok(())
    })
}
