// Opaque strings that are issued to callers: hexadecimal fields with a checksum. The checksum
// detects alterations, but does not protect against forgery.

use crate::model::id::OwnIds;

/// An open of the store, as recorded in its `StoreOpened` event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenEvent {
    pub(crate) lsn: u64,
    pub(crate) open_number: u64,
    pub(crate) time_ms: u64,
}

/// A point in the history of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LogPoint {
    /// The last event known at that point.
    pub(crate) lsn: u64,
    /// The LSN of the open during which the point was taken.
    pub(crate) open_lsn: u64,
}

/// A checksum of the fields of an opaque string, its graph's key, and the open of the store during
/// which it was issued.
pub(crate) fn seal(
    version: u8,
    graph: &OwnIds,
    (point, open_event): (LogPoint, OpenEvent),
    own: &[u64],
) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    let key = graph.key();
    let common = [
        u64::from(version),
        key[0],
        key[1],
        graph.number(),
        point.lsn,
        open_event.lsn,
        open_event.time_ms,
    ];
    for number in common.iter().chain(own) {
        crc.update(&number.to_le_bytes());
    }
    crc.finalize()
}

/// The fields of an opaque string, after its version.
pub(crate) struct Fields<'t>(&'t str);

impl<'t> Fields<'t> {
    /// Returns `None` if the string has another version or length.
    pub(crate) fn of(text: &'t str, version: u8, bytes: usize) -> Option<Fields<'t>> {
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let is_whole = text.len() == 2 * bytes && text.bytes().all(is_hex);
        let mut fields = Fields(text);
        (is_whole && fields.next(1)? == u64::from(version)).then_some(fields)
    }

    /// The next field, of this many bytes.
    pub(crate) fn next(&mut self, bytes: usize) -> Option<u64> {
        let (field, rest) = self.0.split_at_checked(2 * bytes)?;
        self.0 = rest;
        u64::from_str_radix(field, 16).ok()
    }
}
