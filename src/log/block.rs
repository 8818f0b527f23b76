//! A block: neighboring jobs of a graph, in the layout of the list.
//!
//! A sealed block consists of a piece with its columns, which contain everything but text, one piece
//! for the texts of each group of jobs, and one piece for the unlisted parts of each group that has
//! any. It opens only for the graph and position for which it was sealed.
//!
//! The text of a job in a block is the one that the list shows once the job is complete, so
//! complete jobs are copied from the block to a page as they are. For a job in any other state, the
//! state is replaced in the copy.

mod columns;
mod groups;
mod large;
mod piece;
mod row;

use std::ops::{Range, RangeInclusive};

pub(crate) use self::columns::BLOCK_JOBS_MAX;
use self::columns::{put_columns, read_columns};
use self::groups::{Group, divide, put_groups, read_groups};
pub(crate) use self::large::{PIECE_BYTES, open_large, seal_large};
use self::piece::open_piece_into;
pub(crate) use self::piece::{
    PIECE_HEADER_BYTES, Scratch, Seed, open_piece, piece_len, seal_piece,
};
pub(crate) use self::row::{BLOCK_STATUS, Row, push_text, stored_len, text_len};
use crate::base::codec::VarReader;
use crate::log::event::SubmissionTexts;

/// The maximum size of the text in a block, unless its only job is larger.
pub(crate) const BLOCK_TEXT_BYTES: usize = 32 << 10;

/// A block that is being filled, or some neighboring jobs of one that was opened. Reused from block
/// to block.
#[derive(Default)]
pub(crate) struct Block {
    /// The sequence number of the first row.
    pub(crate) first_sequence: u64,
    pub(crate) rows: Vec<Row>,
    /// The texts of the jobs, each preceded by a comma, up to `text_end`.
    buffer: Vec<u8>,
    text_end: usize,
    /// The unlisted parts of all jobs, concatenated.
    unlisted: Vec<u8>,
    columns: Vec<u8>,
    groups: Vec<Group>,
}

/// What to open of a block.
pub(crate) struct Extent {
    /// The first and last job that are needed. Some of their neighbors are opened, too.
    pub(crate) jobs: RangeInclusive<u64>,
    /// Whether the unlisted parts are needed.
    pub(crate) unlisted: bool,
}

impl Extent {
    pub(crate) const ALL: Extent = Extent {
        jobs: 0..=u64::MAX,
        unlisted: true,
    };
}

impl Block {
    pub(crate) fn clear(&mut self, first_sequence: u64) {
        self.first_sequence = first_sequence;
        self.rows.clear();
        self.buffer.clear();
        self.unlisted.clear();
        self.text_end = 0;
    }

    /// How many bytes of memory the block has allocated.
    pub(crate) fn capacity(&self) -> usize {
        let texts = self.buffer.capacity() + self.unlisted.capacity() + self.columns.capacity();
        texts
            + self.rows.capacity() * size_of::<Row>()
            + self.groups.capacity() * size_of::<Group>()
    }

    pub(crate) fn has_room_for(&self, texts: &SubmissionTexts<'_>) -> bool {
        self.rows.is_empty()
            || (self.rows.len() < BLOCK_JOBS_MAX
                && self.text().len() + self.unlisted.len() + stored_len(texts) < BLOCK_TEXT_BYTES)
    }

    /// Adds the next job. Must not be called on a block that was opened from bytes.
    pub(crate) fn push(&mut self, texts: &SubmissionTexts<'_>, submitted_ms: u64) {
        let start = self.buffer.len();
        self.buffer.push(b',');
        push_text(texts.id, texts.request, &mut self.buffer);
        self.text_end = self.buffer.len();
        self.unlisted.extend_from_slice(texts.unlisted);
        self.rows.push(Row {
            start: start as u32,
            end: (self.text_end - 1) as u32,
            unlisted_end: self.unlisted.len() as u32,
            id_len: texts.id.len() as u8,
            submitted_ms,
        });
    }

    /// The unlisted part of the `n`-th job.
    pub(crate) fn unlisted(&self, n: usize) -> &[u8] {
        &self.unlisted[self.unlisted_of(n..n + 1)]
    }

    /// The range of the unlisted parts of these rows.
    fn unlisted_of(&self, rows: Range<usize>) -> Range<usize> {
        let end_of = |n: usize| self.rows[n].unlisted_end as usize;
        rows.start.checked_sub(1).map_or(0, end_of)..end_of(rows.end - 1)
    }

    /// The texts of the `n`-th job. `None` if they are not valid UTF-8.
    pub(crate) fn texts(&self, n: usize) -> Option<SubmissionTexts<'_>> {
        let row = self.rows.get(n)?;
        Some(SubmissionTexts {
            id: std::str::from_utf8(self.id(row)).ok()?,
            request: std::str::from_utf8(self.request(row)).ok()?,
            unlisted: self.unlisted(n),
        })
    }

    /// All texts, separated by commas.
    pub(crate) fn text(&self) -> &[u8] {
        &self.buffer[self.text_end.min(1)..self.text_end]
    }

    /// The texts of these rows in one piece, including the comma before the first one. They form
    /// the next part of a page.
    pub(crate) fn comma_and_texts(&self, first: &Row, last: &Row) -> &[u8] {
        &self.buffer[first.start as usize..last.end as usize + 1]
    }

    pub(crate) fn row_text(&self, row: &Row) -> &[u8] {
        &self.text()[row.start as usize..row.end as usize]
    }

    pub(crate) fn id(&self, row: &Row) -> &[u8] {
        &self.text()[row.id_at()..][..usize::from(row.id_len)]
    }

    pub(crate) fn request(&self, row: &Row) -> &[u8] {
        &self.text()[row.request_range()]
    }

    /// Seals the block, and appends it.
    pub(crate) fn seal(&self, graph: u32, scratch: &mut Scratch, out: &mut Vec<u8>) {
        let mut pieces = std::mem::take(&mut scratch.pieces);
        pieces.clear();
        let mut groups = divide(&self.rows);
        let seed = |n| Seed::block(graph, self.first_sequence, n);
        let mut seal = |n, raw: &[u8]| {
            let start = pieces.len();
            seal_piece(seed(n), raw, scratch, &mut pieces);
            start..pieces.len()
        };
        for group in &mut groups {
            let (first, last) = (group.rows.start, group.rows.end - 1);
            let texts = self.comma_and_texts(&self.rows[first], &self.rows[last]);
            group.texts = seal(group.texts_piece(), texts);
        }
        for group in &mut groups {
            let unlisted = &self.unlisted[self.unlisted_of(group.rows.clone())];
            if !unlisted.is_empty() {
                group.unlisted = seal(group.unlisted_piece(), unlisted);
            }
        }
        let mut columns = std::mem::take(&mut scratch.columns);
        columns.clear();
        put_columns(&self.rows, &mut columns);
        put_groups(&groups, &mut columns);
        seal_piece(seed(0), &columns, scratch, out);
        out.extend_from_slice(&pieces);
        scratch.columns = columns;
        scratch.pieces = pieces;
    }

    /// Opens a block from its sealed pieces. Returns the number of jobs in the whole block, of which
    /// this block then contains those of `extent` and perhaps others next to them. `None` if the
    /// pieces that are needed are not those of that block, or if it contains none of these jobs.
    pub(crate) fn open(
        &mut self,
        graph: u32,
        first_sequence: u64,
        sealed: &[u8],
        extent: &Extent,
    ) -> Option<usize> {
        let seed = |n| Seed::block(graph, first_sequence, n);
        let jobs = self.open_columns(seed, first_sequence, sealed, &extent.jobs)?;
        let mut buffer = std::mem::take(&mut self.buffer);
        if buffer.len() < self.text_end {
            buffer.resize(self.text_end, 0);
        }
        let opened = self.open_texts(seed, sealed, &mut buffer[..self.text_end]);
        self.buffer = buffer;
        opened?;
        match extent.unlisted {
            true => self.open_unlisted(seed, sealed)?,
            false => self.rows.iter_mut().for_each(|row| row.unlisted_end = 0),
        }
        Some(jobs)
    }

    /// Opens the columns of a block, and keeps the rows of the groups that contain these jobs.
    /// Returns the number of jobs in the whole block.
    fn open_columns(
        &mut self,
        seed: impl Fn(u32) -> Seed,
        first_sequence: u64,
        sealed: &[u8],
        jobs: &RangeInclusive<u64>,
    ) -> Option<usize> {
        let (len, taken) = open_piece(seed(0), sealed, &mut self.columns)?;
        let mut reader = VarReader(self.columns.get(..len)?);
        read_columns(&mut reader, &mut self.rows)?;
        let whole = self.rows.len();
        let pieces = taken..sealed.len();
        read_groups(&mut reader, whole, pieces, &mut self.groups)?;
        first_sequence.checked_add(whole as u64)?;
        if !reader.0.is_empty() {
            return None;
        }
        let is_before = |group: &Group, job| first_sequence + (group.rows.end as u64) <= job;
        let first = self
            .groups
            .partition_point(|group| is_before(group, *jobs.start()));
        let last = self
            .groups
            .partition_point(|group| is_before(group, *jobs.end()));
        self.groups.truncate(last.saturating_add(1));
        self.groups.drain(..first.min(self.groups.len()));
        let rows = self.groups.first()?.rows.start..self.groups.last()?.rows.end;
        self.first_sequence = first_sequence + rows.start as u64;
        self.keep_rows(rows);
        self.text_end = self.rows.last()?.end as usize + 1;
        Some(whole)
    }

    /// Removes all other rows. The texts and unlisted parts of the remaining ones begin at 0.
    fn keep_rows(&mut self, rows: Range<usize>) {
        let (text_at, unlisted_at) = (self.rows[rows.start].start, self.unlisted_of(rows.clone()));
        self.rows.truncate(rows.end);
        if rows.start == 0 {
            return;
        }
        self.rows.drain(..rows.start);
        for row in &mut self.rows {
            row.start -= text_at;
            row.end -= text_at;
            row.unlisted_end -= unlisted_at.start as u32;
        }
        for group in &mut self.groups {
            group.rows = group.rows.start - rows.start..group.rows.end - rows.start;
        }
    }

    /// Decompresses the texts of the groups.
    fn open_texts(&self, seed: impl Fn(u32) -> Seed, sealed: &[u8], out: &mut [u8]) -> Option<()> {
        for group in &self.groups {
            let (first, last) = (self.rows[group.rows.start], self.rows[group.rows.end - 1]);
            let texts = &mut out[first.start as usize..last.end as usize + 1];
            let piece = &sealed[group.texts.clone()];
            open_piece_into(seed(group.texts_piece()), piece, texts)?;
            if texts.first() != Some(&b',') {
                return None;
            }
        }
        Some(())
    }

    /// Decompresses the unlisted parts of the groups.
    fn open_unlisted(&mut self, seed: impl Fn(u32) -> Seed, sealed: &[u8]) -> Option<()> {
        self.unlisted.clear();
        self.unlisted
            .resize(self.rows.last()?.unlisted_end as usize, 0);
        for group in &self.groups {
            let range = self.unlisted_of(group.rows.clone());
            if range.is_empty() != group.unlisted.is_empty() {
                return None;
            }
            if !range.is_empty() {
                let piece = &sealed[group.unlisted.clone()];
                let seed = seed(group.unlisted_piece());
                open_piece_into(seed, piece, &mut self.unlisted[range])?;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> Vec<u8> {
        let mut block = Block::default();
        block.clear(100);
        let texts = |id, request, unlisted| SubmissionTexts {
            id,
            request,
            unlisted,
        };
        let first = texts("a-1", r#"{"command":"c"}"#, &b""[..]);
        block.push(&first, 1_700_000_000_000);
        block.push(&texts("b", "{}", b"masked"), 1_699_999_999_999);
        let mut out = Vec::new();
        block.seal(7, &mut Scratch::default(), &mut out);
        out
    }

    #[test]
    fn a_block_comes_back_as_the_text_of_the_list() {
        let mut block = Block::default();
        block.open(7, 100, &sealed(), &Extent::ALL).unwrap();
        assert_eq!(
            std::str::from_utf8(block.text()).unwrap(),
            concat!(
                r#"{"jobId":"a-1","status":"complete","request":{"command":"c"}},"#,
                r#"{"jobId":"b","status":"complete","request":{}}"#
            )
        );
        let row = block.rows[1];
        assert_eq!(block.id(&row), b"b");
        assert_eq!(block.request(&row), b"{}");
        assert_eq!(
            (block.unlisted(0), block.unlisted(1)),
            (&b""[..], &b"masked"[..])
        );
        assert_eq!(row.submitted_ms, 1_699_999_999_999);
    }

    #[test]
    fn a_block_opens_only_in_its_place_and_whole() {
        let bytes = sealed();
        let mut block = Block::default();
        assert!(block.open(8, 100, &bytes, &Extent::ALL).is_none());
        assert!(block.open(7, 101, &bytes, &Extent::ALL).is_none());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(
                block.open(7, 100, &flipped, &Extent::ALL).is_none(),
                "bit {bit}"
            );
        }
        for len in 0..bytes.len() {
            let part = &bytes[..len];
            assert!(
                block.open(7, 100, part, &Extent::ALL).is_none(),
                "length {len}"
            );
        }
    }

    #[test]
    fn a_large_job_comes_back_in_pieces() {
        let request = "\"é\"".repeat(PIECE_BYTES / 2);
        let unlisted = vec![5; PIECE_BYTES + 1];
        let (mut bytes, mut pieces) = (Vec::new(), 0);
        let texts = SubmissionTexts {
            id: "id",
            request: &request,
            unlisted: &unlisted,
        };
        seal_large(1, 2, (&texts, 3), &mut Scratch::default(), |piece| {
            bytes.extend_from_slice(piece);
            pieces += 1;
            Ok(())
        })
        .unwrap();
        let mut buffer = Vec::new();
        let (row, mut at) = open_large(1, 2, &bytes, &mut buffer).unwrap();
        let mut text = Vec::new();
        for n in 1..pieces {
            let seed = Seed::block(1, 2, n);
            let (len, taken) = open_piece(seed, &bytes[at..], &mut buffer).unwrap();
            text.extend_from_slice(&buffer[..len]);
            at += taken;
        }
        let mut expected = Vec::new();
        push_text("id", &request, &mut expected);
        expected.extend_from_slice(&unlisted);
        let len = row.end as usize + row.unlisted_end as usize;
        assert_eq!((text.len(), at), (len, bytes.len()));
        assert!(text == expected);
    }
}
