//! The expected content of the store, as plain values, and how each write changes it.
//!
//! Contains [`Model`] and [`Effect`]. An effect is the effect of one commit. After a crash, the
//! store contains the effects up to some point, in order, and nothing of any later one.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use jobstore::{OutcomeKind, PurgeReason, Recovery, State};

use crate::requests::{Content, OutcomeFact};
use crate::secrets::{Hidden, Keys, SecretKeys};

/// An expected job.
#[derive(Clone, Debug)]
pub struct Job {
    /// The id, unless the result of the submission was lost and the id is not known yet.
    pub id: Option<Rc<str>>,
    pub content: Content,
    pub state: State,
    pub cancelling: bool,
    pub outcome: Option<OutcomeFact>,
    pub submitted_ms: u64,
    /// When the job completed, by the wall clock. `None` if it is not complete.
    pub completed_ms: Option<u64>,
    /// The simulated time at which the job completed or was imported as complete.
    pub ended_true: u64,
    /// Whether it was imported with its state and times.
    pub imported: bool,
    /// Whether it was imported, perhaps as pending.
    pub from_line: bool,
    pub key: Option<Rc<str>>,
    pub hidden: Hidden,
}

impl Job {
    pub fn new(id: Option<Rc<str>>, content: Content, now: Now, secrets: SecretKeys) -> Job {
        Job {
            hidden: Hidden::at_submit(content, secrets),
            id,
            content,
            state: State::Pending,
            cancelling: false,
            outcome: None,
            submitted_ms: now.wall_ms,
            completed_ms: None,
            ended_true: 0,
            imported: false,
            from_line: false,
            key: None,
        }
    }

    /// Returns the request as lists show it.
    pub fn masked(&self) -> String {
        self.content.text(self.hidden.masked)
    }

    /// Returns the request as a worker gets it.
    pub fn real(&self) -> String {
        self.content.text(self.hidden.lost)
    }

    pub fn bytes(&self) -> u64 {
        let outcome = self.outcome.as_ref().map_or(0, OutcomeFact::bytes);
        self.content.bytes() + outcome + 128
    }
}

/// The simulated time and the reading of the system clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    pub true_ms: u64,
    pub wall_ms: u64,
}

/// A purged job.
#[derive(Clone, Debug)]
pub struct Gone {
    pub id: Rc<str>,
    pub key: Option<Rc<str>>,
    pub reason: Option<PurgeReason>,
    pub at_true: u64,
    /// Whether its tombstone is known to be forgotten. If so, the tombstone must not reappear.
    pub forgotten: bool,
}

/// An expected change of a job in the change feed.
#[derive(Clone, Debug, PartialEq)]
pub enum Happened {
    Submitted,
    Started,
    CancelRequested,
    Completed(OutcomeFact),
    Requeued,
}

#[derive(Clone, Debug, Default)]
pub struct GraphModel {
    /// Distinguishes the graph from others with the same name.
    pub serial: u64,
    /// The existing jobs, by sequence number.
    pub jobs: BTreeMap<u64, Job>,
    pub next: u64,
    pub gone: BTreeMap<u64, Gone>,
    /// If set, purged jobs are archived, with these keys masked.
    pub archives: Option<Keys>,
    /// All changes, in order.
    pub feed: Vec<(u64, Happened)>,
    /// How many of them happened before the last open ended.
    pub opened_at: usize,
    /// Whether jobs were imported since then.
    pub has_imports: bool,
    /// Whether jobs were ever imported. Some of them may have been started before.
    pub had_imports: bool,
    /// The command of each job, including jobs that were purged.
    pub commands: Vec<&'static str>,
}

pub type Name = (usize, usize);

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub boot: u64,
    pub graphs: BTreeMap<Name, GraphModel>,
    pub serials: u64,
    /// The jobs that were purged into the archive, and the keys that are masked there, by the
    /// serial number of their graph and their sequence number.
    pub archived: BTreeMap<(u64, u64), (Rc<Job>, Keys)>,
    /// The jobs that the last open found running.
    pub recovered: BTreeSet<(Name, u64)>,
}

/// The effect of one commit.
#[derive(Clone, Debug)]
pub enum Effect {
    Opened(Recovery, Now),
    Create(Name),
    Drop(Name),
    Submit(Name, Vec<Job>),
    Start(Name, u64),
    Complete(Name, u64, OutcomeFact, Now),
    CancelRequested(Name, u64),
    /// The run's job is requeued.
    Requeued(Name, u64),
    Purge(Name, Vec<u64>, Option<PurgeReason>, Now),
    /// The graph's policy has an archive in which these keys are masked, or has none.
    Archives(Name, Option<Keys>),
    /// A purge of which any part may have happened. The observed state shows which part did.
    MaybePurge(Name, Vec<u64>, Option<PurgeReason>, Now),
}

impl Effect {
    pub fn is_requeue(&self) -> bool {
        matches!(self, Effect::Requeued(..))
    }
}

impl Model {
    pub fn jobs(&self) -> usize {
        self.graphs.values().map(|graph| graph.jobs.len()).sum()
    }

    pub fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Opened(recovery, now) => self.open(*recovery, *now),
            Effect::Create(name) => {
                self.serials += 1;
                let graph = GraphModel {
                    serial: self.serials,
                    ..GraphModel::default()
                };
                self.graphs.insert(*name, graph);
            }
            Effect::Drop(name) => drop(self.graphs.remove(name)),
            Effect::Submit(name, jobs) => {
                let Some(graph) = self.graphs.get_mut(name) else {
                    return;
                };
                for job in jobs {
                    let sequence = graph.next;
                    graph.next += 1;
                    graph.commands.push(job.content.command());
                    graph.has_imports |= job.from_line;
                    graph.had_imports |= job.from_line;
                    graph.feed.push((sequence, Happened::Submitted));
                    if job.imported {
                        match (job.state, &job.outcome) {
                            (State::Running, _) => {
                                graph.feed.push((sequence, Happened::Started));
                            }
                            (State::Complete, Some(outcome)) => {
                                let ended = Happened::Completed(outcome.clone());
                                graph.feed.push((sequence, ended));
                            }
                            _ => {}
                        }
                    }
                    graph.jobs.insert(sequence, job.clone());
                }
            }
            Effect::Start(name, sequence) => {
                self.change(*name, *sequence, |job, feed| {
                    job.state = State::Running;
                    feed.push((*sequence, Happened::Started));
                });
            }
            Effect::Complete(name, sequence, outcome, now) => {
                self.change(*name, *sequence, |job, feed| {
                    complete(job, outcome.clone(), *now);
                    feed.push((*sequence, Happened::Completed(outcome.clone())));
                });
            }
            Effect::CancelRequested(name, sequence) => {
                self.change(*name, *sequence, |job, feed| {
                    job.cancelling = true;
                    feed.push((*sequence, Happened::CancelRequested));
                });
            }
            Effect::Requeued(name, sequence) => {
                self.change(*name, *sequence, |job, feed| {
                    job.state = State::Pending;
                    feed.push((*sequence, Happened::Requeued));
                });
            }
            Effect::Purge(name, sequences, reason, now) => {
                if let Some(graph) = self.graphs.get_mut(name) {
                    for sequence in sequences {
                        let job = graph.purge(*sequence, *reason, *now);
                        if let (Some(job), Some(keys)) = (job, graph.archives) {
                            let archived = (Rc::new(job), keys);
                            self.archived.insert((graph.serial, *sequence), archived);
                        }
                    }
                }
            }
            Effect::Archives(name, keys) => {
                if let Some(graph) = self.graphs.get_mut(name) {
                    graph.archives = *keys;
                }
            }
            Effect::MaybePurge(..) => {}
        }
    }

    fn change(
        &mut self,
        name: Name,
        sequence: u64,
        change: impl FnOnce(&mut Job, &mut Vec<(u64, Happened)>),
    ) {
        if let Some(graph) = self.graphs.get_mut(&name) {
            if let Some(job) = graph.jobs.get_mut(&sequence) {
                change(job, &mut graph.feed);
            }
        }
    }

    fn open(&mut self, recovery: Recovery, now: Now) {
        self.boot += 1;
        let boot = self.boot;
        self.recovered.clear();
        for (&name, graph) in &mut self.graphs {
            let running = graph.jobs.iter_mut();
            let mut running: Vec<_> = running
                .filter(|(_, job)| job.state == State::Running)
                .collect();
            self.recovered
                .extend(running.iter().map(|(sequence, _)| (name, **sequence)));
            // There is one event for each recovery action and command. Commands are numbered in the
            // order in which the graph first met them.
            let commands = &graph.commands;
            let number = |job: &Job| commands.iter().position(|c| *c == job.content.command());
            running.sort_by_key(|(_, job)| {
                let is_last = recovery == Recovery::Requeue && job.hidden.secrets_lost;
                (!job.cancelling, is_last, number(job))
            });
            for (&sequence, job) in running {
                let kind = match (recovery, job.cancelling) {
                    (Recovery::Leave, _) => continue,
                    (_, true) => OutcomeKind::Cancelled,
                    (Recovery::Interrupt, false) => OutcomeKind::Interrupted,
                    // No worker could run the job, because its secrets are lost.
                    (_, false) if job.hidden.secrets_lost => OutcomeKind::Interrupted,
                    _ => {
                        job.state = State::Pending;
                        graph.feed.push((sequence, Happened::Requeued));
                        continue;
                    }
                };
                let outcome = OutcomeFact::plain(kind, Some(boot));
                complete(job, outcome.clone(), now);
                graph.feed.push((sequence, Happened::Completed(outcome)));
            }
            graph.opened_at = graph.feed.len();
            graph.has_imports = false;
        }
    }
}

fn complete(job: &mut Job, outcome: OutcomeFact, now: Now) {
    job.state = State::Complete;
    job.cancelling = false;
    job.outcome = Some(outcome);
    job.completed_ms = Some(now.wall_ms);
    job.ended_true = now.true_ms;
}

impl GraphModel {
    fn purge(&mut self, sequence: u64, reason: Option<PurgeReason>, now: Now) -> Option<Job> {
        let job = self.jobs.remove(&sequence);
        if let Some(job) = &job {
            let gone = Gone {
                id: job.id.clone().unwrap_or_else(|| "".into()),
                key: job.key.clone(),
                reason,
                at_true: now.true_ms,
                forgotten: false,
            };
            self.gone.insert(sequence, gone);
        }
        job
    }

    pub fn count(&self, state: State) -> u64 {
        self.jobs.values().filter(|job| job.state == state).count() as u64
    }

    /// The number of jobs that are not complete.
    pub fn open(&self) -> u64 {
        self.jobs.len() as u64 - self.count(State::Complete)
    }

    pub fn with_id(&self, id: &str) -> Option<u64> {
        let mut jobs = self.jobs.iter();
        let found = jobs.find(|(_, job)| job.id.as_deref() == Some(id));
        found.map(|(&sequence, _)| sequence)
    }

    pub fn live_bytes(&self) -> u64 {
        self.jobs.values().map(Job::bytes).sum::<u64>() + 96 * self.gone.len() as u64
    }
}
