//! Where a list goes on.
//!
//! Owns: [`Cursor`]. Must not know: how a page is read.
//! Promise: a cursor neither skips nor repeats a job, also across restarts; it
//! works for the graph and filter it came from and no other, and not for a copy of the
//! store that was made before it.

use std::fmt;
use std::str::FromStr;

use crate::engine::graph_state::GraphCore;
use crate::engine::history::{Moment, Opening};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::list::List;
use crate::opaque::{self, Fields};

/// Where a list goes on: opaque text of 100 characters, to be handed back as it is. It holds
/// as long as its graph is there, also across restarts.
///
/// # Examples
/// ```
/// use jobstore::{Cursor, List};
/// # let store = jobstore::JobStore::in_memory()?;
/// # let movie = store.create_graph("10001", "movie")?;
/// # for _ in 0..3 {
/// #     movie.submit(jobstore::Request::new("c", "", jobstore::Body::empty())?)?;
/// # }
/// let first = movie.list(List::new().limit(2))?;
/// let text = first.next().map(|cursor| cursor.to_string()).unwrap_or_default();
/// let second = movie.list(List::new().limit(2).cursor(&text.parse::<Cursor>()?))?;
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
    /// So many that match are passed over first: a search was stopped within its offset.
    pass: u64,
    /// When it was given out.
    given: Moment,
    check: u32,
}

const VERSION: u8 = 4;
/// version 1, states 1, filter 4, graph 8, next 8, pass 8, moment 16, check 4.
const CURSOR_BYTES: usize = 50;

impl Cursor {
    pub(crate) fn new(graph: &Graph, list: &List, next: u64) -> Cursor {
        Cursor::passing(graph, list, next, 0)
    }

    pub(crate) fn passing(graph: &Graph, list: &List, next: u64, pass: u64) -> Cursor {
        let engine = graph.engine();
        let mut cursor = Cursor {
            graph: graph.core.ids.number(),
            states: list.wanted().bits(),
            filter: list.filter_check(),
            next,
            pass,
            given: engine.moment(),
            check: 0,
        };
        cursor.check = cursor.seal(&graph.core, engine.opening);
        cursor
    }

    fn seal(&self, graph: &GraphCore, opening: Opening) -> u32 {
        let own = [
            self.next,
            self.pass,
            u64::from(self.states),
            u64::from(self.filter),
        ];
        opaque::seal(VERSION, graph, (self.given, opening), &own)
    }

    /// Where to go on in this graph with this list, and how many that match to pass over.
    pub(crate) fn position(&self, graph: &Graph, list: &List) -> Result<(u64, u64)> {
        let core = &graph.core;
        let is_sealed = |opening| self.check == self.seal(core, opening);
        let problem = if self.graph != core.ids.number() {
            "it belongs to another graph"
        } else if let Some(problem) = graph.engine().problem_of(self.given, is_sealed)? {
            problem
        } else if self.next > core.state.read().status.len() {
            "it lies behind the end of the list"
        } else if self.states != list.wanted().bits() || self.filter != list.filter_check() {
            "it belongs to a list with another filter"
        } else {
            return Ok((self.next, self.pass));
        };
        Err(Error::InvalidCursor { problem })
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
            self.pass,
            self.given.lsn,
            self.given.opening,
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
                pass: fields.next(8)?,
                given: Moment {
                    lsn: fields.next(8)?,
                    opening: fields.next(8)?,
                },
                check: fields.next(4)? as u32,
            })
        };
        parse().ok_or(Error::InvalidCursor {
            problem: "it is not the text of a cursor",
        })
    }
}
