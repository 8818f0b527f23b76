//! Whether files may be replaced by a pack in the scratch file.

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

impl Replaced {
    /// Returns whether a scratch file will be left that is large enough. If freed space goes to
    /// other users, the largest of these files becomes the next scratch file.
    pub(super) fn leave_scratch(&self, freed: FreedSpace, scratch_bytes: u64) -> bool {
        let needed = match (freed, &self.next_packs) {
            (FreedSpace::Usable, _) | (FreedSpace::Unknown, Some(_)) => 0,
            (FreedSpace::Unknown | FreedSpace::Reserved, None) => scratch_bytes,
            (FreedSpace::Reserved, Some(packs)) => {
                // Larger packs do not fit into the current scratch file either.
                let fitting = packs.iter().filter(|&&bytes| bytes <= scratch_bytes);
                fitting.copied().max().unwrap_or(0)
            }
        };
        self.largest_bytes >= needed
    }
}
