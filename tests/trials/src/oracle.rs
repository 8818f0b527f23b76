//! What must be and what may be in a store, according to the lines.
//!
//! Contains [`Oracle`]: the facts that follow from lines, which are processed one after the other.
//! It does not read stores ([`seen`]) or compare them ([`check`]). A fact is certain only if a line
//! confirms it that was written after its call had returned. An attempted write may be entirely
//! present or entirely absent.
//!
//! Lines of different threads can be in any order. However, a line written after a call returned is
//! always later than the line written before the call.

mod check;
mod purges;
mod seen;
mod settle;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use jobstore::{Outcome, OutcomeKind, State};
use xxhash_rust::xxh3::xxh3_64;

use crate::line::{Act, Answer, Line};
use crate::made;

pub use seen::{Seen, SeenGraph, SeenJob};

/// The knowledge about a store from the lines of its workers.
#[derive(Debug, Default)]
pub struct Oracle {
    /// The graphs by name. Of several graphs with the same name, only the latest one is known.
    graphs: BTreeMap<String, Graph>,
    /// The calls that have not returned.
    calls: HashMap<String, Act>,
    /// The number of the latest open that returned.
    boot: u64,
    /// The opens that have returned, after they reported the jobs that they recovered.
    told: HashSet<u64>,
    acknowledged: u64,
    /// What the latest open does with running jobs. Dropping a run has the same effect.
    recovery: char,
}

#[derive(Debug, Default)]
struct Graph {
    number: Option<u64>,
    /// Whether the graph must exist, unless it may have been dropped.
    created: bool,
    drop_tried: bool,
    dropped: bool,
    jobs: HashMap<String, Job>,
    /// The keys of jobs in the order of their acknowledgments.
    acknowledged: Vec<String>,
    /// The number of calls since the last open that may have started any pending job.
    claims: usize,
    /// The number of such calls before the last open.
    old_claims: usize,
}

#[derive(Debug, Default)]
struct Job {
    /// The hash of the request as lists show it.
    digest: u64,
    /// The id, once it is known.
    id: Option<String>,
    /// The thread that submitted the job, and the number of the job in that thread.
    place: (String, u64),
    /// How many acknowledged jobs of the graph the job must come after.
    after: usize,
    /// The call that submitted the job.
    batch: Rc<str>,
    /// The number of the last open before the submission.
    boot: u64,
    there: bool,
    sequence: Option<u64>,
    start_tried: bool,
    started: bool,
    /// Whether the job belongs to the thread that started it.
    taken: bool,
    /// Whether an open may have requeued the job.
    may_be_requeued: bool,
    /// Whether an open may have completed the job.
    may_be_recovered: bool,
    cancel_tried: bool,
    cancel_requested: bool,
    abandon_tried: bool,
    ends_tried: Vec<u64>,
    complete: bool,
    end: Option<End>,
    /// The number of the open that reported completing the job.
    reported: Option<u64>,
    purge_tried: bool,
    purged: bool,
}

/// How a job was completed, if this is certain.
#[derive(Clone, Debug)]
enum End {
    Is(Outcome),
    Recovered { kind: OutcomeKind, boot: u64 },
}

impl End {
    fn is(&self, outcome: &Outcome) -> bool {
        match self {
            End::Is(end) => end == outcome,
            End::Recovered { kind, boot } => {
                let bare = outcome.code().is_none()
                    && outcome.message().is_none()
                    && outcome.detail().is_none()
                    && outcome.result_ref().is_none();
                outcome.kind() == *kind && outcome.recovered_at_open() == Some(*boot) && bare
            }
        }
    }
}

impl Job {
    /// Returns whether the job may have been running before the current open. Claims whose job is
    /// unknown are not considered.
    fn may_run(&self) -> bool {
        self.end.is_none() && !self.complete && (self.started || self.start_tried)
    }

    fn ended(&mut self, key: &str, end: End) -> Result<(), String> {
        if let Some(before) = &self.end {
            return Err(format!("{key} completed twice: {before:?} and {end:?}"));
        }
        self.there = true;
        self.complete = true;
        self.end = Some(end);
        Ok(())
    }
}

impl Oracle {
    /// Returns an oracle that knows nothing.
    #[must_use]
    pub fn new() -> Oracle {
        Oracle::default()
    }

    /// Returns the number of acknowledged calls.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Processes the next line.
    ///
    /// # Errors
    /// The line contradicts earlier ones: the store has violated a guarantee while it was open.
    pub fn hear(&mut self, line: &Line) -> Result<(), String> {
        match line {
            Line::Tried { call, act } => {
                self.tried(call, act)?;
                self.calls.insert(call.clone(), act.clone());
            }
            Line::Done { call, answer } => {
                let act = self.calls.remove(call);
                let act = act.ok_or_else(|| format!("call {call} returned twice"))?;
                self.acknowledged += 1;
                self.done(&act, answer)?;
            }
            Line::Failed { call, nothing } => {
                let act = self.calls.remove(call);
                if let Some(act) = act.filter(|_| *nothing) {
                    self.untried(&act);
                }
            }
            Line::Seen { graph, jobs } => {
                let found = self.graph(graph)?;
                found.created = true;
                for (key, state) in jobs {
                    let job = found.job(key)?;
                    job.there = true;
                    job.started |= *state == State::Running;
                    job.complete |= *state == State::Complete;
                }
            }
            Line::Found {
                boot,
                graph,
                key,
                action,
            } => self.found(*boot, graph, key, *action)?,
        }
        Ok(())
    }

    fn graph(&mut self, name: &str) -> Result<&mut Graph, String> {
        let graph = self.graphs.get_mut(name);
        graph.ok_or_else(|| format!("no call created the graph {name}"))
    }

    fn tried(&mut self, call: &str, act: &Act) -> Result<(), String> {
        let boot = self.boot;
        match act {
            Act::Open { recovery } => self.open_tried(*recovery),
            Act::Create { graph } => {
                let before = self.graphs.insert(graph.clone(), Graph::default());
                if before.is_some_and(|g| g.created && !g.drop_tried) {
                    return Err(format!("graph {graph} was lost"));
                }
            }
            Act::Drop { graph } => self.graph(graph)?.drop_tried = true,
            Act::Submit {
                graph,
                own_id,
                jobs,
            } => {
                let graph = self.graph(graph)?;
                let (after, batch) = (graph.acknowledged.len(), Rc::<str>::from(call));
                for (key, seed) in jobs {
                    let request = made::request(key, *seed);
                    let (thread, number) = key.split_once('n').ok_or("a strange key")?;
                    let job = Job {
                        digest: xxh3_64(request.as_json().as_bytes()),
                        id: own_id.then(|| key.clone()),
                        place: (thread.to_owned(), number.parse().unwrap_or(0)),
                        after,
                        batch: batch.clone(),
                        boot,
                        ..Job::default()
                    };
                    graph.jobs.insert(key.clone(), job);
                }
            }
            Act::Start { graph, key } => self.graph(graph)?.job(key)?.start_tried = true,
            Act::Claim { graph } => self.graph(graph)?.claims += 1,
            Act::Complete {
                graph,
                key,
                outcome,
            } => self.graph(graph)?.job(key)?.ends_tried.push(*outcome),
            Act::Abandon { graph, key } => {
                let recovery = self.recovery;
                let job = self.graph(graph)?.job(key)?;
                match recovery {
                    'R' => job.may_be_requeued |= !job.cancel_requested,
                    'L' => {}
                    _ => job.abandon_tried = true,
                }
            }
            Act::Cancel { graph, key } => self.graph(graph)?.job(key)?.cancel_tried = true,
            Act::Purge { graph } => self.graph(graph)?.purge_tried(),
            Act::Close => {}
        }
        Ok(())
    }

    fn open_tried(&mut self, recovery: char) {
        self.recovery = recovery;
        if recovery == 'L' {
            return;
        }
        for graph in self.graphs.values_mut() {
            for job in graph.jobs.values_mut().filter(|job| job.may_run()) {
                job.may_be_recovered |= recovery == 'I' || job.cancel_tried;
                job.may_be_requeued |= recovery == 'R' && !job.cancel_requested;
            }
        }
    }

    fn done(&mut self, act: &Act, answer: &Answer) -> Result<(), String> {
        match (act, answer) {
            (Act::Open { recovery }, Answer::Opened { boot }) => self.opened(*recovery, *boot)?,
            (Act::Create { graph }, Answer::Created { number }) => {
                let graph = self.graph(graph)?;
                graph.created = true;
                graph.number = Some(*number);
            }
            (Act::Drop { graph }, Answer::Done) => self.graph(graph)?.dropped = true,
            (Act::Submit { graph, jobs, .. }, Answer::Submitted { ids }) => {
                if ids.len() != jobs.len() {
                    return Err(format!("{} ids for {} jobs", ids.len(), jobs.len()));
                }
                let graph = self.graph(graph)?;
                graph.created = true;
                for ((key, _), id) in jobs.iter().zip(ids) {
                    let job = graph.job(key)?;
                    job.there = true;
                    if job.id.get_or_insert_with(|| id.clone()) != id {
                        return Err(format!("{key} has the id {id}"));
                    }
                    graph.acknowledged.push(key.clone());
                }
            }
            (Act::Start { graph, key }, Answer::Done) => self.graph(graph)?.job(key)?.start(key)?,
            (Act::Claim { graph }, Answer::Claimed { key }) => {
                let graph = self.graph(graph)?;
                graph.claims = graph.claims.saturating_sub(1);
                if let Some(key) = key {
                    graph.job(key)?.start(key)?;
                }
            }
            (
                Act::Complete {
                    graph,
                    key,
                    outcome,
                },
                Answer::Done,
            ) => {
                let end = End::Is(made::outcome(*outcome));
                self.graph(graph)?.job(key)?.ended(key, end)?;
            }
            (Act::Complete { graph, key, .. } | Act::Cancel { graph, key }, Answer::Already) => {
                self.graph(graph)?.job(key)?.complete = true;
            }
            (Act::Cancel { graph, key }, Answer::Done) => {
                let job = self.graph(graph)?.job(key)?;
                if job.started && !job.may_be_requeued {
                    return Err(format!("{key} was started and then cancelled as pending"));
                }
                job.ended(key, End::Is(Outcome::cancelled()))?;
            }
            (Act::Cancel { graph, key }, Answer::Requested) => {
                let job = self.graph(graph)?.job(key)?;
                (job.cancel_requested, job.started) = (true, true);
            }
            (Act::Purge { graph }, Answer::Done) => self.graph(graph)?.purged(),
            (Act::Close, Answer::Done) => {}
            _ => return Err(format!("{act} returned {answer}")),
        }
        Ok(())
    }

    /// Applies the effect of an open that returned to all running jobs.
    fn opened(&mut self, recovery: char, boot: u64) -> Result<(), String> {
        if boot <= self.boot {
            return Err(format!("boot {boot} comes after boot {}", self.boot));
        }
        self.boot = boot;
        self.told.insert(boot);
        if recovery == 'L' {
            return Ok(());
        }
        for graph in self.graphs.values_mut() {
            graph.old_claims += graph.claims;
            graph.claims = 0;
            for job in graph.jobs.values_mut() {
                (job.start_tried, job.taken) = (false, false);
                let was_running = job.started && !job.may_be_requeued;
                if was_running && (recovery == 'I' || job.cancel_requested) {
                    // However the job was completed, it is no longer running.
                    job.complete = true;
                } else {
                    job.started = false;
                }
                job.may_be_requeued = false;
            }
        }
        Ok(())
    }

    fn found(&mut self, boot: u64, graph: &str, key: &str, action: char) -> Result<(), String> {
        let graph = self.graph(graph)?;
        let unknown = graph.claims > 0;
        let job = graph.job(key)?;
        let claimed = unknown && job.end.is_none() && !job.complete;
        if !(job.may_run() || claimed) {
            return Err(format!("{key} was not running, but was found so: {job:?}"));
        }
        job.there = true;
        match action {
            'L' => (job.started, job.may_be_requeued) = (true, false),
            'R' => {
                (job.started, job.start_tried, job.taken) = (false, false, false);
                if job.cancel_requested {
                    return Err(format!("{key} was to be canceled, but is pending again"));
                }
            }
            _ => {
                let kind = match action {
                    'C' => OutcomeKind::Cancelled,
                    _ => OutcomeKind::Interrupted,
                };
                let heard = match action {
                    'C' => job.cancel_tried,
                    _ => !job.cancel_requested,
                };
                if !heard {
                    return Err(format!("{key} ended as {kind}"));
                }
                if job.reported.is_some() {
                    return Err(format!("{key} was reported twice as found running"));
                }
                job.reported = Some(boot);
                job.ended(key, End::Recovered { kind, boot })?;
            }
        }
        Ok(())
    }

    /// Withdraws a call that failed and had no effect.
    fn untried(&mut self, act: &Act) {
        let name = match act {
            Act::Create { graph } => {
                self.graphs.remove(graph);
                return;
            }
            Act::Drop { graph }
            | Act::Submit { graph, .. }
            | Act::Start { graph, .. }
            | Act::Claim { graph }
            | Act::Complete { graph, .. }
            | Act::Cancel { graph, .. } => graph,
            Act::Open { .. } | Act::Abandon { .. } | Act::Purge { .. } | Act::Close => return,
        };
        let Some(graph) = self.graphs.get_mut(name) else {
            return;
        };
        match act {
            Act::Drop { .. } => graph.drop_tried = false,
            Act::Submit { jobs, .. } => {
                for (key, _) in jobs {
                    graph.jobs.remove(key);
                }
            }
            Act::Start { key, .. } => {
                if let Some(job) = graph.jobs.get_mut(key) {
                    job.start_tried = false;
                }
            }
            Act::Claim { .. } => graph.claims = graph.claims.saturating_sub(1),
            Act::Complete { key, outcome, .. } => {
                if let Some(job) = graph.jobs.get_mut(key) {
                    job.ends_tried.retain(|tried| tried != outcome);
                }
            }
            // An earlier cancel may have taken effect.
            _ => {}
        }
    }
}

impl Graph {
    fn job(&mut self, key: &str) -> Result<&mut Job, String> {
        let job = self.jobs.get_mut(key);
        job.ok_or_else(|| format!("nobody submitted {key}"))
    }
}

impl Job {
    fn start(&mut self, key: &str) -> Result<(), String> {
        // An open whose return was not recorded may have requeued the job.
        if self.end.is_some() || (self.taken && !self.may_be_requeued) {
            return Err(format!("{key} was started twice, or after its completion"));
        }
        (self.there, self.started, self.taken) = (true, true, true);
        self.may_be_requeued = false;
        Ok(())
    }
}
