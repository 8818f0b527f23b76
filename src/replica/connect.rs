// Selects the implementation of `Replica` for a URL.

use std::sync::Arc;

use super::pair::Pair;
use super::url::{invalid, split_scheme};
use crate::model::replica::{Replica, ReplicaError};

const SCHEMES: &str =
    "use s3://BUCKET/PREFIX, etcd://HOST:PORT/PREFIX, or log=etcd://...,packs=s3://...";

/// Returns the replica at a URL.
///
/// | URL | backend | feature |
/// |---|---|---|
/// | `s3://BUCKET/PREFIX` | S3-compatible object storage: `S3Replica` | `replica-s3` |
/// | `etcd://HOST:PORT,HOST:PORT/PREFIX`, with TLS `etcds://` | etcd, only for the chunks: `EtcdReplica` | `replica-etcd` |
/// | `log=URL,packs=URL` | chunks in one backend and blobs in another: [`Pair`] | those of both URLs |
///
/// This reads the configuration of the backend's client, such as credentials, from the environment.
/// It does not test whether the backend can be reached.
///
/// # Errors
/// [`ReplicaError::Refused`] if the URL is invalid, if its backend needs a feature that this build
/// does not have, or if the configuration is incomplete.
///
/// # Examples
/// ```
/// let error = jobstore::replica::connect("ftp://example.com/jobs").err().unwrap();
/// assert!(error.to_string().contains("unknown scheme ftp"));
/// ```
pub fn connect(url: &str) -> Result<Arc<dyn Replica>, ReplicaError> {
    if url.starts_with("log=") {
        return Ok(Arc::new(Pair::from_url(url, connect)?));
    }
    match split_scheme(url).map(|(scheme, _)| scheme) {
        Some("s3") => s3(url),
        Some("etcd" | "etcds") => etcd(url),
        Some(scheme) => Err(invalid(url, &format!("unknown scheme {scheme}"), SCHEMES)),
        None => Err(invalid(url, "it has no scheme", SCHEMES)),
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

#[cfg(feature = "replica-etcd")]
fn etcd(url: &str) -> Result<Arc<dyn Replica>, ReplicaError> {
    Ok(Arc::new(super::etcd::EtcdReplica::from_url(url)?))
}

#[cfg(not(feature = "replica-etcd"))]
fn etcd(url: &str) -> Result<Arc<dyn Replica>, ReplicaError> {
    Err(invalid(
        url,
        "this build has no support for etcd",
        "enable the feature replica-etcd of jobstore",
    ))
}
