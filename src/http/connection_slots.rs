//! The connection slots of a server.
//!
//! Contains [`ConnectionSlots`], which counts the connections, tracks which one has waited longest
//! for a request, and selects the one to close to make room for a new client.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};

/// How often another connection is asked to close while a new client waits.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// All slots of a server.
pub(super) struct ConnectionSlots {
    free: Arc<Semaphore>,
    taken: Arc<Mutex<TakenSlots>>,
}

#[derive(Default)]
struct TakenSlots {
    next: u64,
    by_number: HashMap<u64, Arc<SlotState>>,
}

struct SlotState {
    /// The time since which the connection has been idle; `None` while a request is in progress,
    /// and after the connection has been asked to close.
    idle_since: Mutex<Option<Instant>>,
    leave: Notify,
}

/// A connection's slot, released when dropped.
pub(super) struct ConnectionSlot {
    number: u64,
    state: Arc<SlotState>,
    taken: Arc<Mutex<TakenSlots>>,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionSlots {
    pub(super) fn new(count: usize) -> ConnectionSlots {
        ConnectionSlots {
            free: Arc::new(Semaphore::new(count)),
            taken: Arc::default(),
        }
    }

    /// Returns a slot for a new connection. If none is free, connections without a request in
    /// progress are closed, starting with the one that has waited longest. Thus, idle connections
    /// do not keep new clients out.
    pub(super) async fn take(&self) -> ConnectionSlot {
        let permit = loop {
            if let Ok(permit) = self.free.clone().try_acquire_owned() {
                break permit;
            }
            self.ask_one_to_leave();
            tokio::select! {
                permit = self.free.clone().acquire_owned() => match permit {
                    Ok(permit) => break permit,
                    // The semaphore is never closed.
                    Err(_) => std::future::pending().await,
                },
                () = sleep(ASK_AGAIN) => {}
            }
        };
        let state = Arc::new(SlotState {
            idle_since: Mutex::new(Some(Instant::now())),
            leave: Notify::new(),
        });
        let mut taken = self.taken.lock();
        let number = taken.next;
        taken.next += 1;
        taken.by_number.insert(number, state.clone());
        ConnectionSlot {
            number,
            state,
            taken: self.taken.clone(),
            _permit: permit,
        }
    }

    fn ask_one_to_leave(&self) {
        let taken = self.taken.lock();
        let idle = taken.by_number.values().filter_map(|state| {
            let since = *state.idle_since.lock();
            since.map(|since| (since, state))
        });
        if let Some((_, state)) = idle.min_by_key(|&(since, _)| since) {
            *state.idle_since.lock() = None;
            state.leave.notify_one();
            tracing::debug!("closed an idle connection to make room for a new client");
        }
    }
}

impl ConnectionSlot {
    /// Completes when the connection should close.
    pub(super) async fn asked_to_leave(&self) {
        self.state.leave.notified().await;
    }

    /// Marks a request as in progress until the guard is dropped, at the end of the response.
    pub(super) fn busy(&self) -> BusyGuard {
        *self.state.idle_since.lock() = None;
        BusyGuard(self.state.clone())
    }

    /// Whether a request is in progress.
    pub(super) fn is_busy(&self) -> bool {
        Arc::strong_count(&self.state) > 2
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.taken.lock().by_number.remove(&self.number);
    }
}

/// A request in progress.
pub(super) struct BusyGuard(Arc<SlotState>);

impl Drop for BusyGuard {
    fn drop(&mut self) {
        *self.0.idle_since.lock() = Some(Instant::now());
    }
}

/// A response body. Its connection is busy until the body is dropped.
pub(super) struct BusyBody<B> {
    pub(super) body: B,
    pub(super) _busy: BusyGuard,
}

impl<B: Body + Unpin> Body for BusyBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
