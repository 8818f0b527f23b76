//! A gRPC call of one node: one request message, one response message.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use reqwest::header::{HeaderMap, HeaderValue};

use super::failure::Failure;
use super::session;
use crate::replica::error_chain::chain;
use crate::replica::runtime::Runtime;
use crate::replica::tls::without_roots;

const THREAD: &str = "jobstore-etcd";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// While a request waits, pings find out whether the node is there. If it is not, the connection is
/// closed, so that no other request waits for it. etcd closes connections with more pings than one
/// in 5 seconds, or with pings while there is no request.
const PING_INTERVAL: Duration = Duration::from_secs(6);
const PING_TIMEOUT: Duration = Duration::from_secs(3);
/// Far beyond the default limit of etcd, 1.5 MiB for a request.
const MAX_RESPONSE_BYTES: usize = 256 << 20;

/// A method, and whether a request may be sent a second time if its response was lost.
#[derive(Clone, Copy)]
pub(super) struct Method {
    path: &'static str,
    pub(super) is_repeatable: bool,
}

pub(super) const RANGE: Method = Method {
    path: "/etcdserverpb.KV/Range",
    is_repeatable: true,
};
pub(super) const CREATE: Method = Method {
    path: "/etcdserverpb.KV/Txn",
    is_repeatable: false,
};
pub(super) const DELETE: Method = Method {
    path: "/etcdserverpb.KV/Txn",
    is_repeatable: true,
};
pub(super) const AUTHENTICATE: Method = Method {
    path: "/etcdserverpb.Auth/Authenticate",
    is_repeatable: true,
};

pub(super) struct Grpc {
    client: reqwest::Client,
    runtime: Runtime,
    /// `None` if connections are not encrypted.
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl Grpc {
    /// Without `tls`, connections are not encrypted.
    pub(super) fn new(tls: Option<rustls::ClientConfig>) -> Result<Grpc, String> {
        let runtime = Runtime::start(THREAD).map_err(|error| chain(&error))?;
        let config = match &tls {
            Some(tls) => tls.clone(),
            None => without_roots()?,
        };
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .http2_prior_knowledge()
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .http2_keep_alive_while_idle(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .build()
            .map_err(|error| chain(&error))?;
        Ok(Grpc {
            client,
            runtime,
            tls: tls.map(Arc::new),
        })
    }

    /// Makes a call, which blocks for at most [`REQUEST_TIMEOUT`].
    pub(super) fn call(
        &self,
        endpoint: &str,
        method: Method,
        token: Option<HeaderValue>,
        message: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let len = u32::try_from(message.len())
            .map_err(|_| Failure::NotSent("a message of more than 4 GiB".to_owned()))?;
        let mut body = Vec::with_capacity(5 + message.len());
        body.push(0); // not compressed
        body.extend_from_slice(&len.to_be_bytes());
        body.extend_from_slice(message);
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{endpoint}{}", method.path);
        let mut request = self
            .client
            .post(url)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", format!("{}S", REQUEST_TIMEOUT.as_secs()))
            .body(body);
        if let Some(token) = token {
            request = request.header("token", token);
        }
        let (tls, node) = (self.tls.clone(), endpoint.to_owned());
        let exchange = async move {
            match request.send().await {
                Ok(response) => read(response).await,
                Err(error) => Err(explain(&error.without_url(), tls, &node).await),
            }
        };
        let call = async {
            let late = || Failure::NoAnswer(format!("no response within {REQUEST_TIMEOUT:?}"));
            let response = tokio::time::timeout(REQUEST_TIMEOUT, exchange).await;
            response.unwrap_or_else(|_| Err(late()))
        };
        let stopped = || Failure::NotSent("the client's thread has stopped".to_owned());
        let response = self.runtime.begin(call).wait();
        let response = response.unwrap_or_else(|| Err(stopped()));
        response.map_err(|failure| failure.at(endpoint))
    }
}

/// Why a request failed. If a connection with TLS was closed, this opens another one to find out.
async fn explain(
    error: &reqwest::Error,
    tls: Option<Arc<rustls::ClientConfig>>,
    endpoint: &str,
) -> Failure {
    let failure = Failure::of_request(error, tls.is_some());
    let Some(tls) = tls.filter(|_| !error.is_connect() && !error.is_timeout()) else {
        return failure;
    };
    match tokio::time::timeout(CONNECT_TIMEOUT, session::test(tls, endpoint)).await {
        Ok(Err(error)) => failure.with_new_connection(&error),
        Ok(Ok(())) | Err(_) => failure,
    }
}

async fn read(response: reqwest::Response) -> Result<Vec<u8>, Failure> {
    let kind = response.headers().get("content-type");
    let is_grpc = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if response.status() != reqwest::StatusCode::OK || !is_grpc {
        let text = format!("no gRPC server (HTTP status {})", response.status());
        return Err(Failure::NoAnswer(text));
    }
    // A response that is only an error has its status in the header.
    if let Some(status) = status(response.headers()) {
        status?;
    }
    let body = reqwest::Body::from(response);
    let body = Limited::new(body, MAX_RESPONSE_BYTES).collect().await;
    let body = body.map_err(|error| Failure::NoAnswer(error.to_string()))?;
    match body.trailers().and_then(status) {
        Some(status) => status?,
        None => return Err(Failure::NoAnswer("the response is incomplete".to_owned())),
    }
    message(&body.to_bytes())
        .ok_or_else(|| Failure::NoAnswer("the response is not a gRPC message".to_owned()))
}

fn status(headers: &HeaderMap) -> Option<Result<(), Failure>> {
    let code = headers.get("grpc-status")?.to_str().ok();
    let Some(code) = code.and_then(|code| code.parse().ok()) else {
        let text = "the response has an invalid status".to_owned();
        return Some(Err(Failure::NoAnswer(text)));
    };
    if code == 0 {
        return Some(Ok(()));
    }
    let message = headers.get("grpc-message").map(HeaderValue::as_bytes);
    let message = percent_encoding::percent_decode(message.unwrap_or_default());
    let message = message.decode_utf8_lossy().into_owned();
    Some(Err(Failure::Status { code, message }))
}

fn message(body: &[u8]) -> Option<Vec<u8>> {
    let (&[flag, a, b, c, d], message) = body.split_first_chunk::<5>()?;
    let is_whole = flag == 0 && message.len() as u64 == u64::from(u32::from_be_bytes([a, b, c, d]));
    is_whole.then(|| message.to_vec())
}
