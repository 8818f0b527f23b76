//! A server with limits.
//!
//! Contains [`serve()`] and [`Bounds`]: the number of connections, their timeouts, and the
//! shutdown. No client can keep a connection forever if it stops sending or reading. A shutdown
//! always finishes.

use std::fmt::Debug;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::base::clock::bounded;
use crate::http::connection;
use crate::http::connection_slots::ConnectionSlots;

/// The limits that [`serve()`] sets for its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Bounds {
    connections: usize,
    head: Duration,
    stall: Duration,
    grace: Duration,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            connections: 1024,
            head: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            grace: Duration::from_secs(10),
        }
    }
}

impl Bounds {
    /// Returns the default limits: 1024 connections, 30 s for a request's head, 30 s for a stalled
    /// client, and 10 s for the shutdown.
    pub fn new() -> Bounds {
        Bounds::default()
    }

    /// Sets the maximum number of concurrent connections, at least 1. If this many connections are
    /// open and another client connects, the connection that has been idle longest is closed to
    /// make room. If all connections have a request in progress, the new client waits.
    pub fn connections(mut self, connections: usize) -> Bounds {
        self.connections = connections.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// Sets the maximum time that a client may take to send a request's head, measured from the end
    /// of the previous response.
    pub fn head(mut self, time: Duration) -> Bounds {
        self.head = bounded(time);
        self
    }

    /// Sets the maximum time for which a client may stop reading a response.
    pub fn stall(mut self, time: Duration) -> Bounds {
        self.stall = bounded(time);
        self
    }

    /// Sets the maximum time that responses in progress may take once the shutdown has begun.
    pub fn grace(mut self, time: Duration) -> Bounds {
        self.grace = bounded(time);
        self
    }
}

/// Serves HTTP/1.1 until `shutdown` completes. After that, no more connections are accepted,
/// responses in progress have the time set by [`Bounds::grace`] to finish, and the remaining
/// connections are aborted.
///
/// Clients that stall are disconnected, which `axum::serve` does not do.
///
/// # Examples
/// ```no_run
/// use jobstore::http::{Bounds, Routes, no_such_resource, serve};
/// # async fn run(store: jobstore::JobStore) -> std::io::Result<()> {
/// let app = Routes::new(&store).all().fallback(no_such_resource);
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
/// serve(listener, app, Bounds::new(), std::future::pending()).await;
/// # Ok(()) }
/// ```
pub async fn serve<L>(listener: L, app: Router, bounds: Bounds, shutdown: impl Future<Output = ()>)
where
    L: Listener,
    L::Addr: Debug,
{
    serve_each(listener, |_| app.clone(), bounds, shutdown).await;
}

/// Like [`serve()`], but with a separate router for each client.
pub(crate) async fn serve_each<L>(
    mut listener: L,
    app: impl Fn(&L::Addr) -> Router,
    bounds: Bounds,
    shutdown: impl Future<Output = ()>,
) where
    L: Listener,
    L::Addr: Debug,
{
    let slots = ConnectionSlots::new(bounds.connections);
    let (end, ending) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = async {
            let (io, from) = listener.accept().await;
            (io, from, slots.take().await)
        };
        let (io, from, slot) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut shutdown => break,
        };
        tracing::trace!(?from, "accepted a connection");
        let (app, ending) = (app(&from), ending.clone());
        connections.spawn(async move {
            let times = (bounds.head, bounds.stall);
            if let Err(error) = connection::serve(io, app, times, slot, ending).await {
                tracing::debug!(%error, "a connection failed");
            }
        });
        while connections.try_join_next().is_some() {}
    }
    drop((listener, ending));
    end.send_replace(());
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(bounds.grace, all).await.is_err() {
        tracing::warn!(
            left = connections.len(),
            "disconnected clients that did not finish before the shutdown deadline"
        );
        connections.shutdown().await;
    }
}
