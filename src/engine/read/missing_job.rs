//! Jobs that no file contains, although they are in their graph's state.

use std::path::{Path, PathBuf};

use crate::engine::state::graph::GraphCore;
use crate::model::error::Error;

/// The error for a job that no file contains.
pub(crate) fn missing(path: &Path, sequence: u64) -> Error {
    Error::damaged(
        path,
        0,
        format!("no file contains the job with sequence number {sequence}"),
    )
}

impl GraphCore {
    /// Names the graph in place of a file, for errors that cannot be attributed to a single file.
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(format!("graph {:?}", self.name))
    }
}
