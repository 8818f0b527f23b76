//! When consecutive jobs were submitted, and with which commands: a list of runs, which a `Submits`
//! event stores in place of the times and commands of the Submitted events.

use crate::base::codec::{NUMBER_MAX, VarReader, put_var};
use crate::model::history::minute_of;

/// Consecutive jobs that were submitted in the same minute and have the same command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SubmitRun {
    /// The minute, counted from 1970.
    pub(crate) minute: u32,
    /// The number of the command, or 0.
    pub(crate) command: u8,
    pub(crate) count: u64,
}

/// Adds a job to the runs.
pub(crate) fn push(runs: &mut Vec<SubmitRun>, submitted_ms: u64, command: u8) {
    let minute = minute_of(submitted_ms);
    match runs.last_mut() {
        Some(run) if (run.minute, run.command) == (minute, command) => run.count += 1,
        _ => runs.push(SubmitRun {
            minute,
            command,
            count: 1,
        }),
    }
}

/// Encodes runs. For each one: the distance of its minute (var, zigzag), its command (var), and the
/// number of jobs (var).
pub(crate) fn pack(runs: &[SubmitRun]) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 * runs.len());
    let mut before = 0;
    for run in runs {
        let distance = i64::from(run.minute) - before;
        put_var(((distance << 1) ^ (distance >> 63)) as u64, &mut out);
        put_var(u64::from(run.command), &mut out);
        put_var(run.count, &mut out);
        before = i64::from(run.minute);
    }
    out
}

/// The inverse of [`pack`]. `None` if the bytes are invalid.
pub(crate) fn unpack(bytes: &[u8]) -> Option<Vec<SubmitRun>> {
    let mut runs = Vec::new();
    each(bytes, |run| runs.push(run))?;
    Some(runs)
}

/// Returns how many jobs the runs have. `None` if the bytes are invalid.
pub(crate) fn jobs(bytes: &[u8]) -> Option<u64> {
    let mut jobs = 0u64;
    let mut fits = true;
    each(bytes, |run| {
        jobs = jobs.saturating_add(run.count);
        fits &= jobs < NUMBER_MAX;
    })?;
    fits.then_some(jobs)
}

fn each(bytes: &[u8], mut each: impl FnMut(SubmitRun)) -> Option<()> {
    let (mut reader, mut minute) = (VarReader(bytes), 0i64);
    while !reader.0.is_empty() {
        let distance = reader.next()?;
        let distance = (distance >> 1) as i64 ^ -((distance & 1) as i64);
        minute = minute.checked_add(distance)?;
        each(SubmitRun {
            minute: u32::try_from(minute).ok()?,
            command: u8::try_from(reader.next()?).ok()?,
            count: reader.next().filter(|n| (1..NUMBER_MAX).contains(n))?,
        });
    }
    Some(())
}

/// The runs of `count` jobs after the first `skip` jobs.
pub(crate) fn slice(runs: &[SubmitRun], mut skip: u64, mut count: u64) -> Vec<SubmitRun> {
    let mut found = Vec::new();
    for run in runs {
        let skipped = skip.min(run.count);
        skip -= skipped;
        let taken = count.min(run.count - skipped);
        count -= taken;
        if taken > 0 {
            found.push(SubmitRun {
                count: taken,
                ..*run
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_come_back_and_can_be_divided() {
        let mut runs = Vec::new();
        let jobs_of = [
            (120_000, 1),
            (179_999, 1),
            (180_000, 1),
            (60_000, 2),
            (60_001, 0),
        ];
        for (ms, command) in jobs_of {
            push(&mut runs, ms, command);
        }
        assert_eq!(runs.len(), 4);
        let bytes = pack(&runs);
        assert_eq!(unpack(&bytes).as_ref(), Some(&runs));
        assert_eq!(jobs(&bytes), Some(5));
        assert_eq!(unpack(&bytes[..bytes.len() - 1]), None);
        assert_eq!(unpack(&[1, 0, 1]), None, "a minute before 1970");
        for skip in 0..=5 {
            let (a, b) = (slice(&runs, 0, skip), slice(&runs, skip, 5 - skip));
            let counts = |runs: &[SubmitRun]| runs.iter().map(|run| run.count).sum::<u64>();
            assert_eq!((counts(&a), counts(&b)), (skip, 5 - skip));
            let mut joined = Vec::new();
            for run in a.iter().chain(&b) {
                for _ in 0..run.count {
                    push(&mut joined, u64::from(run.minute) * 60_000, run.command);
                }
            }
            assert_eq!(joined, runs);
        }
    }
}
