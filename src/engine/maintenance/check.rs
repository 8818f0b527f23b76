//! Verifies a store, open or closed, and repairs a closed one.
//!
//! Verification changes nothing and does not block other work. A store that passes verification can
//! be opened.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::core::Engine;
use crate::engine::maintenance::repair::{self, nameless};
use crate::engine::open::directory;
use crate::engine::open::store_files::read_files;
use crate::engine::open::{LogAccess, load_index, read_log};
use crate::engine::read::reader::Reader;
use crate::engine::replay::{Replay, ReplayError};
use crate::engine::survey::{self, Survey, check_pack};
use crate::index::directory::IndexAtRest;
use crate::index::empty::NoIndex;
use crate::index::rows::{self, GraphRow};
use crate::index::{Fault, Index};
use crate::log::disk::{Disk, File as _};
use crate::log::file_names;
use crate::log::identity;
use crate::log::pack::Pack;
use crate::log::random::random_id_number;
use crate::log::segment::Segment;
use crate::model::error::{Error, Result};
use crate::model::options::Options;
use crate::model::report::{Damage, GraphReport, RepairReport, VerifyProgress, VerifyReport};
use crate::model::states::States;

/// Verifies a store that is not open.
pub(crate) fn verify(disk: &dyn Disk) -> Result<VerifyReport> {
    survey_and_report(disk, &mut |_| Ok(())).map(|(_, report)| report)
}

fn survey_and_report(
    disk: &dyn Disk,
    on_read: survey::OnRead<'_>,
) -> Result<(Survey, VerifyReport)> {
    let survey = Survey::take(disk, on_read)?;
    let mut report = report_of(disk, &survey);
    if survey.is_sound() {
        // Each file is intact by itself; check that an open would accept all of them together.
        let (options, index) = (Options::default(), Arc::new(NoIndex));
        let files = read_files(disk, survey.store).map_err(ReplayError::LogFiles);
        let read = files.and_then(|files| {
            let only = LogAccess::Read;
            read_log(disk, survey.store, &files, &options, index, only)
        });
        let error = match read {
            Ok(read) => {
                let there = read.jobs();
                for (number, graph) in survey.live().zip(&mut report.graphs) {
                    graph.sound = there.get(&number).copied().unwrap_or(graph.sound);
                }
                None
            }
            Err(ReplayError::LogFiles(error)) => Some(error),
            Err(ReplayError::Index(Fault(what))) => Some(Error::damaged(disk.path(""), 0, what)),
        };
        if let Some(error) = error {
            report.damage.push(Damage::of(&error, 0, 0)?);
        }
    }
    Ok((survey, report))
}

fn report_of(disk: &dyn Disk, survey: &Survey) -> VerifyReport {
    VerifyReport {
        path: disk.path(""),
        closed: Some(survey.closed.is_some()),
        files: survey.files,
        bytes: survey.bytes,
        events: survey.next_lsn() - 1,
        graphs: survey.reports(),
        damage: survey.damage.clone(),
        index_fault: None,
    }
}

/// Returns the index of a store that is not open.
pub(crate) type IndexOf<'a> = &'a dyn Fn(IndexAtRest<'_>) -> Result<Option<Arc<dyn Index>>>;

/// Quarantines the damaged parts of a store that is not open.
pub(crate) fn repair(disk: &dyn Disk, index: IndexOf<'_>) -> Result<RepairReport> {
    let (mut survey, mut found) = survey_and_report(disk, &mut |_| Ok(()))?;
    let loaded = known_by_index(&survey, index);
    let seen = loaded.as_ref().map_or(0, |l| l.indexer.applied_lsn);
    if survey.closed.is_none() && seen >= survey.next_lsn() {
        survey.note_missing(disk, seen)?;
        found = report_of(disk, &survey);
    }
    let mut repaired = RepairReport {
        found,
        ..RepairReport::default()
    };
    if repaired.found.is_sound() {
        return Ok(repaired);
    }
    // A repair would quarantine what the replica still has.
    if matches!(identity::read_any(disk), Ok(Some(found)) if found.has_replica) {
        return Err(Error::InvalidUse {
            what: "the store has a replica; move the directory away, and open an empty directory \
                 with the replica to restore the store",
        });
    }
    let created = creations(disk, &survey, loaded)?;
    survey.note_lost_drops(&created);
    let done = repair::repair(disk, &survey, created)?;
    index(IndexAtRest::Nothing)?;
    repaired.quarantined = done.quarantined;
    repaired.jobs = done.jobs;
    repaired.events = done.events;
    // Verify the result of the repair, too.
    let again = verify(disk)?;
    match again.damage.into_iter().next() {
        None => Ok(repaired),
        Some(left) => Err(Error::damaged(left.file, left.offset, left.what)),
    }
}

/// Facts that may be lost from the log but may still be in the index: the names of graphs and,
/// unless a clean close recorded it, the last LSN. If the log contains all of these facts, the
/// index is not read.
fn known_by_index(survey: &Survey, index: IndexOf<'_>) -> Option<Replay> {
    let is_asked = survey.closed.is_none() || survey.graphs.values().any(|g| g.names.is_none());
    let seal = survey
        .closed
        .as_ref()
        .and_then(|closed| closed.index.as_ref());
    let index = is_asked.then(|| index(IndexAtRest::Index(seal)).ok().flatten());
    load_index(index.flatten()?, survey.store).ok()
}

/// The graph creations that are lost from the log, as far as the index contains them.
fn creations(
    disk: &dyn Disk,
    survey: &Survey,
    loaded: Option<Replay>,
) -> Result<Vec<(u32, GraphRow)>> {
    let lost = survey
        .graphs
        .iter()
        .filter(|(_, found)| found.names.is_none());
    let lost: Vec<u32> = lost.map(|(&number, _)| number).collect();
    let mut created = Vec::new();
    for number in lost {
        let known = loaded
            .as_ref()
            .and_then(|l| l.graphs.by_number.get(&number));
        let row = match known {
            Some(graph) => GraphRow {
                forgotten_lsn: 0,
                number: graph.ids.number(),
                key: graph.ids.key(),
                project: graph.project.to_string(),
                name: graph.name.to_string(),
                created_ms: graph.created_ms,
            },
            None => nameless(number, random_id_number(disk)?),
        };
        created.push((number, row));
    }
    Ok(created)
}

/// A scrub reads about this many bytes, then pauses for as long as the reading took.
const SCRUB_STEP_BYTES: u64 = 256 << 10;
/// The minimum length of that pause.
const SCRUB_REST_MIN: Duration = Duration::from_millis(1);

/// Throttles a scrub so that it does not slow down other work.
struct Throttle<'e> {
    engine: &'e Engine,
    bytes: u64,
    since: Instant,
}

impl Throttle<'_> {
    fn read(&mut self, bytes: u64) -> Result<()> {
        self.bytes += bytes;
        if self.bytes >= SCRUB_STEP_BYTES {
            self.engine.check_open()?;
            std::thread::sleep(self.since.elapsed().max(SCRUB_REST_MIN));
            self.bytes = 0;
            self.since = Instant::now();
        }
        Ok(())
    }
}

impl Engine {
    /// Verifies an open store in its current state.
    pub(crate) fn scrub(&self) -> Result<VerifyReport> {
        self.check_open()?;
        let _to_the_end = self.keep_retired();
        let removed = self.check_files().err();
        let (active, end, next_lsn) = {
            let committer = self.lock_committer();
            let log = &committer.log;
            (log.active().clone(), log.end(), log.next_lsn())
        };
        let (packs, segments) = {
            let log_files = self.log_files.read();
            (log_files.packs.clone(), log_files.segments.clone())
        };
        let mut on_read = Throttle {
            engine: self,
            bytes: 0,
            since: Instant::now(),
        };
        let mut report = VerifyReport {
            path: self.disk.path(""),
            events: next_lsn - 1,
            files: (packs.len() + segments.len()) as u64,
            ..VerifyReport::default()
        };
        if let Some(Error::Removed { path, .. }) = removed {
            let what = "it was deleted, moved, or replaced while the store was open";
            let removed = Error::damaged(path, 0, what);
            report.damage.push(Damage::of(&removed, 0, 0)?);
        }
        let mut damaged: BTreeMap<u32, u64> = BTreeMap::new();
        for pack in &packs {
            report.bytes += pack.bytes;
            let checked = check_pack(pack, &mut |bytes| on_read.read(bytes))?;
            for &(graph, n) in &checked.bad_blocks {
                let part = pack.parts.iter().find(|part| part.graph == graph);
                let jobs = part.map_or(0, |part| u64::from(part.blocks[n].jobs));
                *damaged.entry(graph).or_default() += jobs;
            }
            for (error, jobs, events) in checked.into_damage() {
                report.damage.push(Damage::of(&error, jobs, events)?);
            }
        }
        for segment in &segments {
            let is_active = Arc::ptr_eq(segment, &active);
            // A segment that was begun after the scrub began is not checked.
            let end = segment.end().or(is_active.then_some(end));
            if let Some(end) = end {
                report.bytes += end;
                if let Some(error) = scrub_segment(segment, end, &mut on_read)? {
                    report.damage.push(Damage::of(&error, 0, 0)?);
                }
            }
        }
        if report.is_sound() {
            // Each file is intact by itself; check that a replay accepts all of them together.
            let end_of = |segment: &Arc<Segment>| {
                let is_active = Arc::ptr_eq(segment, &active);
                segment.end().or(is_active.then_some(end))
            };
            if let Some(error) = scrub_whole(self, &packs, &segments, end_of, &mut on_read)? {
                report.damage.push(Damage::of(&error, 0, 0)?);
            }
        }
        for graph in self.all_graphs() {
            let (tail, there, quarantined) = {
                let state = graph.state.read();
                let quarantined = state.quarantined_in(|| 0..u64::MAX);
                (
                    state.tail.clone(),
                    state.status.total(States::ALL),
                    quarantined,
                )
            };
            let mut damaged = damaged.remove(&graph.number).unwrap_or(0);
            let mut reader = Reader::default();
            for run in &tail {
                for n in 0..run.jobs.len() {
                    match reader.check_tail(run, n) {
                        Ok(bytes) => on_read.read(bytes)?,
                        Err(Error::Damaged { .. }) => damaged += 1,
                        Err(error) => return Err(error),
                    }
                }
            }
            report.graphs.push(GraphReport {
                project_id: graph.project.to_string(),
                name: graph.name.to_string(),
                sound: there.saturating_sub(damaged),
                damaged,
                quarantined,
            });
        }
        report.index_fault = self.scrub_index(&mut on_read)?;
        let first = report.damage.first().map(|damage| {
            let (file, at) = (damage.file.display(), damage.offset);
            format!("{file} is corrupt at byte {at}: {}", damage.what)
        });
        if let Some(first) = &first {
            tracing::error!(damage = %first, places = report.damage.len(), "scrub found damage");
        }
        *self.damage.lock() = first.map(Arc::from);
        Ok(report)
    }

    fn scrub_index(&self, on_read: &mut Throttle<'_>) -> Result<Option<String>> {
        let mut closed = None;
        let scanned = self.index()?.scan(&[], &mut |key, value| {
            if rows::open(key, value).is_none() {
                return Err(Fault("invalid row".to_owned()));
            }
            if let Err(error) = on_read.read((key.len() + value.len()) as u64) {
                closed = Some(error);
                return Err(Fault("the store is closed".to_owned()));
            }
            Ok(())
        });
        match (closed, scanned) {
            (Some(error), _) => Err(error),
            (None, Ok(())) => Ok(None),
            (None, Err(fault)) => {
                let what = fault.0.clone();
                self.index_failed(fault);
                Ok(Some(what))
            }
        }
    }
}

/// Replays the log of an open store, as an open without an index would; returns the damage
/// found.
fn scrub_whole(
    engine: &Engine,
    packs: &[Arc<Pack>],
    segments: &[Arc<Segment>],
    end_of: impl Fn(&Arc<Segment>) -> Option<u64>,
    on_read: &mut Throttle<'_>,
) -> Result<Option<Error>> {
    let found = |problem| match problem {
        ReplayError::LogFiles(error @ Error::Damaged { .. }) => Ok(Some(error)),
        ReplayError::LogFiles(error) => Err(error),
        ReplayError::Index(Fault(what)) => {
            let path = engine.disk.path("");
            Ok(Some(Error::damaged(path, 0, what)))
        }
    };
    let index: Arc<dyn Index> = Arc::new(NoIndex);
    let mut replay = match load_index(index, engine.store) {
        Ok(replay) => replay,
        Err(problem) => return found(problem),
    };
    let mut last = engine.disk.path(file_names::STORE);
    for pack in packs {
        if let Err(problem) = replay.pack(pack) {
            return found(problem);
        }
        last.clone_from(&pack.path);
        on_read.read(SCRUB_STEP_BYTES)?;
    }
    for segment in segments {
        let Some(end) = end_of(segment) else { break };
        let mut bytes = vec![0; end as usize];
        segment
            .file
            .read_exact_at(&mut bytes, 0)
            .map_err(|e| Error::io("read", &segment.path, &e))?;
        let scanned = segment.scan_events(&bytes, Some(end), |lsn, event, end| {
            replay.segment_event(lsn, &event, segment, end)
        });
        match scanned {
            Ok(scanned) => replay.next_lsn = scanned.next_lsn,
            Err(problem) => return found(problem),
        }
        last.clone_from(&segment.path);
        on_read.read(SCRUB_STEP_BYTES)?;
    }
    replay.check_whole(&last).map_or_else(found, |()| Ok(None))
}

/// Reads all frames of a segment up to `end`; returns the damage found.
fn scrub_segment(segment: &Segment, end: u64, on_read: &mut Throttle<'_>) -> Result<Option<Error>> {
    let mut bytes = vec![0; end as usize];
    segment
        .file
        .read_exact_at(&mut bytes, 0)
        .map_err(|e| Error::io("read", &segment.path, &e))?;
    let scanned = segment.scan_events(&bytes, Some(end), |_, _, _| Ok::<(), Error>(()));
    match scanned {
        Ok(_) => on_read.read(end).map(|()| None),
        Err(error @ Error::Damaged { .. }) => Ok(Some(error)),
        Err(error) => Err(error),
    }
}

/// Verifies the store in a directory, and reports progress.
pub(crate) fn verify_directory(
    path: &Path,
    mut progress: impl FnMut(VerifyProgress),
) -> Result<VerifyReport> {
    directory::read_at_rest(path, |_, disk| {
        let of = log_bytes(&disk)?;
        let mut done = VerifyProgress { bytes: 0, of };
        progress(done);
        let (_, report) = survey_and_report(&disk, &mut |bytes| {
            // Damaged parts may be read twice, so the sum may exceed the total.
            done.bytes = (done.bytes + bytes).min(of);
            progress(done);
            Ok(())
        })?;
        done.bytes = of;
        progress(done);
        Ok(report)
    })
}

/// The size of the log's files, in bytes.
fn log_bytes(disk: &dyn Disk) -> Result<u64> {
    let failed = |name: &str, e| Error::io("inspect", disk.path(name), &e);
    let mut bytes = 0;
    for name in disk.names().map_err(|e| failed("", e))? {
        if file_names::pack_range(&name).is_some() || file_names::segment_epoch(&name).is_some() {
            let len = disk.open(&name).and_then(|file| file.len());
            bytes += len.map_err(|e| failed(&name, e))?;
        }
    }
    Ok(bytes)
}

/// Repairs the store in a directory.
pub(crate) fn repair_directory(path: &Path) -> Result<RepairReport> {
    let (disk, directory, _lock) = directory::directory_at_rest(path)?;
    repair(&disk, &|wanted| {
        directory::index_at_rest(&directory, wanted)
    })
}
