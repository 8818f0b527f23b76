//! The thread that purges graphs that have an archive.
//!
//! Owns: when it looks at them, and the end of their archives. Must not know: what is due.

use crate::base::sync::channel::{Receiver, RecvTimeoutError};
use crate::engine::archiving::{RETRY, finish};
use crate::engine::core::Engine;
use crate::engine::retention;

/// The archiver's thread: purges the graphs that have an archive, whenever it is called,
/// until the store closes.
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

/// Gives all files their final names.
fn finish_all(engine: &Engine) {
    for graph in engine.with_archive() {
        finish(&graph);
    }
}
