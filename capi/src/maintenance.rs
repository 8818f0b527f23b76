// What operators need: statistics, health, backup, verification.

use std::mem::MaybeUninit;

use jobstore::JobStore;

use crate::bytes::jobstore_bytes;
use crate::call::{call, given, put, put_if_wanted};
use crate::error::jobstore_error;
use crate::store::jobstore_store;
use crate::text::jobstore_text;

/// Returns the statistics of a store as JSON.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_stats(
    store: Option<&jobstore_store>,
    json: Option<&mut MaybeUninit<jobstore_bytes>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let stats = given(store, "store")?.0.stats()?;
        put(json, "json", || jobstore_bytes::new(stats.to_json()))
    })
}

/// Returns the health of a store as JSON: `{"state":"ok"}`. The states are `ok`, `degraded` and
/// `read_only` (both with the reason as `why`), and `closed`.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_health(
    store: Option<&jobstore_store>,
    json: Option<&mut MaybeUninit<jobstore_bytes>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let health = given(store, "store")?.0.health();
        put(json, "json", || jobstore_bytes::new(health.to_json()))
    })
}

/// Backs up a store, while it is in use, to a directory that is empty or does not exist. Returns a
/// report as JSON.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_backup(
    store: Option<&jobstore_store>,
    directory: jobstore_text,
    json: Option<&mut MaybeUninit<jobstore_bytes>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let (store, directory) = (given(store, "store")?, directory.read("directory")?);
        put(json, "json", || {
            jobstore_bytes::new(store.0.backup(directory)?.to_json())
        })
    })
}

/// Verifies every byte of a store that is closed, and returns a report as JSON. `sound` receives
/// whether the store is free of damage; it may be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_verify(
    directory: jobstore_text,
    sound: Option<&mut MaybeUninit<bool>>,
    json: Option<&mut MaybeUninit<jobstore_bytes>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let directory = directory.read("directory")?;
        put(json, "json", || {
            let report = JobStore::verify(directory)?;
            put_if_wanted(sound, report.is_sound());
            jobstore_bytes::new(report.to_json())
        })
    })
}
