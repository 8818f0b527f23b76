//! Directories of archives, in memory, by path.
//!
//! Maps the paths of this thread to directories. As on a real file system, an archive detects when
//! its directory is moved away or replaced.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Disk;
use super::disk::Shared;
use crate::log::disk::{Disk as Seam, simulated};

thread_local! {
    static PLACES: RefCell<BTreeMap<PathBuf, Disk>> = const { RefCell::new(BTreeMap::new()) };
}

/// Puts a directory at a path below `/simulated-archives`, and replaces any other directory there.
/// If `disk` is `None`, no directory can be created at the path.
pub fn place_archive(path: &Path, disk: Option<&Disk>) {
    simulated::find_archives_by(find);
    PLACES.with_borrow_mut(|places| match disk {
        Some(disk) => drop(places.insert(path.to_owned(), disk.clone())),
        None => drop(places.remove(path)),
    });
}

fn find(path: &Path) -> Option<Arc<dyn Seam>> {
    let disk = PLACES.with_borrow(|places| places.get(path).cloned());
    disk.map(|disk| disk.mount_at(path))
}

pub(super) fn is_at(path: &Path, state: &Shared) -> bool {
    PLACES.with_borrow(|places| places.get(path).is_some_and(|disk| disk.is(state)))
}
