// A write before it is queued, shared by a blocking call and its nonblocking counterpart. A call
// whose result is known without a write queues nothing.

use crate::engine::core::Engine;
use crate::engine::state::calls::WriteResult;
use crate::engine::state::operation::{Action, Operation};
use crate::model::error::{Error, Result};

pub(crate) type Finish<T> = Box<dyn FnOnce(Result<WriteResult>) -> Result<T> + Send>;

/// A call whose arguments have been checked.
pub(crate) struct PreparedWrite<T> {
    /// `None` if the result is known without a write.
    pub(crate) operation: Option<Operation>,
    /// Converts the committer's result, or returns the known result.
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

    /// A write without a request.
    pub(crate) fn small(
        action: Action,
        finish: impl FnOnce(Result<WriteResult>) -> Result<T> + Send + 'static,
    ) -> PreparedWrite<T> {
        PreparedWrite::new(Operation::small(action), finish)
    }

    /// A result that needs no write, or an error that prevents it.
    pub(crate) fn finished(result: Result<T>) -> PreparedWrite<T>
    where
        T: Send + 'static,
    {
        PreparedWrite {
            operation: None,
            finish: Box::new(move |_| result),
        }
    }

    /// Blocks until the write is durable.
    pub(crate) fn commit(self, engine: &Engine) -> Result<T> {
        let commit = |operation| engine.commit(operation);
        (self.finish)(self.operation.map_or(Ok(WriteResult::Done), commit))
    }
}

/// Reads a result that carries no value.
pub(crate) fn done(result: Result<WriteResult>) -> Result<()> {
    result.map(|_| ())
}

/// The committer returns a specific kind of result for each write; any other is a bug.
pub(crate) fn unexpected() -> Error {
    Error::InvalidUse {
        what: "the store returned a result of an unexpected type; this is a bug in jobstore, \
             please report it",
    }
}
