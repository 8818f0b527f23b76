//! A store that no engine has open, opened by this program.
//!
//! Opens the store and implements the operations on it. Opening leaves running jobs as they are and
//! does not create a store. Files in the directory keep their owner.

use std::fs;
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jobstore::{
    Cancellation, Completion, Cursor, Error, Graph, HistoryPoint, Job, JobQuery, JobStore,
    OnBadLine, Outcome, OutcomeKind, Position, Recovery, ReplayProgress, Request, StoreCursor,
    TallyBy,
};
use parking_lot::Mutex;
use rustix::fs::{Access as May, AtFlags, CWD, accessat};

use super::{
    Access, Cancelled, CancelledAll, CompletionArgs, EachLine, FeedQuery, FindQuery, HistoryQuery,
    Import, Imported, ListQuery, PageInfo, SCAN_STEP_TIME, ScanStep, TallyQuery,
};
use crate::filters::Filters;
use crate::output;
use crate::problem::Problem;
use crate::progress::Bar;
use crate::store_args::{GraphName, StoreArgs};
use crate::tally::By;

/// The largest request that any store may have. With this limit, this program accepts every request
/// that an engine accepted.
pub(crate) const MAX_REQUEST_BYTES: u64 = 256 << 20;

/// The number of events that are read before a progress bar is considered.
const BAR_EVENTS: u64 = 1 << 18;

/// Whether a missing store is created.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Create {
    Never,
    IfMissing,
}

/// The purpose for which a store is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OpenFor {
    Reading,
    Writing(Create),
    /// Serving as the store's engine, which defines the secret keys.
    Serving,
}

/// Why a directory was not opened.
pub(super) enum OpenRefusal {
    /// A process has the store open.
    InUse(Option<u32>),
    /// The store belongs to another user. Its engine may still be reachable.
    NotOwner(Problem),
    Problem(Problem),
}

impl From<Error> for OpenRefusal {
    fn from(error: Error) -> OpenRefusal {
        match error {
            Error::StoreInUse { holder, .. } => OpenRefusal::InUse(holder),
            other => OpenRefusal::Problem(other.into()),
        }
    }
}

/// A store that this program has open.
pub(super) struct StoreDirectory {
    store: JobStore,
}

impl StoreDirectory {
    pub(super) fn open(
        store_args: &StoreArgs,
        what: OpenFor,
    ) -> Result<StoreDirectory, OpenRefusal> {
        let dir = &store_args.data().map_err(OpenRefusal::Problem)?;
        let keys = secret_keys(store_args, what).map_err(OpenRefusal::Problem)?;
        let is_read = what == OpenFor::Reading;
        if !is_read {
            check_owner(dir).map_err(OpenRefusal::NotOwner)?;
        }
        let bar = Arc::new(Bar::items("reading the log"));
        let seen = bar.clone();
        let mut options = JobStore::options()
            .create(what == OpenFor::Writing(Create::IfMissing))
            .read_only(is_read)
            .recovery(Recovery::Leave)
            .max_request_bytes(MAX_REQUEST_BYTES)
            .on_replay(move |replayed: &ReplayProgress| {
                if replayed.of >= BAR_EVENTS {
                    seen.at(replayed.events, Some(replayed.of));
                }
            });
        if let Some(keys) = keys {
            options = options.secret_keys(keys);
        }
        let url = store_args.replica().map_err(OpenRefusal::Problem)?;
        if let Some(url) = url.filter(|_| !is_read) {
            let replica = crate::replica::connect(&url).map_err(OpenRefusal::Problem)?;
            options = options.replica(replica);
        }
        let opened = options.open(dir);
        bar.end();
        Ok(StoreDirectory { store: opened? })
    }

    pub(super) fn into_store(self) -> JobStore {
        self.store
    }

    fn graph(&self, graph: &GraphName) -> Result<Graph, Problem> {
        Ok(self.store.graph(&graph.project, &graph.name)?)
    }
}

/// Returns the secret keys to open the store with. They are recorded by a server, and by a command
/// that creates a store.
fn secret_keys(store_args: &StoreArgs, what: OpenFor) -> Result<Option<Vec<String>>, Problem> {
    let is_named = match what {
        OpenFor::Reading | OpenFor::Serving => true,
        OpenFor::Writing(Create::IfMissing) => !store_args.has_store()?,
        OpenFor::Writing(Create::Never) => false,
    };
    match is_named {
        true => store_args.secret_keys(),
        false => store_args.refuse_secret_keys().map(|()| None),
    }
}

/// Returns an error if the files that this user creates could not be opened by the store's engine,
/// which runs as another user.
///
/// The owner of the store is the owner of its files, not of its directory: a volume's directory may
/// belong to root and be open to a group, as with Kubernetes' `fsGroup`. A user who can write the
/// files as a member of their group is treated as the owner. This does not apply to root, who can
/// write any file.
pub(super) fn check_owner(dir: &Path) -> Result<(), Problem> {
    let identity = dir.join("STORE");
    let (what, found) = match fs::symlink_metadata(&identity) {
        Ok(found) => ("the files of store", found),
        Err(_) => match fs::metadata(dir) {
            Ok(found) => ("directory", found),
            Err(_) => return Ok(()),
        },
    };
    let (owner, me) = (found.uid(), rustix::process::geteuid());
    if owner == me.as_raw() {
        return Ok(());
    }
    let may = |path: &Path, access| accessat(CWD, path, access, AtFlags::EACCESS).is_ok();
    let may_write = may(dir, May::WRITE_OK | May::EXEC_OK)
        && (!identity.exists() || may(&identity, May::READ_OK | May::WRITE_OK));
    if !me.is_root() && may_write {
        return Ok(());
    }
    let (dir, me) = (dir.display(), me.as_raw());
    Err(Problem::usage(
        format!(
            "{what} {dir} belong{} to user {owner}, not to you ({me})",
            match what {
                "directory" => "s",
                _ => "",
            }
        ),
        match owner {
            0 => "run the command as the engine's user, which needs write permission for the \
                 directory"
                .to_owned(),
            _ => format!("run the command as the engine's user: sudo -u '#{owner}' jobstore ..."),
        },
    ))
}

/// Returns a job as a line, with secrets masked.
fn line(job: &Job) -> String {
    job.to_json()
}

fn list_of(list_query: &ListQuery<'_>) -> Result<JobQuery, Problem> {
    let mut list = list_query
        .filters
        .list()?
        .offset(list_query.offset)
        .limit(list_query.limit);
    if list_query.newest_first {
        list = list.newest_first();
    }
    if list_query.count {
        list = list.count_total();
    }
    if let Some(cursor) = list_query.cursor {
        list = list.cursor(&cursor.parse::<Cursor>()?);
    }
    Ok(list)
}

impl Access for StoreDirectory {
    fn graphs(&self) -> Result<Vec<GraphName>, Problem> {
        let graphs = self.store.graphs()?;
        let names = graphs.iter().map(|graph| GraphName {
            project: graph.project_id().to_owned(),
            name: graph.name().to_owned(),
        });
        Ok(names.collect())
    }

    fn graph_stats(&self) -> Result<Vec<String>, Problem> {
        let graphs = self.store.graphs()?;
        let stats = graphs.iter().map(|graph| Ok(graph.stats()?.to_json()));
        stats.collect()
    }

    fn page_of_all(
        &self,
        list_query: &ListQuery<'_>,
        each: EachLine<'_>,
    ) -> Result<PageInfo, Problem> {
        let after = list_query
            .cursor
            .map(str::parse::<StoreCursor>)
            .transpose()?;
        let list_query = ListQuery {
            cursor: None,
            ..*list_query
        };
        let (graphs, query) = (self.store.graphs()?, list_of(&list_query)?);
        let page = self.store.list(&graphs, query, after.as_ref())?;
        for job in &page {
            let (graph, job) = job?;
            each(&graph.job_to_json(&job))?;
        }
        Ok(PageInfo {
            jobs: page.len() as u64,
            next: page.next().map(|cursor| cursor.to_string()),
            ..PageInfo::default()
        })
    }

    fn document(
        &self,
        graph: &GraphName,
        list_query: &ListQuery<'_>,
        out: &mut dyn Write,
    ) -> Result<(), Problem> {
        let page = self.graph(graph)?.list(list_of(list_query)?)?;
        Ok(page.write_json(out)?)
    }

    fn page(
        &self,
        graph: &GraphName,
        list_query: &ListQuery<'_>,
        each: EachLine<'_>,
    ) -> Result<PageInfo, Problem> {
        let page = self.graph(graph)?.list(list_of(list_query)?)?;
        for job in &page {
            each(&line(&job?))?;
        }
        Ok(PageInfo {
            jobs: page.len() as u64,
            total: page.total(),
            next: page.next().map(|cursor| cursor.to_string()),
            quarantined: page.quarantined(),
        })
    }

    fn job(&self, graph: &GraphName, id: &str) -> Result<String, Problem> {
        let graph = self.graph(graph)?;
        if let Some(job) = graph.job(id)? {
            return Ok(line(&job));
        }
        Err(match graph.tombstone(id)? {
            Some(tombstone) => Error::JobPurged {
                id: id.parse()?,
                at: tombstone.purged_at,
            },
            None => Error::UnknownJob { id: id.to_owned() },
        }
        .into())
    }

    fn wait(&self, graph: &GraphName, id: &str, _: Duration) -> Result<String, Problem> {
        self.job(graph, id)
    }

    fn changes(
        &self,
        graph: &GraphName,
        feed_query: &FeedQuery<'_>,
        each: EachLine<'_>,
    ) -> Result<(), Problem> {
        if feed_query.coalesce_ms.is_some() {
            return Err(Problem::usage(
                "--coalesce needs an engine that has the store open",
                "omit it: each change is shown",
            ));
        }
        let graph = self.graph(graph)?;
        let after = match feed_query.after {
            None => None,
            Some(FeedQuery::END) => Some(graph.position()?),
            Some(position) => Some(position.parse::<Position>()?),
        };
        for change in graph.changes(after.as_ref())? {
            each(&graph.change_to_json(&change?))?;
        }
        Ok(())
    }

    fn history(&self, graph: &GraphName, query: &HistoryQuery) -> Result<String, Problem> {
        let points = self
            .graph(graph)?
            .history(query.from, query.to, query.step)?;
        Ok(HistoryPoint::to_document(points).collect())
    }

    fn tally(&self, graph: Option<&GraphName>, query: &TallyQuery<'_>) -> Result<String, Problem> {
        let by = match query.by {
            By::State => TallyBy::State,
            By::Outcome => TallyBy::Outcome,
            By::Command => TallyBy::Command,
            By::Origin => TallyBy::Origin,
            By::Submitted => TallyBy::SubmittedPer(query.period),
            By::Completed => TallyBy::CompletedPer(query.period),
        };
        let bar = Arc::new(Bar::items("counting"));
        let seen = bar.clone();
        let list = query.filters.list()?.on_progress(move |scanned| {
            seen.at(scanned.looked_at, Some(scanned.of));
            ControlFlow::Continue(())
        });
        let tally = match graph {
            Some(graph) => self.graph(graph)?.tally(list, by)?,
            None => self.store.tally(&self.store.graphs()?, list, by)?,
        };
        bar.end();
        Ok(tally.to_json())
    }

    fn id_begin(&self, graph: &GraphName) -> Result<Option<String>, Problem> {
        Ok(Some(self.graph(graph)?.number().to_string()))
    }

    fn find(
        &self,
        graph: &GraphName,
        request: &str,
        limit: u64,
        each: EachLine<'_>,
    ) -> Result<u64, Problem> {
        let request = Request::from_json(request)?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut found = 0;
        for job in self.graph(graph)?.find(&request)?.take(limit) {
            each(&line(&job?))?;
            found += 1;
        }
        Ok(found)
    }

    fn search(
        &self,
        graph: &GraphName,
        find_query: &FindQuery<'_>,
        each: EachLine<'_>,
    ) -> Result<ScanStep, Problem> {
        let (until, seen) = (
            Instant::now() + SCAN_STEP_TIME,
            Arc::new(Mutex::new((0, 0))),
        );
        let see = seen.clone();
        let mut list = find_query
            .filters
            .list()?
            .newest_first()
            .limit(find_query.limit);
        if let Some(cursor) = find_query.cursor {
            list = list.cursor(&cursor.parse::<Cursor>()?);
        }
        let list = list.on_progress(move |searched| {
            *see.lock() = (searched.looked_at, searched.of - searched.looked_at);
            match Instant::now() < until {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        });
        let page = self.graph(graph)?.list(list)?;
        for job in &page {
            each(&line(&job?))?;
        }
        let (looked_at, left) = *seen.lock();
        Ok(ScanStep {
            found: page.len() as u64,
            next: page.next().map(|cursor| cursor.to_string()),
            looked_at,
            left,
        })
    }

    fn complete(
        &self,
        graph: &GraphName,
        id: &str,
        completion: &CompletionArgs<'_>,
    ) -> Result<Option<String>, Problem> {
        let outcome = match completion.kind {
            OutcomeKind::Failed => Outcome::failed(completion.code, completion.message),
            OutcomeKind::PartiallyFailed => {
                Outcome::partially_failed(completion.code, completion.message)
            }
            OutcomeKind::Cancelled => Outcome::cancelled(),
            OutcomeKind::Interrupted => Outcome::interrupted(),
            _ => Outcome::succeeded(),
        };
        Ok(match self.graph(graph)?.complete(id, outcome)? {
            Completion::Done => None,
            Completion::AlreadyComplete(outcome) => Some(outcome.kind().to_string()),
        })
    }

    fn cancel(&self, graph: &GraphName, id: &str) -> Result<Cancelled, Problem> {
        Ok(match self.graph(graph)?.cancel(id)? {
            Cancellation::CancelledBeforeStart => Cancelled::BeforeStart,
            Cancellation::Requested => Cancelled::Requested,
            Cancellation::AlreadyComplete(_) => Cancelled::AlreadyComplete,
        })
    }

    fn cancel_all(
        &self,
        graph: &GraphName,
        filters: &Filters,
        dry_run: bool,
        progress: &mut dyn FnMut(u64),
    ) -> Result<CancelledAll, Problem> {
        let (graph, list) = (self.graph(graph)?, filters.list()?);
        let done = match dry_run {
            true => graph.cancel_all_dry_run(list)?,
            false => graph.cancel_all_with_progress(list, |done| progress(done.jobs()))?,
        };
        Ok(CancelledAll {
            cancelled: done.cancelled,
            requested: done.requested,
            already_complete: done.already_complete,
        })
    }

    fn export(
        &self,
        graph: &GraphName,
        filters: &Filters,
        reveal: bool,
        out: &mut dyn Write,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<u64, Problem> {
        let mut export = self.graph(graph)?.export(filters.list()?)?;
        if reveal {
            export = export.reveal_secrets();
        }
        while export.write_some(&mut *out)? {
            progress(export.jobs(), Some(export.of()));
        }
        out.flush().map_err(|e| Problem::output(&e))?;
        Ok(export.jobs())
    }

    fn import(
        &self,
        graph: &GraphName,
        lines: Box<dyn Read + Send>,
        how: Import,
        progress: &mut dyn FnMut(),
    ) -> Result<Imported, Problem> {
        if !self.graphs()?.contains(graph) {
            self.store
                .get_or_create_graph(&graph.project, &graph.name)?;
            output::note(&format!("created graph {graph}"));
        }
        let on_bad_line = match how.skip_bad {
            true => OnBadLine::Skip,
            false => OnBadLine::Stop,
        };
        let graph = self.graph(graph)?;
        let report = graph.import_with_progress(lines, on_bad_line, |_| progress())?;
        Ok(Imported {
            imported: report.imported,
            there: report.there,
            secrets_left: report.secrets_left,
            bad: report.bad,
            bad_lines: report.bad_lines,
        })
    }

    fn purge_dry_run(&self, graph: &GraphName, filters: &Filters) -> Result<u64, Problem> {
        Ok(self.graph(graph)?.purge_dry_run(filters.list()?)?.jobs)
    }

    fn purge(
        &self,
        graph: &GraphName,
        filters: &Filters,
        progress: &mut dyn FnMut(u64),
    ) -> Result<u64, Problem> {
        let graph = self.graph(graph)?;
        let done = graph.purge_with_progress(filters.list()?, |purged| progress(purged.jobs))?;
        Ok(done.jobs)
    }

    fn backup(
        &self,
        to: &Path,
        links: bool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(u64, u64), Problem> {
        let progress = |done: jobstore::BackupReport| progress(done.bytes, done.of);
        let done = match links {
            true => self.store.backup_linked(to, progress)?,
            false => self.store.backup_with_progress(to, progress)?,
        };
        Ok((done.bytes, done.linked_bytes))
    }

    fn stats(&self) -> Result<String, Problem> {
        Ok(self.store.stats()?.to_json())
    }

    fn opens(&self) -> Option<u64> {
        Some(self.store.opens())
    }

    fn close(&self) -> Result<(), Problem> {
        Ok(self.store.close()?)
    }
}
