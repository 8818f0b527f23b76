//! Following a feed: a body that continues as long as there may be changes.
//!
//! Contains [`follow`]. A task reads the changes, but not on the server's threads, and passes on one
//! piece at a time, so a slow client costs the memory of two pieces. The task ends if the client
//! disconnects or stalls, at shutdown, and when the response has taken as long as a response may.
//! The feed can be resumed after each complete line, so its end is never an error for the client.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use http_body::{Body, Frame};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use crate::http::connection::Ending;
use crate::http::limits::{Limits, Permit};
use crate::http::operator::feed::Feed;
use crate::http::response::off_thread;
use crate::model::error::Error;

/// The times of a followed feed.
#[derive(Clone, Copy)]
pub(crate) struct FeedLimits {
    /// For how long changes are collected.
    coalesce: Duration,
    /// After how long without a change a heartbeat is sent.
    heartbeat: Duration,
    stall: Duration,
    whole: Duration,
}

impl FeedLimits {
    pub(crate) fn new(limits: &Limits, coalesce: Option<Duration>) -> FeedLimits {
        const HEARTBEAT: Duration = Duration::from_secs(15);
        FeedLimits {
            coalesce: coalesce.unwrap_or_default(),
            heartbeat: HEARTBEAT.min(limits.stall / 2),
            stall: limits.stall,
            whole: limits.whole,
        }
    }
}

/// The body of a followed feed. Must be called on a thread of the runtime.
pub(crate) fn follow(
    feed: Feed,
    permit: Permit,
    limits: FeedLimits,
    ending: Option<Ending>,
) -> FeedBody {
    let (sender, pieces) = mpsc::channel(1);
    let is_broken = Arc::new(AtomicBool::new(false));
    let follower = Follower {
        runtime: Handle::current(),
        sender,
        limits,
        span: tracing::Span::current(),
        is_broken: is_broken.clone(),
        _permit: permit,
    };
    tokio::spawn(follower.run(feed, ending));
    FeedBody { pieces, is_broken }
}

/// The task behind a body.
struct Follower {
    runtime: Handle,
    sender: mpsc::Sender<Bytes>,
    limits: FeedLimits,
    span: tracing::Span,
    /// Set before the sender is dropped if the connection must be aborted.
    is_broken: Arc<AtomicBool>,
    /// The slot of a long page.
    _permit: Permit,
}

impl Follower {
    async fn run(self, feed: Feed, ending: Option<Ending>) {
        let over = async {
            let until = Instant::now() + self.limits.whole;
            tokio::select! {
                () = self.sender.closed() => {}
                () = sleep_until(until) => {}
                () = ended(ending) => {}
            }
        };
        let sent = tokio::select! {
            () = over => Ok(()),
            sent = self.send_all(feed) => sent,
        };
        if let Err(why) = sent {
            let _in_span = self.span.enter();
            tracing::warn!(why, "aborted a feed");
            self.is_broken.store(true, Ordering::Release);
        }
    }

    /// Sends changes until the feed ends.
    async fn send_all(&self, mut feed: Feed) -> std::result::Result<(), &'static str> {
        self.send(feed.heartbeat()).await?;
        let mut sent_at = Instant::now();
        loop {
            let read = off_thread(&self.runtime, move || {
                feed.changes.listen();
                let mut piece = Vec::new();
                let read = feed.read(&mut piece);
                (feed, read.map(|()| piece))
            });
            // The panic message may contain parts of a body.
            let (read_feed, piece) = read.await.map_err(|_| "the handler panicked")?;
            feed = read_feed;
            match piece {
                Ok(piece) if piece.is_empty() => {
                    let heartbeat_at = sent_at + self.limits.heartbeat;
                    let look_again_at = match feed.changes.interval() {
                        Some(interval) => heartbeat_at.min(Instant::now() + interval),
                        None => heartbeat_at,
                    };
                    tokio::select! {
                        () = feed.changes.woken() => {}
                        () = sleep_until(look_again_at) => {}
                    }
                    if Instant::now() < heartbeat_at {
                        continue;
                    }
                    self.send(feed.heartbeat()).await?;
                    sent_at = Instant::now();
                }
                Ok(piece) => {
                    self.send(piece).await?;
                    sent_at = Instant::now();
                    tokio::time::sleep(self.limits.coalesce).await;
                }
                Err(Error::Closed | Error::GraphDropped { .. }) => return Ok(()),
                Err(error) => {
                    let _in_span = self.span.enter();
                    tracing::error!(%error, "cannot read a feed");
                    return Err("the rest of the feed could not be read");
                }
            }
        }
    }

    /// Waits until the client has taken the previous piece.
    async fn send(&self, piece: Vec<u8>) -> std::result::Result<(), &'static str> {
        match timeout(self.limits.stall, self.sender.send(piece.into())).await {
            Ok(_) => Ok(()),
            Err(_) => Err("the client stalled"),
        }
    }
}

/// Completes when the server shuts down.
async fn ended(ending: Option<Ending>) {
    match ending {
        Some(ending) => ending.wait().await,
        None => std::future::pending().await,
    }
}

/// A body whose pieces are passed on by a task.
pub(crate) struct FeedBody {
    pieces: mpsc::Receiver<Bytes>,
    is_broken: Arc<AtomicBool>,
}

impl Body for FeedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.pieces.poll_recv(context).map(|piece| match piece {
            Some(piece) => Some(Ok(Frame::data(piece))),
            None if self.is_broken.load(Ordering::Acquire) => {
                Some(Err(io::Error::other("the feed was aborted")))
            }
            None => None,
        })
    }
}
