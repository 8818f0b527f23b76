//! What a child process observes of the library besides its results.
//!
//! Contains the panic hook, and the listener for log messages about a rebuilt index and about
//! threads that panicked. No panic goes unnoticed, wherever it happens.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

static REBUILDS: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicU64 = AtomicU64::new(0);
static PANICS: Mutex<Vec<Panic>> = Mutex::new(Vec::new());

/// A panic, whether it was caught or not.
#[derive(Clone, Debug)]
#[allow(dead_code, reason = "shown as a whole")]
pub struct Panic {
    pub thread: String,
    pub place: String,
    pub in_sled: bool,
}

/// What happened since the last call.
pub struct Seen {
    pub rebuilds: u64,
    /// The number of threads of a store that panicked.
    pub ended: u64,
    pub panics: Vec<Panic>,
}

pub fn begin() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        // A location in the standard library or in one of sled's dependencies does not identify the
        // caller.
        let ours = ["jobstore", "tests/trials", "src/"];
        let in_sled = !ours.iter().any(|part| place.starts_with(part)) && calls_sled();
        let thread = std::thread::current().name().unwrap_or("").to_owned();
        eprintln!("panic in thread {thread:?} at {place}");
        if let Ok(mut panics) = PANICS.lock() {
            panics.push(Panic {
                thread,
                place,
                in_sled,
            });
        }
    }));
    // A second call would find the subscriber of the first one.
    tracing::subscriber::set_global_default(Ear).ok();
}

fn calls_sled() -> bool {
    let trace = std::backtrace::Backtrace::force_capture().to_string();
    trace.contains("sled::")
}

pub fn take() -> Seen {
    let panics = PANICS.lock().map(|mut panics| std::mem::take(&mut *panics));
    Seen {
        rebuilds: REBUILDS.swap(0, Ordering::SeqCst),
        ended: ENDED.swap(0, Ordering::SeqCst),
        panics: panics.unwrap_or_default(),
    }
}

struct Ear;

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl Subscriber for Ear {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN && metadata.target().starts_with("jobstore")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        if message.0.contains("made anew") {
            REBUILDS.fetch_add(1, Ordering::SeqCst);
        }
        if message.0.contains("ended by a panic") {
            ENDED.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
