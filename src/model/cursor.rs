//! Where a list goes on.
//!
//! Owns: [`Cursor`]. Must not know: how a page is read.
//! Promise: a cursor neither skips nor repeats a job, also across restarts; it
//! works for the graph and filter it came from and no other, and not for a copy of the
//! store that was made before it.

use std::fmt;
use std::str::FromStr;

use crate::model::error::{Error, Result};
use crate::model::id::OwnIds;
use crate::model::job_query::JobQuery;
use crate::model::token::{self, Fields, LogPoint, OpenEvent};

/// Where a list goes on: opaque text of 100 characters, to be handed back as it is. It holds
/// as long as its graph is there, also across restarts.
///
/// # Examples
/// ```
/// use jobstore::{Cursor, JobQuery};
/// # let store = jobstore::JobStore::in_memory()?;
/// # let movie = store.create_graph("10001", "movie")?;
/// # for _ in 0..3 {
/// #     movie.submit(jobstore::Request::new("c", "", jobstore::Body::empty())?)?;
/// # }
/// let first = movie.list(JobQuery::new().limit(2))?;
/// let text = first.next().map(|cursor| cursor.to_string()).unwrap_or_default();
/// let second = movie.list(JobQuery::new().limit(2).cursor(&text.parse::<Cursor>()?))?;
/// assert_eq!((second.len(), text.len()), (1, 100));
/// assert!(second.next().is_none());
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The 19 digits of its graph.
    graph: u64,
    states: u8,
    /// A checksum of order and filter.
    filter: u32,
    /// The next job to show has this sequence number or a later one; or, where newest
    /// come first, an earlier one.
    next: u64,
    /// How many matches are skipped first: a search was stopped within its offset.
    skip: u64,
    /// When it was given out.
    given: LogPoint,
    check: u32,
}

const VERSION: u8 = 4;
/// version 1, states 1, filter 4, graph 8, next 8, pass 8, moment 16, check 4.
const CURSOR_BYTES: usize = 50;

impl Cursor {
    /// The cursor of a list in the graph with these ids, that continues at `next` after
    /// `skip` matches are skipped.
    pub(crate) fn new(
        graph: &OwnIds,
        list: &JobQuery,
        (next, skip): (u64, u64),
        (given, open_event): (LogPoint, OpenEvent),
    ) -> Cursor {
        let mut cursor = Cursor {
            graph: graph.number(),
            states: list.wanted().bits(),
            filter: list.filter_check(),
            next,
            skip,
            given,
            check: 0,
        };
        cursor.check = cursor.seal(graph, open_event);
        cursor
    }

    fn seal(&self, graph: &OwnIds, open_event: OpenEvent) -> u32 {
        let own = [
            self.next,
            self.skip,
            u64::from(self.states),
            u64::from(self.filter),
        ];
        token::seal(VERSION, graph, (self.given, open_event), &own)
    }

    /// Whether it is as it was issued for this graph, when this opening was the last.
    pub(crate) fn is_sealed(&self, graph: &OwnIds, open_event: OpenEvent) -> bool {
        self.check == self.seal(graph, open_event)
    }

    pub(crate) fn is_of_graph(&self, graph: &OwnIds) -> bool {
        self.graph == graph.number()
    }

    pub(crate) fn is_of_list(&self, list: &JobQuery) -> bool {
        self.states == list.wanted().bits() && self.filter == list.filter_check()
    }

    pub(crate) fn given(&self) -> LogPoint {
        self.given
    }

    /// Where it continues, and how many matches to skip there.
    pub(crate) fn place(&self) -> (u64, u64) {
        (self.next, self.skip)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{VERSION:02x}{:02x}{:08x}{:016x}{:016x}{:016x}{:016x}{:016x}{:08x}",
            self.states,
            self.filter,
            self.graph,
            self.next,
            self.skip,
            self.given.lsn,
            self.given.open_lsn,
            self.check
        )
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({self})")
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Cursor> {
        let parse = || {
            let mut fields = Fields::of(text, VERSION, CURSOR_BYTES)?;
            Some(Cursor {
                states: fields.next(1)? as u8,
                filter: fields.next(4)? as u32,
                graph: fields.next(8)?,
                next: fields.next(8)?,
                skip: fields.next(8)?,
                given: LogPoint {
                    lsn: fields.next(8)?,
                    open_lsn: fields.next(8)?,
                },
                check: fields.next(4)? as u32,
            })
        };
        parse().ok_or(Error::InvalidCursor {
            problem: "it is not a cursor",
        })
    }
}
