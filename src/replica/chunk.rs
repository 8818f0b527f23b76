//! A chunk: one numbered object of a replica's log.
//!
//! A chunk contains frames as they are in a segment, a claim, the announcement of a trim, or the
//! record of the secret keys.

use crate::base::codec::{NUMBER_MAX, u32_at, u64_at, u128_at};
use crate::log::outbox::HEADER_ROOM;
use crate::model::store_id::StoreId;

/// The fields and their sizes in bytes: magic 8, format 4, CRC 4, kind 4, length of the payload 4,
/// number 8, claim 8, reign 16, store id 16, first LSN 8, end LSN 8, epoch 8, offset 8.
pub(crate) const CHUNK_HEADER_BYTES: usize = HEADER_ROOM;
const MAGIC: &[u8; 8] = b"JOBSCHNK";
/// The format of chunks and checkpoints.
pub(crate) const REPLICA_FORMAT: u32 = 1;

/// Identifies a writer of chunks, which is one open of a store for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Writer {
    pub(crate) store: StoreId,
    /// 128 random bits that identify the writer.
    pub(crate) reign: u128,
    /// The number of the chunk with which the reign began.
    pub(crate) claim: u64,
}

/// What a chunk contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Bytes of a segment from `offset` on: whole frames and, if the offset is 0, the segment's
    /// header before them.
    Frames {
        epoch: u64,
        offset: u64,
        /// The LSN of the first event.
        first_lsn: u64,
        /// The LSN after the last event.
        end_lsn: u64,
    },
    /// The payload is the text of a [`Holder`](crate::replica::holder::Holder).
    Claim,
    /// Everything that the checkpoint up to this number replaces may be removed.
    Trim { through: u64 },
    /// The payload is the text of `SECRET-KEYS`, which applies from here on. Follows a claim.
    SecretKeys,
}

/// The header of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkHeader {
    pub(crate) number: u64,
    pub(crate) writer: Writer,
    pub(crate) content: Content,
}

/// Why bytes are not a valid chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChunkError {
    /// The format of the chunk is newer than [`REPLICA_FORMAT`].
    Newer(u32),
    Damaged,
}

impl ChunkHeader {
    /// Writes the header to the first bytes of `chunk`. The payload already follows them.
    pub(crate) fn seal(&self, chunk: &mut [u8]) {
        let payload_len = (chunk.len() - CHUNK_HEADER_BYTES) as u32;
        let (kind, numbers) = match self.content {
            Content::Frames {
                epoch,
                offset,
                first_lsn,
                end_lsn,
            } => (1, [first_lsn, end_lsn, epoch, offset]),
            Content::Claim => (2, [0; 4]),
            Content::Trim { through } => (3, [through, 0, 0, 0]),
            Content::SecretKeys => (4, [0; 4]),
        };
        let header = &mut chunk[..CHUNK_HEADER_BYTES];
        header[0..8].copy_from_slice(MAGIC);
        header[8..12].copy_from_slice(&REPLICA_FORMAT.to_le_bytes());
        header[16..20].copy_from_slice(&u32::to_le_bytes(kind));
        header[20..24].copy_from_slice(&payload_len.to_le_bytes());
        header[24..32].copy_from_slice(&self.number.to_le_bytes());
        header[32..40].copy_from_slice(&self.writer.claim.to_le_bytes());
        header[40..56].copy_from_slice(&self.writer.reign.to_le_bytes());
        header[56..72].copy_from_slice(&self.writer.store.0.to_le_bytes());
        for (at, number) in [72, 80, 88, 96].into_iter().zip(numbers) {
            header[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        let crc = crc(chunk);
        chunk[12..16].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads and verifies the chunk with this number.
    pub(crate) fn parse(number: u64, chunk: &[u8]) -> Result<ChunkHeader, ChunkError> {
        if chunk.len() < CHUNK_HEADER_BYTES || chunk[..8] != MAGIC[..] {
            return Err(ChunkError::Damaged);
        }
        let format = u32_at(chunk, 8);
        if format > REPLICA_FORMAT {
            return Err(ChunkError::Newer(format));
        }
        let payload_len = chunk.len() - CHUNK_HEADER_BYTES;
        let is_whole = format == REPLICA_FORMAT
            && u32_at(chunk, 12) == crc(chunk)
            && u32_at(chunk, 20) as usize == payload_len
            && u64_at(chunk, 24) == number;
        let (first, end) = (u64_at(chunk, 72), u64_at(chunk, 80));
        let content = match u32_at(chunk, 16) {
            1 => Content::Frames {
                first_lsn: first,
                end_lsn: end,
                epoch: u64_at(chunk, 88),
                offset: u64_at(chunk, 96),
            },
            2 => Content::Claim,
            3 => Content::Trim { through: first },
            4 => Content::SecretKeys,
            _ => return Err(ChunkError::Damaged),
        };
        let is_possible = match content {
            Content::Frames {
                epoch,
                offset,
                first_lsn,
                end_lsn,
            } => {
                let known = epoch < NUMBER_MAX && offset < NUMBER_MAX && end_lsn < NUMBER_MAX;
                known && first_lsn > 0 && first_lsn <= end_lsn && payload_len > 0
            }
            Content::Claim | Content::SecretKeys => true,
            Content::Trim { through } => through < number,
        };
        let header = ChunkHeader {
            number,
            writer: Writer {
                store: StoreId(u128_at(chunk, 56)),
                reign: u128_at(chunk, 40),
                claim: u64_at(chunk, 32),
            },
            content,
        };
        let claim = header.writer.claim;
        let is_claim = content == Content::Claim;
        let is_ordered = claim <= number && is_claim == (claim == number);
        match is_whole && is_possible && is_ordered {
            true => Ok(header),
            false => Err(ChunkError::Damaged),
        }
    }

    /// Returns a whole chunk.
    pub(crate) fn chunk(&self, payload: &[u8]) -> Vec<u8> {
        let mut chunk = Vec::with_capacity(CHUNK_HEADER_BYTES + payload.len());
        chunk.resize(CHUNK_HEADER_BYTES, 0);
        chunk.extend_from_slice(payload);
        self.seal(&mut chunk);
        chunk
    }
}

/// The checksum of a chunk, excluding the checksum itself, which is at bytes 12 to 15.
pub(super) fn crc(chunk: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&chunk[..12]);
    crc.update(&chunk[16..]);
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer() -> Writer {
        Writer {
            store: StoreId(7 << 64 | 5),
            reign: 3 << 64 | 2,
            claim: 4,
        }
    }

    #[test]
    fn a_chunk_comes_back_and_no_altered_one_is_accepted() {
        let frames = Content::Frames {
            epoch: 9,
            offset: 64,
            first_lsn: 100,
            end_lsn: 102,
        };
        for (number, content) in [
            (5, frames),
            (4, Content::Claim),
            (6, Content::Trim { through: 5 }),
            (7, Content::SecretKeys),
        ] {
            let header = ChunkHeader {
                number,
                writer: writer(),
                content,
            };
            let chunk = header.chunk(b"payload");
            assert_eq!(ChunkHeader::parse(number, &chunk), Ok(header));
            assert_eq!(
                ChunkHeader::parse(number + 1, &chunk),
                Err(ChunkError::Damaged)
            );
            for at in 0..chunk.len() {
                let mut altered = chunk.clone();
                altered[at] ^= 1;
                assert!(ChunkHeader::parse(number, &altered).is_err(), "byte {at}");
                assert!(ChunkHeader::parse(number, &chunk[..at]).is_err());
            }
        }
    }
}
