//! Counts how many times a store of this process has rebuilt its index.
//!
//! Contains a listener for the store's log. It counts exactly the rebuilds that were logged.

use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

static REBUILDS: AtomicU64 = AtomicU64::new(0);

/// Starts counting. Must be called only once per process.
pub fn count() {
    // If there is another subscriber already, nothing is counted.
    tracing::subscriber::set_global_default(Listener).ok();
}

/// The number of rebuilds.
#[must_use]
pub fn counted() -> u64 {
    REBUILDS.load(Ordering::Relaxed)
}

struct Listener;

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("jobstore") && *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        if text.0.contains("made anew") {
            REBUILDS.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            write!(self.0, "{value:?}").ok();
        }
    }
}
