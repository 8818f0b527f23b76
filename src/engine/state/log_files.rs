//! The files of the log, and files that never change.
//!
//! [`LogFiles`] is the list of the log's files at one moment.

use std::sync::Arc;

use crate::log::disk::File;
use crate::log::pack::Pack;
use crate::log::segment::Segment;

/// The files that contain the log, in order: packs, then segments.
#[derive(Clone, Default)]
pub(crate) struct LogFiles {
    pub(crate) packs: Vec<Arc<Pack>>,
    pub(crate) segments: Vec<Arc<Segment>>,
}

/// A file that never changes while the store is open. It is kept open, so that its identity cannot
/// be reused for another file.
pub(crate) type PinnedFile = (&'static str, Arc<dyn File>);
