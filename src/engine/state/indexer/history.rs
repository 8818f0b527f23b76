//! Writes the history of a graph, and the names of its commands.

use std::ops::Range;
use std::sync::Arc;

use super::Indexer;
use super::writer::Writer;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::history_pages::{HistoryPages, encode_list};
use crate::index::Fault;
use crate::index::rows;
use crate::model::history::Rows;

impl Indexer {
    /// Writes the names of the commands after the first number of the range, up to the last.
    pub(super) fn put_commands(
        &mut self,
        writer: &mut Writer<'_>,
        graph: &Arc<GraphCore>,
        numbers: Range<u8>,
    ) -> Result<(), Fault> {
        if numbers.is_empty() {
            return Ok(());
        }
        let commands = {
            let state = graph.state.read();
            let new = state.activity.commands.after(numbers.start);
            let new = new.take_while(|(number, _)| *number <= numbers.end);
            new.map(|(number, name)| (number, name.clone()))
                .collect::<Vec<_>>()
        };
        for (number, name) in commands {
            let key = rows::command_key(graph.number, number);
            let value = rows::seal(&key, name.as_bytes().to_vec());
            self.record_row(&key, Some(&value));
            writer.put(key, value)?;
        }
        Ok(())
    }

    /// Adds counts to the history in the index, which then contains all events up to this LSN.
    pub(super) fn put_history(
        &mut self,
        writer: &mut Writer<'_>,
        graph: &Arc<GraphCore>,
        (counts, lsn): (&Rows, u64),
    ) -> Result<(), Fault> {
        let before = graph.state.read().activity.history.pages();
        let mut pages = HistoryPages::new(writer.index, graph.number, &before);
        pages.add_all(counts)?;
        let (pages, mut rows) = pages.finish();
        let key = rows::history_list_key(graph.number);
        let value = rows::seal(&key, encode_list(&pages, lsn));
        self.record_row(&key, Some(&value));
        rows.push((key, Some(value)));
        writer.put_history(graph, rows, (Arc::new(pages), lsn))
    }
}
