// The life cycle of jobs, by id or by query: start, complete, cancel, claim.

use std::mem::MaybeUninit;

use jobstore::{Cancellation, Completion, JobQuery, Outcome};

use crate::bytes::jobstore_bytes;
use crate::call::{call, given, handle, put, put_if_wanted, timeout};
use crate::error::{Failure, jobstore_error};
use crate::graph::jobstore_graph;
use crate::run::jobstore_run;
use crate::text::jobstore_text;

/// The call had its effect.
pub const JOBSTORE_DONE: i32 = 0;
/// The job was pending, and is complete now.
pub const JOBSTORE_CANCELLED_BEFORE_START: i32 = 1;
/// The job is running, and was asked to stop.
pub const JOBSTORE_CANCEL_REQUESTED: i32 = 2;
/// The job had already completed. Nothing was changed.
pub const JOBSTORE_ALREADY_COMPLETE: i32 = 3;

/// An outcome as C passes it: JSON, a bare word such as `succeeded`, or the empty text for
/// `succeeded`.
pub(crate) fn outcome(text: jobstore_text) -> Result<Outcome, Failure> {
    Ok(match text.read("outcome")? {
        "" => Outcome::succeeded(),
        json if json.trim_start().starts_with('{') => Outcome::from_json(json)?,
        word => Outcome::from_json(&serde_json::json!({ "kind": word }).to_string())?,
    })
}

pub(crate) fn completion(done: &Completion) -> i32 {
    match done {
        Completion::Done => JOBSTORE_DONE,
        _ => JOBSTORE_ALREADY_COMPLETE,
    }
}

pub(crate) fn cancellation(done: &Cancellation) -> i32 {
    match done {
        Cancellation::CancelledBeforeStart => JOBSTORE_CANCELLED_BEFORE_START,
        Cancellation::Requested => JOBSTORE_CANCEL_REQUESTED,
        _ => JOBSTORE_ALREADY_COMPLETE,
    }
}

/// Starts a pending job: it becomes running.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_start(
    graph: Option<&jobstore_graph>,
    id: jobstore_text,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        Ok(given(graph, "graph")?.0.start(id.read("id")?)?)
    })
}

/// Completes a running job. `outcome` is JSON, such as
/// `{"kind":"failed","code":"..","message":"..","resultRef":"..","detail":..}`, or only the kind:
/// `succeeded`, `partially_failed`, `failed`, `cancelled`, or `interrupted`. The empty text stands
/// for `succeeded`. `done` receives `JOBSTORE_DONE` or `JOBSTORE_ALREADY_COMPLETE`; it may be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_complete(
    graph: Option<&jobstore_graph>,
    id: jobstore_text,
    outcome: jobstore_text,
    done: Option<&mut MaybeUninit<i32>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let (graph, id) = (given(graph, "graph")?, id.read("id")?);
        let completed = graph.0.complete(id, self::outcome(outcome)?)?;
        put_if_wanted(done, completion(&completed));
        Ok(())
    })
}

/// Cancels a job. `done` receives `JOBSTORE_CANCELLED_BEFORE_START`, `JOBSTORE_CANCEL_REQUESTED`,
/// or `JOBSTORE_ALREADY_COMPLETE`; it may be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_cancel(
    graph: Option<&jobstore_graph>,
    id: jobstore_text,
    done: Option<&mut MaybeUninit<i32>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let cancelled = given(graph, "graph")?.0.cancel(id.read("id")?)?;
        put_if_wanted(done, cancellation(&cancelled));
        Ok(())
    })
}

/// Cancels all pending and running jobs that match a query string with the filters of the list; if
/// `dry_run` is true, only counts them. Returns the numbers of jobs as JSON:
/// `{"alreadyComplete":0,"cancelled":3,"jobs":4,"requested":1}`. Running jobs are asked to stop. Jobs
/// that are submitted during the call are not canceled. After an error, some of the jobs may have
/// been canceled; the call can be repeated.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_cancel_all(
    graph: Option<&jobstore_graph>,
    query: jobstore_text,
    dry_run: bool,
    json: Option<&mut MaybeUninit<jobstore_bytes>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let graph = &given(graph, "graph")?.0;
        let query: JobQuery = query.read("query")?.parse()?;
        put(json, "json", || {
            let report = match dry_run {
                true => graph.cancel_all_dry_run(query)?,
                false => graph.cancel_all(query)?,
            };
            jobstore_bytes::new(report.to_json())
        })
    })
}

/// Claims the oldest pending job, and starts it. If no job is pending, waits for one for at most
/// `timeout_ms`; 0 does not wait, and a negative timeout waits without limit. If there is no job,
/// `run` receives NULL, and the call succeeds.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_claim_next(
    graph: Option<&jobstore_graph>,
    timeout_ms: i64,
    run: Option<&mut MaybeUninit<*mut jobstore_run>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let graph = &given(graph, "graph")?.0;
        put(run, "run", || {
            let claimed = match timeout_ms {
                0 => graph.claim_next()?,
                ms => graph.claim_next_timeout(timeout(ms))?,
            };
            Ok(claimed.map_or(std::ptr::null_mut(), |run| handle(jobstore_run(run))))
        })
    })
}

/// Claims a pending job by its id, and starts it.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_claim(
    graph: Option<&jobstore_graph>,
    id: jobstore_text,
    run: Option<&mut MaybeUninit<*mut jobstore_run>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let (graph, id) = (given(graph, "graph")?, id.read("id")?);
        put(run, "run", || Ok(handle(jobstore_run(graph.0.claim(id)?))))
    })
}

/// Returns a run for a job that is already running, for example after a restart with the option
/// `recovery` set to `leave`.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_attach(
    graph: Option<&jobstore_graph>,
    id: jobstore_text,
    run: Option<&mut MaybeUninit<*mut jobstore_run>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let (graph, id) = (given(graph, "graph")?, id.read("id")?);
        put(run, "run", || Ok(handle(jobstore_run(graph.0.attach(id)?))))
    })
}
