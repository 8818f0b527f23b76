//! The graphs of a store: created, found, listed and dropped.

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

/// Bytes a project id or graph name may have.
const NAME_BYTES_MAX: usize = 255;

impl JobStore {
    /// Makes a graph: `name` in the project with the id `project_id`, each 1 to 255
    /// bytes without control characters or `/`. It starts empty, also under the
    /// name of one that was dropped.
    ///
    /// # Durability
    /// As for every write: durable when this returns.
    ///
    /// # Errors
    /// [`Error::InvalidName`], [`Error::GraphExists`], and those of every write:
    /// [`Error::Closed`], [`Error::ReadOnly`], [`Error::DiskFull`],
    /// [`Error::CommitUnknown`].
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

    /// The graph of that name in that project. Another project's graph does not
    /// exist for the caller.
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
            // To the letter, if a graph can be called so.
            None => Err(Error::UnknownGraph {
                graph: excerpt_over(NAME_BYTES_MAX, name),
            }),
        }
    }

    /// The graph of that name, made if it is not there: what an engine calls at its
    /// start.
    ///
    /// # Errors
    /// Those of [`JobStore::create_graph`] but [`Error::GraphExists`].
    ///
    /// # Examples
    /// ```
    /// # let store = jobstore::JobStore::in_memory()?;
    /// let movie = store.get_or_create_graph("10001", "movie")?; // new, or with all its jobs
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
                // Somebody else was quicker.
                Err(Error::GraphExists { .. }) => {}
                made => return made,
            }
        }
    }

    /// All graphs of all projects, in the order they were made.
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

    /// Drops a graph and all its jobs, whatever their state. Handles of it say
    /// [`Error::GraphDropped`]; pages that were made before can still be written as JSON.
    /// Disk space comes back as packs are merged and rewritten, that of outcomes too, once no
    /// handle or page of the graph is left; then nothing of its jobs is stored any more.
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
