//! Neighbouring jobs of a graph as one compressed block, laid out for the list.
//!
//! Owns: the block's columns and text, its pieces and their checksums. Must not
//! know: files, states.
//! Promise: a block that opens is the one that was sealed for that graph and
//! place; a page copies its text without looking at each job.
//!
//! A job's text in a block is what the list shows of it once it is complete, so a
//! page of complete jobs is the block's text as it lies there; other states cost
//! one splice a job.

use crate::base::codec::{VarReader, put_var, u32_at};
use crate::log::event::Texts;
use crate::model::job_json::{AFTER_REQUEST, BEFORE_ID, BEFORE_REQUEST, BEFORE_STATUS, push_open};

/// Jobs in a block, at most.
pub(crate) const BLOCK_JOBS_MAX: usize = 64;
/// Bytes of text in a block, at most, unless its one job alone is larger.
pub(crate) const BLOCK_TEXT_BYTES: usize = 32 << 10;
/// A job with more text than this stands alone and is cut into pieces.
pub(crate) const PIECE_BYTES: usize = 256 << 10;
/// compressed length 4, length 4, crc 4.
pub(crate) const PIECE_HEADER_BYTES: usize = 12;
/// LZ4 makes no more than this of one byte.
const RATIO_MAX: usize = 255;

/// The state that a block's text shows.
pub(crate) const BLOCK_STATUS: &str = "complete";

/// Appends a job's text as a block holds it.
pub(crate) fn push_text(id: &str, request: &str, out: &mut Vec<u8>) {
    push_open(id, BLOCK_STATUS, request, out);
    out.extend_from_slice(AFTER_REQUEST.as_bytes());
}

/// How long that text is.
pub(crate) fn text_len(id_len: usize, request_len: usize) -> usize {
    BEFORE_ID.len()
        + id_len
        + BEFORE_STATUS.len()
        + BLOCK_STATUS.len()
        + BEFORE_REQUEST.len()
        + request_len
        + AFTER_REQUEST.len()
}

/// How long all is that a job brings.
pub(crate) fn stored_len(texts: &Texts<'_>) -> usize {
    text_len(texts.id.len(), texts.request.len()) + texts.secrets.len()
}

/// One job's place in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// Where what is masked in it ends, behind that of the jobs before.
    pub(crate) secrets_end: u32,
    pub(crate) id_len: u8,
    pub(crate) submitted_ms: u64,
}

impl Row {
    /// Where the status word begins.
    pub(crate) fn status_at(&self) -> usize {
        self.start as usize + BEFORE_ID.len() + usize::from(self.id_len) + BEFORE_STATUS.len()
    }

    fn id_at(&self) -> usize {
        self.start as usize + BEFORE_ID.len()
    }

    fn request_at(&self) -> usize {
        self.status_at() + BLOCK_STATUS.len() + BEFORE_REQUEST.len()
    }

    /// Where the request stands.
    pub(crate) fn request_range(&self) -> std::ops::Range<usize> {
        self.request_at()..self.end as usize - AFTER_REQUEST.len()
    }
}

/// Jobs being put together as a block, or one that was opened. Reused from block
/// to block.
#[derive(Default)]
pub(crate) struct Block {
    pub(crate) first_sequence: u64,
    pub(crate) rows: Vec<Row>,
    /// The jobs' texts, a comma before each, the first one's text at `text_at`.
    buffer: Vec<u8>,
    text_at: usize,
    text_end: usize,
    /// What is masked in the jobs, one behind the other.
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

    pub(crate) fn has_room_for(&self, texts: &Texts<'_>) -> bool {
        self.rows.is_empty()
            || (self.rows.len() < BLOCK_JOBS_MAX
                && self.text().len() + self.secrets.len() + stored_len(texts) < BLOCK_TEXT_BYTES)
    }

    /// Adds the next job; only to a block that was not opened from bytes.
    pub(crate) fn push(&mut self, texts: &Texts<'_>, submitted_ms: u64) {
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

    /// What is masked in the `n`-th job.
    pub(crate) fn secrets(&self, n: usize) -> &[u8] {
        let start = n
            .checked_sub(1)
            .map_or(0, |before| self.rows[before].secrets_end);
        &self.secrets[start as usize..self.rows[n].secrets_end as usize]
    }

    /// The texts of the `n`-th job. `None` where they are not UTF-8.
    pub(crate) fn texts(&self, n: usize) -> Option<Texts<'_>> {
        let row = self.rows.get(n)?;
        Some(Texts {
            id: std::str::from_utf8(self.id(row)).ok()?,
            request: std::str::from_utf8(self.request(row)).ok()?,
            secrets: self.secrets(n),
        })
    }

    /// All texts, commas between them.
    pub(crate) fn text(&self) -> &[u8] {
        &self.buffer[self.text_at..self.text_end]
    }

    /// The texts of these rows, with the comma before the first of them: a page that
    /// goes on has it from here, in one piece.
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

    /// The block's bytes before compression: the columns, the text, what is masked.
    fn encode(&self, out: &mut Vec<u8>) {
        out.clear();
        put_columns(&self.rows, out);
        out.extend_from_slice(self.text());
        out.extend_from_slice(&self.secrets);
    }

    /// Takes a block's uncompressed bytes as its content. `None` when they are not
    /// a block.
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
        // The columns, which were read, end in front of the first text.
        *self.buffer.get_mut(self.text_at.checked_sub(1)?)? = b',';
        (self.text_end + last.secrets_end as usize == len).then_some(())
    }

    /// Appends the block as one sealed piece.
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

    /// Opens a block from its sealed piece. `None` when it is not that block.
    pub(crate) fn open(&mut self, graph: u32, first_sequence: u64, piece: &[u8]) -> Option<()> {
        let seed = Seed::block(graph, first_sequence, 0);
        let (len, taken) = open_piece(seed, piece, &mut self.buffer)?;
        self.decode(first_sequence, len)?;
        (taken == piece.len()).then_some(())
    }
}

/// The number of jobs; of each the length of its text, the length of its id and whether
/// anything is masked in it, in one number, how long that is where there is any, and how
/// far its time is from the one before (zigzag).
fn put_columns(rows: &[Row], out: &mut Vec<u8>) {
    put_var(rows.len() as u64, out);
    let (mut time, mut secrets_at) = (0i64, 0);
    for row in rows {
        put_var(u64::from(row.end - row.start), out);
        let secrets = row.secrets_end - secrets_at;
        put_var(u64::from(row.id_len) << 1 | u64::from(secrets > 0), out);
        if secrets > 0 {
            put_var(u64::from(secrets), out);
            secrets_at = row.secrets_end;
        }
        let distance = row.submitted_ms as i64 - time;
        put_var(((distance << 1) ^ (distance >> 63)) as u64, out);
        time = row.submitted_ms as i64;
    }
}

fn read_columns(reader: &mut VarReader<'_>, rows: &mut Vec<Row>) -> Option<()> {
    rows.clear();
    let count = usize::try_from(reader.next()?).ok()?;
    if !(1..=BLOCK_JOBS_MAX).contains(&count) {
        return None;
    }
    let (mut start, mut time, mut secrets_end) = (0u32, 0i64, 0u32);
    for _ in 0..count {
        let len = u32::try_from(reader.next()?).ok()?;
        let id_len = reader.next()?;
        if id_len & 1 == 1 {
            let secrets = u32::try_from(reader.next()?).ok()?;
            secrets_end = secrets_end.checked_add(secrets)?;
        }
        let id_len = u8::try_from(id_len >> 1).ok()?;
        let zigzag = reader.next()?;
        time = time.checked_add((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))?;
        let row = Row {
            start,
            end: start.checked_add(len)?,
            secrets_end,
            id_len,
            submitted_ms: u64::try_from(time).ok()?,
        };
        // Room for all that a row's accessors will cut out of its text.
        if row.request_at() + AFTER_REQUEST.len() > row.end as usize {
            return None;
        }
        rows.push(row);
        start = row.end.checked_add(1)?;
    }
    Some(())
}

/// A job that is too large for a block: its columns, then its text in pieces, then what
/// is masked in it likewise.
pub(crate) fn seal_large(
    graph: u32,
    sequence: u64,
    (texts, submitted_ms): (&Texts<'_>, u64),
    scratch: &mut Scratch,
    mut emit: impl FnMut(&[u8]) -> crate::model::error::Result<()>,
) -> crate::model::error::Result<()> {
    let Texts { id, request, .. } = *texts;
    let mut text = Vec::with_capacity(text_len(id.len(), request.len()));
    push_text(id, request, &mut text);
    let mut columns = Vec::new();
    let row = Row {
        start: 0,
        end: text.len() as u32,
        secrets_end: texts.secrets.len() as u32,
        id_len: id.len() as u8,
        submitted_ms,
    };
    put_columns(&[row], &mut columns);
    let mut sealed = Vec::new();
    for (n, raw) in std::iter::once(&columns[..])
        .chain(text.chunks(PIECE_BYTES))
        .chain(texts.secrets.chunks(PIECE_BYTES))
        .enumerate()
    {
        sealed.clear();
        seal_piece(
            Seed::block(graph, sequence, n as u32),
            raw,
            scratch,
            &mut sealed,
        );
        emit(&sealed)?;
    }
    Ok(())
}

/// The columns of a large job, from its first piece, and that piece's length.
pub(crate) fn open_large(
    graph: u32,
    sequence: u64,
    pieces: &[u8],
    buffer: &mut Vec<u8>,
) -> Option<(Row, usize)> {
    let (len, taken) = open_piece(Seed::block(graph, sequence, 0), pieces, buffer)?;
    let mut rows = Vec::new();
    let mut reader = VarReader(&buffer[..len]);
    read_columns(&mut reader, &mut rows)?;
    match rows[..] {
        [row] if reader.0.is_empty() => Some((row, taken)),
        _ => None,
    }
}

/// What a piece is bound to: it opens nowhere else.
#[derive(Clone, Copy)]
pub(crate) struct Seed([u8; 17]);

impl Seed {
    pub(crate) fn block(graph: u32, sequence: u64, piece: u32) -> Seed {
        Seed::of(0, graph, sequence, piece)
    }

    pub(crate) fn events(first_lsn: u64) -> Seed {
        Seed::of(1, 0, first_lsn, 0)
    }

    /// The `n`-th page of the fingerprints of a graph's jobs from this one on.
    pub(crate) fn fingerprints(graph: u32, first_sequence: u64, n: u32) -> Seed {
        Seed::of(2, graph, first_sequence, n)
    }

    fn of(kind: u8, graph: u32, number: u64, piece: u32) -> Seed {
        let mut seed = [kind; 17];
        seed[1..5].copy_from_slice(&graph.to_le_bytes());
        seed[5..13].copy_from_slice(&number.to_le_bytes());
        seed[13..17].copy_from_slice(&piece.to_le_bytes());
        Seed(seed)
    }

    pub(super) fn crc(self, lengths: &[u8], data: &[u8]) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&self.0);
        crc.update(lengths);
        crc.update(data);
        crc.finalize()
    }
}

/// Buffers that sealing reuses.
#[derive(Default)]
pub(crate) struct Scratch {
    raw: Vec<u8>,
    compressed: Vec<u8>,
}

/// Appends `raw`, compressed where that makes it shorter, with its checksum.
pub(crate) fn seal_piece(seed: Seed, raw: &[u8], scratch: &mut Scratch, out: &mut Vec<u8>) {
    let bound = lz4_flex::block::get_maximum_output_size(raw.len());
    if scratch.compressed.len() < bound {
        scratch.compressed.resize(bound, 0);
    }
    let data = match lz4_flex::block::compress_into(raw, &mut scratch.compressed) {
        Ok(len) if len < raw.len() => &scratch.compressed[..len],
        _ => raw,
    };
    let mut lengths = [0; 8];
    lengths[..4].copy_from_slice(&(data.len() as u32).to_le_bytes());
    lengths[4..].copy_from_slice(&(raw.len() as u32).to_le_bytes());
    out.extend_from_slice(&lengths);
    out.extend_from_slice(&seed.crc(&lengths, data).to_le_bytes());
    out.extend_from_slice(data);
}

/// Decompresses the piece at the start of `bytes` into `buffer`, which only grows.
/// Returns the length of the content and of the piece; `None` when it is not the
/// piece that was sealed with this seed.
pub(crate) fn open_piece(seed: Seed, bytes: &[u8], buffer: &mut Vec<u8>) -> Option<(usize, usize)> {
    let header = bytes.get(..PIECE_HEADER_BYTES)?;
    let (packed_len, raw_len) = (u32_at(header, 0) as usize, u32_at(header, 4) as usize);
    let taken = PIECE_HEADER_BYTES.checked_add(packed_len)?;
    let data = bytes.get(PIECE_HEADER_BYTES..taken)?;
    if seed.crc(&header[..8], data) != u32_at(header, 8) {
        return None;
    }
    // The lengths are believed only behind the checksum, and no further than the
    // compression can go.
    if raw_len > packed_len.saturating_mul(RATIO_MAX) {
        return None;
    }
    if buffer.len() < raw_len {
        buffer.resize(raw_len, 0);
    }
    if packed_len == raw_len {
        buffer[..raw_len].copy_from_slice(data);
    } else {
        let written = lz4_flex::block::decompress_into(data, &mut buffer[..raw_len]).ok()?;
        if written != raw_len {
            return None;
        }
    }
    Some((raw_len, taken))
}

/// How long the piece is that begins with these bytes.
pub(crate) fn piece_len(header: &[u8]) -> Option<usize> {
    (header.len() >= PIECE_HEADER_BYTES).then(|| PIECE_HEADER_BYTES + u32_at(header, 0) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> Vec<u8> {
        let mut block = Block::default();
        block.clear(100);
        let texts = |id, request, secrets| Texts {
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
        let texts = Texts {
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
