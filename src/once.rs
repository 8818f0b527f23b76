//! Submitting once, however often it is tried.
//!
//! Owns: [`Graph::submit_once`] and what a key may be. Must not know: how keys are
//! looked up.
//! Promise: a key makes one job, whoever tries at the same time and whatever crashes in
//! between.

use crate::engine::answers::Answer;
use crate::engine::keys::KeyOwner;
use crate::engine::queue::{Action, LookedKey, Operation};
use crate::error::{Error, Result};
use crate::graph::{Graph, Submitted, unexpected};
use crate::queue::Queue;
use crate::request::Request;
use crate::spans::call_span;
use crate::ticket::Ticket;

/// Bytes a key may have.
const KEY_BYTES_MAX: usize = 256;

impl Graph {
    /// Records a request once: who tries again with the same key gets the job that the
    /// first try made. For callers that do not learn whether a try succeeded. The key
    /// is any text of 1 to 256 bytes, and belongs to this graph.
    ///
    /// A key stays taken as long as its job is there, and after a purge as long as the
    /// job's tombstone ([`Retention::keep_tombstones`](crate::Retention::keep_tombstones)).
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
        match self.look_key(key.as_ref(), &request)? {
            Look::Exists(submitted) => Ok(submitted),
            Look::Try(looked) => {
                let operation = self.submit_once_operation(key.as_ref(), request, looked)?;
                submitted(self.engine().commit(operation))
            }
        }
    }

    fn look_key(&self, key: &str, request: &Request) -> Result<Look> {
        self.check()?;
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(Error::InvalidKey {
                given_bytes: key.len(),
                max_bytes: KEY_BYTES_MAX,
            });
        }
        let generation = self.engine().ids.generation();
        match self.engine().owner_of(&self.core, key)? {
            KeyOwner::Nobody => Ok(Look::Try(LookedKey { generation })),
            KeyOwner::Job(id, known) if known == self.masked(request) => {
                Ok(Look::Exists(Submitted::AlreadyExists(id)))
            }
            KeyOwner::Job(id, _) => Err(Error::KeyTaken { id }),
            KeyOwner::Purged => Err(Error::KeyPurged),
        }
    }

    fn submit_once_operation(
        &self,
        key: &str,
        request: Request,
        looked: LookedKey,
    ) -> Result<Operation> {
        self.check_writable()?;
        let (submission, bytes) = self.submission(request)?;
        let action = Action::SubmitOnce {
            graph: self.core.clone(),
            key: key.to_owned(),
            submission,
            looked,
        };
        let bytes = bytes + key.len() as u64;
        Ok(Operation { action, bytes })
    }
}

/// What is known of a key before its request is queued.
enum Look {
    Exists(Submitted),
    Try(LookedKey),
}

impl Queue<'_> {
    /// Like [`Graph::submit_once`]. The key is looked up by this call; where its job is
    /// there, the answer is, too.
    pub fn submit_once(&self, key: impl AsRef<str>, request: Request) -> Ticket<Submitted> {
        let graph = self.graph();
        let operation = match graph.look_key(key.as_ref(), &request) {
            Ok(Look::Exists(exists)) => return self.ready(exists),
            Ok(Look::Try(looked)) => graph.submit_once_operation(key.as_ref(), request, looked),
            Err(error) => Err(error),
        };
        self.ticket(operation, |_, answer| submitted(answer))
    }
}

fn submitted(answer: Result<Answer>) -> Result<Submitted> {
    match answer? {
        Answer::Created(id) => Ok(Submitted::Created(id)),
        Answer::ExistsAs(id) => Ok(Submitted::AlreadyExists(id)),
        _ => Err(unexpected()),
    }
}

#[cfg(all(test, not(jobstore_shuttle)))]
mod tests {
    use super::*;
    use crate::request::Body;
    use crate::store::JobStore;

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
