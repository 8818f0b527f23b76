//! The state that a run and the store share.

use crate::base::sync::Mutex;
use crate::base::sync::atomic::{AtomicBool, Ordering};
use crate::model::job::Progress;

/// The state of a running job that a run and the store share.
#[derive(Default)]
pub(crate) struct RunCell {
    pub(crate) cancel: AtomicBool,
    is_over: AtomicBool,
    pub(crate) progress: Mutex<Option<Progress>>,
}

impl RunCell {
    /// Whether the run no longer owns its job: the job was completed or requeued by any caller,
    /// or its graph was dropped.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }
}
