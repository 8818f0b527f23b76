//! Long bodies, made as the client takes them.
//!
//! Owns: [`BodySource`], a text in pieces, and [`StreamedBody`], the body that pulls them. Must
//! not know: what the text is, who serves.
//! Promise: a piece is made when it is asked for, off the threads that serve, so a slow
//! client costs a piece and no thread; whoever stalls or goes away lets go of everything;
//! a body that fails ends as a failure, never as a shorter body.

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

/// Encoded pieces below this size are gathered.
const GATHERED_BYTES: usize = 16 << 10;

/// A text that is made in pieces of [`CHUNK_BYTES`] or some more; one with fewer is the
/// last.
pub(crate) type Text = Box<dyn Iterator<Item = Result<Vec<u8>>> + Send>;

/// What a text of lines is.
pub(crate) const LINES: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// A text of lines: `some` adds a few, and says whether there are more.
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

/// A text on its way out, encoded.
pub(crate) struct BodySource {
    text: Text,
    /// Gone at the end.
    encoder: Option<Encoder>,
    /// Its place among the long ones, given back with it.
    _permit: Option<Permit>,
}

/// A text whose beginning is made.
pub(crate) enum StartedBody {
    /// It is short.
    Whole(Vec<u8>, Encoding),
    Long(Vec<u8>, Encoding, BodySource),
}

impl BodySource {
    /// Makes the first piece: what fails up to here is an answer, not an aborted one.
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

    /// The next piece, as it goes out, and whether it is the last.
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

/// A source, and the next piece of it.
type Made = (BodySource, Result<(Vec<u8>, bool)>);

/// A body whose pieces are made by the runtime's blocking threads, of which a server of many
/// slow clients should have few: see `max_blocking_threads` of tokio's builder.
pub(crate) struct StreamedBody {
    first: Option<Bytes>,
    waiting: Arc<Waiting>,
    making: Option<JoinHandle<Made>>,
    is_over: bool,
    /// Why it is about to end.
    failing: Option<&'static str>,
    runtime: Handle,
    watch: JoinHandle<()>,
    stall: Duration,
    until: Instant,
    span: tracing::Span,
}

/// What a client is waited for with.
struct Waiting(Mutex<(Option<BodySource>, Instant)>);

impl StreamedBody {
    /// To be called on a thread of the runtime.
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

    /// Ends it so that the server aborts the connection. What it has already goes out
    /// first: servers send when there is nothing to be had for the moment.
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

/// A time that far ahead, or one that never comes.
fn later(now: Instant, time: Duration) -> Instant {
    now + bounded(time)
}

impl Waiting {
    /// Lets go of the source when the client has not asked for the next piece in time,
    /// whether the server looks at this body again or not.
    async fn watch(self: Arc<Waiting>, stall: Duration, until: Instant, span: tracing::Span) {
        loop {
            let by = {
                let mut waiting = self.0.lock();
                let now = Instant::now();
                let by = match &waiting.0 {
                    Some(_) => waiting.1,
                    // It does not come back.
                    None if until <= now => return,
                    // A piece is being made; its own time begins then.
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
            // Nothing is to be kept while the last piece is on its way.
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
            // What it panicked with may be of a body.
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
