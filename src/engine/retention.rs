//! Purging: which jobs go, and how they go.
//!
//! Owns: the steps of a purge, forgetting tombstones; what is due is in `due`. Must not
//! know: how room comes back.
//! Promise: only complete jobs go, in commits of their own that are small; a clock
//! that jumps makes no job older.

mod due;

use std::collections::BTreeMap;
use std::sync::Arc;
#[cfg(feature = "archive")]
use std::sync::Weak;
use std::time::Duration;

use self::due::Due;
use crate::base::sync::atomic::Ordering;
use crate::base::sync::time::Instant;
#[cfg(feature = "archive")]
use crate::engine::archiving;
use crate::engine::core::Engine;
use crate::engine::jobs::ExtraCache;
use crate::engine::large::large_id_in;
use crate::engine::missing_job::missing;
use crate::engine::read::{Reader, Snapshot, Unit};
use crate::engine::state::calls::Answer;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::operation::{Action, Operation};
use crate::engine::state::retention::Work;
use crate::engine::state::retention::purge_lag::Found;
use crate::index::rows::DETAIL_JOBS;
use crate::log::clock_gaps::Gaps;
use crate::log::clock_mark::{ClockMark, shifted};
use crate::log::event::Event;
use crate::log::purged_jobs::{self, PurgedJob};
use crate::log::writer;
use crate::model::error::{Error, Result};
use crate::model::retention::{PurgeReason, Retention};
use crate::model::states::{State, States};

/// Jobs that one event purges, at most.
pub(crate) const STEP_JOBS: usize = 1024;
/// Bytes of what one event says of the jobs that it purges, about; at most half of what is
/// kept of a reserve for it.
const STEP_BYTES_MAX: u64 = 64 << 10;
/// For so long after an open, a graph without a policy may still be told the one it had:
/// until then nothing is forgotten by default.
const UNSAID: Duration = Duration::from_secs(3600);
/// An idle store records its clocks this often.
const RECORD_EVERY_MS: u64 = 3_600_000;

/// Where tombstones could not be looked up, it is tried again after this long.
const DEFAULTS_RETRY: Duration = Duration::from_secs(60);

impl Engine {
    /// Notes changes of a graph that were made visible.
    pub(crate) fn note_changed(&self, graph: &Arc<GraphCore>, is_smaller: bool) {
        if !is_smaller && graph.retention.read().is_none() {
            return;
        }
        let mut noted = self.noted.lock();
        noted.note(graph);
        if is_smaller {
            noted.shrunk.insert(graph.number);
        }
    }

    /// Notes that a graph has another policy.
    pub(crate) fn note_policy(&self, graph: &Arc<GraphCore>) {
        let mut work = self.retention.lock();
        if !graph.is_dropped() {
            let policy = graph.retention.read().clone();
            work.agenda.note_policy(graph.number, policy.as_deref());
            #[cfg(feature = "archive")]
            if policy.is_some_and(|policy| policy.archive.is_some()) {
                work.archived.insert(graph.number, Arc::downgrade(graph));
            }
        }
    }

    /// The graphs that retention looks at in this round.
    fn begin_retention_round(&self) -> Vec<Arc<GraphCore>> {
        self.begin_defaults();
        let now_ms = self.clock_mark().age_ms as i64;
        let changed = std::mem::take(&mut self.noted.lock().graphs);
        let mut work = self.retention.lock();
        for graph in changed {
            graph.is_noted.swap(false, Ordering::AcqRel);
            match graph.is_dropped() {
                true => work.forget(graph.number),
                false => work.agenda.note(graph.number),
            }
        }
        let round = work.agenda.begin_round(now_ms);
        drop(work);
        // One by one: a commit that creates or drops a graph does not wait for all.
        let there = round.into_iter().filter_map(|number| self.graph(number));
        there.collect()
    }

    /// Notes that the archive of a graph was opened.
    #[cfg(feature = "archive")]
    pub(crate) fn note_archive(&self, graph: &Arc<GraphCore>) {
        let mut work = self.retention.lock();
        work.archived.insert(graph.number, Arc::downgrade(graph));
    }

    /// The graphs that have an archive, or may have, also dropped ones.
    #[cfg(feature = "archive")]
    pub(crate) fn with_archive(&self) -> Vec<Arc<GraphCore>> {
        let work = self.retention.lock();
        work.archived.values().filter_map(Weak::upgrade).collect()
    }

    /// The graphs that have an archive. One that no longer has one is left to the rounds of
    /// the others, and the archive of a dropped one ends.
    #[cfg(feature = "archive")]
    fn archived_graphs(&self) -> Vec<Arc<GraphCore>> {
        let known = self.retention.lock().archived.clone();
        let mut found = Vec::with_capacity(known.len());
        let mut is_any_left = false;
        for (number, graph) in known {
            let graph = graph.upgrade();
            if let Some(graph) = graph.as_ref().filter(|graph| graph.is_dropped()) {
                archiving::finish(graph);
            }
            let graph = graph.filter(|graph| !graph.is_dropped());
            // A policy is noted under this lock after it was set.
            let mut work = self.retention.lock();
            let is_archived = graph.as_ref().is_some_and(|graph| {
                let policy = graph.retention.read().clone();
                archiving::concerns(graph, policy.as_deref())
            });
            if !is_archived {
                work.archived.remove(&number);
                if graph.is_some() {
                    work.agenda.note(number);
                    is_any_left = true;
                }
                continue;
            }
            drop(work);
            found.extend(graph);
        }
        if is_any_left {
            self.wake_packer();
        }
        found
    }

    /// Once no policy is to be expected any more, graphs without one go by the default.
    fn begin_defaults(&self) {
        {
            let mut work = self.retention.lock();
            let now = Instant::now();
            let open = work.opened.map(|at| now.saturating_duration_since(at));
            let is_time = open.is_some_and(|time| time >= UNSAID);
            if work.by_default || !is_time || work.defaults_at.is_some_and(|at| at > now) {
                return;
            }
            work.defaults_at = now.checked_add(DEFAULTS_RETRY);
        }
        if let Err(error) = self.look_up_tombstones() {
            tracing::warn!(%error, "cannot look up tombstones; retrying later");
            return;
        }
        let mut work = self.retention.lock();
        let Work {
            agenda,
            tombstones,
            by_default,
            ..
        } = &mut *work;
        *by_default = true;
        tombstones.keys().for_each(|&graph| agenda.note(graph));
    }
}

/// Purges what is due, up to a bound, and forgets tombstones; says whether there is
/// more to do. A graph in which that fails is left for the next time.
pub(crate) fn step(engine: &Engine) -> bool {
    engine.record_clock_if_due();
    let graphs = engine.begin_retention_round();
    let by_default = engine.retention.lock().by_default;
    let defaults = by_default.then(Retention::new);
    engine.meters.visits.add(graphs.len() as u64);
    let mut is_more = false;
    for graph in graphs {
        is_more |= look_at(engine, &graph, defaults.as_ref());
    }
    is_more
}

/// Does what is due in a graph, up to a bound, and plans the next look at it.
fn look_at(engine: &Engine, graph: &Arc<GraphCore>, defaults: Option<&Retention>) -> bool {
    let policy = graph.retention.read().clone();
    // What has an archive is purged by the archiver.
    #[cfg(feature = "archive")]
    let is_archived = archiving::concerns(graph, policy.as_deref());
    #[cfg(not(feature = "archive"))]
    let is_archived = false;
    let mut next_ms = None;
    let purged = match &policy {
        _ if is_archived => Ok(false),
        Some(policy) => purge_due(engine, graph, policy, true, &mut next_ms),
        None => {
            engine.note_due(graph, Found::Nothing);
            Ok(false)
        }
    };
    let forgotten = match policy.as_deref().or(defaults) {
        Some(policy) => forget_due(engine, graph, policy, &mut next_ms),
        None => Ok(false),
    };
    // What keeps it from being purged is the archiver's to note.
    if !is_archived || forgotten.is_err() {
        engine.note_problem(graph, &purged, &forgotten);
    }
    let in_each = purged.is_err() || forgotten.is_err();
    let is_more = purged.unwrap_or(false) || forgotten.unwrap_or(false);
    let mut work = engine.retention.lock();
    work.agenda.plan(graph.number, next_ms, in_each);
    if is_more {
        work.agenda.note(graph.number);
    }
    is_more
}

/// Purges what is due in the graphs that have an archive, up to a bound; says whether there is
/// more to do.
#[cfg(feature = "archive")]
pub(crate) fn step_archived(engine: &Engine) -> bool {
    let graphs = engine.archived_graphs();
    engine.meters.visits.add(graphs.len() as u64);
    let mut is_more = false;
    for graph in graphs {
        let policy = graph.retention.read().clone();
        let is_ready = archiving::look_after(engine, &graph);
        let Some(policy) = &policy else {
            continue;
        };
        // It is looked at in each round, whatever becomes due when.
        let purged = purge_due(engine, &graph, policy, is_ready, &mut None);
        engine.note_problem(&graph, &purged, &Ok(false));
        is_more |= purged.unwrap_or(false);
    }
    is_more
}

/// Where jobs are archived first and that does not succeed, the graph waits, and the others
/// go on.
fn purge_due(
    engine: &Engine,
    graph: &Arc<GraphCore>,
    policy: &Arc<Retention>,
    is_ready: bool,
    next_ms: &mut Option<i64>,
) -> Result<bool> {
    let due = Due::look(engine, graph, policy)?;
    *next_ms = due.next_ms();
    engine.note_due(graph, due.found());
    if !is_ready {
        return Ok(false);
    }
    let purged = due.purge(engine, graph, policy);
    #[cfg(feature = "archive")]
    if purged.is_err() && archiving::has_problem(graph) {
        return Ok(false);
    }
    Ok(purged? > 0)
}

const COMPLETE: States = States::NONE.with(State::Complete);

/// Forgets the tombstones of the first purges of this graph, if they are over the bounds.
fn forget_due(
    engine: &Engine,
    graph: &Arc<GraphCore>,
    policy: &Retention,
    next_ms: &mut Option<i64>,
) -> Result<bool> {
    if graph.state.read().status.gone_total() == 0 {
        return Ok(false);
    }
    engine.look_up_tombstones()?;
    let age_ms = i64::try_from(policy.tombstone_age.as_millis()).unwrap_or(i64::MAX);
    let gaps = engine.gaps();
    let now_ms = engine.clock_mark().age_ms as i64;
    let lsns = {
        let mut work = engine.retention.lock();
        let Some(stones) = work.tombstones.get_mut(&graph.number) else {
            return Ok(false);
        };
        let oldest_ms = stones.oldest_ms(now_ms, &gaps);
        let old_at = oldest_ms.map(|at| at.saturating_add(age_ms).saturating_add(1));
        *next_ms = next_ms.iter().copied().chain(old_at).min();
        let old = stones.older_than(now_ms.saturating_sub(age_ms), &gaps);
        stones.first_over(policy.tombstones, old, STEP_JOBS as u64)
    };
    let Some(&through_lsn) = lsns.last() else {
        return Ok(false);
    };
    let sequences = engine.purged_by(&lsns)?;
    engine.commit(Operation::small(Action::Forget {
        graph: graph.clone(),
        through_lsn,
        sequences,
    }))?;
    let mut work = engine.retention.lock();
    if let Some(stones) = work.tombstones.get_mut(&graph.number) {
        stones.forget(through_lsn);
        if stones.is_empty() {
            work.tombstones.remove(&graph.number);
        }
    }
    Ok(true)
}

impl Engine {
    /// Purges those of these jobs that are complete, and says how many that were. Jobs that
    /// a policy made due stay once the graph has another.
    pub(crate) fn purge(
        &self,
        graph: &Arc<GraphCore>,
        sequences: &[u64],
        (why, by): (PurgeReason, Option<&Arc<Retention>>),
    ) -> Result<u64> {
        let mut purged = 0;
        let kept_bytes = writer::freeing_bytes(self.spare.reserve_bytes());
        let bytes_max = STEP_BYTES_MAX.min(kept_bytes / 2);
        for step in sequences.chunks(STEP_JOBS) {
            if by.is_some_and(|by| !graph.is_purged_by(by)) {
                break;
            }
            #[cfg(feature = "archive")]
            let now_ms = self.now_ms();
            #[cfg(feature = "archive")]
            let policy = graph.retention.read().clone();
            #[cfg(feature = "archive")]
            let mut archiving = match policy.as_deref() {
                Some(policy) if policy.archive.is_some() => Some(archiving::begin(self, graph)?),
                _ => None,
            };
            let mut jobs = self.to_purge(graph, step)?;
            while !jobs.is_empty() {
                let mut bytes = 0;
                let fits = jobs.iter().take_while(|job| {
                    bytes += purged_jobs::bytes_of(job);
                    bytes <= bytes_max
                });
                let rest = jobs.split_off(fits.count().max(1));
                let some = std::mem::replace(&mut jobs, rest);
                #[cfg(feature = "archive")]
                let archived = match &mut archiving {
                    Some(archiving) => archiving.put(&some, now_ms)?,
                    None => None,
                };
                // An archive may take long; what holds is the policy of this moment.
                let purging = graph.purging.lock();
                let done = match by.is_some_and(|by| !graph.is_purged_by(by)) {
                    true => Ok(0),
                    false => self.purge_step(graph, some, why),
                };
                drop(purging);
                #[cfg(feature = "archive")]
                if let Some(archiving) = &mut archiving {
                    archiving.settle(archived, &done);
                }
                purged += done?;
            }
        }
        Ok(purged)
    }

    fn purge_step(
        &self,
        graph: &Arc<GraphCore>,
        jobs: Vec<PurgedJob>,
        why: PurgeReason,
    ) -> Result<u64> {
        let answer = self.commit(Operation::small(Action::Purge {
            graph: graph.clone(),
            jobs,
            why: why.to_stored(),
        }))?;
        let Answer::Purged { lsn, jobs } = answer else {
            return Ok(0);
        };
        // The caller holds locks, so the host's clock is not read: the commit did.
        let clock = self.clock_mark_at(self.queue.dated_ms());
        let age_ms = clock.age_ms as i64;
        let mut work = self.retention.lock();
        work.last_purge_ms = Some(clock.wall_ms);
        self.meters.purged.add(jobs);
        if jobs > 0 && !graph.is_dropped() {
            let stones = work.tombstones.entry(graph.number).or_default();
            stones.add((lsn, jobs), age_ms);
        }
        Ok(jobs)
    }

    /// What a purge has to know of these jobs; without those that are not there, or
    /// not complete.
    fn to_purge(&self, graph: &Arc<GraphCore>, sequences: &[u64]) -> Result<Vec<PurgedJob>> {
        let (Some(&first), Some(&last)) = (sequences.first(), sequences.last()) else {
            return Ok(Vec::new());
        };
        let snapshot = {
            let state = graph.state.read();
            let jobs = state.status.select(COMPLETE, first, 0, last - first + 1);
            let is_wanted = |s: u64| sequences.binary_search(&s).is_ok();
            Snapshot::take(&state, jobs.only(is_wanted))
        };
        let (mut reader, mut at, mut found) = (Reader::default(), 0, Vec::new());
        let mut row = None;
        let mut extras = ExtraCache::default();
        while let Some(unit) = reader.read(graph, &snapshot)? {
            let mut ids = Vec::new();
            match unit {
                Unit::Large(large) => {
                    let sequence = large.sequence;
                    ids.push((sequence, large_id_in(large)?));
                }
                Unit::Block => {
                    let block = &reader.block;
                    for (sequence, row) in (block.first_sequence..).zip(&block.rows) {
                        let next = snapshot.selection.next(sequence, &mut at);
                        if next.is_some_and(|(next, _)| next == sequence) {
                            let id = std::str::from_utf8(block.id(row));
                            let id = id.map_err(|_| missing(&graph.path(), sequence))?;
                            ids.push((sequence, id.to_owned()));
                        }
                    }
                }
            }
            for (sequence, id) in ids {
                let group = sequence / DETAIL_JOBS;
                let details = match row.take() {
                    Some((known, details)) if known == group => details,
                    _ => Box::new(self.details(graph, group)?),
                };
                let detail = details.0[(sequence % DETAIL_JOBS) as usize];
                row = Some((group, details));
                let result_ref = match detail.finished.map(|end| end.extra_lsn) {
                    None | Some(0) => None,
                    Some(lsn) => self
                        .outcome_extra(lsn, &mut extras)?
                        .and_then(|extra| extra.result_ref),
                };
                found.push(PurgedJob {
                    sequence,
                    id: Some(graph.tombstone_hash(&id, sequence)),
                    result_ref,
                });
            }
        }
        Ok(found)
    }

    /// The jobs that these purges named, in ascending order; neighboring events are read
    /// together.
    fn purged_by(&self, lsns: &[u64]) -> Result<Vec<u64>> {
        let mut sequences = Vec::new();
        let mut left = lsns;
        while let Some(&first) = left.first() {
            let mut read_to = first;
            self.events_near(first, |lsn, event| {
                read_to = read_to.max(lsn);
                if let (Event::Purged { jobs, .. }, Ok(_)) = (event, left.binary_search(&lsn)) {
                    let jobs = purged_jobs::unpack(jobs).unwrap_or_default();
                    sequences.extend(jobs.iter().map(|job| job.sequence));
                }
            })?;
            left = &left[left.partition_point(|&lsn| lsn <= read_to)..];
        }
        sequences.sort_unstable();
        Ok(sequences)
    }

    fn note_problem(&self, graph: &GraphCore, purged: &Result<bool>, forgotten: &Result<bool>) {
        let name = &graph.name;
        let problem = match (purged, forgotten) {
            (Err(error), _) => format!("jobs of graph {name:?} are overdue for purging: {error}"),
            (_, Err(error)) => {
                format!("expired tombstones of graph {name:?} are not removed: {error}")
            }
            (Ok(_), Ok(_)) => {
                self.retention.lock().problems.remove(&graph.number);
                return;
            }
        };
        tracing::warn!("{problem}");
        let mut work = self.retention.lock();
        work.problems.insert(graph.number, problem);
    }

    /// What keeps a graph from being purged.
    pub(crate) fn purge_problem(&self) -> Option<String> {
        self.retention.lock().problems.values().next().cloned()
    }

    fn note_due(&self, graph: &GraphCore, found: Found) {
        let mut work = self.retention.lock();
        work.late.note(graph.number, found, Instant::now());
    }

    /// For how long jobs of a graph have been due that are not purged.
    pub(crate) fn purge_lag(&self, graph: &GraphCore) -> Option<Duration> {
        graph.retention.read().as_ref()?;
        self.retention.lock().late.of(graph.number, Instant::now())
    }

    /// Looks up which purges of earlier opens have tombstones, once.
    fn look_up_tombstones(&self) -> Result<()> {
        if self.retention.lock().knows_earlier {
            return Ok(());
        }
        let mut found: BTreeMap<u32, BTreeMap<u64, (u64, i64)>> = BTreeMap::new();
        let mut take = |lsn: u64, event: &Event<'_>| {
            if let &Event::Purged {
                graph,
                time_ms,
                age_shift_ms,
                jobs,
                ..
            } = event
            {
                let jobs = purged_jobs::unpack(jobs).unwrap_or_default();
                let jobs = jobs.iter().filter(|job| job.id.is_some()).count() as u64;
                if jobs > 0 {
                    let of_graph = found.entry(graph).or_default();
                    of_graph.insert(lsn, (jobs, shifted(time_ms, age_shift_ms)));
                }
            }
        };
        let (packs, segments) = {
            let truth = self.truth.read();
            (truth.packs.clone(), truth.segments.clone())
        };
        for pack in &packs {
            pack.events(pack.first_lsn, |lsn, event| {
                take(lsn, event);
                Ok::<(), Error>(())
            })?;
        }
        for segment in &segments {
            segment.each_event(&mut take)?;
        }
        found.retain(|&number, found| {
            let graph = self.graph(number);
            let forgotten_lsn = graph.map_or(u64::MAX, |g| g.state.read().forgotten_lsn);
            found.retain(|&lsn, _| lsn > forgotten_lsn);
            !found.is_empty()
        });
        let mut work = self.retention.lock();
        for (number, found) in found {
            work.tombstones
                .entry(number)
                .or_default()
                .add_earlier(found);
        }
        work.knows_earlier = true;
        Ok(())
    }

    /// The clocks now.
    pub(crate) fn clock_mark(&self) -> ClockMark {
        self.clock_mark_at(self.now_ms())
    }

    /// The same with what the system's clock said a moment ago: for holders of locks.
    pub(crate) fn clock_mark_at(&self, wall_ms: u64) -> ClockMark {
        self.clock.lock().read(Instant::now(), wall_ms)
    }

    /// Notes when the store was opened: retention by default begins later.
    pub(crate) fn begin_retention(&self) {
        self.retention.lock().opened = Some(Instant::now());
    }

    /// Trusts the system's clock, durably.
    pub(crate) fn confirm_clock(&self) -> Result<()> {
        self.clock_mark();
        self.commit(Operation::small(Action::ConfirmClock))?;
        self.retention.lock().agenda.note_ages();
        self.wake_packer();
        Ok(())
    }

    /// What was confirmed that the age clock did not count.
    pub(crate) fn gaps(&self) -> Gaps {
        self.clock.lock().gaps().clone()
    }

    /// Records the clocks of a store that is open and idle: what is lost of its time by a
    /// crash is bounded.
    fn record_clock_if_due(&self) {
        let recorded_ms = self.recorded_age_ms.load(Ordering::Relaxed);
        let idle_ms = self.clock_mark().age_ms.saturating_sub(recorded_ms);
        if idle_ms >= RECORD_EVERY_MS {
            // If it fails, it is tried again.
            self.commit(Operation::small(Action::Clock)).ok();
        }
    }

    /// Whether policies wait for the clock to be confirmed.
    pub(crate) fn waits_for_clock(&self) -> bool {
        // Health must not wait for the host's clock; commits and the background read it.
        let now_ms = crate::base::clock::to_ms(self.options.clock.estimate());
        self.clock_mark_at(now_ms).doubted_ms > 0 && self.retention.lock().agenda.is_any_of_age()
    }
}

#[cfg(all(test, not(jobstore_shuttle)))]
mod tests {
    use super::*;
    use crate::{Body, JobStore, List, Request};

    #[test]
    fn of_a_dropped_graph_nothing_is_kept() {
        let store = JobStore::in_memory().unwrap();
        let graph = store.create_graph("1", "movie").unwrap();
        let id = graph.submit(Request::new("c", "", Body::empty()).unwrap());
        graph.cancel(id.unwrap()).unwrap();
        graph.purge(List::new()).unwrap();
        let engine = graph.engine();
        let (number, now) = (graph.core.number, Instant::now());
        let kept = |work: &Work| {
            [
                work.tombstones.contains_key(&number),
                work.ages.contains_key(&number),
                work.late.of(number, now).is_some(),
            ]
        };
        {
            // At once: the background looks, too.
            let mut work = engine.retention.lock();
            work.ages(number, &Arc::new(Retention::new()), &Gaps::default());
            work.late.note(number, Found::Over(Duration::ZERO), now);
            assert_eq!(kept(&work), [true; 3]);
        }
        store.drop_graph("1", "movie").unwrap();
        step(engine);
        assert_eq!(kept(&engine.retention.lock()), [false; 3]);
    }

    #[test]
    fn an_idle_store_records_its_clocks_once_an_hour() {
        let store = JobStore::in_memory().unwrap();
        let graph = store.create_graph("1", "movie").unwrap();
        let engine = graph.engine();
        let next_lsn = || engine.hold_committer().log.next_lsn();
        let before = next_lsn();
        engine.record_clock_if_due();
        assert_eq!(next_lsn(), before);
        let now_ms = engine.clock_mark().age_ms;
        let recorded = &engine.recorded_age_ms;
        recorded.store(now_ms - RECORD_EVERY_MS, Ordering::Relaxed);
        for _ in 0..2 {
            engine.record_clock_if_due();
            assert_eq!(next_lsn(), before + 1);
        }
    }

    #[test]
    fn tombstones_are_bounded_by_default_once_no_policy_is_to_be_expected() {
        let store = JobStore::in_memory().unwrap();
        let graph = store.create_graph("1", "movie").unwrap();
        let id = graph.submit(Request::new("c", "", Body::empty()).unwrap());
        let id = id.unwrap();
        graph.cancel(&id).unwrap();
        graph.purge(List::new()).unwrap();
        let engine = graph.engine();
        let purged_days_ago = |days: u64| {
            let now_ms = engine.clock_mark().age_ms as i64;
            let mut work = engine.retention.lock();
            for stones in work.tombstones.values_mut() {
                stones.set_times(now_ms - days as i64 * 24 * 3_600_000);
            }
            work.agenda.note(graph.core.number);
        };
        let is_known = || graph.tombstone(&id).unwrap().is_some();
        purged_days_ago(31);
        step(engine);
        assert!(is_known(), "right after the open");
        engine.retention.lock().opened = Some(Instant::now() - UNSAID);
        purged_days_ago(29);
        step(engine);
        assert!(is_known(), "younger than that");
        purged_days_ago(31);
        while step(engine) {}
        assert!(!is_known());
    }
}
