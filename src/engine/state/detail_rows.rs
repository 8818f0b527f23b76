//! Reads the rows of details and verifies their hashes.
//!
//! A row that is returned is always the one that was written last. If the index returns an older
//! row, the read fails.

use crate::engine::state::details::hash;
use crate::engine::state::graph::GraphCore;
use crate::index::rows::{self, DETAIL_JOBS, Detail, DetailRow};
use crate::index::{Fault, Index};

/// A row whose hash does not match is read again. If the expected hash has not changed after this
/// many reads, the row is considered stale.
const READS: u32 = 4;

/// Reads the row of a group; returns an error if it is not the row written last.
pub(crate) fn read(index: &dyn Index, graph: &GraphCore, group: u64) -> Result<DetailRow, Fault> {
    read_as(index, graph, group, DetailRow::decode)
}

/// Like [`read`], but returns only the details of this job.
pub(crate) fn read_one(
    index: &dyn Index,
    graph: &GraphCore,
    sequence: u64,
) -> Result<Detail, Fault> {
    let n = (sequence % DETAIL_JOBS) as usize;
    read_as(index, graph, sequence / DETAIL_JOBS, |row| {
        DetailRow::decode_one(row, n)
    })
}

/// Reads a row, and decodes it, or an empty one if there is none.
///
/// This takes no lock that the indexer holds, because commits also read rows, and the indexer waits
/// for commits. A row that is rewritten during the read is read again.
fn read_as<T: Default>(
    index: &dyn Index,
    graph: &GraphCore,
    group: u64,
    decode: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<T, Fault> {
    let key = rows::detail_key(graph.number, group);
    let read_allowed = || graph.state.read().details.allowed(group);
    let (mut allowed, mut reads) = (read_allowed(), 0);
    loop {
        let value = index.get(&key)?;
        let found = value.as_ref().map_or(0, |value| hash(&key, value));
        if allowed.contains(&found) {
            let Some(value) = value else {
                return Ok(T::default());
            };
            let row = rows::open(&key, &value).and_then(decode);
            return row.ok_or_else(|| Fault("invalid row of details".to_owned()));
        }
        let now = read_allowed();
        reads = if now == allowed { reads + 1 } else { 0 };
        if reads == READS {
            let number = graph.number;
            return Err(Fault(format!(
                "row {group} of the details of graph {number} is missing or stale"
            )));
        }
        allowed = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::state::status::CHUNK_ROWS;
    use crate::index::Batch;
    use crate::index::memory::MemoryIndex;

    fn sealed(key: &[u8], started_ms: u64) -> Vec<u8> {
        let mut row = DetailRow::default();
        row.0[3] = Detail {
            started_ms: Some(started_ms),
            ..Detail::default()
        };
        rows::seal(key, row.encode())
    }

    #[test]
    fn only_the_row_that_was_written_last_is_read() {
        let graph = GraphCore::new(7, ("p".into(), "g"), (1, [2, 3]), 0);
        let index = MemoryIndex::default();
        let group = CHUNK_ROWS + 1;
        let key = rows::detail_key(7, group);
        let put = |value: Option<Vec<u8>>| {
            let mut batch = Batch::default();
            match value {
                Some(value) => batch.put(key.clone(), value),
                None => batch.remove(key.clone()),
            }
            index.write(&batch).unwrap();
        };
        let started = || {
            let row = read(&index, &graph, group).ok();
            row.map(|row| row.0[3].started_ms)
        };
        let (old, new) = (sealed(&key, 1), sealed(&key, 2));
        assert_eq!(started(), Some(None));
        put(Some(old.clone()));
        assert_eq!(started(), None, "a row that was never written");
        let mut state = graph.state.write();
        state.details.written(group, hash(&key, &old));
        // While a row is being written, and after a failed write, both the old and the new row are
        // correct.
        state.details.write(group, hash(&key, &new));
        drop(state);
        assert_eq!(started(), Some(Some(1)));
        put(Some(new.clone()));
        assert_eq!(started(), Some(Some(2)));
        let mut state = graph.state.write();
        state.details.written(group, hash(&key, &new));
        drop(state);
        assert_eq!(started(), Some(Some(2)));
        put(Some(old));
        assert_eq!(started(), None, "the old row");
        put(None);
        assert_eq!(started(), None, "no row");
    }
}
