//! How files may be replaced by a pack in the scratch file.

use crate::log::disk::FreedSpace;

/// The files that a pack in the scratch file replaces.
pub(crate) struct Replaced {
    /// Their total size.
    pub(crate) bytes: u64,
    pub(crate) largest_bytes: u64,
    /// The sizes of packs that may have to be written to the next scratch file. `None` if the
    /// scratch file must not become smaller.
    pub(crate) next_packs: Option<Vec<u64>>,
}

/// How a pack is written to the scratch file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScratchUse {
    /// The file is truncated to the length of the pack.
    Truncated,
    /// The file keeps its size: the pack contains zeros that are garbage. The pack is rewritten
    /// once more, in the file that it has replaced, and the scratch file gets its size back.
    Padded,
}

impl Replaced {
    /// Returns how the pack may be written, or `None` if it may not, because no scratch file would
    /// be left that is large enough. If freed space may go to other users, the largest of these files
    /// becomes the next scratch file.
    pub(super) fn scratch_use(&self, freed: FreedSpace, scratch_bytes: u64) -> Option<ScratchUse> {
        let needed = match (freed, &self.next_packs) {
            (FreedSpace::Usable, _) => 0,
            (FreedSpace::Unknown | FreedSpace::Reserved, None) => scratch_bytes,
            (FreedSpace::Unknown | FreedSpace::Reserved, Some(packs)) => {
                // Larger packs do not fit into the current scratch file either.
                let fitting = packs.iter().filter(|&&bytes| bytes <= scratch_bytes);
                fitting.copied().max().unwrap_or(0)
            }
        };
        match self.largest_bytes >= needed {
            true => Some(ScratchUse::Truncated),
            false => self.next_packs.is_some().then_some(ScratchUse::Padded),
        }
    }
}
