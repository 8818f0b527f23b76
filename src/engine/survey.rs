//! Fully verifies a store's log, whatever its condition.
//!
//! A survey determines which stretches of the log are intact. It changes nothing. It reads every
//! byte that matters, and reports each damaged part with its file and position.

mod dropped;
mod log_range;
mod missing_jobs;
mod pack_chain;
mod packs;
mod segment_chain;
mod segments;
mod store_id;
mod tally;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use self::log_range::{LogRange, RangeSource};
pub(crate) use self::packs::{check_pack, each_request};
pub(crate) use self::segments::SegmentSurvey;
use self::store_id::store_of_files;
use self::tally::Tally;
use crate::log::disk::Disk;
use crate::log::file_names;
use crate::log::identity::{self, Closed};
use crate::log::secret_keys;
use crate::model::error::{Error, Result};
use crate::model::report::{Damage, GraphReport};
use crate::model::store_id::StoreId;

/// What intact events record about a graph.
#[derive(Default)]
pub(crate) struct GraphSurvey {
    pub(crate) names: Option<(String, String)>,
    pub(crate) is_dropped: bool,
    damaged: u64,
    quarantined: u64,
    /// The sequence number after the last job.
    end: u64,
}

/// A store in the condition in which it was found.
pub(crate) struct Survey {
    pub(crate) store: StoreId,
    /// Whether the file `STORE` is damaged or missing.
    pub(crate) identity_is_damaged: bool,
    /// Whether the file `SECRET-KEYS` is damaged.
    pub(crate) secret_keys_are_damaged: bool,
    pub(crate) closed: Option<Closed>,
    /// Whether the file `CLOSED` is damaged or does not match the log.
    pub(crate) closed_is_damaged: bool,
    /// The whole log, in order, without gaps.
    pub(crate) log_ranges: Vec<LogRange>,
    /// Files from which no stretch is read, although they may contain events or jobs.
    pub(crate) unreadable: Vec<String>,
    pub(crate) graphs: BTreeMap<u32, GraphSurvey>,
    /// Graphs that were dropped according to the files, although their drop event is lost.
    pub(crate) lost_drops: BTreeSet<u32>,
    pub(crate) damage: Vec<Damage>,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// Called from time to time, with the number of bytes that have been read since the last call. An
/// error aborts the survey.
pub(crate) type OnRead<'p> = &'p mut dyn FnMut(u64) -> Result<()>;

impl Survey {
    /// Reads everything. Returns `Ok` even if much is damaged. An error means that the file
    /// system failed, that a file has a newer format, or that `on_read` aborted the survey.
    pub(crate) fn take(disk: &dyn Disk, on_read: OnRead<'_>) -> Result<Survey> {
        let names = disk
            .names()
            .map_err(|e| Error::io("read", disk.path(""), &e))?;
        let mut damage = Vec::new();
        let (store, identity_is_damaged) = match identity::read(disk) {
            Ok(Some(store)) => (store, false),
            Ok(None) => {
                let missing =
                    Error::damaged(disk.path(file_names::STORE), 0, "the file is missing");
                note(&mut damage, &missing, 0, 0)?;
                (store_of_files(disk, &names)?, true)
            }
            Err(error) => {
                note(&mut damage, &error, 0, 0)?;
                (store_of_files(disk, &names)?, true)
            }
        };
        let keys = secret_keys::read(disk, store);
        let secret_keys_are_damaged = keys.is_err();
        if let Err(error) = keys {
            note(&mut damage, &error, 0, 0)?;
        }
        let (closed, closed_is_damaged) = match identity::read_closed(disk, store) {
            Ok(closed) => (closed, false),
            Err(error) => {
                note(&mut damage, &error, 0, 0)?;
                (None, true)
            }
        };
        let mut survey = Survey {
            store,
            identity_is_damaged,
            secret_keys_are_damaged,
            closed,
            closed_is_damaged,
            log_ranges: Vec::new(),
            unreadable: Vec::new(),
            graphs: BTreeMap::new(),
            lost_drops: BTreeSet::new(),
            damage,
            files: 0,
            bytes: 0,
        };
        survey.packs(disk, &names, on_read)?;
        survey.segments(disk, &names, on_read)?;
        survey.join_jobs();
        survey.unexplained(disk)?;
        Ok(survey)
    }

    /// The LSN after the last one.
    pub(crate) fn next_lsn(&self) -> u64 {
        self.log_ranges.last().map_or(1, |last| last.last_lsn + 1)
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }

    /// The numbers of the graphs that were not dropped, in the order of [`Survey::reports`].
    pub(crate) fn live(&self) -> impl Iterator<Item = u32> + '_ {
        let live = self.graphs.iter().filter(|(_, found)| !found.is_dropped);
        live.map(|(&number, _)| number)
    }

    /// Reports on the graphs that were not dropped.
    pub(crate) fn reports(&self) -> Vec<GraphReport> {
        let live = self.graphs.iter().filter(|(_, found)| !found.is_dropped);
        live.map(|(number, found)| {
            let (project_id, name) = match &found.names {
                Some((project, name)) => (project.clone(), name.clone()),
                None => ("lost".to_owned(), format!("graph-{number}")),
            };
            GraphReport {
                project_id,
                name,
                // Two files may contain the same jobs, so the sum may exceed the number of jobs.
                sound: found.end.saturating_sub(found.damaged + found.quarantined),
                damaged: found.damaged,
                quarantined: found.quarantined,
            }
        })
        .collect()
    }

    fn damaged(&mut self, error: &Error, jobs: u64, events: u64) -> Result<()> {
        note(&mut self.damage, error, jobs, events)
    }

    /// Records that no file contains the remaining events up to this LSN.
    pub(crate) fn note_missing(&mut self, disk: &dyn Disk, last_lsn: u64) -> Result<()> {
        let first_lsn = self.next_lsn();
        let what = format!("no file contains log sequence numbers {first_lsn} to {last_lsn}");
        let error = Error::damaged(disk.path(&file_names::pack(first_lsn, last_lsn)), 0, what);
        self.damaged(&error, 0, last_lsn - first_lsn + 1)?;
        self.log_ranges.push(LogRange {
            first_lsn,
            last_lsn,
            source: RangeSource::Missing,
            is_sound: false,
            spans: BTreeMap::new(),
            mentioned: BTreeMap::new(),
            submitted: BTreeMap::new(),
            required: BTreeMap::new(),
            created: BTreeSet::new(),
        });
        Ok(())
    }

    fn take_tally(&mut self, tally: Tally) -> Result<()> {
        for (number, names) in tally.created {
            self.graphs.entry(number).or_default().names = Some(names);
        }
        for number in tally.dropped {
            self.graphs.entry(number).or_default().is_dropped = true;
        }
        for (number, jobs) in tally.quarantined {
            self.graphs.entry(number).or_default().quarantined += jobs;
        }
        for (error, jobs, events) in tally.damage {
            self.damaged(&error, jobs, events)?;
        }
        Ok(())
    }
}

fn note(damage: &mut Vec<Damage>, error: &Error, jobs: u64, events: u64) -> Result<()> {
    damage.push(Damage::of(error, jobs, events)?);
    Ok(())
}
