//! Loads the states of jobs from the index, if the whole index is intact.

use std::sync::{Arc, Weak};

use crate::base::codec::NUMBER_MAX;
use crate::engine::replay::{Replay, ReplayError};
use crate::engine::state::catalog::Graphs;
use crate::engine::state::external_ids::ExternalIds;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::history_pages::decode_list;
use crate::engine::state::indexer::{IndexedGraph, Indexer, ROW_KEY_BYTES_MAX};
use crate::engine::state::status;
use crate::index::rows::{self, GraphRow, IndexHead, ROWS_FORMAT};
use crate::index::sorted_runs::Runs;
use crate::index::{Fault, Index};
use crate::model::store_id::StoreId;

/// Returns the contents of the index, if the whole index is intact.
pub(crate) fn load_index(index: Arc<dyn Index>, store: StoreId) -> Result<Replay, ReplayError> {
    let mut indexer = Indexer::new(store);
    let Some(value) = index.get(rows::HEAD)? else {
        // If there are rows but no header, the rows were left by a crash while the index was being
        // created.
        let mut empty = true;
        index.scan(&[], &mut |_, _| {
            empty = false;
            Ok(())
        })?;
        if !empty {
            return Err(Fault("it has rows but no header".to_owned()).into());
        }
        let ids = ExternalIds::new(Runs::default());
        return Ok(Replay::new(Graphs::default(), ids, indexer, index, 0));
    };
    let head: IndexHead =
        rows::open_value(rows::HEAD, &value).ok_or_else(|| Fault("invalid header".to_owned()))?;
    let is_possible =
        head.applied_lsn < NUMBER_MAX && head.open_number < NUMBER_MAX && head.gaps.is_possible();
    if head.rows_format != ROWS_FORMAT || head.store != store.0 || !is_possible {
        return Err(Fault("it belongs to another store or release".to_owned()).into());
    }
    let mut graphs = Graphs::after(head.graphs);
    let damaged = |what: &str| Fault(format!("invalid row of {what}"));
    index.scan(rows::GRAPHS, &mut |key, value| {
        let row: GraphRow = rows::open_value(key, value).ok_or_else(|| damaged("a graph"))?;
        let number = rows::parse_graph_key(key).ok_or_else(|| damaged("a graph"))?;
        indexer.record_row(key, Some(value));
        let names = (graphs.project(&row.project), row.name.as_str());
        let graph = GraphCore::new(number, names, (row.number, row.key), row.created_ms);
        graph.state.write().forgotten_lsn = row.forgotten_lsn;
        let graph = Arc::new(graph);
        let known = IndexedGraph {
            graph: Arc::downgrade(&graph),
            forgotten_lsn: row.forgotten_lsn,
            last_command: 0,
        };
        indexer.graphs.insert(number, known);
        graphs.insert(graph);
        Ok(())
    })?;
    index.scan(rows::STATUS, &mut |key, value| {
        let bytes = rows::open(key, value).ok_or_else(|| damaged("states"))?;
        let (number, chunk) = rows::parse_status_key(key).ok_or_else(|| damaged("states"))?;
        indexer.record_row(key, Some(value));
        // If a process ended while it was removing a graph from the index, some of the graph's rows
        // may be left.
        if let Some(graph) = graphs.by_number.get(&number) {
            let mut state = graph.state.write();
            if let Some(chunks) = status::run_of(bytes) {
                let restored = state.status.restore_removed(chunk, chunks);
                restored.ok_or_else(|| damaged("states"))?;
                let runs = indexer.removed_runs.entry(number).or_default();
                runs.restore(chunk, chunks);
                return Ok(());
            }
            let bytes = rows::unpack_words(bytes, status::SAVED_WORDS_MAX);
            let bytes = bytes.ok_or_else(|| damaged("states"))?;
            let restored = state
                .status
                .restore(chunk, &bytes)
                .and_then(|(jobs, rest)| {
                    let details = &mut state.details;
                    details.restore(chunk, jobs, rest)
                });
            restored.ok_or_else(|| damaged("states"))?;
        }
        Ok(())
    })?;
    load_commands(&mut indexer, &*index, &graphs)?;
    load_histories(&mut indexer, &*index, &graphs)?;
    // The last process may have ended while a dropped graph still had readers.
    index.scan(rows::DROPPED, &mut |key, _| {
        let number = rows::parse_dropped_key(key).ok_or_else(|| damaged("a dropped graph"))?;
        if !graphs.by_number.contains_key(&number) {
            indexer.dropped.push((number, Weak::new()));
        }
        Ok(())
    })?;
    index.scan(rows::RUNS, &mut |key, value| {
        if key.len() > ROW_KEY_BYTES_MAX {
            return Err(damaged("lookups"));
        }
        indexer.record_row(key, Some(value));
        Ok(())
    })?;
    if !head.partial && (indexer.digest() != head.digest || graphs.created != head.graphs) {
        return Err(Fault("it is incomplete".to_owned()).into());
    }
    indexer.applied_lsn = head.applied_lsn;
    indexer.lost_ids = head.lost_ids;
    let ids = ExternalIds::new(Runs::open(&*index)?);
    let mut replay = Replay::new(graphs, ids, indexer, index, head.open_number);
    replay.gaps = head.gaps;
    Ok(replay)
}

/// Loads the names of the graphs' commands.
fn load_commands(indexer: &mut Indexer, index: &dyn Index, graphs: &Graphs) -> Result<(), Fault> {
    let damaged = || Fault("invalid row of a command".to_owned());
    index.scan(rows::COMMANDS, &mut |key, value| {
        let (graph, number) = rows::parse_command_key(key).ok_or_else(damaged)?;
        let name = rows::open(key, value).and_then(|name| std::str::from_utf8(name).ok());
        let name = name.filter(|_| number > 0).ok_or_else(damaged)?;
        indexer.record_row(key, Some(value));
        // Rows of a dropped graph may be left.
        if let Some(core) = graphs.by_number.get(&graph) {
            core.state.write().activity.commands.insert(number, name);
            if let Some(indexed) = indexer.graphs.get_mut(&graph) {
                indexed.last_command = indexed.last_command.max(number);
            }
        }
        Ok(())
    })
}

/// Loads the lists of the histories' pages. The pages themselves are read when they are needed.
fn load_histories(indexer: &mut Indexer, index: &dyn Index, graphs: &Graphs) -> Result<(), Fault> {
    let damaged = || Fault("invalid row of a history".to_owned());
    index.scan(rows::HISTORY_LISTS, &mut |key, value| {
        let graph = rows::parse_history_list_key(key).ok_or_else(damaged)?;
        let list = rows::open(key, value).and_then(decode_list);
        let (pages, through_lsn) = list.ok_or_else(damaged)?;
        indexer.record_row(key, Some(value));
        if let Some(core) = graphs.by_number.get(&graph) {
            let history = &mut core.state.write().activity.history;
            history.written(Arc::new(pages), through_lsn);
        }
        Ok(())
    })
}
