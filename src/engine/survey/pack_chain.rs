//! The packs that contain the first part of the log, read in full.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::log_range::{LogRange, RangeSource, extend};
use super::packs::{check_pack, unreadable};
use super::tally::Tally;
use super::{OnRead, Survey};
use crate::log::disk::Disk;
use crate::log::file_names;
use crate::log::pack::Pack;
use crate::model::error::{Error, Result};

impl Survey {
    pub(super) fn packs(
        &mut self,
        disk: &dyn Disk,
        names: &[String],
        on_read: OnRead<'_>,
    ) -> Result<()> {
        let mut packs: BTreeMap<(u64, u64), Arc<Pack>> = BTreeMap::new();
        let mut unreadable: BTreeMap<(u64, u64), (String, Error)> = BTreeMap::new();
        for name in names {
            let Some(range) = file_names::pack_range(name) else {
                continue;
            };
            match Pack::open(disk, name, self.store) {
                Ok(pack) => {
                    packs.insert(range, Arc::new(pack));
                }
                Err(error @ (Error::Damaged { .. } | Error::Io { .. })) => {
                    let error = self::unreadable(error, 0);
                    unreadable.insert(range, (name.clone(), error));
                }
                Err(error) => return Err(error),
            }
        }
        while let Some((&(start, _), _)) = packs.range((self.next_lsn(), 0)..).next() {
            if start > self.next_lsn() {
                self.note_missing(disk, start - 1)?;
            }
            // Take the longest pack that begins here. If it was merged from smaller packs, those
            // may still exist. They are used instead if all of them are intact and the longest pack
            // is not.
            let longest = packs.range((start, 0)..=(start, u64::MAX)).next_back();
            let Some((&(_, end), longest)) = longest else {
                break;
            };
            let (log_range, tally) = self.check_pack(longest, on_read)?;
            let replaced = match log_range.is_sound {
                true => None,
                false => self.sound_chain(&packs, (start, end), on_read)?,
            };
            match replaced {
                None => self.take_pack(log_range, tally)?,
                Some(chain) => {
                    for (error, ..) in tally.damage {
                        self.damaged(&error, 0, 0)?;
                    }
                    self.unreadable.push(longest.name.clone());
                    for (log_range, tally) in chain {
                        self.take_pack(log_range, tally)?;
                    }
                }
            }
        }
        // A pack that overlaps a damaged stretch is never considered unnecessary.
        for pack in packs.values() {
            let is_bad = |s: &LogRange| {
                !s.is_sound && s.first_lsn <= pack.last_lsn && s.last_lsn >= pack.first_lsn
            };
            let is_taken = |s: &LogRange| s.is_of(pack);
            let beside = self.log_ranges.iter().any(is_bad);
            if beside && !self.log_ranges.iter().any(is_taken) {
                self.unreadable.push(pack.name.clone());
            }
        }
        for ((first_lsn, last_lsn), (name, error)) in unreadable {
            // This is not considered damage if other files contain the same events.
            let covered = |lsn| self.holds(lsn);
            let is_needed =
                last_lsn >= self.next_lsn() || !covered(first_lsn) || !covered(last_lsn);
            if is_needed {
                self.damaged(
                    &error,
                    0,
                    last_lsn.saturating_sub(first_lsn).saturating_add(1),
                )?;
            } else {
                self.damaged(&error, 0, 0)?;
            }
            self.unreadable.push(name);
        }
        Ok(())
    }

    fn take_pack(&mut self, log_range: LogRange, tally: Tally) -> Result<()> {
        self.bytes += tally.bytes;
        self.files += 1;
        self.take_tally(tally)?;
        self.log_ranges.push(log_range);
        Ok(())
    }

    /// Intact packs that cover all LSNs from one to another without gaps, if there are any.
    fn sound_chain(
        &self,
        packs: &BTreeMap<(u64, u64), Arc<Pack>>,
        (start, end): (u64, u64),
        on_read: OnRead<'_>,
    ) -> Result<Option<Vec<(LogRange, Tally)>>> {
        let (mut chain, mut next) = (Vec::new(), start);
        while next <= end {
            let last = if next == start { end - 1 } else { end };
            let here: Vec<_> = packs.range((next, 0)..=(next, last)).rev().collect();
            let mut found = None;
            for (_, pack) in here {
                let checked = self.check_pack(pack, on_read)?;
                if checked.0.is_sound {
                    found = Some(checked);
                    break;
                }
            }
            let Some(checked) = found else {
                return Ok(None);
            };
            next = checked.0.last_lsn + 1;
            chain.push(checked);
        }
        Ok(Some(chain))
    }

    /// Whether a file contains this LSN.
    fn holds(&self, lsn: u64) -> bool {
        let at = self.log_ranges.partition_point(|s| s.last_lsn < lsn);
        let found = self.log_ranges.get(at);
        found.is_some_and(|s| s.first_lsn <= lsn && !matches!(s.source, RangeSource::Missing))
    }

    /// Reads all of a pack.
    fn check_pack(&self, pack: &Arc<Pack>, on_read: OnRead<'_>) -> Result<(LogRange, Tally)> {
        let checked = check_pack(pack, on_read)?;
        let is_sound = checked.is_sound();
        let mut tally = checked.tally;
        tally.bytes = pack.bytes;
        let mut spans: BTreeMap<u32, Vec<(u64, u64)>> = BTreeMap::new();
        for part in &pack.parts {
            for (n, place) in part.blocks.iter().enumerate() {
                if place.is_quarantined() {
                    let jobs = u64::from(place.jobs);
                    *tally.quarantined.entry(part.graph).or_default() += jobs;
                }
                // Blocks that were quarantined earlier have already been counted.
                if !checked.bad_blocks.contains(&(part.graph, n)) {
                    let runs = spans.entry(part.graph).or_default();
                    extend(runs, place.first_sequence, place.end_sequence());
                }
            }
        }
        let log_range = LogRange {
            first_lsn: pack.first_lsn,
            last_lsn: pack.last_lsn,
            is_sound,
            source: RangeSource::Pack {
                pack: pack.clone(),
                bad_chunks: checked.bad_chunks,
                bad_blocks: checked.bad_blocks,
            },
            spans,
            mentioned: std::mem::take(&mut tally.mentioned),
            submitted: std::mem::take(&mut tally.submitted),
            required: BTreeMap::new(),
            created: tally.creates(),
        };
        Ok((log_range, tally))
    }
}
