//! Requests to a store's HTTP routes, without a socket.
//!
//! Executes a request in the calling thread, and returns its response. A response contains
//! everything that a client would receive: status, headers, and the decoded body, or the fact that
//! the body was cut off.

use std::cell::Cell;
use std::io::Read;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt;
use jobstore::http::{Limits, Routes, no_such_resource};
use jobstore::{JobStore, simulation};
use tower::ServiceExt;

use crate::life::{Finding, Refusal};

/// So long that there is no timeout even on a slow machine.
const PATIENCE: Duration = Duration::from_secs(3_600);
const REQUEST_ID: &str = "life-1";

thread_local! {
    /// The number of panics of this thread, including panics of handlers, which become error
    /// responses.
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

pub fn note_panic() {
    PANICS.set(PANICS.get() + 1);
}

/// A request.
#[derive(Default)]
pub struct Ask {
    pub method: &'static str,
    pub path: String,
    pub body: String,
    /// 0 for an uncompressed response, 1 for gzip, 2 for zstd.
    pub encoding: u8,
    /// The client disconnects after this many pieces of the response.
    pub pieces_max: Option<u64>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// The decoded body. `None` if it was cut off.
    pub body: Option<Vec<u8>>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn text(&self) -> String {
        let body = self.body.as_deref().unwrap_or(b"(it broke off)");
        String::from_utf8_lossy(body).chars().take(400).collect()
    }

    /// Returns the error of an unsuccessful response.
    pub fn refusal(&self) -> Refusal {
        Refusal {
            name: match (self.header("x-error-code"), self.status, &self.body) {
                (Some(name), ..) => name.to_owned(),
                (None, 200, None) => "Io".to_owned(),
                (None, 500 | 503, _) => "Unavailable".to_owned(),
                (None, status, _) => status.to_string(),
            },
            text: format!("{}: {}", self.status, self.text()),
        }
    }
}

/// Returns the routes of the GES API and the routes for operations.
pub fn routes(store: &JobStore) -> Router {
    let limits = Limits::new().first_byte(PATIENCE).stall(PATIENCE);
    let routes = Routes::new(store).limits(limits.whole(PATIENCE));
    let all: Router = routes.all().merge(routes.operations());
    all.fallback(no_such_resource)
}

/// Returns the routes of the control socket.
pub fn control(store: &JobStore) -> Router {
    simulation::control_routes(store)
}

/// Sends a request and reads the whole response, or as much as the client wants.
pub fn ask(routes: Router, ask: &Ask) -> Result<Answer, Finding> {
    let what = || format!("{} {}", ask.method, ask.path);
    let panics = PANICS.get();
    // Each request has its own runtime, so that nothing is left afterward.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|e| format!("a runtime: {e}"))?;
    let encoding = ["identity", "gzip", "zstd"][usize::from(ask.encoding % 3)];
    let request = Request::builder()
        .method(ask.method)
        .uri(&ask.path)
        .header("accept-encoding", encoding)
        .header("x-request-id", REQUEST_ID)
        .body(Body::from(ask.body.clone()))
        .map_err(|e| format!("{}: {e}", what()))?;
    let answer = runtime.block_on(async {
        let response = routes.oneshot(request).await.map_err(|e| e.to_string())?;
        let (parts, mut body) = response.into_parts();
        let (mut bytes, mut pieces) = (Some(Vec::new()), 0);
        while ask.pieces_max.is_none_or(|max| pieces < max) {
            match body.frame().await {
                None => break,
                Some(Ok(frame)) => {
                    if let (Some(bytes), Some(data)) = (&mut bytes, frame.data_ref()) {
                        bytes.extend_from_slice(data);
                    }
                }
                Some(Err(_)) => {
                    bytes = None;
                    break;
                }
            }
            pieces += 1;
        }
        Ok::<_, Finding>(Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: bytes,
        })
    })?;
    drop(runtime);
    if PANICS.get() != panics {
        return Err(format!("{}: the handler panicked", what()));
    }
    for (name, value) in [("x-request-id", REQUEST_ID), ("cache-control", "no-store")] {
        if answer.header(name) != Some(value) {
            let found = answer.header(name);
            return Err(format!("{}: {name} is {found:?}, not {value}", what()));
        }
    }
    match ask.pieces_max {
        Some(_) => Ok(answer),
        None => decoded(answer).map_err(|e| format!("{}: {e}", what())),
    }
}

fn decoded(mut answer: Answer) -> Result<Answer, Finding> {
    let Some(body) = answer.body.take() else {
        return Ok(answer);
    };
    let body = match answer.header("content-encoding") {
        None => Ok(body),
        Some("gzip") => {
            let mut text = Vec::new();
            let mut reader = flate2::read::GzDecoder::new(&*body);
            reader.read_to_end(&mut text).map(|_| text)
        }
        Some("zstd") => zstd::decode_all(&*body),
        Some(other) => return Err(format!("the encoding is {other}")),
    };
    answer.body = Some(body.map_err(|e| format!("the body cannot be decoded: {e}"))?);
    Ok(answer)
}

/// Encodes a segment of a path or a part of a query.
pub fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'_' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}
