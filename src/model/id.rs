// Job ids, and the form of the ids that a store generates.
//
// Generated ids are unique, even across restarts and even if the clock runs backward.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::model::error::{Error, Result, excerpt, excerpt_over};

/// The maximum length of an id, in characters.
pub(crate) const ID_CHARACTERS_MAX: usize = 128;

/// The id of a job: 1 to 128 characters of `0-9`, `A-Z`, `a-z`, `_` and `-`.
///
/// Ids are opaque: they do not determine the order of jobs. They are cheap to clone.
///
/// # Examples
/// ```
/// let id = jobstore::JobId::new("import-2024_07")?;
/// assert_eq!(id.as_str(), "import-2024_07");
/// assert!(jobstore::JobId::new("no spaces").is_err());
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(Arc<str>);

impl JobId {
    /// Creates an id from a string.
    ///
    /// # Errors
    /// [`Error::InvalidJobId`].
    pub fn new(text: impl AsRef<str>) -> Result<JobId> {
        let text = text.as_ref();
        check(text)?;
        Ok(JobId(text.into()))
    }

    /// Returns the id as a string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An invalid id, for an error message. It is shortened only if it is longer than a valid id can
/// be.
pub(crate) fn excerpt_id(given: &str) -> String {
    excerpt_over(ID_CHARACTERS_MAX, given)
}

/// Checks that a string is a valid id.
pub(crate) fn check(text: &str) -> Result<()> {
    let usable = (1..=ID_CHARACTERS_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if usable {
        Ok(())
    } else {
        Err(Error::InvalidJobId {
            given: excerpt(text),
            max: ID_CHARACTERS_MAX,
        })
    }
}

impl AsRef<str> for JobId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for JobId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for JobId {
    type Err = Error;
    fn from_str(text: &str) -> Result<JobId> {
        JobId::new(text)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

const NUMBER_DIGITS: usize = 19;
const UUID_CHARACTERS: usize = 36;
/// Half the number of low random bits in a version 7 UUID (RFC 9562, section 5.7).
const HALF_BITS: u32 = 31;
const HALF_MASK: u64 = (1 << HALF_BITS) - 1;
const ROUNDS: u64 = 6;

/// The ids that a graph generates: its 19-digit number, followed by a version 7 UUID whose 62 low
/// random bits are the job's sequence number under a keyed permutation.
///
/// Therefore, a job is found by its id without an index, and ids are as unique as sequence numbers.
/// A made-up id almost always decodes to a number that no job has. (The permutation is a Feistel
/// network over two 31-bit halves. It hides the numbers, but it is not a secure cipher.)
#[derive(Clone, Debug)]
pub(crate) struct OwnIds {
    number: u64,
    key: [u64; 2],
}

impl OwnIds {
    pub(crate) fn new(number: u64, key: [u64; 2]) -> OwnIds {
        OwnIds { number, key }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn key(&self) -> [u64; 2] {
        self.key
    }

    /// Creates the id for the job with this sequence number and time.
    pub(crate) fn make(&self, sequence: u64, time_ms: u64) -> JobId {
        let low = self.scramble(sequence);
        let high = mix(low ^ self.key[0]) & 0x0fff;
        let bits = (u128::from(time_ms & 0xffff_ffff_ffff) << 80)
            | (7 << 76)
            | (u128::from(high) << 64)
            | (0b10 << 62)
            | u128::from(low);
        let mut text = [0u8; NUMBER_DIGITS + UUID_CHARACTERS];
        let mut rest = self.number;
        for digit in text[..NUMBER_DIGITS].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        uuid::Uuid::from_u128(bits)
            .hyphenated()
            .encode_lower(&mut text[NUMBER_DIGITS..]);
        // Digits and hexadecimal text are ASCII.
        JobId(std::str::from_utf8(&text).unwrap_or_default().into())
    }

    /// Returns the sequence number in an id of this graph's form. The caller must compare the id
    /// with that of the job.
    pub(crate) fn sequence(&self, id: &str) -> Option<u64> {
        if id.len() != NUMBER_DIGITS + UUID_CHARACTERS || !id.is_ascii() {
            return None;
        }
        let (number, uuid) = id.split_at(NUMBER_DIGITS);
        if number.parse() != Ok(self.number) {
            return None;
        }
        let bits = uuid::Uuid::try_parse(uuid).ok()?.as_u128();
        if (bits >> 76) & 0xf != 7 || (bits >> 62) & 0b11 != 0b10 {
            return None;
        }
        Some(self.unscramble((bits as u64) & ((1 << (2 * HALF_BITS)) - 1)))
    }

    fn scramble(&self, value: u64) -> u64 {
        let (mut left, mut right) = ((value >> HALF_BITS) & HALF_MASK, value & HALF_MASK);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ self.round(round, right));
        }
        (left << HALF_BITS) | right
    }

    fn unscramble(&self, value: u64) -> u64 {
        let (mut left, mut right) = (value >> HALF_BITS, value & HALF_MASK);
        for round in (0..ROUNDS).rev() {
            (left, right) = (right ^ self.round(round, left), left);
        }
        (left << HALF_BITS) | right
    }

    fn round(&self, round: u64, half: u64) -> u64 {
        mix(self.key[(round & 1) as usize] ^ (half | (round << HALF_BITS))) & HALF_MASK
    }
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn ids() -> OwnIds {
        OwnIds::new(6_258_216_312_399_194_368, [3, 0xdead_beef])
    }

    #[test]
    fn an_own_id_carries_its_sequence_number() {
        for sequence in [0, 1, 2, 63, 64, 10_000_000, (1 << 62) - 1] {
            let id = ids().make(sequence, 1_700_000_000_000);
            assert_eq!(ids().sequence(id.as_str()), Some(sequence));
            assert_eq!(
                OwnIds::new(1_000_000_000_000_000_000, [3, 4]).sequence(id.as_str()),
                None
            );
        }
    }

    #[test]
    fn an_own_id_has_the_documented_form() {
        let id = ids().make(7, 1_700_000_000_000);
        let (number, uuid) = id.as_str().split_at(19);
        assert_eq!(number, "6258216312399194368");
        let uuid = uuid::Uuid::parse_str(uuid).unwrap();
        assert_eq!(uuid.get_version_num(), 7);
        assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
        assert_eq!(id.as_str().len(), 55);
    }

    #[test]
    fn own_ids_are_unique_whatever_the_clock_says() {
        let made: HashSet<JobId> = (0..50_000).map(|n| ids().make(n, 5 - n % 5)).collect();
        assert_eq!(made.len(), 50_000);
    }

    #[test]
    fn foreign_ids_are_not_taken_for_own_ones() {
        for id in [
            "62582163123991943683d0f9aa3-f701-48be-a662-360e6a0455da",
            "",
            "6258216312399194368",
            "6258216312399194368ééééééééééééééééé\u{e9}",
        ] {
            assert_eq!(ids().sequence(id), None, "{id}");
        }
    }

    #[test]
    fn ids_are_bounded_and_plain() {
        assert!(JobId::new("a").is_ok() && JobId::new("Z_-9".repeat(32)).is_ok());
        for bad in ["", "a b", "é", "a/b", &"x".repeat(129)] {
            assert!(
                matches!(JobId::new(bad), Err(Error::InvalidJobId { .. })),
                "{bad}"
            );
        }
    }
}
