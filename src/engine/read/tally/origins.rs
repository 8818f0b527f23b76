//! Counts jobs by origin, which only their stored requests contain.

use std::collections::HashMap;

use super::{Counting, Stop};
use crate::engine::read::missing_job::missing;
use crate::engine::read::reader::{Reader, Snapshot};
use crate::engine::read::requests::each_text;
use crate::engine::state::graph::GraphCore;
use crate::model::tally::{TallyKey, check_groups};
use crate::model::unlisted::Unlisted;

pub(super) fn count(
    counting: &mut Counting<'_>,
    graph: &GraphCore,
    snapshot: &Snapshot,
) -> Result<(), Stop> {
    let (mut origins, mut without) = (HashMap::<Box<str>, u64>::new(), 0);
    let counted = each_text(graph, snapshot, Reader::default(), |job| {
        let unlisted = Unlisted::read(job.unlisted);
        let unlisted = unlisted.ok_or_else(|| missing(&graph.path(), job.sequence))?;
        match unlisted.origin {
            None => without += 1,
            Some(origin) => match origins.get_mut(origin) {
                Some(jobs) => *jobs += 1,
                None => {
                    check_groups(origins.len() + 1)?;
                    origins.insert(origin.into(), 1);
                }
            },
        }
        counting.looked_at(1)
    });
    if without > 0 {
        counting.add(TallyKey::Origin(None), without)?;
    }
    for (origin, jobs) in origins {
        counting.add(TallyKey::Origin(Some(origin.into())), jobs)?;
    }
    counted
}
