//! Determines to which store the files belong, if the file `STORE` does not show it.

use std::collections::BTreeMap;

use crate::log::disk::Disk;
use crate::log::file_names;
use crate::log::pack::Pack;
use crate::log::segment::{SEGMENT_HEADER_BYTES, Segment};
use crate::model::error::{Error, Result};
use crate::model::store_id::StoreId;

/// The store to which most files of the log belong, according to their headers.
pub(super) fn store_of_files(disk: &dyn Disk, names: &[String]) -> Result<StoreId> {
    let mut votes: BTreeMap<u128, u64> = BTreeMap::new();
    for name in names {
        let is_pack = file_names::pack_range(name).is_some();
        if !is_pack && file_names::segment_epoch(name).is_none() {
            continue;
        }
        let mut header = [0; SEGMENT_HEADER_BYTES];
        let file = disk
            .open(name)
            .map_err(|e| Error::io("open", disk.path(name), &e))?;
        if file.read_exact_at(&mut header, 0).is_err() {
            continue;
        }
        let store = match is_pack {
            true => Pack::store_in(&header),
            false => Segment::store_in(&header),
        };
        if let Some(store) = store {
            *votes.entry(store.0).or_default() += 1;
        }
    }
    let most = votes.into_iter().max_by_key(|&(_, count)| count);
    let unknown = || {
        let what = "the file is corrupt or missing, and no other file identifies the store";
        Error::damaged(disk.path(file_names::STORE), 0, what)
    };
    most.map(|(id, _)| StoreId(id)).ok_or_else(unknown)
}
