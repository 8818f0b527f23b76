//! What can happen in a store: the events the log is made of.
//!
//! Owns: their fields and encoding. Must not know: frames, graphs' states.
//! Promise: an event that was read back is the one that was written.

use serde::{Deserialize, Serialize};

use crate::storage::codec;

/// One change, with everything that is needed to make it again.
///
/// Every event has a log sequence number (LSN), counted over all graphs from 1;
/// it follows from the event's place. Graphs are numbered from 0 in the order of
/// their creation, jobs from 0 within their graph; no number is used twice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Event<'a> {
    /// The store was opened for the `boot`-th time.
    Booted {
        boot: u64,
        time_ms: u64,
    },
    GraphCreated {
        graph: u32,
        /// The 19 digits its own ids begin with.
        number: u64,
        /// The key of the permutation inside its own ids.
        key: [u64; 2],
        time_ms: u64,
        project: &'a str,
        name: &'a str,
    },
    GraphDropped {
        graph: u32,
        time_ms: u64,
    },
    /// `id` and `request` stand at the end, so that they can be read in place.
    Submitted {
        graph: u32,
        sequence: u64,
        time_ms: u64,
        id: &'a str,
        request: &'a str,
    },
    Started {
        graph: u32,
        sequence: u64,
        time_ms: u64,
    },
    CancelRequested {
        graph: u32,
        sequence: u64,
        time_ms: u64,
    },
    Completed {
        graph: u32,
        sequence: u64,
        time_ms: u64,
        kind: u8,
        extra: Option<Box<Extra>>,
    },
    /// What an open did with the jobs it found running.
    Recovered {
        graph: u32,
        boot: u64,
        time_ms: u64,
        action: RecoveredAs,
        /// Their sequence numbers, ascending: the first, then the distances.
        sequences: &'a [u8],
    },
    /// In packs only: `count` submissions in a row, whose requests stand in the
    /// pack's blocks. It covers `count` LSNs.
    Submits {
        graph: u32,
        first_sequence: u64,
        count: u64,
    },
    /// In packs only: a repair found so many events damaged. What they did to jobs
    /// that were not complete before is not known.
    Lost {
        count: u64,
    },
}

/// The parts of an outcome that most jobs do not have.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Extra {
    pub(crate) code: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) detail: Option<String>,
    pub(crate) result_ref: Option<String>,
}

/// What became of a job that an open found running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RecoveredAs {
    Interrupted,
    Cancelled,
    Requeued,
}

impl std::fmt::Debug for Extra {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It may hold what a client sent.
        f.write_str("Extra")
    }
}

impl<'a> Event<'a> {
    pub(crate) fn encode_into(&self, out: &mut Vec<u8>) {
        codec::encode_into(self, out);
    }

    pub(crate) fn decode_prefix(bytes: &'a [u8]) -> Option<(Event<'a>, usize)> {
        codec::decode_prefix(bytes)
    }

    /// How many LSNs it covers.
    pub(crate) fn lsns(&self) -> u64 {
        match self {
            Event::Submits { count, .. } | Event::Lost { count } => *count,
            _ => 1,
        }
    }
}

/// Where id and request of a submission stand, counted from the end of its event.
pub(crate) fn texts_from_end(id: &str, request: &str) -> (usize, usize) {
    let request_from_end = request.len();
    let id_from_end = request_from_end + codec::length_prefix_bytes(request.len()) + id.len();
    (id_from_end, request_from_end)
}

/// Ascending sequence numbers as packed bytes.
pub(crate) fn pack_sequences(sequences: &[u64]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut before = 0;
    for &sequence in sequences {
        codec::put_var(sequence - before, &mut out);
        before = sequence;
    }
    out
}

/// The reverse of [`pack_sequences`]; `None` when the bytes are not that.
pub(crate) fn unpack_sequences(bytes: &[u8]) -> Option<Vec<u64>> {
    let mut reader = codec::VarReader(bytes);
    let mut sequences = Vec::new();
    let mut sequence = 0u64;
    while !reader.0.is_empty() {
        sequence = sequence.checked_add(reader.next()?)?;
        sequences.push(sequence);
    }
    Some(sequences)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_back_and_texts_stand_where_they_are_said_to() {
        let request = "r".repeat(300);
        let event = Event::Submitted {
            graph: 1,
            sequence: 7,
            time_ms: 1_700_000_000_000,
            id: "job-1",
            request: &request,
        };
        let mut bytes = Vec::new();
        event.encode_into(&mut bytes);
        assert_eq!(Event::decode_prefix(&bytes), Some((event, bytes.len())));
        let (id_at, request_at) = texts_from_end("job-1", &request);
        assert_eq!(&bytes[bytes.len() - id_at..][..5], b"job-1");
        assert_eq!(&bytes[bytes.len() - request_at..], request.as_bytes());
    }

    #[test]
    fn recovered_jobs_come_back() {
        let sequences = [0, 1, 5, 1_000_000];
        let packed = pack_sequences(&sequences);
        let event = Event::Recovered {
            graph: 0,
            boot: 2,
            time_ms: 3,
            action: RecoveredAs::Cancelled,
            sequences: &packed,
        };
        let mut bytes = Vec::new();
        event.encode_into(&mut bytes);
        assert_eq!(Event::decode_prefix(&bytes), Some((event, bytes.len())));
        assert_eq!(unpack_sequences(&packed).as_deref(), Some(&sequences[..]));
        assert_eq!(unpack_sequences(&[0x80]), None);
    }
}
