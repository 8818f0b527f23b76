// Selects the implementation of `Replica` for a URL.

use std::sync::Arc;

use super::pair::Pair;
use super::url::{HALVES, invalid, split_scheme};
use crate::model::replica::{Replica, ReplicaError};

const FORMS: &str =
    "use s3://BUCKET/PREFIX, or log=etcd://HOST:PORT/PREFIX,packs=s3://BUCKET/PREFIX";
const BACKENDS: &str = "use s3://BUCKET/PREFIX or etcd://HOST:PORT/PREFIX";

/// Returns the replica at a URL.
///
/// | URL | backend | feature |
/// |---|---|---|
/// | `s3://BUCKET/PREFIX` | S3-compatible object storage: `S3Replica` | `replica-s3` |
/// | `log=URL,packs=URL` | chunks in one backend and blobs in another: [`Pair`] | those of both URLs |
/// | `etcd://HOST:PORT,HOST:PORT/PREFIX`, with TLS `etcds://` | etcd, which keeps only chunks and therefore is used in a pair, after `log=`: `EtcdReplica` | `replica-etcd` |
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
    match HALVES.iter().any(|half| url.starts_with(half)) {
        true => pair(url),
        false => backend(url, FORMS),
    }
}

fn pair(url: &str) -> Result<Arc<dyn Replica>, ReplicaError> {
    let halves = url.strip_prefix("log=");
    let halves = halves.and_then(|halves| halves.split_once(",packs="));
    let Some((log, packs)) = halves else {
        let (compact, begins) = (
            url.replace(char::is_whitespace, ""),
            url.starts_with("log="),
        );
        let problem = if begins && compact.contains(",packs=") {
            "it contains a space before packs="
        } else if begins {
            "it has no part packs="
        } else {
            "it does not begin with log="
        };
        return Err(invalid(url, problem, FORMS));
    };
    if let Some(("etcd" | "etcds", _)) = split_scheme(packs) {
        let problem = "packs= names etcd, which can keep only the log";
        return Err(invalid(url, problem, FORMS));
    }
    // Both URLs may be wrong in the same way.
    let half = |name: &str, url| {
        backend(url, BACKENDS).map_err(|error| match error {
            ReplicaError::Refused { what } => ReplicaError::Refused {
                what: format!("{name}: {what}"),
            },
            error => error,
        })
    };
    let (log, packs) = (half("log", log)?, half("packs", packs)?);
    Ok(Arc::new(Pair::new(log, packs)))
}

fn backend(url: &str, forms: &str) -> Result<Arc<dyn Replica>, ReplicaError> {
    match split_scheme(url).map(|(scheme, _)| scheme) {
        Some("s3") => s3(url),
        Some("etcd" | "etcds") => etcd(url),
        Some(scheme) => Err(invalid(url, &format!("unknown scheme {scheme}"), forms)),
        None => Err(invalid(url, "it has no scheme", forms)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_part_of_the_url_that_is_wrong() {
        for (url, problem) in [
            ("", "it has no scheme; use s3://"),
            (
                "ftp://a/p",
                "invalid replica URL ftp://a/p: unknown scheme ftp; use s3://",
            ),
            (
                "bucket",
                "invalid replica URL bucket: it has no scheme; use s3://",
            ),
            (
                "packs=s3://bucket/p,log=etcd://me:SECRET@a/p",
                "invalid replica URL packs=s3://bucket/p,log=etcd://a/p: it does not begin with",
            ),
            ("packs=s3://bucket/p", "it does not begin with log="),
            (
                "log=etcd://me:SECRET@a/p",
                "log=etcd://a/p: it has no part packs=",
            ),
            (
                "log=etcd://me:SECRET@a/p, packs=s3://bucket/p",
                "it contains a space before packs=",
            ),
            ("log=s3://bucket/p,packs=etcd://a/p", "packs= names etcd"),
            (
                "log=ftp://a/p,packs=s3://bucket/p",
                "log: invalid replica URL ftp://a/p: ",
            ),
            (
                "log=log=s3://bucket/p,packs=s3://bucket/p",
                "log: invalid replica URL log=s3://",
            ),
        ] {
            let error = connect(url).err().unwrap().to_string();
            assert!(error.contains(problem), "{url}: {error}");
            assert!(!error.contains("SECRET"), "{url}: {error}");
        }
    }
}
