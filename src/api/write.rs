//! A write before it is queued.
//!
//! Owns: [`PreparedWrite`], which a call that blocks and one that gives a pending write share: what
//! is queued, and how its answer is read. Must not know: what the writes do. Promise: what is
//! answered without a write never reaches the queue.

use crate::engine::core::Engine;
use crate::engine::state::calls::WriteResult;
use crate::engine::state::operation::{Action, Operation};
use crate::model::error::{Error, Result};

pub(crate) type Finish<T> = Box<dyn FnOnce(Result<WriteResult>) -> Result<T> + Send>;

/// What a call comes to once its arguments are checked.
pub(crate) struct PreparedWrite<T> {
    /// None if the answer is known without a write.
    pub(crate) operation: Option<Operation>,
    /// Reads the committer's answer, or gives the one that is known.
    pub(crate) finish: Finish<T>,
}

impl<T> PreparedWrite<T> {
    pub(crate) fn new(
        operation: Operation,
        finish: impl FnOnce(Result<WriteResult>) -> Result<T> + Send + 'static,
    ) -> PreparedWrite<T> {
        PreparedWrite {
            operation: Some(operation),
            finish: Box::new(finish),
        }
    }

    /// A write that carries no request.
    pub(crate) fn small(
        action: Action,
        finish: impl FnOnce(Result<WriteResult>) -> Result<T> + Send + 'static,
    ) -> PreparedWrite<T> {
        PreparedWrite::new(Operation::small(action), finish)
    }

    /// Nothing has to be written, or nothing can be.
    pub(crate) fn finished(result: Result<T>) -> PreparedWrite<T>
    where
        T: Send + 'static,
    {
        PreparedWrite {
            operation: None,
            finish: Box::new(move |_| result),
        }
    }

    /// Blocks until it is durable.
    pub(crate) fn commit(self, engine: &Engine) -> Result<T> {
        let commit = |operation| engine.commit(operation);
        (self.finish)(self.operation.map_or(Ok(WriteResult::Done), commit))
    }
}

/// Reads an answer that says nothing more than that it is done.
pub(crate) fn done(result: Result<WriteResult>) -> Result<()> {
    result.map(|_| ())
}

/// The committer answers each write in its own way; anything else is our mistake.
pub(crate) fn unexpected() -> Error {
    Error::InvalidUse {
        what: "the store returned a result of an unexpected type; this is a bug in jobstore, \
             please report it",
    }
}
