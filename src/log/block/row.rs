//! The text of a job in a block, and its position there.

use crate::log::event::SubmissionTexts;
use crate::model::job_json::{AFTER_REQUEST, BEFORE_ID, BEFORE_REQUEST, BEFORE_STATUS, push_open};

/// The status of all jobs in the text of a block.
pub(crate) const BLOCK_STATUS: &str = "complete";

/// Appends the text of a job as it is stored in a block.
pub(crate) fn push_text(id: &str, request: &str, out: &mut Vec<u8>) {
    push_open(id, BLOCK_STATUS, request, out);
    out.extend_from_slice(AFTER_REQUEST.as_bytes());
}

/// Returns the length of the text that [`push_text`] appends.
pub(crate) fn text_len(id_len: usize, request_len: usize) -> usize {
    BEFORE_ID.len()
        + id_len
        + BEFORE_STATUS.len()
        + BLOCK_STATUS.len()
        + BEFORE_REQUEST.len()
        + request_len
        + AFTER_REQUEST.len()
}

/// Returns the length of everything that is stored for a job.
pub(crate) fn stored_len(texts: &SubmissionTexts<'_>) -> usize {
    text_len(texts.id.len(), texts.request.len()) + texts.unlisted.len()
}

/// The position of a job in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// The end of the job's unlisted part in the concatenated unlisted parts of all jobs.
    pub(crate) unlisted_end: u32,
    pub(crate) id_len: u8,
    pub(crate) submitted_ms: u64,
}

impl Row {
    /// The offset of the status word.
    pub(crate) fn status_at(&self) -> usize {
        self.start as usize + BEFORE_ID.len() + usize::from(self.id_len) + BEFORE_STATUS.len()
    }

    pub(super) fn id_at(&self) -> usize {
        self.start as usize + BEFORE_ID.len()
    }

    pub(super) fn request_at(&self) -> usize {
        self.status_at() + BLOCK_STATUS.len() + BEFORE_REQUEST.len()
    }

    /// The range of the request.
    pub(crate) fn request_range(&self) -> std::ops::Range<usize> {
        self.request_at()..self.end as usize - AFTER_REQUEST.len()
    }
}
