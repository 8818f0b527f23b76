// The public builder.

use std::fmt;
use std::time::Duration;

/// Configures an [`S3Replica`](crate::replica::S3Replica). What is not set here comes from the
/// environment.
///
/// # Examples
/// ```
/// use jobstore::replica::{Replica, S3Replica};
/// let replica = S3Replica::builder("s3://jobs/engine-1")
///     .endpoint("http://127.0.0.1:9000")
///     .credentials("minio", "minio123", None)
///     .build()?;
/// assert_eq!(replica.place(), "s3://jobs/engine-1");
/// # Ok::<(), jobstore::replica::ReplicaError>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct S3ReplicaBuilder {
    pub(crate) url: String,
    pub(crate) endpoint: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) credentials: Option<(String, String, Option<String>)>,
    pub(crate) profile: Option<String>,
    pub(crate) virtual_hosted_style: Option<bool>,
    pub(crate) request_timeout: Option<Duration>,
}

// The credentials are secret.
impl fmt::Debug for S3ReplicaBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3ReplicaBuilder").finish_non_exhaustive()
    }
}

impl S3ReplicaBuilder {
    pub(crate) fn new(url: &str) -> S3ReplicaBuilder {
        S3ReplicaBuilder {
            url: url.to_owned(),
            endpoint: None,
            region: None,
            credentials: None,
            profile: None,
            virtual_hosted_style: None,
            request_timeout: None,
        }
    }

    /// Sets the URL of the server, such as `https://s3.example.com`. Only an `http` URL makes
    /// requests without TLS.
    ///
    /// By default: `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, `endpoint_url` of the profile, or
    /// AWS.
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(url.into());
        self
    }

    /// Sets the region.
    ///
    /// By default: `AWS_REGION`, `AWS_DEFAULT_REGION`, `region` of the profile, or `us-east-1`.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Sets the access key, and the session token if the key is temporary.
    pub fn credentials(
        mut self,
        access_key_id: impl Into<String>,
        secret_access_key: impl Into<String>,
        session_token: Option<String>,
    ) -> Self {
        let key = (access_key_id.into(), secret_access_key.into());
        self.credentials = Some((key.0, key.1, session_token));
        self
    }

    /// Sets the profile to read the access key, the region, and the endpoint from. It takes
    /// precedence over the access key in the environment.
    ///
    /// By default: `AWS_PROFILE`, or `default`.
    pub fn profile(mut self, name: impl Into<String>) -> Self {
        self.profile = Some(name.into());
        self
    }

    /// Sets whether the bucket is part of the host name (`https://BUCKET.HOST/KEY`) or of the path
    /// (`https://HOST/BUCKET/KEY`).
    ///
    /// By default: `AWS_VIRTUAL_HOSTED_STYLE_REQUEST`, or of the path if an endpoint is set.
    pub fn virtual_hosted_style(mut self, enabled: bool) -> Self {
        self.virtual_hosted_style = Some(enabled);
        self
    }

    /// Sets how long a request may take, not counting 1 s per MiB transferred. By default, 30 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = Some(timeout);
        self
    }
}
