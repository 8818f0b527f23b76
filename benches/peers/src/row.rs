//! A job as the JSON of the GES API, assembled from existing text.
//!
//! Contains the fixed text of a job and of a page. It is independent of any store.

use anyhow::{Context as _, Result, bail};
use jobstore::State;

const ID: &[u8] = br#"{"jobId":""#;
const STATUS: &[u8] = br#"","status":""#;
const REQUEST: &[u8] = br#"","request":"#;

/// Appends a job.
pub fn push(id: &[u8], state: State, request: &[u8], out: &mut Vec<u8>) {
    out.reserve(id.len() + request.len() + 64);
    out.extend_from_slice(ID);
    out.extend_from_slice(id);
    out.extend_from_slice(STATUS);
    out.extend_from_slice(state.as_str().as_bytes());
    out.extend_from_slice(REQUEST);
    out.extend_from_slice(request);
    out.push(b'}');
}

/// Returns a job as the row of a store that keeps the text that it returns.
pub fn new(id: &str, state: State, request: &str) -> Vec<u8> {
    let mut row = Vec::new();
    push(id.as_bytes(), state, request.as_bytes(), &mut row);
    row
}

/// Returns the same row in its next state. Returns an error if the row is not in the previous
/// state.
pub fn with_state(row: &[u8], from: State, to: State) -> Result<Vec<u8>> {
    // An id contains no quotation mark, so the first quotation mark after its start ends it.
    let id = row.get(ID.len()..).context("a row cut short")?;
    let id_bytes = id.iter().position(|byte| *byte == b'"');
    let at = ID.len() + id_bytes.context("a row without an end to its id")? + STATUS.len();
    let end = at + from.as_str().len();
    if row.get(at..end) != Some(from.as_str().as_bytes()) {
        bail!("a job that is not {from} cannot become {to}");
    }
    let mut next = Vec::with_capacity(row.len() + 8);
    next.extend_from_slice(&row[..at]);
    next.extend_from_slice(to.as_str().as_bytes());
    next.extend_from_slice(&row[end..]);
    Ok(next)
}

/// A page that is being written.
pub struct Document<'a> {
    out: &'a mut Vec<u8>,
    is_first: bool,
}

impl<'a> Document<'a> {
    pub fn new(out: &'a mut Vec<u8>) -> Document<'a> {
        out.clear();
        out.extend_from_slice(br#"{"jobs":["#);
        Document {
            out,
            is_first: true,
        }
    }

    /// Returns the buffer for the next job's text.
    pub fn next(&mut self) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b',');
        }
        self.out
    }

    pub fn row(&mut self, row: &[u8]) {
        self.next().extend_from_slice(row);
    }

    pub fn end(self) {
        self.out.extend_from_slice(br#"],"result":"success"}"#);
    }
}
