// The options about the replica.

use std::sync::Arc;
use std::time::Duration;

use super::Options;
use crate::model::replica::{Replica, TakeOver};

impl Options {
    /// Sets the replica: a second copy of the store's log in a backend (an object store or etcd),
    /// so that acknowledged writes survive the loss of this machine. None by default.
    ///
    /// A write is acknowledged once it is durable both in the directory and in the replica. Lists
    /// and lookups read only the directory. The open takes over the replica: whichever store wrote
    /// to it before can acknowledge no more writes ([`Error::Deposed`](crate::Error::Deposed)).
    /// Then the directory is made the mirror of the replica: what it lacks is downloaded, and
    /// writes at its end that were never acknowledged are removed. An empty or new directory
    /// becomes the full store.
    ///
    /// If the replica is empty and the directory contains a store, the store is copied to it. From
    /// then on, the store cannot be opened without its replica
    /// ([`Error::ReplicaNeeded`](crate::Error::ReplicaNeeded)), except read-only.
    ///
    /// With [`Durability::Interval`](crate::Durability::Interval), the replica is updated once in
    /// each interval, too.
    ///
    /// # Cost
    /// A write takes as long as the slower of the local sync and the replica's backend. The store
    /// runs two more threads, `jobstore-replica` and `jobstore-upload`, and uses about 40 MiB more
    /// memory if the replica is in S3.
    ///
    /// # Errors
    /// The open returns [`Error::ReplicaUnreachable`](crate::Error::ReplicaUnreachable),
    /// [`Error::ReplicaRefused`](crate::Error::ReplicaRefused),
    /// [`Error::ReplicaUnfit`](crate::Error::ReplicaUnfit),
    /// [`Error::ReplicaOfOtherStore`](crate::Error::ReplicaOfOtherStore),
    /// [`Error::ReplicaBehind`](crate::Error::ReplicaBehind),
    /// [`Error::ReplicaDiverged`](crate::Error::ReplicaDiverged), or
    /// [`Error::ReplicaDamaged`](crate::Error::ReplicaDamaged);
    /// [`Error::ReplicaInUse`](crate::Error::ReplicaInUse) only with
    /// [`TakeOver::IfQuiet`]; and [`Error::Deposed`](crate::Error::Deposed) if yet another open
    /// takes over the replica in the meantime.
    ///
    /// # Examples
    /// ```
    /// use jobstore::JobStore;
    /// use jobstore::replica::MemoryReplica;
    /// use std::sync::Arc;
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path();
    /// let replica = Arc::new(MemoryReplica::default()); // in practice, S3 or etcd
    /// let store = JobStore::options().replica(replica.clone()).open(dir.join("here"))?;
    /// store.create_graph("10001", "movie")?;
    /// drop(store); // and the machine is lost
    ///
    /// let store = JobStore::options().replica(replica).open(dir.join("elsewhere"))?;
    /// assert!(store.graph("10001", "movie").is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn replica(mut self, replica: Arc<dyn Replica>) -> Options {
        self.replica = Some(replica);
        self
    }

    /// Sets when the open may take over the replica; [`TakeOver::Now`] by default.
    #[must_use]
    pub fn take_over(mut self, take_over: TakeOver) -> Options {
        self.take_over = take_over;
        self
    }

    /// Sets how long a write, or an open, waits for a replica that does not respond: 100 ms to 1
    /// h, 30 s by default. After that, the writes return
    /// [`Error::CommitUnknown`](crate::Error::CommitUnknown), and the store accepts no writes until
    /// it is reopened.
    ///
    /// A request in progress is not interrupted. If the server accepts a request and does not
    /// respond, the request ends after the backend's own timeout: by default 30 s for S3
    /// (`S3ReplicaBuilder::request_timeout`), and 10 s for each node of etcd. Even with a shorter
    /// timeout here, such a server is noticed after that time at the earliest.
    #[must_use]
    pub fn replica_timeout(mut self, timeout: Duration) -> Options {
        self.replica_timeout = timeout;
        self
    }

    /// Sets whether the open replaces the replica's contents with those of the directory; `false`
    /// by default. This is the remedy for a replica that is missing its most recent writes
    /// ([`Error::ReplicaBehind`](crate::Error::ReplicaBehind)) or is damaged, if the directory is
    /// known to be the better copy. Writes that are only in the replica are lost.
    #[must_use]
    pub fn reseed(mut self, reseed: bool) -> Options {
        self.reseed = reseed;
        self
    }

    /// Sets whether the open stops using the replica, so that the store can be opened without it
    /// from then on; `false` by default. The replica itself is not changed, and no longer
    /// receives writes. Without this option, a store that has a replica cannot be opened without
    /// it by accident.
    #[must_use]
    pub fn detach_replica(mut self, detach: bool) -> Options {
        self.detach_replica = detach;
        self
    }
}
