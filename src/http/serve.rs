//! A server with bounds.
//!
//! Owns: [`serve()`], [`Bounds`]: connections, their number and their end. Must not know:
//! what is served.
//! Promise: no client holds a connection for ever without a word, whether it sends or
//! reads; a shutdown comes to its end.

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

/// What [`serve()`] lets clients do.
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
    /// 1024 connections, 30 s for a request's head, 30 s for a stalled client, 10 s at the
    /// end.
    pub fn new() -> Bounds {
        Bounds::default()
    }

    /// How many connections there are at once, at least 1. When another client comes, the
    /// connection that has waited longest for a request is closed for it; if all of them have
    /// one in progress, the client waits.
    pub fn connections(mut self, connections: usize) -> Bounds {
        self.connections = connections.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// How long a client may take to send a request's head, from the end of the answer
    /// before.
    pub fn head(mut self, time: Duration) -> Bounds {
        self.head = bounded(time);
        self
    }

    /// How long a client may take nothing of an answer.
    pub fn stall(mut self, time: Duration) -> Bounds {
        self.stall = bounded(time);
        self
    }

    /// How long answers that are on their way may take once the shutdown has begun.
    pub fn grace(mut self, time: Duration) -> Bounds {
        self.grace = bounded(time);
        self
    }
}

/// Serves HTTP/1.1 until `shutdown` is over: then no connection is taken any more, answers
/// on their way are given [`Bounds::grace`], and what is left is cut off.
///
/// A client that stalls loses its connection, which `axum::serve` does not see to.
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

/// The same with a router for each client.
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
