//! Records which point of its history a store had reached when it issued a position or a cursor.
//!
//! [`LogPoint`] records that point. Anything that a store issued is accepted by this store and by
//! every copy that is made of it later. A copy that was made earlier and has been opened on its own
//! since then always refuses it.
//!
//! Copies share their events up to the point where they diverge; beyond it, they assign the same
//! LSNs and job numbers to different things. They diverge when one of them is opened again: each
//! open writes a `StoreOpened` event with its time. Therefore, a log point names the open during
//! which it was issued. The log point is in the history of a store if that open is in the log of
//! the store and is the last open before the log point's LSN.

use std::sync::Arc;

use crate::base::sync::atomic::Ordering;
use crate::engine::core::Engine;
use crate::log::event::Event;
use crate::log::pack::Pack;
use crate::model::error::{Error, Result};
use crate::model::token::{LogPoint, OpenEvent};

/// The last open that these packs record. Searches from the end.
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
    /// The current point, and the open during which it is issued. The point is later than anything
    /// that has been read.
    pub(crate) fn log_point(&self) -> (LogPoint, OpenEvent) {
        self.log_point_at(self.visible_lsn.load(Ordering::Acquire))
    }

    pub(crate) fn log_point_at(&self, lsn: u64) -> (LogPoint, OpenEvent) {
        let open_event = self.open_event();
        let point = LogPoint {
            lsn,
            open_lsn: open_event.lsn,
        };
        (point, open_event)
    }

    /// Checks a position or cursor that was issued at this point, and returns what is wrong with
    /// it. `is_sealed` verifies its checksum; the open is included in the checksum.
    pub(crate) fn problem_of(
        &self,
        point: LogPoint,
        is_sealed: impl FnOnce(OpenEvent) -> bool,
    ) -> Result<Option<&'static str>> {
        const ELSEWHERE: &str = "it was issued by a copy of the store, or before the last commits \
             were lost in a crash";
        let current = self.open_event();
        let Some(open_event) = self.open_event_of(point, current)? else {
            return Ok(Some(ELSEWHERE));
        };
        if !is_sealed(open_event) {
            return Ok(Some("it was altered, or issued by a copy of the store"));
        }
        Ok((!self.is_in_history(point, open_event, current)?).then_some(ELSEWHERE))
    }

    /// The open during which a point was issued, if it is one of this store's opens.
    fn open_event_of(&self, point: LogPoint, current: OpenEvent) -> Result<Option<OpenEvent>> {
        let lsn = point.open_lsn;
        if lsn >= current.lsn {
            return Ok((lsn == current.lsn).then_some(current));
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

    /// Whether a point that was issued during this open is in this store's history.
    fn is_in_history(
        &self,
        point: LogPoint,
        open_event: OpenEvent,
        current: OpenEvent,
    ) -> Result<bool> {
        if open_event == current {
            return Ok(point.lsn <= self.visible_lsn.load(Ordering::Acquire));
        }
        if point.lsn >= current.lsn {
            return Ok(false);
        }
        // The second-to-last open ends where the current one begins. The end of an earlier open is
        // searched for once and then remembered.
        if point.lsn < open_event.lsn || open_event.open_number + 1 == current.open_number {
            return Ok(true);
        }
        let known = self.ends.lock().get(&open_event.lsn).copied();
        if let Some(end) = known {
            return Ok(point.lsn < end);
        }
        let Some((open_number, end)) = self.next_open_after(point.lsn, current)? else {
            return Ok(false);
        };
        if open_number != open_event.open_number + 1 {
            return Ok(false);
        }
        self.ends.lock().insert(open_event.lsn, end);
        Ok(true)
    }

    /// The number and LSN of the first open after the event with this LSN.
    fn next_open_after(&self, lsn: u64, current: OpenEvent) -> Result<Option<(u64, u64)>> {
        let (mut next, mut found) = (lsn + 1, None);
        while found.is_none() && next < current.lsn {
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
        Ok(found.or(Some((current.open_number, current.lsn))))
    }
}
