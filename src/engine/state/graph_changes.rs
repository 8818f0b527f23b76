//! The changes of a graph that a round writes to the index.

use std::sync::Arc;

use crate::engine::state::detail_changes::DetailChanges;
use crate::engine::state::status::SavedChunk;
use crate::model::history::Rows;

/// The number of a round; 0 for none.
pub(crate) type RoundNumber = u64;

/// The changes of a graph up to the LSN of a round.
pub(crate) struct GraphChanges {
    pub(crate) details: Arc<DetailChanges>,
    pub(crate) chunks: Vec<SavedChunk>,
    pub(crate) forgotten_lsn: u64,
    /// The greatest number of a command.
    pub(crate) last_command: u8,
    pub(crate) history: Option<Arc<Rows>>,
}
