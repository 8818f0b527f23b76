//! Which point of its history a store had reached when it issued a position or a cursor.
//!
//! [`Moment`] records that point. What a store issued is accepted by this store and by every
//! later copy of it. A copy that was made earlier, and was opened on its own since, always
//! refuses it.
//!
//! Copies share their events up to the point where they diverge; beyond it, they assign the
//! same LSNs and job numbers to different things. They diverge when one of them is opened
//! again: each open writes a `Booted` event with its time. So a moment names the open in which
//! it was issued. It is in the history of a store that has this open, and no later one before
//! the moment's LSN.

use std::sync::Arc;

use crate::base::sync::atomic::Ordering;
use crate::engine::core::Engine;
use crate::log::event::Event;
use crate::log::pack::Pack;
use crate::model::error::{Error, Result};
use crate::model::token::{Moment, Opening};

/// The last open in these packs, searched from the end.
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
    /// The current moment, which is later than anything read before.
    pub(crate) fn moment(&self) -> Moment {
        self.moment_at(self.visible_lsn.load(Ordering::Acquire))
    }

    pub(crate) fn moment_at(&self, lsn: u64) -> Moment {
        Moment {
            lsn,
            opening: self.opening.lsn,
        }
    }

    /// What is wrong with something issued at a moment. `is_sealed` verifies its checksum,
    /// which also covers the open.
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

    /// The open that a moment belongs to, if it is one of this store's.
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

    /// Whether a moment of this open is in this store's history.
    fn has_been(&self, moment: Moment, opening: Opening) -> Result<bool> {
        if opening == self.opening {
            return Ok(moment.lsn <= self.visible_lsn.load(Ordering::Acquire));
        }
        if moment.lsn >= self.opening.lsn {
            return Ok(false);
        }
        // The end of the second-last open is known; that of an earlier one is searched for
        // once.
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

    /// Number and LSN of the first open after an event.
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
