//! The events that the log consists of: their fields and encoding.
//!
//! Decoding an event returns exactly what was encoded.

use serde::{Deserialize, Serialize};

use crate::base::codec;
use crate::base::codec::NUMBER_MAX;
use crate::log::clock_gaps::Gap;
use crate::log::fingerprint::Fingerprint;
use crate::log::purged_jobs;
use crate::log::{erased_history, submit_runs};
use crate::model::history::COMMANDS_MAX;
use crate::model::id::ID_CHARACTERS_MAX;
use crate::model::outcome::{Extra, OutcomeKind};
use crate::model::request::COMMAND_BYTES_MAX;

/// A change to the store, with everything that is needed to apply it again.
///
/// Every event has a log sequence number (LSN), counted over all graphs from 1. It is not stored,
/// but follows from the position of the event. Graphs are numbered from 0 in the order of their
/// creation, and jobs from 0 within their graph. No number is ever reused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Event<'a> {
    /// The store was opened for writing, for the `open_number`-th time.
    StoreOpened {
        open_number: u64,
        time_ms: u64,
    },
    GraphCreated {
        graph: u32,
        /// The 19 digits with which the ids of the graph begin.
        number: u64,
        /// The key of the permutation that the graph's own ids are generated with.
        key: [u64; 2],
        time_ms: u64,
        project: &'a str,
        name: &'a str,
    },
    GraphDropped {
        graph: u32,
        time_ms: u64,
    },
    /// The texts come last, so that they can be read in place.
    Submitted {
        graph: u32,
        sequence: u64,
        time_ms: u64,
        fingerprint: Fingerprint,
        /// The number of the request's command, or 0.
        command: u8,
        #[serde(borrow)]
        texts: SubmissionTexts<'a>,
    },
    Started {
        graph: u32,
        sequence: u64,
        time_ms: u64,
        command: u8,
        /// The time since the submission, if known.
        wait_ms: Option<u64>,
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
        /// The reading of the age clock when the job completed, minus `time_ms`.
        age_shift_ms: i64,
        kind: u8,
        command: u8,
        /// The time since the start, if the job was started and the time is known.
        run_ms: Option<u64>,
        extra: Option<Box<Extra>>,
    },
    /// An open found jobs running, and recovered them.
    Recovered {
        graph: u32,
        open_number: u64,
        time_ms: u64,
        /// The reading of the age clock at this event, minus `time_ms`.
        age_shift_ms: i64,
        action: RecoveredAs,
        /// The number of the jobs' command.
        command: u8,
        /// The sequence numbers of the jobs, ascending: the first number, then the differences.
        sequences: &'a [u8],
    },
    /// In packs only: `count` consecutive submissions, whose requests are in the blocks of the
    /// pack. It covers `count` LSNs.
    Submits {
        graph: u32,
        first_sequence: u64,
        count: u64,
        /// When the jobs were submitted, and with which commands: see
        /// [`crate::log::submit_runs`].
        runs: &'a [u8],
    },
    /// In packs only: `count` events that a repair found damaged. Their effects on jobs that were
    /// not complete are unknown.
    Lost {
        count: u64,
    },
    /// Complete jobs were purged.
    Purged {
        graph: u32,
        time_ms: u64,
        /// The reading of the age clock at this event, minus `time_ms`.
        age_shift_ms: i64,
        why: u8,
        /// The jobs, ascending: see [`crate::log::purged_jobs`].
        jobs: &'a [u8],
    },
    /// The tombstones of a graph's purges, up to one of them, are forgotten.
    Forgotten {
        graph: u32,
        /// The LSN of the last purge whose tombstones are forgotten.
        through_lsn: u64,
        /// The jobs of these tombstones, ascending: the first number, then the differences. A
        /// rewritten pack keeps only those that no block entry marks as purged.
        sequences: &'a [u8],
    },
    /// In packs only: `count` events of jobs that have since been purged. It covers `count` LSNs.
    Erased {
        count: u64,
        /// What these events contribute to the histories of graphs: see
        /// [`crate::log::erased_history`].
        history: &'a [u8],
    },
    /// The submission that directly precedes this event was made under this idempotency key.
    Keyed {
        graph: u32,
        sequence: u64,
        key: &'a str,
    },
    /// Changes nothing. It is written so that its frame records the clocks.
    Clock,
    /// An operator confirmed time that the age clock did not count.
    Confirmed(Gap),
    /// A graph's command was assigned a number. Later events refer to the command by its number.
    Command {
        graph: u32,
        number: u8,
        name: &'a str,
    },
}

/// What an open did with a job that it found running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RecoveredAs {
    Interrupted,
    Cancelled,
    Requeued,
}

impl RecoveredAs {
    /// The outcome of the jobs; `None` if they are pending again.
    pub(crate) fn outcome(self) -> Option<OutcomeKind> {
        match self {
            RecoveredAs::Interrupted => Some(OutcomeKind::Interrupted),
            RecoveredAs::Cancelled => Some(OutcomeKind::Cancelled),
            RecoveredAs::Requeued => None,
        }
    }
}

impl<'a> Event<'a> {
    pub(crate) fn encode_into(&self, out: &mut Vec<u8>) {
        codec::encode_into(self, out);
    }

    pub(crate) fn decode_prefix(bytes: &'a [u8]) -> Option<(Event<'a>, usize)> {
        let (event, taken) = codec::decode_prefix::<Event<'a>>(bytes)?;
        event.is_possible().then_some((event, taken))
    }

    /// Returns whether a store could have written this event. Damaged or forged data may have a
    /// valid checksum, so the fields are checked again here.
    pub(super) fn is_possible(&self) -> bool {
        let fits = |number: u64| number < NUMBER_MAX;
        match *self {
            Event::Submitted {
                sequence,
                time_ms,
                fingerprint,
                texts,
                ..
            } => {
                let texts = texts.id.len() <= ID_CHARACTERS_MAX && fingerprint.is_possible();
                fits(sequence) && fits(time_ms) && texts
            }
            Event::Keyed { sequence, .. } => fits(sequence),
            Event::Command { number, name, .. } => {
                (1..=COMMANDS_MAX).contains(&number) && name.len() <= COMMAND_BYTES_MAX
            }
            Event::Clock => true,
            Event::Confirmed(gap) => gap.is_possible(),
            Event::Started {
                sequence,
                time_ms,
                wait_ms,
                ..
            } => fits(sequence) && fits(time_ms) && fits(wait_ms.unwrap_or(0)),
            Event::CancelRequested {
                sequence, time_ms, ..
            } => fits(sequence) && fits(time_ms),
            Event::Completed {
                sequence,
                time_ms,
                age_shift_ms,
                run_ms,
                ..
            } => {
                let times = fits(time_ms) && fits(age_shift_ms.unsigned_abs());
                fits(sequence) && times && fits(run_ms.unwrap_or(0))
            }
            Event::Recovered {
                open_number,
                time_ms,
                age_shift_ms,
                sequences,
                ..
            } => {
                let times = fits(time_ms) && fits(age_shift_ms.unsigned_abs());
                fits(open_number) && times && last_of_sequences(sequences).is_some()
            }
            Event::Submits {
                first_sequence,
                count,
                runs,
                ..
            } => {
                let is_count = (1..NUMBER_MAX).contains(&count);
                fits(first_sequence) && is_count && submit_runs::jobs(runs) == Some(count)
            }
            Event::StoreOpened { open_number, .. } => fits(open_number),
            Event::Purged {
                time_ms,
                age_shift_ms,
                jobs,
                ..
            } => {
                let times = fits(time_ms) && fits(age_shift_ms.unsigned_abs());
                times && purged_jobs::unpack(jobs).is_some()
            }
            Event::Forgotten {
                through_lsn,
                sequences,
                ..
            } => fits(through_lsn) && last_of_sequences(sequences).is_some(),
            Event::Lost { count } => (1..NUMBER_MAX).contains(&count),
            Event::Erased { count, history } => {
                let is_count = (1..NUMBER_MAX).contains(&count);
                is_count && erased_history::each(history, |_, _, _| ()).is_some()
            }
            Event::GraphCreated { graph, .. } | Event::GraphDropped { graph, .. } => {
                graph < u32::MAX
            }
        }
    }

    /// Returns the graph that the event belongs to, if any.
    pub(crate) fn of_graph(&self) -> Option<u32> {
        match *self {
            Event::GraphCreated { graph, .. }
            | Event::GraphDropped { graph, .. }
            | Event::Submitted { graph, .. }
            | Event::Keyed { graph, .. }
            | Event::Started { graph, .. }
            | Event::CancelRequested { graph, .. }
            | Event::Completed { graph, .. }
            | Event::Recovered { graph, .. }
            | Event::Command { graph, .. }
            | Event::Submits { graph, .. }
            | Event::Purged { graph, .. }
            | Event::Forgotten { graph, .. } => Some(graph),
            Event::StoreOpened { .. }
            | Event::Clock
            | Event::Confirmed(_)
            | Event::Lost { .. }
            | Event::Erased { .. } => None,
        }
    }

    /// Returns how many LSNs the event covers.
    pub(crate) fn lsns(&self) -> u64 {
        match self {
            Event::Submits { count, .. } | Event::Lost { count } | Event::Erased { count, .. } => {
                *count
            }
            _ => 1,
        }
    }
}

/// The texts of a submission: the id of the job, its masked request, and the unlisted part of
/// the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SubmissionTexts<'a> {
    /// See [`crate::model::unlisted::Unlisted`].
    pub(crate) unlisted: &'a [u8],
    pub(crate) id: &'a str,
    pub(crate) request: &'a str,
}

/// The positions of the texts, counted from the end of the submission's event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TextOffsets {
    pub(crate) unlisted: usize,
    pub(crate) id: usize,
    pub(crate) request: usize,
}

impl SubmissionTexts<'_> {
    pub(crate) fn places_from_end(&self) -> TextOffsets {
        let before = |len: usize| codec::length_prefix_bytes(len) + len;
        let request = self.request.len();
        let id = before(request) + self.id.len();
        let unlisted = id - self.id.len() + before(self.id.len()) + self.unlisted.len();
        TextOffsets {
            unlisted,
            id,
            request,
        }
    }
}

/// Encodes ascending sequence numbers.
pub(crate) fn pack_sequences(sequences: &[u64]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut before = 0;
    for &sequence in sequences {
        codec::put_var(sequence - before, &mut out);
        before = sequence;
    }
    out
}

/// The inverse of [`pack_sequences`]. `None` if the bytes are invalid.
pub(crate) fn unpack_sequences(bytes: &[u8]) -> Option<Vec<u64>> {
    let mut sequences = Vec::new();
    each_sequence(bytes, |sequence| sequences.push(sequence))?;
    Some(sequences)
}

/// Returns the last of the sequence numbers, or 0 if there are none. `None` if the bytes are
/// invalid.
pub(crate) fn last_of_sequences(bytes: &[u8]) -> Option<u64> {
    let mut last = 0;
    each_sequence(bytes, |sequence| last = sequence)?;
    Some(last)
}

fn each_sequence(bytes: &[u8], mut each: impl FnMut(u64)) -> Option<()> {
    let mut reader = codec::VarReader(bytes);
    let mut sequence = 0u64;
    while !reader.0.is_empty() {
        sequence = sequence.checked_add(reader.next()?)?;
        if sequence >= NUMBER_MAX {
            return None;
        }
        each(sequence);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_back_and_texts_stand_where_they_are_said_to() {
        let request = "r".repeat(300);
        let texts = SubmissionTexts {
            unlisted: &[7; 300],
            id: "job-1",
            request: &request,
        };
        let event = Event::Submitted {
            graph: 1,
            sequence: 7,
            time_ms: 1_700_000_000_000,
            fingerprint: Fingerprint(11),
            command: 1,
            texts,
        };
        let mut bytes = Vec::new();
        event.encode_into(&mut bytes);
        assert_eq!(Event::decode_prefix(&bytes), Some((event, bytes.len())));
        let from_end = texts.places_from_end();
        assert_eq!(&bytes[bytes.len() - from_end.unlisted..][..300], [7; 300]);
        assert_eq!(&bytes[bytes.len() - from_end.id..][..5], b"job-1");
        assert_eq!(&bytes[bytes.len() - from_end.request..], request.as_bytes());
    }

    #[test]
    fn recovered_jobs_come_back() {
        let sequences = [0, 1, 5, 1_000_000];
        let packed = pack_sequences(&sequences);
        let event = Event::Recovered {
            graph: 0,
            open_number: 2,
            time_ms: 3,
            age_shift_ms: -4,
            action: RecoveredAs::Cancelled,
            command: 0,
            sequences: &packed,
        };
        let mut bytes = Vec::new();
        event.encode_into(&mut bytes);
        assert_eq!(Event::decode_prefix(&bytes), Some((event, bytes.len())));
        assert_eq!(unpack_sequences(&packed).as_deref(), Some(&sequences[..]));
        assert_eq!(unpack_sequences(&[0x80]), None);
    }
}
