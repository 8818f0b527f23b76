//! Where in its history a store was when it gave out a position or a cursor.
//!
//! Owns: [`Moment`], and the question whether it lies in this store's history. Must not
//! know: what is given out.
//! Promise: what was given out is known to this store and to every copy that was made
//! later; a copy that was made before, and went its own way, refuses it for ever.
//!
//! Copies share their events up to where they part, and LSNs and job numbers beyond that
//! are given to different things. They part where one of them was opened again: each
//! opening writes a `Booted`, with its time. So a moment names the opening that it is of,
//! and lies in the history of a store that has this opening, and no later one before the
//! moment's LSN.

use std::sync::Arc;

use crate::base::sync::atomic::Ordering;
use crate::engine::core::Engine;
use crate::log::event::Event;
use crate::log::pack::Pack;
use crate::model::error::{Error, Result};
use crate::model::token::{Moment, Opening};

/// The last opening in these packs, looked for from their end.
pub(crate) fn last_opening(packs: &[Arc<Pack>]) -> Result<Option<Opening>> {
    let mut buffer = Vec::new();
    for pack in packs.iter().rev() {
        for chunk in (0..pack.chunks().count()).rev() {
            let mut found = None;
            pack.chunk_events(chunk, &mut buffer, |lsn, event| {
                if let &Event::Booted { boot, time_ms } = event {
                    found = Some(Opening { lsn, boot, time_ms });
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
    pub(crate) fn moment(&self) -> Moment {
        self.moment_at(self.visible_lsn.load(Ordering::Acquire))
    }

    pub(crate) fn moment_at(&self, lsn: u64) -> Moment {
        Moment {
            lsn,
            opening: self.opening.lsn,
        }
    }

    /// What is wrong with something that was given out at a moment; `is_sealed` says
    /// whether its checksum is right, which is also over the opening.
    pub(crate) fn problem_of(
        &self,
        moment: Moment,
        is_sealed: impl FnOnce(Opening) -> bool,
    ) -> Result<Option<&'static str>> {
        const ELSEWHERE: &str = "it was issued by a copy of the store, or before the last commits \
             were lost in a crash";
        let Some(opening) = self.opening_of(moment)? else {
            return Ok(Some(ELSEWHERE));
        };
        if !is_sealed(opening) {
            return Ok(Some("it was altered, or issued by a copy of the store"));
        }
        Ok((!self.has_been(moment, opening)?).then_some(ELSEWHERE))
    }

    /// The opening that a moment is of, if it is one of this store's.
    fn opening_of(&self, moment: Moment) -> Result<Option<Opening>> {
        let lsn = moment.opening;
        if lsn >= self.opening.lsn {
            return Ok((lsn == self.opening.lsn).then_some(self.opening));
        }
        let mut found = None;
        self.event_at(lsn, |event| {
            if let &Event::Booted { boot, time_ms } = event {
                found = Some(Opening { lsn, boot, time_ms });
            }
        })?;
        Ok(found)
    }

    /// Whether a moment of this opening has been, here.
    fn has_been(&self, moment: Moment, opening: Opening) -> Result<bool> {
        if opening == self.opening {
            return Ok(moment.lsn <= self.visible_lsn.load(Ordering::Acquire));
        }
        if moment.lsn >= self.opening.lsn {
            return Ok(false);
        }
        // Of the last but one the end is known; of an earlier one it is looked for, once.
        if moment.lsn < opening.lsn || opening.boot + 1 == self.opening.boot {
            return Ok(true);
        }
        let known = self.ends.lock().get(&opening.lsn).copied();
        if let Some(end) = known {
            return Ok(moment.lsn < end);
        }
        let Some((boot, end)) = self.boot_behind(moment.lsn)? else {
            return Ok(false);
        };
        if boot != opening.boot + 1 {
            return Ok(false);
        }
        self.ends.lock().insert(opening.lsn, end);
        Ok(true)
    }

    /// Number and LSN of the first opening behind an event.
    fn boot_behind(&self, lsn: u64) -> Result<Option<(u64, u64)>> {
        let (mut next, mut found) = (lsn + 1, None);
        while found.is_none() && next < self.opening.lsn {
            let from = next;
            self.events_near(from, |lsn, event| {
                let end = lsn + event.lsns();
                if let (&Event::Booted { boot, .. }, true) = (event, lsn >= from) {
                    found = found.or(Some((boot, lsn)));
                }
                next = next.max(end);
            })?;
            if next == from {
                return Ok(None);
            }
        }
        Ok(found.or(Some((self.opening.boot, self.opening.lsn))))
    }
}
