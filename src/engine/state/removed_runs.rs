//! Status rows of chunks whose jobs are all gone: any number of neighboring chunks of this kind
//! share one row.
//!
//! [`RemovedRuns`] records which chunks of a graph share such rows. Therefore, the number of rows
//! that an open reads does not grow with the number of jobs that are gone.

use std::collections::BTreeMap;

/// Runs of chunks: maps the first chunk of each run to the number of chunks in the run.
#[derive(Default)]
pub(crate) struct RemovedRuns(BTreeMap<u64, u64>);

/// The row of a run: the run's first chunk and its number of chunks; `None` instead of the number
/// if the row is removed.
pub(crate) type RunChange = (u64, Option<u64>);

impl RemovedRuns {
    /// Adds a run whose row already exists.
    pub(crate) fn restore(&mut self, first: u64, chunks: u64) {
        self.0.insert(first, chunks);
    }

    /// The run that contains a chunk.
    fn around(&self, chunk: u64) -> Option<(u64, u64)> {
        let (&first, &chunks) = self.0.range(..=chunk).next_back()?;
        (chunk < first + chunks).then_some((first, chunks))
    }

    /// Adds a chunk to a run, and returns which rows change.
    pub(crate) fn insert(&mut self, chunk: u64) -> Vec<RunChange> {
        if self.around(chunk).is_some() {
            return Vec::new();
        }
        let mut changes = Vec::new();
        let before = chunk.checked_sub(1).and_then(|before| self.around(before));
        let first = before.map_or(chunk, |(first, _)| first);
        // Remove the row that the chunk may have by itself.
        if first != chunk {
            changes.push((chunk, None));
        }
        let after = self.0.remove(&(chunk + 1));
        if after.is_some() {
            changes.push((chunk + 1, None));
        }
        let chunks = chunk + 1 + after.unwrap_or(0) - first;
        self.0.insert(first, chunks);
        changes.push((first, Some(chunks)));
        changes
    }

    /// Removes a chunk from its run, and returns which other rows change. The chunk then has a row
    /// to itself.
    pub(crate) fn remove(&mut self, chunk: u64) -> Vec<RunChange> {
        let Some((first, chunks)) = self.around(chunk) else {
            return Vec::new();
        };
        self.0.remove(&first);
        let mut changes = Vec::new();
        for (first, end) in [(first, chunk), (chunk + 1, first + chunks)] {
            if first < end {
                self.0.insert(first, end - first);
                changes.push((first, Some(end - first)));
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_rows_say_which_chunks_are_in_runs_after_any_changes() {
        let (mut runs, mut rows) = (RemovedRuns::default(), BTreeMap::new());
        let (mut there, mut random) = (BTreeSet::new(), 7u64);
        for _ in 0..5000 {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1);
            let chunk = (random >> 33) % 40;
            let changes = match (random >> 60) % 3 {
                0 => {
                    there.remove(&chunk);
                    runs.remove(chunk)
                }
                _ => {
                    there.insert(chunk);
                    runs.insert(chunk)
                }
            };
            for (first, chunks) in changes {
                match chunks {
                    Some(chunks) => rows.insert(first, chunks),
                    None => rows.remove(&first),
                };
            }
            // If the run began with this chunk, the chunk's own row replaces the run's row.
            if !there.contains(&chunk) {
                rows.remove(&chunk);
            }
            let told: Vec<u64> = rows.iter().flat_map(|(&f, &n)| f..f + n).collect();
            assert!(told.iter().eq(&there), "{told:?}");
            let apart = rows.iter().zip(rows.iter().skip(1));
            assert!(apart.clone().all(|((f, n), (next, _))| f + n < *next));
        }
    }
}
