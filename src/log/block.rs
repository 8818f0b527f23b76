//! A block: neighboring jobs of a graph, compressed together, in the layout of the list.
//!
//! A block opens only for the graph and position for which it was sealed.
//!
//! The text of a job in a block is the one that the list shows once the job is complete, so
//! complete jobs are copied from the block to a page as they are. For a job in any other state, the
//! state is replaced in the copy.

mod columns;
mod large;
mod piece;
mod row;

pub(crate) use self::columns::BLOCK_JOBS_MAX;
use self::columns::{put_columns, read_columns};
pub(crate) use self::large::{PIECE_BYTES, open_large, seal_large};
pub(crate) use self::piece::{
    PIECE_HEADER_BYTES, Scratch, Seed, open_piece, piece_len, seal_piece,
};
pub(crate) use self::row::{BLOCK_STATUS, Row, push_text, stored_len, text_len};
use crate::base::codec::VarReader;
use crate::log::event::SubmissionTexts;

/// The maximum size of the text in a block, unless its only job is larger.
pub(crate) const BLOCK_TEXT_BYTES: usize = 32 << 10;

/// A block that is being filled, or one that was opened. Reused from block to block.
#[derive(Default)]
pub(crate) struct Block {
    pub(crate) first_sequence: u64,
    pub(crate) rows: Vec<Row>,
    /// The texts of the jobs, each preceded by a comma. The first text begins at `text_at`.
    buffer: Vec<u8>,
    text_at: usize,
    text_end: usize,
    /// The masked values of all jobs, concatenated.
    secrets: Vec<u8>,
}

impl Block {
    pub(crate) fn clear(&mut self, first_sequence: u64) {
        self.first_sequence = first_sequence;
        self.rows.clear();
        self.buffer.clear();
        self.secrets.clear();
        self.text_at = 1;
        self.text_end = 1;
    }

    pub(crate) fn has_room_for(&self, texts: &SubmissionTexts<'_>) -> bool {
        self.rows.is_empty()
            || (self.rows.len() < BLOCK_JOBS_MAX
                && self.text().len() + self.secrets.len() + stored_len(texts) < BLOCK_TEXT_BYTES)
    }

    /// Adds the next job. Must not be called on a block that was opened from bytes.
    pub(crate) fn push(&mut self, texts: &SubmissionTexts<'_>, submitted_ms: u64) {
        self.buffer.push(b',');
        let start = self.buffer.len() - self.text_at;
        push_text(texts.id, texts.request, &mut self.buffer);
        self.text_end = self.buffer.len();
        self.secrets.extend_from_slice(texts.secrets);
        self.rows.push(Row {
            start: start as u32,
            end: (self.text_end - self.text_at) as u32,
            secrets_end: self.secrets.len() as u32,
            id_len: texts.id.len() as u8,
            submitted_ms,
        });
    }

    /// The masked values of the `n`-th job.
    pub(crate) fn secrets(&self, n: usize) -> &[u8] {
        let start = n
            .checked_sub(1)
            .map_or(0, |before| self.rows[before].secrets_end);
        &self.secrets[start as usize..self.rows[n].secrets_end as usize]
    }

    /// The texts of the `n`-th job. `None` if they are not valid UTF-8.
    pub(crate) fn texts(&self, n: usize) -> Option<SubmissionTexts<'_>> {
        let row = self.rows.get(n)?;
        Some(SubmissionTexts {
            id: std::str::from_utf8(self.id(row)).ok()?,
            request: std::str::from_utf8(self.request(row)).ok()?,
            secrets: self.secrets(n),
        })
    }

    /// All texts, separated by commas.
    pub(crate) fn text(&self) -> &[u8] {
        &self.buffer[self.text_at..self.text_end]
    }

    /// The texts of these rows in one piece, including the comma before the first one. They form
    /// the next part of a page.
    pub(crate) fn comma_and_texts(&self, first: &Row, last: &Row) -> &[u8] {
        let (start, end) = (first.start as usize, last.end as usize);
        &self.buffer[self.text_at - 1 + start..self.text_at + end]
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

    /// Appends the uncompressed block: columns, text, masked values.
    fn encode(&self, out: &mut Vec<u8>) {
        out.clear();
        put_columns(&self.rows, out);
        out.extend_from_slice(self.text());
        out.extend_from_slice(&self.secrets);
    }

    /// Uses uncompressed bytes as the contents of this block. `None` if they are not a valid block.
    fn decode(&mut self, first_sequence: u64, len: usize) -> Option<()> {
        self.first_sequence = first_sequence;
        let mut reader = VarReader(self.buffer.get(..len)?);
        read_columns(&mut reader, &mut self.rows)?;
        self.text_at = len - reader.0.len();
        let last = self.rows.last()?;
        self.text_end = self.text_at + last.end as usize;
        self.secrets.clear();
        if last.secrets_end > 0 {
            let secrets = self.buffer.get(self.text_end..len)?;
            self.secrets.extend_from_slice(secrets);
        }
        // The columns have been read. They end just before the first text.
        *self.buffer.get_mut(self.text_at.checked_sub(1)?)? = b',';
        (self.text_end + last.secrets_end as usize == len).then_some(())
    }

    /// Seals the block as one piece, and appends it.
    pub(crate) fn seal(&self, graph: u32, scratch: &mut Scratch, out: &mut Vec<u8>) {
        let mut raw = std::mem::take(&mut scratch.raw);
        self.encode(&mut raw);
        seal_piece(
            Seed::block(graph, self.first_sequence, 0),
            &raw,
            scratch,
            out,
        );
        scratch.raw = raw;
    }

    /// Opens a block from its sealed piece. `None` if the piece is not that block.
    pub(crate) fn open(&mut self, graph: u32, first_sequence: u64, piece: &[u8]) -> Option<()> {
        let seed = Seed::block(graph, first_sequence, 0);
        let (len, taken) = open_piece(seed, piece, &mut self.buffer)?;
        self.decode(first_sequence, len)?;
        (taken == piece.len()).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> Vec<u8> {
        let mut block = Block::default();
        block.clear(100);
        let texts = |id, request, secrets| SubmissionTexts {
            id,
            request,
            secrets,
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
        block.open(7, 100, &sealed()).unwrap();
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
            (block.secrets(0), block.secrets(1)),
            (&b""[..], &b"masked"[..])
        );
        assert_eq!(row.submitted_ms, 1_699_999_999_999);
    }

    #[test]
    fn a_block_opens_only_in_its_place_and_whole() {
        let bytes = sealed();
        let mut block = Block::default();
        assert!(block.open(8, 100, &bytes).is_none());
        assert!(block.open(7, 101, &bytes).is_none());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(block.open(7, 100, &flipped).is_none(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(block.open(7, 100, &bytes[..len]).is_none(), "length {len}");
        }
    }

    #[test]
    fn a_large_job_comes_back_in_pieces() {
        let request = "\"é\"".repeat(PIECE_BYTES / 2);
        let secrets = vec![5; PIECE_BYTES + 1];
        let (mut bytes, mut pieces) = (Vec::new(), 0);
        let texts = SubmissionTexts {
            id: "id",
            request: &request,
            secrets: &secrets,
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
        expected.extend_from_slice(&secrets);
        let len = row.end as usize + row.secrets_end as usize;
        assert_eq!((text.len(), at), (len, bytes.len()));
        assert!(text == expected);
    }
}
