//! Runs several backend calls concurrently, because each spends most of its time waiting.

use std::panic::resume_unwind;

use crate::model::error::Result;

/// The number of concurrent calls.
pub(crate) const CALLS: usize = 16;

/// Does the work for all items, up to [`CALLS`] of them concurrently, and returns the results in the
/// order of the items. The threads end before this returns.
pub(crate) fn at_once<I: Sync, T: Send>(
    items: &[I],
    work: impl Fn(&I) -> Result<T> + Sync,
) -> Vec<Result<T>> {
    if items.len() < 2 || is_simulated() {
        return items.iter().map(work).collect();
    }
    let batches = items.chunks(CALLS);
    batches
        .flat_map(|batch| all_at_once(batch, &work))
        .collect()
}

fn all_at_once<I: Sync, T: Send>(
    items: &[I],
    work: &(impl Fn(&I) -> Result<T> + Sync),
) -> Vec<Result<T>> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = items
            .iter()
            .map(|item| {
                let thread = std::thread::Builder::new().name("jobstore-restore".to_owned());
                thread.spawn_scoped(scope, move || work(item))
            })
            .collect();
        let results = items
            .iter()
            .zip(threads)
            .map(|(item, thread)| match thread {
                Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                // If a thread cannot be started, this thread does its work.
                Err(_) => work(item),
            });
        results.collect()
    })
}

/// A simulated thread must not share its work with threads that are not simulated.
fn is_simulated() -> bool {
    #[cfg(any(test, feature = "simulation"))]
    return crate::base::simulated::is_simulated();
    #[cfg(not(any(test, feature = "simulation")))]
    false
}
