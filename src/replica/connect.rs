// Selects the implementation of `Replica` for a URL.

use std::sync::Arc;

use super::url::{invalid, split_scheme};
use crate::model::replica::{Replica, ReplicaError};

/// Returns the replica at a URL.
///
/// | URL | engine | feature |
/// |---|---|---|
/// | `s3://BUCKET/PREFIX` | S3-compatible object storage: `S3Replica` | `replica-s3` |
///
/// This reads the configuration of the engine's client, such as credentials, from the environment.
/// It does not test whether the engine can be reached.
///
/// # Errors
/// [`ReplicaError::Refused`] if the URL is invalid, if its engine needs a feature that this build
/// does not have, or if the configuration is incomplete.
///
/// # Examples
/// ```
/// let error = jobstore::replica::connect("ftp://example.com/jobs").err().unwrap();
/// assert!(error.to_string().contains("unknown scheme ftp"));
/// ```
pub fn connect(url: &str) -> Result<Arc<dyn Replica>, ReplicaError> {
    match split_scheme(url).map(|(scheme, _)| scheme) {
        Some("s3") => s3(url),
        Some(scheme) => Err(invalid(
            url,
            &format!("unknown scheme {scheme}"),
            "use s3://BUCKET/PREFIX",
        )),
        None => Err(invalid(url, "it has no scheme", "use s3://BUCKET/PREFIX")),
    }
}

#[cfg(feature = "replica-s3")]
fn s3(url: &str) -> Result<Arc<dyn Replica>, ReplicaError> {
    Ok(Arc::new(super::s3::S3Replica::from_url(url)?))
}

#[cfg(not(feature = "replica-s3"))]
fn s3(url: &str) -> Result<Arc<dyn Replica>, ReplicaError> {
    Err(invalid(
        url,
        "this build has no support for S3",
        "enable the feature replica-s3 of jobstore",
    ))
}
