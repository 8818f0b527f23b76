//! The text of a job in a block, and its place there.

use crate::log::event::SubmissionTexts;
use crate::model::job_json::{AFTER_REQUEST, BEFORE_ID, BEFORE_REQUEST, BEFORE_STATUS, push_open};

/// The state that a block's text shows.
pub(crate) const BLOCK_STATUS: &str = "complete";

/// Appends a job's text as a block holds it.
pub(crate) fn push_text(id: &str, request: &str, out: &mut Vec<u8>) {
    push_open(id, BLOCK_STATUS, request, out);
    out.extend_from_slice(AFTER_REQUEST.as_bytes());
}

/// How long that text is.
pub(crate) fn text_len(id_len: usize, request_len: usize) -> usize {
    BEFORE_ID.len()
        + id_len
        + BEFORE_STATUS.len()
        + BLOCK_STATUS.len()
        + BEFORE_REQUEST.len()
        + request_len
        + AFTER_REQUEST.len()
}

/// How long all is that a job brings.
pub(crate) fn stored_len(texts: &SubmissionTexts<'_>) -> usize {
    text_len(texts.id.len(), texts.request.len()) + texts.secrets.len()
}

/// One job's place in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// Where what is masked in it ends, behind that of the jobs before.
    pub(crate) secrets_end: u32,
    pub(crate) id_len: u8,
    pub(crate) submitted_ms: u64,
}

impl Row {
    /// Where the status word begins.
    pub(crate) fn status_at(&self) -> usize {
        self.start as usize + BEFORE_ID.len() + usize::from(self.id_len) + BEFORE_STATUS.len()
    }

    pub(super) fn id_at(&self) -> usize {
        self.start as usize + BEFORE_ID.len()
    }

    pub(super) fn request_at(&self) -> usize {
        self.status_at() + BLOCK_STATUS.len() + BEFORE_REQUEST.len()
    }

    /// Where the request stands.
    pub(crate) fn request_range(&self) -> std::ops::Range<usize> {
        self.request_at()..self.end as usize - AFTER_REQUEST.len()
    }
}
