//! Applies what another store has written to its replica, and publishes it like a commit.
//!
//! The frames become visible before they are durable in the directory, because they are durable in
//! the replica. They are synced before the index refers to them, and with each segment.

use std::path::Path;
use std::sync::Arc;

use super::FailOnUnwind;
use super::publish::Published;
use crate::engine::core::Engine;
use crate::engine::replay::apply::{Target, apply};
use crate::engine::state::change::StateChange;
use crate::engine::state::commit_changes::CommitChanges;
use crate::engine::state::committer::Committer;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::waiters::Waiter;
use crate::index::sorted_runs::Pair;
use crate::log::clock_gaps::Gap;
use crate::log::frame::{Frame, HEADER_BYTES};
use crate::log::writer::copying::{Piece, PlacedFrame};
use crate::model::error::{Error, Result};
use crate::model::token::OpenEvent;

/// The result of applying a piece of another store's log.
pub(crate) enum Followed {
    /// It is applied. The time of its last commit is returned, and the waiters to be woken.
    Applied(Option<u64>, Vec<Arc<Waiter>>),
    /// It does not continue the log that this store has.
    OutOfPlace,
}

impl Committer {
    /// Applies a piece whose first event has this LSN. After an error, nothing has changed, and the
    /// piece can be applied again.
    pub(crate) fn follow(
        &mut self,
        engine: &Engine,
        piece: &Piece<'_>,
        first_lsn: u64,
    ) -> Result<Followed> {
        // A close ends the log while the committer is locked, after it has refused new calls.
        engine.check_open()?;
        engine.check_sound()?;
        if !self.log.continues_with(piece, first_lsn) {
            return Ok(Followed::OutOfPlace);
        }
        let path = engine.disk.path("");
        if self.log.begins_with(piece) {
            self.sync(engine)?;
        }
        let (frames, sealed) = self.log.copy(piece)?;
        // If anything below fails, what is visible differs from the log.
        let unwinding = FailOnUnwind(engine);
        if sealed.is_some() {
            self.add_active_segment(engine);
        }
        for frame in &frames {
            let applied = self.follow_frame(engine, frame, &path);
            applied.inspect_err(|error| drop(engine.fail(error)))?;
        }
        drop(unwinding);
        if sealed.is_some() {
            engine.wake_packer();
        }
        let last_ms = frames.last().map(|(_, frame)| frame.clock.wall_ms);
        Ok(Followed::Applied(
            last_ms,
            std::mem::take(&mut self.waiters),
        ))
    }

    fn follow_frame(
        &mut self,
        engine: &Engine,
        (at, frame): &PlacedFrame<'_>,
        path: &Path,
    ) -> Result<()> {
        let mut copied = Copied {
            engine,
            changes: CommitChanges::default(),
            opened: None,
            confirmed: None,
        };
        frame.events(|lsn, event, end| {
            let end = (HEADER_BYTES + end) as u64;
            apply(&event, (lsn, end), path, &mut copied)
        })?;
        engine.clock.lock().follow(frame.clock, copied.confirmed);
        if let Some(open_event) = copied.opened {
            engine.set_open_event(open_event);
        }
        note(engine, frame);
        let segment = self.log.active().clone();
        let last_lsn = frame.first_lsn + frame.count - 1;
        let published = Published {
            segment: &segment,
            at: *at,
            last_lsn,
            durable_lsn: last_lsn,
            now_ms: frame.clock.wall_ms,
        };
        self.publish(engine, &mut copied.changes, &published);
        Ok(())
    }
}

fn note(engine: &Engine, frame: &Frame<'_>) {
    engine.metrics.frames.add(1);
    engine.metrics.frame_bytes.add(frame.len() as u64);
    engine.metrics.events.add(frame.count);
}

/// The changes of a frame that another store wrote.
struct Copied<'e> {
    engine: &'e Engine,
    changes: CommitChanges,
    opened: Option<OpenEvent>,
    confirmed: Option<Gap>,
}

impl Target for Copied<'_> {
    fn graph(&self, number: u32) -> Result<Option<Arc<GraphCore>>> {
        let created = &self.changes.created;
        if let Some(graph) = created.iter().find(|graph| graph.number == number) {
            return Ok(Some(graph.clone()));
        }
        let graphs = self.engine.graphs.read();
        if number >= graphs.created {
            let what = format!("it refers to graph {number}, which was never created");
            return Err(Error::damaged(self.engine.disk.path(""), 0, what));
        }
        Ok(graphs.by_number.get(&number).cloned())
    }

    fn project(&self, name: &str) -> Arc<str> {
        self.engine.graphs.read().project(name)
    }

    fn created(&mut self, graph: GraphCore) {
        self.changes.created.push(Arc::new(graph));
    }

    fn dropped(&mut self, number: u32) {
        self.changes.dropped.extend(self.engine.graph(number));
    }

    fn opened(&mut self, open_event: OpenEvent) {
        self.opened = Some(open_event);
    }

    fn confirmed(&mut self, gap: Gap) {
        self.confirmed = Some(gap);
    }

    fn changed(&mut self, graph: &Arc<GraphCore>, change: StateChange) {
        self.changes.jobs.push((graph.clone(), change));
    }

    fn named(&mut self, graph: &Arc<GraphCore>, number: u8, name: &str) {
        let command = (graph.clone(), number, name.into());
        self.changes.commands.push(command);
    }

    fn added_id(&mut self, id: Pair) {
        self.changes.external_ids.push(id);
    }
}
