// Calls in progress, and the list of those that can continue.
//
// A call is a future. When the store wakes it, on whatever thread, it is only put on the list. The
// consumer of the queue polls it, so no work of a caller is ever done on a thread of the store.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::mem::{replace, take};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{read, write};

use crate::completion::{Payload, jobstore_completion};
use crate::error::Failure;

pub(crate) type CallFuture = Pin<Box<dyn Future<Output = Result<Payload, Failure>> + Send>>;

/// A call in progress.
struct Task {
    list: Weak<TaskList>,
    number: u64,
    tag: u64,
    is_listed: AtomicBool,
    state: Mutex<TaskState>,
}

enum TaskState {
    Running(CallFuture),
    Done(Result<Payload, Failure>),
    Taken,
}

/// All calls of a queue, and those that can continue.
pub(crate) struct TaskList {
    /// Readable while a call can continue, once someone watches it.
    event: OwnedFd,
    shared: Mutex<Shared>,
    changed: Condvar,
}

#[derive(Default)]
struct Shared {
    ready: VecDeque<Arc<Task>>,
    /// Calls that have not completed. Freeing the queue abandons them.
    open: HashMap<u64, Arc<Task>>,
    started: u64,
    /// The number of threads that are waiting for a call that can continue.
    sleepers: usize,
    /// Whether the event is used. System calls for it would only slow down other consumers.
    is_watched: bool,
    is_over: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TaskList {
    pub(crate) fn new() -> io::Result<TaskList> {
        Ok(TaskList {
            event: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            shared: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    pub(crate) fn fd(&self) -> i32 {
        let mut shared = lock(&self.shared);
        if !shared.is_watched && !shared.ready.is_empty() {
            self.raise();
        }
        shared.is_watched = true;
        self.event.as_fd().as_raw_fd()
    }

    fn raise(&self) {
        // The counter cannot overflow, because it is read before the next 1 is added.
        write(&self.event, &1_u64.to_ne_bytes()).ok();
    }

    /// Starts a call.
    pub(crate) fn start(self: &Arc<TaskList>, tag: u64, future: CallFuture) {
        let mut shared = lock(&self.shared);
        let number = shared.started;
        shared.started += 1;
        let task = Arc::new(Task {
            list: Arc::downgrade(self),
            number,
            tag,
            is_listed: AtomicBool::new(false),
            state: Mutex::new(TaskState::Running(future)),
        });
        shared.open.insert(number, task.clone());
        drop(shared);
        if task.advance() {
            self.add(task);
        }
    }

    fn add(&self, task: Arc<Task>) {
        let mut shared = lock(&self.shared);
        if shared.is_over {
            return;
        }
        shared.ready.push_back(task);
        let is_first = shared.ready.len() == 1;
        if is_first && shared.is_watched {
            self.raise();
        }
        // The calls of a commit arrive one by one. Only the first one wakes a thread, and a thread
        // that leaves calls on the list wakes the next thread.
        let wakes = is_first && shared.sleepers > 0;
        drop(shared);
        if wakes {
            self.changed.notify_one();
        }
    }

    /// Returns the next result, or `None` if the timeout passes first or the list is closed.
    pub(crate) fn next(&self, timeout: Duration) -> Option<jobstore_completion> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            let task = self.next_task(deadline)?;
            if let Some(result) = task.result() {
                lock(&self.shared).open.remove(&task.number);
                return Some(jobstore_completion::new(task.tag, result));
            }
        }
    }

    fn next_task(&self, deadline: Option<Instant>) -> Option<Arc<Task>> {
        let mut shared = lock(&self.shared);
        loop {
            if shared.is_over {
                return None;
            }
            if let Some(task) = shared.ready.pop_front() {
                let is_last = shared.ready.is_empty();
                if is_last && shared.is_watched {
                    read(&self.event, &mut [0; 8]).ok();
                }
                let wakes = !is_last && shared.sleepers > 0;
                drop(shared);
                if wakes {
                    self.changed.notify_one();
                }
                return Some(task);
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return None;
            }
            shared.sleepers += 1;
            shared = match left {
                Some(left) => {
                    let waited = self.changed.wait_timeout(shared, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self
                    .changed
                    .wait(shared)
                    .unwrap_or_else(PoisonError::into_inner),
            };
            shared.sleepers -= 1;
        }
    }

    /// Abandons the calls with this tag.
    pub(crate) fn cancel(&self, tag: u64) {
        let mut shared = lock(&self.shared);
        let tagged = shared.open.values().filter(|task| task.tag == tag);
        let tagged: Vec<_> = tagged.cloned().collect();
        for task in &tagged {
            shared.open.remove(&task.number);
        }
        drop(shared);
        for task in tagged {
            task.abandon();
        }
    }

    /// Abandons all calls, and ends all waits.
    pub(crate) fn close(&self) {
        let mut shared = lock(&self.shared);
        shared.is_over = true;
        let (ready, open) = (take(&mut shared.ready), shared.open.drain());
        // The futures are dropped without the lock, because that may wake other calls.
        let open: Vec<_> = open.collect();
        drop(shared);
        self.changed.notify_all();
        for (_, task) in &open {
            task.abandon();
        }
        drop((ready, open));
    }
}

impl Task {
    /// Polls the call if it is running. Returns whether it is done.
    fn advance(self: &Arc<Task>) -> bool {
        self.is_listed.store(false, Ordering::SeqCst);
        let mut state = lock(&self.state);
        if let TaskState::Running(future) = &mut *state {
            let waker = Waker::from(self.clone());
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(result) => *state = TaskState::Done(result),
                Poll::Pending => return false,
            }
        }
        matches!(*state, TaskState::Done(_))
    }

    /// Returns the result, once.
    fn result(self: &Arc<Task>) -> Option<Result<Payload, Failure>> {
        if !self.advance() {
            return None;
        }
        match replace(&mut *lock(&self.state), TaskState::Taken) {
            TaskState::Done(result) => Some(result),
            TaskState::Running(_) | TaskState::Taken => None,
        }
    }

    fn abandon(&self) {
        let state = replace(&mut *lock(&self.state), TaskState::Taken);
        drop(state);
    }
}

impl Wake for Task {
    fn wake(self: Arc<Task>) {
        if self.is_listed.swap(true, Ordering::SeqCst) {
            return;
        }
        if let Some(list) = self.list.upgrade() {
            list.add(self);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::thread;

    use super::*;

    #[test]
    fn results_that_arrive_together_wake_every_thread_that_waits() {
        const THREADS: usize = 8;
        const TIMEOUT: Duration = Duration::from_secs(60);
        let list = Arc::new(TaskList::new().unwrap());
        let is_open = Arc::new(AtomicBool::new(false));
        let wakers = Arc::new(Mutex::new(Vec::new()));
        for tag in 0..THREADS as u64 {
            let (is_open, wakers) = (is_open.clone(), wakers.clone());
            let call = poll_fn(move |context| {
                lock(&wakers).push(context.waker().clone());
                match is_open.load(Ordering::SeqCst) {
                    true => Poll::Ready(Ok(Payload::Done(0))),
                    false => Poll::Pending,
                }
            });
            list.start(tag, Box::pin(call));
        }
        let woken_at = thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| assert!(list.next(TIMEOUT).is_some()));
            }
            while lock(&list.shared).sleepers < THREADS {
                thread::yield_now();
            }
            let woken_at = Instant::now();
            is_open.store(true, Ordering::SeqCst);
            let wakers = take(&mut *lock(&wakers));
            wakers.into_iter().for_each(Waker::wake);
            woken_at
        });
        // A thread that is not woken finds its result when its timeout passes.
        assert!(woken_at.elapsed() < TIMEOUT / 2);
    }
}
