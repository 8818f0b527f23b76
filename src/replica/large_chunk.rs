//! The reference that replaces, in the log, a chunk that is stored as a blob.

use crate::base::codec::{u32_at, u64_at, u128_at};
use crate::replica::chunk::crc;

/// The prefix of the blobs' names.
pub(crate) const PREFIX: &str = "large/";
const MAGIC: &[u8; 8] = b"JOBSLRGE";
const FORMAT: u32 = 1;
/// The fields and their sizes in bytes: magic 8, format 4, CRC of everything else 4, length 8,
/// hash 16, random 16.
const REFERENCE_BYTES: usize = 56;

/// Refers to a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// The length of the blob in bytes.
    pub(crate) len: u64,
    /// The XXH3 hash (128 bits) of the blob.
    pub(crate) hash: u128,
    /// Makes the name of the blob unique.
    pub(crate) random: u128,
}

/// Whether a chunk is meant to be a reference, which may be damaged.
pub(crate) fn is_reference(chunk: &[u8]) -> bool {
    chunk.starts_with(MAGIC)
}

impl Reference {
    /// The name of the blob for the chunk with this number.
    pub(crate) fn name(&self, number: u64) -> String {
        format!("{PREFIX}{number:020}.{:032x}", self.random)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut chunk = [&MAGIC[..], &FORMAT.to_le_bytes(), &[0; 4]].concat();
        chunk.extend_from_slice(&self.len.to_le_bytes());
        chunk.extend_from_slice(&self.hash.to_le_bytes());
        chunk.extend_from_slice(&self.random.to_le_bytes());
        let crc = crc(&chunk).to_le_bytes();
        chunk[12..16].copy_from_slice(&crc);
        chunk
    }

    /// Reads a reference; `None` if it is damaged, or of a newer version.
    pub(crate) fn decode(chunk: &[u8]) -> Option<Reference> {
        let is_whole = chunk.len() == REFERENCE_BYTES
            && is_reference(chunk)
            && u32_at(chunk, 8) == FORMAT
            && u32_at(chunk, 12) == crc(chunk);
        is_whole.then(|| Reference {
            len: u64_at(chunk, 16),
            hash: u128_at(chunk, 24),
            random: u128_at(chunk, 40),
        })
    }
}

/// Returns the number and the random bits in a blob's name.
pub(crate) fn parse_name(name: &str) -> Option<(u64, u128)> {
    let (number, random) = name.strip_prefix(PREFIX)?.split_once('.')?;
    let (number, random) = (number.parse().ok()?, u128::from_str_radix(random, 16).ok()?);
    let reference = Reference {
        len: 0,
        hash: 0,
        random,
    };
    (reference.name(number) == name).then_some((number, random))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_comes_back_and_no_altered_one_is_accepted() {
        let reference = Reference {
            len: 1 << 33,
            hash: 5 << 70 | 1,
            random: 7 << 90 | 2,
        };
        let chunk = reference.encode();
        assert_eq!(Reference::decode(&chunk), Some(reference));
        for at in 0..chunk.len() {
            let mut altered = chunk.clone();
            altered[at] ^= 1;
            assert_eq!(Reference::decode(&altered), None, "byte {at}");
            assert_eq!(Reference::decode(&chunk[..at]), None);
        }
        let name = reference.name(12);
        assert_eq!(parse_name(&name), Some((12, reference.random)));
        for name in [
            "large/",
            "large/12.5",
            "cp/1",
            &name[1..],
            &format!("{name}0"),
        ] {
            assert_eq!(parse_name(name), None, "{name}");
        }
    }
}
