//! A page of a run: sorted pairs of a hash and its owner, stored as a row of the index.

use crate::base::codec::VarReader;
use crate::index::rows::{open, run_page_key};
use crate::index::{Fault, Index};

/// The owner of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner {
    pub(crate) graph: u32,
    /// The job.
    pub(crate) sequence: u64,
    /// The LSN of the event that gave the job an idempotency key. For the hash of an id, 0.
    pub(crate) lsn: u64,
}

impl Owner {
    pub(crate) const MIN: Owner = Owner {
        graph: 0,
        sequence: 0,
        lsn: 0,
    };
    pub(crate) const MAX: Owner = Owner {
        graph: u32::MAX,
        sequence: u64::MAX,
        lsn: u64::MAX,
    };
}

/// A hash and its owner.
pub(crate) type Pair = (u64, Owner);

/// The approximate size of the pairs in a page. It is less than a row can contain.
pub(super) const PAGE_BYTES: usize = 5 << 10;

pub(super) fn read_page(index: &dyn Index, run: u64, page: u32) -> Result<Vec<Pair>, Fault> {
    let key = run_page_key(run, page);
    let value = index.get(&key)?;
    value
        .as_deref()
        .and_then(|value| decode_page(open(&key, value)?))
        .ok_or_else(|| Fault("a page of lookups is missing or invalid".to_owned()))
}

pub(super) fn decode_page(bytes: &[u8]) -> Option<Vec<Pair>> {
    let mut reader = VarReader(bytes);
    let mut pairs = Vec::new();
    let mut hash = 0u64;
    while !reader.0.is_empty() {
        hash = hash.checked_add(reader.next()?)?;
        let owner = Owner {
            graph: u32::try_from(reader.next()?).ok()?,
            sequence: reader.next()?,
            lsn: reader.next()?,
        };
        pairs.push((hash, owner));
    }
    Some(pairs)
}
