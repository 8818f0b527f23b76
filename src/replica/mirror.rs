//! Makes a directory the mirror of a replica: the same log, up to the same event.
//!
//! While files are being changed, the file `MIRRORING` exists. A directory that has it is not
//! opened; the next open with the replica begins again, with everything that the checkpoint lists.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use xxhash_rust::xxh3::Xxh3;

use crate::log::disk::{self, Disk, File};
use crate::log::file_names;
use crate::log::segment::{SEGMENT_HEADER_BYTES, Segment};
use crate::log::{identity, secret_keys};
use crate::model::error::{Error, Result};
use crate::model::store_id::StoreId;
use crate::replica::at_once::at_once;
use crate::replica::calls::{Calls, payload};
use crate::replica::checkpoint::{Checkpoint, PackBlob, PartBlob};
use crate::replica::chunk::Content;
use crate::replica::claim::{Contents, existing_chunk, missing_chunk};
use crate::replica::following;
use crate::replica::local::Local;
use crate::replica::read_ahead::ReadAhead;

/// How many bytes of a blob are read in one call.
const STEP_BYTES: u64 = 4 << 20;
/// How many packs are read at once.
const PACKS_AT_ONCE: usize = 4;
/// The last bytes of a pack, which identify it: the offset, the length, and the checksum of its
/// footer.
const TAIL_BYTES: u64 = 24;

/// A directory that is to become the mirror of a replica.
pub(crate) struct Mirror<'m> {
    pub(crate) disk: &'m dyn Disk,
    pub(crate) calls: &'m Calls<'m>,
    pub(crate) store: StoreId,
    pub(crate) contents: &'m Contents,
}

/// How a directory becomes the mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Its log is kept; what it lacks is added, and what it should not have is removed.
    Keep,
    /// Everything but identical packs is replaced.
    Replace,
}

impl Mirror<'_> {
    /// Chooses the plan. `local` is `None` if the directory has no log that can be
    /// trusted.
    pub(crate) fn plan(&self, local: Option<&Local>) -> Result<Plan> {
        let Some(local) = local else {
            return Ok(Plan::Replace);
        };
        let end_lsn = self.contents.end_lsn;
        if local.acknowledged_lsn > end_lsn {
            return Err(Error::ReplicaBehind {
                place: self.calls.replica.place(),
                replica_lsn: end_lsn - 1,
                local_lsn: local.acknowledged_lsn - 1,
            });
        }
        let base_lsn = self.contents.base.as_ref().map_or(1, |base| base.end_lsn);
        match local.acknowledged_lsn < base_lsn {
            true => Ok(Plan::Replace),
            false => Ok(Plan::Keep),
        }
    }

    /// Carries out a plan.
    pub(crate) fn make(&self, plan: Plan, local: Option<&Local>) -> Result<()> {
        match (plan, local) {
            (Plan::Keep, Some(local)) => self.keep(local)?,
            _ => self.replace()?,
        }
        self.write_secret_keys()?;
        following::end(self.disk, self.store)?;
        self.remove(file_names::MIRRORING)?;
        self.sync_names()
    }

    fn keep(&self, local: &Local) -> Result<()> {
        let (mut first, mut same_lsn) = (self.first_lacking(local)?, local.acknowledged_lsn);
        // Where the chunks to write begin, and whether none of them belongs to a segment.
        let (mut from, mut is_end) = (first, true);
        // What is in the replica was written by this store, even if this is not recorded here.
        while first < self.contents.end {
            let (header, chunk) = existing_chunk(self.calls, first)?;
            if let Content::Frames {
                epoch,
                offset,
                first_lsn,
                end_lsn,
            } = header.content
            {
                is_end = false;
                if !self.is_same(local, (epoch, offset), payload(&chunk))? {
                    break;
                }
                // A segment without frames is not kept, so its header is written again.
                if first_lsn < end_lsn {
                    same_lsn = same_lsn.max(end_lsn);
                    (from, is_end) = (first + 1, true);
                }
            }
            first += 1;
        }
        if first == self.contents.end && local.end_lsn == same_lsn {
            return Ok(());
        }
        self.begin()?;
        self.remove(file_names::CLOSED)?;
        self.cut(local, same_lsn, is_end)?;
        self.write_chunks(from, same_lsn)
    }

    /// The number of the first chunk with events that may not be known to be acknowledged here.
    fn first_lacking(&self, local: &Local) -> Result<u64> {
        let numbers = self.contents.numbers();
        let mut number = numbers.end;
        while number > numbers.start {
            let (header, chunk) = existing_chunk(self.calls, number - 1)?;
            if let Content::Frames {
                epoch,
                offset,
                first_lsn,
                end_lsn,
            } = header.content
            {
                // A chunk without events contains the header of a segment.
                if end_lsn <= local.acknowledged_lsn && first_lsn < end_lsn {
                    self.check_same(local, (epoch, offset), payload(&chunk), end_lsn)?;
                    break;
                }
            }
            number -= 1;
        }
        Ok(number)
    }

    /// Whether the directory has these bytes of a segment.
    fn is_same(&self, local: &Local, (epoch, offset): (u64, u64), bytes: &[u8]) -> Result<bool> {
        let segment = local.segments.iter().find(|s| s.epoch == epoch);
        let end = offset + bytes.len() as u64;
        if segment.is_none_or(|segment| end > segment.end) {
            return Ok(false);
        }
        let name = file_names::segment(epoch);
        let mut here = vec![0; bytes.len()];
        let read = self.disk.open(&name);
        let read = read.and_then(|file| file.read_exact_at(&mut here, offset));
        read.map_err(|e| Error::io("read", self.disk.path(&name), &e))?;
        Ok(here == bytes)
    }

    /// Checks that a chunk whose events are in the directory is the same there.
    fn check_same(
        &self,
        local: &Local,
        (epoch, offset): (u64, u64),
        bytes: &[u8],
        end_lsn: u64,
    ) -> Result<()> {
        let is_same = end_lsn <= local.packed_lsn || self.is_same(local, (epoch, offset), bytes)?;
        match is_same {
            true => Ok(()),
            false => Err(Error::ReplicaDiverged {
                place: self.calls.replica.place(),
                what: format!(
                    "they differ before log sequence number {end_lsn}, in segment {epoch} at \
                     byte {offset}"
                )
                .into(),
            }),
        }
    }

    /// Removes the directory's log from this event on. If the log in the replica ends there, keeps
    /// the header of the segment that begins there: it says where the segment before it ends, which
    /// may be packed already.
    fn cut(&self, local: &Local, end_lsn: u64, is_end: bool) -> Result<()> {
        for segment in local.segments.iter().rev() {
            let name = file_names::segment(segment.epoch);
            let is_kept = is_end && segment.first_lsn == end_lsn;
            if segment.first_lsn >= end_lsn && !is_kept {
                self.remove(&name)?;
                continue;
            }
            // The file keeps its size, so that writing to it again needs no space.
            let end = match is_kept {
                true => SEGMENT_HEADER_BYTES as u64,
                false => segment.offset_after(end_lsn),
            };
            let file = self.disk.open_to_write(&name);
            let zeroed = file.and_then(|file| Segment::zero(&*file, end..file.len()?));
            zeroed.map_err(|e| Error::io("write", self.disk.path(&name), &e))?;
            if !is_kept {
                break;
            }
        }
        self.sync_names()
    }

    fn replace(&self) -> Result<()> {
        self.begin()?;
        // These files are created again, and their space may be needed.
        self.remove(file_names::RESERVE)?;
        self.remove(file_names::SCRATCH)?;
        let wanted: &[PackBlob] = self.contents.base.as_ref().map_or(&[], |base| &base.packs);
        let names = self
            .disk
            .names()
            .map_err(|e| Error::io("read", self.disk.path(""), &e))?;
        let mut kept = BTreeSet::new();
        for name in names {
            let is_pack = file_names::pack_range(&name).is_some();
            let same = wanted.iter().find(|pack| pack.file_name() == name);
            if same.map_or(Ok(false), |pack| self.is_here(pack))? {
                kept.insert(name);
            } else if is_pack || file_names::segment_epoch(&name).is_some() {
                self.remove(&name)?;
            }
        }
        // On a full disk, the files that were removed make room for this one.
        self.mark_index()?;
        self.remove(file_names::CLOSED)?;
        self.sync_names()?;
        let lacking = wanted
            .iter()
            .filter(|pack| !kept.contains(&pack.file_name()));
        let lacking: Vec<&PackBlob> = lacking.collect();
        for packs in lacking.chunks(PACKS_AT_ONCE) {
            let downloaded = at_once(packs, |pack| self.download_pack(pack));
            downloaded.into_iter().collect::<Result<()>>()?;
        }
        self.sync_names()?;
        if let Some(base) = &self.contents.base {
            self.write_parts(base)?;
        }
        let base_lsn = self.contents.base.as_ref().map_or(1, |base| base.end_lsn);
        self.write_chunks(self.contents.numbers().start, base_lsn)
    }

    /// Whether the directory has the same file as this copy.
    fn is_here(&self, pack: &PackBlob) -> Result<bool> {
        let name = pack.file_name();
        let tail = self
            .disk
            .open(&name)
            .and_then(|file| tail_of(&*file).map(|tail| (file.len(), tail)));
        match tail {
            Ok((len, tail)) => Ok(len.is_ok_and(|len| len == pack.len) && tail == pack.tail),
            Err(_) => Ok(false),
        }
    }

    fn download_pack(&self, pack: &PackBlob) -> Result<()> {
        let name = pack.file_name();
        let failed = |e| Error::io("write", self.disk.path(&name), &e);
        let (aside, file) = disk::create_aside(self.disk, &name).map_err(failed)?;
        self.download(&pack.name, pack.len, pack.hash, |at, bytes| {
            file.write_all_at(bytes, at).map_err(failed)
        })?;
        file.sync().map_err(failed)?;
        self.disk.rename(&aside, &name).map_err(failed)
    }

    /// Reads a blob in steps, and verifies it.
    fn download(
        &self,
        name: &str,
        len: u64,
        hash: u128,
        mut write: impl FnMut(u64, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let (mut at, mut hasher) = (0, Xxh3::new());
        while at < len {
            self.calls.check_stop()?;
            let end = len.min(at + STEP_BYTES);
            let bytes = self.calls.repeat(|replica| {
                let mut bytes = Vec::with_capacity((end - at) as usize);
                replica.get(name, at..end, &mut bytes).map(|()| bytes)
            })?;
            if bytes.len() as u64 != end - at {
                return Err(self.calls.damaged(&format!("blob {name} is too short")));
            }
            hasher.update(&bytes);
            write(at, &bytes)?;
            at = end;
        }
        match hasher.digest128() == hash {
            true => Ok(()),
            false => {
                let what = format!("the checksum of blob {name} is wrong");
                Err(self.calls.damaged(&what))
            }
        }
    }

    /// Writes the segments of which a checkpoint has parts.
    fn write_parts(&self, base: &Checkpoint) -> Result<()> {
        let is_continued = self.contents.end_lsn > base.end_lsn;
        let parts = match is_continued {
            true => base.parts_with_frames(),
            false => &base.parts,
        };
        let segments = parts.chunk_by(|a, b| a.epoch == b.epoch);
        for parts in segments {
            let file = self.segment(parts[0].epoch, true)?;
            for PartBlob {
                epoch,
                from,
                to,
                hash,
                name,
            } in parts
            {
                self.download(name, to - from, *hash, |at, bytes| {
                    self.write(*epoch, &*file, from + at, bytes)
                })?;
            }
            self.sync(parts[0].epoch, &*file)?;
        }
        Ok(())
    }

    /// Writes the frames of the chunks from this one on to their segments. The directory has all
    /// events before this LSN.
    fn write_chunks(&self, first: u64, lsn: u64) -> Result<()> {
        let mut current: Option<(u64, Arc<dyn File>)> = None;
        let mut next_lsn = lsn;
        let mut ahead = ReadAhead::default();
        for number in first..self.contents.end {
            self.calls.check_stop()?;
            let read_one = || {
                self.calls
                    .repeat(|replica| replica.read(number, Duration::ZERO))
            };
            let chunk = ahead.read(self.calls, number, read_one)?;
            let chunk = chunk.ok_or_else(|| missing_chunk(self.calls, number))?;
            let header = self.calls.parse(number, &chunk)?;
            let Content::Frames {
                epoch,
                offset,
                first_lsn,
                end_lsn,
            } = header.content
            else {
                continue;
            };
            // The directory may have some of the events of the first chunk.
            let joins = first_lsn == next_lsn || (next_lsn == lsn && first_lsn < lsn);
            next_lsn = end_lsn;
            if !joins || header.writer.store != self.store {
                let what = format!("chunk {number} does not continue the chunk before it");
                return Err(self.calls.damaged(&what));
            }
            let file = match current.take() {
                Some((open, file)) if open == epoch => file,
                before => {
                    if let Some((before, file)) = before {
                        self.sync(before, &*file)?;
                    }
                    self.segment(epoch, offset == 0)?
                }
            };
            self.write(epoch, &*file, offset, payload(&chunk))?;
            current = Some((epoch, file));
        }
        if let Some((epoch, file)) = current {
            self.sync(epoch, &*file)?;
        }
        // If another writer has claimed the log and trimmed it since, a delayed claim request may
        // have created a chunk under the number of a removed one.
        match next_lsn == self.contents.end_lsn {
            true => Ok(()),
            false => Err(self.calls.damaged("the chunks end before the last event")),
        }
    }

    /// Opens a segment's file, or creates it.
    fn segment(&self, epoch: u64, is_new: bool) -> Result<Arc<dyn File>> {
        let name = file_names::segment(epoch);
        let file = match self.disk.open_to_write(&name) {
            Err(e) if e.kind() == ErrorKind::NotFound && is_new => self.disk.create(&name),
            opened => opened,
        };
        let file = file.map_err(|e| Error::io("write", self.disk.path(&name), &e))?;
        self.sync_names()?;
        Ok(file)
    }

    fn write(&self, epoch: u64, file: &dyn File, at: u64, bytes: &[u8]) -> Result<()> {
        let written = file.write_all_at(bytes, at);
        written.map_err(|e| Error::io("write", self.disk.path(&file_names::segment(epoch)), &e))
    }

    fn sync(&self, epoch: u64, file: &dyn File) -> Result<()> {
        let synced = file.sync();
        synced.map_err(|e| Error::io("sync", self.disk.path(&file_names::segment(epoch)), &e))
    }

    fn begin(&self) -> Result<()> {
        begin(self.disk, self.store)
    }

    /// Makes the next open rebuild the index.
    fn mark_index(&self) -> Result<()> {
        make_mark(self.disk, file_names::INDEX_OPENING)
    }

    fn write_secret_keys(&self) -> Result<()> {
        let Some(contents) = &self.contents.secret_keys else {
            return self.remove(file_names::SECRET_KEYS);
        };
        // A file that cannot be read is replaced.
        match secret_keys::read_contents(self.disk, self.store) {
            Ok(Some(here)) if here == *contents => Ok(()),
            _ => secret_keys::write_contents(self.disk, contents),
        }
    }

    fn remove(&self, name: &str) -> Result<()> {
        match self.disk.remove(name) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|e| Error::io("remove", self.disk.path(name), &e)),
        }
    }

    fn sync_names(&self) -> Result<()> {
        let synced = self.disk.sync_names();
        synced.map_err(|e| Error::io("sync", self.disk.path(""), &e))
    }
}

/// Durably marks a directory as one that is being changed, and as one that has a replica.
pub(crate) fn begin(disk: &dyn Disk, store: StoreId) -> Result<()> {
    make_mark(disk, file_names::MIRRORING)?;
    disk.sync_names()
        .map_err(|e| Error::io("create", disk.path(file_names::MIRRORING), &e))?;
    identity::set_replica(disk, store, true)
}

/// Creates a file whose contents are ignored.
fn make_mark(disk: &dyn Disk, name: &str) -> Result<()> {
    let made = match disk.create(name) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        // On a full disk, files that can be created again are used instead.
        Err(e) => {
            let files = [file_names::CLOSING, file_names::CLOSED, file_names::SCRATCH];
            let renamed = files.iter().any(|file| disk.rename(file, name).is_ok());
            if renamed { Ok(()) } else { Err(e) }
        }
        Ok(_) => Ok(()),
    };
    made.map_err(|e| Error::io("create", disk.path(name), &e))
}

/// What identifies a pack's file among all packs with the same events.
pub(crate) fn tail_of(file: &dyn File) -> std::io::Result<u128> {
    let len = file.len()?;
    let at = len.checked_sub(TAIL_BYTES).ok_or(ErrorKind::InvalidData)?;
    let mut tail = [0; 16];
    file.read_exact_at(&mut tail, at)?;
    Ok(u128::from_le_bytes(tail))
}
