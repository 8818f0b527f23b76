//! What all that write packs have in common.

use std::sync::Arc;

use crate::engine::core::Engine;
use crate::log::disk;
use crate::log::pack::Pack;
use crate::model::error::Result;

/// Refuses to begin a file that there may be no room for: others need the disk too.
pub(crate) fn check_room(
    engine: &Engine,
    bytes: u64,
    operation: &'static str,
    name: &str,
) -> Result<()> {
    disk::check_room(&*engine.disk, bytes, operation, name)
}

/// Whether a pack is one of these.
pub(crate) fn is_among(packs: &[Arc<Pack>], pack: &Arc<Pack>) -> bool {
    packs.iter().any(|one| Arc::ptr_eq(one, pack))
}
