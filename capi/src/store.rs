// Stores, from open to close.

use std::ffi::c_char;
use std::mem::MaybeUninit;

use jobstore::{JobStore, Options, RecoveryAction};
use serde_json::json;

use crate::bytes::jobstore_bytes;
use crate::call::{call, free, given, handle, put};
use crate::error::{Failure, jobstore_error};
use crate::options::jobstore_options;
use crate::text::jobstore_text;

/// An open store. Any number of threads may use it at the same time.
pub struct jobstore_store(pub(crate) JobStore);

/// Returns the version of the library, such as `0.1.0`. The string is static.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Opens the store in a directory, and creates both if they do not exist. `options` may be NULL.
/// The directory must be on a local file system. Only one process can open a store for writing.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_open(
    directory: jobstore_text,
    options: Option<&jobstore_options>,
    store: Option<&mut MaybeUninit<*mut jobstore_store>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        open(
            options,
            store,
            |o| Ok(o.open(directory.read("directory")?)?),
        )
    })
}

/// Opens a new store in memory, for tests. `options` may be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_open_in_memory(
    options: Option<&jobstore_options>,
    store: Option<&mut MaybeUninit<*mut jobstore_store>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || open(options, store, |o| Ok(o.in_memory()?)))
}

/// Opens a follower: a copy of the store of another process, which shows what that process writes
/// to its replica. The option `replica` is required.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_follow(
    directory: jobstore_text,
    options: Option<&jobstore_options>,
    store: Option<&mut MaybeUninit<*mut jobstore_store>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        open(options, store, |o| {
            Ok(o.follow(directory.read("directory")?)?)
        })
    })
}

fn open(
    options: Option<&jobstore_options>,
    store: Option<&mut MaybeUninit<*mut jobstore_store>>,
    open: impl FnOnce(Options) -> Result<JobStore, Failure>,
) -> Result<(), Failure> {
    let options = options.map(|options| options.0.clone());
    put(store, "store", || {
        Ok(handle(jobstore_store(open(options.unwrap_or_default())?)))
    })
}

/// Returns the jobs that this open found running, and what it did with each of them, as JSON:
/// `{"opens":2,"jobs":[{"projectId":"..","graphName":"..","jobId":"..","action":"interrupted"}]}`.
/// The actions are `interrupted`, `cancelled`, `requeued`, and `left`.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_recovered(
    store: Option<&jobstore_store>,
    json: Option<&mut MaybeUninit<jobstore_bytes>>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || {
        let recovered = given(store, "store")?.0.recovered();
        let mut jobs = Vec::new();
        for found in recovered.jobs() {
            let found = found?;
            jobs.push(json!({
                "projectId": found.graph.project_id(),
                "graphName": found.graph.name(),
                "jobId": found.job.id().as_str(),
                "action": match found.action {
                    RecoveryAction::Interrupted => "interrupted",
                    RecoveryAction::Cancelled => "cancelled",
                    RecoveryAction::Requeued => "requeued",
                    _ => "left",
                },
            }));
        }
        let found = json!({"opens": recovered.opens(), "jobs": jobs});
        put(json, "json", || jobstore_bytes::new(found.to_string()))
    })
}

/// Closes a store, after its queued writes. Afterward, calls with this store, its graphs, pages,
/// and runs return `JOBSTORE_ERROR_CLOSED`. The handles still have to be freed. Closing a closed
/// store has no effect.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_close(
    store: Option<&jobstore_store>,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    call(error, || Ok(given(store, "store")?.0.close()?))
}

/// Frees a store. The store is closed when its last handle is freed: the store itself and its
/// graphs, pages, runs, feeds, and pending calls. Close it explicitly to learn about errors.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_free(store: Option<Box<jobstore_store>>) {
    free(store);
}
