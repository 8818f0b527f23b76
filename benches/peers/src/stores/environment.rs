//! An LMDB environment, for the two stores that use it.
//!
//! LMDB is used with its default flags: a commit writes its pages and syncs them, and then writes
//! the page that makes them valid through a handle opened for synchronous writes. The cache is the
//! system's, which LMDB uses through the memory map.

use std::path::Path;

use anyhow::Result;
use heed::{Env, EnvOpenOptions, WithoutTls};

/// The size of the memory map. It takes address space, but no memory or disk space.
const MAP_BYTES: usize = 64 << 30;

pub fn open(dir: &Path, databases: u32) -> Result<Env<WithoutTls>> {
    std::fs::create_dir_all(dir)?;
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.map_size(MAP_BYTES).max_dbs(databases);
    // SAFETY: the file is in a directory that this run created, and nothing but LMDB writes to it
    // while it is mapped.
    #[allow(unsafe_code)]
    let environment = unsafe { options.open(dir)? };
    Ok(environment)
}

pub fn close(environment: Env<WithoutTls>) {
    environment.prepare_for_closing().wait();
}
