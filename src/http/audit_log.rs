//! What clients and operators change, in the log: who ended a job at 3 a.m.?
//!
//! Owns: that line, and [`Actor`]. Must not know: what an act does.
//! Promise: one line at the level INFO for each act that changed something, with ids and
//! never a body, a message or a token.

use std::fmt;

use tokio::net::unix::UCred;

/// Who acted, as far as is known.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Actor {
    /// A client of the routes; the span around the line has the request's id.
    HttpClient,
    /// A process at the control socket.
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

/// Something that was done to a graph.
pub(crate) struct AuditEntry<'a> {
    pub(crate) action: &'static str,
    /// Project and graph.
    pub(crate) graph: (&'a str, &'a str),
    /// The job, if it was done to one.
    pub(crate) job: Option<&'a str>,
    pub(crate) by: Actor,
}

impl AuditEntry<'_> {
    /// Logs it, with what came of it.
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
