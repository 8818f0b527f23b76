//! A job that is too large for an ordinary block, stored in several pieces.

use super::columns::{put_columns, read_columns};
use super::piece::{Scratch, Seed, open_piece, seal_piece};
use super::row::{Row, push_text, text_len};
use crate::base::codec::VarReader;
use crate::log::event::SubmissionTexts;

/// A job with more text than this has a block of its own, and is split into pieces.
pub(crate) const PIECE_BYTES: usize = 256 << 10;

/// Appends a job that is too large for an ordinary block: its columns, then its text in pieces,
/// then its unlisted part in pieces.
pub(crate) fn seal_large(
    graph: u32,
    sequence: u64,
    (texts, submitted_ms): (&SubmissionTexts<'_>, u64),
    scratch: &mut Scratch,
    mut emit: impl FnMut(&[u8]) -> crate::model::error::Result<()>,
) -> crate::model::error::Result<()> {
    let SubmissionTexts { id, request, .. } = *texts;
    let mut text = Vec::with_capacity(text_len(id.len(), request.len()));
    push_text(id, request, &mut text);
    let mut columns = Vec::new();
    let row = Row {
        start: 0,
        end: text.len() as u32,
        unlisted_end: texts.unlisted.len() as u32,
        id_len: id.len() as u8,
        submitted_ms,
    };
    put_columns(&[row], &mut columns);
    let mut sealed = Vec::new();
    for (n, raw) in std::iter::once(&columns[..])
        .chain(text.chunks(PIECE_BYTES))
        .chain(texts.unlisted.chunks(PIECE_BYTES))
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

/// Returns the columns of a large job from its first piece, and the length of that piece.
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
