// A page's document as text and runs of complete jobs, for responses that are encoded.

use std::sync::Arc;

use crate::api::graph::Graph;
use crate::api::page::{CHUNK_BYTES, Page};
use crate::engine::read::reader::Snapshot;
use crate::engine::read::runs::{Part, RunDocument, first_run};
use crate::model::error::Result;

pub(crate) use crate::engine::read::runs::RunKey;

/// The document of a page in parts.
pub(crate) struct PageParts {
    graph: Graph,
    snapshot: Arc<Snapshot>,
    document: RunDocument,
}

/// The next part of a page.
pub(crate) enum PagePart {
    Text(Vec<u8>),
    /// A run follows, to be skipped or rendered.
    Run(RunKey),
    /// The last text.
    Last(Vec<u8>),
}

impl Page {
    /// Whether the page contains a run.
    pub(crate) fn has_runs(&self) -> bool {
        first_run(&self.snapshot, 0, &mut 0).is_some()
    }

    /// The JSON document of [`Page::write_json`] in parts.
    pub(crate) fn parts(&self) -> PageParts {
        PageParts {
            graph: self.graph.clone(),
            snapshot: self.snapshot.clone(),
            document: RunDocument::new(),
        }
    }
}

impl PageParts {
    /// Returns the next part. A text is at least [`CHUNK_BYTES`] long, unless a run follows or it
    /// is the last.
    pub(crate) fn next(&mut self) -> Result<PagePart> {
        self.graph.engine().check_process()?;
        let (graph, snapshot) = (&self.graph.core, &self.snapshot);
        let mut out = Vec::new();
        loop {
            match self.document.next(graph, snapshot, &mut out)? {
                Part::Text if out.len() < CHUNK_BYTES => {}
                Part::Run(key) if out.is_empty() => return Ok(PagePart::Run(key)),
                // After the text, the run is returned again.
                Part::Text | Part::Run(_) => return Ok(PagePart::Text(out)),
                Part::End => return Ok(PagePart::Last(out)),
            }
        }
    }

    /// Skips the run that was returned.
    pub(crate) fn skip_run(&mut self) {
        self.document.skip_run(&self.snapshot);
    }

    /// Appends the text of the run that was returned. Returns `false` if the run is too large: then
    /// this is only its beginning, and the rest follows as text.
    pub(crate) fn render_run(&mut self, out: &mut Vec<u8>) -> Result<bool> {
        self.graph.engine().check_process()?;
        self.document
            .render_run(&self.graph.core, &self.snapshot, out)
    }
}
