//! Reads jobs that are too large for a block, piece by piece.
//!
//! Reading a job of any size needs only enough memory for one piece. In a pack, each piece is
//! verified; in a segment, the whole text is verified once its last piece has been read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::read::missing_job::missing;
use crate::engine::state::unpacked::{TailPlace, TailRun};
use crate::log::block::{
    BLOCK_STATUS, PIECE_BYTES, PIECE_HEADER_BYTES, Row, Seed, open_large, open_piece, piece_len,
    text_len,
};
use crate::log::disk::File;
use crate::log::pack::{BlockPlace, Part};
use crate::model::error::{Error, Result};
use crate::model::job_json::{AFTER_REQUEST, BEFORE_ID, BEFORE_REQUEST, BEFORE_STATUS};

/// A job whose text is read in pieces.
pub(crate) struct Large {
    pub(crate) sequence: u64,
    /// The columns of its row; the text begins at offset 0.
    pub(crate) row: Row,
    path: PathBuf,
    file: Arc<dyn File>,
    source: Source,
}

enum Source {
    Pack {
        seed: (u32, u64, u32),
        offset: u64,
        left: u64,
        /// The number of bytes of the text that are still unread.
        text_left: usize,
    },
    Tail {
        place: TailPlace,
        done: u32,
        crc: crc32fast::Hasher,
        unlisted: Vec<u8>,
    },
}

impl Large {
    pub(crate) fn in_pack(part: &Part, place: BlockPlace) -> Result<Large> {
        let damaged = || Error::damaged(&part.pack.path, place.offset, "invalid large job");
        let failed = |e| Error::io("read", &part.pack.path, &e);
        let first = read_piece(&*part.pack.file, place.offset, u64::from(place.len))
            .map_err(failed)?
            .ok_or_else(damaged)?;
        let sequence = place.first_sequence;
        let (row, taken) =
            open_large(part.graph, sequence, &first, &mut Vec::new()).ok_or_else(damaged)?;
        Ok(Large {
            sequence,
            row,
            path: part.pack.path.to_path_buf(),
            file: part.pack.file.clone(),
            source: Source::Pack {
                seed: (part.graph, sequence, 1),
                offset: place.offset + taken as u64,
                left: u64::from(place.len) - taken as u64,
                text_left: row.end as usize,
            },
        })
    }

    pub(crate) fn in_tail(run: &TailRun, n: usize) -> Large {
        let place = run.jobs[n];
        Large {
            sequence: run.first_sequence + n as u64,
            row: Row {
                start: 0,
                end: text_len(usize::from(place.id_len), place.request_len as usize) as u32,
                unlisted_end: place.unlisted_len,
                id_len: place.id_len,
                submitted_ms: place.submitted_ms,
            },
            path: run.segment.path.clone(),
            file: run.segment.file.clone(),
            source: Source::Tail {
                place,
                done: 0,
                crc: crc32fast::Hasher::new(),
                unlisted: Vec::new(),
            },
        }
    }

    /// Reads the next piece of the job's text into `piece`; returns `false` if there is none.
    /// The first piece contains everything up to the request.
    pub(crate) fn next_piece(&mut self, piece: &mut Vec<u8>) -> Result<bool> {
        piece.clear();
        match &mut self.source {
            Source::Pack { text_left: 0, .. } => return Ok(false),
            Source::Pack { .. } => {
                self.next_in_pack(piece)?;
                if let Source::Pack { text_left, .. } = &mut self.source {
                    *text_left = text_left
                        .checked_sub(piece.len())
                        .filter(|_| !piece.is_empty())
                        .ok_or_else(|| not_whole(&self.path))?;
                }
            }
            Source::Tail {
                place,
                done,
                crc,
                unlisted,
            } => {
                if *done == place.request_len {
                    return Ok(false);
                }
                let damaged =
                    || Error::damaged(&self.path, u64::from(place.id_at()), "invalid large job");
                let failed = |e| Error::io("read", &self.path, &e);
                if *done == 0 {
                    unlisted.resize(place.unlisted_len as usize, 0);
                    self.file
                        .read_exact_at(unlisted, u64::from(place.unlisted_at))
                        .map_err(failed)?;
                    crc.update(unlisted);
                    let mut id = vec![0; usize::from(place.id_len)];
                    self.file
                        .read_exact_at(&mut id, u64::from(place.id_at()))
                        .map_err(failed)?;
                    crc.update(&id);
                    let id = std::str::from_utf8(&id).map_err(|_| damaged())?;
                    for text in [BEFORE_ID, id, BEFORE_STATUS, BLOCK_STATUS, BEFORE_REQUEST] {
                        piece.extend_from_slice(text.as_bytes());
                    }
                }
                let step = (place.request_len - *done).min(PIECE_BYTES as u32);
                let start = piece.len();
                piece.resize(start + step as usize, 0);
                self.file
                    .read_exact_at(&mut piece[start..], u64::from(place.request_at + *done))
                    .map_err(failed)?;
                crc.update(&piece[start..]);
                *done += step;
                if *done == place.request_len {
                    if crc.clone().finalize() != place.crc {
                        return Err(damaged());
                    }
                    piece.extend_from_slice(AFTER_REQUEST.as_bytes());
                }
            }
        }
        Ok(true)
    }

    /// Whether the job has this id.
    pub(crate) fn has_id(mut self, id: &str) -> Result<bool> {
        let (mut first, mut rest) = (Vec::new(), Vec::new());
        self.next_piece(&mut first)?;
        let found = first.get(BEFORE_ID.len()..).unwrap_or_default();
        if usize::from(self.row.id_len) == id.len() && found.starts_with(id.as_bytes()) {
            return Ok(true);
        }
        // A different id is trusted only if the whole text can be read and is intact.
        while self.next_piece(&mut rest)? {}
        Ok(false)
    }

    /// The whole text.
    pub(crate) fn text(mut self) -> Result<Vec<u8>> {
        self.whole_text()
    }

    /// The whole text, and the unlisted part.
    pub(crate) fn whole(mut self) -> Result<(Vec<u8>, Vec<u8>)> {
        let text = self.whole_text()?;
        let mut whole = Vec::new();
        match &mut self.source {
            Source::Tail { unlisted, .. } => whole = std::mem::take(unlisted),
            Source::Pack { .. } => {
                let mut piece = Vec::new();
                while self.next_in_pack(&mut piece)? {
                    whole.extend_from_slice(&piece);
                }
            }
        }
        if whole.len() != self.row.unlisted_end as usize {
            return Err(not_whole(&self.path));
        }
        Ok((text, whole))
    }

    /// The beginning of the unlisted part, after the last piece of the text has been read. Contains
    /// everything except, perhaps, some of the masked values.
    pub(crate) fn start_of_unlisted(&mut self) -> Result<Vec<u8>> {
        if let Source::Tail { unlisted, .. } = &mut self.source {
            return Ok(std::mem::take(unlisted));
        }
        let mut piece = Vec::new();
        if self.row.unlisted_end > 0 && !self.next_in_pack(&mut piece)? {
            return Err(not_whole(&self.path));
        }
        Ok(piece)
    }

    fn whole_text(&mut self) -> Result<Vec<u8>> {
        // The buffer grows piece by piece, because the recorded length is trusted only as far as
        // the text has been read.
        let (mut text, mut piece) = (Vec::new(), Vec::new());
        while self.next_piece(&mut piece)? {
            text.extend_from_slice(&piece);
        }
        if text.len() != self.row.end as usize {
            return Err(not_whole(&self.path));
        }
        Ok(text)
    }

    /// Reads the next piece of a packed job into `piece`; returns `false` if there is none.
    fn next_in_pack(&mut self, piece: &mut Vec<u8>) -> Result<bool> {
        let Source::Pack {
            seed, offset, left, ..
        } = &mut self.source
        else {
            return Ok(false);
        };
        if *left == 0 {
            piece.clear();
            return Ok(false);
        }
        let damaged = || Error::damaged(&self.path, *offset, "invalid large job");
        let sealed = read_piece(&*self.file, *offset, *left)
            .map_err(|e| Error::io("read", &self.path, &e))?
            .ok_or_else(damaged)?;
        let (graph, sequence, number) = *seed;
        let (len, taken) =
            open_piece(Seed::block(graph, sequence, number), &sealed, piece).ok_or_else(damaged)?;
        piece.truncate(len);
        seed.2 += 1;
        *offset += taken as u64;
        *left -= taken as u64;
        Ok(true)
    }
}

fn not_whole(path: &Path) -> Error {
    Error::damaged(path, 0, "incomplete large job")
}

/// The id of a job that is packed in pieces.
pub(crate) fn large_id(part: &Part, place: BlockPlace) -> Result<String> {
    let mut large = Large::in_pack(part, place)?;
    let mut piece = Vec::new();
    large.next_piece(&mut piece)?;
    let id = piece.get(BEFORE_ID.len()..BEFORE_ID.len() + usize::from(large.row.id_len));
    id.and_then(|id| String::from_utf8(id.to_vec()).ok())
        .ok_or_else(|| Error::damaged(&part.pack.path, place.offset, "invalid large job"))
}

/// The id of a large job, in a pack or a segment.
pub(crate) fn large_id_in(large: Large) -> Result<String> {
    let (sequence, row, path) = (large.sequence, large.row, large.path.clone());
    let text = large.text()?;
    let id = text
        .get(BEFORE_ID.len()..)
        .and_then(|text| text.get(..usize::from(row.id_len)))
        .and_then(|id| std::str::from_utf8(id).ok());
    id.map(str::to_owned)
        .ok_or_else(|| missing(&path, sequence))
}

/// The checksummed piece at `offset`, if it ends within `left` bytes.
fn read_piece(file: &dyn File, offset: u64, left: u64) -> std::io::Result<Option<Vec<u8>>> {
    if left < PIECE_HEADER_BYTES as u64 {
        return Ok(None);
    }
    let mut piece = vec![0; PIECE_HEADER_BYTES];
    file.read_exact_at(&mut piece, offset)?;
    match piece_len(&piece) {
        Some(len) if len as u64 <= left => {
            piece.resize(len, 0);
            file.read_exact_at(&mut piece, offset)?;
            Ok(Some(piece))
        }
        _ => Ok(None),
    }
}

/// Whether a job that is not packed yet is read in pieces.
pub(crate) fn is_large(place: &TailPlace) -> bool {
    let text = text_len(usize::from(place.id_len), place.request_len as usize);
    text + place.unlisted_len as usize > PIECE_BYTES
}
