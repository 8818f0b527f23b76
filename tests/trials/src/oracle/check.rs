//! Compares a store with the lines.
//!
//! Finds facts in a store that contradict the lines. Every job that must exist must be present, in
//! a possible state. Every job must have been submitted, none may be partially present, and the
//! order must be that of the calls.

use std::collections::{HashMap, HashSet};

use jobstore::{JobStore, Outcome, OutcomeKind, Recovery, State};

use super::{Graph, Job, Oracle, Seen, SeenGraph, SeenJob};
use crate::plan::PROJECT;

impl Oracle {
    /// Compares a store that was just opened, and not written to since. In each graph, about
    /// `lookups` jobs are looked up by their ids. The oracle stays unchanged, so that other stores
    /// can be compared, too.
    ///
    /// # Errors
    /// The first contradiction to the lines.
    pub fn check(&self, store: &JobStore, lookups: u64) -> Result<Seen, String> {
        let mut seen = Seen::read(store, lookups)?;
        if seen.boot <= self.boot {
            return Err(format!("boot {} comes after {}", seen.boot, self.boot));
        }
        let mut facts = 0;
        let there: HashSet<&str> = seen.graphs.iter().map(|g| g.name.as_str()).collect();
        for (name, graph) in &self.graphs {
            if graph.created && !graph.drop_tried && !there.contains(name.as_str()) {
                return Err(format!("graph {name} is lost"));
            }
            if !there.contains(name.as_str()) {
                self.check_absent(store, name)?;
            }
            facts += 1;
        }
        for found in &seen.graphs {
            let graph = self.graphs.get(&found.name);
            let graph = graph.ok_or_else(|| format!("no call created the graph {}", found.name))?;
            if graph.dropped {
                return Err(format!("graph {} was dropped, but exists", found.name));
            }
            if graph.number.is_some_and(|number| number != found.number) {
                return Err(format!(
                    "graph {} is a different graph with its name",
                    found.name
                ));
            }
            let compare = Compare {
                graph,
                found,
                seen: &seen,
                policy: store.recovered().policy(),
                told: &self.told,
            };
            let compared = compare.graph(store);
            facts += compared.map_err(|what| format!("graph {}: {what}", found.name))?;
        }
        seen.facts += facts;
        Ok(seen)
    }

    fn check_absent(&self, store: &JobStore, name: &str) -> Result<(), String> {
        match store.graph(PROJECT, name) {
            Err(jobstore::Error::UnknownGraph { .. }) => Ok(()),
            other => Err(format!("graph {name} is in no list, but: {other:?}")),
        }
    }
}

struct Compare<'a> {
    graph: &'a Graph,
    found: &'a SeenGraph,
    seen: &'a Seen,
    policy: Recovery,
    /// The numbers of the opens that returned.
    told: &'a HashSet<u64>,
}

impl Compare<'_> {
    fn graph(&self, store: &JobStore) -> Result<u64, String> {
        let mut facts = 0;
        let mut there: HashMap<&str, u64> = HashMap::new();
        let mut latest: HashMap<&str, u64> = HashMap::new();
        let mut batches: HashMap<&str, u64> = HashMap::new();
        // The numbers of jobs that must have been claimed by an unacknowledged call.
        let (mut claimed, mut claimed_before) = (0, 0);
        for seen in &self.found.jobs {
            let key = seen.key.as_str();
            let job = self.graph.jobs.get(key);
            let job = job.ok_or_else(|| format!("nobody submitted {key}"))?;
            if job.purged {
                return Err(format!("{key} was purged, but exists"));
            }
            match self.job(seen, job)? {
                Claim::None => {}
                Claim::Running => claimed += 1,
                Claim::Ended => claimed_before += 1,
            }
            if there.insert(key, seen.sequence).is_some() {
                return Err(format!("{key} exists twice"));
            }
            *batches.entry(&*job.batch).or_default() += 1;
            // A thread's jobs are in the order of its calls.
            let before = latest.insert(&job.place.0, job.place.1);
            if before.is_some_and(|before| before >= job.place.1) {
                return Err(format!("{key} comes after a later one of its thread"));
            }
            facts += 6;
        }
        let (claims, old_claims) = (self.graph.claims, self.graph.old_claims);
        if claimed > claims || claimed + claimed_before > claims + old_claims {
            return Err(format!(
                "{claimed} and {claimed_before} jobs were started by unknown calls; {claims} and \
                 {old_claims} calls may have done so"
            ));
        }
        facts += self.order(&there)?;
        let mut submitted: HashMap<&str, u64> = HashMap::new();
        for (key, job) in &self.graph.jobs {
            facts += 1;
            let is_there = there.contains_key(key.as_str());
            if !is_there && job.purge_tried {
                continue;
            }
            if job.there && !is_there {
                return Err(format!("{key} is lost: {job:?}"));
            }
            *submitted.entry(&*job.batch).or_default() += 1;
        }
        for (batch, count) in batches {
            if submitted.get(batch) != Some(&count) {
                return Err(format!("only some of the jobs of call {batch} exist"));
            }
        }
        // A job that is not listed must not be found by its id either.
        if let Ok(graph) = store.graph(PROJECT, &self.found.name) {
            let lost = |(key, _): &(&String, &Job)| !there.contains_key(key.as_str());
            for (key, job) in self.graph.jobs.iter().filter(lost) {
                let found = job.id.as_ref().map(|id| graph.job(id));
                if !matches!(found, None | Some(Ok(None))) {
                    return Err(format!("{key} is in no list, but: {found:?}"));
                }
                facts += 1;
            }
        }
        Ok(facts)
    }

    /// Checks that a job that was submitted after others were acknowledged comes after them.
    fn order(&self, there: &HashMap<&str, u64>) -> Result<u64, String> {
        let mut reached = Vec::with_capacity(self.graph.acknowledged.len() + 1);
        let mut last = None;
        reached.push(None);
        for key in &self.graph.acknowledged {
            last = last.max(there.get(key.as_str()).copied());
            reached.push(last);
        }
        for (key, &sequence) in there {
            let after = self.graph.jobs.get(*key).map_or(0, |job| job.after);
            if reached[after] >= Some(sequence) {
                return Err(format!("{key} is listed before an earlier job"));
            }
        }
        Ok(there.len() as u64)
    }

    /// Compares the job's state before this open with the possible ones.
    fn job(&self, seen: &SeenJob, job: &Job) -> Result<Claim, String> {
        let key = &seen.key;
        let is_id = job.id.as_ref().is_none_or(|id| *id == seen.id);
        let is_place = job
            .sequence
            .is_none_or(|sequence| sequence == seen.sequence);
        if seen.digest != job.digest || !is_id || !is_place {
            return Err(format!("{key} is {seen:?}, not {job:?}"));
        }
        let name = (self.found.name.clone(), key.clone());
        let wrong = |what: &str| Err(format!("{key} {what}: it is {seen:?}, by {job:?}"));
        if let Some(&action) = self.seen.recovered.get(&name) {
            self.recovered(action, seen, job)?;
            return match self.running(job) {
                Some(claim) => Ok(claim),
                None => wrong("was found running"),
            };
        }
        let outcome = match (&seen.outcome, seen.state) {
            (_, State::Pending) => {
                let started = job.started && !job.may_be_requeued;
                return match job.complete || started {
                    true => wrong("is pending again"),
                    false => Ok(Claim::None),
                };
            }
            (Some(outcome), State::Complete) => outcome,
            _ => return wrong("is running and was not found so"),
        };
        if let Some(end) = &job.end {
            return match end.is(outcome) {
                true if outcome.recovered_at_open() == job.reported => Ok(Claim::None),
                _ => wrong("ended otherwise"),
            };
        }
        if let Some(boot) = outcome.recovered_at_open() {
            let kinds: &[OutcomeKind] = match (job.cancel_requested, job.cancel_tried) {
                (true, _) => &[OutcomeKind::Cancelled],
                (_, true) => &[OutcomeKind::Cancelled, OutcomeKind::Interrupted],
                _ => &[OutcomeKind::Interrupted],
            };
            // An open that returned has reported the jobs that it completed.
            let untold = !self.told.contains(&boot) && boot > job.boot && boot < self.seen.boot;
            if !untold || !kinds.contains(&outcome.kind()) {
                return wrong("was ended by an open that did not");
            }
            return match job.may_be_recovered {
                true => Ok(Claim::None),
                false => Ok(Claim::Ended),
            };
        }
        let tried = job
            .ends_tried
            .iter()
            .any(|&seed| crate::made::outcome(seed) == *outcome);
        let cancelled = job.cancel_tried && *outcome == Outcome::cancelled();
        let abandoned = job.abandon_tried && *outcome == Outcome::interrupted();
        match tried || cancelled || abandoned {
            true => Ok(Claim::None),
            false => wrong("has an outcome that nobody gave it"),
        }
    }

    /// Returns which kind of claim is needed for the job to have been running. `None` if it cannot
    /// have been running.
    fn running(&self, job: &Job) -> Option<Claim> {
        if job.end.is_some() || job.complete {
            None
        } else if job.started || job.start_tried {
            Some(Claim::None)
        } else {
            Some(Claim::Running)
        }
    }

    /// Checks the effect of this open on a job that it found running.
    fn recovered(&self, action: char, seen: &SeenJob, job: &Job) -> Result<(), String> {
        let was_to_stop = match action {
            'C' => true,
            'L' => seen.cancel_requested,
            _ => false,
        };
        let outcome = seen.outcome.as_ref();
        let ended = outcome.map(|o| (o.kind(), o.recovered_at_open()));
        let boot = Some(self.seen.boot);
        let fits = match (action, self.policy) {
            ('I', Recovery::Interrupt) => ended == Some((OutcomeKind::Interrupted, boot)),
            ('C', Recovery::Interrupt | Recovery::Requeue) => {
                ended == Some((OutcomeKind::Cancelled, boot))
            }
            ('R', Recovery::Requeue) => seen.state == State::Pending,
            ('L', Recovery::Leave) => seen.state == State::Running,
            _ => false,
        };
        let heard = match was_to_stop {
            true => job.cancel_tried,
            false => !job.cancel_requested,
        };
        if fits && heard {
            return Ok(());
        }
        let key = &seen.key;
        Err(format!(
            "{key} was recovered as {action}: {seen:?}, {job:?}"
        ))
    }
}

/// Whether a job must have been claimed by an unacknowledged call.
enum Claim {
    None,
    /// Yes, because it was running at this open.
    Running,
    /// Yes, because it was running at an earlier open.
    Ended,
}
