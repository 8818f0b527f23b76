//! Whether a store can do all it should.
//!
//! Owns: [`Health`]. Must not know: what is wrong, beyond its words.
//! Promise: a store that only seems well does not say so.

use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::base::clock;

/// Whether a store can do all it should: from [`JobStore::health`](crate::JobStore::health),
/// which has an example. Where several things are wrong, it tells of one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// It can.
    Ok,
    /// It serves what it can, but something behind that does not work, there is no room on
    /// the disk, or others than its owner can read its files: the words say what, and what
    /// helps.
    #[non_exhaustive]
    Degraded {
        /// What does not work.
        why: Arc<str>,
    },
    /// It serves reads only: a write or sync has failed, or the directory or a file in it
    /// was deleted, moved or replaced. Reopen it.
    #[non_exhaustive]
    ReadOnly {
        /// What failed.
        why: Arc<str>,
        /// When, by the clock of [`Options::clock`](crate::Options::clock).
        since: SystemTime,
    },
    /// It was closed.
    Closed,
}

impl Health {
    /// The state as one word: `ok`, `degraded`, `read_only` or `closed`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Health::Ok => "ok",
            Health::Degraded { .. } => "degraded",
            Health::ReadOnly { .. } => "read_only",
            Health::Closed => "closed",
        }
    }

    /// `{"state":"degraded","why":".."}`, and where it only reads, since when, in
    /// milliseconds since 1970.
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
