//! Submitting once, however often it is tried.
//!
//! Owns: [`Graph::submit_once`] and what a key may be. Must not know: how keys are
//! looked up.
//! Promise: a key makes one job, whoever tries at the same time and whatever crashes in
//! between.

use crate::api::graph::Graph;
use crate::api::nonblocking::NonBlocking;
use crate::api::pending_write::PendingWrite;
use crate::api::spans::call_span;
use crate::api::submit::Submitted;
use crate::api::write::{PreparedWrite, unexpected};
use crate::engine::idempotency_keys::KeyOwner;
use crate::engine::state::calls::WriteResult;
use crate::engine::state::operation::{Action, KeyLookup, Operation};
use crate::model::error::{Error, Result};
use crate::model::request::Request;

/// Bytes a key may have.
const KEY_BYTES_MAX: usize = 256;

impl Graph {
    /// Records a request once: who tries again with the same key gets the job that the
    /// first try made. For callers that do not learn whether a try succeeded. The key
    /// is any text of 1 to 256 bytes, and belongs to this graph.
    ///
    /// A key stays taken as long as its job is there, and after a purge as long as the
    /// job's tombstone ([`Retention::max_tombstones`](crate::Retention::max_tombstones)).
    /// It does not go with its job through [`Graph::export`] and [`Graph::import`]; a
    /// [`JobStore::backup`](crate::JobStore::backup) has it.
    ///
    /// # Durability
    /// Key and job are one commit, as durable as [`Graph::submit`].
    ///
    /// # Cost
    /// That of [`Graph::submit`], and a lookup; a key that is taken costs reading the
    /// job's block. Key and lookup take some 30 bytes more than the key on the disk.
    ///
    /// # Errors
    /// [`Error::KeyTaken`] when the key belongs to a job with another request (compared
    /// as by [`Graph::find`]), [`Error::KeyPurged`], [`Error::InvalidKey`]; those of
    /// [`Graph::submit`] and of looking an id up ([`Graph::job`]).
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
        let generation = self.engine().ids.generation();
        match self.engine().owner_of(&self.core, key)? {
            KeyOwner::Nobody => self.key_write(key, request, KeyLookup { generation }),
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
    /// Like [`Graph::submit_once`]. The key is looked up by this call; where its job is
    /// there, the answer is, too.
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
        // As if the hashes were the same: of keys, and of an id and a key.
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
