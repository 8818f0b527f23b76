//! The frame: the encoding of a group commit.
//!
//! A frame is valid only in the segment to which it was written. A frame that a reader would reject
//! is detected before it is written.

use crc32fast::Hasher;

use crate::base::codec::{NUMBER_MAX, u32_at, u64_at};
use crate::log::clock_mark::ClockMark;
use crate::log::event::Event;
use crate::model::store_id::StoreId;

/// The fields and their sizes in bytes: magic 4, CRC 4, payload length 4, count 4, first LSN 8,
/// synced LSN 8, age clock 8, system clock 8, drift 8, doubted 8, age clock at the first jump 8.
pub(crate) const HEADER_BYTES: usize = 72;
const MAGIC: u32 = 0x4d52_464a; // "JFRM"
const CRC_END: usize = 8;

/// Binds a frame to its segment. It is included in every checksum, so that old frames in a file,
/// and frames of another store, are invalid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binding {
    pub(crate) store: StoreId,
    pub(crate) epoch: u64,
}

impl Binding {
    fn crc(self, rest_of_header: &[u8], payload: &[u8]) -> u32 {
        let mut crc = self.crc_before_payload(rest_of_header);
        crc.update(payload);
        crc.finalize()
    }

    fn crc_before_payload(self, rest_of_header: &[u8]) -> Hasher {
        let mut crc = Hasher::new();
        crc.update(&self.store.0.to_le_bytes());
        crc.update(&self.epoch.to_le_bytes());
        crc.update(rest_of_header);
        crc
    }
}

/// A frame that is being built. Reused from commit to commit.
#[derive(Default)]
pub(crate) struct Builder {
    pub(super) bytes: Vec<u8>,
    pub(super) count: u32,
    /// The clocks at the commit.
    pub(crate) clock: ClockMark,
    pub(super) is_unreadable: bool,
}

impl Builder {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.resize(HEADER_BYTES, 0);
        self.count = 0;
        self.is_unreadable = false;
    }

    /// Adds an event and returns its end, relative to the start of the frame.
    pub(crate) fn push(&mut self, event: &Event<'_>) -> usize {
        self.is_unreadable |= !event.is_possible();
        event.encode_into(&mut self.bytes);
        self.count += 1;
        self.bytes.len()
    }

    pub(crate) fn count(&self) -> u64 {
        u64::from(self.count)
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns whether the frame contains an event that readers would reject. Writing such an event
    /// would make the log unreadable.
    pub(crate) fn is_unreadable(&self) -> bool {
        self.is_unreadable
    }

    /// Rejects the frame, because an event in it cannot be applied.
    pub(crate) fn set_unreadable(&mut self) {
        self.is_unreadable = true;
    }

    /// Releases memory that a rejected write had reserved.
    pub(crate) fn shrink(&mut self, bytes_max: usize) {
        if self.bytes.capacity() > bytes_max {
            self.bytes = Vec::new();
        }
    }

    /// Completes the header, and returns the bytes to be written.
    pub(crate) fn finish(&mut self, binding: Binding, first_lsn: u64, synced_lsn: u64) -> &[u8] {
        let payload_len = (self.bytes.len() - HEADER_BYTES) as u32;
        let (header, payload) = self.bytes.split_at_mut(HEADER_BYTES);
        header[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        header[8..12].copy_from_slice(&payload_len.to_le_bytes());
        header[12..16].copy_from_slice(&self.count.to_le_bytes());
        header[16..24].copy_from_slice(&first_lsn.to_le_bytes());
        header[24..32].copy_from_slice(&synced_lsn.to_le_bytes());
        header[32..40].copy_from_slice(&self.clock.age_ms.to_le_bytes());
        header[40..48].copy_from_slice(&self.clock.wall_ms.to_le_bytes());
        header[48..56].copy_from_slice(&self.clock.drift_ms.to_le_bytes());
        header[56..64].copy_from_slice(&self.clock.doubted_ms.to_le_bytes());
        header[64..72].copy_from_slice(&self.clock.jumped_at_ms.to_le_bytes());
        let crc = binding.crc(&header[CRC_END..], payload);
        header[4..8].copy_from_slice(&crc.to_le_bytes());
        &self.bytes
    }
}

/// A valid frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) first_lsn: u64,
    pub(crate) count: u64,
    /// The LSN that was known to be synced when this frame was written.
    pub(crate) synced_lsn: u64,
    /// The clocks at the commit.
    pub(crate) clock: ClockMark,
    pub(crate) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Returns the frame at the start of `bytes`, if it is valid.
    pub(crate) fn parse(bytes: &'a [u8], binding: Binding) -> Option<Frame<'a>> {
        let (frame, header) = Frame::claimed(bytes)?;
        let crc = binding.crc(&header[CRC_END..], frame.payload);
        (crc == u32_at(header, 4)).then_some(frame)
    }

    /// Returns the frame that the start of `bytes` claims to be, and its header. The checksum is
    /// not verified.
    fn claimed(bytes: &'a [u8]) -> Option<(Frame<'a>, &'a [u8])> {
        let header = bytes.get(..HEADER_BYTES)?;
        if u32_at(header, 0) != MAGIC {
            return None;
        }
        let payload_len = u32_at(header, 8) as usize;
        let payload = bytes.get(HEADER_BYTES..HEADER_BYTES.checked_add(payload_len)?)?;
        let frame = Frame {
            first_lsn: u64_at(header, 16),
            count: u64::from(u32_at(header, 12)),
            synced_lsn: u64_at(header, 24),
            clock: ClockMark {
                age_ms: u64_at(header, 32),
                wall_ms: u64_at(header, 40),
                drift_ms: u64_at(header, 48) as i64,
                doubted_ms: u64_at(header, 56),
                jumped_at_ms: u64_at(header, 64),
            },
            payload,
        };
        let is_possible = frame.count > 0
            && (1..NUMBER_MAX).contains(&frame.first_lsn)
            && frame.clock.is_possible();
        is_possible.then_some((frame, header))
    }

    pub(crate) fn len(&self) -> usize {
        HEADER_BYTES + self.payload.len()
    }

    /// Calls `each` with every event, its LSN, and its end in the payload. Returns `false` if the
    /// payload is not exactly `count` events.
    pub(crate) fn events<E>(
        &self,
        mut each: impl FnMut(u64, Event<'a>, usize) -> Result<(), E>,
    ) -> Result<bool, E> {
        let mut at = 0;
        for n in 0..self.count {
            let Some((event, taken)) = Event::decode_prefix(&self.payload[at..]) else {
                return Ok(false);
            };
            at += taken;
            each(self.first_lsn + n, event, at)?;
        }
        Ok(at == self.payload.len())
    }
}

/// Returns whether `bytes` contains, at any offset, a valid frame whose synced LSN covers `lsn`. If
/// so, anything missing before that frame had been synced, and its loss is damage.
pub(crate) fn later_frame_vouches_for(bytes: &[u8], binding: Binding, lsn: u64) -> bool {
    frames_anywhere(bytes, binding)
        .any(|(_, frame)| frame.first_lsn > lsn && frame.synced_lsn >= lsn)
}

/// Returns whether a valid frame begins anywhere in `bytes`.
pub(crate) fn holds_a_frame(bytes: &[u8], binding: Binding) -> bool {
    frames_anywhere(bytes, binding).next().is_some()
}

/// Returns all valid frames, wherever they begin, each with its offset.
pub(crate) fn frames_anywhere(
    bytes: &[u8],
    binding: Binding,
) -> impl Iterator<Item = (usize, Frame<'_>)> {
    let magic = MAGIC.to_le_bytes();
    let mut at = 0;
    let mut sums = Sums::of(bytes);
    std::iter::from_fn(move || {
        while let Some(found) = find(&bytes[at..], &magic) {
            let start = at + found;
            at = start + 1;
            let Some((frame, header)) = Frame::claimed(&bytes[start..]) else {
                continue;
            };
            let mut crc = binding.crc_before_payload(&header[CRC_END..]);
            let payload_at = start + HEADER_BYTES;
            crc.combine(&sums.sum(payload_at, frame.payload.len()));
            if crc.finalize() == u32_at(header, 4) {
                return Some((start, frame));
            }
        }
        None
    })
}

/// Computes checksums of any range of `bytes` from known checksums of prefixes. As a result, bytes
/// that look like the start of a frame at every offset do not take longer to scan than others.
struct Sums<'a> {
    bytes: &'a [u8],
    /// The number of bytes summed directly. Direct summing is faster as long as there are few
    /// ranges.
    spent: usize,
    /// The checksum of the prefix that ends at each step.
    before: Vec<u32>,
}

/// The distance between two known prefix checksums.
const SUM_STEP_BYTES: usize = 1 << 10;

impl<'a> Sums<'a> {
    fn of(bytes: &'a [u8]) -> Sums<'a> {
        Sums {
            bytes,
            spent: 0,
            before: Vec::new(),
        }
    }

    /// Returns the checksum of the `len` bytes from `start` on. They must all exist.
    fn sum(&mut self, start: usize, len: usize) -> Hasher {
        if self.spent < self.bytes.len() || len < SUM_STEP_BYTES {
            self.spent += len;
            let mut crc = Hasher::new();
            crc.update(&self.bytes[start..start + len]);
            return crc;
        }
        // For concatenated ranges: crc(ab) = crc(a), shifted by the length of b, ^ crc(b).
        let end = self.sum_before(start + len).finalize();
        let mut moved = self.sum_before(start);
        moved.combine(&Hasher::new_with_initial_len(0, len as u64));
        Hasher::new_with_initial_len(end ^ moved.finalize(), len as u64)
    }

    /// Returns the checksum of everything before `at`.
    fn sum_before(&mut self, at: usize) -> Hasher {
        if self.before.is_empty() {
            let mut crc = Hasher::new();
            self.before.push(0);
            for step in self.bytes.chunks(SUM_STEP_BYTES) {
                crc.update(step);
                self.before.push(crc.clone().finalize());
            }
        }
        let n = at / SUM_STEP_BYTES;
        let from = n * SUM_STEP_BYTES;
        let mut crc = Hasher::new_with_initial_len(self.before[n], from as u64);
        crc.update(&self.bytes[from..at]);
        crc
    }
}

fn find(bytes: &[u8], pattern: &[u8; 4]) -> Option<usize> {
    bytes.windows(4).position(|window| window == pattern)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::event::SubmissionTexts;
    use crate::log::fingerprint::Fingerprint;

    fn binding(epoch: u64) -> Binding {
        Binding {
            store: StoreId(9),
            epoch,
        }
    }

    fn frame() -> Vec<u8> {
        let mut builder = Builder::default();
        builder.clear();
        builder.push(&Event::StoreOpened {
            open_number: 1,
            time_ms: 2,
        });
        builder.push(&Event::GraphDropped {
            graph: 3,
            time_ms: 4,
        });
        builder.finish(binding(5), 10, 9).to_vec()
    }

    #[test]
    fn a_frame_is_valid_only_where_it_was_written() {
        let bytes = frame();
        let parsed = Frame::parse(&bytes, binding(5)).unwrap();
        assert_eq!(
            (parsed.first_lsn, parsed.count, parsed.synced_lsn),
            (10, 2, 9)
        );
        assert!(Frame::parse(&bytes, binding(6)).is_none());
        let mut seen = Vec::new();
        let whole = parsed.events(|lsn, event, _| {
            seen.push((lsn, event));
            Ok::<(), ()>(())
        });
        assert_eq!(whole, Ok(true));
        assert_eq!(
            seen[1],
            (
                11,
                Event::GraphDropped {
                    graph: 3,
                    time_ms: 4
                }
            )
        );
    }

    #[test]
    fn what_no_reader_believes_is_known_before_it_is_written() {
        let mut builder = Builder::default();
        let started = |time_ms| Event::Started {
            graph: 0,
            sequence: 1,
            time_ms,
            command: 0,
            wait_ms: None,
        };
        for (time_ms, is_unreadable) in [(NUMBER_MAX - 1, false), (NUMBER_MAX, true)] {
            builder.clear();
            builder.push(&started(time_ms));
            builder.push(&started(1));
            assert_eq!(builder.is_unreadable(), is_unreadable);
            let bytes = builder.finish(binding(5), 1, 0).to_vec();
            let frame = Frame::parse(&bytes, binding(5)).unwrap();
            let is_read = frame.events(|_, _, _| Ok::<(), ()>(()));
            assert_eq!(is_read, Ok(!is_unreadable));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let bytes = frame();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Frame::parse(&flipped, binding(5)).is_none(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(
                Frame::parse(&bytes[..len], binding(5)).is_none(),
                "length {len}"
            );
        }
    }

    #[test]
    fn a_later_frame_vouches_only_for_what_it_knew_synced() {
        let mut bytes = vec![0xff; 100];
        bytes.extend(frame());
        assert!(later_frame_vouches_for(&bytes, binding(5), 9));
        assert!(!later_frame_vouches_for(&bytes, binding(5), 10));
        assert!(!later_frame_vouches_for(&bytes, binding(4), 9));
    }

    #[test]
    fn frames_are_found_among_bytes_that_look_like_them() {
        // Every 16 bytes claim to begin a frame that extends nearly to the end.
        let mut bytes = Vec::new();
        for n in 0..1024u32 {
            bytes.extend_from_slice(b"JFRM1234");
            bytes.extend_from_slice(&(20_000 - 16 * n).to_le_bytes());
            bytes.extend_from_slice(&[1, 0, 0, 0]);
        }
        let mut places = Vec::new();
        let mut builder = Builder::default();
        for n in 0..40 {
            places.push(bytes.len());
            builder.clear();
            builder.push(&Event::Submitted {
                graph: 0,
                sequence: n,
                time_ms: 1,
                fingerprint: Fingerprint(n),
                command: 0,
                texts: SubmissionTexts {
                    unlisted: b"",
                    id: "id",
                    request: &"JFRM".repeat(n as usize * 37),
                },
            });
            bytes.extend_from_slice(builder.finish(binding(5), n + 1, n));
        }
        let found = frames_anywhere(&bytes, binding(5));
        let found: Vec<(usize, u64)> = found.map(|(at, frame)| (at, frame.first_lsn)).collect();
        let expected: Vec<(usize, u64)> = places.into_iter().zip(1..).collect();
        assert_eq!(found, expected);
    }
}
