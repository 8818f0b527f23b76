// The change feed of a graph.

use std::mem::MaybeUninit;
use std::sync::{Mutex, MutexGuard, TryLockError};

use jobstore::{Changes, Graph, Position};

use crate::bytes::jobstore_bytes;
use crate::call::{call, free, given, handle, put, timeout};
use crate::error::{Failure, jobstore_error};
use crate::graph::jobstore_graph;
use crate::text::jobstore_text;

/// The change feed of a graph. Only one thread at a time may use it; a second one gets
/// `JOBSTORE_ERROR_HANDLE_IN_USE`.
pub struct jobstore_changes {
    graph: Graph,
    changes: Mutex<Changes>,
}

impl jobstore_changes {
    fn lock(&self) -> Result<MutexGuard<'_, Changes>, Failure> {
        match self.changes.try_lock() {
            Ok(changes) => Ok(changes),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err(Failure::HandleInUse {
                handle: "change feed",
            }),
        }
    }
}

/// Opens the change feed of a graph after a position, or from the beginning if the text is empty.
/// A position is valid as long as the graph exists, even after a restart.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_open_changes(
    graph: Option<&jobstore_graph>,
    position: jobstore_text,
    changes: Option<&mut MaybeUninit<*mut jobstore_changes>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let graph = &given(graph, "graph")?.0;
        let from: Option<Position> = match position.read("position")? {
            "" => None,
            text => Some(text.parse()?),
        };
        put(changes, "changes", || {
            let changes = Mutex::new(graph.changes(from.as_ref())?);
            let graph = graph.clone();
            Ok(handle(jobstore_changes { graph, changes }))
        })
    })
}

/// Returns the current end of a graph's feed, from which only new changes follow.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_position(
    graph: Option<&jobstore_graph>,
    position: Option<&mut MaybeUninit<jobstore_bytes>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let graph = &given(graph, "graph")?.0;
        put(position, "position", || {
            jobstore_bytes::new(graph.position()?.to_string())
        })
    })
}

/// Returns the next change as JSON:
/// `{"kind":"completed","sequence":7,"jobId":"..","at":..,"outcome":{..},"position":".."}`. The
/// kinds are `submitted`, `started`, `cancel_requested`, `completed`, `requeued`, `purged`, and
/// `gone` (changes are missing: list the jobs). If there is no change, waits for one for at most
/// `timeout_ms`; 0 does not wait, and a negative timeout waits without limit. If the timeout passes
/// first, the pointer is NULL, and the call succeeds. After an error, the next call returns the same
/// change.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_changes_next(
    changes: Option<&jobstore_changes>,
    timeout_ms: i64,
    json: Option<&mut MaybeUninit<jobstore_bytes>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let handle = given(changes, "changes")?;
        let mut changes = handle.lock()?;
        put(json, "json", || {
            let change = match timeout_ms {
                0 => changes.next().transpose()?,
                ms => changes.next_timeout(timeout(ms))?,
            };
            change.map_or(Ok(jobstore_bytes::NONE), |change| {
                jobstore_bytes::new(handle.graph.change_to_json(&change))
            })
        })
    })
}

/// Frees a feed.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_changes_free(changes: Option<Box<jobstore_changes>>) {
    free(changes);
}
