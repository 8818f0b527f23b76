// The change feed of a graph.
//
// The feed returns every durable change after a position exactly once, in commit order. A position
// can be stored anywhere and stays valid across restarts. Changes that no longer exist are reported
// as a gap.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use crate::api::graph::Graph;
use crate::api::registration::Registration;
use crate::base::clock;
use crate::base::sync::atomic::Ordering;
use crate::base::sync::time::Instant;
use crate::engine::read::feed::{Feed, FeedChange, FeedPosition, WHOLE};
use crate::engine::read::jobs::NearIds;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::waiters::ANY;
use crate::model::change::ChangeKind;
use crate::model::error::{Error, Result};
use crate::model::id::JobId;
use crate::model::options::Durability;
use crate::model::token::{self, Fields, LogPoint, OpenEvent};

/// A change in a graph: an item of [`Changes`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Change {
    /// The position after this change. Pass it to [`Graph::changes`] to continue from here.
    pub position: Position,
    /// The job's sequence number ([`Job::sequence`](crate::Job::sequence)); `None` for a gap.
    pub sequence: Option<u64>,
    /// The job's id; `None` for a gap, or if the job has been purged.
    pub id: Option<JobId>,
    /// The time of the change, to the millisecond. `None` for a gap, and possibly for the
    /// submission of a job that has been purged.
    pub at: Option<SystemTime>,
    /// What happened.
    pub kind: ChangeKind,
}

impl Graph {
    /// Returns the changes to the graph's jobs after a position, or from the beginning. The
    /// iterator returns the changes that have already happened; [`Changes::next_timeout`] and
    /// [`Changes::poll_next`] also wait for new ones.
    ///
    /// # Ordering
    /// Changes are returned in commit order. In [`Durability::Synced`], a change is in the feed by
    /// the time its write returns; in [`Durability::Interval`], it is in the feed once it has been
    /// synced.
    ///
    /// # Cost
    /// The log is read in steps of about 32 KiB. To find a job's id, the job's block is read; the
    /// ids of a few blocks are cached. Commits do not wait for the feed.
    ///
    /// # Errors
    /// [`Error::InvalidPosition`] if the position was altered, belongs to another graph, or is not
    /// in this store's history ([`JobStore::backup`](crate::JobStore::backup));
    /// [`Error::GraphDropped`], [`Error::Closed`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, ChangeKind, JobStore, Outcome, Position, Request};
    /// let store = JobStore::in_memory()?;
    /// let movie = store.create_graph("10001", "movie")?;
    /// let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// let mut changes = movie.changes(None)?;
    /// let first = changes.next().transpose()?;
    /// assert_eq!(first.as_ref().map(|c| &c.kind), Some(&ChangeKind::Submitted));
    /// assert!(changes.next().is_none(), "there are no more changes yet");
    ///
    /// // A position can be stored anywhere, and the feed resumes after it.
    /// let text = first.map(|c| c.position.to_string()).unwrap_or_default();
    /// movie.cancel(&id)?;
    /// let mut later = movie.changes(Some(&text.parse::<Position>()?))?;
    /// let kind = later.next().transpose()?.map(|change| change.kind);
    /// assert_eq!(kind, Some(ChangeKind::Completed(Outcome::cancelled())));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn changes(&self, from: Option<&Position>) -> Result<Changes> {
        self.check()?;
        let seen = match from {
            Some(position) => position.place(self)?,
            None => (0, WHOLE),
        };
        Ok(Changes {
            graph: self.clone(),
            feed: Feed::new(&self.core, seen),
            only: None,
            blocks: VecDeque::new(),
            registration: Registration::new(self, ANY),
        })
    }

    /// Returns the changes of one job, including its purge, after a position or from the beginning.
    /// A gap ([`ChangeKind::Gone`]) may have contained only changes of other jobs.
    ///
    /// # Cost
    /// The feed of the whole graph is scanned from the given position, or from the beginning.
    ///
    /// # Errors
    /// [`Error::UnknownJob`], [`Error::JobPurged`]; those of [`Graph::changes`] and [`Graph::job`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, ChangeKind, JobStore, Outcome, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// # movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// movie.claim(&id)?.complete(Outcome::succeeded())?;
    /// let mut kinds = Vec::new();
    /// for change in movie.job_changes(&id, None)? {
    ///     kinds.push(change?.kind);
    /// }
    /// let ended = ChangeKind::Completed(Outcome::succeeded());
    /// assert_eq!(kinds, [ChangeKind::Submitted, ChangeKind::Started, ended]);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn job_changes(&self, id: impl AsRef<str>, from: Option<&Position>) -> Result<Changes> {
        let mut changes = self.changes(from)?;
        let (sequence, _) = self.resolve_to_read(id.as_ref())?;
        changes.only = Some(sequence);
        Ok(changes)
    }

    /// Returns the current end of the feed, after all durable changes.
    ///
    /// # Errors
    /// [`Error::GraphDropped`], [`Error::Closed`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// // Follow only new changes.
    /// let mut changes = movie.changes(Some(&movie.position()?))?;
    /// assert!(changes.next().is_none());
    /// movie.cancel(&id)?;
    /// assert!(changes.next().is_some());
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn position(&self) -> Result<Position> {
        self.check()?;
        let durable_lsn = self.engine().durable_lsn.load(Ordering::Acquire);
        Ok(Position::new(self, (durable_lsn, WHOLE)))
    }
}

/// The maximum number of blocks whose ids are cached.
const BLOCKS_KEPT: usize = 32;

/// The changes of a graph or a job, in commit order: returned by [`Graph::changes`] and
/// [`Graph::job_changes`].
///
/// The iterator returns `None` when there are no more changes yet, and continues when there are. It
/// keeps the store open.
///
/// # Following a graph
/// 1. Load the last stored position, and call [`Graph::changes`] with it.
/// 2. For each change, apply it, then store [`Change::position`]. If the process stops between the
///    two, the change is returned again, so applying a change must be idempotent.
/// 3. On [`ChangeKind::Gone`], changes are missing: read the current state with
///    [`Graph::list`](crate::Graph::list), and continue.
///
/// [`Changes::next_timeout`] blocks until there is another change. [`Changes::poll_next`] is for
/// async code.
pub struct Changes {
    graph: Graph,
    feed: Feed,
    /// If set, only the changes of this job are returned.
    only: Option<u64>,
    /// The ids in the blocks that were read most recently; the most recent block is last.
    blocks: VecDeque<NearIds>,
    registration: Registration,
}

impl Changes {
    /// Returns the position after the last change that was returned.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// let mut changes = movie.changes(None)?;
    /// while let Some(change) = changes.next() {
    ///     println!("{:?}", change?.kind);
    /// }
    /// let kept = changes.position().to_string(); // for example, in a file
    ///
    /// movie.cancel(&id)?;
    /// assert_eq!(movie.changes(Some(&kept.parse()?))?.count(), 1);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn position(&self) -> Position {
        Position::new(&self.graph, self.feed.seen())
    }

    /// Returns the next change, and waits for it if necessary. Returns `None` if the timeout passes
    /// first.
    ///
    /// # Errors
    /// Those of the iterator.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobStore, Request};
    /// use std::time::Duration;
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// let mut changes = movie.changes(None)?;
    /// while let Some(change) = changes.next_timeout(Duration::from_millis(1))? {
    ///     println!("{:?}: {:?}", change.id, change.kind);
    /// // After handling it, store `change.position`.
    /// }
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Change>> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            self.graph.engine().check_process()?;
            let waiter = self.registration.waiter();
            if let Some(change) = self.find_next()? {
                return Ok(Some(change));
            }
            let until = self.look_again_at(deadline);
            if !waiter.wait(until) && deadline.is_some_and(|at| at <= Instant::now()) {
                return Ok(None);
            }
            self.registration.remove();
        }
    }

    /// Polls for the next change. If there is none yet, the task is woken when there may be one.
    /// This works in any async runtime.
    ///
    /// The call may block while it reads the log's files, but these are almost always in the
    /// system's file cache. In [`Durability::Interval`], a sync does not wake the task, so poll
    /// again after the interval.
    ///
    /// # Errors
    /// Those of the iterator. Do not poll again after an error.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, ChangeKind, JobStore, Request};
    /// use std::future::poll_fn;
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// let mut changes = movie.changes(None)?;
    /// let next = poll_fn(|context| changes.poll_next(context));
    /// let change = futures::executor::block_on(next)?; // in an async engine: `next.await?`
    /// assert_eq!(change.kind, ChangeKind::Submitted);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Change>> {
        loop {
            if let Err(error) = self.graph.engine().check_process() {
                return Poll::Ready(Err(error));
            }
            let waiter = self.registration.waiter();
            if let Some(change) = self.find_next().transpose() {
                return Poll::Ready(change);
            }
            if !waiter.poll(context.waker()) {
                return Poll::Pending;
            }
            self.registration.remove();
        }
    }

    /// Registers to be woken by the next change. Call this before reading the changes that have
    /// already happened.
    #[cfg(feature = "http")]
    pub(crate) fn listen(&mut self) {
        self.registration.waiter();
    }

    /// Resolves when there may be a change since [`Changes::listen`] was called. This reads nothing.
    #[cfg(feature = "http")]
    pub(crate) async fn woken(&mut self) {
        let waiter = self.registration.waiter();
        std::future::poll_fn(|context| match waiter.poll(context.waker()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
        self.registration.remove();
    }

    /// The interval at which changes must be looked for although nothing wakes the waiter.
    #[cfg(feature = "http")]
    pub(crate) fn interval(&self) -> Option<Duration> {
        match self.graph.engine().options.durability {
            Durability::Synced => None,
            Durability::Interval(interval) => Some(interval),
        }
    }

    /// The time at which to look for changes again if the waiter has not been woken by then. With
    /// [`Durability::Interval`], syncs do not wake waiters.
    fn look_again_at(&self, deadline: Option<Instant>) -> Option<Instant> {
        match self.graph.engine().options.durability {
            Durability::Synced => deadline,
            Durability::Interval(interval) => {
                let soon = Instant::now().checked_add(interval);
                deadline.into_iter().chain(soon).min()
            }
        }
    }

    fn find_next(&mut self) -> Result<Option<Change>> {
        self.graph.check()?;
        while let Some(found) = self.feed.peek(self.graph.engine())? {
            let sequence = found.sequence;
            let is_gap = sequence.is_none();
            let is_purge = matches!(found.kind, ChangeKind::Purged { .. });
            if is_gap || self.only.is_none() || self.only == sequence {
                // On an error, the next call returns the same change again.
                let known = match sequence {
                    Some(sequence) if !is_purge => self.known(sequence)?,
                    _ => None,
                };
                return Ok(self.feed.take().map(|found| self.change(found, known)));
            }
            self.feed.take();
        }
        Ok(None)
    }

    fn change(&self, found: FeedChange, known: Option<(JobId, u64)>) -> Change {
        let time_ms = found.time_ms.or(known.as_ref().map(|(_, ms)| *ms));
        Change {
            position: Position::new(&self.graph, found.at),
            sequence: found.sequence,
            id: known.map(|(id, _)| id),
            at: time_ms.map(clock::from_ms),
            kind: found.kind,
        }
    }

    /// The id and submission time of a job, if it exists.
    fn known(&mut self, sequence: u64) -> Result<Option<(JobId, u64)>> {
        let of = |block: &NearIds| {
            let n = sequence.checked_sub(block.0)?;
            block.1.get(usize::try_from(n).ok()?).cloned()
        };
        if self.graph.core.state.read().status.is_removed(sequence) {
            return Ok(None);
        }
        if let Some(known) = self.blocks.iter().rev().find_map(of) {
            return Ok(Some(known));
        }
        let Some(block) = self.graph.engine().ids_near(&self.graph.core, sequence)? else {
            return Ok(None);
        };
        let known = of(&block);
        if self.blocks.len() == BLOCKS_KEPT {
            self.blocks.pop_front();
        }
        self.blocks.push_back(block);
        Ok(known)
    }
}

/// # Errors
/// Each item can be [`Error::Damaged`], [`Error::Io`], [`Error::GraphDropped`], or
/// [`Error::Closed`]. After an error, the iterator retries the same change: after a temporary
/// error, no change is lost, and a permanent error is returned by every call.
impl Iterator for Changes {
    type Item = Result<Change>;

    fn next(&mut self) -> Option<Result<Change>> {
        self.find_next().transpose()
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes")
            .field("graph", &self.graph)
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

/// A position in a graph's feed: an opaque string of 74 characters. It is valid as long as the
/// graph exists, even after a restart. Parsing any other string returns [`Error::InvalidPosition`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Position {
    /// The graph's 19-digit number.
    graph: u64,
    /// The last event before the position, and the open of the store during which the position was
    /// issued.
    point: LogPoint,
    /// The last job before the position within that event.
    job: u64,
    check: u32,
}

/// The fields and their sizes in bytes: version 1, graph 8, point 16, job 8, check 4.
const POSITION_BYTES: usize = 37;
const VERSION: u8 = 2;

impl Position {
    fn new(graph: &Graph, (lsn, job): FeedPosition) -> Position {
        let engine = graph.engine();
        let (point, open_event) = engine.log_point_at(lsn);
        let mut position = Position {
            graph: graph.core.ids.number(),
            point,
            job,
            check: 0,
        };
        position.check = position.seal(&graph.core, open_event);
        position
    }

    fn seal(&self, graph: &GraphCore, open_event: OpenEvent) -> u32 {
        token::seal(VERSION, &graph.ids, (self.point, open_event), &[self.job])
    }

    fn place(&self, graph: &Graph) -> Result<FeedPosition> {
        let is_sealed = |open_event| self.check == self.seal(&graph.core, open_event);
        let problem = if self.graph != graph.core.ids.number() {
            "it belongs to another graph"
        } else if let Some(problem) = graph.engine().problem_of(self.point, is_sealed)? {
            problem
        } else {
            return Ok((self.point.lsn, self.job));
        };
        Err(Error::InvalidPosition { problem })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position {
            graph,
            point: LogPoint { lsn, open_lsn },
            job,
            check,
        } = self;
        write!(
            f,
            "{VERSION:02x}{graph:016x}{lsn:016x}{open_lsn:016x}{job:016x}{check:08x}"
        )
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Position({self})")
    }
}

impl FromStr for Position {
    type Err = Error;

    fn from_str(text: &str) -> Result<Position> {
        let parse = || {
            let mut fields = Fields::of(text, VERSION, POSITION_BYTES)?;
            Some(Position {
                graph: fields.next(8)?,
                point: LogPoint {
                    lsn: fields.next(8)?,
                    open_lsn: fields.next(8)?,
                },
                job: fields.next(8)?,
                check: fields.next(4)? as u32,
            })
        };
        parse().ok_or(Error::InvalidPosition {
            problem: "it is not a position",
        })
    }
}
