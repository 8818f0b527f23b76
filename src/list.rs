//! What a list is asked for, and where the next page goes on.
//!
//! Owns: [`List`], [`Cursor`]. Must not know: how a page is read.
//! Promise: a cursor neither skips nor repeats a job, also across restarts; it
//! works for the graph and filter it came from and no other.

use std::fmt;
use std::str::FromStr;

use crate::engine::graph_state::GraphCore;
use crate::engine::status::States;
use crate::error::{Error, Result};
use crate::job::State;

/// The greatest page.
pub(crate) const PAGE_JOBS_MAX: u64 = 100_000;

/// Which jobs a page shows: oldest first, all states, from offset 0, up to 100000,
/// unless said otherwise.
///
/// # Examples
/// ```
/// use jobstore::{JobStore, List, State};
/// # let store = JobStore::in_memory()?;
/// # let movie = store.create_graph("10001", "movie")?;
/// let page = movie.list(List::new().state(State::Pending).offset(20).limit(10))?;
/// assert_eq!(page.total(), 0);
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct List {
    pub(crate) offset: u64,
    pub(crate) limit: u64,
    pub(crate) states: States,
    pub(crate) cursor: Option<Cursor>,
}

impl Default for List {
    fn default() -> List {
        List {
            offset: 0,
            limit: PAGE_JOBS_MAX,
            states: States::NONE,
            cursor: None,
        }
    }
}

impl List {
    /// All jobs, oldest first, up to 100000.
    #[must_use]
    pub fn new() -> List {
        List::default()
    }

    /// Passes over so many jobs of the list. Past its end the page is empty.
    #[must_use]
    pub fn offset(mut self, jobs: u64) -> List {
        self.offset = jobs;
        self
    }

    /// Shows at most so many jobs: 1 to 100000. Anything else is
    /// [`Error::PageLimit`] when the list is asked for.
    #[must_use]
    pub fn limit(mut self, jobs: u64) -> List {
        self.limit = jobs;
        self
    }

    /// Shows jobs in this state only; said several times, in any of these states.
    #[must_use]
    pub fn state(mut self, state: State) -> List {
        self.states = self.states.with(state);
        self
    }

    /// Goes on where a page ended: see [`Page::next`](crate::Page::next).
    #[must_use]
    pub fn cursor(mut self, cursor: &Cursor) -> List {
        self.cursor = Some(cursor.clone());
        self
    }

    /// The states asked for; all where none was named.
    pub(crate) fn wanted(&self) -> States {
        if self.states == States::NONE {
            States::ALL
        } else {
            self.states
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        if !(1..=PAGE_JOBS_MAX).contains(&self.limit) {
            return Err(Error::PageLimit {
                given: self.limit,
                max: PAGE_JOBS_MAX,
            });
        }
        Ok(())
    }
}

/// Where a list goes on: opaque text, to be handed back as it is.
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
/// assert_eq!(second.len(), 1);
/// assert!(second.next().is_none());
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The 19 digits of its graph.
    graph: u64,
    states: u8,
    /// The next job to show has this sequence number or a later one.
    next: u64,
    check: u32,
}

const VERSION: u8 = 1;
/// version 1, states 1, graph 8, next 8, check 4.
const CURSOR_BYTES: usize = 22;

impl Cursor {
    pub(crate) fn new(graph: &GraphCore, states: States, next: u64) -> Cursor {
        let mut cursor = Cursor {
            graph: graph.ids.number(),
            states: states.bits(),
            next,
            check: 0,
        };
        cursor.check = cursor.seal(graph);
        cursor
    }

    /// A checksum over the cursor and its graph's key: it is no proof against
    /// forgery, but an altered cursor is noticed.
    fn seal(&self, graph: &GraphCore) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        for number in [graph.key[0], graph.key[1], self.graph, self.next] {
            crc.update(&number.to_le_bytes());
        }
        crc.update(&[VERSION, self.states]);
        crc.finalize()
    }

    /// Where to go on in this graph with this filter.
    pub(crate) fn position(&self, graph: &GraphCore, states: States) -> Result<u64> {
        let problem = if self.graph != graph.ids.number() {
            "it belongs to another graph"
        } else if self.check != self.seal(graph) {
            "it was altered"
        } else if self.states != states.bits() {
            "it belongs to a list with another filter"
        } else {
            return Ok(self.next);
        };
        Err(Error::InvalidCursor { problem })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{VERSION:02x}{:02x}{:016x}{:016x}{:08x}",
            self.states, self.graph, self.next, self.check
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
            let hex = text
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            if !hex || text.len() != 2 * CURSOR_BYTES || !text.starts_with("01") {
                return None;
            }
            Some(Cursor {
                states: u8::from_str_radix(&text[2..4], 16).ok()?,
                graph: u64::from_str_radix(&text[4..20], 16).ok()?,
                next: u64::from_str_radix(&text[20..36], 16).ok()?,
                check: u32::from_str_radix(&text[36..44], 16).ok()?,
            })
        };
        parse().ok_or(Error::InvalidCursor {
            problem: "it is not the text of a cursor",
        })
    }
}
