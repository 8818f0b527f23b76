//! The thread that purges graphs that have an archive, and finishes their archives when the store
//! closes.

use crate::base::sync::channel::{Receiver, RecvTimeoutError};
use crate::engine::background::archiving::{RETRY, finish};
use crate::engine::background::retention;
use crate::engine::core::Engine;

/// Runs the archiver thread: purges the graphs that have an archive whenever it is woken, until
/// the store closes.
pub(crate) fn run(engine: &Engine, calls: &Receiver<()>) {
    loop {
        while engine.check_writable().is_ok() && retention::step_archived(engine) {
            engine.wake_packer();
        }
        match calls.recv_timeout(RETRY) {
            Err(RecvTimeoutError::Disconnected) => return finish_all(engine),
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Renames all archive files to their final names.
fn finish_all(engine: &Engine) {
    for graph in engine.with_archive() {
        finish(&graph);
    }
}
