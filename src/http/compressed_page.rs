//! A page for an encoded response.
//!
//! Contains [`CompressedPage`]. Runs of complete jobs come from the cache, or are encoded and added
//! to it. All other text is encoded with the response.

use std::sync::Arc;

use crate::api::page::Page;
use crate::api::page_parts::{PagePart, PageParts};
use crate::http::encoder::EncodedText;
use crate::http::encoding::Encoding;
use crate::http::run_cache::RunCache;
use crate::http::stream::Piece;
use crate::model::error::{Error, Result};

/// The pieces of a page.
pub(crate) struct CompressedPage {
    parts: PageParts,
    encoding: Encoding,
    cache: Arc<RunCache>,
}

impl CompressedPage {
    /// Returns `None` if the page has no runs, or they would not be cached.
    pub(crate) fn new(
        page: &Page,
        encoding: Encoding,
        cache: &Arc<RunCache>,
    ) -> Option<CompressedPage> {
        let has_runs = encoding != Encoding::Plain && !cache.is_off() && page.has_runs();
        has_runs.then(|| CompressedPage {
            parts: page.parts(),
            encoding,
            cache: cache.clone(),
        })
    }

    fn piece(&mut self) -> Result<Piece> {
        let key = match self.parts.next()? {
            PagePart::Text(text) => return Ok(Piece::Text(text)),
            PagePart::Last(text) => return Ok(Piece::Last(text)),
            PagePart::Run(key) => (self.encoding, key),
        };
        if let Some(run) = self.cache.get(&key) {
            self.parts.skip_run();
            return Ok(Piece::Encoded(run));
        }
        let mut text = Vec::new();
        if !self.parts.render_run(&mut text)? {
            return Ok(Piece::Text(text));
        }
        let run = EncodedText::new(self.encoding, &text).map_err(|e| Error::output(&e))?;
        let run = Arc::new(run);
        self.cache.insert(key, run.clone());
        Ok(Piece::Encoded(run))
    }
}

impl Iterator for CompressedPage {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Result<Piece>> {
        Some(self.piece())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::graph::Graph;
    use crate::api::store::JobStore;
    use crate::model::job_query::JobQuery;
    use crate::model::outcome::Outcome;
    use crate::model::request::{Body, Request};

    const JOBS: usize = 3 * 512 + 10;

    /// A graph with three runs of complete jobs and the beginning of another.
    fn graph() -> (JobStore, Graph) {
        let store = JobStore::in_memory().unwrap();
        let graph = store.create_graph("1", "movie").unwrap();
        let request = Request::new("c", "/", Body::empty()).unwrap();
        let ids = graph.submit_all(vec![request; JOBS]).unwrap();
        let mut last = None;
        for id in &ids {
            drop(graph.nonblocking().start(id));
            last = Some(graph.nonblocking().complete(id, Outcome::succeeded()));
        }
        last.unwrap().wait().unwrap();
        (store, graph)
    }

    fn pieces(graph: &Graph, encoding: Encoding, cache: &Arc<RunCache>) -> CompressedPage {
        let page = graph.list(JobQuery::new()).unwrap();
        CompressedPage::new(&page, encoding, cache).unwrap()
    }

    /// The runs of the whole page.
    fn runs(page: CompressedPage) -> Vec<Arc<EncodedText>> {
        let mut runs = Vec::new();
        for piece in page {
            match piece.unwrap() {
                Piece::Text(_) => {}
                Piece::Encoded(run) => runs.push(run),
                Piece::Last(_) => break,
            }
        }
        runs
    }

    fn same(ours: &[Arc<EncodedText>], theirs: &[Arc<EncodedText>]) -> usize {
        let pairs = ours.iter().zip(theirs);
        pairs.filter(|(our, their)| Arc::ptr_eq(our, their)).count()
    }

    #[test]
    fn a_run_is_encoded_once_in_each_encoding() {
        let (_store, graph) = graph();
        let cache = Arc::new(RunCache::new(1 << 20));
        let first = runs(pieces(&graph, Encoding::Zstd, &cache));
        assert_eq!(first.len(), 3);
        assert_eq!(
            same(&first, &runs(pieces(&graph, Encoding::Zstd, &cache))),
            3
        );
        let gzip = runs(pieces(&graph, Encoding::Gzip, &cache));
        assert_eq!(same(&first, &gzip), 0);
        assert_eq!(
            same(&gzip, &runs(pieces(&graph, Encoding::Gzip, &cache))),
            3
        );
        assert_eq!(
            same(&first, &runs(pieces(&graph, Encoding::Zstd, &cache))),
            3
        );
    }

    #[test]
    fn a_cached_run_is_not_read_from_the_files() {
        let (store, graph) = graph();
        let cache = Arc::new(RunCache::new(1 << 20));
        let first = runs(pieces(&graph, Encoding::Zstd, &cache));
        let begun = pieces(&graph, Encoding::Zstd, &cache);
        graph.purge(JobQuery::new()).unwrap();
        assert_eq!(same(&first, &runs(begun)), 3);
        drop(store);
    }

    #[test]
    fn short_and_plain_pages_have_no_runs() {
        let (_store, graph) = graph();
        let page = |limit| graph.list(JobQuery::new().limit(limit)).unwrap();
        let cache = |bytes| Arc::new(RunCache::new(bytes));
        assert!(CompressedPage::new(&page(512), Encoding::Gzip, &cache(1)).is_some());
        assert!(CompressedPage::new(&page(511), Encoding::Gzip, &cache(1)).is_none());
        assert!(CompressedPage::new(&page(512), Encoding::Gzip, &cache(0)).is_none());
        assert!(CompressedPage::new(&page(512), Encoding::Plain, &cache(1)).is_none());
    }
}
