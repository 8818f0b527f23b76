// Reports of verifications and repairs. All damage is listed with its file and offset. No report
// contains the text of a request.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::error::{Error, Result};

/// The result of [`JobStore::verify`](crate::JobStore::verify) and
/// [`JobStore::scrub`](crate::JobStore::scrub). `Display` formats the report for people.
/// [`VerifyReport::to_json`] returns it as JSON, from which it can be deserialized.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[non_exhaustive]
pub struct VerifyReport {
    /// The directory of the store.
    pub path: PathBuf,
    /// Whether the store was closed cleanly; `None` if the store is open.
    pub closed: Option<bool>,
    /// Number of packs and segments in the log.
    pub files: u64,
    /// Size of the log in bytes. All of them were read.
    pub bytes: u64,
    /// Number of events in the log, including damaged ones.
    pub events: u64,
    /// The graphs, in the order of their creation.
    pub graphs: Vec<GraphReport>,
    /// All damage, in log order.
    pub damage: Vec<Damage>,
    /// The problem with the index, if there is one. Such a problem causes no loss of data. It is
    /// reported only for an open store, because an open rebuilds a damaged index anyway.
    pub index_fault: Option<String>,
}

/// The progress of a verification: see
/// [`JobStore::verify_with_progress`](crate::JobStore::verify_with_progress).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyProgress {
    /// Bytes of the log read so far.
    pub bytes: u64,
    /// Size of the log in bytes.
    pub of: u64,
}

/// One graph in a [`VerifyReport`].
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[non_exhaustive]
pub struct GraphReport {
    /// The id of the graph's project.
    pub project_id: String,
    /// The graph's name.
    pub name: String,
    /// Number of jobs whose request and id are intact. In a damaged store, purged jobs may be
    /// included.
    pub sound: u64,
    /// Number of jobs that are damaged or missing from the files.
    pub damaged: u64,
    /// Number of jobs that an earlier repair quarantined.
    pub quarantined: u64,
}

/// Damage at one position in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// The offset at which the damage was detected.
    pub offset: u64,
    /// The problem.
    pub what: String,
    /// Number of jobs known to have lost their request or id.
    pub jobs: u64,
    /// Number of lost events.
    pub events: u64,
}

impl Damage {
    /// The damage that an [`Error::Damaged`] reports. Any other error is returned.
    pub(crate) fn of(error: &Error, jobs: u64, events: u64) -> Result<Damage> {
        match error {
            Error::Damaged { file, offset, what } => Ok(Damage {
                file: file.clone(),
                offset: *offset,
                what: what.to_string(),
                jobs,
                events,
            }),
            other => Err(other.clone()),
        }
    }
}

impl VerifyReport {
    /// Returns `true` if there is no damage. A problem with the index is not damage, because the
    /// index can be rebuilt.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty() && self.graphs.iter().all(|graph| graph.damaged == 0)
    }

    /// Returns the report as a JSON object whose members are named like the fields.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{JobStore, VerifyReport};
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path();
    /// # JobStore::open(dir)?.close()?;
    /// let kept = JobStore::verify(dir)?.to_json(); // for example, next to a backup
    /// let report: VerifyReport = serde_json::from_str(&kept)?;
    /// assert!(report.is_sound());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

/// A number and a noun, such as "1 job" or "2 jobs".
fn counted(number: impl Into<u64>, what: &str) -> String {
    match number.into() {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let closed = match self.closed {
            None => "open",
            Some(true) => "closed",
            Some(false) => "not closed cleanly",
        };
        writeln!(
            f,
            "{}: {closed}, {}, {}, {}",
            self.path.display(),
            counted(self.files, "file"),
            counted(self.bytes, "byte"),
            counted(self.events, "event")
        )?;
        for graph in &self.graphs {
            write!(f, "  {graph}")?;
        }
        for damage in &self.damage {
            write!(f, "  {damage}")?;
        }
        if let Some(fault) = &self.index_fault {
            writeln!(f, "  index: {fault}; the next open rebuilds it")?;
        }
        match (self.is_sound(), self.damage.len()) {
            (true, _) => writeln!(f, "no damage found"),
            (false, 1) => writeln!(f, "CORRUPT in 1 place"),
            (false, places) => writeln!(f, "CORRUPT in {places} places"),
        }
    }
}

impl fmt::Display for GraphReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "graph {}/{}: ", self.project_id, self.name)?;
        write!(f, "{} intact", counted(self.sound, "job"))?;
        if self.damaged > 0 {
            write!(f, ", {} CORRUPT", self.damaged)?;
        }
        if self.quarantined > 0 {
            write!(f, ", {} quarantined earlier", self.quarantined)?;
        }
        writeln!(f)
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: ", self.file.display(), self.offset)?;
        write!(f, "{}", self.what)?;
        if self.jobs > 0 {
            write!(f, " ({} jobs)", self.jobs)?;
        }
        if self.events > 0 {
            write!(f, " ({} events)", self.events)?;
        }
        writeln!(f)
    }
}

/// The result of [`JobStore::repair`](crate::JobStore::repair). `Display` formats it for people,
/// and [`RepairReport::to_json`] returns it as JSON.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct RepairReport {
    /// The report before the repair.
    pub found: VerifyReport,
    /// Files that were quarantined. They contain the damage, and intact data that has been copied
    /// to new files. The store no longer needs them.
    pub quarantined: Vec<PathBuf>,
    /// Number of jobs that are no longer listed. Jobs of damaged blocks that had been purged before
    /// are included.
    pub jobs: u64,
    /// Number of lost events. If a job was not complete before a lost event and has no later
    /// events, the next open completes the job as interrupted.
    pub events: u64,
}

impl RepairReport {
    /// Returns `true` if anything was changed.
    #[must_use]
    pub fn changed(&self) -> bool {
        !self.found.is_sound()
    }

    /// Returns the report as a JSON object whose members are named like the fields.
    #[must_use]
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

impl fmt::Display for RepairReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.found)?;
        for path in &self.quarantined {
            writeln!(f, "  quarantined: {}", path.display())?;
        }
        match self.changed() {
            true => writeln!(
                f,
                "repaired: {} jobs quarantined, {} events lost",
                self.jobs, self.events
            ),
            false => writeln!(f, "nothing to repair"),
        }
    }
}

fn to_json(value: &impl Serialize) -> String {
    // A path that is not valid UTF-8 cannot be represented in JSON.
    serde_json::to_string(value)
        .unwrap_or_else(|_| r#"{"error":"a path is not valid UTF-8"}"#.to_owned())
}
