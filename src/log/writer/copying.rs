//! Copies the log of another store: writes its frames at the places that they have there.

use std::io::ErrorKind;
use std::sync::Arc;

use super::LogWriter;
use crate::log::disk::memory::MemoryDisk;
use crate::log::disk::{Disk, File};
use crate::log::file_names;
use crate::log::frame::{Binding, Frame};
use crate::log::preallocation::{Preallocation, Prepared};
use crate::log::segment::{SEGMENT_HEADER_BYTES, Segment, SegmentHeader};
use crate::model::error::{Error, Result};
use crate::model::store_id::StoreId;

/// The file of a segment grows by this many bytes at once, because a sync is cheaper if the file's
/// size does not change.
const STEP_BYTES: u64 = 1 << 20;
const HEADER_BYTES: u64 = SEGMENT_HEADER_BYTES as u64;

/// Consecutive bytes of a segment that another store wrote: whole frames and, if the offset is 0,
/// the segment's header before them.
#[derive(Clone, Copy)]
pub(crate) struct Piece<'b> {
    pub(crate) epoch: u64,
    pub(crate) offset: u64,
    pub(crate) bytes: &'b [u8],
}

/// A frame of a piece, and its offset in the segment.
pub(crate) type PlacedFrame<'b> = (u64, Frame<'b>);

impl LogWriter {
    /// Continues the copy of a log whose last segment, if there is one, ends at `end`.
    pub(crate) fn copying(
        disk: Arc<dyn Disk>,
        store: StoreId,
        preallocation: Arc<Preallocation>,
        last: Option<(Arc<Segment>, u64)>,
        next_lsn: u64,
    ) -> Result<LogWriter> {
        let Some((last, end)) = last else {
            return LogWriter::without_segment(disk, store, preallocation, next_lsn);
        };
        let failed = |e| Error::io("write", &last.path, &e);
        let file = disk.open_to_write(&last.name).map_err(failed)?;
        // A crash may have left part of a frame.
        file.cut(end).map_err(failed)?;
        // The disk does not reopen a file whose length has changed, unless it is open for writing.
        last.file.replace(file.clone());
        Ok(LogWriter {
            disk,
            store,
            preallocation,
            active: last,
            file,
            end,
            capacity: end,
            on_reserve: false,
            next_lsn,
            synced_lsn: next_lsn - 1,
            unbegun: None,
            outbox: None,
        })
    }

    /// A log whose segments are all packed. The first piece begins one.
    fn without_segment(
        disk: Arc<dyn Disk>,
        store: StoreId,
        preallocation: Arc<Preallocation>,
        next_lsn: u64,
    ) -> Result<LogWriter> {
        let memory = MemoryDisk::default();
        let name = file_names::segment(0);
        let prepared = Prepared {
            epoch: 0,
            bytes: HEADER_BYTES,
            file: Segment::prepare(&memory, &name, HEADER_BYTES)?,
            is_reserve: false,
        };
        let begun = LogWriter::begin(
            Arc::new(memory),
            store,
            preallocation,
            prepared,
            next_lsn,
            (0, 0),
            None,
        );
        begun.map(|log| LogWriter { disk, ..log })
    }

    /// Whether the log continues with this piece, whose first event has this LSN.
    pub(crate) fn continues_with(&self, piece: &Piece<'_>, first_lsn: u64) -> bool {
        let active = self.active.header.epoch;
        if first_lsn != self.next_lsn {
            return false;
        }
        if piece.epoch == active {
            // The header of an empty segment may be repeated.
            let is_empty = self.end == HEADER_BYTES;
            return piece.offset == self.end || (piece.offset == 0 && is_empty);
        }
        let header = piece.header(self.store);
        header.is_some_and(|header| {
            let follows = (header.previous_epoch, header.previous_end) == (active, self.end);
            header.first_lsn == first_lsn && (follows || active == 0)
        })
    }

    /// Whether a piece begins a segment. Before it is copied, everything must be synced.
    pub(crate) fn begins_with(&self, piece: &Piece<'_>) -> bool {
        piece.epoch != self.active.header.epoch
    }

    /// Writes a piece with which the log continues. It becomes durable with the next
    /// [`LogWriter::sync`]. Returns its frames, and the segment that ended before the piece. After
    /// an error, the log has not changed, and the call can be repeated.
    pub(crate) fn copy<'b>(
        &mut self,
        piece: &Piece<'b>,
    ) -> Result<(Vec<PlacedFrame<'b>>, Option<Arc<Segment>>)> {
        let frames = self.frames_of(piece)?;
        let begun = match self.begins_with(piece) {
            true => Some(self.begin_copy(piece)?),
            false => None,
        };
        let (file, path, capacity) = match &begun {
            Some((segment, file)) => (file, &segment.path, file.len()),
            None => (&self.file, &self.active.path, Ok(self.capacity)),
        };
        let failed = |e| Error::io("write", path, &e);
        let mut capacity = capacity.map_err(failed)?;
        let end = piece.offset + piece.bytes.len() as u64;
        file.write_all_at(piece.bytes, piece.offset)
            .map_err(failed)?;
        if end > capacity {
            let step = STEP_BYTES.min(self.preallocation.segment_bytes());
            file.write_all_at(&vec![0; step as usize], end)
                .map_err(failed)?;
            capacity = end + step;
        }
        let sealed = begun.map(|(segment, file)| {
            let bytes = self.preallocation.segment_bytes();
            self.preallocation.note_to_pack(piece.epoch, bytes);
            self.active.seal(self.end);
            self.file = file;
            std::mem::replace(&mut self.active, Arc::new(segment))
        });
        (self.end, self.capacity) = (end, capacity);
        for (at, frame) in &frames {
            self.active.note_frame(frame.first_lsn, *at);
            self.next_lsn = frame.first_lsn + frame.count;
        }
        Ok((frames, sealed))
    }

    /// The frames of a piece. A frame that a reader would reject is never written.
    fn frames_of<'b>(&self, piece: &Piece<'b>) -> Result<Vec<PlacedFrame<'b>>> {
        let binding = Binding {
            store: self.store,
            epoch: piece.epoch,
        };
        let (mut at, mut lsn) = (0, self.next_lsn);
        if piece.offset == 0 {
            at = SEGMENT_HEADER_BYTES;
        }
        let mut frames = Vec::new();
        while at < piece.bytes.len() {
            let place = piece.offset + at as u64;
            let frame = Frame::parse(&piece.bytes[at..], binding);
            let whole = frame.filter(|frame| {
                let events = frame.events(|_, _, _| Ok::<(), ()>(()));
                frame.first_lsn == lsn && events == Ok(true)
            });
            let Some(frame) = whole else {
                let path = self.disk.path(&file_names::segment(piece.epoch));
                let what = "the replica contains an invalid frame for this place";
                return Err(Error::damaged(path, place, what));
            };
            frames.push((place, frame));
            at += frame.len();
            lsn += frame.count;
        }
        Ok(frames)
    }

    /// Creates the file of a new segment, and makes its header durable before any frame is written.
    fn begin_copy(&self, piece: &Piece<'_>) -> Result<(Segment, Arc<dyn File>)> {
        let name = file_names::segment(piece.epoch);
        let failed = |e| Error::io("create", self.disk.path(&name), &e);
        let file = match self.disk.open_to_write(&name) {
            Err(e) if e.kind() == ErrorKind::NotFound => self.disk.create(&name),
            // An earlier attempt failed.
            opened => opened.and_then(|file| file.cut(0).map(|()| file)),
        };
        let file = file.map_err(failed)?;
        let header = piece.header(self.store).ok_or_else(|| {
            let path = self.disk.path(&name);
            Error::damaged(path, 0, "the replica contains an invalid header")
        })?;
        let segment = Segment::begin(&*self.disk, file.clone(), header, self.store)?;
        self.disk.sync_names().map_err(failed)?;
        Ok((segment, file))
    }
}

impl Piece<'_> {
    /// The header of the segment, if the piece begins with it.
    fn header(&self, store: StoreId) -> Option<SegmentHeader> {
        let header = self.bytes.get(..SEGMENT_HEADER_BYTES)?;
        let header = SegmentHeader::decode(header.try_into().ok()?, store)?;
        (self.offset == 0 && header.epoch == self.epoch).then_some(header)
    }
}

#[cfg(all(test, not(jobstore_shuttle)))]
mod tests {
    use super::*;
    use crate::log::disk::bounded::pool::OPEN_MAX;
    use crate::log::disk::bounded::{BoundedDisk, FileAccess};
    use crate::log::event::Event;
    use crate::log::frame::Builder;
    use crate::log::preallocation::Room;
    use crate::log::segment::SegmentFile;

    const STORE: StoreId = StoreId(9);
    const SEGMENT_BYTES: u64 = 64 << 10;

    fn append(log: &mut LogWriter, open_number: u64) {
        let mut frame = Builder::default();
        frame.clear();
        let time_ms = 1;
        frame.push(&Event::StoreOpened {
            open_number,
            time_ms,
        });
        assert!(log.append(&mut frame, Room::Opening).is_ok());
    }

    /// Reads all events after the disk had to close the file.
    fn opens(disk: &Arc<dyn Disk>, segment: &Segment) -> Vec<u64> {
        let other = |n: usize| {
            let name = format!("other-{n}");
            disk.open(&name).or_else(|_| disk.create(&name)).unwrap()
        };
        let others: Vec<_> = (0..3 * OPEN_MAX).map(other).collect();
        let mut found = Vec::new();
        segment
            .each_event(|_, event| {
                if let Event::StoreOpened { open_number, .. } = event {
                    found.push(*open_number);
                }
            })
            .unwrap();
        drop(others);
        found
    }

    #[test]
    fn a_copy_grows_with_the_log_and_can_be_read_at_any_time() {
        let source: Arc<dyn Disk> = Arc::new(MemoryDisk::default());
        let preallocation = Arc::new(Preallocation::new(5, SEGMENT_BYTES));
        let prepared = preallocation.take(&*source, 0, Room::Ordinary).unwrap();
        let log = LogWriter::begin(source, STORE, preallocation, prepared, 1, (0, 0), None);
        let mut log = log.unwrap();
        let memory = Arc::new(MemoryDisk::default());
        let disk: Arc<dyn Disk> = Arc::new(BoundedDisk::new(memory, FileAccess::ReadWrite));
        let copying = |last, next_lsn| {
            let preallocation = Arc::new(Preallocation::new(1, SEGMENT_BYTES));
            LogWriter::copying(disk.clone(), STORE, preallocation, last, next_lsn).unwrap()
        };
        let mut copy = copying(None, 1);
        let mut expected = Vec::new();
        let mut from = 0;
        for n in 1..=20 {
            append(&mut log, n);
            expected.push(n);
            let mut bytes = vec![0; (log.end() - from) as usize];
            log.active().file.read_exact_at(&mut bytes, from).unwrap();
            let piece = Piece {
                epoch: 5,
                offset: from,
                bytes: &bytes,
            };
            assert!(!copy.continues_with(&piece, n + 1));
            assert!(copy.continues_with(&piece, n));
            let (frames, _) = copy.copy(&piece).unwrap();
            assert_eq!(frames.len(), 1);
            assert!(!copy.continues_with(&piece, n + 1), "the place is taken");
            copy.sync().unwrap();
            assert_eq!(opens(&disk, copy.active()), expected);
            from = log.end();
            if n % 5 == 0 {
                // Another open, after a crash that left part of a frame.
                let file = disk.open_to_write(&file_names::segment(5)).unwrap();
                file.write_all_at(&bytes[..bytes.len() - 1], from).unwrap();
                file.sync().unwrap();
                let SegmentFile::Segment(last) = Segment::open(&*disk, 5, STORE).unwrap() else {
                    panic!("it was used");
                };
                let all = last.read_all().unwrap();
                let scanned = last.scan_events(&all, None, |_, _, _| Ok::<(), Error>(()));
                let scanned = scanned.unwrap();
                last.note_frames(scanned.frames);
                assert_eq!(scanned.end, from);
                copy = copying(Some((Arc::new(last), scanned.end)), n + 1);
                assert_eq!(opens(&disk, copy.active()), expected);
            }
        }
        let mut bytes = vec![0; from as usize];
        log.active().file.read_exact_at(&mut bytes, 0).unwrap();
        let piece = Piece {
            epoch: 5,
            offset: from,
            bytes: &bytes[SEGMENT_HEADER_BYTES..],
        };
        assert!(copy.copy(&piece).is_err(), "these frames are earlier ones");
    }
}
