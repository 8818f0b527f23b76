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
        let number = graphs.created + self.round.created.len() as u32;
        let shared = (graphs.project(project), name);
        let graph = GraphCore::new(number, shared, (id_number, key), self.round.now_ms);
        self.frame.push(&Event::GraphCreated {
            graph: number,
            number: id_number,
            key,
            time_ms: self.round.now_ms,
            project,
            name,
        });
        let graph = Arc::new(graph);
        self.round.created_names.insert(names);
        self.round.created.push(graph.clone());
        Ok(WriteResult::Graph(graph))
    }

    pub(super) fn drop_graph(&mut self, graph: &Arc<GraphCore>) {
        self.frame.push(&Event::GraphDropped {
            graph: graph.number,
            time_ms: self.round.now_ms,
        });
        self.round.dropped_numbers.insert(graph.number);
        self.round.dropped.push(graph.clone());
    }
}
