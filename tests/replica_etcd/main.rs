//! The log of a replica on real etcd clusters. These tests start the nodes, and need etcd:
//!
//! ```text
//! apt-get install --no-install-recommends etcd-server
//! cargo test --features replica-etcd --test replica_etcd -- --ignored
//! ```

mod cluster;
mod faults;
mod latency;
mod log;
mod pair;
mod security;
