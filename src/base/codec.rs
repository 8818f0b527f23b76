//! Encoding and decoding of small values with variable-length, little-endian integers. This is the
//! only file that refers to bincode.
//!
//! A malicious length in the input does not cause a large allocation. Trailing bytes are an error.

use serde::{Deserialize, Deserializer, Serialize};

/// An exclusive upper bound for the numbers of jobs, events, opens, and segments. No store reaches
/// it, and the sum of two such numbers does not overflow.
pub(crate) const NUMBER_MAX: u64 = 1 << 62;

/// The maximum size of a decoded value. The largest value is a submitted request.
const BYTES_MAX: usize = 512 << 20;

/// Appends the encoding of a value.
pub(crate) fn encode_into<T: Serialize>(value: &T, out: &mut Vec<u8>) {
    let config = bincode::config::standard();
    // All types encoded here are serializable, and writing to a `Vec` cannot fail.
    let encoded = bincode::serde::encode_into_std_write(value, out, config);
    debug_assert!(encoded.is_ok());
}

/// Returns the encoding of a value.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    encode_into(value, &mut out);
    out
}

/// Decodes the value at the start of `bytes`, and returns it with its encoded length.
pub(crate) fn decode_prefix<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<(T, usize)> {
    let config = bincode::config::standard().with_limit::<BYTES_MAX>();
    bincode::serde::borrow_decode_from_slice(bytes, config).ok()
}

/// Decodes a value that takes up all of `bytes`.
pub(crate) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    let (value, taken) = decode_prefix(bytes)?;
    (taken == bytes.len()).then_some(value)
}

/// Deserializes an owned string. It is deserialized as a borrowed string first, because bincode
/// reserves the declared length of an owned string before checking how many bytes there are.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    <&str>::deserialize(deserializer).map(str::to_owned)
}

/// Deserializes an optional owned string.
pub(crate) fn text_if_any<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let text = <Option<&str>>::deserialize(deserializer)?;
    Ok(text.map(str::to_owned))
}

/// Returns the number of bytes that precede a string of this length in the encoding.
pub(crate) fn length_prefix_bytes(len: usize) -> usize {
    match len {
        0..=250 => 1,
        251..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

/// A reader of LEB128 integers (7 bits per byte), used for packed columns.
pub(crate) struct VarReader<'a>(pub(crate) &'a [u8]);

impl VarReader<'_> {
    #[inline]
    pub(crate) fn next(&mut self) -> Option<u64> {
        // Nearly all integers have one or two bytes.
        let (value, rest) = match *self.0 {
            [a, ref rest @ ..] if a < 0x80 => (u64::from(a), rest),
            [a, b, ref rest @ ..] if b < 0x80 => (u64::from(a & 0x7f) | u64::from(b) << 7, rest),
            _ => return self.next_long(),
        };
        self.0 = rest;
        Some(value)
    }

    /// Reads the next byte.
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    /// Reads the next eight bytes as a little-endian integer.
    pub(crate) fn eight(&mut self) -> Option<u64> {
        let (bytes, rest) = self.0.split_at_checked(8)?;
        self.0 = rest;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }

    fn next_long(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for (n, byte) in self.0.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f).checked_shl(7 * n as u32)?;
            if byte & 0x80 == 0 {
                self.0 = &self.0[n + 1..];
                return Some(value);
            }
        }
        None
    }
}

/// Appends an integer with 7 bits per byte.
pub(crate) fn put_var(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads the little-endian integer at this offset.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}

/// Reads the little-endian integer at this offset.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(eight)
}

/// Reads the little-endian integer at this offset.
pub(crate) fn u128_at(bytes: &[u8], at: usize) -> u128 {
    let mut sixteen = [0; 16];
    sixteen.copy_from_slice(&bytes[at..at + 16]);
    u128::from_le_bytes(sixteen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_prefix_is_what_the_encoding_writes() {
        for len in [0, 1, 250, 251, 252, 0xffff, 0x1_0000, 1 << 20] {
            let text = "x".repeat(len);
            assert_eq!(encode(&text).len() - len, length_prefix_bytes(len), "{len}");
        }
    }

    #[test]
    fn left_over_bytes_and_hostile_lengths_are_refused() {
        assert_eq!(decode::<u8>(&[1, 0]), None);
        assert_eq!(
            decode::<&str>(&[253, 255, 255, 255, 255, 255, 255, 255, 255]),
            None
        );
        assert_eq!(
            decode::<Vec<u64>>(&[253, 255, 255, 255, 255, 255, 255, 255, 127]),
            None
        );
    }

    #[test]
    fn packed_integers_come_back() {
        let mut bytes = Vec::new();
        let values = [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX];
        values.iter().for_each(|&v| put_var(v, &mut bytes));
        let mut reader = VarReader(&bytes);
        assert!(values.iter().all(|&v| reader.next() == Some(v)));
        assert_eq!(reader.next(), None);
        assert_eq!(VarReader(&[0x80; 11]).next(), None);
    }
}
