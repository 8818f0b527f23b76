//! The files of the log, and those that stay as they are.
//!
//! Owns: [`LogFiles`], the list of the log's files at one moment. Must not know: who replaces
//! them.

use std::sync::Arc;

use crate::log::disk::File;
use crate::log::pack::Pack;
use crate::log::segment::Segment;

/// The files that hold the log, in its order: packs, then segments.
#[derive(Clone, Default)]
pub(crate) struct LogFiles {
    pub(crate) packs: Vec<Arc<Pack>>,
    pub(crate) segments: Vec<Arc<Segment>>,
}

/// A file that stays the same as long as the store is open. It is kept open, so that no
/// other can be taken for it.
pub(crate) type PinnedFile = (&'static str, Arc<dyn File>);
