//! A look at every byte of a store's log, whatever state it is in.
//!
//! Owns: which stretches of the log are sound and which are not. Must not know: how
//! a store is repaired, or served.
//! Promise: nothing is changed; every byte that something rests on is read; what is
//! not sound is named with file and place.

mod dropped;
mod packs;
mod segments;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::packs::{Tally, unreadable};
pub(crate) use self::packs::{check_pack, each_request};
pub(crate) use self::segments::SegmentFound;
use self::segments::{FrameFound, Hole, frame_events};
use crate::base::codec::NUMBER_MAX;
use crate::log::disk::Disk;
use crate::log::event::Event;
use crate::log::file_names;
use crate::log::frame::{Binding, frames_anywhere};
use crate::log::identity::{self, Closed};
use crate::log::pack::Pack;
use crate::log::secret_keys;
use crate::log::segment::{Found, SEGMENT_HEADER_BYTES, Segment};
use crate::model::error::{Error, Result};
use crate::model::report::{Damage, GraphReport};
use crate::model::store_id::StoreId;

/// What lies between two log sequence numbers, both inclusive.
pub(crate) struct Stretch {
    pub(crate) first_lsn: u64,
    pub(crate) last_lsn: u64,
    pub(crate) source: Source,
    pub(crate) is_sound: bool,
    /// Jobs whose requests are readable in it, by graph: first and one past last of
    /// each run.
    pub(crate) spans: BTreeMap<u32, Vec<(u64, u64)>>,
    /// One past the last job that its events speak of, by graph.
    pub(crate) spoken: BTreeMap<u32, u64>,
    /// One past the last job whose place must be in it, by graph: a pack's events submit
    /// it.
    submitted: BTreeMap<u32, u64>,
    /// How many jobs earlier stretches must hold, by graph: a segment's events in front of
    /// the first that is lost presuppose them.
    presupposed: BTreeMap<u32, u64>,
    /// Graphs that its events create.
    pub(crate) created: BTreeSet<u32>,
}

impl Stretch {
    fn is_of(&self, other: &Arc<Pack>) -> bool {
        matches!(&self.source, Source::Pack { pack, .. } if Arc::ptr_eq(pack, other))
    }
}

pub(crate) enum Source {
    Pack {
        pack: Arc<Pack>,
        /// By their places among the pack's chunks.
        bad_chunks: BTreeSet<usize>,
        /// By graph and place among its blocks.
        bad_blocks: BTreeSet<(u32, usize)>,
    },
    Segment(SegmentFound),
    /// No file holds it.
    Nothing,
}

/// A graph as far as sound events tell of it.
#[derive(Default)]
pub(crate) struct GraphFound {
    pub(crate) names: Option<(String, String)>,
    pub(crate) is_dropped: bool,
    damaged: u64,
    set_aside: u64,
    /// One past the last job.
    end: u64,
}

/// A store as it was found.
pub(crate) struct Survey {
    pub(crate) store: StoreId,
    /// Whether the file `STORE` is damaged or missing.
    pub(crate) identity_is_damaged: bool,
    /// Whether the file `SECRET-KEYS` is damaged.
    pub(crate) secret_keys_are_damaged: bool,
    pub(crate) closed: Option<Closed>,
    /// Whether `CLOSED` does not fit the log, or is damaged.
    pub(crate) closed_is_damaged: bool,
    /// The whole log, in its order, without gap.
    pub(crate) stretches: Vec<Stretch>,
    /// Files that no stretch is read from, though they may hold something.
    pub(crate) unreadable: Vec<String>,
    pub(crate) graphs: BTreeMap<u32, GraphFound>,
    /// Graphs whose drop is lost, though the files show that there was one.
    pub(crate) lost_drops: BTreeSet<u32>,
    pub(crate) damage: Vec<Damage>,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// Called now and then, after so many bytes were read; an error ends the survey.
pub(crate) type Pace<'p> = &'p mut dyn FnMut(u64) -> Result<()>;

impl Survey {
    /// Reads everything. `Ok` also where much is damaged; errors are those of the
    /// system, and of files of a later format.
    pub(crate) fn take(disk: &dyn Disk, pace: Pace<'_>) -> Result<Survey> {
        let names = disk
            .names()
            .map_err(|e| Error::io("read", disk.path(""), &e))?;
        let mut damage = Vec::new();
        let (store, identity_is_damaged) = match identity::read(disk) {
            Ok(Some(store)) => (store, false),
            Ok(None) => {
                let missing =
                    Error::damaged(disk.path(file_names::STORE), 0, "the file is missing");
                note(&mut damage, &missing, 0, 0)?;
                (store_of_files(disk, &names)?, true)
            }
            Err(error) => {
                note(&mut damage, &error, 0, 0)?;
                (store_of_files(disk, &names)?, true)
            }
        };
        let keys = secret_keys::read(disk, store);
        let secret_keys_are_damaged = keys.is_err();
        if let Err(error) = keys {
            note(&mut damage, &error, 0, 0)?;
        }
        let (closed, closed_is_damaged) = match identity::read_closed(disk, store) {
            Ok(closed) => (closed, false),
            Err(error) => {
                note(&mut damage, &error, 0, 0)?;
                (None, true)
            }
        };
        let mut survey = Survey {
            store,
            identity_is_damaged,
            secret_keys_are_damaged,
            closed,
            closed_is_damaged,
            stretches: Vec::new(),
            unreadable: Vec::new(),
            graphs: BTreeMap::new(),
            lost_drops: BTreeSet::new(),
            damage,
            files: 0,
            bytes: 0,
        };
        survey.packs(disk, &names, pace)?;
        survey.segments(disk, &names, pace)?;
        survey.join_jobs();
        survey.unexplained(disk)?;
        Ok(survey)
    }

    /// Names jobs that are missing where all files are sound: events that no store
    /// would write speak of them.
    fn unexplained(&mut self, disk: &dyn Disk) -> Result<()> {
        if !self.damage.is_empty() {
            return Ok(());
        }
        let missing: Vec<(u32, u64)> = self
            .graphs
            .iter()
            .filter(|(_, found)| !found.is_dropped && found.damaged > 0)
            .map(|(&number, found)| (number, found.damaged))
            .collect();
        for (number, jobs) in missing {
            let what = format!("it refers to jobs of graph {number} that no file contains");
            self.damaged(&Error::damaged(disk.path(""), 0, what), jobs, 0)?;
        }
        Ok(())
    }

    /// One past the last LSN.
    pub(crate) fn next_lsn(&self) -> u64 {
        self.stretches.last().map_or(1, |last| last.last_lsn + 1)
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }

    /// The numbers of the graphs that were not dropped, in the order of their reports.
    pub(crate) fn live(&self) -> impl Iterator<Item = u32> + '_ {
        let live = self.graphs.iter().filter(|(_, found)| !found.is_dropped);
        live.map(|(&number, _)| number)
    }

    /// The graphs that were not dropped.
    pub(crate) fn reports(&self) -> Vec<GraphReport> {
        let live = self.graphs.iter().filter(|(_, found)| !found.is_dropped);
        live.map(|(number, found)| {
            let (project_id, name) = match &found.names {
                Some((project, name)) => (project.clone(), name.clone()),
                None => ("lost".to_owned(), format!("graph-{number}")),
            };
            GraphReport {
                project_id,
                name,
                // The places of two files may overlap.
                sound: found.end.saturating_sub(found.damaged + found.set_aside),
                damaged: found.damaged,
                set_aside: found.set_aside,
            }
        })
        .collect()
    }

    fn damaged(&mut self, error: &Error, jobs: u64, events: u64) -> Result<()> {
        note(&mut self.damage, error, jobs, events)
    }

    fn packs(&mut self, disk: &dyn Disk, names: &[String], pace: Pace<'_>) -> Result<()> {
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
                self.nothing(disk, start - 1)?;
            }
            // The longest that begins here; a merge may have left what it replaced,
            // which counts where all of it is sound and the longest is not.
            let longest = packs.range((start, 0)..=(start, u64::MAX)).next_back();
            let Some((&(_, end), longest)) = longest else {
                break;
            };
            let (stretch, tally) = self.check_pack(longest, pace)?;
            let replaced = match stretch.is_sound {
                true => None,
                false => self.sound_chain(&packs, (start, end), pace)?,
            };
            match replaced {
                None => self.take_pack(stretch, tally)?,
                Some(chain) => {
                    for (error, ..) in tally.damage {
                        self.damaged(&error, 0, 0)?;
                    }
                    self.unreadable.push(longest.name.clone());
                    for (stretch, tally) in chain {
                        self.take_pack(stretch, tally)?;
                    }
                }
            }
        }
        // Beside what is not sound, nothing is taken for useless.
        for pack in packs.values() {
            let is_bad = |s: &Stretch| {
                !s.is_sound && s.first_lsn <= pack.last_lsn && s.last_lsn >= pack.first_lsn
            };
            let is_taken = |s: &Stretch| s.is_of(pack);
            let beside = self.stretches.iter().any(is_bad);
            if beside && !self.stretches.iter().any(is_taken) {
                self.unreadable.push(pack.name.clone());
            }
        }
        for ((first_lsn, last_lsn), (name, error)) in unreadable {
            // Not damage if others hold what it held.
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

    fn take_pack(&mut self, stretch: Stretch, tally: Tally) -> Result<()> {
        self.bytes += tally.bytes;
        self.files += 1;
        self.take_tally(tally)?;
        self.stretches.push(stretch);
        Ok(())
    }

    /// Sound packs that join from one LSN to another, if there are.
    fn sound_chain(
        &self,
        packs: &BTreeMap<(u64, u64), Arc<Pack>>,
        (start, end): (u64, u64),
        pace: Pace<'_>,
    ) -> Result<Option<Vec<(Stretch, Tally)>>> {
        let (mut chain, mut next) = (Vec::new(), start);
        while next <= end {
            let last = if next == start { end - 1 } else { end };
            let here: Vec<_> = packs.range((next, 0)..=(next, last)).rev().collect();
            let mut found = None;
            for (_, pack) in here {
                let checked = self.check_pack(pack, pace)?;
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

    /// Whether a file holds this LSN.
    fn holds(&self, lsn: u64) -> bool {
        let at = self.stretches.partition_point(|s| s.last_lsn < lsn);
        let found = self.stretches.get(at);
        found.is_some_and(|s| s.first_lsn <= lsn && !matches!(s.source, Source::Nothing))
    }

    /// Notes that no file holds what lies up to this LSN.
    pub(crate) fn nothing(&mut self, disk: &dyn Disk, last_lsn: u64) -> Result<()> {
        let first_lsn = self.next_lsn();
        let what = format!("no file contains log sequence numbers {first_lsn} to {last_lsn}");
        let error = Error::damaged(disk.path(&file_names::pack(first_lsn, last_lsn)), 0, what);
        self.damaged(&error, 0, last_lsn - first_lsn + 1)?;
        self.stretches.push(Stretch {
            first_lsn,
            last_lsn,
            source: Source::Nothing,
            is_sound: false,
            spans: BTreeMap::new(),
            spoken: BTreeMap::new(),
            submitted: BTreeMap::new(),
            presupposed: BTreeMap::new(),
            created: BTreeSet::new(),
        });
        Ok(())
    }

    /// Reads all of a pack.
    fn check_pack(&self, pack: &Arc<Pack>, pace: Pace<'_>) -> Result<(Stretch, Tally)> {
        let checked = check_pack(pack, pace)?;
        let is_sound = checked.is_sound();
        let mut tally = checked.tally;
        tally.bytes = pack.bytes;
        let mut spans: BTreeMap<u32, Vec<(u64, u64)>> = BTreeMap::new();
        for part in &pack.parts {
            for (n, place) in part.blocks.iter().enumerate() {
                if place.is_set_aside() {
                    let jobs = u64::from(place.jobs);
                    *tally.set_aside.entry(part.graph).or_default() += jobs;
                }
                // What was set aside before is accounted for.
                if !checked.bad_blocks.contains(&(part.graph, n)) {
                    let runs = spans.entry(part.graph).or_default();
                    extend(runs, place.first_sequence, place.end_sequence());
                }
            }
        }
        let stretch = Stretch {
            first_lsn: pack.first_lsn,
            last_lsn: pack.last_lsn,
            is_sound,
            source: Source::Pack {
                pack: pack.clone(),
                bad_chunks: checked.bad_chunks,
                bad_blocks: checked.bad_blocks,
            },
            spans,
            spoken: std::mem::take(&mut tally.spoken),
            submitted: std::mem::take(&mut tally.submitted),
            presupposed: BTreeMap::new(),
            created: tally.creates(),
        };
        Ok((stretch, tally))
    }

    fn take_tally(&mut self, tally: Tally) -> Result<()> {
        for (number, names) in tally.created {
            self.graphs.entry(number).or_default().names = Some(names);
        }
        for number in tally.dropped {
            self.graphs.entry(number).or_default().is_dropped = true;
        }
        for (number, jobs) in tally.set_aside {
            self.graphs.entry(number).or_default().set_aside += jobs;
        }
        for (error, jobs, events) in tally.damage {
            self.damaged(&error, jobs, events)?;
        }
        Ok(())
    }

    fn segments(&mut self, disk: &dyn Disk, names: &[String], pace: Pace<'_>) -> Result<()> {
        let epochs: BTreeSet<u64> = names
            .iter()
            .filter_map(|name| file_names::segment_epoch(name))
            .collect();
        let mut found = Vec::new();
        for epoch in epochs {
            if let Some(segment) = self.find_segment(disk, epoch)? {
                pace(segment.len)?;
                found.push(segment);
            }
        }
        let packed = self.next_lsn();
        let (found, gone): (Vec<_>, Vec<_>) = found
            .into_iter()
            .partition(|segment: &SegmentFound| segment.first_lsn() >= packed);
        // What is packed already need not be whole, but an open must know that it is.
        for segment in gone {
            let (lsn, is_whole) = (segment.first_lsn(), segment.header.is_some());
            let at = self.stretches.partition_point(|s| s.last_lsn < lsn);
            let is_packed_well = self.stretches.get(at).is_none_or(|s| s.is_sound);
            if !is_whole {
                self.damaged(&segment.no_header(), 0, 0)?;
            }
            if !is_whole || !is_packed_well {
                self.unreadable.push(segment.name);
            }
        }
        let firsts: Vec<u64> = found.iter().map(SegmentFound::first_lsn).collect();
        let closed_lsn = self.closed.as_ref().map(|closed| closed.end.lsn + 1);
        let mut previous: Option<(u64, u64)> = None;
        for (n, mut segment) in found.into_iter().enumerate() {
            let first_lsn = firsts[n];
            if first_lsn > self.next_lsn() {
                self.nothing(disk, first_lsn - 1)?;
            }
            let mut joins = segment.header.is_some();
            if let (Some((_, before, end)), Some(previous)) = (segment.header, previous) {
                if previous != (before, end) {
                    joins = false;
                    let what = "the previous segment is missing or truncated";
                    self.damaged(&Error::damaged(&segment.path, 0, what), 0, 0)?;
                }
            }
            let limit = firsts.get(n + 1).copied().or(closed_lsn);
            let mut holes = segment.keep(self.next_lsn(), limit);
            let end = segment.frames.last().map(|f| f.at + f.len);
            previous = Some((segment.epoch, end.unwrap_or(SEGMENT_HEADER_BYTES as u64)));
            if segment.header.is_none() {
                self.damaged(&segment.no_header(), 0, 0)?;
            }
            self.files += 1;
            self.bytes += segment.len;
            self.segment(disk, segment, &mut holes, joins)?;
        }
        if let Some(next) = closed_lsn {
            if next > self.next_lsn() {
                self.nothing(disk, next - 1)?;
            } else if next < self.next_lsn() {
                let what = "the log continues past the point where it was closed";
                self.closed_is_damaged = true;
                let error = Error::damaged(disk.path(file_names::CLOSED), 0, what);
                self.damaged(&error, 0, 0)?;
            }
        }
        Ok(())
    }

    /// Looks a segment's frames up, wherever they are.
    fn find_segment(&mut self, disk: &dyn Disk, epoch: u64) -> Result<Option<SegmentFound>> {
        let name = file_names::segment(epoch);
        let path = disk.path(&name);
        let header = match Segment::open(disk, epoch, self.store) {
            Ok(Found::Unused) => return Ok(None),
            Ok(Found::Segment(segment)) => {
                let header = segment.header;
                Some((header.first_lsn, header.previous_epoch, header.previous_end))
            }
            Err(Error::Damaged { .. } | Error::Io { .. }) => None,
            Err(error) => return Err(error),
        };
        let mut segment = SegmentFound {
            epoch,
            name,
            path,
            binding: Binding {
                store: self.store,
                epoch,
            },
            header,
            frames: Vec::new(),
            synced_lsn: 0,
            len: 0,
        };
        let bytes = segment.read(disk)?;
        segment.len = bytes.len() as u64;
        let mut end = 0;
        for (at, frame) in frames_anywhere(&bytes, segment.binding) {
            if at >= end && frame_events(&frame).is_some() {
                segment.frames.push(FrameFound {
                    first_lsn: frame.first_lsn,
                    count: frame.count,
                    synced_lsn: frame.synced_lsn,
                    clock: frame.clock,
                    at: at as u64,
                    len: frame.len() as u64,
                });
                end = at + frame.len();
            } else if at >= end {
                let before = frame.first_lsn.saturating_sub(1);
                let vouched = frame.synced_lsn.min(before).min(NUMBER_MAX - 1);
                segment.synced_lsn = segment.synced_lsn.max(vouched);
            }
        }
        if header.is_none() && segment.frames.is_empty() {
            // Nothing of it can be told: a file of another store, say.
            self.damaged(&segment.no_header(), 0, 0)?;
            self.unreadable.push(segment.name);
            return Ok(None);
        }
        Ok(Some(segment))
    }

    /// Takes a segment in whose frames were chosen.
    fn segment(
        &mut self,
        disk: &dyn Disk,
        segment: SegmentFound,
        holes: &mut Vec<Hole>,
        joins: bool,
    ) -> Result<()> {
        let first_lsn = self.next_lsn();
        let mut tally = Tally::default();
        let mut spans: BTreeMap<u32, Vec<(u64, u64)>> = BTreeMap::new();
        let bytes = segment.read(disk)?;
        let mut last_lsn = first_lsn - 1;
        let lost = holes.iter().find(|hole| hole.first_lsn <= hole.last_lsn);
        let first_lost = lost.map_or(u64::MAX, |hole| hole.first_lsn);
        let mut presupposed: BTreeMap<u32, u64> = BTreeMap::new();
        for frame in &segment.frames {
            for (lsn, event) in segment.events(frame, &bytes)? {
                tally.event(&event);
                if let Some((graph, jobs)) = jobs_before(&event).filter(|_| lsn < first_lost) {
                    if !spans.contains_key(&graph) {
                        let most = presupposed.entry(graph).or_default();
                        *most = jobs.max(*most);
                    }
                }
                if let Event::Submitted {
                    graph, sequence, ..
                } = event
                {
                    extend(spans.entry(graph).or_default(), sequence, sequence + 1);
                }
            }
            last_lsn = frame.first_lsn + frame.count - 1;
        }
        last_lsn = holes
            .last()
            .map_or(last_lsn, |hole| last_lsn.max(hole.last_lsn));
        for hole in holes.drain(..) {
            let what = format!("invalid frame at log sequence number {}", hole.first_lsn);
            let error = Error::damaged(&segment.path, hole.at, what);
            let events = hole.last_lsn + 1 - hole.first_lsn;
            tally.damage.push((error, 0, events));
        }
        let is_sound = tally.damage.is_empty() && joins;
        let spoken = std::mem::take(&mut tally.spoken);
        let created = tally.creates();
        self.take_tally(tally)?;
        if last_lsn < first_lsn {
            if segment.header.is_none() {
                self.unreadable.push(segment.name);
            }
        } else {
            self.stretches.push(Stretch {
                first_lsn,
                last_lsn,
                source: Source::Segment(segment),
                is_sound,
                spans,
                spoken,
                submitted: BTreeMap::new(),
                presupposed,
                created,
            });
        }
        Ok(())
    }

    /// Finds the jobs that no sound place holds.
    fn join_jobs(&mut self) {
        let mut spoken: BTreeMap<u32, u64> = BTreeMap::new();
        for stretch in &self.stretches {
            for (number, runs) in &stretch.spans {
                let found = self.graphs.entry(*number).or_default();
                for &(from, end) in runs {
                    found.damaged += from.saturating_sub(found.end);
                    found.end = found.end.max(end);
                }
            }
            for (&number, &end) in &stretch.spoken {
                spoken.insert(number, end.max(spoken.get(&number).copied().unwrap_or(0)));
            }
            // Bad blocks at a pack's end belong to it too.
            if let Source::Pack { pack, .. } = &stretch.source {
                for part in &pack.parts {
                    let found = self.graphs.entry(part.graph).or_default();
                    found.damaged += part.end_sequence.saturating_sub(found.end);
                    found.end = found.end.max(part.end_sequence);
                }
            }
        }
        // Jobs of which there are events and no request.
        for (number, end) in spoken {
            let found = self.graphs.entry(number).or_default();
            found.damaged += end.saturating_sub(found.end);
            found.end = found.end.max(end);
        }
    }
}

/// How many jobs of its graph there must be before an event.
fn jobs_before(event: &Event<'_>) -> Option<(u32, u64)> {
    if let Event::Submitted {
        graph, sequence, ..
    } = *event
    {
        return Some((graph, sequence));
    }
    let mut tally = Tally::default();
    tally.event(event);
    tally.spoken.into_iter().next()
}

/// Adds a range behind or after the others.
fn extend(runs: &mut Vec<(u64, u64)>, from: u64, end: u64) {
    match runs.last_mut() {
        Some(last) if last.1 == from => last.1 = end,
        _ => runs.push((from, end)),
    }
}

fn note(damage: &mut Vec<Damage>, error: &Error, jobs: u64, events: u64) -> Result<()> {
    damage.push(Damage::of(error, jobs, events)?);
    Ok(())
}

/// The store that most files of the log say they are of.
fn store_of_files(disk: &dyn Disk, names: &[String]) -> Result<StoreId> {
    let mut votes: BTreeMap<u128, u64> = BTreeMap::new();
    for name in names {
        let is_pack = file_names::pack_range(name).is_some();
        if !is_pack && file_names::segment_epoch(name).is_none() {
            continue;
        }
        let mut header = [0; SEGMENT_HEADER_BYTES];
        let file = disk
            .open(name)
            .map_err(|e| Error::io("open", disk.path(name), &e))?;
        if file.read_exact_at(&mut header, 0).is_err() {
            continue;
        }
        let store = match is_pack {
            true => Pack::store_in(&header),
            false => Segment::store_in(&header),
        };
        if let Some(store) = store {
            *votes.entry(store.0).or_default() += 1;
        }
    }
    let most = votes.into_iter().max_by_key(|&(_, count)| count);
    let unknown = || {
        let what = "the file is corrupt or missing, and no other file identifies the store";
        Error::damaged(disk.path(file_names::STORE), 0, what)
    };
    most.map(|(id, _)| StoreId(id)).ok_or_else(unknown)
}
