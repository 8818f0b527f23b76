//! The changes of a graph as JSON lines.
//!
//! Contains [`Feed`]. A line is the change with its position, or a heartbeat.

use std::collections::HashMap;

use crate::api::changes::{Change, Changes};
use crate::api::graph::Graph;
use crate::api::page::CHUNK_BYTES;
use crate::model::error::Result;

/// The changes of a graph as lines.
pub(crate) struct Feed {
    graph: Graph,
    pub(super) changes: Changes,
    /// Whether only the last of several changes of a job is passed on.
    coalesces: bool,
}

impl Feed {
    pub(crate) fn new(graph: Graph, changes: Changes, coalesces: bool) -> Feed {
        Feed {
            graph,
            changes,
            coalesces,
        }
    }

    /// Appends changes that have already happened, about [`CHUNK_BYTES`]. Appends nothing if there
    /// are none yet.
    pub(crate) fn read(&mut self, out: &mut Vec<u8>) -> Result<()> {
        match self.coalesces {
            true => self.read_coalesced(out),
            false => self.read_all(out),
        }
    }

    fn read_all(&mut self, out: &mut Vec<u8>) -> Result<()> {
        while out.len() < CHUNK_BYTES {
            let Some(change) = self.changes.next().transpose()? else {
                break;
            };
            out.extend_from_slice(self.line(&change).as_bytes());
        }
        Ok(())
    }

    fn read_coalesced(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let (mut lines, mut last_of_job, mut bytes) = (Vec::new(), HashMap::new(), 0);
        while bytes < CHUNK_BYTES {
            let Some(change) = self.changes.next().transpose()? else {
                break;
            };
            let line = self.line(&change);
            bytes += line.len();
            if let Some(job) = change.sequence {
                if let Some(before) = last_of_job.insert(job, lines.len()) {
                    let replaced: String = std::mem::take(&mut lines[before]);
                    bytes -= replaced.len();
                }
            }
            lines.push(line);
        }
        lines
            .iter()
            .for_each(|line| out.extend_from_slice(line.as_bytes()));
        Ok(())
    }

    fn line(&self, change: &Change) -> String {
        let mut line = self.graph.change_to_json(change);
        line.push('\n');
        line
    }

    /// A line that shows the position, although nothing has happened.
    pub(super) fn heartbeat(&self) -> Vec<u8> {
        let position = self.changes.position();
        format!("{{\"kind\":\"heartbeat\",\"position\":\"{position}\"}}\n").into_bytes()
    }
}
