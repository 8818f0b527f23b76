// Idempotent submission.
//
// Each key creates only one job, even if many callers use it concurrently, and even if the process
// crashes before a call returns.

use crate::api::graph::Graph;
use crate::api::nonblocking::NonBlocking;
use crate::api::pending_write::PendingWrite;
use crate::api::spans::call_span;
use crate::api::submit::Submitted;
use crate::api::write::{PreparedWrite, unexpected};
use crate::engine::read::idempotency_keys::KeyOwner;
use crate::engine::state::calls::WriteResult;
use crate::engine::state::operation::{Action, KeyLookup, Operation};
use crate::model::error::{Error, Result};
use crate::model::request::Request;

/// The maximum length of a key, in bytes.
const KEY_BYTES_MAX: usize = 256;

impl Graph {
    /// Submits a request once per idempotency key: a retry with the same key returns the job that
    /// the first call created. Use this if the caller might not find out whether its call
    /// succeeded. A key is any string of 1 to 256 bytes. Keys of different graphs are independent.
    ///
    /// A key is taken as long as its job exists and, after the job is purged, as long as its
    /// tombstone is retained ([`Retention::max_tombstones`](crate::Retention::max_tombstones)).
    /// [`Graph::export`] does not include keys; [`JobStore::backup`](crate::JobStore::backup) does.
    ///
    /// # Durability
    /// Key and job are recorded in one commit, as durable as [`Graph::submit`].
    ///
    /// # Cost
    /// That of [`Graph::submit`], and one lookup. If the key is taken, the job's block is read. On
    /// disk, a key takes up about 30 bytes in addition to its text.
    ///
    /// # Errors
    /// [`Error::KeyTaken`] if the key belongs to a job with a different request (compared as by
    /// [`Graph::find`]), [`Error::KeyPurged`], [`Error::InvalidKey`]; those of [`Graph::submit`]
    /// and [`Graph::job`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, Error, JobStore, Request, Submitted};
    /// let store = JobStore::in_memory()?;
    /// let movie = store.create_graph("10001", "movie")?;
    /// let request = |body: &str| Request::new("import_graph", "/ges", Body::from_json(body)?);
    /// let first = movie.submit_once("upload 17", request(r#"{"path": "a.csv"}"#)?)?;
    /// let again = movie.submit_once("upload 17", request(r#"{"path": "a.csv"}"#)?)?;
    /// assert_eq!(again, Submitted::AlreadyExists(first.id().clone()));
    /// let other = movie.submit_once("upload 17", request(r#"{"path": "b.csv"}"#)?);
    /// assert!(matches!(other, Err(Error::KeyTaken { id }) if id == *first.id()));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn submit_once(&self, key: impl AsRef<str>, request: Request) -> Result<Submitted> {
        let _span = call_span!("submit_once", self);
        let write = self.submit_once_write(key.as_ref(), request)?;
        write.commit(self.engine())
    }

    fn submit_once_write(&self, key: &str, request: Request) -> Result<PreparedWrite<Submitted>> {
        self.check()?;
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(Error::InvalidKey {
                given_bytes: key.len(),
                max_bytes: KEY_BYTES_MAX,
            });
        }
        let ids = &self.engine().ids;
        let (before, hash) = (ids.generation(), self.core.key_hash(key));
        match self.engine().owner_of(&self.core, key)? {
            KeyOwner::Nobody => {
                let generation = ids.generation_if_absent(before, hash);
                self.key_write(key, request, KeyLookup { generation })
            }
            KeyOwner::Job(id, known) if known == self.masked(&request) => {
                Ok(PreparedWrite::finished(Ok(Submitted::AlreadyExists(id))))
            }
            KeyOwner::Job(id, _) => Err(Error::KeyTaken { id }),
            KeyOwner::Purged => Err(Error::KeyPurged),
        }
    }

    fn key_write(
        &self,
        key: &str,
        request: Request,
        lookup: KeyLookup,
    ) -> Result<PreparedWrite<Submitted>> {
        self.check_writable()?;
        let (submission, bytes) = self.submission(request)?;
        let action = Action::SubmitOnce {
            graph: self.core.clone(),
            key: key.to_owned(),
            submission,
            lookup,
        };
        let bytes = bytes + key.len() as u64;
        Ok(PreparedWrite::new(Operation { action, bytes }, submitted))
    }
}

impl NonBlocking<'_> {
    /// Like [`Graph::submit_once`]. The key is looked up by this call; if it is taken, the pending
    /// write is complete when this returns.
    pub fn submit_once(&self, key: impl AsRef<str>, request: Request) -> PendingWrite<Submitted> {
        self.pending(self.graph().submit_once_write(key.as_ref(), request))
    }
}

fn submitted(result: Result<WriteResult>) -> Result<Submitted> {
    match result? {
        WriteResult::Created(id) => Ok(Submitted::Created(id)),
        WriteResult::ExistsAs(id) => Ok(Submitted::AlreadyExists(id)),
        _ => Err(unexpected()),
    }
}

#[cfg(all(test, not(jobstore_shuttle)))]
mod tests {
    use super::*;
    use crate::api::store::JobStore;
    use crate::model::request::Body;

    #[test]
    fn keys_that_collide_make_a_job_each() {
        let store = JobStore::in_memory().unwrap();
        let graph = store.create_graph("1", "movie").unwrap();
        let request = |n: u64| {
            let body = Body::from_json(format!("[{n}]")).unwrap();
            Request::new("c", "/", body).unwrap()
        };
        let first = graph.submit_once("first", request(1)).unwrap();
        let engine = graph.engine();
        let [given] = engine.ids.recent(graph.core.key_hash("first"))[..] else {
            panic!("one event has the key");
        };
        // Simulates hash collisions: between two keys, and between an id and a key.
        let id = graph.core.owner(0);
        engine.ids.add(graph.core.key_hash("second"), given);
        engine.ids.add(graph.core.key_hash("third"), id);
        engine.ids.add(graph.core.id_hash("fourth"), given);
        for (n, key) in ["second", "third"].into_iter().enumerate() {
            let made = graph.submit_once(key, request(n as u64)).unwrap();
            assert!(matches!(made, Submitted::Created(_)));
            let again = graph.submit_once(key, request(n as u64)).unwrap();
            assert_eq!(again, Submitted::AlreadyExists(made.id().clone()));
        }
        assert!(graph.job("fourth").unwrap().is_none());
        let again = graph.submit_once("first", request(1)).unwrap();
        assert_eq!(again.id(), first.id());
    }
}
