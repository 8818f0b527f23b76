// Creating, opening, listing, and dropping the graphs of a store.

use std::sync::Arc;

use crate::api::graph::Graph;
use crate::api::store::JobStore;
use crate::api::write::{PreparedWrite, unexpected};
use crate::engine::state::calls::WriteResult;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::operation::Action;
use crate::engine::store_handle::StoreHandle;
use crate::log::random;
use crate::model::error::{Error, Result, excerpt, excerpt_over};

/// The maximum length of a project id or graph name, in bytes.
const NAME_BYTES_MAX: usize = 255;

impl JobStore {
    /// Creates the graph `name` in the project with the id `project_id`. Both must be 1 to 255
    /// bytes long and must not contain control characters or `/`. The graph starts empty, even if a
    /// graph with the same name was dropped before.
    ///
    /// # Durability
    /// The graph is durable when this returns.
    ///
    /// # Errors
    /// [`Error::InvalidName`], [`Error::GraphExists`], and the errors of every write
    /// ([`Graph::submit`]).
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Error, JobStore};
    /// # let store = JobStore::in_memory()?;
    /// let movie = store.create_graph("10001", "movie")?;
    /// assert_eq!((movie.project_id(), movie.name()), ("10001", "movie"));
    /// let again = store.create_graph("10001", "movie");
    /// assert!(matches!(again, Err(Error::GraphExists { .. })));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn create_graph(&self, project_id: &str, name: &str) -> Result<Graph> {
        let write = self.create_write(project_id, name)?;
        write.commit(self.engine())
    }

    /// Returns the graph with this name in this project.
    ///
    /// # Errors
    /// [`Error::UnknownGraph`], [`Error::Closed`].
    ///
    /// # Examples
    /// ```
    /// let store = jobstore::JobStore::in_memory()?;
    /// let error = store.graph("10001", "movidde").unwrap_err();
    /// assert_eq!(error.to_string(), "graph : movidde not exist");
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn graph(&self, project_id: &str, name: &str) -> Result<Graph> {
        self.engine().check_open()?;
        match self.engine().graphs.read().named(project_id, name) {
            Some(core) => Ok(Graph::new(&self.handle, core)),
            // If the name is valid, the error message is exactly that of the GES job-list API.
            None => Err(Error::UnknownGraph {
                graph: excerpt_over(NAME_BYTES_MAX, name),
            }),
        }
    }

    /// Returns the graph with this name in this project, and creates it if it does not exist. An
    /// engine typically calls this at startup.
    ///
    /// # Errors
    /// Those of [`JobStore::create_graph`], except [`Error::GraphExists`].
    ///
    /// # Examples
    /// ```
    /// # let store = jobstore::JobStore::in_memory()?;
    /// let movie = store.get_or_create_graph("10001", "movie")?; // new, or the existing graph
    /// assert_eq!(store.get_or_create_graph("10001", "movie")?.number(), movie.number());
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn get_or_create_graph(&self, project_id: &str, name: &str) -> Result<Graph> {
        loop {
            match self.graph(project_id, name) {
                Err(Error::UnknownGraph { .. }) => {}
                found => return found,
            }
            match self.create_graph(project_id, name) {
                // Another thread created it first.
                Err(Error::GraphExists { .. }) => {}
                made => return made,
            }
        }
    }

    /// Returns all graphs of all projects, in the order of their creation.
    ///
    /// # Errors
    /// [`Error::Closed`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{JobStore, State};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// for graph in store.graphs()? {
    ///     println!("{}/{}: {} pending", graph.project_id(), graph.name(), graph.count(State::Pending)?);
    /// }
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn graphs(&self) -> Result<Vec<Graph>> {
        self.engine().check_open()?;
        let all = self.engine().all_graphs();
        Ok(all
            .iter()
            .map(|core| Graph::new(&self.handle, core))
            .collect())
    }

    /// Drops a graph and all its jobs, whatever their state. Calls on handles to it return
    /// [`Error::GraphDropped`]. Pages that were listed before the drop can still be written as
    /// JSON.
    ///
    /// Once no handle or page of the graph is left, its disk space is reclaimed as packs are merged
    /// and rewritten. After that, the store no longer contains any data of its jobs.
    ///
    /// # Errors
    /// [`Error::UnknownGraph`], and those of every write.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Error, JobStore, State};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// store.drop_graph("10001", "movie")?;
    /// assert!(matches!(movie.count(State::Pending), Err(Error::GraphDropped { .. })));
    /// assert!(matches!(store.graph("10001", "movie"), Err(Error::UnknownGraph { .. })));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn drop_graph(&self, project_id: &str, name: &str) -> Result<()> {
        let write = self.drop_write(project_id, name)?;
        write.commit(self.engine())
    }

    pub(crate) fn drop_write(&self, project_id: &str, name: &str) -> Result<PreparedWrite<()>> {
        let core = self.graph(project_id, name)?.core;
        self.engine().check_writable()?;
        let graph = core.clone();
        Ok(PreparedWrite::small(
            Action::DropGraph { graph },
            move |result| graph_dropped(&core, result),
        ))
    }

    pub(crate) fn create_write(
        &self,
        project_id: &str,
        name: &str,
    ) -> Result<PreparedWrite<Graph>> {
        check_name("project id", project_id)?;
        check_name("graph name", name)?;
        self.engine().check_writable()?;
        let disk = &*self.engine().disk;
        let key: [u8; 16] = random::random(disk)?;
        let (low, high) = (
            u128::from_le_bytes(key) as u64,
            u128::from_le_bytes(key) >> 64,
        );
        let action = Action::CreateGraph {
            project: project_id.to_owned(),
            name: name.to_owned(),
            id_number: random::random_id_number(disk)?,
            key: [low, high as u64],
        };
        let handle = self.handle.clone();
        Ok(PreparedWrite::small(action, move |result| {
            graph_created(&handle, result)
        }))
    }
}

fn graph_created(handle: &Arc<StoreHandle>, result: Result<WriteResult>) -> Result<Graph> {
    match result? {
        WriteResult::Graph(core) => Ok(Graph::new(handle, &core)),
        _ => Err(unexpected()),
    }
}

fn graph_dropped(graph: &GraphCore, result: Result<WriteResult>) -> Result<()> {
    match result {
        Err(Error::GraphDropped { graph }) => Err(Error::UnknownGraph { graph }),
        Err(other) => Err(other),
        Ok(_) => {
            let (project, graph) = (&*graph.project, &*graph.name);
            tracing::info!(project, graph, "graph dropped");
            Ok(())
        }
    }
}

fn check_name(what: &'static str, given: &str) -> Result<()> {
    let usable = (1..=NAME_BYTES_MAX).contains(&given.len())
        && !given.chars().any(|c| c.is_control() || c == '/');
    if usable {
        return Ok(());
    }
    Err(Error::InvalidName {
        what,
        given: excerpt(given),
        max_bytes: NAME_BYTES_MAX,
    })
}
