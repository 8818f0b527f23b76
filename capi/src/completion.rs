// The results of calls that did not wait.

use std::mem::MaybeUninit;
use std::sync::Mutex;

use jobstore::Run;

use crate::call::{call, free, get, given, handle, put};
use crate::codes::JOBSTORE_OK;
use crate::error::{Failure, jobstore_error};
use crate::run::jobstore_run;
use crate::text::jobstore_text;

/// What a call returned.
pub(crate) enum Payload {
    /// The id of a job, a job as JSON, or nothing.
    Text(String),
    /// A value such as `JOBSTORE_ALREADY_COMPLETE`.
    Done(i32),
    Run(UntakenRun),
}

/// The run of a claim. If the caller does not take it, its job is requeued.
pub(crate) struct UntakenRun(Option<Run>);

impl UntakenRun {
    pub(crate) fn new(run: Run) -> UntakenRun {
        UntakenRun(Some(run))
    }
}

impl Drop for UntakenRun {
    fn drop(&mut self) {
        if let Some(run) = self.0.take() {
            // The write completes although its result is not read.
            drop(run.requeue_async());
        }
    }
}

/// The result of a call that did not wait.
pub struct jobstore_completion {
    tag: u64,
    error: Option<Box<jobstore_error>>,
    text: String,
    done: i32,
    run: Mutex<Option<UntakenRun>>,
}

impl jobstore_completion {
    pub(crate) fn new(tag: u64, result: Result<Payload, Failure>) -> jobstore_completion {
        let mut completion = jobstore_completion {
            tag,
            error: None,
            text: String::new(),
            done: JOBSTORE_OK,
            run: Mutex::new(None),
        };
        match result {
            Ok(Payload::Text(text)) => completion.text = text,
            Ok(Payload::Done(done)) => completion.done = done,
            Ok(Payload::Run(run)) => completion.run = Mutex::new(Some(run)),
            Err(failure) => completion.error = Some(Box::new(jobstore_error::new(failure))),
        }
        completion
    }
}

/// Returns the tag that was passed to the call.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_completion_tag(completion: Option<&jobstore_completion>) -> u64 {
    get(completion, 0, |completion| completion.tag)
}

/// Returns the code of the call: `JOBSTORE_OK`, or one of the constants `JOBSTORE_ERROR_...`.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_completion_code(completion: Option<&jobstore_completion>) -> i32 {
    get(completion, JOBSTORE_OK, |completion| {
        completion
            .error
            .as_ref()
            .map_or(JOBSTORE_OK, |error| error.code())
    })
}

/// Returns the error of the call, or NULL if it succeeded. The error is valid until the completion
/// is freed, and must not be freed itself.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_completion_error(
    completion: Option<&jobstore_completion>,
) -> *const jobstore_error {
    get(completion, std::ptr::null(), |completion| {
        completion
            .error
            .as_deref()
            .map_or(std::ptr::null(), std::ptr::from_ref)
    })
}

/// Returns the text of the result: the job id after `jobstore_submit_async`, and the job as JSON
/// after `jobstore_wait_async`. It is valid until the completion is freed.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_completion_text(
    completion: Option<&jobstore_completion>,
) -> jobstore_text {
    get(completion, jobstore_text::EMPTY, |completion| {
        jobstore_text::of(&completion.text)
    })
}

/// Returns what the call did, such as `JOBSTORE_DONE` or `JOBSTORE_ALREADY_COMPLETE`, after
/// `jobstore_complete_async`, `jobstore_cancel_async`, or `jobstore_run_complete_async`.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_completion_done(completion: Option<&jobstore_completion>) -> i32 {
    get(completion, 0, |completion| completion.done)
}

/// Takes the run after `jobstore_claim_next_async`. The caller has to free it. If there is none, or
/// it was taken before, `run` receives NULL. If a run is not taken, its job becomes pending again.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_completion_take_run(
    completion: Option<&jobstore_completion>,
    run: Option<&mut MaybeUninit<*mut jobstore_run>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let completion = given(completion, "completion")?;
        put(run, "run", || {
            let mut slot = match completion.run.lock() {
                Ok(slot) => slot,
                Err(poisoned) => poisoned.into_inner(),
            };
            let taken = slot.take().and_then(|mut untaken| untaken.0.take());
            Ok(taken.map_or(std::ptr::null_mut(), |run| handle(jobstore_run(run))))
        })
    })
}

/// Frees a completion.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_completion_free(completion: Option<Box<jobstore_completion>>) {
    free(completion);
}
