//! Closes a store when its last handle is dropped.

use std::sync::Arc;

use crate::engine::core::Engine;

/// The part that all handles of a store share; dropping the last handle closes the store.
pub(crate) struct StoreHandle {
    pub(crate) engine: Arc<Engine>,
}

impl Drop for StoreHandle {
    fn drop(&mut self) {
        if self.engine.check_process().is_err() {
            // In a forked child, nothing may be released, because all of it belongs to the parent.
            std::mem::forget(self.engine.clone());
            return;
        }
        if let Err(error) = self.engine.close() {
            tracing::error!(%error, "the store did not close cleanly");
        }
    }
}
