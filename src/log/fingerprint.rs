//! The fingerprint of a request: a hash that is the same for all spellings of its JSON.
//!
//! Requests that are equal ([`json::same_value`](crate::model::json::same_value)) have equal
//! fingerprints, in every release that reads the format. Different requests may also have equal
//! fingerprints, so a search by fingerprint compares the requests.
//!
//! The hash is computed bottom-up: from the characters of strings and the text of numbers to the
//! elements of arrays, in order, and the members of objects, in any order. It takes one pass over
//! the text, without sorting, and allocates only for strings with escapes.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::model::id::mix;
use crate::model::request::Request;
use crate::model::store_id::StoreId;

/// The number of bits in a fingerprint. Among 10 million jobs, one lookup in 100,000 finds a
/// different job with the same fingerprint, and reads that job's request in vain.
pub(crate) const FINGERPRINT_BITS: u32 = 40;

/// In a store with this id, half of all requests have the same fingerprint.
#[cfg(test)]
pub(crate) const COLLIDING: StoreId = StoreId(0xc0_111d_1216);

/// A hash that is the same for all equal requests in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Fingerprint(pub(crate) u64);

/// The maximum nesting of arrays and objects. Requests are nested less deeply, but text from a
/// damaged file may not be. Deeper values are treated as opaque text.
const DEPTH_MAX: usize = crate::model::json::DEPTH_MAX + 8;

/// Tags that distinguish kinds of values.
const STRING: u64 = 1;
const PLAIN: u64 = 2;
const ARRAY: u64 = 3;
const OBJECT: u64 = 4;

impl Fingerprint {
    pub(crate) fn of(store: StoreId, request: &Request) -> Fingerprint {
        Fingerprint::of_json(store, request.as_json())
    }

    /// Computes the fingerprint of a request in a store, from the compact JSON in which it is
    /// listed. The store id is included, so that requests crafted to collide in one store do not
    /// collide in another.
    pub(crate) fn of_json(store: StoreId, request: &str) -> Fingerprint {
        let mut hasher = Hasher {
            bytes: request.as_bytes(),
            text: request,
            at: 0,
            seed: store.0 as u64,
        };
        let hash = hasher.value(0);
        #[cfg(test)]
        if store == COLLIDING {
            return Fingerprint(hash & 1);
        }
        Fingerprint(hash >> (u64::BITS - FINGERPRINT_BITS))
    }

    /// Returns whether a store could have written this fingerprint.
    pub(crate) fn is_possible(self) -> bool {
        self.0 >> FINGERPRINT_BITS == 0
    }
}

struct Hasher<'a> {
    bytes: &'a [u8],
    text: &'a str,
    at: usize,
    seed: u64,
}

impl Hasher<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn leaf(&self, kind: u64, bytes: &[u8]) -> u64 {
        xxh3_64_with_seed(bytes, self.seed ^ kind)
    }

    fn value(&mut self, depth: usize) -> u64 {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'{') if depth < DEPTH_MAX => self.object(depth),
            Some(b'[') if depth < DEPTH_MAX => self.array(depth),
            _ => self.plain(depth),
        }
    }

    /// Skips this byte if it is the next one.
    fn skip(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn array(&mut self, depth: usize) -> u64 {
        self.at += 1;
        let mut hash = mix(self.seed ^ ARRAY);
        while self.peek().is_some() && !self.skip(b']') {
            hash = mix(hash ^ self.value(depth + 1));
            self.skip(b',');
        }
        hash
    }

    fn object(&mut self, depth: usize) -> u64 {
        self.at += 1;
        let mut sum = self.seed ^ OBJECT;
        while self.peek().is_some() && !self.skip(b'}') {
            let key = self.value(depth + 1);
            self.skip(b':');
            let value = self.value(depth + 1);
            // A sum does not depend on the order of the members.
            sum = sum.wrapping_add(mix(mix(key) ^ value));
            self.skip(b',');
        }
        mix(sum)
    }

    /// Hashes a number or a literal. In invalid JSON, it consumes at least one byte.
    fn plain(&mut self, depth: usize) -> u64 {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let len = match depth {
            DEPTH_MAX => rest.len(),
            _ => rest
                .iter()
                .position(|b| matches!(b, b',' | b']' | b'}' | b':'))
                .map_or(rest.len(), |len| len.max(1)),
        };
        self.at += len;
        self.leaf(PLAIN, rest.get(..len).unwrap_or_default())
    }

    fn string(&mut self) -> u64 {
        let start = self.at + 1;
        let mut escaped = false;
        let mut end = start;
        loop {
            end += plain_len(self.bytes.get(end..).unwrap_or_default());
            if self.bytes.get(end) != Some(&b'\\') {
                break;
            }
            escaped = true;
            end += 2;
        }
        let end = end.min(self.bytes.len());
        self.at = (end + 1).min(self.bytes.len());
        if escaped {
            let token = self.text.get(start - 1..self.at).unwrap_or_default();
            // An unpaired surrogate is not a character, so the escaped text itself is hashed.
            return match serde_json::from_str::<String>(token) {
                Ok(characters) => self.leaf(STRING, characters.as_bytes()),
                Err(_) => self.leaf(PLAIN, token.as_bytes()),
            };
        }
        self.leaf(STRING, self.bytes.get(start..end).unwrap_or_default())
    }
}

/// Returns how many bytes precede the first quote or backslash. Checks eight bytes at a time.
fn plain_len(bytes: &[u8]) -> usize {
    const LOW: u64 = u64::from_le_bytes([0x01; 8]);
    const HIGH: u64 = LOW << 7;
    // The high bit of the lowest zero byte is set; bits above it may also be set.
    let zeros = |word: u64| word.wrapping_sub(LOW) & !word & HIGH;
    let mut len = 0;
    for eight in bytes.chunks_exact(8) {
        let word = u64::from_le_bytes(eight.try_into().unwrap_or_default());
        let found = zeros(word ^ (LOW * u64::from(b'"'))) | zeros(word ^ (LOW * u64::from(b'\\')));
        if found != 0 {
            return len + (found.trailing_zeros() / 8) as usize;
        }
        len += 8;
    }
    let rest = bytes.get(len..).unwrap_or_default();
    len + rest
        .iter()
        .position(|b| matches!(b, b'"' | b'\\'))
        .unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::json;

    fn of(text: &str) -> u64 {
        Fingerprint::of_json(StoreId(7), text).0
    }

    #[test]
    fn equal_values_have_equal_fingerprints_and_others_have_others() {
        let values = [
            r#"{"a":1,"b":[2,3]}"#,
            r#"{"b":[2,3],"a":1}"#,
            r#"{"a":{"x":1,"y":"\u0041"}}"#,
            r#"{"a":{"y":"A","x":1}}"#,
            r#"{"a":{"y":"A","x":1.0}}"#,
            r#"{"a":1,"b":2}"#,
            r#"{"a":2,"b":1}"#,
            r#"{"a":"1","b":2}"#,
            r#"[1,2]"#,
            r#"[2,1]"#,
            r#"[[1],2]"#,
            r#"[1,[2]]"#,
            r#"[[1,2]]"#,
            r#"{}"#,
            r#"[]"#,
            r#"[{}]"#,
            r#""""#,
            r#"null"#,
            r#""null""#,
            r#"["a,b"]"#,
            r#"["a","b"]"#,
            r#""\ud800""#,
            r#""\uD800""#,
            r#""\\ud800""#,
            r#""a\"b""#,
            r#""a\u0022b""#,
            r#""\u00e9 12345678""#,
            r#""\u00E9 12345678""#,
            r#""é 12345678""#,
            r#""12345678\n""#,
        ];
        for a in values {
            for b in values {
                assert_eq!(of(a) == of(b), json::same_value(a, b), "{a} {b}");
            }
        }
    }

    #[test]
    fn a_fingerprint_stays_what_it_is() {
        // The hashes are stored in files, so they must not change.
        let request = r#"{"command":"c","url":"/\u00e9","body":{"b":[1,2.50,true],"a":"x"}}"#;
        assert_eq!(of(request), 334_213_911_541);
        assert_ne!(of(request), Fingerprint::of_json(StoreId(8), request).0);
        assert!(Fingerprint(of(request)).is_possible());
    }

    #[test]
    fn any_text_has_a_fingerprint() {
        let deep = "[".repeat(1 << 20);
        let members = r#"{"a":"#.repeat(1 << 18);
        let texts = [
            "",
            "\"",
            "\"\\",
            "\"\\\"",
            "{",
            "{\"a",
            "{\"a\"",
            "{\"a\":",
            "{1,2:3}}",
            "]",
            ",,",
            "}{",
            ":",
            "[:]",
            "\"12345678\\",
            "é\\\"é",
            "\"é\\",
            &deep,
            &members,
        ];
        for text in texts {
            assert!(Fingerprint(of(text)).is_possible());
        }
    }

    #[test]
    fn quotes_and_backslashes_are_found_wherever_they_stand() {
        for len in 0..40 {
            for end in [b'"', b'\\'] {
                let others = b"!#[]\xa2\xdc\x21\x80";
                let mut bytes: Vec<u8> = (0..len).map(|n| others[n % 8]).collect();
                assert_eq!(plain_len(&bytes), len);
                bytes.extend([end, b'x', b'"', b'\\', b'y', b'z', b'a', b'b', b'c']);
                assert_eq!(plain_len(&bytes), len, "{bytes:?}");
            }
        }
    }
}
