// The JSON document of a page, with details of each job.
//
// It adds members to the document of the GES job-list API, and does not change the existing ones.
// Memory use is bounded.

use std::fmt;

use crate::api::export::Export;
use crate::api::page::{CHUNK_BYTES, Page};
use crate::engine::read::document::{END, START};
use crate::model::error::Result;

impl Page {
    /// Returns an iterator over the page's JSON document with the details of each job, in chunks of
    /// about 64 KiB. Each chunk is read when it is requested.
    ///
    /// The document is that of [`Page::write_json`] with additional members. These members follow a
    /// job's `request`, if they apply to the job: `masked` if secrets are masked; `submittedAt`,
    /// `startedAt`, `completedAt` (milliseconds since 1970); `progress` (0 to 100) and
    /// `progressText` of a running job; `failReason` of a job that did not succeed;
    /// `cancelRequested`; and `outcome` as in a line of [`Graph::export`](crate::Graph::export).
    /// These members follow `result`: `totalCount`, if known ([`Page::total`]); `nextCursor`, if
    /// there are more jobs ([`Page::next`]); `quarantined`, if it is not 0 ([`Page::quarantined`]).
    ///
    /// # Cost
    /// That of [`Page::chunks`]. In addition, one row of the index is read for every 128 jobs.
    ///
    /// # Errors
    /// Those of [`Page::write_json`], and
    /// [`Error::IndexUnavailable`](crate::Error::IndexUnavailable). The iterator ends after an
    /// error.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request};
    /// let store = JobStore::in_memory()?;
    /// let movie = store.create_graph("10001", "movie")?;
    /// movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// let mut document = Vec::new();
    /// for piece in movie.list(JobQuery::new())?.detailed_chunks() {
    ///     document.extend_from_slice(&piece?);
    /// }
    /// let text = String::from_utf8_lossy(&document);
    /// assert!(text.contains(r#""status":"pending","request":{"#));
    /// assert!(text.contains(r#""submittedAt":"#));
    /// assert!(text.ends_with(r#"],"result":"success","totalCount":1}"#));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn detailed_chunks(&self) -> DetailedChunks {
        DetailedChunks {
            jobs: Export::members(self),
            end: self.end(),
            stage: Stage::Start,
        }
    }

    /// The end of the document, after the jobs.
    fn end(&self) -> Vec<u8> {
        let mut end = END.to_vec();
        end.pop();
        if let Some(total) = self.total() {
            end.extend_from_slice(format!(r#","totalCount":{total}"#).as_bytes());
        }
        if let Some(next) = self.next() {
            end.extend_from_slice(format!(r#","nextCursor":"{next}""#).as_bytes());
        }
        if self.quarantined() > 0 {
            end.extend_from_slice(format!(r#","quarantined":{}"#, self.quarantined()).as_bytes());
        }
        end.push(b'}');
        end
    }
}

/// The detailed JSON of a page in chunks: returned by [`Page::detailed_chunks`].
pub struct DetailedChunks {
    jobs: Export,
    end: Vec<u8>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Start,
    Jobs,
    /// After the end or an error.
    Over,
}

impl Iterator for DetailedChunks {
    type Item = Result<Vec<u8>>;

    fn next(&mut self) -> Option<Result<Vec<u8>>> {
        let mut piece = match self.stage {
            Stage::Start => START.to_vec(),
            Stage::Jobs => Vec::new(),
            Stage::Over => return None,
        };
        self.stage = Stage::Jobs;
        while piece.len() < CHUNK_BYTES {
            match self.jobs.write_piece(&mut piece) {
                Ok(true) => {}
                Ok(false) => {
                    self.stage = Stage::Over;
                    piece.append(&mut self.end);
                    break;
                }
                Err(error) => {
                    self.stage = Stage::Over;
                    return Some(Err(error));
                }
            }
        }
        Some(Ok(piece))
    }
}

impl std::iter::FusedIterator for DetailedChunks {}

impl fmt::Debug for DetailedChunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DetailedChunks")
            .field("jobs", &self.jobs)
            .finish_non_exhaustive()
    }
}
