// Sends HTTP requests for object_store.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use rustls::ClientConfig;
use rustls_platform_verifier::Verifier;

use super::failure::{Failure, record, short_chain};
use crate::replica::tls::{builder, certificates, without_roots};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The lowest rate, in bytes per second, at which a body may be transferred.
const MIN_RATE: u64 = 1 << 20;
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// An error message is far smaller.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// How long a request may take if this many bytes are sent or received.
pub(crate) fn time_limit(timeout: Duration, bytes: u64) -> Duration {
    timeout + Duration::from_secs(bytes / MIN_RATE)
}

/// Returns a client for an endpoint. `ca_bundle` is a file with additional certificates.
pub(crate) fn client(endpoint: &str, ca_bundle: Option<&str>) -> Result<reqwest::Client, String> {
    let url = reqwest::Url::parse(endpoint).map_err(|error| error.to_string())?;
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls(url.scheme() == "https", ca_bundle)?)
        .user_agent(concat!("jobstore/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .http1_only()
        // A signature is only valid for the host it was made for.
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never());
    let is_loopback = match url.host_str() {
        Some("localhost" | "[::1]") => true,
        Some(host) => host.starts_with("127."),
        None => false,
    };
    if is_loopback {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| short_chain(&error))
}

fn tls(is_required: bool, ca_bundle: Option<&str>) -> Result<ClientConfig, String> {
    let roots = match ca_bundle {
        Some(file) => certificates(file).map_err(|problem| format!("AWS_CA_BUNDLE: {problem}"))?,
        None => Vec::new(),
    };
    let builder = builder()?;
    match Verifier::new_with_extra_roots(roots, builder.crypto_provider().clone()) {
        Ok(verifier) => Ok(builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth()),
        // A minimal container has no certificates, and needs none for http.
        Err(_) if !is_required => without_roots(),
        Err(error) => Err(format!(
            "no trusted certificates: {}; install ca-certificates, or set AWS_CA_BUNDLE",
            short_chain(&error)
        )),
    }
}

/// Returns clients that share one pool of connections.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    pub client: reqwest::Client,
    pub timeout: Duration,
    /// Whether failures are recorded for [`observed`](super::failure::observed).
    pub records: bool,
}

impl HttpConnector for Transport {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Transport {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let limit = time_limit(self.timeout, request.body().content_length() as u64);
        let result = tokio::time::timeout(limit, self.send(request)).await;
        let result = result.unwrap_or_else(|late| {
            let text = format!("no response within {limit:?}");
            let late = HttpError::new(HttpErrorKind::Timeout, late);
            Err((Failure::NoAnswer(text), late))
        });
        let (response, failure) = match result {
            Ok((response, failure)) => (Ok(response), failure),
            Err((failure, error)) => (Err(error), Some(failure)),
        };
        if self.records {
            record(failure);
        }
        response
    }
}

impl Transport {
    async fn send(
        &self,
        request: HttpRequest,
    ) -> Result<(HttpResponse, Option<Failure>), (Failure, HttpError)> {
        let server = request.uri().authority().map(ToString::to_string);
        let response = HttpService::call(&self.client, request).await;
        let response = response.map_err(|error| {
            let text = error
                .source()
                .map_or_else(|| short_chain(&error), short_chain);
            let text = match (error.kind(), server) {
                (HttpErrorKind::Connect, Some(server)) => {
                    format!("cannot connect to {server}: {text}")
                }
                _ => text,
            };
            (Failure::NoAnswer(text), error)
        })?;
        if response.status().is_success() {
            return Ok((response, None));
        }
        let (parts, body) = response.into_parts();
        let (mut stream, mut body) = (body.bytes_stream(), Vec::new());
        while let Some(Ok(bytes)) = stream.next().await {
            body.extend_from_slice(&bytes[..bytes.len().min(MAX_ERROR_BYTES - body.len())]);
            if body.len() == MAX_ERROR_BYTES {
                break;
            }
        }
        let failure = Failure::from_answer(parts.status.as_u16(), &String::from_utf8_lossy(&body));
        Ok((HttpResponse::from_parts(parts, body.into()), Some(failure)))
    }
}
