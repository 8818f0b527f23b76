//! What a look at every byte of a store has found.
//!
//! Owns: [`VerifyReport`], [`VerifyProgress`], [`RepairReport`] and how they are shown.
//! Must not know: how the files are read.
//! Promise: whatever is not sound is listed with its file and place; no report
//! carries a request's text.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::error::{Error, Result};

/// What [`JobStore::verify`](crate::JobStore::verify) and
/// [`JobStore::scrub`](crate::JobStore::scrub) have found. It prints well, and as
/// JSON by [`VerifyReport::to_json`], from which it can be read again.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[non_exhaustive]
pub struct VerifyReport {
    /// The store's folder.
    pub path: PathBuf,
    /// Whether the store was closed cleanly; `None` for one that is open.
    pub closed: Option<bool>,
    /// Packs and segments that the log consists of.
    pub files: u64,
    /// Their bytes, all of which were read.
    pub bytes: u64,
    /// Events in the log, damaged ones included.
    pub events: u64,
    /// The graphs, in the order they were made.
    pub graphs: Vec<GraphReport>,
    /// All damage, in the order of the log.
    pub damage: Vec<Damage>,
    /// What is wrong with the index; nothing is lost by it. Only of an open store:
    /// an open makes a closed one's index anew where it is not right.
    pub index_fault: Option<String>,
}

/// How far a look at a store has come: see
/// [`JobStore::verify_with_progress`](crate::JobStore::verify_with_progress).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyProgress {
    /// Bytes of the log that were read.
    pub bytes: u64,
    /// Bytes of the log.
    pub of: u64,
}

/// One graph in a [`VerifyReport`].
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[non_exhaustive]
pub struct GraphReport {
    /// The id of the project it belongs to.
    pub project_id: String,
    /// Its name.
    pub name: String,
    /// Jobs that exist and whose request and id are sound. In a store with damage, jobs that
    /// were purged may count, too.
    pub sound: u64,
    /// Jobs that a damaged place holds, or that no file holds.
    pub damaged: u64,
    /// Jobs that an earlier repair has quarantined.
    pub quarantined: u64,
}

/// A place that does not hold what was written to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// The byte at which it was noticed.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
    /// Jobs whose request or id is gone with it, as far as is known.
    pub jobs: u64,
    /// Events that are gone with it: what happened to jobs.
    pub events: u64,
}

impl Damage {
    /// The damage that an error tells of; any other error is given back.
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
    /// Whether nothing is damaged. A fault of the index is no damage: it is made anew.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty() && self.graphs.iter().all(|graph| graph.damaged == 0)
    }

    /// The report as one JSON object: fields under their names here.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{JobStore, VerifyReport};
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path();
    /// # JobStore::open(dir)?.close()?;
    /// let kept = JobStore::verify(dir)?.to_json(); // beside a backup, say
    /// let report: VerifyReport = serde_json::from_str(&kept)?;
    /// assert!(report.is_sound());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

/// "1 job", "2 jobs".
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

/// What [`JobStore::repair`](crate::JobStore::repair) found and did. It prints well,
/// and as JSON by [`RepairReport::to_json`].
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct RepairReport {
    /// What was found before.
    pub found: VerifyReport,
    /// Files that were quarantined: they hold what was damaged, beside what was
    /// sound and is served again. The store does not need them.
    pub quarantined: Vec<PathBuf>,
    /// Jobs that are listed no more.
    pub jobs: u64,
    /// Events that are lost. Jobs that were not complete before one of them, and of
    /// which no later event tells, are completed as interrupted at the next open.
    pub events: u64,
}

impl RepairReport {
    /// Whether anything was changed.
    #[must_use]
    pub fn changed(&self) -> bool {
        !self.found.is_sound()
    }

    /// What was done, as one JSON object: fields under their names here.
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
    // A path that is no text cannot be said in JSON.
    serde_json::to_string(value)
        .unwrap_or_else(|_| r#"{"error":"a path is not valid UTF-8"}"#.to_owned())
}
