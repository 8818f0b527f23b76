// Rejecting queries that a list, a purge, or an export cannot run.

use super::{JobQuery, PAGE_JOBS_MAX};
use crate::model::error::{Error, Result};

impl JobQuery {
    /// Rejects parts of a query that a purge would ignore, because a purge covers all jobs that
    /// match. The order of the list is accepted: it matters if [`JobQuery::on_progress`] stops the
    /// search.
    pub(crate) fn check_purge(&self) -> Result<()> {
        refuse(&[
            (
                self.filter.texts.has_empty(),
                "a purge does not accept an empty text, because every job contains it; omit the \
                 empty JobQuery::url_prefix, url_contains, or body_contains",
            ),
            (
                self.limit.is_some(),
                "a purge does not accept a limit, because it purges all matching jobs; omit \
                 JobQuery::limit",
            ),
            (
                self.limit_bytes.is_some(),
                "a purge does not accept limit_bytes, because it purges all matching jobs; omit \
                 JobQuery::limit_bytes",
            ),
            (
                self.offset > 0,
                "a purge does not accept an offset, because it purges all matching jobs; omit \
                 JobQuery::offset",
            ),
            (
                self.cursor.is_some(),
                "a purge does not accept a cursor, because it purges all matching jobs; omit \
                 JobQuery::cursor",
            ),
            (
                self.count_total,
                "a purge does not accept count_total, because it always returns the number of \
                 purged jobs; omit JobQuery::count_total",
            ),
        ])
    }

    /// Rejects parts of a query that an export would ignore, because an export covers all jobs that
    /// match, starting at the offset or the cursor.
    pub(crate) fn check_export(&self) -> Result<()> {
        refuse(&[
            (
                self.limit.is_some(),
                "an export does not accept a limit, because it covers all matching jobs; omit \
                 JobQuery::limit, and to get fewer jobs, stop reading the export early",
            ),
            (
                self.limit_bytes.is_some(),
                "an export does not accept limit_bytes, because it covers all matching jobs; omit \
                 JobQuery::limit_bytes, and to get fewer jobs, stop reading the export early",
            ),
            (
                self.count_total,
                "an export does not accept count_total, because Export::of returns the total; \
                 omit JobQuery::count_total",
            ),
        ])
    }

    pub(crate) fn check(&self) -> Result<()> {
        let limit = self.page_limit();
        if !(1..=PAGE_JOBS_MAX).contains(&limit) {
            return Err(Error::PageLimit {
                given: limit,
                max: PAGE_JOBS_MAX,
            });
        }
        Ok(())
    }
}

/// Returns the first problem that applies.
fn refuse(ignored: &[(bool, &'static str)]) -> Result<()> {
    match ignored.iter().find(|(is_given, _)| *is_given) {
        None => Ok(()),
        Some(&(_, what)) => Err(Error::InvalidUse { what }),
    }
}
