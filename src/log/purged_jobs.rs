//! The jobs of a purge, as its event has them.
//!
//! Owns: the packed form of which jobs went and what tells them apart later. Must not
//! know: why they went, who asks.
//! Promise: what was purged is known by its id's hash as long as the event is kept
//! whole; without its hashes it still says which numbers are gone.

use crate::base::codec::{NUMBER_MAX, VarReader, put_var};

/// A job that was purged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PurgedJob {
    pub(crate) sequence: u64,
    /// What its id hashes to; none once its tombstone is forgotten.
    pub(crate) id: Option<IdHash>,
    /// Where the engine keeps its result.
    pub(crate) result_ref: Option<String>,
}

/// The hash of an id: enough to know it again, not enough to tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdHash {
    /// What lookups go by.
    pub(crate) lookup: u64,
    /// As much again, under another seed.
    pub(crate) further: u64,
    /// Whether the id was not made by the graph, so that only a lookup finds it.
    pub(crate) is_external: bool,
}

const HAS_ID: u64 = 1;
const IS_FOREIGN: u64 = 2;
const HAS_RESULT: u64 = 4;
const FLAG_BITS: u32 = 3;

/// What a job takes without the text that its result refers to, about.
const JOB_BYTES: usize = 18;

/// How many bytes a job has in [`pack`], about.
pub(crate) fn bytes_of(job: &PurgedJob) -> u64 {
    JOB_BYTES as u64 + job.result_ref.as_ref().map_or(0, |text| text.len() as u64)
}

/// Jobs by ascending sequence numbers: distance from the one before and flags in one
/// number; hash, length and text as the flags say.
pub(crate) fn pack(jobs: &[PurgedJob]) -> Vec<u8> {
    let mut out = Vec::with_capacity(jobs.len() * JOB_BYTES);
    let mut before = 0;
    for job in jobs {
        let mut flags = 0;
        flags |= job.id.map_or(0, |_| HAS_ID);
        flags |= job
            .id
            .map_or(0, |id| if id.is_external { IS_FOREIGN } else { 0 });
        flags |= job.result_ref.as_ref().map_or(0, |_| HAS_RESULT);
        put_var((job.sequence - before) << FLAG_BITS | flags, &mut out);
        before = job.sequence;
        if let Some(id) = job.id {
            out.extend_from_slice(&id.lookup.to_le_bytes());
            out.extend_from_slice(&id.further.to_le_bytes());
        }
        if let Some(text) = &job.result_ref {
            put_var(text.len() as u64, &mut out);
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

/// Whether any of these jobs has a tombstone: all have one, or none has any more.
pub(crate) fn has_tombstones(jobs: &[u8]) -> bool {
    VarReader(jobs)
        .next()
        .is_some_and(|head| head & HAS_ID != 0)
}

/// The reverse of [`pack`]; `None` when the bytes are not that.
pub(crate) fn unpack(bytes: &[u8]) -> Option<Vec<PurgedJob>> {
    let (mut jobs, mut reader, mut sequence) = (Vec::new(), VarReader(bytes), 0u64);
    while !reader.0.is_empty() {
        let head = reader.next()?;
        let distance = head >> FLAG_BITS;
        sequence = sequence.checked_add(distance)?;
        if sequence >= NUMBER_MAX || (distance == 0 && !jobs.is_empty()) {
            return None;
        }
        let id = match head & HAS_ID {
            0 => None,
            _ => Some(IdHash {
                lookup: reader.eight()?,
                further: reader.eight()?,
                is_external: head & IS_FOREIGN != 0,
            }),
        };
        let result_ref = match head & HAS_RESULT {
            0 => None,
            _ => {
                let len = usize::try_from(reader.next()?).ok()?;
                let (text, rest) = reader.0.split_at_checked(len)?;
                reader.0 = rest;
                Some(std::str::from_utf8(text).ok()?.to_owned())
            }
        };
        jobs.push(PurgedJob {
            sequence,
            id,
            result_ref,
        });
    }
    Some(jobs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purged_jobs_come_back_whole_and_without_their_tombstones() {
        let id = |is_external| {
            Some(IdHash {
                lookup: u64::MAX,
                further: 7,
                is_external,
            })
        };
        let jobs = [
            (0, id(false), None),
            (1, id(true), Some("s3://a")),
            (900, None, None),
        ]
        .map(|(sequence, id, result)| PurgedJob {
            sequence,
            id,
            result_ref: result.map(str::to_owned),
        });
        let packed = pack(&jobs);
        assert_eq!(unpack(&packed).as_deref(), Some(&jobs[..]));
        assert_eq!(unpack(&packed[..packed.len() - 3]), None);
        assert_eq!(unpack(&[0, 0]), None, "the same job twice");
        let mut far = Vec::new();
        (0..3).for_each(|_| put_var(u64::MAX << FLAG_BITS, &mut far));
        assert_eq!(unpack(&far), None, "a number that no job has");
    }
}
