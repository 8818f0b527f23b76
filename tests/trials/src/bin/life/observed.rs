//! Everything that reads return, and its comparison with the expected content.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use jobstore::{Graph, Job, JobQuery, JobStore, State};

use crate::counts::SeenHistory;
use crate::model::{self, GraphModel, Model, Name};
use crate::requests::OutcomeFact;

pub const PROJECTS: [&str; 2] = ["10001", "10002"];
pub const NAMES: [&str; 3] = ["movie", "roads", "プロテイン"];

pub fn name_of(graph: &Graph) -> Option<Name> {
    let project = PROJECTS.iter().position(|p| *p == graph.project_id())?;
    let name = NAMES.iter().position(|n| *n == graph.name())?;
    Some((project, name))
}

pub fn ms(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

/// A job as it was read.
#[derive(Clone, Debug)]
pub struct Seen {
    pub sequence: u64,
    pub id: Rc<str>,
    pub state: State,
    pub cancelling: bool,
    pub outcome: Option<OutcomeFact>,
    pub masked: String,
    pub real: String,
    pub submitted_ms: u64,
    pub started_ms: Option<u64>,
    pub completed_ms: Option<u64>,
    pub secrets_lost: bool,
    pub origin: Option<String>,
    /// The percentage and the text.
    pub progress: Option<(u8, String)>,
}

impl Seen {
    pub fn of(job: &Job) -> Seen {
        Seen {
            sequence: job.sequence(),
            id: job.id().as_str().into(),
            state: job.state(),
            cancelling: job.cancel_requested(),
            outcome: job.outcome().map(OutcomeFact::of),
            masked: job.masked_request().as_json().to_owned(),
            real: job.request().as_json().to_owned(),
            submitted_ms: ms(job.submitted_at()),
            started_ms: job.started_at().map(ms),
            completed_ms: job.completed_at().map(ms),
            secrets_lost: job.secrets_lost(),
            origin: job.request().origin().map(str::to_owned),
            progress: job.progress().map(|p| (p.percent, p.text.clone())),
        }
    }

    /// Describes how the job differs from the expected one.
    pub fn differs(&self, sequence: u64, job: &model::Job) -> Option<String> {
        let what = if self.sequence != sequence {
            format!("it is job {}", self.sequence)
        } else if job.id.as_ref().is_some_and(|id| *id != self.id) {
            format!("its id is {}, not {:?}", self.id, job.id)
        } else if self.state != job.state {
            format!(
                "it is {} ({:?}), not {}",
                self.state, self.outcome, job.state
            )
        } else if self.cancelling != job.cancelling {
            format!("cancel_requested is {}", self.cancelling)
        } else if !same_outcome(self.outcome.as_ref(), job.outcome.as_ref()) {
            format!(
                "its outcome is {}, not {}",
                short(&self.outcome),
                short(&job.outcome)
            )
        } else if self.masked != job.masked() {
            "its masked request is another".to_owned()
        } else if self.real != job.real() {
            "its request is another".to_owned()
        } else if self.secrets_lost != job.hidden.secrets_lost {
            format!("secrets_lost is {}", self.secrets_lost)
        } else if self.origin != job.content.origin() {
            format!("its origin is {:?}", self.origin)
        } else if self.submitted_ms != job.submitted_ms {
            format!(
                "it was submitted at {}, not {}",
                self.submitted_ms, job.submitted_ms
            )
        } else if job.state == State::Complete
            && job.completed_ms.is_some()
            && self.completed_ms != job.completed_ms
        {
            format!(
                "it finished at {:?}, not {:?}",
                self.completed_ms, job.completed_ms
            )
        } else {
            return None;
        };
        Some(format!("job {sequence} ({}): {what}", self.id))
    }
}

fn short(outcome: &Option<OutcomeFact>) -> String {
    let text = format!("{outcome:?}");
    text.chars().take(300).collect()
}

pub fn same_outcome(seen: Option<&OutcomeFact>, expected: Option<&OutcomeFact>) -> bool {
    match (seen, expected) {
        (Some(seen), Some(expected)) => seen.is(expected),
        (seen, expected) => seen.is_none() && expected.is_none(),
    }
}

/// A whole store as lists show it.
pub struct Observed {
    pub boot: u64,
    pub graphs: BTreeMap<Name, Vec<Seen>>,
    pub histories: BTreeMap<Name, SeenHistory>,
    /// The jobs that the open reports as found running. Known only if this was read right after an
    /// open.
    recovered: Option<BTreeSet<(Name, u64)>>,
}

impl Observed {
    pub fn read(store: &JobStore) -> Result<Observed, String> {
        let (mut graphs, mut histories) = (BTreeMap::new(), BTreeMap::new());
        let all = store.graphs().map_err(|e| format!("graphs: {e}"))?;
        for graph in all {
            let name = name_of(&graph).ok_or_else(|| format!("a graph {:?}", graph.name()))?;
            let jobs = read_graph(&graph).map_err(|e| format!("graph {:?}: {e}", graph.name()))?;
            let history = SeenHistory::read(&graph);
            let history = history.map_err(|e| format!("graph {:?}: {e}", graph.name()))?;
            histories.insert(name, history);
            if graphs.insert(name, jobs).is_some() {
                return Err(format!("graph {:?} exists twice", graph.name()));
            }
        }
        Ok(Observed {
            boot: store.opens(),
            graphs,
            histories,
            recovered: None,
        })
    }

    /// Reads a store right after an open.
    pub fn read_opened(store: &JobStore) -> Result<Observed, String> {
        let mut observed = Observed::read(store)?;
        let mut recovered = BTreeSet::new();
        for job in store.recovered().jobs() {
            let job = job.map_err(|e| format!("recovered jobs: {e}"))?;
            let name = name_of(&job.graph).ok_or("a recovered job of no graph")?;
            recovered.insert((name, job.job.sequence()));
        }
        observed.recovered = Some(recovered);
        Ok(observed)
    }

    /// Returns whether each graph has the expected number of jobs.
    pub fn has_as_many_jobs(&self, model: &Model) -> bool {
        let seen = self.graphs.iter().map(|(name, jobs)| (name, jobs.len()));
        let expected = model.graphs.iter();
        seen.eq(expected.map(|(name, graph)| (name, graph.jobs.len())))
    }

    /// Describes where the store differs from the model.
    pub fn compare(&self, model: &Model) -> Result<(), String> {
        if self.boot != model.boot {
            return Err(format!("boot is {}, not {}", self.boot, model.boot));
        }
        if self
            .recovered
            .as_ref()
            .is_some_and(|seen| *seen != model.recovered)
        {
            return Err(format!(
                "jobs {:?} were found running, not {:?}",
                self.recovered, model.recovered
            ));
        }
        let seen: Vec<&Name> = self.graphs.keys().collect();
        let expected: Vec<&Name> = model.graphs.keys().collect();
        if seen != expected {
            return Err(format!("the graphs are {seen:?}, not {expected:?}"));
        }
        for (name, graph) in &model.graphs {
            compare_graph(&self.graphs[name], graph).map_err(|e| format!("graph {name:?}: {e}"))?;
            if let Some(what) = self.histories[name].differs(graph) {
                return Err(format!("graph {name:?}: {what}"));
            }
        }
        Ok(())
    }

    /// Fills in unknown values of the model: the ids of jobs whose submission had no result.
    pub fn complete(&self, model: &mut Model) {
        for (name, graph) in &mut model.graphs {
            learn_ids(graph, self.graphs.get(name).map_or(&[], Vec::as_slice));
        }
    }
}

/// Fills in unknown ids.
pub fn learn_ids(graph: &mut GraphModel, seen: &[Seen]) {
    for seen in seen {
        if let Some(job) = graph.jobs.get_mut(&seen.sequence) {
            job.id.get_or_insert_with(|| seen.id.clone());
        }
    }
}

pub fn read_graph(graph: &Graph) -> jobstore::Result<Vec<Seen>> {
    let page = graph.list(JobQuery::new())?;
    page.jobs()
        .map(|job| job.map(|job| Seen::of(&job)))
        .collect()
}

pub fn compare_graph(seen: &[Seen], graph: &GraphModel) -> Result<(), String> {
    for (seen, (&sequence, job)) in seen.iter().zip(&graph.jobs) {
        if let Some(what) = seen.differs(sequence, job) {
            return Err(what);
        }
    }
    if seen.len() != graph.jobs.len() {
        let extra = seen.get(graph.jobs.len()).map(|s| s.sequence);
        let missing = graph.jobs.keys().nth(seen.len());
        return Err(format!(
            "{} jobs are listed, not {}; extra {extra:?}, missing {missing:?}",
            seen.len(),
            graph.jobs.len()
        ));
    }
    Ok(())
}
