// Rejecting queries that a list, a purge, or an export cannot run.

use super::{JobQuery, PAGE_JOBS_MAX, STORE_PAGE_JOBS_MAX};
use crate::model::error::{Error, Result};

/// The parts of a query that an operation on all matching jobs would ignore, and an empty text,
/// which matches every job.
macro_rules! covers_all {
    ($query:ident, $what:literal, $does:literal, $done:literal) => {
        [
            (
                $query.filter.texts.has_empty(),
                concat!(
                    $what,
                    " does not accept an empty text, because every job contains it; omit the empty \
                     JobQuery::url_prefix, url_contains, or body_contains"
                ),
            ),
            (
                $query.limit.is_some(),
                covers_all!($what, $does, "a limit", "limit"),
            ),
            (
                $query.limit_bytes.is_some(),
                covers_all!($what, $does, "limit_bytes", "limit_bytes"),
            ),
            (
                $query.offset > 0,
                covers_all!($what, $does, "an offset", "offset"),
            ),
            (
                $query.cursor.is_some(),
                covers_all!($what, $does, "a cursor", "cursor"),
            ),
            (
                $query.count_total,
                concat!(
                    $what,
                    " does not accept count_total, because it always returns the number of ",
                    $done,
                    " jobs; omit JobQuery::count_total"
                ),
            ),
        ]
    };
    ($what:literal, $does:literal, $part:literal, $method:literal) => {
        concat!(
            $what,
            " does not accept ",
            $part,
            ", because it ",
            $does,
            " all matching jobs; omit JobQuery::",
            $method
        )
    };
}

impl JobQuery {
    /// Rejects parts of a query that a purge would ignore, because a purge covers all jobs that
    /// match. The order of the list is accepted: it matters if [`JobQuery::on_progress`] stops the
    /// search.
    pub(crate) fn check_purge(&self) -> Result<()> {
        refuse(&covers_all!(self, "a purge", "purges", "purged"))
    }

    /// Rejects parts of a query that a bulk cancellation would ignore, because it covers all jobs
    /// that match.
    pub(crate) fn check_cancel_all(&self) -> Result<()> {
        refuse(&covers_all!(self, "cancel_all", "cancels", "canceled"))
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

    /// Returns the query for a list over several graphs, with its limit.
    ///
    /// # Errors
    /// An error if it has parts that such a list does not support.
    pub(crate) fn of_store(mut self) -> Result<JobQuery> {
        let limit = self.limit.unwrap_or(STORE_PAGE_JOBS_MAX);
        if !(1..=STORE_PAGE_JOBS_MAX).contains(&limit) {
            return Err(Error::PageLimit {
                given: limit,
                max: STORE_PAGE_JOBS_MAX,
            });
        }
        refuse(&[
            (
                self.offset > 0 || self.cursor.is_some(),
                "a list over several graphs accepts neither JobQuery::offset nor \
                 JobQuery::cursor; pass the cursor that StorePage::next returned",
            ),
            (
                self.limit_bytes.is_some() || self.count_total,
                "a list over several graphs accepts neither limit_bytes nor count_total; omit \
                 JobQuery::limit_bytes and JobQuery::count_total",
            ),
        ])?;
        self.limit = Some(limit);
        Ok(self)
    }

    /// Rejects parts of a query that a tally would ignore, because a tally covers all jobs that
    /// match.
    pub(crate) fn check_tally(&self) -> Result<()> {
        let has_part = self.limit.is_some() || self.limit_bytes.is_some() || self.offset > 0;
        refuse(&[(
            has_part || self.cursor.is_some() || self.count_total,
            "a tally covers all matching jobs; omit JobQuery::limit, limit_bytes, offset, cursor, \
             and count_total",
        )])
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
