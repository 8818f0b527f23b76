//! The archive of purged jobs.
//!
//! Manipulates the directory of the archive, and checks its files. A job that was purged by a graph
//! with an archive is in the archive, unchanged. Nothing else is in the archive, and nothing twice,
//! unless a fault or a crash happened in between.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use flate2::bufread::GzDecoder;
use jobstore::simulation::{self, Disk, Fault};

use crate::life::{Finding, Life, Ran};
use crate::model::Job;
use crate::observed::Seen;
use crate::requests::MESSAGE_BYTES_SAFE;
use crate::secrets::Keys;
use crate::texts;

/// The path of the archives.
pub const ARCHIVE: &str = "/simulated-archives/one";
/// By this time, a failed operation has been retried.
const RETRY_MS: u64 = 5_000;

/// Returns a line without the parts that the model does not know.
fn known(line: &str) -> String {
    let Some(at) = line.rfind(r#","startedAt":"#) else {
        return line.to_owned();
    };
    let behind = line[at + 1..]
        .find([',', '}'])
        .map_or(line.len(), |n| at + 1 + n);
    format!("{}{}", &line[..at], &line[behind..])
}

/// Returns the line of an archived job.
fn line_of(sequence: u64, job: &Job, keys: Keys) -> Option<String> {
    // A release may truncate the message.
    let message = job.outcome.as_ref().and_then(|o| o.message.as_ref());
    if message.is_some_and(|message| message.len() > MESSAGE_BYTES_SAFE) {
        return None;
    }
    let seen = Seen {
        sequence,
        id: job.id.clone()?,
        state: job.state,
        cancelling: job.cancelling,
        outcome: job.outcome.clone(),
        masked: job.masked(),
        real: job.real(),
        submitted_ms: job.submitted_ms,
        started_ms: None,
        completed_ms: job.completed_ms,
        origin: job.content.origin(),
        secrets_lost: job.hidden.secrets_lost,
        progress: None,
    };
    Some(texts::line(&seen, keys))
}

/// Returns the lines of a file, and whether the file is complete.
fn lines(content: &[u8]) -> (Vec<String>, bool) {
    let (mut rest, mut text) = (content, String::new());
    while !rest.is_empty() {
        let mut member = String::new();
        let mut decoder = GzDecoder::new(&mut rest);
        if decoder.read_to_string(&mut member).is_err() {
            return (text.lines().map(known).collect(), false);
        }
        text.push_str(&member);
    }
    (text.lines().map(known).collect(), true)
}

impl Life {
    pub fn is_archive_well(&self) -> bool {
        !self.has_archive_fault() && self.now().true_ms >= self.archive_well_from
    }

    pub fn harm_archive(&mut self, kind: u8, after: u16) -> Ran {
        self.archive_is_in_doubt = true;
        let place = |disk| simulation::place_archive(Path::new(ARCHIVE), disk);
        match kind {
            // Another program moves the directory away, and a new one is created in its place.
            0..=2 => {
                let new = Disk::new();
                place(Some(&new));
                let old = std::mem::replace(&mut self.archive, new);
                self.moved_archives.push(old);
                return Ok(true);
            }
            // Another program deletes the file that is being written.
            3 => {
                let names = self.archive.names();
                let part = names.into_iter().find(|(name, _)| name.ends_with(".part"));
                let Some((name, _)) = part else {
                    return Ok(false);
                };
                let content = self.archive.read(&name).unwrap_or_default();
                self.lost_lines.extend(lines(&content).0);
                self.archive.delete(&name);
                return Ok(true);
            }
            4..=5 => place(None),
            6..=8 => {
                let room = u64::from(after) * 300;
                self.archive
                    .limit_bytes(Some(self.archive.used_bytes() + room));
            }
            kind => self.archive.fail(Fault {
                after: u64::from(after),
                errno: [5, 28, 24, 13][usize::from(kind % 4)],
                lasting: kind % 3 == 0,
                classes: Life::fault_classes(kind),
            }),
        }
        self.archive_is_harmed = true;
        Ok(true)
    }

    pub fn heal_archive(&mut self) {
        self.archive.heal();
        self.archive.limit_bytes(None);
        simulation::place_archive(Path::new(ARCHIVE), Some(&self.archive));
        if std::mem::take(&mut self.archive_is_harmed) {
            self.archive_well_from = self.now().true_ms + RETRY_MS;
        }
    }

    /// Checks that all files have their final names after a clean close.
    pub fn check_archive_ended(&self) -> Result<(), Finding> {
        let is_clean = self.is_archive_well() && !self.is_excused();
        let names = self.archive.names();
        let left = names.iter().find(|(name, _)| !name.ends_with(".jsonl.gz"));
        match left {
            Some((name, _)) if is_clean && !self.archive_is_in_doubt => {
                Err(format!("after a close, the archive has {name}"))
            }
            _ => Ok(()),
        }
    }

    /// Returns all lines of all files, and how many times each occurs.
    fn archived_lines(&self) -> Result<BTreeMap<String, usize>, Finding> {
        let mut all = BTreeMap::new();
        for disk in self.moved_archives.iter().chain([&self.archive]) {
            for (name, _) in disk.names() {
                if name.ends_with(".aside") {
                    continue;
                }
                let (lines, is_whole) = lines(&disk.read(&name).unwrap_or_default());
                if name.ends_with(".gz") && !is_whole {
                    return Err(format!("{name} in the archive is incomplete"));
                }
                for line in lines {
                    *all.entry(line).or_default() += 1;
                }
            }
        }
        Ok(all)
    }

    pub fn check_archive(&mut self) -> Ran {
        let there = self.archived_lines()?;
        let ids: BTreeSet<&str> = there.keys().filter_map(|line| id_in(line)).collect();
        let lost: BTreeSet<&str> = self.lost_lines.iter().filter_map(|l| id_in(l)).collect();
        let mut known: BTreeMap<String, usize> = BTreeMap::new();
        let mut is_all_known = true;
        for ((_, sequence), (job, keys)) in &self.model.archived {
            let Some(id) = &job.id else {
                is_all_known = false;
                continue;
            };
            let Some(line) = line_of(*sequence, job, *keys) else {
                is_all_known = false;
                if !ids.contains(&**id) && !lost.contains(&**id) {
                    return Err(format!(
                        "job {id} was purged, but has no line in the archive"
                    ));
                }
                continue;
            };
            if !there.contains_key(&line) && !self.lost_lines.contains(&line) {
                let line: String = line.chars().take(600).collect();
                let of_id = there.keys().find(|line| id_in(line) == Some(&**id));
                let of_id: Option<String> = of_id.map(|line| line.chars().take(600).collect());
                return Err(format!(
                    "job {id} was purged, but the archive contains {of_id:?}, not {line}"
                ));
            }
            *known.entry(line).or_default() += 1;
        }
        if self.archive_is_in_doubt || !is_all_known {
            return Ok(!there.is_empty());
        }
        for (line, times) in &there {
            let expected = known.get(line).copied().unwrap_or(0);
            if *times > expected {
                let line: String = line.chars().take(600).collect();
                return Err(format!(
                    "the archive has {times} times, not {expected}: {line}"
                ));
            }
        }
        Ok(!there.is_empty())
    }
}

fn id_in(line: &str) -> Option<&str> {
    let (id, _) = line.strip_prefix(r#"{"jobId":""#)?.split_once('"')?;
    Some(id)
}
