// A running job in the hands of its worker.

use std::mem::MaybeUninit;

use jobstore::{Requeued, Run};

use crate::call::{call, free, get, given, put, put_if_wanted, timeout};
use crate::error::jobstore_error;
use crate::text::{jobstore_request, jobstore_text};
use crate::work::{JOBSTORE_ALREADY_COMPLETE, JOBSTORE_CANCELLED_BEFORE_START, JOBSTORE_DONE};
use crate::work::{completion, outcome};

/// A running job, returned to the worker that claimed it. Several threads may use it at the same
/// time, for example one that works and one that waits for a cancellation, as long as none of them
/// frees or detaches it.
pub struct jobstore_run(pub(crate) Run);

/// Returns the id of the job. It is valid until the run is freed.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_run_id(run: Option<&jobstore_run>) -> jobstore_text {
    get(run, jobstore_text::EMPTY, |run| {
        jobstore_text::of(run.0.id().as_str())
    })
}

/// Returns the request of the job, with its real secrets. It is valid until the run is freed.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_run_request(
    run: Option<&jobstore_run>,
    request: Option<&mut MaybeUninit<jobstore_request>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let run = given(run, "run")?;
        put(request, "request", || {
            Ok(jobstore_request::of(run.0.request()))
        })
    })
}

/// Reports the progress of the job: 0 to 100 percent, and a short text.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_run_progress(
    run: Option<&jobstore_run>,
    percent: u8,
    text: jobstore_text,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        given(run, "run")?.0.progress(percent, text.read("text")?);
        Ok(())
    })
}

/// Returns true if the worker should stop, because the job was canceled or is over. For NULL,
/// returns true.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_run_cancel_requested(run: Option<&jobstore_run>) -> bool {
    get(run, true, |run| run.0.cancel_requested())
}

/// Waits until the worker should stop, for at most `timeout_ms`; a negative timeout waits without
/// limit. `requested` receives whether the worker should stop.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_run_wait_cancelled(
    run: Option<&jobstore_run>,
    timeout_ms: i64,
    requested: Option<&mut MaybeUninit<bool>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let run = given(run, "run")?;
        put(requested, "requested", || {
            Ok(run.0.wait_cancelled(timeout(timeout_ms)))
        })
    })
}

/// Completes the job. `outcome` and `done` are as in `jobstore_complete`. The run still has to be
/// freed.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_run_complete(
    run: Option<&jobstore_run>,
    outcome: jobstore_text,
    done: Option<&mut MaybeUninit<i32>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let completed = given(run, "run")?.0.complete(self::outcome(outcome)?)?;
        put_if_wanted(done, completion(&completed));
        Ok(())
    })
}

/// Makes the job pending again. `done` receives `JOBSTORE_DONE`; or, if the job was canceled and
/// has therefore completed, `JOBSTORE_CANCELLED_BEFORE_START`; or `JOBSTORE_ALREADY_COMPLETE`. It
/// may be NULL. The run still has to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_run_requeue(
    run: Option<&jobstore_run>,
    done: Option<&mut MaybeUninit<i32>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let requeued = given(run, "run")?.0.requeue()?;
        let code = match requeued {
            Requeued::Pending => JOBSTORE_DONE,
            Requeued::Cancelled => JOBSTORE_CANCELLED_BEFORE_START,
            _ => JOBSTORE_ALREADY_COMPLETE,
        };
        put_if_wanted(done, code);
        Ok(())
    })
}

/// Frees a run and leaves its job running. The engine completes the job by its id, or gets another
/// run with `jobstore_attach`.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_run_detach(run: Option<Box<jobstore_run>>) {
    free(run.map(|run| Box::new(Detached(Some(run.0)))));
}

/// A run that is detached when it is dropped.
struct Detached(Option<Run>);

impl Drop for Detached {
    fn drop(&mut self) {
        if let Some(run) = self.0.take() {
            run.detach();
        }
    }
}

/// Frees a run. If its job has not been completed or requeued, the job is treated as it would be
/// after a crash: the option `recovery` decides.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_run_free(run: Option<Box<jobstore_run>>) {
    free(run);
}
