//! Jobs that no file holds, though their graph says that they are there.

use std::path::{Path, PathBuf};

use crate::engine::state::graph::GraphCore;
use crate::model::error::Error;

/// The error for a job that no file holds.
pub(crate) fn missing(path: &Path, sequence: u64) -> Error {
    Error::damaged(
        path,
        0,
        format!("no file contains the job with sequence number {sequence}"),
    )
}

impl GraphCore {
    /// What stands for a file in an error that no one file is the cause of.
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(format!("graph {:?}", self.name))
    }
}
