//! What answering may take.
//!
//! Owns: [`Limits`], and the places that long answers and scans have to get. Must not
//! know: what is answered.
//! Promise: many long pages keep nobody from a short one, and one project's none of another
//! from its own; a place that was got comes back with whoever holds it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::clock::bounded;
use crate::model::api_error::ApiError;

/// What answering may take, of [`Routes::limits`](crate::http::Routes::limits). Whoever
/// is over a limit gets 503 `engine service unavailable` and a `Retry-After`.
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
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            long_pages: 128,
            scans: 4,
            first_byte: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            whole: Duration::from_secs(15 * 60),
        }
    }
}

impl Limits {
    /// 128 long pages, 4 scans, 30 s to the first byte, 30 s for each block, 15 min for all.
    pub fn new() -> Limits {
        Limits::default()
    }

    /// How many long pages are on their way at once: those that do not fit into a block of
    /// 64 KiB. Each costs memory for a block or two and keeps its files open. Short pages
    /// are not counted. One project has at most half of them, so that its clients do not
    /// shut out those of others.
    pub fn long_pages(mut self, pages: usize) -> Limits {
        self.long_pages = pages;
        self
    }

    /// How many lists are looked for at once whose filter goes through the jobs: any but
    /// by state ([`JobQuery`](crate::JobQuery) says what each costs). One project has at most half.
    pub fn scans(mut self, scans: usize) -> Limits {
        self.scans = scans;
        self
    }

    /// How long an answer may take to begin, the hook's word included. A scan that takes
    /// longer is not waited for; it keeps its place until it has ended.
    pub fn first_byte(mut self, time: Duration) -> Limits {
        self.first_byte = bounded(time);
        self
    }

    /// How long a client may take for a block of about 64 KiB. One that takes longer is
    /// cut off: what the page held is let go of, and the connection is aborted as soon as
    /// the server sees to it again. ([`serve()`](crate::http::serve()) does at once.)
    pub fn stall(mut self, time: Duration) -> Limits {
        self.stall = bounded(time);
        self
    }

    /// How long an answer may take as a whole, however steadily the client takes it.
    pub fn whole(mut self, time: Duration) -> Limits {
        self.whole = bounded(time);
        self
    }
}

/// The places there are.
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

/// Places of one kind.
#[derive(Debug)]
struct ProjectSemaphore {
    what: &'static str,
    count: usize,
    /// How many each project has, where it has any.
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

/// A project's place, given back when it is dropped.
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
        // Those of another kind are others, and one that there is can be had by anybody.
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
