//! Requests to an engine, sent over the control socket in its store's directory.
//!
//! Contains the socket, HTTP over the socket, and the conversion of failures to messages. An
//! incomplete response is an error. Memory is bounded, whatever is sent or received.

use std::future::poll_fn;
use std::io::{self, Read};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc as channel;

use crate::problem::Problem;

/// The maximum number of bytes sent in one piece.
const PIECE_BYTES: usize = 64 << 10;
/// The maximum number of pieces waiting to be sent.
const PIECES_WAITING: usize = 4;
/// The largest response that is not streamed.
const ANSWER_BYTES_MAX: u64 = 512 << 20;
/// The maximum number of bytes read from an error response.
const FAILURE_BYTES_MAX: u64 = 64 << 10;
/// The header with the code of the library's error.
const ERROR_CODE: &str = "x-error-code";
/// How often progress is reported while a response is pending.
const TOLD_EVERY: Duration = Duration::from_millis(100);
/// The characters that are escaped in paths and queries.
pub(crate) const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A control socket that an engine listens on.
pub(super) struct Socket {
    path: PathBuf,
    runtime: Runtime,
}

/// A request.
pub(super) struct SocketRequest<'a> {
    pub(super) method: Method,
    /// The segments of the path, unescaped.
    pub(super) path: &'a [&'a str],
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: SocketBody,
}

impl<'a> SocketRequest<'a> {
    pub(super) fn get(path: &'a [&'a str]) -> SocketRequest<'a> {
        SocketRequest {
            method: Method::GET,
            path,
            query: Vec::new(),
            body: SocketBody::Whole(None),
        }
    }

    pub(super) fn post(path: &'a [&'a str], body: impl Into<Bytes>) -> SocketRequest<'a> {
        SocketRequest {
            method: Method::POST,
            path,
            query: Vec::new(),
            body: SocketBody::Whole(Some(body.into())),
        }
    }

    pub(super) fn query(mut self, pairs: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        self.query.extend(pairs);
        self
    }

    fn uri(&self) -> String {
        let mut uri = String::new();
        for part in self.path {
            uri.push('/');
            uri.extend(utf8_percent_encode(part, ESCAPED));
        }
        for (n, (key, value)) in self.query.iter().enumerate() {
            uri.push(if n == 0 { '?' } else { '&' });
            uri.push_str(key);
            uri.push('=');
            uri.extend(utf8_percent_encode(value, ESCAPED));
        }
        uri
    }
}

impl Socket {
    /// Connects, to check that an engine listens.
    pub(super) fn connect(path: PathBuf) -> Result<Socket, Problem> {
        let refused = |e: io::Error| {
            let what = format!(
                "cannot connect to the control socket {}: {e}",
                path.display()
            );
            Problem::failed(
                what,
                "check that the engine is running, and that it runs as your user",
            )
        };
        std::os::unix::net::UnixStream::connect(&path).map_err(refused)?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(refused)?;
        Ok(Socket { path, runtime })
    }

    /// Sends a request and returns the response as a stream. Calls `waiting` repeatedly until the
    /// response begins.
    pub(super) fn ask(
        &self,
        request: SocketRequest<'_>,
        waiting: &mut dyn FnMut(),
    ) -> Result<SocketResponse<'_>, Problem> {
        let uri = request.uri();
        let request = Request::builder()
            .method(request.method)
            .uri(uri)
            .header("host", "localhost")
            .body(request.body);
        let request = request.map_err(|e| {
            Problem::usage(
                format!("cannot send this request to the engine: {e}"),
                "check the name of the graph",
            )
        })?;
        let asked = self.runtime.block_on(async {
            let stream = tokio::net::UnixStream::connect(&self.path).await?;
            let connected = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
            let (mut sender, connection) = connected.map_err(io::Error::other)?;
            // If the connection fails, reading the response fails as well.
            self.runtime.spawn(async move { connection.await.ok() });
            let response = sender.send_request(request);
            tokio::pin!(response);
            loop {
                tokio::select! {
                    biased;
                    response = &mut response => return response.map_err(io::Error::other),
                    () = tokio::time::sleep(TOLD_EVERY) => waiting(),
                }
            }
        });
        let (head, incoming) = asked.map_err(|e| broken(&e))?.into_parts();
        let response = SocketResponse {
            runtime: &self.runtime,
            headers: head.headers,
            incoming,
            piece: Bytes::new(),
            is_broken: false,
        };
        match head.status {
            StatusCode::OK => Ok(response),
            status => Err(failure(status, response)),
        }
    }

    /// Sends a request and returns the whole response, which must be short.
    pub(super) fn whole(
        &self,
        request: SocketRequest<'_>,
        waiting: &mut dyn FnMut(),
    ) -> Result<String, Problem> {
        let response = self.ask(request, waiting)?;
        crate::bounded::read_to_string(response, ANSWER_BYTES_MAX).map_err(|e| broken(&e))
    }
}

/// The error for a connection that failed, before or during a response.
pub(super) fn broken(error: &io::Error) -> Problem {
    Problem::failed(
        format!("the connection to the engine was lost: {error}"),
        "the output is incomplete; check the engine's log",
    )
}

/// Converts the engine's error response.
fn failure(status: StatusCode, response: SocketResponse<'_>) -> Problem {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Failure {
        error_message: String,
        error_code: String,
    }
    let name = response.header(ERROR_CODE).map(str::to_owned);
    let mut text = String::new();
    response
        .take(FAILURE_BYTES_MAX)
        .read_to_string(&mut text)
        .ok();
    let Ok(failure) = serde_json::from_str::<Failure>(&text) else {
        return Problem::unexpected(format!("the engine responded with {status}"));
    };
    let what = crate::output::harmless(&failure.error_message);
    match (status.as_u16(), &*failure.error_code, name) {
        (_, _, Some(name)) => Problem::of(&name, what),
        (400, "GES.8000", None) => Problem::usage(what, ""),
        (400, _, None) => {
            Problem::failed(what, "`jobstore list --newest-first` lists the newest jobs")
        }
        _ => Problem::failed(what, "check the engine's log and `jobstore stats`"),
    }
}

/// A response, read as it arrives.
pub(super) struct SocketResponse<'s> {
    runtime: &'s Runtime,
    headers: HeaderMap,
    incoming: Incoming,
    piece: Bytes,
    is_broken: bool,
}

impl SocketResponse<'_> {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Read for SocketResponse<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            if self.is_broken {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let incoming = &mut self.incoming;
            let next = poll_fn(|context| Pin::new(&mut *incoming).poll_frame(context));
            match self.runtime.block_on(next) {
                None => return Ok(0),
                Some(Ok(frame)) => self.piece = frame.into_data().unwrap_or_default(),
                Some(Err(e)) => {
                    self.is_broken = true;
                    return Err(io::Error::other(e));
                }
            }
        }
        let bytes = buffer.len().min(self.piece.len());
        buffer[..bytes].copy_from_slice(&self.piece.split_to(bytes));
        Ok(bytes)
    }
}

/// The body of a request.
pub(super) enum SocketBody {
    Whole(Option<Bytes>),
    Pieces(channel::Receiver<io::Result<Bytes>>),
}

impl SocketBody {
    /// Returns a body that a separate thread reads from `from`, and a channel that receives the
    /// error of the reader if there is one.
    pub(super) fn read(mut from: Box<dyn Read + Send>) -> (SocketBody, mpsc::Receiver<io::Error>) {
        let (send, receive) = channel::channel(PIECES_WAITING);
        let (say, said) = mpsc::channel();
        std::thread::spawn(move || {
            let mut piece = vec![0; PIECE_BYTES];
            loop {
                let next = match from.read(&mut piece) {
                    Ok(0) => return,
                    Ok(bytes) => Ok(Bytes::copy_from_slice(&piece[..bytes])),
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                    Err(e) => Err(e),
                };
                let failed = next
                    .as_ref()
                    .err()
                    .map(|e| io::Error::new(e.kind(), e.to_string()));
                if let Some(failed) = failed {
                    say.send(failed).ok();
                }
                let is_over = next.is_err();
                // The receiver may have been dropped.
                if send.blocking_send(next).is_err() || is_over {
                    return;
                }
            }
        });
        (SocketBody::Pieces(receive), said)
    }
}

impl Body for SocketBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            SocketBody::Whole(bytes) => {
                Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))))
            }
            SocketBody::Pieces(pieces) => {
                let piece = pieces.poll_recv(context);
                piece.map(|piece| piece.map(|piece| piece.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, SocketBody::Whole(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_escaped() {
        let path = ["control", "graphs", "1 a", "m/ö?", "list"];
        let request = SocketRequest::get(&path).query([("command", "a&b=c".to_owned())]);
        assert_eq!(
            request.uri(),
            "/control/graphs/1%20a/m%2F%C3%B6%3F/list?command=a%26b%3Dc"
        );
    }
}
