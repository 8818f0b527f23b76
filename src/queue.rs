//! The writes of graphs and stores for engines that must not block.
//!
//! Owns: [`Queue`] and [`StoreQueue`]: for each blocking call one that gives a
//! ticket. Must not know: what the writes do, beyond what the blocking calls share.
//! Promise: what is queued is carried out in the order of one thread's calls.

use std::sync::Arc;

use crate::engine::answers::Answer;
use crate::engine::graph_state::RunCell;
use crate::engine::queue::{Action, Operation};
use crate::error::Result;
use crate::graph::{Graph, Submitted, created, created_all, submitted, unexpected};
use crate::id::JobId;
use crate::lifecycle::{Cancellation, Completion};
use crate::outcome::Outcome;
use crate::request::Request;
use crate::run::Run;
use crate::store::{JobStore, graph_created, graph_dropped};
use crate::ticket::Ticket;

/// A graph's writes without blocking: from [`Graph::queue`].
///
/// Each call queues its write and returns a [`Ticket`]. Errors, those of bad input
/// too, come from the ticket. Writes of one thread are carried out in the order of
/// the calls, as long as the queue has room; when it is full, a ticket waits for
/// room when it is polled.
///
/// Calls that take an id look the job up first, which reads a block.
///
/// # Examples
/// ```
/// use jobstore::{Body, JobStore, Outcome, Request, Result, State};
/// # let store = JobStore::in_memory()?;
/// # let movie = store.create_graph("10001", "movie")?;
/// let queue = movie.queue();
/// let work = async {
///     let id = queue.submit(Request::new("clear_graph", "/ges", Body::empty())?).await?;
///     queue.start(&id).await?;
///     queue.complete(&id, Outcome::succeeded()).await?;
///     Result::Ok(id)
/// };
/// let id = futures::executor::block_on(work)?; // any runtime
/// assert_eq!(movie.job(&id)?.map(|job| job.state()), Some(State::Complete));
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Queue<'g> {
    graph: &'g Graph,
}

impl<'g> Queue<'g> {
    pub(crate) fn new(graph: &'g Graph) -> Queue<'g> {
        Queue { graph }
    }

    pub(crate) fn graph(&self) -> &'g Graph {
        self.graph
    }

    /// A ticket whose answer is there.
    pub(crate) fn ready<T: Send + 'static>(&self, answer: T) -> Ticket<T> {
        Ticket::ready(&self.graph.handle, answer)
    }

    pub(crate) fn ticket<T>(
        &self,
        operation: Result<Operation>,
        finish: impl FnOnce(&Graph, Result<Answer>) -> Result<T> + Send + 'static,
    ) -> Ticket<T> {
        let graph = self.graph.clone();
        Ticket::new(&self.graph.handle, operation, move |answer| {
            finish(&graph, answer)
        })
    }

    /// Like [`Graph::submit`]. Where the queue is full the ticket waits for room;
    /// [`Graph::try_submit`] refuses instead.
    pub fn submit(&self, request: Request) -> Ticket<JobId> {
        self.ticket(self.graph.submit_operation(request), |_, answer| {
            created(answer)
        })
    }

    /// Like [`Graph::submit_all`].
    pub fn submit_all(&self, requests: impl IntoIterator<Item = Request>) -> Ticket<Vec<JobId>> {
        let operation = self.graph.submit_all_operation(requests);
        self.ticket(operation, |_, answer| created_all(answer))
    }

    /// Like [`Graph::submit_as`].
    pub fn submit_as(&self, id: impl AsRef<str>, request: Request) -> Ticket<Submitted> {
        match JobId::new(id) {
            Err(error) => self.ticket(Err(error), |_, answer| answer.and(Err(unexpected()))),
            Ok(id) => {
                let looked = self.graph.look(&id);
                let operation =
                    looked.and_then(|l| self.graph.submit_as_operation(&id, request, l));
                self.ticket(operation, move |_, answer| submitted(answer, id))
            }
        }
    }

    /// Like [`Graph::start`].
    pub fn start(&self, id: impl AsRef<str>) -> Ticket<()> {
        let operation = self.graph.resolve(id.as_ref()).map(|(sequence, id)| {
            let graph = self.graph.core.clone();
            Operation::small(Action::Start {
                graph,
                sequence,
                id,
            })
        });
        self.ticket(operation, |_, answer| answer.map(|_| ()))
    }

    /// Like [`Graph::complete`].
    pub fn complete(&self, id: impl AsRef<str>, outcome: Outcome) -> Ticket<Completion> {
        match self.graph.resolve(id.as_ref()) {
            Ok((sequence, id)) => self.complete_sequence(sequence, &id, outcome, None),
            Err(error) => self.ticket(Err(error), |_, answer| answer.and(Err(unexpected()))),
        }
    }

    pub(crate) fn complete_sequence(
        &self,
        sequence: u64,
        id: &JobId,
        outcome: Outcome,
        run: Option<Arc<RunCell>>,
    ) -> Ticket<Completion> {
        let operation = self.graph.complete_operation(sequence, id, outcome, run);
        self.ticket(operation, move |graph, answer| {
            graph.completion(sequence, answer)
        })
    }

    /// Like [`Graph::cancel`].
    pub fn cancel(&self, id: impl AsRef<str>) -> Ticket<Cancellation> {
        let resolved = self.graph.resolve(id.as_ref());
        let found = resolved.as_ref().map_or(0, |(sequence, _)| *sequence);
        let operation = resolved.map(|(sequence, id)| {
            let graph = self.graph.core.clone();
            Operation::small(Action::Cancel {
                graph,
                sequence,
                id,
            })
        });
        self.ticket(operation, move |graph, answer| {
            graph.cancellation(found, answer)
        })
    }

    /// Like [`Graph::run`]. If the ticket is dropped, the job stays running until it
    /// is completed by its id or the store is reopened.
    pub fn run(&self, id: impl AsRef<str>) -> Ticket<Run> {
        let resolved = self.graph.resolve(id.as_ref());
        let found = resolved.as_ref().map_or(0, |(sequence, _)| *sequence);
        let operation = resolved.map(|(sequence, id)| {
            let graph = self.graph.core.clone();
            Operation::small(Action::Start {
                graph,
                sequence,
                id,
            })
        });
        self.ticket(operation, move |graph, answer| {
            answer?;
            graph.watch(found)
        })
    }

    /// Like [`Graph::run_next`]. If the ticket is dropped after a job was claimed
    /// for it, that job stays running until it is completed by its id or the store
    /// is reopened. [`Run::complete_async`] shows an async worker.
    ///
    /// # Cost
    /// As for [`Graph::run_next`]: without a pending job, and with no other write queued, it
    /// is answered without a commit.
    pub fn run_next(&self) -> Ticket<Option<Run>> {
        let operation = match self.graph.check_writable() {
            Ok(()) if !self.graph.may_have_pending() => return self.ready(None),
            Ok(()) => {
                let graph = self.graph.core.clone();
                Ok(Operation::small(Action::Claim { graph }))
            }
            Err(error) => Err(error),
        };
        self.ticket(operation, |graph, answer| graph.claimed(answer))
    }
}

/// A store's writes without blocking: from [`JobStore::queue`]. Errors, those of bad input
/// too, come from the ticket.
///
/// # Examples
/// ```
/// use jobstore::{JobStore, Result};
/// let store = JobStore::in_memory()?;
/// futures::executor::block_on(async {
///     let movie = store.queue().create_graph("10001", "movie").await?;
///     assert_eq!(movie.name(), "movie");
///     store.queue().drop_graph("10001", "movie").await?;
///     Result::Ok(())
/// })?;
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct StoreQueue<'s> {
    store: &'s JobStore,
}

impl<'s> StoreQueue<'s> {
    pub(crate) fn new(store: &'s JobStore) -> StoreQueue<'s> {
        StoreQueue { store }
    }

    /// Like [`JobStore::create_graph`].
    pub fn create_graph(&self, project_id: &str, name: &str) -> Ticket<Graph> {
        let handle = self.store.handle().clone();
        let action = self.store.create_action(project_id, name);
        Ticket::new(
            self.store.handle(),
            action.map(Operation::small),
            move |answer| graph_created(&handle, answer),
        )
    }

    /// Like [`JobStore::drop_graph`].
    pub fn drop_graph(&self, project_id: &str, name: &str) -> Ticket<()> {
        let graph = self.store.graph(project_id, name).map(|graph| graph.core);
        let core = graph.as_ref().ok().cloned();
        let action = graph.map(|graph| Action::DropGraph { graph });
        Ticket::new(
            self.store.handle(),
            action.map(Operation::small),
            move |answer| match core {
                Some(core) => graph_dropped(&core, answer),
                None => answer.map(|_| ()),
            },
        )
    }
}
