//! The packed jobs that the committer has read last.

use crate::log::block::Block;

/// The packed jobs that were read last. Their neighbors are often started next, and need not be read
/// again.
#[derive(Default)]
pub(crate) struct NearbyJobs {
    graph: u32,
    block: Block,
}

impl NearbyJobs {
    pub(crate) fn new(graph: u32, block: Block) -> NearbyJobs {
        NearbyJobs { graph, block }
    }

    /// The request of a job, and when the job was submitted.
    pub(crate) fn get(&self, graph: u32, sequence: u64) -> Option<(&[u8], u64)> {
        if graph != self.graph {
            return None;
        }
        let n = sequence.checked_sub(self.block.first_sequence)?;
        let row = self.block.rows.get(usize::try_from(n).ok()?)?;
        Some((self.block.request(row), row.submitted_ms))
    }
}
