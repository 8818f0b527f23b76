// Cursors of lists over several graphs.

use std::fmt;
use std::str::FromStr;

use crate::model::error::{Error, Result};
use crate::model::job_query::JobQuery;
use crate::model::token::Fields;

/// The position at which a list over several graphs continues: an opaque string of 58 characters,
/// returned by [`StorePage::next`](crate::StorePage::next). Pass it to
/// [`JobStore::list`](crate::JobStore::list).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct StoreCursor {
    /// A checksum of the states, the order, and the filter.
    list: u32,
    /// The last job before the position.
    pub(crate) last: MergeKey,
    check: u32,
}

/// The place of a job in a list over several graphs, in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MergeKey {
    /// The time by which the graphs are merged.
    pub(crate) time_ms: u64,
    /// The number of the graph.
    pub(crate) graph: u32,
    pub(crate) sequence: u64,
}

const VERSION: u8 = 1;
/// The fields and their sizes in bytes: version 1, list 4, time 8, graph 4, sequence 8, check 4.
const CURSOR_BYTES: usize = 29;

impl StoreCursor {
    /// Creates a cursor for a list whose last job has this key.
    pub(crate) fn new(query: &JobQuery, last: MergeKey) -> StoreCursor {
        StoreCursor::sealed(list_check(query), last)
    }

    fn sealed(list: u32, last: MergeKey) -> StoreCursor {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&[VERSION]);
        crc.update(&list.to_le_bytes());
        crc.update(&last.time_ms.to_le_bytes());
        crc.update(&last.graph.to_le_bytes());
        crc.update(&last.sequence.to_le_bytes());
        StoreCursor {
            list,
            last,
            check: crc.finalize(),
        }
    }

    /// # Errors
    /// An error if the cursor was issued for another query.
    pub(crate) fn check_list(&self, query: &JobQuery) -> Result<()> {
        match self.list == list_check(query) {
            true => Ok(()),
            false => Err(Error::InvalidCursor {
                problem: "it belongs to a list with a different filter",
            }),
        }
    }
}

fn list_check(query: &JobQuery) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&[query.wanted().bits()]);
    crc.update(&query.filter_check().to_le_bytes());
    crc.finalize()
}

impl fmt::Display for StoreCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MergeKey {
            time_ms,
            graph,
            sequence,
        } = self.last;
        write!(
            f,
            "{VERSION:02x}{:08x}{time_ms:016x}{graph:08x}{sequence:016x}{:08x}",
            self.list, self.check
        )
    }
}

impl fmt::Debug for StoreCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreCursor({self})")
    }
}

impl FromStr for StoreCursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<StoreCursor> {
        let parse = || {
            let mut fields = Fields::of(text, VERSION, CURSOR_BYTES)?;
            let list = fields.next(4)? as u32;
            let last = MergeKey {
                time_ms: fields.next(8)?,
                graph: fields.next(4)? as u32,
                sequence: fields.next(8)?,
            };
            let cursor = StoreCursor::sealed(list, last);
            (fields.next(4)? == u64::from(cursor.check)).then_some(cursor)
        };
        parse().ok_or(Error::InvalidCursor {
            problem: "it is not a cursor of a list over several graphs",
        })
    }
}
