// The result of counting jobs by some property.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::base::clock;
use crate::model::error::{Error, Result};
use crate::model::outcome::OutcomeKind;
use crate::model::states::State;

/// The maximum number of groups of a tally.
const GROUPS_MAX: usize = 10_000;

/// The property by which [`Graph::tally`](crate::Graph::tally) counts jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TallyBy {
    /// By state.
    State,
    /// By outcome; jobs that are not complete, by state.
    Outcome,
    /// By command. The first 64 commands of a graph are counted separately, and all others together.
    Command,
    /// By origin. Every request is read.
    Origin,
    /// By the time of their submission, in periods of this length.
    SubmittedPer(Duration),
    /// By the time of their completion, in periods of this length; jobs that are not complete, by
    /// state.
    CompletedPer(Duration),
}

impl TallyBy {
    /// Checks the length of the periods.
    pub(crate) fn check(self) -> Result<()> {
        match self {
            TallyBy::SubmittedPer(period) | TallyBy::CompletedPer(period)
                if period.is_zero() || period.subsec_nanos() % 1_000_000 != 0 =>
            {
                Err(Error::InvalidUse {
                    what: "the length of a tally's periods must be a whole number of milliseconds, at \
                           least 1",
                })
            }
            _ => Ok(()),
        }
    }
}

/// Checks the number of groups of a tally.
pub(crate) fn check_groups(groups: usize) -> Result<()> {
    match groups > GROUPS_MAX {
        true => Err(Error::InvalidUse {
            what: "a tally has at most 10,000 groups; add filters, or, if jobs are counted by time, use longer \
                   periods",
        }),
        false => Ok(()),
    }
}

/// The beginning of the period in which a time lies.
pub(crate) fn period_of(at_ms: u64, period: Duration) -> TallyKey {
    let start_ms = at_ms - at_ms % period_ms(period).max(1);
    TallyKey::Period(clock::from_ms(start_ms))
}

fn period_ms(period: Duration) -> u64 {
    u64::try_from(period.as_millis()).unwrap_or(u64::MAX)
}

/// What the jobs of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TallyKey {
    /// A state.
    State(State),
    /// A kind of outcome.
    Outcome(OutcomeKind),
    /// A command; `None` for all that are not counted separately.
    Command(Option<String>),
    /// The beginning of a period.
    Period(SystemTime),
    /// An origin; `None` for requests without one.
    Origin(Option<String>),
}

impl TallyKey {
    pub(crate) fn json(&self) -> Value {
        match self {
            TallyKey::State(state) => json!({"state": state.as_str()}),
            TallyKey::Outcome(kind) => json!({"outcome": kind.as_str()}),
            TallyKey::Command(command) => json!({"command": command}),
            TallyKey::Period(start) => json!({"start": clock::to_ms(*start)}),
            TallyKey::Origin(origin) => json!({"origin": origin}),
        }
    }
}

/// Jobs, counted by a property: returned by [`Graph::tally`](crate::Graph::tally) and
/// [`JobStore::tally`](crate::JobStore::tally).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// The groups that contain jobs, in order, each with the number of its jobs.
    pub groups: Vec<(TallyKey, u64)>,
    /// Number of jobs in all groups.
    pub jobs: u64,
    /// Whether [`JobQuery::on_progress`](crate::JobQuery::on_progress) stopped the count, so that
    /// jobs are missing.
    pub is_partial: bool,
}

impl Tally {
    /// The tally of no jobs.
    pub(crate) fn empty() -> Tally {
        Tally {
            groups: Vec::new(),
            jobs: 0,
            is_partial: false,
        }
    }

    /// Adds the jobs of another tally by the same property.
    pub(crate) fn add(&mut self, other: Tally) -> Result<()> {
        let mut groups: BTreeMap<TallyKey, u64> =
            std::mem::take(&mut self.groups).into_iter().collect();
        for (key, jobs) in other.groups {
            *groups.entry(key).or_default() += jobs;
        }
        check_groups(groups.len())?;
        self.groups = groups.into_iter().collect();
        self.jobs += other.jobs;
        self.is_partial |= other.is_partial;
        Ok(())
    }

    /// Returns the number of jobs in a group.
    #[must_use]
    pub fn of(&self, key: &TallyKey) -> u64 {
        let found = self.groups.iter().find(|(known, _)| known == key);
        found.map_or(0, |(_, jobs)| *jobs)
    }

    /// Returns the tally as a JSON object: `groups`, an array of objects with the property and the
    /// number of `jobs`; `jobs`; and `isPartial`. Times are in milliseconds since 1970.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.json().to_string()
    }

    pub(crate) fn json(&self) -> Value {
        let groups = self.groups.iter().map(|(key, jobs)| {
            let mut group = key.json();
            group["jobs"] = json!(jobs);
            group
        });
        json!({
            "groups": groups.collect::<Vec<_>>(),
            "jobs": self.jobs,
            "isPartial": self.is_partial,
        })
    }
}
