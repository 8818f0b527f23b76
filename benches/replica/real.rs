//! Backends that `JOBSTORE_BENCH_REPLICAS` names.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jobstore::replica::Replica;

use crate::Backend;

/// The URLs below which replicas are created.
pub fn urls() -> Vec<String> {
    let urls = std::env::var("JOBSTORE_BENCH_REPLICAS").unwrap_or_default();
    urls.split_whitespace().map(str::to_owned).collect()
}

pub fn name(url: &str) -> String {
    let schemes = url.split(',').filter_map(|half| half.split_once("://"));
    schemes
        .map(|(scheme, _)| scheme)
        .collect::<Vec<_>>()
        .join(", ")
}

pub fn backends() -> Vec<Backend> {
    let backend = |url: String| Backend {
        name: name(&url),
        connect: Box::new(move || connect(&fresh(&url))),
    };
    urls().into_iter().map(backend).collect()
}

/// Returns the URL of a new replica below this one.
pub fn fresh(url: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let own = format!("/{}-{count}", std::process::id());
    // Each half of a pair ends before `,packs=`.
    match url.split_once(",packs=") {
        Some((log, packs)) => format!("{log}{own},packs={packs}{own}"),
        None => format!("{url}{own}"),
    }
}

#[cfg(any(feature = "replica-s3", feature = "replica-etcd"))]
pub fn connect(url: &str) -> Arc<dyn Replica> {
    jobstore::replica::connect(url).unwrap_or_else(|error| panic!("{error}"))
}

#[cfg(not(any(feature = "replica-s3", feature = "replica-etcd")))]
pub fn connect(url: &str) -> Arc<dyn Replica> {
    panic!("{url}: needs the feature replica-s3 or replica-etcd")
}
