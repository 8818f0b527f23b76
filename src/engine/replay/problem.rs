//! Why a replay failed: the log cannot be read, or the index does not match it.

use crate::index::Fault;
use crate::model::error::Error;

/// Why a replay failed.
pub(crate) enum ReplayError {
    /// The log cannot be read.
    LogFiles(Error),
    /// The index does not match the log, or cannot be written.
    Index(Fault),
}

impl ReplayError {
    /// The error for callers whose index has already been rebuilt.
    pub(crate) fn into_error(self) -> Error {
        match self {
            ReplayError::LogFiles(error) => error,
            ReplayError::Index(fault) => Error::IndexUnavailable {
                what: fault.0.into(),
            },
        }
    }
}

impl From<Error> for ReplayError {
    fn from(error: Error) -> ReplayError {
        ReplayError::LogFiles(error)
    }
}

impl From<Fault> for ReplayError {
    fn from(fault: Fault) -> ReplayError {
        ReplayError::Index(fault)
    }
}
