//! Appends chunks to the replica's log, one at a time.
//!
//! Creating a chunk is retried, with the same bytes, until the chunk exists, or until its number
//! turns out to belong to another writer's claim. In the second case, this writer is deposed, and
//! never appends again. Only one append is ever in progress, so the number that a deposed writer
//! tries next is that of a claim, and claims are never removed.

use std::sync::Arc;
use std::time::Duration;

use crate::base::sync::atomic::{AtomicBool, Ordering};
use crate::base::sync::thread::{self, JoinHandle};
use crate::base::sync::time::Instant;
use crate::base::sync::{Condvar, Mutex, OnceLock};
use crate::log::outbox::{HEADER_ROOM, Piece, RemoteLog};
use crate::model::error::{Error, Result};
use crate::model::replica::{Created, Replica, ReplicaError};
use crate::replica::calls::{Calls, Pauses, payload};
use crate::replica::chunk::{ChunkHeader, Content, Writer};
use crate::replica::holder::Holder;

/// How often an idle writer checks whether it was deposed.
const DEPOSED_CHECK: Duration = Duration::from_secs(1);

/// A chunk to append. Its header is written once its number is known.
struct Task {
    content: Content,
    /// Room for the header, then the payload.
    chunk: Vec<u8>,
}

/// Each has at most one chunk to append.
#[derive(Clone, Copy)]
enum Client {
    Log,
    Checkpoints,
}

#[derive(Default)]
enum Lane {
    #[default]
    Idle,
    Waiting(Task),
    Running,
    Done(Result<Vec<u8>>),
}

impl Lane {
    fn is_waiting(&self) -> bool {
        matches!(self, Lane::Waiting(_))
    }

    fn take_done(&mut self) -> Option<Result<Vec<u8>>> {
        match std::mem::take(self) {
            Lane::Done(done) => Some(done),
            other => {
                *self = other;
                None
            }
        }
    }
}

struct State {
    /// The number of the next chunk.
    next: u64,
    lanes: [Lane; 2],
    /// Why nothing more can be appended.
    ended: Option<Error>,
    /// When the append in progress began.
    since: Option<Instant>,
    /// The last problem of the append in progress.
    problem: Option<Arc<str>>,
    retries: u64,
    /// How many bytes were appended.
    bytes: u64,
    is_stopped: bool,
    thread: Option<JoinHandle<()>>,
}

/// The writing end of a replica's log.
pub(crate) struct Appender {
    replica: Arc<dyn Replica>,
    writer: Writer,
    timeout: Duration,
    state: Mutex<State>,
    changed: Condvar,
    is_closing: AtomicBool,
    /// Called, without locks, if the writer was deposed while nothing was being appended.
    on_deposed: OnceLock<OnDeposed>,
}

type OnDeposed = Box<dyn Fn(&Error) + Send + Sync>;

/// What the appender is doing.
pub(crate) struct AppenderStatus {
    /// The number of the last chunk.
    pub(crate) last: u64,
    /// How long the append in progress has taken.
    pub(crate) waiting: Option<Duration>,
    /// The last problem of the append in progress.
    pub(crate) problem: Option<Arc<str>>,
    /// How many calls were repeated.
    pub(crate) retries: u64,
    /// How many bytes were appended.
    pub(crate) bytes: u64,
}

impl Appender {
    /// The appender of a writer whose last chunk, its claim, is `writer.claim`.
    pub(crate) fn new(replica: Arc<dyn Replica>, writer: Writer, timeout: Duration) -> Appender {
        Appender {
            replica,
            writer,
            timeout,
            state: Mutex::new(State {
                next: writer.claim + 1,
                lanes: Default::default(),
                ended: None,
                since: None,
                problem: None,
                retries: 0,
                bytes: 0,
                is_stopped: false,
                thread: None,
            }),
            changed: Condvar::new(),
            is_closing: AtomicBool::new(false),
            on_deposed: OnceLock::new(),
        }
    }

    pub(crate) fn writer(&self) -> Writer {
        self.writer
    }

    pub(crate) fn calls(&self) -> Calls<'_> {
        Calls {
            replica: &*self.replica,
            timeout: self.timeout,
            stop: Some(&self.is_closing),
        }
    }

    /// From now on, calls other than appends are not repeated.
    pub(crate) fn begin_close(&self) {
        self.is_closing.store(true, Ordering::Release);
    }

    pub(crate) fn status(&self) -> AppenderStatus {
        let state = self.state.lock();
        let now = Instant::now();
        AppenderStatus {
            last: state.next - 1,
            waiting: state.since.map(|s| now.saturating_duration_since(s)),
            problem: state.problem.clone(),
            retries: state.retries,
            bytes: state.bytes,
        }
    }

    /// Appends in a thread of its own from now on. Before, and if this is never called, chunks are
    /// appended by the threads that wait for them.
    pub(crate) fn start_thread(
        self: &Arc<Self>,
        on_deposed: impl Fn(&Error) + Send + Sync + 'static,
    ) -> std::io::Result<()> {
        self.on_deposed.set(Box::new(on_deposed)).ok();
        let this = self.clone();
        let thread = thread::Builder::new()
            .name("jobstore-replica".to_owned())
            .spawn(move || this.run())?;
        self.state.lock().thread = Some(thread);
        Ok(())
    }

    /// Ends the thread. If an append is in progress, the thread ends after the append.
    pub(crate) fn stop(&self) {
        let (thread, is_busy) = {
            let mut state = self.state.lock();
            state.is_stopped = true;
            (state.thread.take(), state.since.is_some())
        };
        self.changed.notify_all();
        // The last handle of the store may be dropped by this thread itself.
        let thread = thread.filter(|t| t.thread().id() != thread::current().id());
        if let Some(thread) = thread.filter(|_| !is_busy) {
            thread.join().ok();
        }
    }

    fn run(&self) {
        loop {
            if self.run_one() {
                continue;
            }
            let mut state = self.state.lock();
            if state.is_stopped {
                return;
            }
            if state.lanes.iter().any(Lane::is_waiting) {
                continue;
            }
            let deadline = Instant::now() + DEPOSED_CHECK;
            let timed_out = self.changed.wait_until(&mut state, deadline).timed_out();
            let next = state.next;
            let is_over = state.ended.is_some();
            drop(state);
            if timed_out && !is_over {
                self.check_deposed(next);
            }
        }
    }

    /// Appends a chunk that waits, if there is one and no other append is in progress; returns
    /// whether it did.
    fn run_one(&self) -> bool {
        let (n, number, task, ended) = {
            let mut state = self.state.lock();
            if state.lanes.iter().any(|lane| matches!(lane, Lane::Running)) {
                return false;
            }
            let Some(n) = state.lanes.iter().position(Lane::is_waiting) else {
                return false;
            };
            let Lane::Waiting(task) = std::mem::replace(&mut state.lanes[n], Lane::Running) else {
                return false;
            };
            state.since = Some(Instant::now());
            (n, state.next, task, state.ended.clone())
        };
        let done = match ended {
            Some(ended) => Err(ended),
            None => self.append(number, task),
        };
        let mut state = self.state.lock();
        state.since = None;
        state.problem = None;
        match &done {
            Ok(chunk) => {
                state.next += 1;
                state.bytes += chunk.len() as u64;
            }
            Err(error) => drop(state.ended.get_or_insert_with(|| error.clone())),
        }
        state.lanes[n] = Lane::Done(done);
        drop(state);
        self.changed.notify_all();
        true
    }

    /// Appends a chunk; returns its buffer.
    fn append(&self, number: u64, task: Task) -> Result<Vec<u8>> {
        let Task { content, mut chunk } = task;
        let header = ChunkHeader {
            number,
            writer: self.writer,
            content,
        };
        header.seal(&mut chunk);
        let mut pauses = Pauses::until(self.timeout);
        loop {
            let calls = self.calls();
            let what = match calls.once(|replica| replica.create(number, &chunk)) {
                Ok(Created::Done) => return Ok(chunk),
                Ok(Created::Taken(there)) if there == chunk => return Ok(chunk),
                Ok(Created::Taken(there)) => return Err(self.deposed_by(number, &there)),
                Err(ReplicaError::Unknown { what } | ReplicaError::Refused { what }) => what,
                Err(error @ ReplicaError::Missing { .. }) => error.to_string(),
            };
            tracing::debug!(
                number,
                what,
                "could not confirm that the chunk was stored; retrying"
            );
            {
                let mut state = self.state.lock();
                state.retries += 1;
                state.problem = Some(what.as_str().into());
            }
            if !pauses.pause() {
                return Err(calls.unreachable(&what));
            }
        }
    }

    /// Returns the error for a writer whose next chunk number was taken by another writer.
    fn deposed_by(&self, number: u64, there: &[u8]) -> Error {
        let claim = ChunkHeader::parse(number, there).ok();
        let holder = match claim.map(|header| header.content) {
            Some(Content::Claim) => Holder::parse(payload(there)),
            _ => Holder::parse(b""),
        };
        Error::Deposed {
            by: holder.to_string().into(),
            since: holder.since(),
        }
    }

    /// Checks, while nothing is being appended, whether another writer has claimed the log.
    pub(crate) fn check_deposed(&self, next: u64) {
        let read = |replica: &dyn Replica| replica.read(next, Duration::ZERO);
        let Ok(Some(there)) = self.calls().once(read) else {
            return;
        };
        let mut state = self.state.lock();
        // Meanwhile, this writer may have appended the chunk itself.
        let is_idle = state.next == next && state.since.is_none() && state.ended.is_none();
        if !is_idle {
            return;
        }
        let error = self.deposed_by(next, &there);
        state.ended = Some(error.clone());
        drop(state);
        if let Some(call) = self.on_deposed.get() {
            call(&error);
        }
    }

    fn begin_for(&self, client: Client, task: Task) {
        let mut state = self.state.lock();
        state.lanes[client as usize] = Lane::Waiting(task);
        drop(state);
        self.changed.notify_all();
    }

    fn finish_for(&self, client: Client) -> Result<Vec<u8>> {
        loop {
            let mut state = self.state.lock();
            if let Some(done) = state.lanes[client as usize].take_done() {
                return done;
            }
            // Without a thread, the caller that waits appends.
            if state.thread.is_some() && !state.is_stopped {
                self.changed.wait(&mut state);
                continue;
            }
            drop(state);
            if !self.run_one() {
                let mut state = self.state.lock();
                if state.lanes.iter().any(|lane| matches!(lane, Lane::Running)) {
                    self.changed.wait(&mut state);
                }
            }
        }
    }

    /// Announces that everything that the checkpoint up to this chunk replaces is about to be
    /// removed. It may be removed only after this has returned `Ok`.
    pub(crate) fn announce_trim(&self, through: u64) -> Result<()> {
        self.append_small(Content::Trim { through }, &[])
    }

    /// Appends a small chunk, and waits until it is durable.
    pub(crate) fn append_small(&self, content: Content, payload: &[u8]) -> Result<()> {
        let mut chunk = vec![0; HEADER_ROOM];
        chunk.extend_from_slice(payload);
        self.begin_for(Client::Checkpoints, Task { content, chunk });
        self.finish_for(Client::Checkpoints).map(drop)
    }
}

impl RemoteLog for Appender {
    fn begin(&self, piece: Piece) {
        let content = Content::Frames {
            epoch: piece.epoch,
            offset: piece.offset,
            first_lsn: piece.first_lsn,
            end_lsn: piece.end_lsn,
        };
        let chunk = piece.bytes;
        self.begin_for(Client::Log, Task { content, chunk });
    }

    fn finish(&self) -> Result<Vec<u8>> {
        self.finish_for(Client::Log)
    }
}
