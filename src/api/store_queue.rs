//! The writes of stores for engines that must not block.
//!
//! Owns: [`StoreQueue`]: making and dropping graphs by tickets. Must not know: what the
//! writes do.
//! Promise: what is queued is carried out in the order of one thread's calls.

use crate::api::graph::Graph;
use crate::api::store::JobStore;
use crate::api::ticket::Ticket;

impl JobStore {
    /// Making and dropping graphs without blocking: each call is queued and gives a
    /// [`Ticket`].
    ///
    /// # Examples
    /// ```
    /// # let store = jobstore::JobStore::in_memory()?;
    /// let ticket = store.queue().create_graph("10001", "movie");
    /// let movie = ticket.wait()?; // in an async engine: `ticket.await?`
    /// # assert_eq!(movie.name(), "movie");
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn queue(&self) -> StoreQueue<'_> {
        StoreQueue { store: self }
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

impl StoreQueue<'_> {
    /// Like [`JobStore::create_graph`].
    pub fn create_graph(&self, project_id: &str, name: &str) -> Ticket<Graph> {
        Ticket::new(
            self.store.handle(),
            self.store.create_write(project_id, name),
        )
    }

    /// Like [`JobStore::drop_graph`].
    pub fn drop_graph(&self, project_id: &str, name: &str) -> Ticket<()> {
        Ticket::new(self.store.handle(), self.store.drop_write(project_id, name))
    }
}
