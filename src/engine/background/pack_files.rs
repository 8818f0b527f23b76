//! Helpers for all code that writes packs.

use std::sync::Arc;

use crate::engine::core::Engine;
use crate::log::disk;
use crate::log::pack::Pack;
use crate::model::error::Result;

/// Refuses to begin a file if the disk may not have enough space for it and for other files.
pub(crate) fn check_room(
    engine: &Engine,
    bytes: u64,
    operation: &'static str,
    name: &str,
) -> Result<()> {
    disk::check_room(&*engine.disk, bytes, operation, name)
}

/// Whether `packs` contains a pack.
pub(crate) fn is_among(packs: &[Arc<Pack>], pack: &Arc<Pack>) -> bool {
    packs.iter().any(|one| Arc::ptr_eq(one, pack))
}
