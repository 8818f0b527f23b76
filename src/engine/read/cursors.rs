//! Issues cursors, and determines where the list of a given cursor continues.

use crate::engine::core::Engine;
use crate::engine::state::graph::GraphCore;
use crate::model::cursor::Cursor;
use crate::model::error::{Error, Result};
use crate::model::job_query::JobQuery;

impl Engine {
    /// Returns a cursor that continues at `next` and skips `skip` matches first.
    pub(crate) fn cursor(
        &self,
        graph: &GraphCore,
        list: &JobQuery,
        (next, skip): (u64, u64),
    ) -> Cursor {
        Cursor::new(&graph.ids, list, (next, skip), self.log_point())
    }

    /// Where a list of this graph continues, and how many matches to skip there.
    pub(crate) fn cursor_place(
        &self,
        graph: &GraphCore,
        list: &JobQuery,
        cursor: &Cursor,
    ) -> Result<(u64, u64)> {
        let (next, skip) = cursor.place();
        let is_sealed = |open_event| cursor.is_sealed(&graph.ids, open_event);
        let problem = if !cursor.is_of_graph(&graph.ids) {
            "it belongs to another graph"
        } else if let Some(problem) = self.problem_of(cursor.given(), is_sealed)? {
            problem
        } else if next > graph.state.read().status.len() {
            "it is past the end of the list"
        } else if !cursor.is_of_list(list) {
            "it belongs to a list with a different filter"
        } else {
            return Ok((next, skip));
        };
        Err(Error::InvalidCursor { problem })
    }
}
