//! Files of the log that were replaced.

use std::sync::{Arc, Weak};

use crate::base::sync::time::Instant;
use crate::log::revocable::Revocable;

/// A replaced file of the log that pages may still read. It is closed once the last of them is
/// dropped.
pub(crate) struct Retired {
    pub(crate) file: Weak<Revocable>,
    pub(crate) since: Instant,
}

impl Retired {
    /// A file that was replaced just now.
    pub(crate) fn now(file: &Arc<Revocable>) -> Retired {
        Retired {
            file: Arc::downgrade(file),
            since: Instant::now(),
        }
    }
}
