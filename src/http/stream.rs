//! Long bodies, produced as the client reads them.
//!
//! Contains [`BodySource`], a text in pieces, and [`StreamedBody`], the body that pulls them. A
//! piece is produced when the body is polled, but not on the server's threads, so a slow client
//! costs the memory of one piece and no thread. If a client stalls or disconnects, everything is
//! released. If a body fails, the client sees a failure, never a complete but shorter body.

use std::collections::VecDeque;
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
use crate::http::encoder::{EncodedText, Encoder};
use crate::http::encoding::Encoding;
use crate::http::limits::{Limits, Permit};
use crate::http::response::off_thread;
use crate::model::error::{Error, Result};

/// Encoded pieces are collected until they have this many bytes. Producing them takes a switch to
/// another thread, which costs more than a compressed piece from the cache.
const GATHERED_BYTES: usize = 64 << 10;

/// A text in pieces of [`CHUNK_BYTES`] or somewhat more. Only the last piece may be shorter.
pub(crate) type Text = Box<dyn Iterator<Item = Result<Vec<u8>>> + Send>;

/// A piece of a response.
pub(crate) enum Piece {
    Text(Vec<u8>),
    /// A text that is encoded already, with the encoding of the response.
    Encoded(Arc<EncodedText>),
    /// The last text.
    Last(Vec<u8>),
}

/// The pieces of a response, up to the last one.
pub(crate) type Pieces = Box<dyn Iterator<Item = Result<Piece>> + Send>;

/// The pieces of a text.
pub(crate) fn pieces(mut text: Text) -> Pieces {
    Box::new(std::iter::from_fn(move || {
        Some(text.next().transpose().map(|piece| match piece {
            Some(piece) if piece.len() >= CHUNK_BYTES => Piece::Text(piece),
            last => Piece::Last(last.unwrap_or_default()),
        }))
    }))
}

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
    pieces: Pieces,
    /// `None` after the end.
    encoder: Option<Encoder>,
    /// The slot for a long page, which is released when this source is dropped.
    _permit: Option<Permit>,
}

/// A text whose first bytes have been produced.
pub(crate) enum StartedBody {
    /// The text is short.
    Whole(Vec<u8>, Encoding),
    Long(Encoded, Encoding, Box<BodySource>),
}

/// Encoded bytes that are ready to be sent.
#[derive(Default)]
pub(crate) struct Encoded {
    chunks: Vec<Bytes>,
    /// Bytes after the chunks.
    tail: Vec<u8>,
    len: usize,
}

impl Encoded {
    fn push(&mut self, bytes: Vec<u8>) {
        self.len += bytes.len();
        match self.tail.is_empty() {
            true => self.tail = bytes,
            false => self.tail.extend_from_slice(&bytes),
        }
    }

    /// Adds shared bytes without a copy.
    fn push_shared(&mut self, bytes: &Bytes) {
        self.len += bytes.len();
        self.end_chunk();
        self.chunks.push(bytes.clone());
    }

    fn end_chunk(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push(std::mem::take(&mut self.tail).into());
        }
    }

    fn into_chunks(mut self) -> Vec<Bytes> {
        self.end_chunk();
        self.chunks
    }

    fn whole(self) -> Vec<u8> {
        match self.chunks.is_empty() {
            true => self.tail,
            false => self.into_chunks().concat(),
        }
    }
}

impl BodySource {
    /// Produces the first piece of a text, like [`BodySource::begin_pieces`].
    pub(crate) fn begin(text: Text, encoding: Encoding) -> Result<StartedBody> {
        BodySource::begin_pieces(pieces(text), encoding)
    }

    /// Produces the first pieces. If this fails, the client receives a normal error response,
    /// because nothing has been sent yet.
    pub(crate) fn begin_pieces(mut pieces: Pieces, encoding: Encoding) -> Result<StartedBody> {
        let mut piece = next_piece(&mut pieces)?;
        let encoding = match &piece {
            Piece::Last(text) => encoding.for_whole(text.len()),
            Piece::Text(_) | Piece::Encoded(_) => encoding,
        };
        let mut source = BodySource {
            pieces,
            encoder: Some(Encoder::new(encoding)),
            _permit: None,
        };
        let (mut ready, mut text_len) = (Encoded::default(), 0);
        loop {
            text_len += piece.text_len();
            let is_long = text_len >= CHUNK_BYTES;
            // The first bytes of a long text are not delayed.
            source.encode(piece, is_long, &mut ready)?;
            if is_long {
                return Ok(StartedBody::Long(ready, encoding, Box::new(source)));
            }
            if source.encoder.is_none() {
                return Ok(StartedBody::Whole(ready.whole(), encoding));
            }
            piece = next_piece(&mut source.pieces)?;
        }
    }

    pub(crate) fn with_permit(mut self, permit: Permit) -> BodySource {
        self._permit = Some(permit);
        self
    }

    /// The next bytes, and whether they are the last.
    fn next(&mut self) -> Result<(Encoded, bool)> {
        let mut ready = Encoded::default();
        while self.encoder.is_some() && ready.len < GATHERED_BYTES {
            let piece = next_piece(&mut self.pieces)?;
            self.encode(piece, false, &mut ready)?;
        }
        Ok((ready, self.encoder.is_none()))
    }

    fn encode(&mut self, piece: Piece, at_once: bool, ready: &mut Encoded) -> Result<()> {
        let failed = |e: io::Error| Error::output(&e);
        let Some(encoder) = &mut self.encoder else {
            return Ok(());
        };
        match piece {
            Piece::Text(text) => ready.push(encoder.piece(text, at_once).map_err(failed)?),
            Piece::Encoded(text) => {
                ready.push(encoder.insert(&text).map_err(failed)?);
                ready.push_shared(&text.bytes);
            }
            Piece::Last(text) => {
                ready.push(encoder.piece(text, false).map_err(failed)?);
                let end = self.encoder.take().map(Encoder::finish);
                ready.push(end.transpose().map_err(failed)?.unwrap_or_default());
            }
        }
        Ok(())
    }
}

/// The next piece. After the last one, there are only empty ones.
fn next_piece(pieces: &mut Pieces) -> Result<Piece> {
    let next = pieces.next().transpose()?;
    Ok(next.unwrap_or_else(|| Piece::Last(Vec::new())))
}

impl Piece {
    fn text_len(&self) -> usize {
        match self {
            Piece::Text(text) | Piece::Last(text) => text.len(),
            Piece::Encoded(text) => text.text_len,
        }
    }
}

type Polled = Poll<Option<Result<Frame<Bytes>, io::Error>>>;

/// A source, and its next bytes.
type Made = (BodySource, Result<(Encoded, bool)>);

/// A body whose pieces are produced on the runtime's blocking threads. A server with many slow
/// clients should limit the number of these threads: see `max_blocking_threads` of tokio's runtime
/// builder.
pub(crate) struct StreamedBody {
    /// Bytes that have been produced and not sent yet.
    ready: VecDeque<Bytes>,
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
    pub(crate) fn new(first: Encoded, source: BodySource, limits: &Limits) -> StreamedBody {
        let now = Instant::now();
        let until = later(now, limits.whole);
        let by = later(now, limits.stall).min(until);
        let waiting = Arc::new(Waiting(Mutex::new((Some(source), by))));
        let (runtime, span) = (Handle::current(), tracing::Span::current());
        let watch = runtime.spawn(waiting.clone().watch(limits.stall, until, span.clone()));
        StreamedBody {
            ready: first.into_chunks().into(),
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

    /// Sends the first of these bytes; the others follow when the body is polled again.
    fn send(&mut self, ready: Encoded) -> Polled {
        self.ready = ready.into_chunks().into();
        Poll::Ready(self.ready.pop_front().map(|bytes| Ok(Frame::data(bytes))))
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
        if let Some(bytes) = self.ready.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
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
            Ok((_, Ok((ready, true)))) => {
                self.is_over = true;
                self.send(ready)
            }
            Ok((source, Ok((ready, false)))) => {
                let now = Instant::now();
                if self.until <= now {
                    return self.fail(context, "the whole response took too long");
                }
                let by = later(now, self.stall).min(self.until);
                *self.waiting.0.lock() = (Some(source), by);
                self.send(ready)
            }
            Ok((_, Err(error))) => self.fault(context, &error),
            // The panic message may contain parts of a body.
            Err(_) => self.fault(context, &"the handler panicked"),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over && self.ready.is_empty()
    }
}

impl Drop for StreamedBody {
    fn drop(&mut self) {
        self.watch.abort();
    }
}
