//! Why a replay failed: the log cannot be read, or the index does not fit it.

use crate::index::Fault;
use crate::model::error::Error;

/// Why a replay failed.
pub(crate) enum Problem {
    /// The log cannot be read.
    Truth(Error),
    /// The index does not fit the log, or cannot be written.
    Index(Fault),
}

impl Problem {
    /// For callers whose index was rebuilt already.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Problem::Truth(error) => error,
            Problem::Index(fault) => Error::IndexUnavailable {
                what: fault.0.into(),
            },
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        Problem::Truth(error)
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Problem {
        Problem::Index(fault)
    }
}
