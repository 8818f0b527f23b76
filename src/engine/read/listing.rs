//! Selects the jobs that a page shows.
//!
//! The states are read once, under one lock. This determines the jobs of the page and where the
//! list continues. The page, its total, its cursor, and the skipped jobs are a snapshot of one
//! instant.

use std::ops::Range;
use std::sync::Arc;

use crate::engine::core::Engine;
use crate::engine::read::reader::Snapshot;
use crate::engine::read::scan::{ProgressReporter, Scan, ScanEnd, ScanMatches};
use crate::engine::state::graph::GraphCore;
use crate::engine::state::graph_state::GraphState;
use crate::engine::state::status::Selection;
use crate::model::cursor::Cursor;
use crate::model::error::Result;
use crate::model::job_query::JobQuery;
use crate::model::states::States;

/// The store and graph that a list reads.
type ListedGraph<'p> = (&'p Engine, &'p Arc<GraphCore>);

/// The jobs of a page, and facts about the jobs before and after the page.
pub(crate) struct Listing {
    pub(crate) snapshot: Snapshot,
    pub(crate) total: Option<u64>,
    pub(crate) quarantined: u64,
    pub(crate) next: Option<Cursor>,
    pub(crate) is_stopped: bool,
}

/// Returns the current page of this query.
pub(crate) fn page(listed: ListedGraph<'_>, list: &JobQuery) -> Result<Listing> {
    let (engine, graph) = listed;
    match &list.cursor {
        Some(cursor) => {
            let (from, skip) = engine.cursor_place(graph, list, cursor)?;
            page_at(listed, list, Some(from), skip)
        }
        None => page_at(listed, list, None, 0),
    }
}

/// Returns the page of a query without a cursor that begins at this position.
pub(crate) fn page_from(
    listed: ListedGraph<'_>,
    list: &JobQuery,
    from: Option<u64>,
) -> Result<Listing> {
    let len = listed.1.state.read().status.len();
    page_at(listed, list, from.map(|from| from.min(len)), 0)
}

fn page_at(
    listed: ListedGraph<'_>,
    list: &JobQuery,
    from: Option<u64>,
    skip: u64,
) -> Result<Listing> {
    let mut page = match list.filter.is_any() {
        true => by_state(listed, list, from),
        false => by_scan(listed, list, from, skip)?,
    };
    if let Some(bytes) = list.limit_bytes {
        limit_bytes(listed, &mut page, list, bytes)?;
    }
    Ok(page)
}

/// Returns all current jobs of this query, without a limit.
pub(crate) fn whole(listed: ListedGraph<'_>, list: &JobQuery) -> Result<Listing> {
    let list = JobQuery {
        limit: Some(u64::MAX >> 1),
        limit_bytes: None,
        ..list.clone()
    };
    page(listed, &list)
}

/// Selects jobs in the order of a list: from a position, after skipping some, up to a limit.
struct Order<'s> {
    state: &'s GraphState,
    states: States,
    newest_first: bool,
}

impl Order<'_> {
    fn select(&self, from: Option<u64>, offset: u64, limit: u64) -> Selection {
        let status = &self.state.status;
        match self.newest_first {
            true => {
                let until = from.unwrap_or(status.len());
                status.select_back(self.states, until, offset, limit)
            }
            false => status.select(self.states, from.unwrap_or(0), offset, limit),
        }
    }

    /// The position at which a list continues after these jobs.
    fn after(&self, selection: &Selection) -> Option<u64> {
        match self.newest_first {
            true => selection.first(),
            false => selection.last().map(|last| last + 1),
        }
    }

    /// The jobs between two positions.
    fn between(&self, from: Option<u64>, end: Option<u64>) -> Range<u64> {
        match self.newest_first {
            true => end.unwrap_or(0)..from.unwrap_or(self.state.status.len()),
            false => from.unwrap_or(0)..end.unwrap_or(self.state.status.len()),
        }
    }
}

fn by_state((engine, graph): ListedGraph<'_>, list: &JobQuery, from: Option<u64>) -> Listing {
    let state = graph.state.read();
    let order = Order {
        state: &state,
        states: list.wanted(),
        newest_first: list.newest_first,
    };
    let selection = order.select(from, list.offset, list.page_limit());
    let total = state.status.total(order.states);
    let next = order.after(&selection);
    let more = next.filter(|&next| order.select(Some(next), 0, 1).len > 0);
    let quarantined = state.quarantined_in(|| {
        // From the beginning of the page to the position after its last job or, if no further jobs
        // follow, to the end of the list.
        let passed = (list.offset > 0).then(|| order.select(from, list.offset - 1, 1));
        let begin = match &passed {
            None => from,
            Some(passed) => order.after(passed).or(Some(match list.newest_first {
                true => 0,
                false => state.status.len(),
            })),
        };
        order.between(begin, more)
    });
    let mut snapshot = Snapshot::take(&state, selection).with_log(engine);
    drop(state);
    snapshot.newest_first = list.newest_first;
    Listing {
        snapshot,
        total: Some(total),
        quarantined,
        next: more.map(|next| engine.cursor(graph, list, (next, 0))),
        is_stopped: false,
    }
}

fn by_scan(
    (engine, graph): ListedGraph<'_>,
    list: &JobQuery,
    from: Option<u64>,
    skip: u64,
) -> Result<Listing> {
    let matcher = list.matcher()?;
    // The jobs before the page and after it are only counted. Even if this count stops early, the
    // page itself is already complete.
    let (ahead, before) = {
        let state = graph.state.read();
        let order = Order {
            state: &state,
            states: list.wanted(),
            newest_first: list.newest_first,
        };
        let ahead = Snapshot::take(&state, order.select(from, 0, u64::MAX >> 1));
        let ahead = ahead.with_log(engine);
        let is_counted = from.is_some() && list.count_total;
        let before = is_counted.then(|| {
            let all = order.select(None, 0, u64::MAX >> 1);
            Snapshot::take(&state, all.within(&[order.between(None, from)]))
        });
        (ahead, before)
    };
    let scan = |snapshot| Scan {
        engine,
        graph,
        filter: &list.filter,
        matcher: &matcher,
        snapshot,
        newest_first: list.newest_first,
    };
    let scan_before = before.as_ref().map(scan);
    let scan = scan(&ahead);
    let jobs_before = scan_before.as_ref().map(Scan::jobs);
    let jobs = scan.jobs();
    let of = jobs.len + jobs_before.as_ref().map_or(0, |jobs| jobs.len);
    let mut progress = ProgressReporter::new(list.on_progress.as_ref(), of);
    let mut matches = ScanMatches {
        skip: skip.saturating_add(list.offset),
        show: list.page_limit(),
        count_all: list.count_total,
        ..ScanMatches::default()
    };
    let mut ended = scan.run(&jobs, &mut matches, &mut progress)?;
    let (next, skip) = match (matches.next, ended) {
        (Some(next), _) => (Some(next + u64::from(list.newest_first)), 0),
        (None, ScanEnd::AtEnd) => (None, 0),
        (None, ScanEnd::Full(at) | ScanEnd::Stopped(at)) => (Some(at), matches.skip),
    };
    let shown = std::mem::take(&mut matches.shown);
    let is_stopped = matches!(ended, ScanEnd::Stopped(_)) && shown.len < list.page_limit();
    if let (ScanEnd::AtEnd, Some(scan), Some(jobs)) = (ended, &scan_before, &jobs_before) {
        matches.show = 0;
        ended = scan.run(jobs, &mut matches, &mut progress)?;
    }
    let is_whole = ended == ScanEnd::AtEnd;
    let total = (list.count_total && is_whole).then_some(matches.matched);
    // The set of quarantined jobs changes only at an open.
    let quarantined = {
        let state = graph.state.read();
        let order = Order {
            state: &state,
            states: list.wanted(),
            newest_first: list.newest_first,
        };
        state.quarantined_in(|| order.between(from, next))
    };
    let mut snapshot = shown.of(ahead);
    snapshot.newest_first = list.newest_first;
    Ok(Listing {
        snapshot,
        total,
        quarantined,
        next: next.map(|next| engine.cursor(graph, list, (next, skip))),
        is_stopped,
    })
}

/// Ends a page before it exceeds this many bytes.
fn limit_bytes(
    (engine, graph): ListedGraph<'_>,
    page: &mut Listing,
    list: &JobQuery,
    bytes: u64,
) -> Result<()> {
    let lengths = page.snapshot.text_lengths(graph)?;
    let in_order: Vec<(u64, u64)> = match list.newest_first {
        true => lengths.into_iter().rev().collect(),
        false => lengths,
    };
    let mut sum = crate::engine::read::document::EMPTY_BYTES;
    let fits = in_order.iter().enumerate().take_while(|(n, (_, len))| {
        sum += len + u64::from(*n > 0);
        *n == 0 || sum <= bytes
    });
    let count = fits.count();
    let Some(&(cut, _)) = in_order.get(count) else {
        return Ok(());
    };
    let snapshot = std::mem::take(&mut page.snapshot);
    page.snapshot = snapshot.only(|sequence| match list.newest_first {
        true => sequence > cut,
        false => sequence < cut,
    });
    let next = cut + u64::from(list.newest_first);
    page.next = Some(engine.cursor(graph, list, (next, 0)));
    Ok(())
}
