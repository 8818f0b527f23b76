// The health of a store.

use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::base::clock;

/// The health of a store: returned by [`JobStore::health`](crate::JobStore::health). If there are
/// several problems, only one is reported.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// The store is fully functional.
    Ok,
    /// The store works, but something needs attention, such as a failing background task, a full
    /// disk, or files that other users can read. `why` states the problem and what to do.
    #[non_exhaustive]
    Degraded {
        /// The problem.
        why: Arc<str>,
    },
    /// The store accepts no writes. Reads still work.
    ///
    /// If a write or sync has failed, or the directory or a file in it was deleted, moved, or
    /// replaced, fix the cause, and reopen the store. If another open has taken over the replica,
    /// close the store, and do not reopen it: that would depose the store that took over. In the
    /// latter case, writes return [`Error::Deposed`](crate::Error::Deposed).
    #[non_exhaustive]
    ReadOnly {
        /// The cause.
        why: Arc<str>,
        /// The time at which writes stopped, by the store's clock
        /// ([`Options::clock`](crate::Options::clock)).
        since: SystemTime,
    },
    /// The store was closed.
    Closed,
}

impl Health {
    /// Returns the state as one word: `ok`, `degraded`, `read_only`, or `closed`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Health::Ok => "ok",
            Health::Degraded { .. } => "degraded",
            Health::ReadOnly { .. } => "read_only",
            Health::Closed => "closed",
        }
    }

    /// `{"state":"degraded","why":".."}`; for a read-only store, also the time at which it became
    /// read-only, in milliseconds since 1970.
    /// Returns the state as JSON: `{"state":"read_only","why":"..","since":1700000000000}`. Members
    /// that do not apply are omitted.
    ///
    /// # Examples
    /// ```
    /// let store = jobstore::JobStore::in_memory()?;
    /// assert_eq!(store.health().to_json(), r#"{"state":"ok"}"#);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        self.json().to_string()
    }

    pub(crate) fn json(&self) -> Value {
        let mut health = json!({ "state": self.as_str() });
        if let Health::Degraded { why } | Health::ReadOnly { why, .. } = self {
            health["why"] = why.as_ref().into();
        }
        if let Health::ReadOnly { since, .. } = self {
            health["since"] = clock::to_ms(*since).into();
        }
        health
    }
}
