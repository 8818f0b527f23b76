// Calls that do not wait: their results arrive in a completion queue.

use std::mem::MaybeUninit;

use jobstore::Error;

use crate::call::{call, given};
use crate::completion::{Payload, UntakenRun};
use crate::error::{Failure, jobstore_error};
use crate::graph::jobstore_graph;
use crate::queue::jobstore_queue;
use crate::run::jobstore_run;
use crate::text::{jobstore_request, jobstore_text};
use crate::work::{cancellation, completion, outcome};

/// Starts a call whose result is passed to the queue.
fn start<T: Send + 'static>(
    queue: Option<&jobstore_queue>,
    tag: u64,
    call: impl Future<Output = Result<T, Error>> + Send + 'static,
    payload: impl FnOnce(T) -> Payload + Send + 'static,
) -> Result<(), Failure> {
    let queue = given(queue, "queue")?;
    queue.start(tag, Box::pin(async move { Ok(payload(call.await?)) }))
}

/// Submits a request without waiting until it is durable. The text of the result is the job's id.
/// The writes of a thread are committed in the order of its calls.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_submit_async(
    graph: Option<&jobstore_graph>,
    request: Option<&jobstore_request>,
    queue: Option<&jobstore_queue>,
    tag: u64,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let graph = &given(graph, "graph")?.0;
        let queue = Some(given(queue, "queue")?);
        let request = given(request, "request")?.read()?;
        let write = graph.nonblocking().submit(request);
        start(queue, tag, write, |id| {
            Payload::Text(id.as_str().to_owned())
        })
    })
}

/// Starts a pending job without waiting until this is durable.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_start_async(
    graph: Option<&jobstore_graph>,
    id: jobstore_text,
    queue: Option<&jobstore_queue>,
    tag: u64,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let graph = &given(graph, "graph")?.0;
        let queue = Some(given(queue, "queue")?);
        let write = graph.nonblocking().start(id.read("id")?);
        start(queue, tag, write, |()| Payload::Done(0))
    })
}

/// Completes a running job without waiting until this is durable. `outcome` is as in
/// `jobstore_complete`.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_complete_async(
    graph: Option<&jobstore_graph>,
    id: jobstore_text,
    outcome: jobstore_text,
    queue: Option<&jobstore_queue>,
    tag: u64,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let graph = &given(graph, "graph")?.0;
        let queue = Some(given(queue, "queue")?);
        let (id, outcome) = (id.read("id")?, self::outcome(outcome)?);
        let write = graph.nonblocking().complete(id, outcome);
        start(queue, tag, write, |done| Payload::Done(completion(&done)))
    })
}

/// Cancels a job without waiting until this is durable.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_cancel_async(
    graph: Option<&jobstore_graph>,
    id: jobstore_text,
    queue: Option<&jobstore_queue>,
    tag: u64,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let graph = &given(graph, "graph")?.0;
        let queue = Some(given(queue, "queue")?);
        let write = graph.nonblocking().cancel(id.read("id")?);
        start(queue, tag, write, |done| Payload::Done(cancellation(&done)))
    })
}

/// Claims the oldest pending job as soon as there is one. The result contains its run:
/// `jobstore_completion_take_run`.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_claim_next_async(
    graph: Option<&jobstore_graph>,
    queue: Option<&jobstore_queue>,
    tag: u64,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let graph = &given(graph, "graph")?.0;
        let queue = Some(given(queue, "queue")?);
        start(queue, tag, graph.claim_next_async(), |run| {
            Payload::Run(UntakenRun::new(run))
        })
    })
}

/// Completes the job of a run without waiting until this is durable. The run can be freed
/// immediately.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_run_complete_async(
    run: Option<&jobstore_run>,
    outcome: jobstore_text,
    queue: Option<&jobstore_queue>,
    tag: u64,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let run = &given(run, "run")?.0;
        let queue = Some(given(queue, "queue")?);
        let write = run.complete_async(self::outcome(outcome)?);
        start(queue, tag, write, |done| Payload::Done(completion(&done)))
    })
}

/// Waits for a job to complete, in the queue. The text of the result is the job as JSON.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_wait_async(
    graph: Option<&jobstore_graph>,
    id: jobstore_text,
    queue: Option<&jobstore_queue>,
    tag: u64,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let graph = &given(graph, "graph")?.0;
        let queue = Some(given(queue, "queue")?);
        let completed = graph.wait_async(id.read("id")?)?;
        start(queue, tag, completed, |job| Payload::Text(job.to_json()))
    })
}
