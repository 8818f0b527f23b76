//! A component that uses the directory of an open store. A store has at most one.

use std::sync::Arc;

use crate::base::sync::Mutex;

/// A component that uses the directory while the store is open. It must stop doing so before the
/// directory is unlocked.
pub(crate) trait AttachedService: Send + Sync {
    /// Whether the component has begun to stop. If so, another one may be installed.
    fn is_over(&self) -> bool;
    /// Removes the component's files from the directory. Does not wait for work outside the
    /// directory.
    fn end(&self);
}

/// The component that uses the store's directory, if there is one.
#[derive(Default)]
pub(crate) struct ServiceSlot(pub(crate) Mutex<Option<Arc<dyn AttachedService>>>);

impl ServiceSlot {
    /// Ends the component. Must be called before the directory is unlocked.
    pub(crate) fn end(&self) {
        let mut slot = self.0.lock();
        if let Some(service) = slot.take().filter(|service| !service.is_over()) {
            service.end();
        }
    }
}
