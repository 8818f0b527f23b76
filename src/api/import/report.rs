// The result of an import, and the handling of bad lines.

use std::fmt;

use serde_json::{Value, json};

use crate::model::error::{Error, Result};

/// The maximum number of bad lines that a report lists.
const BAD_LINES_KEPT: usize = 1000;

/// How an import handles a line that is not a valid job: see
/// [`Graph::import`](crate::Graph::import).
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
    /// Stops the import with [`Error::BadLine`]. The lines before it are imported.
    #[default]
    Stop,
    /// Skips the line and counts it.
    Skip,
}

/// The result of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportReport {
    /// The number of jobs recorded.
    pub imported: u64,
    /// The number of lines whose job already existed, with the same id and request.
    pub there: u64,
    /// How many of the lines counted in `there` contain secrets that the recorded job lacks,
    /// because the job was recorded with masked or different secrets. The job is not changed.
    pub secrets_left: u64,
    /// The number of lines skipped because they are bad.
    pub bad: u64,
    /// The line numbers of the first 1000 bad lines, starting at 1, and the problem of each line.
    pub bad_lines: Vec<(u64, String)>,
    /// The number of lines read, including empty lines.
    pub lines: u64,
}

impl ImportReport {
    /// Returns the report as JSON: `{"imported":2,"there":0,"secretsLeft":0,"skipped":1,
    /// "badLines":[{"line":3,"problem":".."}],"lines":3}`.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.json().to_string()
    }

    pub(crate) fn json(&self) -> Value {
        let bad = self.bad_lines.iter();
        let bad: Vec<_> = bad
            .map(|(line, problem)| json!({"line": line, "problem": problem}))
            .collect();
        json!({
            "imported": self.imported,
            "there": self.there,
            "secretsLeft": self.secrets_left,
            "skipped": self.bad,
            "badLines": bad,
            "lines": self.lines,
        })
    }

    /// Counts a bad line. Returns the error if it is an error of the store, or if the import stops
    /// at bad lines.
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
