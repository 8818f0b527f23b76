// The writes of a store for callers that must not block. The writes of a thread are committed in
// the order of its calls.

use crate::api::graph::Graph;
use crate::api::pending_write::PendingWrite;
use crate::api::store::JobStore;

impl JobStore {
    /// Returns the store's writes for callers that must not block. Each call queues its write and
    /// returns a [`PendingWrite`].
    ///
    /// # Examples
    /// ```
    /// # let store = jobstore::JobStore::in_memory()?;
    /// let write = store.nonblocking().create_graph("10001", "movie");
    /// let movie = write.wait()?; // in an async engine: `write.await?`
    /// # assert_eq!(movie.name(), "movie");
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn nonblocking(&self) -> NonBlockingStore<'_> {
        NonBlockingStore { store: self }
    }
}

/// The writes of a store for callers that must not block: returned by [`JobStore::nonblocking`].
/// All errors, including those for invalid input, are returned by the pending write.
///
/// # Examples
/// ```
/// use jobstore::{JobStore, Result};
/// let store = JobStore::in_memory()?;
/// futures::executor::block_on(async {
///     let movie = store.nonblocking().create_graph("10001", "movie").await?;
///     assert_eq!(movie.name(), "movie");
///     store.nonblocking().drop_graph("10001", "movie").await?;
///     Result::Ok(())
/// })?;
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct NonBlockingStore<'s> {
    store: &'s JobStore,
}

impl NonBlockingStore<'_> {
    /// Like [`JobStore::create_graph`].
    pub fn create_graph(&self, project_id: &str, name: &str) -> PendingWrite<Graph> {
        PendingWrite::new(
            self.store.handle(),
            self.store.create_write(project_id, name),
        )
    }

    /// Like [`JobStore::drop_graph`].
    pub fn drop_graph(&self, project_id: &str, name: &str) -> PendingWrite<()> {
        PendingWrite::new(self.store.handle(), self.store.drop_write(project_id, name))
    }
}
