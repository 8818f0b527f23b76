//! Jobs that have no intact place.

use std::collections::BTreeMap;

use super::Survey;
use super::log_range::RangeSource;
use crate::log::disk::Disk;
use crate::model::error::{Error, Result};

impl Survey {
    /// Finds the jobs that have no intact place.
    pub(super) fn join_jobs(&mut self) {
        let mut mentioned: BTreeMap<u32, u64> = BTreeMap::new();
        for log_range in &self.log_ranges {
            for (number, runs) in &log_range.spans {
                let found = self.graphs.entry(*number).or_default();
                for &(from, end) in runs {
                    found.damaged += from.saturating_sub(found.end);
                    found.end = found.end.max(end);
                }
            }
            for (&number, &end) in &log_range.mentioned {
                mentioned.insert(
                    number,
                    end.max(mentioned.get(&number).copied().unwrap_or(0)),
                );
            }
            // A pack's jobs include those in damaged blocks at its end.
            if let RangeSource::Pack { pack, .. } = &log_range.source {
                for part in &pack.parts {
                    let found = self.graphs.entry(part.graph).or_default();
                    found.damaged += part.end_sequence.saturating_sub(found.end);
                    found.end = found.end.max(part.end_sequence);
                }
            }
        }
        // Include jobs that have events but no request.
        for (number, end) in mentioned {
            let found = self.graphs.entry(number).or_default();
            found.damaged += end.saturating_sub(found.end);
            found.end = found.end.max(end);
        }
    }

    /// If all files are intact, reports any missing jobs as damage. In that case, jobs can be
    /// missing only because events that no store would have written refer to them.
    pub(super) fn unexplained(&mut self, disk: &dyn Disk) -> Result<()> {
        if !self.damage.is_empty() {
            return Ok(());
        }
        let missing: Vec<(u32, u64)> = self
            .graphs
            .iter()
            .filter(|(_, found)| !found.is_dropped && found.damaged > 0)
            .map(|(&number, found)| (number, found.damaged))
            .collect();
        for (number, jobs) in missing {
            let what = format!("it refers to jobs of graph {number} that no file contains");
            self.damaged(&Error::damaged(disk.path(""), 0, what), jobs, 0)?;
        }
        Ok(())
    }
}
