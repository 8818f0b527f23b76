//! Long bodies, produced as the client reads them.
//!
//! Contains [`BodySource`], a text in pieces, and [`StreamedBody`], the body that pulls them. A
//! piece is produced when the body is polled, but not on the server's threads, so a slow client
//! costs the memory of one piece and no thread. If a client stalls or disconnects, everything is
//! released. If a body fails, the client sees a failure, never a complete but shorter body.

use std::fmt::Display;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::HeaderValue;
use http_body::{Body, Frame};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::api::page::CHUNK_BYTES;
use crate::base::clock::bounded;
use crate::http::encoding::{Encoder, Encoding};
use crate::http::limits::{Limits, Permit};
use crate::http::response::off_thread;
use crate::model::error::{Error, Result};

/// Encoded pieces smaller than this are collected into larger ones.
const GATHERED_BYTES: usize = 16 << 10;

/// A text in pieces of [`CHUNK_BYTES`] or somewhat more. Only the last piece may be shorter.
pub(crate) type Text = Box<dyn Iterator<Item = Result<Vec<u8>>> + Send>;

/// The content type of a text that consists of lines.
pub(crate) const LINES: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// A text that consists of lines: `some` appends a few lines and returns whether there are more.
pub(crate) fn lines(mut some: impl FnMut(&mut Vec<u8>) -> Result<bool> + Send + 'static) -> Text {
    Box::new(std::iter::from_fn(move || {
        let mut piece = Vec::new();
        while piece.len() < CHUNK_BYTES {
            match some(&mut piece) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return Some(Err(error)),
            }
        }
        Some(Ok(piece))
    }))
}

/// A text that is being sent, encoded.
pub(crate) struct BodySource {
    text: Text,
    /// `None` after the end.
    encoder: Option<Encoder>,
    /// The slot for a long page, which is released when this source is dropped.
    _permit: Option<Permit>,
}

/// A text whose first piece has been produced.
pub(crate) enum StartedBody {
    /// The text is short.
    Whole(Vec<u8>, Encoding),
    Long(Vec<u8>, Encoding, BodySource),
}

impl BodySource {
    /// Produces the first piece. If this fails, the client receives a normal error response,
    /// because nothing has been sent yet.
    pub(crate) fn begin(mut text: Text, encoding: Encoding) -> Result<StartedBody> {
        let first = text.next().transpose()?.unwrap_or_default();
        let is_all = first.len() < CHUNK_BYTES;
        let encoding = encoding.for_text(&first, is_all);
        let mut encoder = encoding.encoder().map_err(|e| Error::output(&e))?;
        let mut piece = encoder
            .piece(first, !is_all)
            .map_err(|e| Error::output(&e))?;
        if is_all {
            piece.append(&mut encoder.finish().map_err(|e| Error::output(&e))?);
            return Ok(StartedBody::Whole(piece, encoding));
        }
        let source = BodySource {
            text,
            encoder: Some(encoder),
            _permit: None,
        };
        Ok(StartedBody::Long(piece, encoding, source))
    }

    pub(crate) fn with_permit(mut self, permit: Permit) -> BodySource {
        self._permit = Some(permit);
        self
    }

    /// The next piece, encoded, and whether it is the last.
    fn next(&mut self) -> Result<(Vec<u8>, bool)> {
        let failed = |e: io::Error| Error::output(&e);
        let mut ready = Vec::new();
        while let Some(encoder) = &mut self.encoder {
            let text = self.text.next().transpose()?.unwrap_or_default();
            let is_last = text.len() < CHUNK_BYTES;
            let piece = encoder.piece(text, false).map_err(failed)?;
            match ready.is_empty() {
                true => ready = piece,
                false => ready.extend_from_slice(&piece),
            }
            if is_last {
                let end = self.encoder.take().map(Encoder::finish);
                ready.append(&mut end.transpose().map_err(failed)?.unwrap_or_default());
            } else if ready.len() >= GATHERED_BYTES {
                break;
            }
        }
        Ok((ready, self.encoder.is_none()))
    }
}

type Polled = Poll<Option<Result<Frame<Bytes>, io::Error>>>;

/// A source, and its next piece.
type Made = (BodySource, Result<(Vec<u8>, bool)>);

/// A body whose pieces are produced on the runtime's blocking threads. A server with many slow
/// clients should limit the number of these threads: see `max_blocking_threads` of tokio's runtime
/// builder.
pub(crate) struct StreamedBody {
    first: Option<Bytes>,
    waiting: Arc<Waiting>,
    making: Option<JoinHandle<Made>>,
    is_over: bool,
    /// Why the body is about to fail.
    failing: Option<&'static str>,
    runtime: Handle,
    watch: JoinHandle<()>,
    stall: Duration,
    until: Instant,
    span: tracing::Span,
}

/// The source, as long as the client has not asked for the next piece, and the deadline by which
/// the client must ask.
struct Waiting(Mutex<(Option<BodySource>, Instant)>);

impl StreamedBody {
    /// Must be called on a thread of the runtime.
    pub(crate) fn new(first: Vec<u8>, source: BodySource, limits: &Limits) -> StreamedBody {
        let now = Instant::now();
        let until = later(now, limits.whole);
        let by = later(now, limits.stall).min(until);
        let waiting = Arc::new(Waiting(Mutex::new((Some(source), by))));
        let (runtime, span) = (Handle::current(), tracing::Span::current());
        let watch = runtime.spawn(waiting.clone().watch(limits.stall, until, span.clone()));
        StreamedBody {
            first: Some(first.into()),
            waiting,
            making: None,
            is_over: false,
            failing: None,
            runtime,
            watch,
            stall: limits.stall,
            until,
            span,
        }
    }

    /// Ends the body so that the server aborts the connection. Bytes that the server already has
    /// are sent first: a server flushes them when the body has nothing ready.
    fn fail(&mut self, context: &Context<'_>, why: &'static str) -> Polled {
        self.failing = Some(why);
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn fault(&mut self, context: &Context<'_>, why: &dyn Display) -> Polled {
        let in_span = self.span.enter();
        tracing::error!(%why, "a response failed after it had begun and was aborted");
        drop(in_span);
        self.fail(context, "the rest of the response could not be produced")
    }
}

/// Returns `now` plus `time`. A `time` that means "never" is capped, so the sum is a time in the
/// far future.
fn later(now: Instant, time: Duration) -> Instant {
    now + bounded(time)
}

impl Waiting {
    /// Drops the source if the client does not ask for the next piece in time, even if the server
    /// does not poll this body again.
    async fn watch(self: Arc<Waiting>, stall: Duration, until: Instant, span: tracing::Span) {
        loop {
            let by = {
                let mut waiting = self.0.lock();
                let now = Instant::now();
                let by = match &waiting.0 {
                    Some(_) => waiting.1,
                    // After `until`, the source is not put back.
                    None if until <= now => return,
                    // A piece is being produced. The client's timeout begins only after that.
                    None => later(now, stall).min(until),
                };
                if waiting.0.is_some() && by <= now {
                    let source = waiting.0.take();
                    drop(waiting);
                    drop(source);
                    let _in_span = span.enter();
                    match until <= now {
                        true => tracing::warn!(
                            "disconnected the client: the whole response took too long"
                        ),
                        false => tracing::warn!("disconnected the client: it stalled"),
                    }
                    return;
                }
                by
            };
            sleep_until(by).await;
        }
    }
}

impl Body for StreamedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if let Some(why) = self.failing.take() {
            self.is_over = true;
            return Poll::Ready(Some(Err(io::Error::other(why))));
        }
        if self.is_over {
            return Poll::Ready(None);
        }
        if self.making.is_none() {
            let source = self.waiting.0.lock().0.take();
            let Some(mut source) = source else {
                return self.fail(context, "the client stalled");
            };
            let made = off_thread(&self.runtime, move || {
                let piece = source.next();
                (source, piece)
            });
            self.making = Some(made);
        }
        let Some(making) = &mut self.making else {
            return self.fail(context, "nothing is being produced");
        };
        let made = ready!(Pin::new(making).poll(context));
        self.making = None;
        match made {
            // The source is dropped before the last piece is sent.
            Ok((_, Ok((piece, true)))) => {
                self.is_over = true;
                match piece.is_empty() {
                    true => Poll::Ready(None),
                    false => Poll::Ready(Some(Ok(Frame::data(piece.into())))),
                }
            }
            Ok((source, Ok((piece, false)))) => {
                let now = Instant::now();
                if self.until <= now {
                    return self.fail(context, "the whole response took too long");
                }
                let by = later(now, self.stall).min(self.until);
                *self.waiting.0.lock() = (Some(source), by);
                Poll::Ready(Some(Ok(Frame::data(piece.into()))))
            }
            Ok((_, Err(error))) => self.fault(context, &error),
            // The panic message may contain parts of a body.
            Err(_) => self.fault(context, &"the handler panicked"),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over && self.first.is_none()
    }
}

impl Drop for StreamedBody {
    fn drop(&mut self) {
        self.watch.abort();
    }
}
