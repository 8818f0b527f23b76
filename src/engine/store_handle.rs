//! The end of a store with its last handle.

use std::sync::Arc;

use crate::engine::core::Engine;

/// What all handles of a store share; the last one closes it.
pub(crate) struct StoreHandle {
    pub(crate) engine: Arc<Engine>,
}

impl Drop for StoreHandle {
    fn drop(&mut self) {
        if self.engine.check_process().is_err() {
            // In a fork nothing of it may be ended: it is all the parent's.
            std::mem::forget(self.engine.clone());
            return;
        }
        if let Err(error) = self.engine.close() {
            tracing::error!(%error, "the store did not close cleanly");
        }
    }
}
