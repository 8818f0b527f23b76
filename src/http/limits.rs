//! Limits on what responses may cost.
//!
//! Contains [`Limits`], and the slots for long responses and scans. Long pages do not delay short
//! ones, however many there are, and one project cannot take all slots from the others. A slot is
//! released when its guard is dropped.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::clock::bounded;
use crate::model::api_error::ApiError;

/// Limits on what responses may cost, set by [`Routes::limits`](crate::http::Routes::limits). The
/// response to a request that exceeds a limit is 503 `engine service unavailable`, with a
/// `Retry-After` header.
///
/// # Examples
/// ```
/// use jobstore::http::{Limits, Routes};
/// use std::time::Duration;
/// # let store = jobstore::JobStore::in_memory()?;
/// let limits = Limits::new()
///     .long_pages(16)
///     .stall(Duration::from_secs(5));
/// let routes = Routes::new(&store).limits(limits);
/// # drop(routes);
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Limits {
    pub(crate) long_pages: usize,
    pub(crate) scans: usize,
    pub(crate) first_byte: Duration,
    pub(crate) stall: Duration,
    pub(crate) whole: Duration,
    pub(crate) compressed_cache_bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            long_pages: 128,
            scans: 4,
            first_byte: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            whole: Duration::from_secs(15 * 60),
            compressed_cache_bytes: 16 << 20,
        }
    }
}

impl Limits {
    /// Returns the default limits: 128 long pages, 4 scans, 30 s to the first byte, 30 s for each
    /// block, 15 min in total, and 16 MiB for compressed jobs.
    pub fn new() -> Limits {
        Limits::default()
    }

    /// Sets the maximum number of long pages sent concurrently. A long page is one that is larger
    /// than a block of 64 KiB. Each long page needs memory for one or two blocks, or for one
    /// compressed run of jobs ([`Limits::compressed_cache_bytes`]), and keeps its files open. Short
    /// pages are not limited. One project can use at most half of the slots, so its clients cannot
    /// lock out the clients of other projects.
    pub fn long_pages(mut self, pages: usize) -> Limits {
        self.long_pages = pages;
        self
    }

    /// Sets the maximum number of lists that scan jobs concurrently. Any filter requires a scan,
    /// except a filter by state ([`JobQuery`](crate::JobQuery) documents the cost of each filter).
    /// One project can use at most half of the slots.
    pub fn scans(mut self, scans: usize) -> Limits {
        self.scans = scans;
        self
    }

    /// Sets the maximum time until a response begins, including the authorization hook. If a scan
    /// takes longer, the response does not wait for it, but the scan keeps its slot until it has
    /// ended.
    pub fn first_byte(mut self, time: Duration) -> Limits {
        self.first_byte = bounded(time);
        self
    }

    /// Sets the maximum time that a client may take to read a block of about 64 KiB. If the client
    /// takes longer, the page's resources are released, and the connection is aborted when the
    /// server next polls the response. ([`serve()`](crate::http::serve()) aborts it immediately.)
    pub fn stall(mut self, time: Duration) -> Limits {
        self.stall = bounded(time);
        self
    }

    /// Sets the maximum time that a whole response may take, even if the client keeps reading.
    pub fn whole(mut self, time: Duration) -> Limits {
        self.whole = bounded(time);
        self
    }

    /// Sets the maximum size of the cache of compressed jobs, in bytes. The default is 16 MiB, and 0
    /// turns the cache off. The memory is used only as needed. No request is refused because of this
    /// limit.
    ///
    /// If a client accepts `gzip` or `zstd`, runs of 512 complete jobs on a page of
    /// [`Routes::list`](crate::http::Routes::list) are compressed once, and kept for other pages.
    /// The least recently used runs are evicted. A run with more than 512 KiB of text is not kept.
    /// Jobs that were purged may stay in memory until then, but are not on later pages.
    ///
    /// Such a response is a single member in gzip, but several frames in zstd (RFC 8878, section 3),
    /// and some clients read only the first frame. Therefore, it is sent in gzip if the client
    /// accepts both with the same weight. Without the cache, zstd is preferred, and a response is a
    /// single frame.
    ///
    /// # Cost
    /// A run takes about as much memory as it takes in a response, once for each encoding. A page
    /// from the cache costs a small fraction of the processor time of compressing it, and its jobs
    /// are not read from the files.
    pub fn compressed_cache_bytes(mut self, bytes: u64) -> Limits {
        self.compressed_cache_bytes = bytes;
        self
    }
}

/// The slots for long pages and scans.
#[derive(Debug)]
pub(crate) struct ProjectLimits {
    long_pages: Arc<ProjectSemaphore>,
    scans: Arc<ProjectSemaphore>,
}

impl ProjectLimits {
    pub(crate) fn new(limits: &Limits) -> ProjectLimits {
        ProjectLimits {
            long_pages: Arc::new(ProjectSemaphore::new("long page", limits.long_pages)),
            scans: Arc::new(ProjectSemaphore::new("scan", limits.scans)),
        }
    }

    pub(crate) fn long_page(&self, project_id: &str) -> Result<Permit, ApiError> {
        self.long_pages.take(project_id)
    }

    pub(crate) fn scan(&self, project_id: &str) -> Result<Permit, ApiError> {
        self.scans.take(project_id)
    }
}

/// Slots of one kind.
#[derive(Debug)]
struct ProjectSemaphore {
    what: &'static str,
    count: usize,
    /// How many slots each project has taken. Projects without slots are absent.
    taken: Mutex<HashMap<String, usize>>,
}

impl ProjectSemaphore {
    fn new(what: &'static str, count: usize) -> ProjectSemaphore {
        ProjectSemaphore {
            what,
            count,
            taken: Mutex::default(),
        }
    }

    fn take(self: &Arc<ProjectSemaphore>, project_id: &str) -> Result<Permit, ApiError> {
        let mut taken = self.taken.lock();
        let of_all: usize = taken.values().sum();
        let own = taken.get(project_id).copied().unwrap_or(0);
        if of_all >= self.count || own >= self.count.div_ceil(2) {
            let what = self.what;
            tracing::warn!(
                what,
                of_all,
                own,
                "refused a request: too many of this kind are in progress"
            );
            return Err(ApiError::unavailable());
        }
        taken.insert(project_id.to_owned(), own + 1);
        Ok(Permit {
            semaphore: self.clone(),
            project_id: project_id.to_owned(),
        })
    }
}

/// A project's slot, released when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    semaphore: Arc<ProjectSemaphore>,
    project_id: String,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut taken = self.semaphore.taken.lock();
        match taken.get_mut(&self.project_id) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(taken.remove(&self.project_id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_project_has_half_of_the_places_and_leaves_the_rest_to_others() {
        let project_limits = ProjectLimits::new(&Limits::new().long_pages(5).scans(1));
        let own: Vec<Permit> = (0..3)
            .map(|_| project_limits.long_page("a").unwrap())
            .collect();
        assert!(project_limits.long_page("a").is_err());
        let others = [
            project_limits.long_page("b").unwrap(),
            project_limits.long_page("c").unwrap(),
        ];
        assert!(project_limits.long_page("d").is_err());
        // Slots of the other kind are separate, and any project can take a free one.
        drop(project_limits.scan("a").unwrap());
        assert!(project_limits.scan("b").is_ok());
        drop(own);
        assert!(project_limits.long_page("a").is_ok());
        drop(others);
        assert!(project_limits.long_pages.taken.lock().is_empty());
        assert!(
            ProjectLimits::new(&Limits::new().scans(0))
                .scan("a")
                .is_err()
        );
    }
}
