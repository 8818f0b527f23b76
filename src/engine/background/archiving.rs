//! Archives jobs before they are purged.
//!
//! A job is synced in the archive before the commit that purges it. Jobs of a graph that has an
//! archive are purged by one thread at a time, so each job is archived once.

use std::sync::Arc;
use std::time::Duration;

use crate::base::sync::MutexGuard;
use crate::base::sync::time::Instant;
use crate::engine::core::Engine;
use crate::engine::read::jobs::JobReader;
use crate::engine::read::reader::Snapshot;
use crate::engine::state::archive_state::{ArchiveState, OpenArchive};
use crate::engine::state::graph::GraphCore;
use crate::engine::state::watchdog::HANG_TIMEOUT;
use crate::log::archive::{Archive, Mark};
use crate::log::purged_jobs::PurgedJob;
use crate::model::error::{Error, Result};
use crate::model::retention::Retention;
use crate::model::states::{State, States};

/// How long to wait before a failed archive operation is retried.
pub(crate) const RETRY: Duration = Duration::from_secs(4);

/// Why jobs cannot be purged, or why archive files are missing. Checks only graphs whose archive
/// has been used since the last call or has a problem.
pub(crate) fn problem(engine: &Engine, now: Instant) -> Option<String> {
    let mut troubled = engine.archive_trouble.lock();
    let graphs: Vec<_> = troubled.iter().map(|&n| (n, engine.graph(n))).collect();
    let (mut stuck, mut unwritten, mut lost) = (None, None, None);
    for (number, graph) in graphs {
        let of_graph = graph.as_ref().and_then(|graph| {
            let state = graph.archive.state();
            let why = state.problem.lock().clone().map(|(why, _)| why);
            let path = state.lost.lock().clone();
            let busy = state.watchdog.busy(now).map(|(_, time)| time);
            let is_any = why.is_some() || path.is_some() || busy.is_some();
            is_any.then_some((&graph.name, why, path, busy))
        });
        let Some((name, why, path, busy)) = of_graph else {
            troubled.remove(&number);
            continue;
        };
        stuck = stuck.or_else(|| {
            let time = busy.filter(|time| *time > HANG_TIMEOUT)?;
            let seconds = time.as_secs();
            Some(format!(
                "the archive of graph {name:?} has not responded for {seconds} s, so its jobs are \
                 not purged; check the file system of the archive"
            ))
        });
        unwritten = unwritten.or_else(|| {
            why.map(|why| {
                format!(
                    "jobs of graph {name:?} are not purged because they cannot be archived: {why}"
                )
            })
        });
        lost = lost.or_else(|| {
            let path = path?;
            let path = path.display();
            Some(format!(
                "the archive of graph {name:?} has lost {path}, which contained purged jobs: it \
                 was removed or renamed while it was being written; set the graph's retention \
                 policy again to clear this message"
            ))
        });
    }
    stuck.or(unwritten).or(lost)
}

pub(crate) fn has_problem(graph: &GraphCore) -> bool {
    let state = graph.archive.state_if_used();
    state.is_some_and(|state| state.problem.lock().is_some())
}

/// Opens the archive of a graph if its policy names one, and finishes an archive that the policy no
/// longer names. Returns whether jobs can be purged, as far as is known.
pub(crate) fn maintain_archive(engine: &Engine, graph: &Arc<GraphCore>) -> bool {
    let state = graph.archive.state();
    let known = state.problem.lock().clone();
    if known.is_some_and(|(_, since)| Instant::now().saturating_duration_since(since) < RETRY) {
        return false;
    }
    let mut open = state.open.lock();
    let mut ready = state.get_ready(engine, graph, &mut open);
    if let (Ok(()), Some(open), true) = (&ready, &mut *open, has_problem(graph)) {
        // If a file can be renamed, the directory is writable.
        ready = state.during(engine, graph.number, "rename", || open.archive.finish());
    }
    state.note(engine, graph.number, ready).is_ok()
}

/// Whether a graph has an archive: either its policy names one, or one is still open because of an
/// earlier policy. The archiver thread purges such graphs, because writing to an archive may hang.
pub(crate) fn concerns(graph: &GraphCore, policy: Option<&Retention>) -> bool {
    let is_wanted = policy.is_some_and(|policy| policy.archive.is_some());
    let is_open = |state: &ArchiveState| state.open.try_lock().is_none_or(|open| open.is_some());
    is_wanted || graph.archive.state_if_used().is_some_and(is_open)
}

/// Finishes the archive of a graph.
pub(crate) fn finish(graph: &GraphCore) {
    let open = graph
        .archive
        .state_if_used()
        .and_then(|state| state.open.lock().take());
    let finished = open.map(|mut open| open.archive.finish());
    if let Some(Err(error)) = finished {
        // The next open renames it.
        tracing::warn!(%error, "cannot rename a finished archive file to its final name; retrying \
             later");
    }
}

/// Begins a purge of jobs of a graph. It ends when the returned value is dropped.
pub(crate) fn begin<'g>(engine: &'g Engine, graph: &'g Arc<GraphCore>) -> Result<Archiving<'g>> {
    let state = graph.archive.state();
    let mut open = state.open.lock();
    let ready = state.get_ready(engine, graph, &mut open);
    state.note(engine, graph.number, ready)?;
    Ok(Archiving {
        engine,
        graph,
        open,
    })
}

impl ArchiveState {
    /// Opens the archive that the policy asks for, and finishes any other. Reads the policy while
    /// the archive is locked, because a policy read before that may have been replaced.
    fn get_ready(
        &self,
        engine: &Engine,
        graph: &Arc<GraphCore>,
        open: &mut Option<Box<OpenArchive>>,
    ) -> Result<()> {
        let policy = graph.retention.read().clone();
        let wanted = policy.and_then(|p| Some((p.archive.clone()?, p.archive_file_bytes)));
        if let Some(there) = open {
            let lost = self.during(engine, graph.number, "look", || {
                there.archive.take_if_lost()
            });
            if let Some(lost) = lost? {
                *self.lost.lock() = Some(lost);
                engine.archive_trouble.lock().insert(graph.number);
            }
            let is_wanted = |(to, bytes)| there.to == to && there.file_bytes_max == bytes;
            let is_in_place =
                || self.during(engine, graph.number, "look", || there.archive.is_in_place());
            if wanted.clone().is_some_and(is_wanted) && is_in_place()? {
                return Ok(());
            }
            self.during(engine, graph.number, "rename", || there.archive.finish())?;
            *open = None;
        }
        let Some((to, file_bytes_max)) = wanted else {
            return Ok(());
        };
        engine.check_open()?;
        let of = (&*graph.name, graph.ids.number());
        let opened = || Archive::open(&to.0, of, file_bytes_max);
        let archive = self.during(engine, graph.number, "open", opened)?;
        *open = Some(Box::new(OpenArchive {
            archive,
            to,
            file_bytes_max,
        }));
        engine.note_archive(graph);
        Ok(())
    }

    /// Uses the archive while the watchdog monitors the call.
    fn during<T>(
        &self,
        engine: &Engine,
        number: u32,
        call: &'static str,
        make: impl FnOnce() -> T,
    ) -> T {
        self.watchdog.during(call, || {
            engine.archive_trouble.lock().insert(number);
            make()
        })
    }

    /// Records whether the archive could be written to.
    fn note<T>(&self, engine: &Engine, number: u32, done: Result<T>) -> Result<T> {
        match &done {
            Ok(_) => *self.problem.lock() = None,
            Err(error) => {
                tracing::warn!(%error, "jobs are not purged because they cannot be archived");
                *self.problem.lock() = Some((error.to_string().into(), Instant::now()));
                engine.archive_trouble.lock().insert(number);
            }
        }
        done
    }
}

/// A purge, from the selection of its jobs to its commit.
pub(crate) struct Archiving<'g> {
    engine: &'g Engine,
    graph: &'g Arc<GraphCore>,
    open: MutexGuard<'g, Option<Box<OpenArchive>>>,
}

impl Archiving<'_> {
    /// Archives jobs that are about to be purged, if the policy asks for it. The caller reads the
    /// time (`now_ms`) before it locks the archive.
    pub(crate) fn put(&mut self, jobs: &[PurgedJob], now_ms: u64) -> Result<Option<Mark>> {
        let (Some(open), Some(first), Some(last)) = (&mut *self.open, jobs.first(), jobs.last())
        else {
            return Ok(None);
        };
        let (engine, graph) = (self.engine, self.graph);
        let snapshot = {
            let state = graph.state.read();
            let complete = States::NONE.with(State::Complete);
            let (first, last) = (first.sequence, last.sequence);
            let all = state.status.select(complete, first, 0, last - first + 1);
            let is_one = |s: u64| jobs.binary_search_by_key(&s, |job| job.sequence).is_ok();
            Snapshot::take(&state, all.only(is_one))
        };
        let mut unreadable = None;
        let archive = &mut open.archive;
        let write = |out: &mut dyn FnMut(&[u8]) -> Result<()>| {
            let mut reader = JobReader::new();
            loop {
                let job = reader.next(engine, graph, &snapshot);
                let Some(job) = job.inspect_err(|e| unreadable = Some(e.clone()))? else {
                    return Ok(());
                };
                let mut line = job.to_json();
                line.push('\n');
                out(line.as_bytes())?;
            }
        };
        let append = || archive.append(now_ms, write);
        let state = graph.archive.state();
        let appended = state.during(engine, graph.number, "append", append);
        match unreadable {
            // The error is not caused by the archive, so no problem with the archive is recorded.
            Some(error) => Err(error),
            None => state.note(engine, graph.number, appended).map(Some),
        }
    }

    /// Removes jobs from the archive if they were not purged after all.
    pub(crate) fn settle(&mut self, archived: Option<Mark>, purged: &Result<u64>) {
        // If it is unknown whether the jobs were purged, they stay archived, and may be archived
        // again later.
        let is_refused = match purged {
            Ok(jobs) => *jobs == 0,
            Err(error) => !matches!(error, Error::CommitUnknown { .. }),
        };
        if let (Some(mark), Some(open), true) = (archived, &mut *self.open, is_refused) {
            open.archive.take_back(&mark);
        }
    }
}
