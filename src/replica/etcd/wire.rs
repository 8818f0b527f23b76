//! The messages of etcd's gRPC interface that the log needs, in the encoding of Protocol Buffers.

use crate::base::codec::{VarReader, put_var};

/// A message that is being encoded.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn bytes(mut self, field: u64, value: &[u8]) -> Message {
        self.0.reserve(value.len() + 16);
        put_var(field << 3 | 2, &mut self.0);
        put_var(value.len() as u64, &mut self.0);
        self.0.extend_from_slice(value);
        self
    }

    fn number(mut self, field: u64, value: u64) -> Message {
        put_var(field << 3, &mut self.0);
        put_var(value, &mut self.0);
        self
    }
}

/// A `TxnRequest` that creates a key, or returns its value if it exists.
pub(super) fn create(key: &[u8], value: &[u8]) -> Vec<u8> {
    // EQUAL, CREATE, the key, and revision 0: the key does not exist.
    let compare = Message::default().number(1, 0).number(2, 1).bytes(3, key);
    let put = Message::default().bytes(1, key).bytes(2, value);
    Message::default()
        .bytes(1, &compare.number(5, 0).0)
        .bytes(2, &Message::default().bytes(2, &put.0).0)
        .bytes(3, &Message::default().bytes(1, &get(key)).0)
        .0
}

/// A `RangeRequest` for one key.
pub(super) fn get(key: &[u8]) -> Vec<u8> {
    Message::default().bytes(1, key).0
}

/// A `RangeRequest` for the keys from `from` to before `end`, at most `limit`, without values.
pub(super) fn list(from: &[u8], end: &[u8], limit: u64) -> Vec<u8> {
    let range = Message::default().bytes(1, from).bytes(2, end);
    range.number(3, limit).number(8, 1).0
}

/// A `TxnRequest` that deletes these keys, each range excluding its end.
pub(super) fn delete(ranges: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut txn = Message::default();
    for (from, end) in ranges {
        let delete = Message::default().bytes(1, from).bytes(2, end);
        txn = txn.bytes(2, &Message::default().bytes(3, &delete.0).0);
    }
    txn.0
}

/// An `AuthenticateRequest`.
pub(super) fn authenticate(user: &str, password: &str) -> Vec<u8> {
    let request = Message::default().bytes(1, user.as_bytes());
    request.bytes(2, password.as_bytes()).0
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Calls `each` for every field of a message; `None` if the message is malformed.
fn fields<'a>(message: &'a [u8], mut each: impl FnMut(u64, Value<'a>) -> Option<()>) -> Option<()> {
    let mut reader = VarReader(message);
    while !reader.0.is_empty() {
        let tag = reader.next()?;
        let value = match tag & 7 {
            0 => Value::Number(reader.next()?),
            1 => Value::Number(reader.eight()?),
            2 => {
                let len = usize::try_from(reader.next()?).ok()?;
                let (bytes, rest) = reader.0.split_at_checked(len)?;
                reader.0 = rest;
                Value::Bytes(bytes)
            }
            _ => return None,
        };
        each(tag >> 3, value)?;
    }
    Some(())
}

/// The bytes of the last field with this number.
fn bytes_of(message: &[u8], field: u64) -> Option<Option<&[u8]>> {
    let mut found = None;
    fields(message, |number, value| {
        if let (true, Value::Bytes(bytes)) = (number == field, value) {
            found = Some(bytes);
        }
        Some(())
    })?;
    Some(found)
}

/// A `RangeResponse`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// Keys and values.
    pub(super) entries: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether the limit left keys out.
    pub(super) more: bool,
}

impl Listing {
    pub(super) fn parse(message: &[u8]) -> Option<Listing> {
        let mut listing = Listing::default();
        fields(message, |field, value| {
            match (field, value) {
                (2, Value::Bytes(entry)) => {
                    let key = bytes_of(entry, 1)??.to_vec();
                    let value = bytes_of(entry, 5)?.unwrap_or_default().to_vec();
                    listing.entries.push((key, value));
                }
                (3, Value::Number(more)) => listing.more = more != 0,
                _ => {}
            }
            Some(())
        })?;
        Some(listing)
    }
}

/// The `TxnResponse` to [`create`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CreateResponse {
    Done,
    Taken(Listing),
}

impl CreateResponse {
    pub(super) fn parse(message: &[u8]) -> Option<CreateResponse> {
        let (mut succeeded, mut response) = (false, None);
        fields(message, |field, value| {
            match (field, value) {
                (2, Value::Number(flag)) => succeeded = flag != 0,
                (3, Value::Bytes(bytes)) => response = Some(bytes),
                _ => {}
            }
            Some(())
        })?;
        // A response to the put or to the get; an empty message is neither.
        match succeeded {
            true => bytes_of(response?, 2)?.map(|_| CreateResponse::Done),
            false => Some(CreateResponse::Taken(Listing::parse(bytes_of(
                response?, 1,
            )??)?)),
        }
    }
}

/// The id of the cluster, which the header of every response contains.
pub(super) fn cluster_id(message: &[u8]) -> Option<u64> {
    let mut id = None;
    fields(bytes_of(message, 1)??, |field, value| {
        if let (1, Value::Number(number)) = (field, value) {
            id = Some(number);
        }
        Some(())
    })?;
    id
}

/// The token of an `AuthenticateResponse`.
pub(super) fn token(message: &[u8]) -> Option<&[u8]> {
    bytes_of(message, 2)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_the_bytes_that_protoc_makes() {
        // echo 'key: "k" range_end: "l" limit: 7 keys_only: true' | protoc --encode ...
        assert_eq!(list(b"k", b"l", 7), b"\x0a\x01k\x12\x01l\x18\x07\x40\x01");
        let compare = b"\x0a\x09\x08\x00\x10\x01\x1a\x01k\x28\x00";
        let success = b"\x12\x08\x12\x06\x0a\x01k\x12\x01v";
        let failure = b"\x1a\x05\x0a\x03\x0a\x01k";
        assert_eq!(
            create(b"k", b"v"),
            [&compare[..], &success[..], &failure[..]].concat()
        );
        assert_eq!(
            delete(&[(b"k".to_vec(), b"l".to_vec())]),
            b"\x12\x08\x1a\x06\x0a\x01k\x12\x01l"
        );
        assert_eq!(authenticate("me", "pw"), b"\x0a\x02me\x12\x02pw");
    }

    #[test]
    fn responses_are_read_and_cut_ones_are_refused() {
        let entry = Message::default().bytes(1, b"k").number(2, 9);
        let entry = entry.bytes(5, b"value");
        let listing = Message::default().bytes(1, b"").bytes(2, &entry.0);
        let listing = listing.number(3, 1).number(4, 2).0;
        let expected = || Listing {
            entries: vec![(b"k".to_vec(), b"value".to_vec())],
            more: true,
        };
        assert_eq!(Listing::parse(&listing), Some(expected()));

        let response = Message::default().bytes(1, &listing);
        let taken = Message::default().bytes(1, b"").bytes(3, &response.0).0;
        assert_eq!(
            CreateResponse::parse(&taken),
            Some(CreateResponse::Taken(expected()))
        );
        for cut in 0..taken.len() {
            assert_eq!(CreateResponse::parse(&taken[..cut]), None, "{cut}");
        }

        let done = Message::default().bytes(2, b"");
        let done = Message::default().number(2, 1).bytes(3, &done.0).0;
        assert_eq!(CreateResponse::parse(&done), Some(CreateResponse::Done));
        // A put that failed, a get that succeeded, and messages without a response.
        assert_eq!(CreateResponse::parse(&done[2..]), None);
        assert_eq!(
            CreateResponse::parse(&[b"\x10\x01", &taken[2..]].concat()),
            None
        );
        assert_eq!(CreateResponse::parse(b"\x10\x01"), None);
        assert_eq!(CreateResponse::parse(b""), None);
        assert_eq!(token(b"\x12\x03abc"), Some(&b"abc"[..]));
        assert_eq!(token(b""), None);
        assert_eq!(cluster_id(b"\x0a\x03\x08\x96\x01\x12\x01t"), Some(150));
        assert_eq!(cluster_id(b"\x12\x01t"), None);
    }

    #[test]
    fn no_message_makes_the_parsers_panic() {
        let mut state = 1u64;
        for _ in 0..200_000 {
            let mut message = [0; 12];
            for byte in &mut message {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
                *byte = (state >> 33) as u8 & 0x9f;
            }
            let _ = (Listing::parse(&message), CreateResponse::parse(&message));
            let _ = (cluster_id(&message), token(&message));
        }
    }
}
