//! Reads the log as a feed: returns the events after a position, and reads them stretch by stretch.
//!
//! [`Feed`] returns every durable event after the position, once and in order, even if files are
//! packed, merged, or rewritten while it reads. It keeps one stretch in memory, not the log.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::sync::atomic::Ordering;
use crate::engine::core::Engine;
use crate::engine::state::graph::GraphCore;
use crate::log::event::{Event, RecoveredAs, unpack_sequences};
use crate::log::purged_jobs;
use crate::model::change::ChangeKind;
use crate::model::error::{Error, Result};
use crate::model::outcome::{Outcome, OutcomeKind};
use crate::model::retention::PurgeReason;

/// How far the feed has progressed in the log: the LSN of an event, and the last job of that event
/// that has been returned. The job is identified by its sequence number rather than by its index in
/// the event's list, because the list may become shorter when the event is rewritten.
pub(crate) type FeedPosition = (u64, u64);

/// Used in place of a job, to represent the whole event.
pub(crate) const WHOLE: u64 = u64::MAX;

/// A change of a job, as read from the log.
pub(crate) struct FeedChange {
    pub(crate) at: FeedPosition,
    /// `None` for a gap.
    pub(crate) sequence: Option<u64>,
    pub(crate) time_ms: Option<u64>,
    pub(crate) kind: ChangeKind,
}

/// Changes that were read ahead.
enum Ahead {
    One(FeedChange),
    /// Consecutive submissions: the LSN and the sequence number of the first one, and how many
    /// there are.
    Submits(u64, u64, u64),
}

/// Reads the changes after a position.
pub(crate) struct Feed {
    graph: Arc<GraphCore>,
    /// The next LSN to read.
    next_lsn: u64,
    /// Changes that were read and have not been returned yet.
    ahead: VecDeque<Ahead>,
    /// Everything up to this position was returned earlier.
    seen: FeedPosition,
}

impl Feed {
    pub(crate) fn new(graph: &Arc<GraphCore>, seen: FeedPosition) -> Feed {
        Feed {
            graph: graph.clone(),
            // An event that was returned in part is read again.
            next_lsn: (seen.0 + u64::from(seen.1 == WHOLE)).max(1),
            ahead: VecDeque::new(),
            seen,
        }
    }

    /// The position up to which everything was returned.
    pub(crate) fn seen(&self) -> FeedPosition {
        self.seen
    }

    /// The next change, without taking it; `None` if there are no more durable changes.
    pub(crate) fn peek(&mut self, engine: &Engine) -> Result<Option<&FeedChange>> {
        loop {
            if let Some(&Ahead::Submits(lsn, sequence, count)) = self.ahead.front() {
                self.ahead.pop_front();
                if count > 1 {
                    let rest = Ahead::Submits(lsn + 1, sequence + 1, count - 1);
                    self.ahead.push_front(rest);
                }
                self.ahead.push_front(Ahead::One(FeedChange {
                    at: (lsn, WHOLE),
                    sequence: Some(sequence),
                    time_ms: None,
                    kind: ChangeKind::Submitted,
                }));
            }
            if !self.ahead.is_empty() {
                return Ok(self.ahead.front().and_then(|ahead| match ahead {
                    Ahead::One(found) => Some(found),
                    Ahead::Submits(..) => None,
                }));
            }
            let durable_lsn = engine.durable_lsn.load(Ordering::Acquire);
            if self.next_lsn > durable_lsn {
                // Events of other graphs need not be read again.
                self.seen = self.seen.max((durable_lsn, WHOLE));
                return Ok(None);
            }
            self.read(engine, durable_lsn)?;
        }
    }

    /// Takes the change that [`Feed::peek`] returned.
    pub(crate) fn take(&mut self) -> Option<FeedChange> {
        match self.ahead.pop_front()? {
            Ahead::One(found) => {
                self.seen = found.at;
                Some(found)
            }
            // `peek` has not returned it yet.
            submits => {
                self.ahead.push_front(submits);
                None
            }
        }
    }

    /// Reads the next stretch: a chunk of a pack, or neighboring frames of a segment.
    fn read(&mut self, engine: &Engine, durable_lsn: u64) -> Result<()> {
        let (from, mut next) = (self.next_lsn, self.next_lsn);
        let number = self.graph.number;
        let mut ahead = VecDeque::new();
        engine.metrics.feed_reads.add(1);
        engine.events_from(from, |lsn, event| {
            let end = lsn + event.lsns();
            if end <= from || lsn > durable_lsn {
                return;
            }
            next = end;
            match *event {
                Event::Submits {
                    graph,
                    first_sequence,
                    count,
                    ..
                } if graph == number => {
                    let known = from.saturating_sub(lsn);
                    let run = Ahead::Submits(lsn + known, first_sequence + known, count - known);
                    ahead.push_back(run);
                }
                Event::Erased { count, .. } | Event::Lost { count } => {
                    let known = from.saturating_sub(lsn);
                    ahead.push_back(Ahead::One(gap(end - 1, count - known)));
                }
                _ => told_by(event, number, lsn, &mut ahead),
            }
        })?;
        if next == from {
            let what = format!("no file contains log sequence number {from}");
            return Err(Error::damaged(engine.disk.path(""), 0, what));
        }
        self.next_lsn = next;
        ahead.retain(|ahead| match ahead {
            Ahead::One(found) => found.at > self.seen,
            Ahead::Submits(..) => true,
        });
        self.ahead = ahead;
        Ok(())
    }
}

/// A change that represents `events` events that are no longer available. The LSN of the last of
/// them is `last_lsn`.
fn gap(last_lsn: u64, events: u64) -> FeedChange {
    FeedChange {
        at: (last_lsn, WHOLE),
        sequence: None,
        time_ms: None,
        kind: ChangeKind::Gone { events },
    }
}

/// Adds what an event records about jobs of a graph.
fn told_by(event: &Event<'_>, number: u32, lsn: u64, ahead: &mut VecDeque<Ahead>) {
    let mut put = |sequence, time_ms, kind| {
        ahead.push_back(Ahead::One(FeedChange {
            at: (lsn, sequence),
            sequence: Some(sequence),
            time_ms: Some(time_ms),
            kind,
        }));
    };
    match event {
        &Event::Submitted {
            graph,
            sequence,
            time_ms,
            ..
        } if graph == number => put(sequence, time_ms, ChangeKind::Submitted),
        &Event::Started {
            graph,
            sequence,
            time_ms,
            ..
        } if graph == number => put(sequence, time_ms, ChangeKind::Started),
        &Event::CancelRequested {
            graph,
            sequence,
            time_ms,
        } if graph == number => put(sequence, time_ms, ChangeKind::CancelRequested),
        Event::Completed {
            graph,
            sequence,
            time_ms,
            kind,
            extra,
            ..
        } if *graph == number => {
            if let Some(kind) = OutcomeKind::from_stored(*kind) {
                let outcome = Outcome {
                    kind,
                    recovered_at_open: None,
                    extra: extra.clone(),
                };
                put(*sequence, *time_ms, ChangeKind::Completed(outcome));
            }
        }
        &Event::Recovered {
            graph,
            open_number,
            time_ms,
            action,
            sequences,
            ..
        } if graph == number => {
            let sequences = unpack_sequences(sequences).unwrap_or_default();
            for sequence in sequences {
                let ended = |kind| {
                    ChangeKind::Completed(Outcome {
                        kind,
                        recovered_at_open: Some(open_number),
                        extra: None,
                    })
                };
                let kind = match action {
                    RecoveredAs::Requeued => ChangeKind::Requeued,
                    RecoveredAs::Interrupted => ended(OutcomeKind::Interrupted),
                    RecoveredAs::Cancelled => ended(OutcomeKind::Cancelled),
                };
                put(sequence, time_ms, kind);
            }
        }
        &Event::Purged {
            graph,
            time_ms,
            why,
            jobs,
            ..
        } if graph == number => {
            let jobs = purged_jobs::unpack(jobs).unwrap_or_default();
            // Once its tombstones are forgotten, the event of a purge no longer contains its
            // references or some of its jobs. The remaining jobs would look like purged jobs
            // without results, so a gap is returned instead.
            if jobs.iter().any(|job| job.id.is_none()) {
                ahead.push_back(Ahead::One(gap(lsn, 1)));
                return;
            }
            for job in jobs {
                let purged = ChangeKind::Purged {
                    reason: PurgeReason::from_stored(why),
                    result_ref: job.result_ref,
                };
                put(job.sequence, time_ms, purged);
            }
        }
        _ => {}
    }
    // When the last change of an event has been returned, the whole event has been returned.
    if let Some(Ahead::One(last)) = ahead.back_mut() {
        if last.at.0 == lsn {
            last.at.1 = WHOLE;
        }
    }
}

#[cfg(all(test, not(jobstore_shuttle)))]
mod tests {
    use crate::{Body, JobStore, Request};

    #[test]
    fn a_stretch_of_the_log_is_read_once_whatever_it_is_a_mixture_of() {
        let store = JobStore::options().segment_bytes(64 << 10);
        let store = store.in_memory().unwrap();
        let graph = store.create_graph("1", "movie").unwrap();
        let jobs = 1500;
        for _ in 0..jobs {
            let id = graph.submit(Request::new("c", "/g", Body::empty()).unwrap());
            graph.cancel(id.unwrap()).unwrap();
        }
        let engine = graph.engine();
        let reads = || {
            let before = engine.metrics.feed_reads.read();
            let mut changes = graph.changes(None).unwrap();
            let whole = changes.by_ref().inspect(|change| assert!(change.is_ok()));
            assert_eq!(whole.count(), 2 * jobs);
            engine.metrics.feed_reads.read() - before
        };
        // A feed reads 32 KiB of frames at a time, or one chunk of a pack.
        let bytes = engine.metrics.frame_bytes.read();
        let files = {
            let log_files = engine.log_files.read();
            log_files.segments.len() + log_files.packs.len()
        };
        let most = bytes / (32 << 10) + 8 * files as u64 + 8;
        let reads = reads();
        assert!(reads < most.min(200), "{reads} of {most}");
    }
}
