//! Creating and dropping graphs.

use std::sync::Arc;

use super::staging::Staging;
use crate::engine::state::calls::WriteResult;
use crate::engine::state::graph::GraphCore;
use crate::log::event::Event;
use crate::model::error::{Error, Result};

impl Staging<'_> {
    pub(super) fn create_graph(
        &mut self,
        (project, name): (&str, &str),
        (id_number, key): (u64, [u64; 2]),
    ) -> Result<WriteResult> {
        let names = (project.to_owned(), name.to_owned());
        let graphs = self.engine.graphs.read();
        let there = graphs.named(project, name);
        let dropped = there.is_some_and(|there| self.round.is_dropped(there));
        if (there.is_some() && !dropped) || self.round.created_names.contains(&names) {
            return Err(Error::GraphExists {
                project: project.to_owned(),
                graph: name.to_owned(),
            });
        }
        let number = graphs.created + self.round.changes.created.len() as u32;
        drop(graphs);
        let created = Event::GraphCreated {
            graph: number,
            number: id_number,
            key,
            time_ms: self.round.now_ms,
            project,
            name,
        };
        self.push_event(None, &created);
        self.round.created_names.insert(names);
        let graph = self.round.changes.created.last().cloned();
        graph.map(WriteResult::Graph).ok_or(Error::InvalidUse {
            what: "the graph was not created; this is a bug in jobstore, please report it",
        })
    }

    pub(super) fn drop_graph(&mut self, graph: &Arc<GraphCore>) {
        let dropped = Event::GraphDropped {
            graph: graph.number,
            time_ms: self.round.now_ms,
        };
        self.push(graph, &dropped);
        self.round.dropped_numbers.insert(graph.number);
    }
}
