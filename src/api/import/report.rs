//! What an import did, and what it does with bad lines.

use std::fmt;

use crate::model::error::{Error, Result};

/// Bad lines whose numbers are kept.
const BAD_LINES_KEPT: usize = 1000;

/// What becomes of a line that is no job: see [`Graph::import`](crate::Graph::import).
///
/// # Examples
/// ```
/// use jobstore::{Error, JobStore, OnBadLine};
/// # let store = JobStore::in_memory()?;
/// # let movie = store.create_graph("10001", "movie")?;
/// let stopped = movie.import(&b"no job\n"[..], OnBadLine::Stop);
/// assert!(matches!(stopped, Err(Error::BadLine { line: 1, .. })));
/// assert_eq!(movie.import(&b"no job\n"[..], OnBadLine::Skip)?.bad, 1);
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnBadLine {
    /// The import ends there with [`Error::BadLine`]; the lines before are imported.
    #[default]
    Stop,
    /// It is passed over and counted.
    Skip,
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportReport {
    /// Jobs that were recorded.
    pub imported: u64,
    /// Jobs that were there already, with the same id and request.
    pub there: u64,
    /// Those of them whose line has secrets that the job does not: it was recorded masked,
    /// or with others. It stays so.
    pub secrets_left: u64,
    /// Lines that were passed over.
    pub bad: u64,
    /// The numbers of those, from 1, up to 1000 of them, and what is wrong with each.
    pub bad_lines: Vec<(u64, String)>,
    /// Lines read, empty ones included.
    pub lines: u64,
}

impl ImportReport {
    /// Notes a bad line. One that the import stops at is an error, and so is what is wrong
    /// with the store: no line is passed over for that.
    pub(super) fn skip_line(&mut self, error: Error, on_bad_line: OnBadLine) -> Result<()> {
        match error {
            Error::BadLine { line, problem } if on_bad_line == OnBadLine::Skip => {
                self.bad += 1;
                if self.bad_lines.len() < BAD_LINES_KEPT {
                    self.bad_lines.push((line, problem));
                }
                Ok(())
            }
            error => Err(error),
        }
    }
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ImportReport {
            imported,
            there,
            secrets_left,
            bad,
            ..
        } = self;
        write!(f, "{imported} imported, {there} already present")?;
        if *secrets_left > 0 {
            write!(
                f,
                " ({secrets_left} of them left without the secrets in their lines)"
            )?;
        }
        write!(f, ", {bad} skipped")
    }
}
