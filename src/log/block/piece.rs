//! A piece: compressed bytes with a checksum that covers their position.

use lz4::block::CompressionMode::HIGHCOMPRESSION;

use crate::base::codec::u32_at;

/// The fields and their sizes in bytes: compressed length 4, length 4, CRC 4.
pub(crate) const PIECE_HEADER_BYTES: usize = 12;

/// The maximum compression ratio of LZ4.
const RATIO_MAX: usize = 255;

/// The level of LZ4's high compression. A pack is written once, in the background, and read often.
/// Higher levels take longer and hardly save any space.
const COMPRESSION_LEVEL: i32 = 4;

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
    pub(super) columns: Vec<u8>,
    pub(super) pieces: Vec<u8>,
    compressed: Vec<u8>,
}

/// Appends `raw` with its checksum, compressed if that makes it shorter.
pub(crate) fn seal_piece(seed: Seed, raw: &[u8], scratch: &mut Scratch, out: &mut Vec<u8>) {
    // Compression fails if the result does not fit into the buffer, that is, if it would not be
    // shorter.
    scratch.compressed.resize(raw.len().saturating_sub(1), 0);
    let mode = Some(HIGHCOMPRESSION(COMPRESSION_LEVEL));
    let data = match lz4::block::compress_to_buffer(raw, mode, false, &mut scratch.compressed) {
        Ok(len) => &scratch.compressed[..len],
        Err(_) => raw,
    };
    let mut lengths = [0; 8];
    lengths[..4].copy_from_slice(&(data.len() as u32).to_le_bytes());
    lengths[4..].copy_from_slice(&(raw.len() as u32).to_le_bytes());
    out.extend_from_slice(&lengths);
    out.extend_from_slice(&seed.crc(&lengths, data).to_le_bytes());
    out.extend_from_slice(data);
}

/// The stored contents of a piece whose checksum is valid.
struct Stored<'p> {
    data: &'p [u8],
    raw_len: usize,
}

impl<'p> Stored<'p> {
    /// Returns the piece at the start of `bytes`. `None` if it is not the piece that was sealed with
    /// this seed.
    fn read(seed: Seed, bytes: &'p [u8]) -> Option<Stored<'p>> {
        let (header, rest) = bytes.split_at_checked(PIECE_HEADER_BYTES)?;
        let data = rest.get(..u32_at(header, 0) as usize)?;
        let raw_len = u32_at(header, 4) as usize;
        // The lengths are trusted only after the checksum is verified, and only up to the maximum
        // compression ratio.
        let valid = seed.crc(&header[..8], data) == u32_at(header, 8)
            && raw_len <= data.len().saturating_mul(RATIO_MAX);
        valid.then_some(Stored { data, raw_len })
    }

    /// Decompresses the contents, which fill `out` exactly. `None` if they do not.
    fn decompress(&self, out: &mut [u8]) -> Option<()> {
        if out.len() != self.raw_len {
            return None;
        }
        if self.data.len() == self.raw_len {
            out.copy_from_slice(self.data);
            return Some(());
        }
        let len = i32::try_from(out.len()).ok()?;
        let written = lz4::block::decompress_to_buffer(self.data, Some(len), out).ok()?;
        (written == self.raw_len).then_some(())
    }
}

/// Decompresses the piece at the start of `bytes` into `buffer`, which only grows. Returns the
/// lengths of the contents and of the piece. `None` if it is not the piece that was sealed with
/// this seed.
pub(crate) fn open_piece(seed: Seed, bytes: &[u8], buffer: &mut Vec<u8>) -> Option<(usize, usize)> {
    let stored = Stored::read(seed, bytes)?;
    if buffer.len() < stored.raw_len {
        buffer.resize(stored.raw_len, 0);
    }
    stored.decompress(&mut buffer[..stored.raw_len])?;
    Some((stored.raw_len, PIECE_HEADER_BYTES + stored.data.len()))
}

/// Decompresses a piece whose contents have the length of `out`. `None` if `piece` is not the piece
/// that was sealed with this seed, or if its contents have another length.
pub(super) fn open_piece_into(seed: Seed, piece: &[u8], out: &mut [u8]) -> Option<()> {
    let stored = Stored::read(seed, piece)?;
    if PIECE_HEADER_BYTES + stored.data.len() != piece.len() {
        return None;
    }
    stored.decompress(out)
}

/// Returns the length of the piece that begins with these bytes.
pub(crate) fn piece_len(header: &[u8]) -> Option<usize> {
    (header.len() >= PIECE_HEADER_BYTES).then(|| PIECE_HEADER_BYTES + u32_at(header, 0) as usize)
}
