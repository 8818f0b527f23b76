//! Why a replay ended early: the log cannot be read, or the index does not fit it.

use crate::index::Fault;
use crate::model::error::Error;

/// Why a replay ended early.
pub(crate) enum Problem {
    /// The truth cannot be read.
    LogFiles(Error),
    /// The index does not fit the truth, or cannot be written.
    Index(Fault),
}

impl Problem {
    /// For where the index was made anew already.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Problem::LogFiles(error) => error,
            Problem::Index(fault) => Error::IndexUnavailable {
                what: fault.0.into(),
            },
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        Problem::LogFiles(error)
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Problem {
        Problem::Index(fault)
    }
}
