//! One life of a store: its operations, one after the other, on the store and the model.
//!
//! Contains the store, its disk, its index, its clock, and the effects that are in doubt after a
//! failure. The same setup and operations yield the same life.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;

use allocation_counter::measure;
use jobstore::replica::MemoryReplica;
use jobstore::simulation::{self, Class, Disk, Fault, Index, Step};
use jobstore::{
    Completion, Error, Graph, Health, JobStore, OutcomeKind, Page, Position, Recovery, Requeued,
    Run, State,
};
use jobstore_trials::random::Random;

use crate::archives::ARCHIVE;
use crate::followers::Follower;
use crate::gaps::Gaps;
use crate::history::History;
use crate::interrupts::Intruder;
use crate::model::{Effect, Job, Model, Name, Now};
use crate::observed::{NAMES, Observed, PROJECTS};
use crate::operations::{Op, Pick};
use crate::policies::Policy;
use crate::reads::{FEED_MAX, compare_feed};
use crate::report::FollowerTally;
use crate::requests::{End, OutcomeFact};
use crate::setup::{HostClock, Setup};

/// A finding: a description of what is wrong.
pub type Finding = String;
/// The result of an operation: whether it was applicable, or a finding.
pub type Ran = Result<bool, Finding>;

/// The state of a reader of the change feed.
pub struct FeedReader {
    pub serial: u64,
    pub position: Position,
    /// How many of the graph's events it has read.
    pub seen: usize,
    /// The epoch of the store that returned the position. A crash may have reverted that store's
    /// state.
    pub epoch: u64,
}

pub struct KeptPage {
    pub page: Page,
    pub json: String,
}

/// A run owned by a worker.
pub struct KeptRun {
    pub run: Run,
    pub name: Name,
    pub serial: u64,
    pub sequence: u64,
}

/// An error with the code and message that all ways of access have in common.
#[derive(Debug)]
pub struct Refusal {
    pub name: String,
    pub text: String,
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Refusal {
        Refusal {
            name: error.code().to_owned(),
            text: error.to_string(),
        }
    }
}

/// The directory of a store that is not open.
#[derive(Default)]
pub struct Directory {
    pub disk: Disk,
    pub index: Index,
    pub index_is_corrupt: bool,
}

pub struct Life {
    pub setup: Setup,
    pub skip: BTreeSet<String>,
    pub random: Random,
    pub clock: HostClock,
    pub disk: Disk,
    pub index: Index,
    /// Outlives the disk.
    pub replica: Option<MemoryReplica>,
    /// Whether the replica's engine does not respond.
    pub replica_is_down: bool,
    /// Whether the next open replaces the contents of the replica.
    pub reseeds: bool,
    /// The directory of the store that was deposed last.
    pub deposed: Option<Directory>,
    pub follower: Option<Follower>,
    /// What the follower may show while it is behind.
    pub history: History,
    pub tally: FollowerTally,
    pub store: Option<JobStore>,
    /// The content including every acknowledged effect.
    pub model: Model,
    /// In interval mode: the content excluding the effects that a power failure may lose.
    base: Model,
    pending: Vec<Effect>,
    /// The effects of unacknowledged writes whose durability is unknown, in the order in which they
    /// were attempted. They follow all other effects.
    doubt: Vec<Effect>,
    /// The failed opens since then. They may have been recorded.
    failed_opens: Vec<Effect>,
    /// Whether the store accepts no more writes.
    pub failed: bool,
    pub index_troubled: bool,
    /// Whether a result could not be read, so that only the next open shows it.
    pub is_unreadable: bool,
    /// Whether a row of the index was changed, and no open has certainly rebuilt the index since.
    pub index_is_corrupt: bool,
    pub limited: bool,
    /// Whether the wall clock was wrong at some time in this life.
    pub clock_was_wrong: bool,
    pub gaps: Gaps,
    /// Policies that were set since the open, by the serial numbers of their graphs.
    pub policies: BTreeMap<u64, Option<Policy>>,
    /// Policies that hosts set again after an open.
    pub wanted_policies: BTreeMap<u64, Policy>,
    /// The directory that is now at the archives' path. The next field contains the earlier ones.
    pub archive: Disk,
    pub moved_archives: Vec<Disk>,
    /// Graphs whose archive is open, or may be.
    pub archive_open: BTreeSet<u64>,
    /// Whether the archives' directory currently has faults or limits.
    pub archive_is_harmed: bool,
    /// The time from which the archive certainly works again.
    pub archive_well_from: u64,
    /// Whether jobs in the archive may not have been purged.
    pub archive_is_in_doubt: bool,
    /// The lines of archive files that were deleted.
    pub lost_lines: BTreeSet<String>,
    archive_faults_before: u64,
    /// Graphs that had a policy at some time, so tombstones may have been forgotten.
    pub forgot_by_policy: BTreeSet<u64>,
    /// The caller that runs during the next step.
    pub intruder: Option<Intruder>,
    /// The memory that the store used when it was last closed.
    pub held_bytes: i64,
    pub runs: Vec<KeptRun>,
    pub feed_readers: Vec<FeedReader>,
    pub pages: Vec<KeptPage>,
    pub old: Vec<Graph>,
    /// Incremented by each crash.
    pub epoch: u64,
    pub opens: u64,
    pub faults_before: u64,
    pub trace: bool,
}

/// The invariants that `--skip` disables.
pub const CHECKS: &[&str] = &[
    "descriptors",
    "disk",
    "drop-requeues",
    "files",
    "full-disk",
    "import-2100",
    "index-size",
    "memory",
    "open-cost",
    "open-growth",
    "open-on-full-disk",
    "outcomes",
    "replica",
];

/// A day in milliseconds.
pub const DAY_MS: u64 = 86_400_000;

impl Life {
    pub fn new(setup: Setup, seed: u64, skip: BTreeSet<String>) -> Result<Life, Finding> {
        simulation::seed_random(seed ^ 0x5eed);
        let mut life = Life {
            setup,
            skip,
            random: Random(seed ^ 0x11fe),
            clock: HostClock::new(),
            disk: Disk::new(),
            index: Index::new(),
            replica: None,
            replica_is_down: false,
            reseeds: false,
            deposed: None,
            follower: None,
            history: History::default(),
            tally: FollowerTally::default(),
            store: None,
            model: Model::default(),
            base: Model::default(),
            pending: Vec::new(),
            doubt: Vec::new(),
            failed_opens: Vec::new(),
            failed: false,
            index_troubled: false,
            is_unreadable: false,
            index_is_corrupt: false,
            limited: false,
            clock_was_wrong: false,
            gaps: Gaps::default(),
            policies: BTreeMap::new(),
            wanted_policies: BTreeMap::new(),
            archive: Disk::new(),
            moved_archives: Vec::new(),
            archive_open: BTreeSet::new(),
            archive_is_harmed: false,
            archive_well_from: 0,
            archive_is_in_doubt: false,
            lost_lines: BTreeSet::new(),
            archive_faults_before: 0,
            forgot_by_policy: BTreeSet::new(),
            intruder: None,
            held_bytes: 0,
            runs: Vec::new(),
            feed_readers: Vec::new(),
            pages: Vec::new(),
            old: Vec::new(),
            epoch: 0,
            opens: 0,
            faults_before: 0,
            trace: false,
        };
        if life.setup.has_replica {
            life.replica = Some(MemoryReplica::default());
        }
        simulation::place_archive(Path::new(ARCHIVE), Some(&life.archive));
        life.open()?;
        Ok(life)
    }

    pub fn store(&self) -> &JobStore {
        self.store
            .as_ref()
            .expect("the store is open between operations")
    }

    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// Returns whether one of the [`CHECKS`] is enabled.
    pub fn checks(&self, what: &str) -> bool {
        assert!(CHECKS.contains(&what), "{what} is not in the list");
        !self.skip.contains(what)
    }

    /// Executes an operation. Afterward, the store is open again.
    pub fn execute(&mut self, op: &Op) -> Ran {
        self.faults_before = self.disk.counters().faults;
        self.archive_faults_before = self.archive.counters().faults;
        if let Some(follower) = &mut self.follower {
            follower.begin_operation();
        }
        let opens = self.opens;
        let ran = self.carry_out(op)?;
        self.archive_is_in_doubt |= self.is_excused() || self.has_archive_fault();
        if self.disk.is_dead() || std::mem::take(&mut self.is_unreadable) {
            self.crash(false)?;
        }
        if self.store.is_none() {
            self.open()?;
        }
        // Hosts set their policies after each open, or forget to.
        if self.opens > opens && self.opens % 4 > 0 {
            self.set_policies_again()?;
        }
        self.failed = self.is_read_only();
        self.record_moment();
        Ok(ran)
    }

    /// Records what a follower may show later.
    fn record_moment(&mut self) {
        if self.follower.is_some() && !self.failed && !self.is_in_doubt() {
            let lsn = simulation::visible_lsn(self.store());
            self.history.record(lsn, &self.model);
        }
    }

    /// Returns whether a fault occurred during this operation, or a limit is in effect.
    pub fn is_excused(&self) -> bool {
        self.limited
            || self.failed
            || self.replica_is_down
            || self.disk.is_dead()
            || self.has_fault()
    }

    /// Returns whether a read of the index may fail.
    pub fn has_index_fault(&self) -> bool {
        self.index_troubled || self.index_is_corrupt
    }

    /// Returns whether the store reports that it accepts no more writes.
    pub fn is_read_only(&self) -> bool {
        matches!(self.store().health(), Health::ReadOnly { .. })
    }

    pub fn has_archive_fault(&self) -> bool {
        self.archive_is_harmed || self.archive.counters().faults > self.archive_faults_before
    }

    fn has_fault(&self) -> bool {
        self.disk.counters().faults > self.faults_before
    }

    // Effects.

    /// Records an acknowledged effect.
    pub fn acknowledge(&mut self, effect: Effect) {
        self.model.apply(&effect);
        self.gaps.recorded(self.now().true_ms);
        if !self.setup.is_interval() {
            self.gaps.synced();
        } else {
            let is_synced = matches!(effect, Effect::Drop(_) | Effect::Purge(..));
            self.pending.push(effect);
            if is_synced {
                self.synced();
            }
        }
    }

    /// Records that everything acknowledged is durable.
    pub fn synced(&mut self) {
        self.gaps.synced();
        for effect in self.pending.drain(..) {
            self.base.apply(&effect);
        }
    }

    /// Records a write that failed with this error. A failure without an excuse is a finding.
    pub fn refused(&mut self, what: &str, error: &Error, effect: Effect) -> Ran {
        self.refused_as(what, &error.into(), effect)
    }

    pub fn refused_as(&mut self, what: &str, refusal: &Refusal, effect: Effect) -> Ran {
        if self.disk.is_dead() {
            self.doubt.push(effect);
            return Ok(true);
        }
        match refusal.name.as_str() {
            "CommitUnknown" if self.is_excused() => {
                self.doubt.push(effect);
                self.failed = true;
                Ok(true)
            }
            "ReadOnly" if self.failed => Ok(true),
            _ => self.excuse_as(what, refusal),
        }
    }

    /// Accepts an error if faults or limits explain it.
    pub fn excuse(&self, what: &str, error: &Error) -> Ran {
        self.excuse_as(what, &error.into())
    }

    pub fn excuse_as(&self, what: &str, refusal: &Refusal) -> Ran {
        let excused = match refusal.name.as_str() {
            _ if refusal.text.contains(ARCHIVE) => self.has_archive_fault(),
            "ReplicaUnreachable" => self.replica_is_down,
            "DiskFull" | "Io" | "CommitUnknown" => self.is_excused(),
            "ReadOnly" => self.failed || self.is_excused(),
            // A limit on descriptors always leaves enough of them, so only a fault explains this.
            "TooManyOpenFiles" => self.has_fault(),
            "IndexUnavailable" => self.has_index_fault() || self.is_excused(),
            _ => false,
        };
        match excused {
            true => Ok(true),
            false => Err(format!("{what}: {} ({})", refusal.text, refusal.name)),
        }
    }

    // Opening and closing.

    pub fn forget_handles(&mut self) {
        self.pages.clear();
        self.old.clear();
        // Dropping a run now records nothing, because the store is closed.
        self.runs.clear();
        self.policies.clear();
        self.archive_open.clear();
    }

    pub fn open(&mut self) -> Result<(), Finding> {
        let mut tries = 0;
        loop {
            let now = self.now();
            let opening = Effect::Opened(self.setup.recovery, now);
            self.faults_before = self.disk.counters().faults;
            let opened = self.open_once();
            self.opens += 1;
            match opened {
                Ok(store) => {
                    self.store = Some(store);
                    self.gaps.opened(now.true_ms);
                    self.settle_doubt(opening)?;
                    self.failed = false;
                    self.is_unreadable = false;
                    self.history.forget_from(simulation::open_lsn(self.store()));
                    if std::mem::take(&mut self.reseeds) {
                        self.replaced_log();
                    }
                    // The store has recorded the keys. Later opens either set them again or omit
                    // them.
                    self.setup.names_secrets = self.opens % 3 == 0;
                    return Ok(());
                }
                Err(error) => {
                    let excused = match &error {
                        _ if self.disk.is_dead() => true,
                        Error::DiskFull { .. } => self.limited || self.is_excused(),
                        _ => self.is_excused(),
                    };
                    if !excused {
                        return Err(format!("it cannot be opened: {error} ({})", error.code()));
                    }
                    if self.limited
                        && !self.disk.is_dead()
                        && self.disk.counters().faults == self.faults_before
                        && !matches!(error, Error::ReplicaUnreachable { .. })
                        // A directory that is replaced by the contents of its replica needs space.
                        && !self.disk.names().iter().any(|(name, _)| name == "MIRRORING")
                        && self.checks("open-on-full-disk")
                    {
                        return Err(format!(
                            "with {} files of {} bytes on a full disk it cannot be opened: {error} ({})",
                            self.disk.files(),
                            self.disk.used_bytes(),
                            error.code()
                        ));
                    }
                    self.failed_opens.push(opening);
                    self.disk.heal();
                    self.disk.kill();
                    self.index.crash(self.random.any());
                    self.index.fail_after(None);
                    if tries > 0 {
                        self.lift_limits();
                        self.heal_replica();
                    }
                    tries += 1;
                    if tries > 3 {
                        return Err(format!(
                            "it cannot be opened after {tries} attempts: {error}"
                        ));
                    }
                }
            }
        }
    }

    fn open_once(&self) -> jobstore::Result<JobStore> {
        let options = self.options();
        simulation::open(options, &self.disk, &self.index, self.setup.segment_bytes)
    }

    pub fn lift_limits(&mut self) {
        self.disk.limit_bytes(None);
        self.disk.limit_files(None);
        self.disk.limit_descriptors(None);
        self.limited = false;
    }

    pub fn is_in_doubt(&self) -> bool {
        !self.doubt.is_empty()
    }

    /// Records an effect that may have happened, after all other effects.
    pub fn in_doubt(&mut self, effect: Effect) {
        self.doubt.push(effect);
    }

    /// Determines which of the effects in doubt the store contains.
    fn settle_doubt(&mut self, opening: Effect) -> Result<(), Finding> {
        match Observed::read_opened(self.store()) {
            Ok(observed) => self.settle_as(opening, &observed),
            Err(what) if self.index_is_corrupt && what.contains("the index is unavailable") => {
                // The damage is detected when the row is read, and the next open rebuilds the
                // index. This open has still settled what was in doubt, as its log files show.
                self.index_is_corrupt = false;
                let closed = self.store().close();
                self.disk.kill();
                let options = self.setup.options(&self.clock);
                let reader = simulation::open_read_only(options, &self.disk)
                    .map_err(|e| format!("after {what} (close: {closed:?}), read-only: {e}"))?;
                let observed = Observed::read(&reader)
                    .map_err(|e| format!("after {what} (close: {closed:?}), read-only: {e}"))?;
                self.store = Some(reader);
                self.settle_as(opening, &observed)?;
                self.store = None;
                self.open()
            }
            Err(what) if self.is_excused() => {
                // Read again without faults.
                self.disk.heal();
                self.lift_limits();
                let observed = Observed::read_opened(self.store());
                self.settle_as(opening, &observed.map_err(|e| format!("{what}; then {e}"))?)
            }
            Err(what) => Err(format!("after an open, {what}")),
        }
    }

    /// Finds the prefix of the writes in doubt that the store contains.
    ///
    /// A failed open may be recorded even if writes before it are lost. This also limits the
    /// prefix.
    fn settle_as(&mut self, opening: Effect, observed: &Observed) -> Result<(), Finding> {
        let writes: Vec<Effect> = self.pending.drain(..).chain(self.doubt.drain(..)).collect();
        let failed_opens = std::mem::take(&mut self.failed_opens);
        let mut from = match self.setup.is_interval() {
            true => self.base.clone(),
            false => std::mem::take(&mut self.model),
        };
        let (mut first_difference, mut last_difference) = (None, String::new());
        let mut first_match = None;
        for n in 0..=writes.len() {
            let (done, rest) = writes.split_at(n);
            // Most prefixes differ from the store in the number of jobs, and are skipped. Only the
            // differences from the first and the last prefix are reported.
            let is_certain = !done.iter().any(|e| matches!(e, Effect::MaybePurge(..)));
            let is_other = is_certain && !observed.has_as_many_jobs(&from);
            let tries = match is_other && !done.is_empty() && !rest.is_empty() {
                true => 0,
                false => failed_opens.len() + 1,
            };
            for opens in 0..tries {
                let mut candidate = from.clone();
                // The failed opens and this one found the same store, at the same time.
                let opens = failed_opens.iter().take(opens);
                opens.for_each(|open| candidate.apply(open));
                candidate.apply(&opening);
                resolve(&mut candidate, done, observed);
                match observed.compare(&candidate) {
                    // A requeued job is listed like one that was never started. In that case, the
                    // change feed shows how much the store contains.
                    Ok(()) if rest.iter().any(Effect::is_requeue) => {
                        if self.has_feeds_of(&candidate) {
                            self.take_over(candidate, observed);
                            return Ok(());
                        }
                        first_match.get_or_insert(candidate);
                    }
                    Ok(()) => {
                        self.take_over(candidate, observed);
                        return Ok(());
                    }
                    Err(what) => {
                        first_difference.get_or_insert_with(|| what.clone());
                        last_difference = what;
                    }
                }
            }
            if let Some(effect) = rest.first() {
                from.apply(effect);
                self.trace_doubt(effect);
            }
        }
        if let Some(candidate) = first_match {
            self.take_over(candidate, observed);
            return Ok(());
        }
        Err(format!(
            "after an open, the store does not contain a prefix of what was written ({} writes in \
             doubt, {} failed opens): {last_difference}; without them: {}",
            writes.len(),
            failed_opens.len(),
            first_difference.unwrap_or_default()
        ))
    }

    fn take_over(&mut self, mut model: Model, observed: &Observed) {
        observed.complete(&mut model);
        // After an open, the host sets its policies again.
        model.graphs.values_mut().for_each(|g| g.archives = None);
        if self.setup.is_interval() {
            self.base.clone_from(&model);
        }
        self.model = model;
    }

    /// Returns whether the change feeds match a model. An unreadable feed does not contradict the
    /// model.
    fn has_feeds_of(&self, model: &Model) -> bool {
        model.graphs.iter().all(|(&name, expected)| {
            let Some(Ok(feed)) = self.handle(name).map(|graph| graph.changes(None)) else {
                return true;
            };
            match feed.take(FEED_MAX).collect::<jobstore::Result<Vec<_>>>() {
                Ok(found) => compare_feed(expected, 0, &found).is_ok(),
                Err(_) => true,
            }
        })
    }

    fn trace_doubt(&self, effect: &Effect) {
        if self.trace {
            let text = format!("{effect:?}");
            let text: String = text.chars().take(160).collect();
            eprintln!("      in doubt: {text}");
        }
    }

    /// Ends the process without a close.
    pub fn crash(&mut self, power: bool) -> Result<(), Finding> {
        if !power && !self.may_lose_unsynced() {
            // A kill reverts nothing, because written data remains.
            self.synced();
        }
        let seed = self.random.any();
        match power {
            true => self.disk.cut_power(seed),
            false => self.disk.kill(),
        }
        for archive in self.moved_archives.iter().chain([&self.archive]) {
            match power {
                true => archive.cut_power(seed.rotate_left(13)),
                false => archive.kill(),
            }
        }
        self.archive_is_in_doubt = true;
        self.index.crash(seed.rotate_left(7));
        self.index_troubled = false;
        self.failed = false;
        self.epoch += 1;
        self.store = None;
        self.forget_handles();
        Ok(())
    }

    pub fn close(&mut self) -> Result<(), Finding> {
        let mut closed = Ok(());
        let closing = measure(|| closed = self.store().close());
        let died = self.disk.is_dead();
        if let Err(error) = &closed {
            if !died && !self.is_excused() && !self.failed {
                return Err(format!("close: {error} ({})", error.code()));
            }
            self.epoch += 1;
        }
        let was_failed = self.failed;
        match closed {
            Ok(()) => {
                self.gaps.recorded(self.now().true_ms);
                self.synced();
            }
            // The process ends as by a kill.
            Err(_) if self.may_lose_unsynced() => {}
            Err(_) if !was_failed || !self.setup.is_interval() => self.synced(),
            Err(_) => {}
        }
        let dropping = measure(|| {
            self.store = None;
            self.forget_handles();
        });
        self.held_bytes = -(closing.bytes_current + dropping.bytes_current);
        self.check_archive_ended()?;
        self.disk.kill();
        self.archive.kill();
        self.index.fail_after(None);
        self.index_troubled = false;
        self.failed = false;
        Ok(())
    }

    // The targets of operations.

    pub fn pick_graph(&self, pick: Pick) -> Option<(Name, Graph)> {
        let count = self.model.graphs.len();
        let nth = usize::from(pick).checked_rem(count)?;
        let name = *self.model.graphs.keys().nth(nth)?;
        Some((name, self.handle(name)?))
    }

    pub fn handle(&self, name: Name) -> Option<Graph> {
        let found = self.store().graph(PROJECTS[name.0], NAMES[name.1]);
        found.ok()
    }

    /// Returns a job, in this state if there is one.
    pub fn pick_job(&self, pick: Pick, state: State) -> Option<(Name, Graph, u64, Job)> {
        let (name, graph) = self.pick_graph(pick)?;
        let jobs = &self.model.graphs[&name].jobs;
        let of_state: Vec<u64> = jobs
            .iter()
            .filter(|(_, job)| job.state == state)
            .map(|(&s, _)| s)
            .collect();
        let n = usize::from(pick) / 7;
        let sequence = match (n % 9, of_state.len()) {
            (0, _) | (_, 0) => *jobs.keys().nth(n.checked_rem(jobs.len())?)?,
            (_, len) => of_state[n % len],
        };
        Some((name, graph, sequence, jobs[&sequence].clone()))
    }

    pub fn serial(&self, name: Name) -> u64 {
        self.model.graphs[&name].serial
    }

    // Runs.

    /// Completes or drops a run, and checks what it leaves behind.
    pub fn end_run(&mut self, kept: KeptRun, end: Option<End>) -> Ran {
        let KeptRun {
            run,
            name,
            serial,
            sequence,
        } = kept;
        let now = self.now();
        let job = self.model.graphs.get(&name).filter(|g| g.serial == serial);
        let job = job.and_then(|graph| graph.jobs.get(&sequence)).cloned();
        // Another run of the job may have completed or requeued it.
        let was_over = run.is_over();
        let Some(end) = end else {
            drop(run);
            return self.after_drop(name, sequence, job, was_over);
        };
        let outcome = self.kept(OutcomeFact::of(&end.outcome()));
        let effect = Effect::Complete(name, sequence, outcome.clone(), now);
        match (run.complete(end.outcome()), job) {
            (Ok(Completion::Done), Some(job)) if job.state == State::Running && !was_over => {
                self.acknowledge(effect);
                Ok(true)
            }
            (Err(Error::InvalidUse { .. }), Some(job))
                if job.state != State::Complete && was_over =>
            {
                Ok(true)
            }
            (Ok(Completion::AlreadyComplete(_)), Some(job)) if job.state == State::Complete => {
                Ok(true)
            }
            (Err(Error::GraphDropped { .. }), None) => Ok(true),
            (Err(Error::UnknownJob { .. } | Error::JobPurged { .. }), None) => Ok(true),
            (Err(Error::OutcomeTooLarge { .. }), Some(job)) if end.is_long() => {
                // The outcome was refused. The job is unchanged, and can be completed in another
                // way.
                match job.state {
                    State::Running => self.expect_running(name, sequence),
                    _ => Ok(true),
                }
            }
            (Err(Error::OutcomeTooLarge { .. }), None) => Ok(true),
            (Err(error), Some(job)) => {
                if job.state == State::Pending && matches!(error, Error::IllegalTransition { .. }) {
                    return Ok(true);
                }
                let ran = self.refused("complete a run", &error, effect)?;
                if job.state == State::Running && !self.disk.is_dead() {
                    // The run was dropped, which may have recorded a completion.
                    self.observe_job(name, sequence)?;
                }
                Ok(ran)
            }
            (Err(error), None) => self.excuse("complete a run", &error),
            (Ok(done), job) => Err(format!("a run of {job:?} completed as {done:?}")),
        }
    }

    fn expect_running(&mut self, name: Name, sequence: u64) -> Ran {
        if !self.checks("outcomes") {
            self.observe_job(name, sequence)?;
            return Ok(true);
        }
        let Some(seen) = self.look(name, sequence)? else {
            return Ok(true);
        };
        match seen.0 {
            State::Running => Ok(true),
            state => Err(format!(
                "an outcome was refused as too large, and the job that was running is now \
                 {state} with {:?}: it cannot be completed as it ended",
                seen.1
            )),
        }
    }

    pub fn look(
        &self,
        name: Name,
        sequence: u64,
    ) -> Result<Option<(State, Option<OutcomeFact>)>, Finding> {
        let job = &self.model.graphs[&name].jobs[&sequence];
        let (Some(graph), Some(id)) = (self.handle(name), job.id.clone()) else {
            return Ok(None);
        };
        match graph.job(&*id) {
            Ok(Some(job)) => Ok(Some((job.state(), job.outcome().map(OutcomeFact::of)))),
            Ok(None) => Err(format!("job {id} is missing")),
            Err(error) => self.excuse("look at a job", &error).map(|_| None),
        }
    }

    /// Reads the state of a job into the model, because its outcome depends on the release.
    fn observe_job(&mut self, name: Name, sequence: u64) -> Result<(), Finding> {
        let before = self.model.graphs[&name].jobs[&sequence].state;
        let Some((state, outcome)) = self.look(name, sequence)? else {
            return Ok(());
        };
        let now = self.now();
        match (before, state, outcome) {
            (State::Running, State::Complete, Some(outcome)) => {
                self.acknowledge(Effect::Complete(name, sequence, outcome, now));
            }
            (State::Running, State::Pending, _) => {
                self.acknowledge(Effect::Requeued(name, sequence));
            }
            _ => {}
        }
        Ok(())
    }

    /// Applies the effect of a dropped run. Its job is recovered in the same way as by the next
    /// open.
    fn after_drop(&mut self, name: Name, sequence: u64, job: Option<Job>, was_over: bool) -> Ran {
        let running = job.filter(|job| job.state == State::Running && !was_over);
        let Some(job) = running else {
            return Ok(true);
        };
        let ended = |kind| {
            let outcome = OutcomeFact::plain(kind, None);
            Effect::Complete(name, sequence, outcome, self.now())
        };
        let expected = match (self.setup.recovery, job.cancelling) {
            (Recovery::Leave, _) => None,
            (_, true) => Some(ended(OutcomeKind::Cancelled)),
            (Recovery::Requeue, false) if !job.hidden.secrets_lost => {
                Some(Effect::Requeued(name, sequence))
            }
            _ => Some(ended(OutcomeKind::Interrupted)),
        };
        if self.disk.is_dead() || self.is_unreadable {
            self.doubt.extend(expected);
            return Ok(true);
        }
        // Dropping a run needs no index, and does not report whether anything was recorded.
        let Some((state, outcome)) = self.look(name, sequence)? else {
            self.doubt.extend(expected);
            self.is_unreadable = true;
            return Ok(true);
        };
        if self.is_excused() {
            self.observe_job(name, sequence)?;
            let state = self.model.graphs[&name].jobs[&sequence].state;
            if state == State::Running {
                self.doubt.extend(expected);
            }
            return Ok(true);
        }
        let is_expected = match &expected {
            None => state == State::Running,
            Some(Effect::Complete(_, _, wanted, _)) => {
                outcome.as_ref().is_some_and(|outcome| outcome.is(wanted))
            }
            Some(_) => state == State::Pending,
        };
        if !is_expected && self.checks("drop-requeues") {
            return Err(format!(
                "under {:?} a dropped run left its job {state} with {outcome:?}, not {expected:?}",
                self.setup.recovery
            ));
        }
        self.observe_job(name, sequence)?;
        Ok(true)
    }

    /// Requeues a job.
    pub fn requeue(&mut self, kept: KeptRun) -> Ran {
        let KeptRun {
            run,
            name,
            serial,
            sequence,
        } = kept;
        let graph = self.model.graphs.get(&name).filter(|g| g.serial == serial);
        let job = graph.and_then(|graph| graph.jobs.get(&sequence)).cloned();
        let was_over = run.is_over();
        let cancelled = OutcomeFact::plain(OutcomeKind::Cancelled, None);
        let effect = match job.as_ref().is_some_and(|job| job.cancelling) {
            true => Effect::Complete(name, sequence, cancelled, self.now()),
            false => Effect::Requeued(name, sequence),
        };
        let is_cancelled = matches!(effect, Effect::Complete(..));
        match (run.requeue(), job) {
            (Ok(Requeued::Pending), Some(job)) if job.state == State::Running && !is_cancelled => {
                self.acknowledge(effect);
            }
            (Ok(Requeued::Cancelled), Some(job)) if job.state == State::Running && is_cancelled => {
                self.acknowledge(effect);
            }
            (Ok(Requeued::AlreadyComplete), Some(job)) if job.state == State::Complete => {}
            (Err(_), Some(_)) if was_over => {}
            (Err(error), Some(_)) => return self.refused("requeue", &error, effect),
            (Err(_), None) => {}
            (Ok(done), job) => return Err(format!("a run of {job:?} requeued as {done:?}")),
        }
        Ok(true)
    }

    // Background steps.

    pub fn step(&mut self, step: Step) {
        let store = self.store.clone();
        if let Some(store) = store {
            simulation::step(&store, step);
        }
    }

    pub fn fault_classes(kind: u8) -> Vec<Class> {
        match kind % 8 {
            0 => vec![Class::Create],
            1 => vec![Class::Open],
            2 => vec![Class::Rename],
            3 => vec![Class::Remove],
            4 => vec![Class::SyncNames],
            5 => vec![Class::Write],
            6 => vec![Class::Sync],
            _ => vec![Class::Write, Class::Sync, Class::Create, Class::SyncNames],
        }
    }

    pub fn fail_call(&mut self, kind: u8, after: u16, lasting: bool) {
        // EIO, ENOSPC, EMFILE
        let errno = [5, 28, 24][usize::from(after % 3)];
        self.disk.fail(Fault {
            after: u64::from(after),
            errno,
            lasting,
            classes: Life::fault_classes(kind),
        });
    }
}

/// Applies effects that are partly determined by what is observed.
fn resolve(model: &mut Model, effects: &[Effect], observed: &Observed) {
    for effect in effects {
        if let Effect::MaybePurge(name, sequences, reason, now) = effect {
            let there: BTreeSet<u64> = observed
                .graphs
                .get(name)
                .into_iter()
                .flatten()
                .map(|seen| seen.sequence)
                .collect();
            let gone = sequences.iter().filter(|s| !there.contains(s)).copied();
            let purge = Effect::Purge(*name, gone.collect(), *reason, *now);
            model.apply(&purge);
        }
    }
}

pub fn rc(text: &str) -> Rc<str> {
    text.into()
}
