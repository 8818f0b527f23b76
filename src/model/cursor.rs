// Cursors of lists.
//
// A cursor neither skips nor repeats a job, even across restarts. It is valid only for the graph
// and filter for which it was issued, and not in a copy of the store that was made before it was
// issued.

use std::fmt;
use std::str::FromStr;

use crate::model::error::{Error, Result};
use crate::model::id::OwnIds;
use crate::model::job_query::JobQuery;
use crate::model::token::{self, Fields, LogPoint, OpenEvent};

/// The position at which a list continues: an opaque string of 100 characters. It is valid as long
/// as the graph exists, even after a restart. Pass it to
/// [`JobQuery::cursor`](crate::JobQuery::cursor).
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
    /// The graph's 19-digit number.
    graph: u64,
    states: u8,
    /// A checksum of the order and the filter.
    filter: u32,
    /// In ascending order, the next job has this sequence number or a higher one; in descending
    /// order, a lower one.
    next: u64,
    /// The number of matches to skip first. It is not 0 if a search was stopped before it had
    /// skipped its whole offset.
    skip: u64,
    /// The point at which the cursor was issued.
    given: LogPoint,
    check: u32,
}

const VERSION: u8 = 4;
/// The fields and their sizes in bytes: version 1, states 1, filter 4, graph 8, next 8, skip 8,
/// point 16, check 4.
const CURSOR_BYTES: usize = 50;

impl Cursor {
    /// Creates a cursor for a list in the graph with these ids. The list continues at `next`, after
    /// `skip` more matches have been skipped.
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

    /// Whether the cursor is unaltered and was issued for this graph, during this open.
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

    /// The position at which the list continues, and how many matches to skip there.
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
