//! The file of a pack that is being written. It gets the name of the pack when it is complete.

use std::path::PathBuf;
use std::sync::Arc;

use crate::log::disk::{Disk, File, create_aside};
use crate::log::file_names;
use crate::log::pack::Pack;
use crate::log::preallocation::{Preallocation, Replaced, ScratchFile, ScratchUse};
use crate::log::revocable::Revocable;
use crate::model::error::{Error, Result};
use crate::model::store_id::StoreId;

/// Writes are buffered up to this size.
pub(super) const WRITE_BYTES: usize = 1 << 20;
/// The file is synced each time this many further bytes have been written.
const SYNC_BYTES: u64 = 4 << 20;

/// The unfinished file of a pack that is being written.
pub(super) struct AsideFile<'d> {
    disk: &'d dyn Disk,
    aside: String,
    name: String,
    file: Arc<dyn File>,
    /// Bytes that are not written yet.
    pub(super) pending: Vec<u8>,
    written: u64,
    synced: u64,
    /// The file of the same name that it replaces.
    pub(super) replaced: Option<Arc<Revocable>>,
    /// The scratch file, if the pack is written to it, and the owner to which it is returned.
    scratch_file: Option<(&'d Preallocation, ScratchFile)>,
    /// The maximum size of the file. If it would become larger, writing the pack fails.
    bytes_max: u64,
    /// The size that the scratch file keeps.
    padded_bytes: Option<u64>,
    finished: bool,
}

impl<'d> AsideFile<'d> {
    pub(super) fn create(disk: &'d dyn Disk, name: String) -> Result<AsideFile<'d>> {
        let (aside, file) =
            create_aside(disk, &name).map_err(|e| Error::io("create", disk.path(&name), &e))?;
        Ok(AsideFile::new(disk, file, (aside, name)))
    }

    /// Uses the scratch file: see
    /// [`PackWriter::begin_in_scratch`](super::PackWriter::begin_in_scratch).
    pub(super) fn scratch(
        (disk, preallocation): (&'d dyn Disk, &'d Preallocation),
        name: String,
        replaced: &Replaced,
    ) -> Result<AsideFile<'d>> {
        let Some(scratch_use) = preallocation.scratch_use(disk, replaced) else {
            return Err(no_room(disk, &name));
        };
        let scratch_file = preallocation.lend_scratch(disk, &name);
        let scratch_file =
            scratch_file.map_err(|e| Error::io("rename", disk.path(file_names::SCRATCH), &e))?;
        let Some(scratch) = scratch_file else {
            return Err(no_room(disk, &name));
        };
        let (file, aside) = (scratch.file.clone(), scratch.aside.clone());
        let mut out = AsideFile::new(disk, file, (aside, name));
        out.bytes_max = match scratch_use {
            ScratchUse::Truncated => {
                let free = disk.free_bytes().ok().flatten().unwrap_or_default();
                scratch.bytes.min(replaced.bytes + free)
            }
            ScratchUse::Padded => {
                out.padded_bytes = Some(scratch.bytes);
                // The pack will be rewritten in the file that it replaces.
                scratch.bytes.min(replaced.largest_bytes)
            }
        };
        out.scratch_file = Some((preallocation, scratch));
        Ok(out)
    }

    fn new(
        disk: &'d dyn Disk,
        file: Arc<dyn File>,
        (aside, name): (String, String),
    ) -> AsideFile<'d> {
        AsideFile {
            disk,
            aside,
            name,
            file,
            pending: Vec::new(),
            written: 0,
            synced: 0,
            replaced: None,
            scratch_file: None,
            bytes_max: u64::MAX,
            padded_bytes: None,
            finished: false,
        }
    }

    /// The path of the unfinished file.
    pub(super) fn path(&self) -> PathBuf {
        self.disk.path(&self.aside)
    }

    pub(super) fn offset(&self) -> u64 {
        self.written + self.pending.len() as u64
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        if self.offset() > self.bytes_max {
            return Err(no_room(self.disk, &self.name));
        }
        let written = self.file.write_all_at(&self.pending, self.written);
        written.map_err(|e| Error::io("write", self.disk.path(&self.aside), &e))?;
        self.written += self.pending.len() as u64;
        self.pending.clear();
        // A single long sync at the end would delay the syncs of commits queued after it.
        if self.written - self.synced >= SYNC_BYTES {
            let synced = self.file.sync();
            synced.map_err(|e| Error::io("sync", self.disk.path(&self.aside), &e))?;
            self.synced = self.written;
        }
        Ok(())
    }

    /// Skips to the last `tail` bytes of a scratch file that keeps its size.
    pub(super) fn pad(&mut self, tail: u64) -> Result<()> {
        let Some(bytes) = self.padded_bytes else {
            return Ok(());
        };
        self.flush()?;
        if self.written + tail > self.bytes_max {
            return Err(no_room(self.disk, &self.name));
        }
        self.bytes_max = bytes;
        self.written = bytes - tail;
        Ok(())
    }

    pub(super) fn flush_if_full(&mut self) -> Result<()> {
        if self.pending.len() >= WRITE_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Makes the file durable and, if `check` accepts the pack in the file, renames the file to the
    /// name of the pack.
    pub(super) fn finish(
        &mut self,
        store: StoreId,
        check: impl FnOnce(&Pack) -> Result<()>,
    ) -> Result<Pack> {
        let pack = self.give_name(store, check)?;
        self.finished = true;
        Ok(pack)
    }

    fn give_name(
        &mut self,
        store: StoreId,
        check: impl FnOnce(&Pack) -> Result<()>,
    ) -> Result<Pack> {
        self.flush()?;
        let failed = |e| Error::io("finish", self.disk.path(&self.aside), &e);
        if self.scratch_file.is_some() {
            self.file.cut(self.written).map_err(failed)?;
        }
        self.file.sync().map_err(failed)?;
        // The pack is opened before the rename, because nothing may fail after it has replaced
        // another pack.
        let pack = Pack::open_as(self.disk, (&self.aside, &self.name), store)?;
        check(&pack)?;
        let names = (&*self.aside, &*self.name);
        let renamed = match (&self.scratch_file, &self.replaced) {
            (Some((preallocation, _)), Some(replaced)) => {
                preallocation.replace(self.disk, names, replaced)
            }
            _ => self.disk.rename(names.0, names.1),
        };
        renamed.map_err(failed)?;
        if self.replaced.is_some() {
            return Ok(pack);
        }
        if let Err(e) = self.disk.sync_names() {
            // The pack is not in use. If it cannot be removed, the next open finds that it is not
            // needed.
            self.disk.remove(&self.name).ok();
            return Err(failed(e));
        }
        Ok(pack)
    }
}

fn no_room(disk: &dyn Disk, name: &str) -> Error {
    Error::DiskFull {
        operation: "rewrite",
        path: disk.path(name),
    }
}

impl Drop for AsideFile<'_> {
    fn drop(&mut self) {
        if !self.finished {
            // An incomplete pack is useless. If it cannot be removed, the next open removes it.
            match &self.scratch_file {
                Some((preallocation, scratch)) => {
                    preallocation.return_scratch(self.disk, scratch);
                }
                None => drop(self.disk.remove(&self.aside)),
            }
        }
    }
}
