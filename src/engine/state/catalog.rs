//! The graphs of an open store, by name and by number.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::state::graph::GraphCore;

/// The graphs of the store.
#[derive(Default)]
pub(crate) struct Graphs {
    /// By project, then by name. Uses trees, so that no commit waits while a large table is
    /// resized.
    by_name: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Arc<GraphCore>>>,
    /// By number, without dropped graphs.
    pub(crate) by_number: BTreeMap<u32, Arc<GraphCore>>,
    /// How many graphs were ever created.
    pub(crate) created: u32,
}

impl Graphs {
    /// An empty catalog. The next graph is assigned the number `created`.
    pub(crate) fn after(created: u32) -> Graphs {
        Graphs {
            created,
            ..Graphs::default()
        }
    }

    pub(crate) fn insert(&mut self, graph: Arc<GraphCore>) {
        self.created = self.created.max(graph.number + 1);
        self.by_number.insert(graph.number, graph.clone());
        let named = self.by_name.entry(graph.project.clone()).or_default();
        named.insert(graph.name.clone(), graph);
    }

    /// The graph of this project and name.
    pub(crate) fn named(&self, project: &str, name: &str) -> Option<&Arc<GraphCore>> {
        self.by_name.get(project)?.get(name)
    }

    /// A project's name, shared by its graphs.
    pub(crate) fn project(&self, project: &str) -> Arc<str> {
        match self.by_name.get_key_value(project) {
            Some((known, _)) => known.clone(),
            None => project.into(),
        }
    }

    pub(crate) fn remove(&mut self, number: u32) {
        if let Some(graph) = self.by_number.remove(&number) {
            graph.set_dropped();
            let Some(named) = self.by_name.get_mut(&graph.project) else {
                return;
            };
            // After a repair, another graph may already have the same name.
            if named.get(&graph.name).is_some_and(|g| g.number == number) {
                named.remove(&graph.name);
            }
            if named.is_empty() {
                self.by_name.remove(&graph.project);
            }
        }
    }
}
