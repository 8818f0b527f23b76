//! A piece: compressed bytes with a checksum that covers their position.

use crate::base::codec::u32_at;

/// The fields and their sizes in bytes: compressed length 4, length 4, CRC 4.
pub(crate) const PIECE_HEADER_BYTES: usize = 12;

/// The maximum compression ratio of LZ4.
const RATIO_MAX: usize = 255;

/// The identity of a piece. A piece opens only with the seed with which it was sealed.
#[derive(Clone, Copy)]
pub(crate) struct Seed([u8; 17]);

impl Seed {
    pub(crate) fn block(graph: u32, sequence: u64, piece: u32) -> Seed {
        Seed::of(0, graph, sequence, piece)
    }

    pub(crate) fn events(first_lsn: u64) -> Seed {
        Seed::of(1, 0, first_lsn, 0)
    }

    /// The seed of the `n`-th page of fingerprints of a graph whose first job in the pack is this
    /// one.
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

    pub(crate) fn crc(self, lengths: &[u8], data: &[u8]) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&self.0);
        crc.update(lengths);
        crc.update(data);
        crc.finalize()
    }
}

/// Buffers that are reused for sealing.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(super) raw: Vec<u8>,
    compressed: Vec<u8>,
}

/// Appends `raw` with its checksum, compressed if that makes it shorter.
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

/// Decompresses the piece at the start of `bytes` into `buffer`, which only grows. Returns the
/// lengths of the contents and of the piece. `None` if it is not the piece that was sealed with
/// this seed.
pub(crate) fn open_piece(seed: Seed, bytes: &[u8], buffer: &mut Vec<u8>) -> Option<(usize, usize)> {
    let header = bytes.get(..PIECE_HEADER_BYTES)?;
    let (packed_len, raw_len) = (u32_at(header, 0) as usize, u32_at(header, 4) as usize);
    let taken = PIECE_HEADER_BYTES.checked_add(packed_len)?;
    let data = bytes.get(PIECE_HEADER_BYTES..taken)?;
    if seed.crc(&header[..8], data) != u32_at(header, 8) {
        return None;
    }
    // The lengths are trusted only after the checksum is verified, and only up to the maximum
    // compression ratio.
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

/// Returns the length of the piece that begins with these bytes.
pub(crate) fn piece_len(header: &[u8]) -> Option<usize> {
    (header.len() >= PIECE_HEADER_BYTES).then(|| PIECE_HEADER_BYTES + u32_at(header, 0) as usize)
}
