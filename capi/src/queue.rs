// Completion queues, for engines with an event loop of their own, and callbacks.

use std::ffi::c_void;
use std::mem::{MaybeUninit, forget};
use std::process;
use std::ptr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use jobstore::Error;

use crate::call::{call, free, get, given, handle, put, timeout};
use crate::callback::User;
use crate::completion::jobstore_completion;
use crate::error::{Failure, jobstore_error};
use crate::task::{CallFuture, TaskList};

/// Receives the result of a call. It is called once for each call, on a thread that the queue
/// started, one result after another. The completion is freed after the callback returns.
pub type jobstore_completion_fn =
    Option<extern "C" fn(user: *mut c_void, completion: *const jobstore_completion)>;

/// A completion queue: it receives the results of the calls `jobstore_..._async`. Any number of
/// threads may use it at the same time.
pub struct jobstore_queue {
    tasks: Arc<TaskList>,
    thread: Option<JoinHandle<()>>,
    /// The process that created the queue.
    creator: u32,
}

impl jobstore_queue {
    fn new() -> Result<jobstore_queue, Failure> {
        let tasks = TaskList::new().map_err(|e| io_error("create an eventfd for", &e))?;
        Ok(jobstore_queue {
            tasks: Arc::new(tasks),
            thread: None,
            creator: process::id(),
        })
    }

    pub(crate) fn start(&self, tag: u64, future: CallFuture) -> Result<(), Failure> {
        self.check_process()?;
        self.tasks.start(tag, future);
        Ok(())
    }

    fn check_process(&self) -> Result<(), Failure> {
        match self.creator == process::id() {
            true => Ok(()),
            false => Err(Error::Forked {
                opener: self.creator,
            }
            .into()),
        }
    }
}

fn io_error(operation: &'static str, error: &std::io::Error) -> Error {
    Error::Io {
        operation,
        path: "a completion queue".into(),
        kind: error.kind(),
        message: error.to_string().into(),
    }
}

impl Drop for jobstore_queue {
    fn drop(&mut self) {
        let thread = self.thread.take();
        if self.check_process().is_err() {
            // A forked child has neither the threads nor the locks of its parent.
            forget((thread, self.tasks.clone()));
            return;
        }
        self.tasks.close();
        if let Some(thread) = thread.filter(|t| t.thread().id() != thread::current().id()) {
            thread.join().ok();
        }
    }
}

/// Creates a completion queue that is read with `jobstore_queue_next`.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_queue_new(
    queue: Option<&mut MaybeUninit<*mut jobstore_queue>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        put(queue, "queue", || Ok(handle(jobstore_queue::new()?)))
    })
}

/// Creates a completion queue that passes each result to a callback, on a thread of its own.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_queue_new_with_callback(
    callback: jobstore_completion_fn,
    user: *mut c_void,
    queue: Option<&mut MaybeUninit<*mut jobstore_queue>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    let user = User(user);
    call(error, || {
        let callback = given(callback, "callback")?;
        put(queue, "queue", || {
            let mut queue = jobstore_queue::new()?;
            let tasks = queue.tasks.clone();
            let pass = move || pass_results(&tasks, callback, user);
            let name = "jobstore-callback".to_owned();
            let thread = thread::Builder::new().name(name).spawn(pass);
            queue.thread = Some(thread.map_err(|e| io_error("start the thread of", &e))?);
            Ok(handle(queue))
        })
    })
}

fn pass_results(
    tasks: &TaskList,
    callback: extern "C" fn(*mut c_void, *const jobstore_completion),
    user: User,
) {
    while let Some(completion) = tasks.next(Duration::MAX) {
        callback(user.0, &raw const completion);
    }
}

/// Returns a file descriptor (an eventfd) that is readable while `jobstore_queue_next` may return a
/// result. Only wait for it (`epoll`, `poll`); do not read or close it. It belongs to the queue. For
/// NULL, returns -1.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_queue_fd(queue: Option<&jobstore_queue>) -> i32 {
    get(queue, -1, |queue| queue.tasks.fd())
}

/// Returns the result of the next call that has completed. If there is none, waits for one for at
/// most `timeout_ms`; 0 does not wait, and a negative timeout waits without limit. If the timeout
/// passes first, `completion` receives NULL, and the call succeeds.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_queue_next(
    queue: Option<&jobstore_queue>,
    timeout_ms: i64,
    completion: Option<&mut MaybeUninit<*mut jobstore_completion>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let queue = given(queue, "queue")?;
        queue.check_process()?;
        put(completion, "completion", || {
            let next = queue.tasks.next(timeout(timeout_ms));
            Ok(next.map_or(ptr::null_mut(), handle))
        })
    })
}

/// Abandons the calls with this tag that have not been returned by the queue: their results are
/// discarded. Their writes are recorded all the same, but a job that was claimed becomes pending
/// again.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_queue_cancel(
    queue: Option<&jobstore_queue>,
    tag: u64,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let queue = given(queue, "queue")?;
        queue.check_process()?;
        queue.tasks.cancel(tag);
        Ok(())
    })
}

/// Frees a queue. Waits until its callback returns, if it has one. Calls that have not completed are
/// abandoned, as by `jobstore_queue_cancel`.
/// No other thread may be using the queue.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_queue_free(queue: Option<Box<jobstore_queue>>) {
    free(queue);
}
