//! The audit log: the changes that clients and operators make.
//!
//! Contains the log line and [`Actor`]. Each action that changed something is logged as one line at
//! the level INFO. The line contains ids, but never a request body, a message, or a token.

use std::fmt;

use tokio::net::unix::UCred;

/// Who made a change, if known.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Actor {
    /// A client of the routes. The span of the log line contains the request's id.
    HttpClient,
    /// A process that is connected to the control socket.
    Process { uid: u32, pid: Option<i32> },
}

impl Actor {
    pub(crate) fn process(peer: &UCred) -> Actor {
        let (uid, pid) = (peer.uid(), peer.pid());
        Actor::Process { uid, pid }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Actor::HttpClient => f.write_str("an HTTP client"),
            Actor::Process { uid, pid: None } => write!(f, "uid {uid}"),
            Actor::Process {
                uid,
                pid: Some(pid),
            } => write!(f, "uid {uid} pid {pid}"),
        }
    }
}

/// A change that was made to a graph.
pub(crate) struct AuditEntry<'a> {
    pub(crate) action: &'static str,
    /// The project and the graph.
    pub(crate) graph: (&'a str, &'a str),
    /// The job, if the change was made to a job.
    pub(crate) job: Option<&'a str>,
    pub(crate) by: Actor,
}

impl AuditEntry<'_> {
    /// Logs the change and its result.
    pub(crate) fn log(&self, done: impl fmt::Display) {
        let (project, graph) = self.graph;
        tracing::info!(
            action = self.action,
            project,
            graph,
            job = self.job,
            by = %self.by,
            done = %done,
            "job or graph changed by a client"
        );
    }
}
