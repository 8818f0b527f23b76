//! Purging: which jobs go, and how they go.
//!
//! Owns: the steps of a purge, forgetting tombstones; what is due is in `due`. Must not
//! know: how room comes back.
//! Promise: only complete jobs go, in commits of their own that are small; a clock
//! that jumps makes no job older.

mod ages;
mod due;
mod late;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::ages::AgeClock;
use self::ages::Ages;
use self::due::Due;
use self::late::{Found, Late};
use crate::engine::Engine;
use crate::engine::answers::Answer;
#[cfg(feature = "archive")]
use crate::engine::archiving;
use crate::engine::graph_state::GraphCore;
use crate::engine::jobs::ExtraCache;
use crate::engine::large::large_id_in;
use crate::engine::queue::{Action, Operation};
use crate::engine::read::{Reader, Snapshot, Unit, missing};
use crate::engine::status::States;
use crate::error::{Error, Result};
use crate::index::rows::DETAIL_JOBS;
use crate::job::State;
use crate::retention::{PurgeReason, Retention};
use crate::storage::clock_mark::{ClockMark, shifted};
use crate::storage::event::Event;
use crate::storage::purged::{self, PurgedJob};
use crate::sync::atomic::Ordering;
use crate::sync::time::Instant;

/// Jobs that one event purges, at most.
pub(crate) const STEP_JOBS: usize = 1024;
/// Bytes of references to results that one event carries, about.
const STEP_RESULT_BYTES: usize = 64 << 10;
/// For so long after an open, a graph without a policy may still be told the one it had:
/// until then nothing is forgotten by default.
const UNSAID: Duration = Duration::from_secs(3600);
/// An idle store records its clocks this often.
const RECORD_EVERY_MS: u64 = 3_600_000;

/// What retention knows beside the states.
#[derive(Default)]
pub(crate) struct Work {
    opened: Option<Instant>,
    /// By graph; they hold for a policy.
    ages: BTreeMap<u32, (Arc<Retention>, Ages)>,
    /// Purges that have tombstones, by LSN.
    tombstones: BTreeMap<u64, Kept>,
    /// Whether those of earlier opens are among them.
    knows_earlier: bool,
    /// When something was purged last.
    pub(crate) last_purge_ms: Option<u64>,
    pub(crate) late: Late,
    /// What keeps graphs from being purged, or their tombstones from being forgotten.
    problems: BTreeMap<u32, String>,
}

/// Tombstones of one purge.
#[derive(Clone, Copy)]
struct Kept {
    graph: u32,
    /// The age clock at the purge.
    age_ms: i64,
    jobs: u64,
}

impl Work {
    /// What is known of a graph's ages under this policy.
    fn ages(&mut self, graph: u32, policy: &Arc<Retention>) -> &mut Ages {
        let new = || (policy.clone(), Ages::default());
        let known = self.ages.entry(graph).or_insert_with(new);
        if known.0 != *policy {
            *known = new();
        }
        &mut known.1
    }
}

/// Purges what is due, up to a bound, and forgets tombstones; says whether there is
/// more to do. A graph in which that fails is left for the next time.
pub(crate) fn step(engine: &Engine) -> bool {
    engine.record_clock_if_due();
    let graphs = engine.graphs.read().by_number.clone();
    let defaults;
    {
        let mut work = engine.retention.lock();
        work.problems
            .retain(|number, _| graphs.contains_key(number));
        work.ages.retain(|number, _| graphs.contains_key(number));
        work.tombstones
            .retain(|_, kept| graphs.contains_key(&kept.graph));
        work.late.keep(|number| graphs.contains_key(&number));
        let now = Instant::now();
        let open = work.opened.map(|at| now.saturating_duration_since(at));
        defaults = open
            .filter(|time| *time >= UNSAID)
            .map(|_| Retention::new());
    }
    let mut is_more = false;
    for graph in graphs.into_values() {
        let policy = graph.retention.read().clone();
        // What has an archive is purged by the archiver.
        #[cfg(feature = "archive")]
        let is_archived = archiving::concerns(&graph, policy.as_deref());
        #[cfg(not(feature = "archive"))]
        let is_archived = false;
        let purged = match &policy {
            _ if is_archived => Ok(false),
            Some(policy) => purge_due(engine, &graph, policy, true),
            None => {
                engine.note_due(&graph, Found::Nothing);
                Ok(false)
            }
        };
        let forgotten = match policy.as_deref().or(defaults.as_ref()) {
            Some(policy) => forget_due(engine, &graph, policy),
            None => Ok(false),
        };
        // What keeps it from being purged is the archiver's to note.
        if !is_archived || forgotten.is_err() {
            engine.note_problem(&graph, &purged, &forgotten);
        }
        is_more |= purged.unwrap_or(false) || forgotten.unwrap_or(false);
    }
    is_more
}

/// Purges what is due in the graphs that have an archive, up to a bound; says whether there is
/// more to do.
#[cfg(feature = "archive")]
pub(crate) fn step_archived(engine: &Engine) -> bool {
    let graphs: Vec<_> = engine.graphs.read().by_number.values().cloned().collect();
    let mut is_more = false;
    for graph in graphs {
        let policy = graph.retention.read().clone();
        if !archiving::concerns(&graph, policy.as_deref()) {
            continue;
        }
        let is_ready = archiving::look_after(engine, &graph, policy.as_deref());
        let Some(policy) = &policy else {
            continue;
        };
        let purged = purge_due(engine, &graph, policy, is_ready);
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
) -> Result<bool> {
    let due = Due::look(engine, graph, policy)?;
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

/// Forgets the tombstones of one purge of this graph, if they are over the bounds.
fn forget_due(engine: &Engine, graph: &Arc<GraphCore>, policy: &Retention) -> Result<bool> {
    if graph.state.read().status.gone_total() == 0 {
        return Ok(false);
    }
    engine.look_up_tombstones()?;
    let now_ms = engine.clock_mark().age_ms as i64;
    let work = engine.retention.lock();
    let of_graph = || {
        work.tombstones
            .iter()
            .filter(|(_, kept)| kept.graph == graph.number)
    };
    let jobs: u64 = of_graph().map(|(_, kept)| kept.jobs).sum();
    let first = of_graph().next().map(|(&lsn, _)| lsn);
    let age_ms = u64::try_from(policy.tombstone_age.as_millis()).unwrap_or(u64::MAX);
    // Those before an old one are older still, whatever their times say.
    let mut ages = of_graph().map(|(_, kept)| now_ms.saturating_sub(kept.age_ms).max(0) as u64);
    let is_any_old = ages.any(|age| age > age_ms);
    drop(work);
    let Some(lsn) = first.filter(|_| jobs > policy.tombstones || is_any_old) else {
        return Ok(false);
    };
    let mut sequences = Vec::new();
    engine.event_at(lsn, |event| {
        if let Event::Purged { jobs, .. } = event {
            let jobs = purged::unpack(jobs).unwrap_or_default();
            sequences.extend(jobs.iter().map(|job| job.sequence));
        }
    })?;
    engine.commit(Operation::small(Action::Forget {
        graph: graph.clone(),
        through_lsn: lsn,
        sequences,
    }))?;
    engine.retention.lock().tombstones.remove(&lsn);
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
        for step in sequences.chunks(STEP_JOBS) {
            if by.is_some_and(|by| !graph.is_purged_by(by)) {
                break;
            }
            #[cfg(feature = "archive")]
            let policy = graph.retention.read().clone();
            #[cfg(feature = "archive")]
            let mut archiving = match policy.as_deref() {
                Some(policy) if policy.archive.is_some() => {
                    Some(archiving::begin(self, graph, Some(policy))?)
                }
                _ => None,
            };
            let mut jobs = self.to_purge(graph, step)?;
            while !jobs.is_empty() {
                let mut bytes = 0;
                let fits = jobs.iter().take_while(|job| {
                    bytes += job.result_ref.as_ref().map_or(0, String::len);
                    bytes <= STEP_RESULT_BYTES
                });
                let rest = jobs.split_off(fits.count().max(1));
                let some = std::mem::replace(&mut jobs, rest);
                #[cfg(feature = "archive")]
                let archived = match &mut archiving {
                    Some(archiving) => archiving.put(&some)?,
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
        let clock = self.clock_mark();
        let age_ms = clock.age_ms as i64;
        let mut work = self.retention.lock();
        work.last_purge_ms = Some(clock.wall_ms);
        self.meters.purged.add(jobs);
        if jobs > 0 {
            let kept = Kept {
                graph: graph.number,
                age_ms,
                jobs,
            };
            work.tombstones.insert(lsn, kept);
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

    fn note_problem(&self, graph: &GraphCore, purged: &Result<bool>, forgotten: &Result<bool>) {
        let name = &graph.name;
        let problem = match (purged, forgotten) {
            (Err(error), _) => format!("jobs of graph {name:?} are due and not purged: {error}"),
            (_, Err(error)) => format!("tombstones of graph {name:?} are not forgotten: {error}"),
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
        let mut found = BTreeMap::new();
        let mut take = |lsn: u64, event: &Event<'_>| {
            if let &Event::Purged {
                graph,
                time_ms,
                age_shift_ms,
                jobs,
                ..
            } = event
            {
                let jobs = purged::unpack(jobs).unwrap_or_default();
                let jobs = jobs.iter().filter(|job| job.id.is_some()).count() as u64;
                if jobs > 0 {
                    let kept = Kept {
                        graph,
                        age_ms: shifted(time_ms, age_shift_ms),
                        jobs,
                    };
                    found.insert(lsn, kept);
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
        let graphs = self.graphs.read();
        found.retain(|lsn, kept| {
            let graph = graphs.by_number.get(&kept.graph);
            graph.is_some_and(|graph| *lsn > graph.state.read().forgotten_lsn)
        });
        drop(graphs);
        let mut work = self.retention.lock();
        work.tombstones.extend(found);
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
        let wall_ms = self.now_ms();
        self.clock.lock().confirm(Instant::now(), wall_ms);
        self.wake_packer();
        self.commit(Operation::small(Action::Clock)).map(|_| ())
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
        let is_of_age = |graph: &Arc<GraphCore>| {
            let policy = graph.retention.read();
            policy
                .as_ref()
                .is_some_and(|p| p.shortest_age_ms().is_some())
        };
        self.clock_mark().doubted_ms > 0 && self.graphs.read().by_number.values().any(is_of_age)
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
                !work.tombstones.is_empty(),
                work.ages.contains_key(&number),
                work.late.of(number, now).is_some(),
            ]
        };
        {
            // At once: the background looks, too.
            let mut work = engine.retention.lock();
            work.ages(number, &Arc::new(Retention::new()));
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
            for kept in work.tombstones.values_mut() {
                kept.age_ms = now_ms - days as i64 * 24 * 3_600_000;
            }
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
