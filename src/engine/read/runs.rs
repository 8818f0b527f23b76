//! A page as text and runs of complete jobs.
//!
//! The text of a complete job never changes. The sequence numbers of a graph are divided into runs
//! of [`run_jobs`], and the text of a run whose jobs are all on the page and complete depends only
//! on its [`RunKey`]. A caller that has kept what it made of this text can skip the run; then none
//! of its files are read.

use crate::engine::read::document::{END, JobTexts, START, put};
use crate::engine::read::reader::Snapshot;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::state_identity::StateIdentity;
use crate::model::error::Result;

/// The number of jobs of a run. Shorter runs are compressed less well. Longer ones are interrupted
/// more often by a job that is not complete or that was purged.
fn run_jobs() -> u64 {
    #[cfg(feature = "simulation")]
    if crate::base::simulated::is_here() {
        // The graphs of a simulation are small.
        return 32;
    }
    512
}

/// A run with more text than this is ordinary text.
const RUN_BYTES_MAX: usize = 512 << 10;

/// Identifies the text of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RunKey {
    state: StateIdentity,
    first: u64,
    /// Whether the text begins with a comma.
    is_continued: bool,
}

#[cfg(test)]
impl RunKey {
    pub(crate) fn of_test(first: u64) -> RunKey {
        static STATE: std::sync::OnceLock<StateIdentity> = std::sync::OnceLock::new();
        RunKey {
            state: *STATE.get_or_init(StateIdentity::default),
            first,
            is_continued: false,
        }
    }
}

/// The next part of a document.
pub(crate) enum Part {
    /// Text was appended, about one block.
    Text,
    /// A run follows, to be skipped or rendered.
    Run(RunKey),
    /// The end of the document was appended.
    End,
}

/// The first job of the next run that begins with this job or a later one. A newest-first page has
/// no runs. Repeated searches in ascending order are fast.
pub(crate) fn first_run(snapshot: &Snapshot, from: u64, at: &mut usize) -> Option<u64> {
    if snapshot.newest_first {
        return None;
    }
    let selection = &snapshot.selection;
    selection.aligned_complete_run(from, run_jobs(), at)
}

/// The document of [`Document`](super::document::Document) in parts.
pub(crate) struct RunDocument {
    texts: JobTexts,
    stage: Stage,
    /// The current position in the selection.
    at: usize,
}

enum Stage {
    Start,
    /// Text follows up to the run that begins with this job or, without a run, up to the end.
    Text(Option<u64>),
    /// The run that begins with this job follows.
    Run(u64),
    /// The rest of a large run follows as text, up to this job.
    Rest(u64),
    Done,
}

impl RunDocument {
    pub(crate) fn new() -> RunDocument {
        RunDocument {
            texts: JobTexts::default(),
            stage: Stage::Start,
            at: 0,
        }
    }

    /// Appends the next text to `out`, unless a run follows. Produces nothing more after an error.
    pub(crate) fn next(
        &mut self,
        graph: &GraphCore,
        snapshot: &Snapshot,
        out: &mut Vec<u8>,
    ) -> Result<Part> {
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Start => {
                put(out, START)?;
                self.continue_from(0, snapshot);
                Ok(Part::Text)
            }
            Stage::Text(run) => {
                if self.texts.produce(graph, snapshot, out)? {
                    self.stage = Stage::Text(run);
                    return Ok(Part::Text);
                }
                let Some(first) = run else {
                    put(out, END)?;
                    return Ok(Part::End);
                };
                self.stage = Stage::Run(first);
                Ok(Part::Run(self.key(first, snapshot)))
            }
            Stage::Rest(end) => {
                match self.texts.produce(graph, snapshot, out)? {
                    true => self.stage = Stage::Rest(end),
                    false => self.continue_from(end, snapshot),
                }
                Ok(Part::Text)
            }
            Stage::Run(first) => {
                self.stage = Stage::Run(first);
                Ok(Part::Run(self.key(first, snapshot)))
            }
            Stage::Done => Ok(Part::End),
        }
    }

    /// Skips the run that [`RunDocument::next`] returned.
    pub(crate) fn skip_run(&mut self, snapshot: &Snapshot) {
        if let Stage::Run(first) = self.stage {
            self.texts.is_continued = true;
            self.continue_from(first + run_jobs(), snapshot);
        }
    }

    /// Appends the text of the run that [`RunDocument::next`] returned. Returns `false` if the run
    /// is too large: then this is only its beginning, and the rest follows as text.
    pub(crate) fn render_run(
        &mut self,
        graph: &GraphCore,
        snapshot: &Snapshot,
        out: &mut Vec<u8>,
    ) -> Result<bool> {
        let Stage::Run(first) = std::mem::replace(&mut self.stage, Stage::Done) else {
            return Ok(false);
        };
        let end = first + run_jobs();
        self.texts.seek_range(first..end, snapshot);
        while self.texts.produce(graph, snapshot, out)? {
            if out.len() > RUN_BYTES_MAX || self.texts.large.is_some() {
                self.stage = Stage::Rest(end);
                return Ok(false);
            }
        }
        self.continue_from(end, snapshot);
        Ok(true)
    }

    fn key(&self, first: u64, snapshot: &Snapshot) -> RunKey {
        RunKey {
            state: snapshot.identity,
            first,
            is_continued: self.texts.is_continued,
        }
    }

    /// Continues with text from this job up to the next run.
    fn continue_from(&mut self, from: u64, snapshot: &Snapshot) {
        let run = first_run(snapshot, from, &mut self.at);
        self.stage = Stage::Text(run);
        if snapshot.newest_first {
            // The texts set their own ranges.
            return;
        }
        let end = run.unwrap_or(u64::MAX);
        self.texts.seek_range(from..end, snapshot);
    }
}
