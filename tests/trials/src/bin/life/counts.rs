//! What the history and the counters of a store contain, and their comparison with the expected
//! content.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use jobstore::{Graph, HistoryPoint, JobCounts, OutcomeKind, State, Tally, TallyBy, TallyKey};

use crate::model::{GraphModel, Happened};

/// How many jobs were submitted, started, and completed with each outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    submitted: u64,
    started: u64,
    completed: BTreeMap<OutcomeKind, u64>,
}

impl Counts {
    pub fn of(counts: &JobCounts) -> Counts {
        let kinds = OutcomeKind::ALL.iter().copied();
        let completed = kinds.map(|kind| (kind, counts.completed(kind)));
        Counts {
            submitted: counts.submitted(),
            started: counts.started(),
            completed: completed.filter(|(_, jobs)| *jobs > 0).collect(),
        }
    }

    fn take(&mut self, happened: &Happened) {
        match happened {
            Happened::Submitted => self.submitted += 1,
            Happened::Started => self.started += 1,
            Happened::Completed(outcome) => {
                *self.completed.entry(outcome.kind).or_default() += 1;
            }
            Happened::CancelRequested | Happened::Requeued => {}
        }
    }
}

/// Everything that a history contains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenHistory {
    pub points: Vec<HistoryPoint>,
}

impl SeenHistory {
    pub fn read(graph: &Graph) -> jobstore::Result<SeenHistory> {
        let end = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
        let minute = Duration::from_secs(60);
        let points = graph.history(UNIX_EPOCH, end, minute)?;
        Ok(SeenHistory { points })
    }

    /// Describes how the totals differ from the expected ones.
    pub fn differs(&self, graph: &GraphModel) -> Option<String> {
        let mut seen: BTreeMap<&str, JobCounts> = BTreeMap::new();
        for point in &self.points {
            let mut all = JobCounts::default();
            for (command, counts) in &point.commands {
                let command = command.as_deref().unwrap_or("(none)");
                seen.entry(command).or_default().add(counts);
                all.add(counts);
            }
            if all != point.counts {
                return Some(format!("the commands do not add up in {point:?}"));
            }
        }
        let seen = seen
            .iter()
            .map(|(command, counts)| (*command, Counts::of(counts)));
        let mut seen: BTreeMap<&str, Counts> = seen.collect();
        let mut expected = graph.totals();
        if graph.had_imports {
            // The model does not know which imported jobs had been started.
            let counts = seen.values_mut().chain(expected.values_mut());
            counts.for_each(|counts| counts.started = 0);
        }
        (seen != expected).then(|| format!("the history contains {seen:?}, not {expected:?}"))
    }
}

/// Describes how a tally differs from the expected one.
pub fn tally_differs(tally: &Tally, expected: &BTreeMap<TallyKey, u64>) -> Option<String> {
    let seen: BTreeMap<TallyKey, u64> = tally.groups.iter().cloned().collect();
    let jobs: u64 = expected.values().sum();
    let is_whole = tally.jobs == jobs && !tally.is_partial && seen.len() == tally.groups.len();
    (!is_whole || seen != *expected).then(|| format!("{tally:?}, not {expected:?}"))
}

impl GraphModel {
    /// The jobs, or those with this origin, counted by a property.
    pub fn tally(&self, by: TallyBy, origin: Option<&str>) -> BTreeMap<TallyKey, u64> {
        let mut groups = BTreeMap::new();
        let jobs = self.jobs.values();
        for job in jobs.filter(|job| origin.is_none() || job.content.origin().as_deref() == origin)
        {
            let outcome = job
                .outcome
                .as_ref()
                .filter(|_| job.state == State::Complete);
            let key = match (by, outcome) {
                (TallyBy::Command, _) => TallyKey::Command(Some(job.content.command().to_owned())),
                (TallyBy::Origin, _) => TallyKey::Origin(job.content.origin()),
                (TallyBy::Outcome, Some(outcome)) => TallyKey::Outcome(outcome.kind),
                _ => TallyKey::State(job.state),
            };
            *groups.entry(key).or_default() += 1;
        }
        groups
    }

    /// What happened to the jobs of each command, including jobs that were purged.
    fn totals(&self) -> BTreeMap<&'static str, Counts> {
        let mut totals: BTreeMap<&str, Counts> = BTreeMap::new();
        for (sequence, happened) in &self.feed {
            let command = self.commands.get(*sequence as usize);
            let counts = totals.entry(command.copied().unwrap_or("?")).or_default();
            counts.take(happened);
        }
        totals.retain(|_, counts| *counts != Counts::default());
        totals
    }

    /// What happened since the open; `None` if jobs were imported.
    pub fn since_open(&self) -> Option<Counts> {
        let mut counts = Counts::default();
        let since = self.feed.get(self.opened_at..).unwrap_or_default();
        since.iter().for_each(|(_, happened)| counts.take(happened));
        (!self.has_imports).then_some(counts)
    }
}
