//! Request bodies.
//!
//! Contains [`text`], for a whole body, and [`reader`], for reading a body on a thread as it
//! arrives. Memory and the wait for the next bytes are bounded. A truncated body is never mistaken
//! for a complete one.

use std::future::{Future, poll_fn};
use std::io::{self, Read};
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body::Body as _;
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::timeout;

use crate::model::api_error::ApiError;

/// The maximum time that a short body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads a whole body of at most `max_bytes`.
pub(crate) async fn text(body: Body, max_bytes: u64) -> Result<String, ApiError> {
    let refused = |message: String| ApiError::new(400, "GES.8000", message);
    let max = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    let read = timeout(BODY_TIMEOUT, axum::body::to_bytes(body, max)).await;
    let bytes = read
        .map_err(|_| refused("the request body took too long to arrive; retry".to_owned()))?
        .map_err(|_| {
            refused(format!(
                "the request body is incomplete or longer than {max_bytes} bytes; shorten it or \
                 retry"
            ))
        })?;
    String::from_utf8(bytes.into()).map_err(|_| {
        refused("the request body is not valid UTF-8; correct the encoding".to_owned())
    })
}

/// Returns a reader of the body, to be used on a thread, and a future that feeds the reader and
/// completes at the end of the body. The future also receives the bytes that the thread does not
/// read, because a client may not read the response until it has sent the whole body.
pub(crate) fn reader(
    mut body: Body,
    stall: Duration,
) -> (impl Read + Send, impl Future<Output = ()>) {
    let (sender, parts) = mpsc::channel(1);
    let brought = async move {
        loop {
            let next = poll_fn(|context| Pin::new(&mut body).poll_frame(context));
            let part = match timeout(stall, next).await {
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => Ok(Some(bytes)),
                    Err(_) => continue,
                },
                Ok(Some(Err(error))) => Err(io::Error::other(error)),
                Ok(None) => Ok(None),
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            };
            let is_over = !matches!(part, Ok(Some(_)));
            sender.send(part).await.ok();
            if is_over {
                return;
            }
        }
    };
    let reader = Incoming {
        parts,
        part: Bytes::new(),
        is_over: false,
    };
    (reader, brought)
}

struct Incoming {
    /// Each item is some bytes, the end (`None`), or an error.
    parts: Receiver<io::Result<Option<Bytes>>>,
    part: Bytes,
    is_over: bool,
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.part.is_empty() && !self.is_over {
            match self.parts.blocking_recv() {
                Some(Ok(Some(part))) => self.part = part,
                Some(Ok(None)) => self.is_over = true,
                Some(Err(error)) => return Err(error),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let len = buffer.len().min(self.part.len());
        buffer[..len].copy_from_slice(&self.part.split_to(len));
        Ok(len)
    }
}
