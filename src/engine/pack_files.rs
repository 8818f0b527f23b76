//! What all that write packs have in common.

use std::sync::Arc;

use crate::engine::core::Engine;
use crate::log::disk;
use crate::log::event::Event;
use crate::log::pack::Pack;
use crate::log::pack_writer::PackWriter;
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

/// Puts the submissions of a row of jobs, if there is one: graph, first job and count.
pub(crate) fn put_submits(writer: &mut PackWriter<'_>, row: Option<(u32, u64, u64)>) -> Result<()> {
    match row {
        None => Ok(()),
        Some((graph, first_sequence, count)) => writer.event(&Event::Submits {
            graph,
            first_sequence,
            count,
        }),
    }
}

/// Whether a pack is one of these.
pub(crate) fn is_among(packs: &[Arc<Pack>], pack: &Arc<Pack>) -> bool {
    packs.iter().any(|one| Arc::ptr_eq(one, pack))
}
