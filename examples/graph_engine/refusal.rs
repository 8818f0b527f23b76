//! Why the engine cannot execute a request. There is one case per reason, each with its code.
//! `commands.rs` converts a refusal to an outcome. Codes are stable for clients: new ones may be
//! added, but none changes its meaning.

use std::io;

use thiserror::Error;

use crate::graph::LoadError;

/// Why a request cannot be executed. Its text becomes the message of a failed outcome.
#[derive(Debug, Error)]
pub enum Refusal {
    #[error("unknown command {0}")]
    UnknownCommand(String),
    #[error("invalid body: {0}")]
    Body(#[from] serde_json::Error),
    #[error("invalid value {given} for {name}; allowed: {allowed}")]
    Parameter {
        name: &'static str,
        given: String,
        allowed: &'static str,
    },
    #[error("no graph is loaded; import one first")]
    NoGraph,
    #[error("vertex {0} does not exist")]
    VertexNotFound(String),
    #[error("no path leads from {from} to {to}")]
    NoPath { from: String, to: String },
    #[error("{0}")]
    Load(#[from] LoadError),
    #[error("{path}: {source}")]
    File { path: String, source: io::Error },
    #[error("cannot record the result: {0}")]
    Result(#[from] jobstore::Error),
}

impl Refusal {
    /// Returns the code, which is for programs. The text is for people.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::UnknownCommand(_) => "engine.unknown_command",
            Refusal::Body(_) | Refusal::Parameter { .. } => "engine.bad_request",
            Refusal::NoGraph => "engine.no_graph",
            Refusal::VertexNotFound(_) => "engine.vertex_not_found",
            Refusal::NoPath { .. } => "engine.no_path",
            Refusal::Load(_) => "engine.bad_data",
            Refusal::File { .. } => "engine.file",
            Refusal::Result(_) => "engine.result",
        }
    }
}
