//! One connection of a server.
//!
//! Contains the timeouts for a client that neither reads nor sends, and the error document for
//! input that is not an HTTP request. Routing is left to the router.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response};
use axum::response::IntoResponse;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Sleep, sleep};

use crate::http::connection_slots::{BusyBody, ConnectionSlot};
use crate::http::middleware::{REQUEST_ID, request_id};
use crate::model::api_error::ApiError;

/// The maximum number of bytes buffered for a client, in addition to the system's buffers. This is
/// also the maximum size of a request's head.
const BUFFER_BYTES: usize = 64 << 10;
/// The maximum time for which a connection that was asked to close may stay open without a request
/// in progress.
const LEAVE_TIME: Duration = Duration::from_secs(1);
/// The maximum number of further bytes read from a client after its input was refused. They are
/// read so that the client sees the response.
const DISCARDED_BYTES_MAX: usize = 1 << 20;
/// The time limit for reading these bytes.
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// Reports to the responses in progress that the server shuts down: an extension of each request.
#[derive(Clone)]
pub(crate) struct Ending(watch::Receiver<()>);

impl Ending {
    /// Completes when the shutdown begins.
    pub(crate) async fn wait(mut self) {
        // The server sends once, or is dropped.
        self.0.changed().await.ok();
    }
}

/// Serves a client until it disconnects, until `ending` completes, or until another client needs
/// its slot.
pub(super) async fn serve<I>(
    io: I,
    app: Router,
    (head, stall): (Duration, Duration),
    slot: ConnectionSlot,
    mut ending: watch::Receiver<()>,
) -> Result<(), hyper::Error>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(app);
    let for_requests = Ending(ending.clone());
    let service = service_fn(|mut request: Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(for_requests.clone());
        let busy = slot.busy();
        let id = request_id(request.headers());
        // hyper reads somewhat more than this before it refuses a head.
        let is_too_long = head_bytes(&request) > BUFFER_BYTES;
        let answered = (!is_too_long).then(|| hyper::service::Service::call(&service, request));
        async move {
            let mut response: Response<Body> = match answered {
                Some(answered) => answered.await?,
                None => ApiError::new(431, "GES.8000", head_too_long()).into_response(),
            };
            let headers: &mut HeaderMap = response.headers_mut();
            headers.entry(REQUEST_ID).or_insert(id);
            let with_busy = |body| BusyBody { body, _busy: busy };
            Ok::<_, Infallible>(response.map(with_busy))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(BUFFER_BYTES)
        // A client may close its sending side after its request.
        .half_close(true)
        .serve_connection(TokioIo::new(StallTimeout::new(io, stall)), service);
    let mut connection = pin!(connection);
    tokio::select! {
        done = connection.as_mut() => return done,
        _ = ending.changed() => {
            connection.as_mut().graceful_shutdown();
            return connection.await;
        }
        () = slot.asked_to_leave() => connection.as_mut().graceful_shutdown(),
    }
    loop {
        tokio::select! {
            done = connection.as_mut() => return done,
            // If no request is in progress, there is nothing to finish.
            () = sleep(LEAVE_TIME) => if !slot.is_busy() { return Ok(()); },
        }
    }
}

/// A connection whose peer must read something from time to time. If hyper refuses the peer's
/// input, an error document is sent to the peer before the connection is closed.
struct StallTimeout<I> {
    io: I,
    stall: Duration,
    /// The timeout of a write that cannot make progress.
    waits: Option<Pin<Box<Sleep>>>,
    refusal: Option<Refusal>,
}

/// The response written instead of hyper's own refusal, and how much of it has been written.
struct Refusal {
    text: Vec<u8>,
    written: usize,
    discarded: usize,
    discarding: Option<Pin<Box<Sleep>>>,
}

impl<I: AsyncWrite + Unpin> StallTimeout<I> {
    fn new(io: I, stall: Duration) -> StallTimeout<I> {
        StallTimeout {
            io,
            stall,
            waits: None,
            refusal: None,
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
            tracing::warn!("disconnected a client that stalled");
            Err(io::ErrorKind::TimedOut.into())
        })
    }

    /// If `given` is the bare head of a refusal by hyper, writes an error document instead. Returns
    /// `None` for anything else.
    fn explained(
        &mut self,
        context: &mut Context<'_>,
        given: &[u8],
    ) -> Option<Poll<io::Result<usize>>> {
        let mut refusal = match self.refusal.take() {
            Some(refusal) => refusal,
            None => Refusal::of(given)?,
        };
        while refusal.written < refusal.text.len() {
            let rest = &refusal.text[refusal.written..];
            match self.watched(context, |io, context| io.poll_write(context, rest)) {
                Poll::Ready(Ok(0)) => return Some(Poll::Ready(Ok(0))),
                Poll::Ready(Ok(written)) => refusal.written += written,
                Poll::Ready(Err(error)) => return Some(Poll::Ready(Err(error))),
                Poll::Pending => {
                    self.refusal = Some(refusal);
                    return Some(Poll::Pending);
                }
            }
        }
        self.refusal = Some(refusal);
        Some(Poll::Ready(Ok(given.len())))
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> StallTimeout<I> {
    /// Reads and discards what a refused client is still sending, up to a limit. Otherwise, closing
    /// the socket while it contains unread bytes would reset it, and the peer might lose the
    /// response.
    fn discard(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(refusal) = &mut self.refusal else {
            return Poll::Ready(());
        };
        let timer = refusal
            .discarding
            .get_or_insert_with(|| Box::pin(sleep(DISCARD_TIME)));
        let mut bytes = [0; 8 << 10];
        while refusal.discarded < DISCARDED_BYTES_MAX {
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.io).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    refusal.discarded += buffer.filled().len();
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return timer.as_mut().poll(context),
            }
        }
        Poll::Ready(())
    }
}

/// The size of a request's head: the request line, the fields, and the empty line, as they are
/// usually written.
fn head_bytes<B>(request: &Request<B>) -> usize {
    let uri = request.uri();
    let target = uri
        .path_and_query()
        .map_or(1, |target| target.as_str().len());
    let first = request.method().as_str().len() + target + "  HTTP/1.1\r\n".len();
    let fields = request.headers().iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    first + fields.sum::<usize>() + "\r\n".len()
}

fn head_too_long() -> String {
    format!(
        "the request line and headers exceed {BUFFER_BYTES} bytes or 100 fields; send fewer or \
         shorter headers"
    )
}

impl Refusal {
    /// The response to input that hyper does not accept as a request. It replaces hyper's own
    /// response, because that has no body, and because it does not pass through the router and
    /// therefore has no request id.
    fn of(head: &[u8]) -> Option<Refusal> {
        let text = std::str::from_utf8(head).ok()?;
        let lines = text.strip_prefix("HTTP/1.")?.strip_suffix("\r\n\r\n")?;
        let (status, message) = match lines.get(2..5)? {
            "400" => (400, "malformed HTTP/1.1 request; correct it".to_owned()),
            "414" => (
                414,
                "the path and query exceed 65534 bytes; shorten them".to_owned(),
            ),
            "431" => (431, head_too_long()),
            _ => return None,
        };
        let mut kept: Vec<&str> = text.trim_end().split("\r\n").collect();
        let is_bare = kept
            .iter()
            .any(|line| line.eq_ignore_ascii_case("content-length: 0"));
        let has_id = kept
            .iter()
            .any(|line| line.to_ascii_lowercase().starts_with(REQUEST_ID.as_str()));
        if !is_bare || has_id {
            return None;
        }
        kept.retain(|line| !line.to_ascii_lowercase().starts_with("content-length:"));
        let document = ApiError::new(status, "GES.8000", message).to_json();
        let id = request_id(&HeaderMap::new());
        let text = format!(
            "{}\r\ncontent-type: application/json\r\ncache-control: no-store\r\n{REQUEST_ID}: {}\r\n\
             content-length: {}\r\n\r\n{document}",
            kept.join("\r\n"),
            id.to_str().unwrap_or_default(),
            document.len(),
        );
        Some(Refusal {
            text: text.into_bytes(),
            written: 0,
            discarded: 0,
            discarding: None,
        })
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for StallTimeout<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for StallTimeout<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(explained) = self.explained(context, bytes) {
            return explained;
        }
        self.watched(context, |io, context| io.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = slices {
            if let Some(explained) = self.explained(context, only) {
                return explained;
            }
        }
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
        let done = self.watched(context, |io, context| io.poll_shutdown(context));
        match done {
            Poll::Ready(Ok(())) => self.discard(context).map(Ok),
            other => other,
        }
    }
}
