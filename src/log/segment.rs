//! A segment: one file of the log. This module creates segments, and reads them frame by frame.
//!
//! A torn end is distinguished from damage. If the next segment records where this segment ended,
//! this segment must end exactly there.

use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::sync::{OnceLock, RwLock};

use crate::base::codec::{NUMBER_MAX, u32_at, u64_at, u128_at};
use crate::log::clock_mark::ClockMark;
use crate::log::disk::{Disk, File};
use crate::log::event::Event;
use crate::log::file_names;
use crate::log::format::{self, FORMAT};
use crate::log::frame::{Binding, Frame, HEADER_BYTES, holds_a_frame, later_frame_vouches_for};
use crate::log::revocable::Revocable;
use crate::model::error::{Error, Result};
use crate::model::store_id::StoreId;

/// The fields and their sizes in bytes: magic 8, format 4, CRC 4, epoch 8, store id 16, first LSN
/// 8, previous epoch 8, previous end 8.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 64;
const MAGIC: &[u8; 8] = b"JOBSLOG\0";
/// Zeros are written and synced in steps of this size, so that commits that sync at the same time
/// are not delayed for long.
const ZERO_STEP_BYTES: usize = 512 << 10;
/// The approximate size of the frames that are read together.
const STRETCH_BYTES: u64 = 32 << 10;

/// The fields of a segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) epoch: u64,
    pub(crate) first_lsn: u64,
    /// The epoch of the previous segment, and the offset after its last frame. A crash may have
    /// left torn bytes after that offset. Both are 0 if there was no previous segment.
    pub(crate) previous_epoch: u64,
    pub(crate) previous_end: u64,
}

impl SegmentHeader {
    pub(super) fn encode(self, store: StoreId) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut out = [0; SEGMENT_HEADER_BYTES];
        out[0..8].copy_from_slice(MAGIC);
        out[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        out[16..24].copy_from_slice(&self.epoch.to_le_bytes());
        out[24..40].copy_from_slice(&store.0.to_le_bytes());
        out[40..48].copy_from_slice(&self.first_lsn.to_le_bytes());
        out[48..56].copy_from_slice(&self.previous_epoch.to_le_bytes());
        out[56..64].copy_from_slice(&self.previous_end.to_le_bytes());
        let crc = header_crc(&out);
        out[12..16].copy_from_slice(&crc.to_le_bytes());
        out
    }
}

impl SegmentHeader {
    /// Reads a header. Returns `None` if a store would not have written exactly these bytes.
    pub(super) fn decode(
        bytes: &[u8; SEGMENT_HEADER_BYTES],
        store: StoreId,
    ) -> Option<SegmentHeader> {
        let header = SegmentHeader {
            epoch: u64_at(bytes, 16),
            first_lsn: u64_at(bytes, 40),
            previous_epoch: u64_at(bytes, 48),
            previous_end: u64_at(bytes, 56),
        };
        let is_possible = (1..NUMBER_MAX).contains(&header.first_lsn);
        (is_possible && *bytes == header.encode(store)).then_some(header)
    }
}

/// The checksum of a header, excluding the checksum itself.
fn header_crc(header: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&header[..12]);
    crc.update(&header[16..]);
    crc.finalize()
}

/// A segment that is open for reading. The log also appends to the last one.
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    pub(crate) file: Arc<Revocable>,
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    binding: Binding,
    /// The first LSN and the offset of every frame, used to look up events.
    frames: RwLock<Vec<(u64, u64)>>,
    /// The offset after the last frame, once nothing more will be appended.
    end: OnceLock<u64>,
}

/// The result of scanning a segment.
pub(crate) struct Scanned {
    /// The offset after the last frame.
    pub(crate) end: u64,
    pub(crate) next_lsn: u64,
    /// The clocks in the last frame.
    pub(crate) clock: Option<ClockMark>,
    /// The highest synced LSN in the frames.
    pub(crate) synced_lsn: u64,
    /// The first LSN and the offset of every frame.
    pub(crate) frames: Vec<(u64, u64)>,
}

/// The result of opening a segment's file.
pub(crate) enum SegmentFile {
    Segment(Segment),
    /// Preallocated, but never written to.
    Unused,
}

impl Segment {
    /// Creates a file of zeros, and makes its contents and name durable. A sparse file is not
    /// enough: a sync is cheaper if the blocks are already allocated, because then the metadata
    /// does not change.
    pub(crate) fn prepare(disk: &dyn Disk, name: &str, bytes: u64) -> Result<Arc<dyn File>> {
        let path = disk.path(name);
        let failed = |e| Error::io("create", &path, &e);
        let file = match disk.create(name) {
            // An earlier attempt failed, and could not remove the file.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                disk.remove(name).and_then(|()| disk.create(name))
            }
            created => created,
        };
        let file = file.map_err(failed)?;
        Segment::fill(disk, name, &*file, bytes)?;
        Ok(file)
    }

    /// Fills an empty file with zeros and makes its contents and name durable. Removes the file on
    /// failure.
    pub(crate) fn fill(disk: &dyn Disk, name: &str, file: &dyn File, bytes: u64) -> Result<()> {
        let filled = Segment::zero(file, 0..bytes).and_then(|()| disk.sync_names());
        filled.map_err(|e| {
            // An incomplete file is useless. If it cannot be removed, the next open removes it.
            disk.remove(name).ok();
            Error::io("create", disk.path(name), &e)
        })
    }

    /// Durably overwrites a range of a file with zeros.
    pub(crate) fn zero(file: &dyn File, range: Range<u64>) -> io::Result<()> {
        let Range { start: mut at, end } = range;
        let zeros = vec![0; ZERO_STEP_BYTES.min((end - at) as usize)];
        while at < end {
            let step = zeros.len().min((end - at) as usize);
            file.write_all_at(&zeros[..step], at)?;
            file.sync()?;
            at += step as u64;
        }
        Ok(())
    }

    /// Writes the header to a preallocated file. The header is durable before any frame is written.
    /// An invalid header therefore means that the segment was never used, or that it is damaged.
    pub(crate) fn begin(
        disk: &dyn Disk,
        file: Arc<dyn File>,
        header: SegmentHeader,
        store: StoreId,
    ) -> Result<Segment> {
        let name = file_names::segment(header.epoch);
        let path = disk.path(&name);
        file.write_all_at(&header.encode(store), 0)
            .and_then(|()| file.sync())
            .map_err(|e| Error::io("write", &path, &e))?;
        Ok(Segment {
            header,
            file: Arc::new(Revocable::new(file)),
            name,
            path,
            binding: Binding {
                store,
                epoch: header.epoch,
            },
            frames: RwLock::default(),
            end: OnceLock::new(),
        })
    }

    /// Returns the store id in a segment's header, if the header is valid.
    pub(crate) fn store_in(header: &[u8]) -> Option<StoreId> {
        let header = header.get(..SEGMENT_HEADER_BYTES)?;
        let valid = header[..8] == MAGIC[..] && u32_at(header, 12) == header_crc(header);
        valid.then(|| StoreId(u128_at(header, 24)))
    }

    /// Opens a segment and reads its header.
    pub(crate) fn open(disk: &dyn Disk, epoch: u64, store: StoreId) -> Result<SegmentFile> {
        let name = file_names::segment(epoch);
        let path = disk.path(&name);
        let failed = |e| Error::io("read", &path, &e);
        let file = disk.open(&name).map_err(failed)?;
        let len = file.len().map_err(failed)?;
        let mut header = [0; SEGMENT_HEADER_BYTES];
        let found = len.min(SEGMENT_HEADER_BYTES as u64) as usize;
        file.read_exact_at(&mut header[..found], 0)
            .map_err(failed)?;
        let is_whole = header[..8] == MAGIC[..] && u32_at(&header, 12) == header_crc(&header);
        if is_whole {
            format::check(u32_at(&header, 8), &disk.path(""))?;
        }
        // Headers usually end in zeros, so a truncated one could look complete.
        let is_cut = found < SEGMENT_HEADER_BYTES;
        let parsed = SegmentHeader::decode(&header, store);
        let parsed = parsed.filter(|parsed| parsed.epoch == epoch && !is_cut);
        let Some(parsed) = parsed else {
            let mut bytes = vec![0; len as usize];
            file.read_exact_at(&mut bytes, 0).map_err(failed)?;
            // A complete header of another store is not something that a crash leaves.
            if is_whole || holds_a_frame(&bytes, Binding { store, epoch }) {
                let what = "invalid header, or the file belongs to another store";
                return Err(Error::damaged(&path, 0, what));
            }
            return Ok(SegmentFile::Unused);
        };
        let segment = Segment {
            header: parsed,
            file: Arc::new(Revocable::new(file)),
            name,
            path,
            binding: Binding { store, epoch },
            frames: RwLock::default(),
            end: OnceLock::new(),
        };
        Ok(SegmentFile::Segment(segment))
    }

    pub(crate) fn binding(&self) -> Binding {
        self.binding
    }

    /// Returns the offset after the last frame, once nothing more will be appended.
    pub(crate) fn end(&self) -> Option<u64> {
        self.end.get().copied()
    }

    /// Records that nothing will be appended after this offset.
    pub(crate) fn seal(&self, end: u64) {
        // A segment is sealed once. A second call would have the same value.
        self.end.set(end).ok();
    }

    /// Reads the whole file again.
    pub(crate) fn read_all(&self) -> Result<Vec<u8>> {
        let failed = |e| Error::io("read", &self.path, &e);
        let len = self
            .end()
            .map_or_else(|| self.file.len(), Ok)
            .map_err(failed)?;
        let mut bytes = vec![0; len as usize];
        self.file.read_exact_at(&mut bytes, 0).map_err(failed)?;
        Ok(bytes)
    }

    /// Sets the positions of all frames.
    pub(crate) fn note_frames(&self, frames: Vec<(u64, u64)>) {
        *self.frames.write() = frames;
    }

    /// Adds the position of a frame.
    pub(crate) fn note_frame(&self, first_lsn: u64, at: u64) {
        self.frames.write().push((first_lsn, at));
    }

    /// Scans the frames of a whole segment. Returns the end and the next LSN.
    ///
    /// `end` is the offset after the last frame, if known. Otherwise, the end is the first offset
    /// without a valid frame. If a later frame has a synced LSN that covers what is missing at that
    /// offset, the segment is damaged.
    fn scan<'b, E: From<Error>>(
        &self,
        bytes: &'b [u8],
        end: Option<u64>,
        mut each: impl FnMut(u64, Frame<'b>) -> Result<(), E>,
    ) -> Result<(u64, u64), E> {
        let mut at = SEGMENT_HEADER_BYTES;
        let mut lsn = self.header.first_lsn;
        loop {
            if end == Some(at as u64) {
                break;
            }
            let rest = bytes.get(at..).unwrap_or_default();
            let frame = Frame::parse(rest, self.binding).filter(|f| f.first_lsn == lsn);
            let Some(frame) = frame else {
                let synced = later_frame_vouches_for(rest, self.binding, lsn);
                if end.is_some() || synced {
                    let what = format!("invalid frame at log sequence number {lsn}");
                    return Err(Error::damaged(&self.path, at as u64, what).into());
                }
                break;
            };
            each(at as u64, frame)?;
            at += frame.len();
            lsn += frame.count;
            if end.is_some_and(|end| at as u64 > end) {
                let what = "the last frame does not end where recorded";
                return Err(Error::damaged(&self.path, at as u64, what).into());
            }
        }
        Ok((at as u64, lsn))
    }

    /// Returns the offset after the frames that can be read, whatever follows them.
    pub(crate) fn readable_end(&self, bytes: &[u8]) -> usize {
        let (mut at, mut lsn) = (SEGMENT_HEADER_BYTES, self.header.first_lsn);
        while let Some(frame) = bytes
            .get(at..)
            .and_then(|rest| Frame::parse(rest, self.binding))
            .filter(|frame| frame.first_lsn == lsn)
        {
            at += frame.len();
            lsn += frame.count;
        }
        at.min(bytes.len())
    }

    /// Scans the events of a whole segment. Calls `each` with the LSN of each event, the event, and
    /// the offset after it. `end` is as in `scan`.
    pub(crate) fn scan_events<'b, E: From<Error>>(
        &self,
        bytes: &'b [u8],
        end: Option<u64>,
        mut each: impl FnMut(u64, Event<'b>, u64) -> Result<(), E>,
    ) -> Result<Scanned, E> {
        let (mut frames, mut clock, mut synced_lsn) = (Vec::new(), None, 0);
        let (end, next_lsn) = self.scan::<E>(bytes, end, |at, frame| {
            clock = Some(frame.clock);
            synced_lsn = frame.synced_lsn.max(synced_lsn);
            frames.push((frame.first_lsn, at));
            let payload_at = at + HEADER_BYTES as u64;
            let whole = frame
                .events(|lsn, event, event_end| each(lsn, event, payload_at + event_end as u64))?;
            match whole {
                true => Ok(()),
                false => Err(self.not_events(at).into()),
            }
        })?;
        Ok(Scanned {
            end,
            next_lsn,
            clock,
            synced_lsn,
            frames,
        })
    }

    fn not_events(&self, at: u64) -> Error {
        Error::damaged(&self.path, at, "invalid events in a frame")
    }

    /// Rewrites and syncs all frames that no synced LSN covers, because they may be only in the
    /// system's cache. Syncing alone is not enough: after an earlier failed sync, the cache may
    /// treat them as already written.
    pub(crate) fn make_durable(&self, disk: &dyn Disk, bytes: &[u8]) -> Result<()> {
        let mut synced_lsn = 0;
        let mut frames = Vec::new();
        self.scan::<Error>(bytes, None, |at, frame| {
            synced_lsn = synced_lsn.max(frame.synced_lsn);
            frames.push((
                frame.first_lsn + frame.count - 1,
                at,
                at + frame.len() as u64,
            ));
            Ok(())
        })?;
        let in_doubt = frames.iter().find(|&&(last_lsn, ..)| last_lsn > synced_lsn);
        let in_doubt = in_doubt.map(|&(_, from, _)| from..frames[frames.len() - 1].2);
        let rewrite = || {
            let file = disk.open_to_write(&self.name)?;
            file.write_all_at(&bytes[..SEGMENT_HEADER_BYTES], 0)?;
            if let Some(Range { start, end }) = in_doubt {
                file.write_all_at(&bytes[start as usize..end as usize], start)?;
            }
            file.sync()
        };
        rewrite().map_err(|e| Error::io("sync", &self.path, &e))
    }

    /// Calls `each` with the events of all frames that exist when this is called, frame by frame.
    pub(crate) fn each_event(&self, mut each: impl FnMut(u64, &Event<'_>)) -> Result<()> {
        let frames = self.frames.read().clone();
        frames
            .into_iter()
            .try_for_each(|(first_lsn, _)| self.events_near(first_lsn, &mut each))
    }

    /// Calls `each` with the events of the frame that contains this LSN, and with those of the next
    /// frames, about 32 KiB in total.
    pub(crate) fn events_from(
        &self,
        lsn: u64,
        mut each: impl FnMut(u64, &Event<'_>),
    ) -> Result<()> {
        let (at, last) = {
            let frames = self.frames.read();
            let after = frames.partition_point(|&(first, _)| first <= lsn);
            let Some(n) = after.checked_sub(1) else {
                return Ok(());
            };
            let at = frames[n].1;
            let end = frames[n..].partition_point(|&(_, place)| place < at + STRETCH_BYTES);
            (at, frames[n + end - 1].1)
        };
        let failed = |e| Error::io("read", &self.path, &e);
        let mut bytes = vec![0; (last - at) as usize + HEADER_BYTES];
        self.file.read_exact_at(&mut bytes, at).map_err(failed)?;
        let whole = bytes.len();
        let len = u32_at(&bytes[whole - HEADER_BYTES..], 8);
        if last + HEADER_BYTES as u64 + u64::from(len) > self.file.len().map_err(failed)? {
            // The last frame is damaged. The frame with this LSN can still be read.
            return self.events_near(lsn, each);
        }
        bytes.resize(whole + len as usize, 0);
        let rest = &mut bytes[whole..];
        self.file
            .read_exact_at(rest, last + HEADER_BYTES as u64)
            .map_err(failed)?;
        let mut done = 0;
        while done < bytes.len() {
            let place = at + done as u64;
            let Some(frame) = Frame::parse(&bytes[done..], self.binding) else {
                // If the caller continues from here, it encounters the invalid frame again and
                // reports it.
                let what = "a frame that was valid before is now invalid";
                let damaged = || Err(Error::damaged(&self.path, place, what));
                return if done > 0 { Ok(()) } else { damaged() };
            };
            let is_whole = frame.events(|lsn, event, _| {
                each(lsn, &event);
                Ok::<(), Error>(())
            })?;
            if !is_whole {
                return Err(self.not_events(place));
            }
            done += frame.len();
        }
        Ok(())
    }

    /// Calls `each` with the events of the frame that contains this LSN.
    pub(crate) fn events_near(
        &self,
        lsn: u64,
        mut each: impl FnMut(u64, &Event<'_>),
    ) -> Result<()> {
        let place = {
            let frames = self.frames.read();
            let after = frames.partition_point(|&(first, _)| first <= lsn);
            after.checked_sub(1).map(|n| frames[n].1)
        };
        let Some(at) = place else {
            return Ok(());
        };
        let failed = |e| Error::io("read", &self.path, &e);
        let mut bytes = vec![0; HEADER_BYTES];
        self.file.read_exact_at(&mut bytes, at).map_err(failed)?;
        let len = HEADER_BYTES + u32_at(&bytes, 8) as usize;
        if at + len as u64 > self.file.len().map_err(failed)? {
            return Err(Error::damaged(&self.path, at, "invalid frame length"));
        }
        bytes.resize(len, 0);
        self.file.read_exact_at(&mut bytes, at).map_err(failed)?;
        let frame = Frame::parse(&bytes, self.binding).ok_or_else(|| {
            Error::damaged(
                &self.path,
                at,
                "a frame that was valid before is now invalid",
            )
        })?;
        let whole = frame.events(|lsn, event, _| {
            each(lsn, &event);
            Ok::<(), Error>(())
        })?;
        match whole {
            true => Ok(()),
            false => Err(self.not_events(at)),
        }
    }
}
