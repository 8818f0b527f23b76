//! What others run in the folder of an open store.
//!
//! Owns: the one guest that a store can have, and its end.

use std::sync::Arc;

use crate::base::sync::Mutex;

/// Something that is in the folder while the store is open, and must be out of it before
/// the folder is let go of.
pub(crate) trait AttachedService: Send + Sync {
    /// Whether its end has begun: another may come.
    fn is_over(&self) -> bool;
    /// Takes out of the folder what it has there. What it does elsewhere is not waited for.
    fn end(&self);
}

/// The store's guest, where there is one.
#[derive(Default)]
pub(crate) struct ServiceSlot(pub(crate) Mutex<Option<Arc<dyn AttachedService>>>);

impl ServiceSlot {
    /// To be called before the folder is let go of.
    pub(crate) fn end(&self) {
        let mut slot = self.0.lock();
        if let Some(service) = slot.take().filter(|service| !service.is_over()) {
            service.end();
        }
    }
}
