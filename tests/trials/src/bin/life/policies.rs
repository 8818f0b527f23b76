//! Retention policies of graphs, and what each may and must purge.
//!
//! Contains [`Policy`], how it is generated, and the background steps that purge.

use std::collections::BTreeSet;
use std::time::Duration;

use jobstore::simulation::Step;
use jobstore::{Health, OutcomeKind, PurgeReason, Retention, State};
use jobstore_trials::random::Random;

use crate::archives::ARCHIVE;
use crate::interrupts::Intruded;
use crate::life::{DAY_MS, Finding, Life, Ran};
use crate::model::{Effect, Job, Name};
use crate::observed::read_graph;

/// Clocks that differ by up to this much are not wrong, and purges may be early by up to this much.
const SLACK_MS: u64 = 120_000;

const KINDS: [OutcomeKind; 5] = [
    OutcomeKind::Succeeded,
    OutcomeKind::PartiallyFailed,
    OutcomeKind::Failed,
    OutcomeKind::Cancelled,
    OutcomeKind::Interrupted,
];

/// The limits that are set.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    pub jobs: Option<u64>,
    pub bytes: Option<u64>,
    pub days: Option<u64>,
    /// The days for each outcome. The outcome is given by its index in [`KINDS`].
    pub outcome_days: Vec<(u8, u64)>,
    pub tombstones: Option<u64>,
    pub tombstone_days: Option<u64>,
    /// The size of an archive file.
    pub archive: Option<u64>,
}

impl Policy {
    pub fn draw(random: &mut Random) -> Option<Policy> {
        let r = random;
        let mut policy = Policy::default();
        match r.below(10) {
            0..=1 => return None,
            2..=3 => policy.jobs = Some(r.below(200)),
            4 => policy.bytes = Some(r.below(60_000)),
            5..=6 => policy.days = Some(days(r)),
            7 => {
                policy.jobs = Some(20);
                policy.tombstones = Some(r.below(50));
            }
            8 => {
                policy.days = r.one_in(2).then(|| days(r));
                for _ in 0..1 + r.below(3) {
                    policy.outcome_days.push((r.below(5) as u8, days(r)));
                }
            }
            _ => {
                policy.jobs = r.one_in(2).then(|| r.below(200));
                policy.bytes = r.one_in(3).then(|| r.below(60_000));
                policy.days = r.one_in(2).then(|| days(r));
                policy.tombstone_days = r.one_in(2).then(|| r.below(20));
                policy.tombstones = r.one_in(2).then(|| r.below(50));
            }
        }
        policy.archive = r.one_in(2).then(|| 500 + r.below(20_000));
        Some(policy)
    }

    pub fn retention(&self) -> Retention {
        let days = |n: u64| Duration::from_millis(n * DAY_MS);
        let mut set = Retention::new();
        if let Some(jobs) = self.jobs {
            set = set.max_jobs(jobs);
        }
        if let Some(bytes) = self.bytes {
            set = set.max_bytes(bytes);
        }
        if let Some(n) = self.days {
            set = set.max_age(days(n));
        }
        for &(kind, n) in &self.outcome_days {
            set = set.max_age_of(KINDS[usize::from(kind)], days(n));
        }
        if let Some(tombstones) = self.tombstones {
            set = set.max_tombstones(tombstones);
        }
        if let Some(n) = self.tombstone_days {
            set = set.tombstone_age(days(n));
        }
        match self.archive {
            Some(bytes) => set.archive_to(ARCHIVE).archive_file_bytes(bytes),
            None => set,
        }
    }

    /// Returns how long the policy keeps a job.
    fn age_ms(&self, job: &Job) -> Option<u64> {
        let kind = job.outcome.as_ref().map(|outcome| outcome.kind);
        let of_kind = self.outcome_days.iter().rev();
        let mut of_kind = of_kind.filter(|(n, _)| Some(KINDS[usize::from(*n)]) == kind);
        let days = of_kind.next().map(|(_, days)| *days).or(self.days);
        days.map(|days| days * DAY_MS)
    }

    /// Returns the reason why jobs are purged, if there is only one possible reason.
    fn reason(&self) -> Option<PurgeReason> {
        let is_by_age = self.days.is_some() || !self.outcome_days.is_empty();
        match (self.jobs.is_some(), self.bytes.is_some(), is_by_age) {
            (true, false, false) => Some(PurgeReason::Count),
            (false, true, false) => Some(PurgeReason::Bytes),
            (false, false, true) => Some(PurgeReason::Age),
            _ => None,
        }
    }
}

/// Draws a number of days. Small numbers are more frequent.
fn days(random: &mut Random) -> u64 {
    match random.one_in(2) {
        true => 1 + random.below(4),
        false => 1 + random.below(30),
    }
}

/// What a step may and must purge from a graph.
#[derive(Default)]
pub struct Due {
    pub may: Vec<u64>,
    pub must: Vec<u64>,
    /// The number of complete jobs that may remain.
    pub complete_max: Option<u64>,
    pub reason: Option<PurgeReason>,
}

impl Life {
    fn due(&self) -> Vec<(Name, Due)> {
        let now = self.now();
        let right = self.clock.right_ms();
        let mut all = Vec::new();
        for (&name, graph) in &self.model.graphs {
            let Some(Some(policy)) = self.policies.get(&graph.serial) else {
                continue;
            };
            let complete: Vec<(u64, &Job)> = graph
                .jobs
                .iter()
                .filter(|(_, job)| job.state == State::Complete)
                .map(|(&s, job)| (s, job))
                .collect();
            let (mut may, mut must) = (BTreeSet::new(), Vec::new());
            if let Some(kept) = policy.jobs {
                let over = complete.len().saturating_sub(kept as usize);
                may.extend(complete.iter().take(over).map(|(s, _)| *s));
            }
            // The stored size of requests and outcomes is little more than their own size.
            if policy
                .bytes
                .is_some_and(|max| max < 2 * graph.live_bytes() + 4_096)
            {
                may.extend(complete.iter().map(|(s, _)| *s));
            }
            for (sequence, job) in complete {
                let Some(age) = policy.age_ms(job) else {
                    continue;
                };
                let passed = now.true_ms - job.ended_true;
                let counted = passed.saturating_sub(self.gaps.uncounted(job.ended_true));
                // An imported job also has the completion time that its line gave.
                let imported_age = job.imported.then(|| {
                    let at = job.completed_ms.unwrap_or(right);
                    right.saturating_sub(at)
                });
                if passed + SLACK_MS >= age || imported_age.is_some_and(|t| t + SLACK_MS >= age) {
                    may.insert(sequence);
                }
                if !self.clock_was_wrong && !job.imported && counted > age + DAY_MS {
                    must.push(sequence);
                }
            }
            let due = Due {
                may: may.into_iter().collect(),
                must,
                complete_max: policy.jobs,
                reason: policy.reason(),
            };
            all.push((name, due));
        }
        all
    }

    /// Returns what a step may and must purge.
    fn due_in(&self, step: Step) -> Vec<(Name, Due)> {
        let mut due = match step {
            Step::Pack | Step::Archive => self.due(),
            _ => Vec::new(),
        };
        let is_well = self.is_archive_well();
        if step == Step::Archive {
            due.retain(|(name, _)| self.archive_open.contains(&self.serial(*name)));
        }
        for (name, due) in &mut due {
            let is_open = self.archive_open.contains(&self.serial(*name));
            let archives = self.model.graphs[name].archives.is_some();
            if step == Step::Pack && archives {
                // The archiver purges these graphs.
                *due = Due::default();
            } else if (step == Step::Pack && is_open)
                || (step == Step::Archive && !(is_well && archives))
            {
                (due.must, due.complete_max) = (Vec::new(), None);
            }
        }
        due
    }

    /// Executes the packer's step, which purges graphs without an archive.
    pub fn pack(&mut self) -> Ran {
        self.background(Step::Pack)
    }

    /// Executes the archiver's step, which purges graphs with an archive.
    pub fn archive(&mut self) -> Ran {
        let ran = !self.archive_open.is_empty();
        let is_well = self.is_archive_well();
        self.background(Step::Archive)?;
        if is_well && !self.is_excused() && !self.has_archive_fault() {
            // The archives of graphs whose policy has no archive anymore were closed.
            let archives = self.model.graphs.values().filter(|g| g.archives.is_some());
            let archives: BTreeSet<u64> = archives.map(|graph| graph.serial).collect();
            self.archive_open.retain(|serial| archives.contains(serial));
        }
        Ok(ran)
    }

    /// Executes a step. Determines what the step purged, and what a caller during the step did.
    pub fn background(&mut self, step: Step) -> Ran {
        let mut due = self.due_in(step);
        let waited = self.waits_for_clock();
        let was_read_only = self.is_read_only();
        self.step(step);
        let has_failed = !was_read_only && self.is_read_only();
        let intruded = self.intruded(&due)?;
        if let Some(intruded) = &intruded {
            // Jobs that the caller completed may also be purged.
            let mut with = self.model.clone();
            with.apply(&intruded.effect);
            let without = std::mem::replace(&mut self.model, with);
            let due_with = self.due_in(step);
            self.model = without;
            for ((_, due), (_, with)) in due.iter_mut().zip(due_with) {
                due.may.extend(with.may);
                due.complete_max = None;
            }
        }
        let intruded = match intruded {
            // If the job was purged, it was completed before.
            Some(Intruded {
                effect: effect @ Effect::Complete(..),
                refusal: None,
                ..
            }) => {
                self.acknowledge(effect);
                None
            }
            intruded => intruded,
        };
        let now = self.now();
        let is_excused = self.is_excused() || self.index_troubled;
        // Health reports only one reason, so it may not have shown that the clock must be
        // confirmed.
        let waits = waited || self.waits_for_clock();
        for (name, mut due) in due {
            if self.disk.is_dead() {
                self.in_doubt(Effect::MaybePurge(name, due.may, due.reason, now));
                continue;
            }
            if is_excused {
                (due.must, due.complete_max) = (Vec::new(), None);
            }
            if waits {
                due.must.clear();
            }
            self.observe_purge(name, &due)?;
            if has_failed {
                // A commit with an unknown outcome stops all writes. That commit may be a purge,
                // which the store then shows as not done.
                self.in_doubt(Effect::MaybePurge(name, due.may, due.reason, now));
            }
        }
        match intruded {
            None => Ok(true),
            Some(Intruded {
                effect,
                refusal: None,
                ..
            }) => {
                self.acknowledge(effect);
                Ok(true)
            }
            Some(Intruded {
                what,
                effect,
                refusal: Some(refusal),
            }) => self.refused_as(&what, &refusal, effect),
        }
    }

    fn waits_for_clock(&self) -> bool {
        match self.store().health() {
            Health::Ok => false,
            Health::Degraded { why, .. } => why.contains("clock") || self.gaps.is_waiting(),
            _ => true,
        }
    }

    /// Determines what was purged, and whether that is allowed.
    pub fn observe_purge(&mut self, name: Name, due: &Due) -> Result<(), Finding> {
        let (may, must, reason) = (&due.may, &due.must, due.reason);
        let Some(graph) = self.handle(name) else {
            return Err(format!("graph {name:?} is missing"));
        };
        let seen = match read_graph(&graph) {
            Ok(seen) => seen,
            Err(error) => {
                self.excuse("list", &error)?;
                self.disk.heal();
                self.lift_limits();
                match read_graph(&graph) {
                    Ok(seen) => seen,
                    Err(error) => {
                        self.excuse("list", &error)?;
                        let now = self.now();
                        self.in_doubt(Effect::MaybePurge(name, may.clone(), reason, now));
                        self.is_unreadable = true;
                        return Ok(());
                    }
                }
            }
        };
        let there: BTreeSet<u64> = seen.iter().map(|seen| seen.sequence).collect();
        let jobs = &self.model.graphs[&name].jobs;
        let gone: Vec<u64> = jobs
            .keys()
            .filter(|s| !there.contains(s))
            .copied()
            .collect();
        let left = jobs.iter();
        let left = left.filter(|(s, job)| job.state == State::Complete && there.contains(s));
        let left = left.count() as u64;
        if due.complete_max.is_some_and(|max| left > max) {
            return Err(format!(
                "{left} complete jobs of {name:?} are kept, policy {:?}, health {:?}",
                self.policies.get(&self.serial(name)),
                self.store().health()
            ));
        }
        if let Some(early) = gone.iter().find(|s| !may.contains(s)) {
            let job = &jobs[early];
            let age = (self.now().true_ms - job.ended_true) / 1000;
            let others = gone.iter().filter(|s| !may.contains(s)).count();
            return Err(format!(
                "job {early} of {name:?} was purged ({reason:?}), which was not due: it is {} \
                 and ended {age} s ago, completed_at {:?}; {others} such jobs, policy {:?}",
                job.state,
                job.completed_ms,
                self.policies.get(&self.serial(name))
            ));
        }
        if let Some(late) = must.iter().find(|s| there.contains(s)) {
            let many = must.iter().filter(|s| there.contains(s)).count();
            return Err(format!(
                "job {late} of {name:?} is due ({reason:?}) and was not purged, with {many} in all; \
                 policy {:?}, health {:?}",
                self.policies.get(&self.serial(name)),
                self.store().health()
            ));
        }
        if !gone.is_empty() {
            let now = self.now();
            self.acknowledge(Effect::Purge(name, gone, reason, now));
        }
        Ok(())
    }
}
