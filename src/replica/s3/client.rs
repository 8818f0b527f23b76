// The connection to one bucket: a thread, and two clients that differ in how they retry.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsCredential, AwsCredentialProvider};
use object_store::{BackoffConfig, CredentialProvider, RetryConfig};

use super::failure::{Failure, record, short_chain};
use super::settings::Settings;
use super::transport::{self, Transport, time_limit};
use crate::model::replica::ReplicaError;
use crate::replica::runtime::{Pending, Runtime};

const THREAD: &str = "jobstore-s3";
/// For the metadata service, which is on the same host.
const INSTANCE_TIMEOUT: Duration = Duration::from_secs(6);
const MAX_RETRIES: usize = 3;
const RETRY_TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) struct Client {
    runtime: Runtime,
    timeout: Duration,
    /// Retries requests that can be repeated.
    pub store: AmazonS3,
    /// Never retries. The second of two creates would find the chunk of the first.
    pub creator: AmazonS3,
}

impl Client {
    pub(crate) fn connect(settings: &Settings) -> Result<Client, ReplicaError> {
        let err = |problem: String| ReplicaError::Refused {
            what: format!("{}: {problem}", settings.url.place()),
        };
        let client = transport::client(&settings.endpoint, settings.ca_bundle.as_deref());
        let client = client.map_err(err)?;
        let runtime = Runtime::start(THREAD);
        let runtime = runtime.map_err(|e| err(format!("cannot start its thread: {e}")))?;
        let transport = |records| Transport {
            client: client.clone(),
            timeout: settings.request_timeout,
            records,
        };
        let build = |builder: AmazonS3Builder| builder.build().map_err(|e| err(short_chain(&e)));

        let builder = settings.builder.clone().with_retry(retry(1));
        let seed = build(builder.with_http_connector(transport(false)))?;
        let credentials = seed.credentials().clone();
        if let Some(tried) = &settings.only_from_instance {
            let credentials = credentials.clone();
            let get = async move {
                let result = credentials.get_credential().await;
                result.map_err(|error| Failure::Credentials(short_chain(&error)))
            };
            if begin(&runtime, INSTANCE_TIMEOUT, get).wait().is_err() {
                return Err(err(format!(
                    "no credentials: {tried}, and no instance metadata service is available; set \
                     the variables, or AWS_PROFILE"
                )));
            }
        }
        let with_retries = |retries| {
            let builder = settings.builder.clone().with_retry(retry(retries));
            let builder = builder.with_credentials(Arc::new(Recorded(credentials.clone())));
            build(
                builder
                    .with_http_connector(transport(true))
                    .with_disable_bulk_delete(true),
            )
        };
        Ok(Client {
            store: with_retries(MAX_RETRIES)?,
            creator: with_retries(0)?,
            timeout: settings.request_timeout,
            runtime,
        })
    }

    /// Begins a call that transfers about this many bytes.
    pub(crate) fn begin<T: Send + 'static>(
        &self,
        bytes: u64,
        call: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Answer<T> {
        // Each request has its own limit; this one also covers credentials and retries.
        let limit = time_limit(self.timeout, bytes) + RETRY_TIMEOUT;
        begin(&self.runtime, limit, call)
    }

    /// Makes a call that transfers about this many bytes, and waits for its result.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        bytes: u64,
        call: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        self.begin(bytes, call).wait()
    }
}

/// Begins a call that may take up to `limit`.
fn begin<T: Send + 'static>(
    runtime: &Runtime,
    limit: Duration,
    call: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Answer<T> {
    Answer(runtime.begin(async move {
        let result = tokio::time::timeout(limit, call).await;
        let late = || Failure::NoAnswer(format!("no response within {limit:?}"));
        result.unwrap_or_else(|_| Err(late()))
    }))
}

/// The result of a call that is being made.
pub(crate) struct Answer<T>(Pending<Result<T, Failure>>);

impl<T> Answer<T> {
    /// Waits for the result.
    pub(crate) fn wait(self) -> Result<T, Failure> {
        let stopped = || Failure::NoAnswer(format!("the thread {THREAD} has stopped"));
        self.0.wait().unwrap_or_else(|| Err(stopped()))
    }
}

fn retry(max_retries: usize) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(3),
            base: 2.0,
        },
        max_retries,
        retry_timeout: RETRY_TIMEOUT,
    }
}

/// Tells a failure to get credentials from a failed request.
struct Recorded(AwsCredentialProvider);

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorded")
    }
}

#[async_trait]
impl CredentialProvider for Recorded {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let result = self.0.get_credential().await;
        if let Err(error) = &result {
            record(Some(Failure::Credentials(short_chain(error))));
        }
        result
    }
}
