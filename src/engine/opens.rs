//! Where in its history a store was when it gave out a position or a cursor.
//!
//! Owns: [`LogPoint`], and the question whether it lies in this store's history. Must not
//! know: what is given out.
//! Promise: what was given out is known to this store and to every copy that was made
//! later; a copy that was made before, and went its own way, refuses it for ever.
//!
//! Copies share their events up to where they part, and LSNs and job numbers beyond that
//! are given to different things. They part where one of them was opened again: each
//! opening writes a `StoreOpened`, with its time. So a moment names the opening that it is of,
//! and lies in the history of a store that has this opening, and no later one before the
//! moment's LSN.

use std::sync::Arc;

use crate::base::sync::atomic::Ordering;
use crate::engine::core::Engine;
use crate::log::event::Event;
use crate::log::pack::Pack;
use crate::model::error::{Error, Result};
use crate::model::token::{LogPoint, OpenEvent};

/// The last opening in these packs, looked for from their end.
pub(crate) fn last_open_event(packs: &[Arc<Pack>]) -> Result<Option<OpenEvent>> {
    let mut buffer = Vec::new();
    for pack in packs.iter().rev() {
        for chunk in (0..pack.chunks().count()).rev() {
            let mut found = None;
            pack.chunk_events(chunk, &mut buffer, |lsn, event| {
                if let &Event::StoreOpened {
                    open_number,
                    time_ms,
                } = event
                {
                    found = Some(OpenEvent {
                        lsn,
                        open_number,
                        time_ms,
                    });
                }
                Ok::<(), Error>(())
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
    }
    Ok(None)
}

impl Engine {
    /// The present moment: later than all that was read before.
    pub(crate) fn log_point(&self) -> LogPoint {
        self.log_point_at(self.visible_lsn.load(Ordering::Acquire))
    }

    pub(crate) fn log_point_at(&self, lsn: u64) -> LogPoint {
        LogPoint {
            lsn,
            open_lsn: self.open_event.lsn,
        }
    }

    /// What is wrong with something that was given out at a moment; `is_sealed` says
    /// whether its checksum is right, which is also over the opening.
    pub(crate) fn problem_of(
        &self,
        point: LogPoint,
        is_sealed: impl FnOnce(OpenEvent) -> bool,
    ) -> Result<Option<&'static str>> {
        const ELSEWHERE: &str = "it was issued by a copy of the store, or before the last commits \
             were lost in a crash";
        let Some(open_event) = self.open_event_of(point)? else {
            return Ok(Some(ELSEWHERE));
        };
        if !is_sealed(open_event) {
            return Ok(Some("it was altered, or issued by a copy of the store"));
        }
        Ok((!self.is_in_history(point, open_event)?).then_some(ELSEWHERE))
    }

    /// The opening that a moment is of, if it is one of this store's.
    fn open_event_of(&self, point: LogPoint) -> Result<Option<OpenEvent>> {
        let lsn = point.open_lsn;
        if lsn >= self.open_event.lsn {
            return Ok((lsn == self.open_event.lsn).then_some(self.open_event));
        }
        let mut found = None;
        self.event_at(lsn, |event| {
            if let &Event::StoreOpened {
                open_number,
                time_ms,
            } = event
            {
                found = Some(OpenEvent {
                    lsn,
                    open_number,
                    time_ms,
                });
            }
        })?;
        Ok(found)
    }

    /// Whether a moment of this opening has been, here.
    fn is_in_history(&self, point: LogPoint, open_event: OpenEvent) -> Result<bool> {
        if open_event == self.open_event {
            return Ok(point.lsn <= self.visible_lsn.load(Ordering::Acquire));
        }
        if point.lsn >= self.open_event.lsn {
            return Ok(false);
        }
        // Of the last but one the end is known; of an earlier one it is looked for, once.
        if point.lsn < open_event.lsn || open_event.open_number + 1 == self.open_event.open_number {
            return Ok(true);
        }
        let known = self.ends.lock().get(&open_event.lsn).copied();
        if let Some(end) = known {
            return Ok(point.lsn < end);
        }
        let Some((open_number, end)) = self.next_open_after(point.lsn)? else {
            return Ok(false);
        };
        if open_number != open_event.open_number + 1 {
            return Ok(false);
        }
        self.ends.lock().insert(open_event.lsn, end);
        Ok(true)
    }

    /// Number and LSN of the first opening behind an event.
    fn next_open_after(&self, lsn: u64) -> Result<Option<(u64, u64)>> {
        let (mut next, mut found) = (lsn + 1, None);
        while found.is_none() && next < self.open_event.lsn {
            let from = next;
            self.events_near(from, |lsn, event| {
                let end = lsn + event.lsns();
                if let (&Event::StoreOpened { open_number, .. }, true) = (event, lsn >= from) {
                    found = found.or(Some((open_number, lsn)));
                }
                next = next.max(end);
            })?;
            if next == from {
                return Ok(None);
            }
        }
        Ok(found.or(Some((self.open_event.open_number, self.open_event.lsn))))
    }
}
