//! The segments that contain the rest of the log, frame by frame.

use std::collections::{BTreeMap, BTreeSet};

use super::log_range::{LogRange, RangeSource, extend};
use super::segments::{FrameSurvey, Hole, SegmentSurvey, frame_events};
use super::tally::Tally;
use super::{OnRead, Survey};
use crate::base::codec::NUMBER_MAX;
use crate::log::disk::Disk;
use crate::log::event::Event;
use crate::log::file_names;
use crate::log::frame::{Binding, frames_anywhere};
use crate::log::segment::{SEGMENT_HEADER_BYTES, Segment, SegmentFile};
use crate::model::error::{Error, Result};

impl Survey {
    pub(super) fn segments(
        &mut self,
        disk: &dyn Disk,
        names: &[String],
        on_read: OnRead<'_>,
    ) -> Result<()> {
        let epochs: BTreeSet<u64> = names
            .iter()
            .filter_map(|name| file_names::segment_epoch(name))
            .collect();
        let mut found = Vec::new();
        for epoch in epochs {
            if let Some(segment) = self.find_segment(disk, epoch)? {
                on_read(segment.len)?;
                found.push(segment);
            }
        }
        let packed = self.next_lsn();
        let (found, gone): (Vec<_>, Vec<_>) = found
            .into_iter()
            .partition(|segment: &SegmentSurvey| segment.first_lsn() >= packed);
        // A segment that is already packed may be incomplete. However, its header must be valid, so
        // that an open can see that the segment is packed.
        for segment in gone {
            let (lsn, is_whole) = (segment.first_lsn(), segment.header.is_some());
            let at = self.log_ranges.partition_point(|s| s.last_lsn < lsn);
            let is_packed_well = self.log_ranges.get(at).is_none_or(|s| s.is_sound);
            if !is_whole {
                self.damaged(&segment.no_header(), 0, 0)?;
            }
            if !is_whole || !is_packed_well {
                self.unreadable.push(segment.name);
            }
        }
        let firsts: Vec<u64> = found.iter().map(SegmentSurvey::first_lsn).collect();
        let closed_lsn = self.closed.as_ref().map(|closed| closed.end.lsn + 1);
        let mut previous: Option<(u64, u64)> = None;
        for (n, mut segment) in found.into_iter().enumerate() {
            let first_lsn = firsts[n];
            if first_lsn > self.next_lsn() {
                self.note_missing(disk, first_lsn - 1)?;
            }
            let mut joins = segment.header.is_some();
            if let (Some((_, before, end)), Some(previous)) = (segment.header, previous) {
                if previous != (before, end) {
                    joins = false;
                    let what = "the previous segment is missing or truncated";
                    self.damaged(&Error::damaged(&segment.path, 0, what), 0, 0)?;
                }
            }
            let limit = firsts.get(n + 1).copied().or(closed_lsn);
            let mut holes = segment.keep(self.next_lsn(), limit);
            let end = segment.frames.last().map(|f| f.at + f.len);
            previous = Some((segment.epoch, end.unwrap_or(SEGMENT_HEADER_BYTES as u64)));
            if segment.header.is_none() {
                self.damaged(&segment.no_header(), 0, 0)?;
            }
            self.files += 1;
            self.bytes += segment.len;
            self.segment(disk, segment, &mut holes, joins)?;
        }
        if let Some(next) = closed_lsn {
            if next > self.next_lsn() {
                self.note_missing(disk, next - 1)?;
            } else if next < self.next_lsn() {
                let what = "the log continues past the point where it was closed";
                self.closed_is_damaged = true;
                let error = Error::damaged(disk.path(file_names::CLOSED), 0, what);
                self.damaged(&error, 0, 0)?;
            }
        }
        Ok(())
    }

    /// Finds the frames of a segment, wherever they are in the file.
    fn find_segment(&mut self, disk: &dyn Disk, epoch: u64) -> Result<Option<SegmentSurvey>> {
        let name = file_names::segment(epoch);
        let path = disk.path(&name);
        let header = match Segment::open(disk, epoch, self.store) {
            Ok(SegmentFile::Unused) => return Ok(None),
            Ok(SegmentFile::Segment(segment)) => {
                let header = segment.header;
                Some((header.first_lsn, header.previous_epoch, header.previous_end))
            }
            Err(Error::Damaged { .. } | Error::Io { .. }) => None,
            Err(error) => return Err(error),
        };
        let mut segment = SegmentSurvey {
            epoch,
            name,
            path,
            binding: Binding {
                store: self.store,
                epoch,
            },
            header,
            frames: Vec::new(),
            synced_lsn: 0,
            len: 0,
        };
        let bytes = segment.read(disk)?;
        segment.len = bytes.len() as u64;
        let mut end = 0;
        for (at, frame) in frames_anywhere(&bytes, segment.binding) {
            if at >= end && frame_events(&frame).is_some() {
                segment.frames.push(FrameSurvey {
                    first_lsn: frame.first_lsn,
                    count: frame.count,
                    synced_lsn: frame.synced_lsn,
                    clock: frame.clock,
                    at: at as u64,
                    len: frame.len() as u64,
                });
                end = at + frame.len();
            } else if at >= end {
                let before = frame.first_lsn.saturating_sub(1);
                let vouched = frame.synced_lsn.min(before).min(NUMBER_MAX - 1);
                segment.synced_lsn = segment.synced_lsn.max(vouched);
            }
        }
        if header.is_none() && segment.frames.is_empty() {
            // Nothing is known about this segment: it may belong to another store.
            self.damaged(&segment.no_header(), 0, 0)?;
            self.unreadable.push(segment.name);
            return Ok(None);
        }
        Ok(Some(segment))
    }

    /// Adds a segment whose valid frames have been selected.
    fn segment(
        &mut self,
        disk: &dyn Disk,
        segment: SegmentSurvey,
        holes: &mut Vec<Hole>,
        joins: bool,
    ) -> Result<()> {
        let first_lsn = self.next_lsn();
        let mut tally = Tally::default();
        let mut spans: BTreeMap<u32, Vec<(u64, u64)>> = BTreeMap::new();
        let bytes = segment.read(disk)?;
        let mut last_lsn = first_lsn - 1;
        let lost = holes.iter().find(|hole| hole.first_lsn <= hole.last_lsn);
        let first_lost = lost.map_or(u64::MAX, |hole| hole.first_lsn);
        let mut required: BTreeMap<u32, u64> = BTreeMap::new();
        for frame in &segment.frames {
            for (lsn, event) in segment.events(frame, &bytes)? {
                tally.event(&event);
                if let Some((graph, jobs)) = jobs_before(&event).filter(|_| lsn < first_lost) {
                    if !spans.contains_key(&graph) {
                        let most = required.entry(graph).or_default();
                        *most = jobs.max(*most);
                    }
                }
                if let Event::Submitted {
                    graph, sequence, ..
                } = event
                {
                    extend(spans.entry(graph).or_default(), sequence, sequence + 1);
                }
            }
            last_lsn = frame.first_lsn + frame.count - 1;
        }
        last_lsn = holes
            .last()
            .map_or(last_lsn, |hole| last_lsn.max(hole.last_lsn));
        for hole in holes.drain(..) {
            let what = format!("invalid frame at log sequence number {}", hole.first_lsn);
            let error = Error::damaged(&segment.path, hole.at, what);
            let events = hole.last_lsn + 1 - hole.first_lsn;
            tally.damage.push((error, 0, events));
        }
        let is_sound = tally.damage.is_empty() && joins;
        let mentioned = std::mem::take(&mut tally.mentioned);
        let created = tally.creates();
        self.take_tally(tally)?;
        if last_lsn < first_lsn {
            if segment.header.is_none() {
                self.unreadable.push(segment.name);
            }
        } else {
            self.log_ranges.push(LogRange {
                first_lsn,
                last_lsn,
                source: RangeSource::Segment(segment),
                is_sound,
                spans,
                mentioned,
                submitted: BTreeMap::new(),
                required,
                created,
            });
        }
        Ok(())
    }
}

/// The graph to which an event refers, and how many jobs of that graph must exist before the event.
fn jobs_before(event: &Event<'_>) -> Option<(u32, u64)> {
    if let Event::Submitted {
        graph, sequence, ..
    } = *event
    {
        return Some((graph, sequence));
    }
    let mut tally = Tally::default();
    tally.event(event);
    tally.mentioned.into_iter().next()
}
