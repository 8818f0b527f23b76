//! The content of a store, and every way of reading it.
//!
//! Contains [`Original`], which is read from the undamaged store, and compares an altered store
//! with it. Every result is compared, including results before an error.

use std::time::SystemTime;

use jobstore::{Error, Graph, Job, JobQuery, JobStore, Outcome, OutcomeKind, Page, State};

/// A job with everything that can be read about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    pub id: String,
    pub sequence: u64,
    pub state: State,
    pub request: String,
    pub cancelling: bool,
    pub outcome: Option<Outcome>,
    pub submitted_at: SystemTime,
    pub started_at: Option<SystemTime>,
    pub completed_at: Option<SystemTime>,
}

impl Fact {
    pub fn of(job: &Job) -> Fact {
        Fact {
            id: job.id().to_string(),
            sequence: job.sequence(),
            state: job.state(),
            request: job.request().as_json().to_owned(),
            cancelling: job.cancel_requested(),
            outcome: job.outcome().cloned(),
            submitted_at: job.submitted_at(),
            started_at: job.started_at(),
            completed_at: job.completed_at(),
        }
    }

    fn json(&self) -> String {
        format!(
            r#"{{"jobId":"{}","status":"{}","request":{}}}"#,
            self.id, self.state, self.request
        )
    }

    /// Returns whether this job can become `later` if the store is reopened in between.
    fn may_become(&self, later: &Fact) -> bool {
        let same = (&self.id, self.sequence, &self.request, self.submitted_at)
            == (
                &later.id,
                later.sequence,
                &later.request,
                later.submitted_at,
            );
        let ended_by_open = self
            .outcome
            .as_ref()
            .is_some_and(|o| o.recovered_at_open().is_some());
        let rank = |state: State| state as u8;
        let earlier = ended_by_open || rank(self.state) < rank(later.state);
        same && (self == later || earlier)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct OriginalGraph {
    pub project: String,
    pub name: String,
    pub number: u64,
    pub jobs: Vec<Fact>,
    /// Each job as in the list.
    json: Vec<String>,
}

impl OriginalGraph {
    pub fn push(&mut self, fact: Fact) {
        self.json.push(fact.json());
        self.jobs.push(fact);
    }

    fn new(graph: &Graph) -> OriginalGraph {
        OriginalGraph {
            project: graph.project_id().to_owned(),
            name: graph.name().to_owned(),
            number: graph.number(),
            jobs: Vec::new(),
            json: Vec::new(),
        }
    }
}

fn document(jobs: &[&String]) -> Vec<u8> {
    let jobs: Vec<&str> = jobs.iter().map(|job| job.as_str()).collect();
    format!(r#"{{"jobs":[{}],"result":"success"}}"#, jobs.join(",")).into_bytes()
}

#[derive(Clone, Debug, PartialEq)]
pub struct Original {
    pub boot: u64,
    pub graphs: Vec<OriginalGraph>,
    /// The ids of the jobs that the open found running, and the recovery action.
    pub recovered: Vec<(String, String)>,
}

impl Original {
    /// Reads all jobs one by one, and compares the results of all other ways of reading with them.
    pub fn read(store: &JobStore) -> Result<Original, Error> {
        let mut original = Original {
            boot: store.opens(),
            graphs: Vec::new(),
            recovered: Vec::new(),
        };
        for graph in store.graphs()? {
            let mut read = OriginalGraph::new(&graph);
            for job in &graph.list(JobQuery::new())? {
                read.push(Fact::of(&job?));
            }
            original.graphs.push(read);
        }
        for found in store.recovered().jobs() {
            let found = found?;
            original
                .recovered
                .push((found.job.id().to_string(), format!("{:?}", found.action)));
        }
        Ok(original)
    }

    /// Returns the same content without the last `jobs` jobs of the first graph.
    pub fn without_last(&self, jobs: usize) -> Original {
        let mut left = self.clone();
        if let Some(first) = left.graphs.first_mut() {
            let kept = first.jobs.len().saturating_sub(jobs);
            first.jobs.truncate(kept);
            first.json.truncate(kept);
        }
        left
    }

    /// The total number of jobs.
    pub fn jobs(&self) -> usize {
        self.graphs.iter().map(|graph| graph.jobs.len()).sum()
    }

    /// Checks whether this can be the same store at an earlier time: with fewer graphs, fewer jobs,
    /// or earlier states, but no other difference.
    pub fn may_become(&self, later: &Original) -> Result<(), String> {
        if self.boot > later.boot || self.graphs.len() > later.graphs.len() {
            return Err(format!("boot {} is no earlier one", self.boot));
        }
        for (graph, then) in self.graphs.iter().zip(&later.graphs) {
            let same = (&graph.project, &graph.name, graph.number)
                == (&then.project, &then.name, then.number);
            if !same || graph.jobs.len() > then.jobs.len() {
                return Err(format!("graph {} is not an earlier one", graph.name));
            }
            let mut pairs = graph.jobs.iter().zip(&then.jobs);
            if let Some((a, b)) = pairs.find(|(a, b)| !a.may_become(b)) {
                return Err(format!("{a:?} cannot become {b:?}"));
            }
        }
        Ok(())
    }
}

/// The result of reading a store: the errors it returned, or what was wrong.
pub type Looked = Result<Vec<Error>, String>;

/// Reads everything from the store. `gone` are names of graphs that must not exist.
pub fn look(store: &JobStore, original: &Original, gone: &[&str]) -> Looked {
    let mut errors = Vec::new();
    if store.opens() != original.boot {
        return Err(format!("boot {}, not {}", store.opens(), original.boot));
    }
    let graphs = store.graphs().map_err(|e| format!("graphs(): {e}"))?;
    let names: Vec<&str> = graphs.iter().map(Graph::name).collect();
    let expected: Vec<&str> = original.graphs.iter().map(|g| g.name.as_str()).collect();
    if names != expected {
        return Err(format!("graphs {names:?}, not {expected:?}"));
    }
    for name in gone {
        match store.graph("p", name) {
            Err(Error::UnknownGraph { .. }) => {}
            other => return Err(format!("the dropped graph {name}: {other:?}")),
        }
    }
    for (graph, original) in graphs.iter().zip(&original.graphs) {
        if (graph.project_id(), graph.number()) != (original.project.as_str(), original.number) {
            return Err(format!("graph {} differs", original.name));
        }
        look_at(graph, original, &mut errors)
            .map_err(|e| format!("graph {}: {e}", original.name))?;
    }
    let recovered = store.recovered();
    if recovered.len() != original.recovered.len() {
        return Err(format!("{} jobs were recovered", recovered.len()));
    }
    for (found, expected) in recovered.jobs().zip(&original.recovered) {
        match found {
            Err(error) => errors.push(error),
            Ok(found) => {
                let seen = (found.job.id().to_string(), format!("{:?}", found.action));
                if seen != *expected {
                    return Err(format!("recovered {seen:?}, not {expected:?}"));
                }
            }
        }
    }
    Ok(errors)
}

/// Returns a value, or records its error.
macro_rules! get {
    ($result:expr, $errors:expr) => {
        match $result {
            Ok(value) => Some(value),
            Err(error) => {
                $errors.push(error);
                None
            }
        }
    };
}

fn look_at(graph: &Graph, original: &OriginalGraph, errors: &mut Vec<Error>) -> Result<(), String> {
    let all: Vec<usize> = (0..original.jobs.len()).collect();
    if let Some(page) = get!(graph.list(JobQuery::new()), errors) {
        same_page(&page, original, &all, all.len(), errors)?;
        same_json(&page, original, &all, errors)?;
    }
    for (offset, limit) in [(1, 5), (all.len() / 2, 20), (all.len().max(1) - 1, 9)] {
        let list = JobQuery::new().offset(offset as u64).limit(limit as u64);
        if let Some(page) = get!(graph.list(list), errors) {
            let shown = &all[offset.min(all.len())..(offset + limit).min(all.len())];
            same_page(&page, original, shown, all.len(), errors)?;
        }
    }
    for state in State::ALL {
        let these = |n: &&usize| original.jobs[**n].state == state;
        let these: Vec<usize> = all.iter().filter(these).copied().collect();
        if let Some(count) = get!(graph.count(state), errors) {
            if count != these.len() as u64 {
                return Err(format!("{count} jobs are {state}, not {}", these.len()));
            }
        }
        let list = JobQuery::new().state(state).offset(2).limit(30);
        if let Some(page) = get!(graph.list(list), errors) {
            let shown = &these[2.min(these.len())..32.min(these.len())];
            same_page(&page, original, shown, these.len(), errors)?;
        }
    }
    let (mut cursor, mut at) = (None, 0);
    loop {
        let mut list = JobQuery::new().limit(17);
        if let Some(cursor) = &cursor {
            list = list.cursor(cursor);
        }
        let Some(page) = get!(graph.list(list), errors) else {
            break;
        };
        let shown = &all[at..(at + 17).min(all.len())];
        let written = get!(page.to_json(), errors);
        let expected = document(&shown.iter().map(|&n| &original.json[n]).collect::<Vec<_>>());
        if written.is_some_and(|written| written != expected) {
            return Err(format!("the page by cursor at {at} differs"));
        }
        at += shown.len();
        cursor = page.next();
        if cursor.is_none() {
            break;
        }
    }
    if cursor.is_none() && at != all.len() && errors.is_empty() {
        return Err(format!("the cursor ends at {at}"));
    }
    for fact in &original.jobs {
        match get!(graph.job(&fact.id), errors) {
            None => {}
            Some(Some(job)) if Fact::of(&job) == *fact => {}
            Some(found) => return Err(format!("job {} is {found:?}, not {fact:?}", fact.id)),
        }
    }
    for id in ["no-such-id", "brought-x"] {
        if let Some(Some(job)) = get!(graph.job(id), errors) {
            return Err(format!("{id} finds {job:?}"));
        }
    }
    Ok(())
}

/// Compares a page's typed jobs with the expected ones.
fn same_page(
    page: &Page,
    original: &OriginalGraph,
    shown: &[usize],
    total: usize,
    errors: &mut Vec<Error>,
) -> Result<(), String> {
    if (page.total().unwrap(), page.len()) != (total as u64, shown.len()) {
        let (seen, len) = (page.total().unwrap(), page.len());
        return Err(format!(
            "{len} of {seen} jobs, not {} of {total}",
            shown.len()
        ));
    }
    let mut jobs = page.jobs();
    for &n in shown {
        match jobs.next() {
            Some(Ok(job)) => {
                let fact = Fact::of(&job);
                if fact != original.jobs[n] {
                    return Err(format!("job {n} is {fact:?}, not {:?}", original.jobs[n]));
                }
            }
            Some(Err(error)) => {
                errors.push(error);
                return match jobs.next() {
                    None => Ok(()),
                    Some(_) => Err("a page continues after an error".to_owned()),
                };
            }
            None => return Err(format!("the page ends before job {n}")),
        }
    }
    match jobs.next() {
        None => Ok(()),
        Some(_) => Err("the page has an additional job".to_owned()),
    }
}

/// Compares the three ways of reading a page's JSON with the expected text.
fn same_json(
    page: &Page,
    original: &OriginalGraph,
    shown: &[usize],
    errors: &mut Vec<Error>,
) -> Result<(), String> {
    let expected = document(&shown.iter().map(|&n| &original.json[n]).collect::<Vec<_>>());
    let mut written = Vec::new();
    let whole = get!(page.write_json(&mut written), errors).is_some();
    let fits = match whole {
        true => written == expected,
        false => expected.starts_with(&written) && written.len() < expected.len(),
    };
    if !fits {
        return Err("write_json returns a different document".to_owned());
    }
    if get!(page.to_json(), errors).is_some_and(|json| json != expected) {
        return Err("to_json returns a different document".to_owned());
    }
    let mut pieces = Vec::new();
    for chunk in page.chunks() {
        match get!(chunk, errors) {
            Some(chunk) => pieces.extend(chunk),
            None if expected.starts_with(&pieces) => return Ok(()),
            None => return Err("chunks begin a different document".to_owned()),
        }
    }
    match pieces == expected {
        true => Ok(()),
        false => Err("chunks return a different document".to_owned()),
    }
}

/// Whether a job was canceled or interrupted, for the base's own check.
pub fn is_recovered(outcome: &Outcome) -> bool {
    matches!(
        outcome.kind(),
        OutcomeKind::Interrupted | OutcomeKind::Cancelled
    ) && outcome.recovered_at_open().is_some()
}
