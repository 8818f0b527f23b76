//! A server with bounds.
//!
//! Owns: [`serve()`], [`Bounds`]: connections, their number and their end. Must not know:
//! what is served.
//! Promise: no client holds a connection for ever without a word, whether it sends or
//! reads; a shutdown comes to its end.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};

/// Bytes that wait for a client at most, beside those that the system holds; and bytes of
/// a request's head.
const BUFFER_BYTES: usize = 64 << 10;

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

    /// How many connections there are at once, at least 1; those beyond wait to be taken.
    pub fn connections(mut self, connections: usize) -> Bounds {
        self.connections = connections.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// How long a client may take to send a request's head, from the end of the answer
    /// before.
    pub fn head(mut self, time: Duration) -> Bounds {
        self.head = time;
        self
    }

    /// How long a client may take nothing of an answer.
    pub fn stall(mut self, time: Duration) -> Bounds {
        self.stall = time;
        self
    }

    /// How long answers that are on their way may take once the shutdown has begun.
    pub fn grace(mut self, time: Duration) -> Bounds {
        self.grace = time;
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
    let places = Arc::new(Semaphore::new(bounds.connections));
    let (end, ending) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await;
            (listener.accept().await, place)
        };
        let ((io, from), place) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut shutdown => break,
        };
        tracing::trace!(?from, "a client has come");
        let (app, ending) = (app(&from), ending.clone());
        connections.spawn(async move {
            let _place = place;
            if let Err(error) = connection(io, app, bounds, ending).await {
                tracing::debug!(%error, "a connection has failed");
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
            "connections were cut off at the end"
        );
        connections.shutdown().await;
    }
}

async fn connection<I>(
    io: I,
    app: Router,
    bounds: Bounds,
    mut ending: watch::Receiver<()>,
) -> Result<(), hyper::Error>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(Patient::new(io, bounds.stall));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(io, TowerToHyperService::new(app));
    let mut connection = pin!(connection);
    tokio::select! {
        done = connection.as_mut() => return done,
        _ = ending.changed() => {}
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}

/// A connection whose other end must take something now and then.
struct Patient<I> {
    io: I,
    stall: Duration,
    /// Since nothing could be written.
    waits: Option<Pin<Box<Sleep>>>,
}

impl<I: AsyncWrite + Unpin> Patient<I> {
    fn new(io: I, stall: Duration) -> Patient<I> {
        Patient {
            io,
            stall,
            waits: None,
        }
    }

    fn watched<T>(
        &mut self,
        context: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut I>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(done) = write(Pin::new(&mut self.io), context) {
            self.waits = None;
            return Poll::Ready(done);
        }
        let stall = self.stall;
        let waits = self.waits.get_or_insert_with(|| Box::pin(sleep(stall)));
        waits.as_mut().poll(context).map(|()| {
            tracing::warn!("a client was cut off: it stalled");
            Err(io::ErrorKind::TimedOut.into())
        })
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Patient<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Patient<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.watched(context, |io, context| io.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.watched(context, |io, context| {
            io.poll_write_vectored(context, slices)
        })
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.watched(context, |io, context| io.poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.watched(context, |io, context| io.poll_shutdown(context))
    }
}
