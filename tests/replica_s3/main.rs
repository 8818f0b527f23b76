//! The replica in S3-compatible object storage, with a server in this process, and with the
//! servers that `.ci/replica-servers` starts.

mod calls;
#[cfg(feature = "cli")]
mod cli;
#[path = "../common/fake_s3.rs"]
mod fake_s3;
mod faults;
mod servers;
mod settings;
mod store;

use jobstore::replica::S3Replica;

/// A replica in the bucket `jobs` of a server.
fn replica_at(endpoint: &str, prefix: &str) -> S3Replica {
    let url = format!("s3://jobs/{prefix}");
    let builder = S3Replica::builder(&url).endpoint(endpoint);
    builder
        .credentials("key-id", "secret-key", None)
        .build()
        .unwrap()
}
