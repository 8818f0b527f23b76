//! What happens to the jobs of a graph. A graph without jobs, of which there may be thousands, takes
//! no memory for it.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::engine::state::commands::Commands;
use crate::engine::state::history::GraphHistory;
use crate::engine::state::run_cell::RunCell;
use crate::engine::state::running::RunningJobs;
use crate::model::job_counts::JobCounts;

/// What happens to the jobs of a graph.
pub(crate) struct ActivityData {
    /// The running jobs.
    pub(crate) running: RunningJobs,
    /// Running jobs that have a guard.
    pub(crate) watched: BTreeMap<u64, Arc<RunCell>>,
    pub(crate) commands: Commands,
    pub(crate) history: GraphHistory,
    /// What happened since the store was opened.
    pub(crate) counters: JobCounts,
}

impl ActivityData {
    const fn new() -> ActivityData {
        ActivityData {
            running: RunningJobs::new(),
            watched: BTreeMap::new(),
            commands: Commands::new(),
            history: GraphHistory::new(),
            counters: JobCounts::new(),
        }
    }
}

static NOTHING: ActivityData = ActivityData::new();

/// What happens to the jobs of a graph; allocated when something does.
#[derive(Default)]
pub(crate) struct Activity(Option<Box<ActivityData>>);

impl Deref for Activity {
    type Target = ActivityData;

    fn deref(&self) -> &ActivityData {
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

impl DerefMut for Activity {
    fn deref_mut(&mut self) -> &mut ActivityData {
        self.0.get_or_insert_with(|| Box::new(ActivityData::new()))
    }
}
