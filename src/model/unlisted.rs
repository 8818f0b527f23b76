// What is stored with a request but is not part of its listed text: the request's origin, and the
// values that are masked in the text.

use crate::base::codec::{VarReader, put_var};

/// A flag: a value was masked before it was submitted, or is not stored.
const SECRETS_LOST: u8 = 1;
/// A flag: the origin follows the flags.
const ORIGIN: u8 = 2;

/// The unlisted part of a request, as it is stored: nothing if there is neither an origin nor a
/// masked value. Otherwise, the flags; the length (var) and text of the origin, if any; and these
/// fields for each stored value: the distance of its mask in the body from the previous mask (var),
/// and the value's length (var) and text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unlisted<'a> {
    pub(crate) origin: Option<&'a str>,
    /// Whether any of the masked values is unknown.
    pub(crate) secrets_lost: bool,
    /// The encoded values.
    pub(super) values: &'a [u8],
}

impl<'a> Unlisted<'a> {
    /// Reads the unlisted part; `None` if the bytes are invalid. The values are not checked.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Unlisted<'a>> {
        let Some((&flags, mut values)) = bytes.split_first() else {
            return Some(Unlisted::default());
        };
        let mut origin = None;
        if flags & ORIGIN != 0 {
            let mut reader = VarReader(values);
            let len = usize::try_from(reader.next()?).ok()?;
            let (text, rest) = reader.0.split_at_checked(len)?;
            origin = Some(std::str::from_utf8(text).ok()?);
            values = rest;
        }
        Some(Unlisted {
            origin,
            secrets_lost: flags & SECRETS_LOST != 0,
            values,
        })
    }

    /// Whether masked values are stored.
    pub(crate) fn has_values(&self) -> bool {
        !self.values.is_empty()
    }

    /// Whether the listed text contains masks.
    pub(crate) fn is_masked(&self) -> bool {
        self.secrets_lost || self.has_values()
    }

    /// Calls `each` with every stored value and the distance of its mask from the previous mask.
    /// Returns `None` if the bytes are invalid or if `each` returns `None`.
    pub(crate) fn each_value(&self, mut each: impl FnMut(usize, &str) -> Option<()>) -> Option<()> {
        let mut reader = VarReader(self.values);
        while !reader.0.is_empty() {
            let distance = usize::try_from(reader.next()?).ok()?;
            let len = usize::try_from(reader.next()?).ok()?;
            let (value, rest) = reader.0.split_at_checked(len)?;
            reader.0 = rest;
            each(distance, std::str::from_utf8(value).ok()?)?;
        }
        Some(())
    }

    /// Encodes the part.
    pub(crate) fn to_bytes(self) -> Box<[u8]> {
        if self == Unlisted::default() {
            return Box::default();
        }
        let mut flags = 0;
        // The flags, a length of at most two bytes, and the texts.
        let texts = self.origin.map_or(0, str::len) + self.values.len();
        let mut out = Vec::with_capacity(1 + 2 + texts);
        out.push(0);
        if self.secrets_lost {
            flags |= SECRETS_LOST;
        }
        if let Some(origin) = self.origin {
            flags |= ORIGIN;
            put_var(origin.len() as u64, &mut out);
            out.extend_from_slice(origin.as_bytes());
        }
        out[0] = flags;
        out.extend_from_slice(self.values);
        out.into()
    }
}

/// The masked values of a request, as they are found.
#[derive(Default)]
pub(crate) struct Values {
    encoded: Vec<u8>,
    pub(crate) secrets_lost: bool,
}

impl Values {
    /// Adds a value whose mask is at this distance from the previous one.
    pub(crate) fn push(&mut self, distance: usize, value: &str) {
        put_var(distance as u64, &mut self.encoded);
        put_var(value.len() as u64, &mut self.encoded);
        self.encoded.extend_from_slice(value.as_bytes());
    }

    pub(crate) fn with_origin<'a>(&'a self, origin: Option<&'a str>) -> Unlisted<'a> {
        Unlisted {
            origin,
            secrets_lost: self.secrets_lost,
            values: &self.encoded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unlisted_part_is_read_as_it_was_encoded() {
        let mut values = Values::default();
        for step in 0..3 {
            let mut seen = Vec::new();
            for origin in [None, Some(""), Some("alice"), Some("trace 4bf9 \u{e9}")] {
                let part = values.with_origin(origin);
                let bytes = part.to_bytes();
                assert_eq!(bytes.is_empty(), origin.is_none() && step == 0);
                assert_eq!(Unlisted::read(&bytes), Some(part));
                assert_eq!(part.is_masked(), step > 0);
                seen.clear();
                let each = |distance, value: &str| {
                    seen.push((distance, value.to_owned()));
                    Some(())
                };
                assert_eq!(part.each_value(each), Some(()));
                assert_eq!(seen.len(), step.min(1));
            }
            match step {
                0 => values.push(300, "\"hunter2\""),
                _ => values.secrets_lost = true,
            }
        }
    }

    #[test]
    fn damaged_parts_are_not_read() {
        let whole = Values::default().with_origin(Some("alice")).to_bytes();
        for len in 1..whole.len() {
            assert_eq!(Unlisted::read(&whole[..len]), None, "{len} bytes");
        }
        assert_eq!(Unlisted::read(&[ORIGIN, 1, 0xff]), None);
    }
}
