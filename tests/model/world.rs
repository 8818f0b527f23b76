//! The expected content of the store, as plain lists, and the comparison with the actual one.
//!
//! Contains [`World`] and an independent implementation of the list's JSON.

use std::sync::Arc;
use std::time::SystemTime;

use jobstore::{Cursor, Error, Graph, Job, JobQuery, Outcome, RecoveryAction, Request, State};

use crate::operations::BODIES;

/// An expected job.
#[derive(Clone, Debug)]
pub struct Fact {
    pub id: String,
    pub request: Request,
    pub wire: Arc<str>,
    pub state: State,
    pub cancelling: bool,
    pub outcome: Option<Outcome>,
    /// The open that recovered it.
    pub boot: Option<u64>,
    pub submitted_at: SystemTime,
    pub started_at: Option<SystemTime>,
    pub completed_at: Option<SystemTime>,
}

impl Fact {
    pub fn finish(&mut self, outcome: Outcome, now: SystemTime) {
        self.state = State::Complete;
        self.cancelling = false;
        self.outcome = Some(outcome);
        self.completed_at = Some(now);
    }

    pub fn check(&self, job: &Job, sequence: usize) {
        assert_eq!(job.id().as_str(), self.id);
        assert_eq!(job.sequence(), sequence as u64);
        assert_eq!(job.state(), self.state, "{job:?}");
        assert_eq!(job.request().as_json(), &*self.wire);
        assert_eq!(job.request().command(), self.request.command());
        assert_eq!(job.request().url(), self.request.url());
        assert_eq!(job.request().body(), self.request.body());
        assert_eq!(job.cancel_requested(), self.cancelling, "{job:?}");
        assert_eq!(job.submitted_at(), self.submitted_at, "{job:?}");
        assert_eq!(job.started_at(), self.started_at, "{job:?}");
        assert_eq!(job.completed_at(), self.completed_at, "{job:?}");
        check_outcome(job.outcome(), self);
    }

    pub fn json(&self) -> String {
        format!(
            r#"{{"jobId":"{}","status":"{}","request":{}}}"#,
            self.id, self.state, self.wire
        )
    }
}

pub fn check_outcome(outcome: Option<&Outcome>, fact: &Fact) {
    let parts = |outcome: &Outcome| {
        let texts = [
            outcome.code(),
            outcome.message(),
            outcome.detail(),
            outcome.result_ref(),
        ];
        (outcome.kind(), texts.map(|text| text.map(str::to_owned)))
    };
    assert_eq!(outcome.map(parts), fact.outcome.as_ref().map(parts));
    assert_eq!(outcome.and_then(Outcome::recovered_at_open), fact.boot);
}

#[derive(Clone, Debug)]
pub struct GraphWorld {
    /// Unique among all graphs, whatever their names.
    pub number: u64,
    pub name: &'static str,
    pub jobs: Vec<Fact>,
}

/// The expected content of the store.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub boot: u64,
    /// In the order of creation.
    pub graphs: Vec<GraphWorld>,
}

impl World {
    /// Applies one more open. Returns the jobs found running: graph, job, and recovery action.
    pub fn open(&mut self, now: SystemTime) -> Vec<(&'static str, String, RecoveryAction)> {
        self.boot += 1;
        let (boot, mut found) = (self.boot, Vec::new());
        for graph in &mut self.graphs {
            for job in graph
                .jobs
                .iter_mut()
                .filter(|job| job.state == State::Running)
            {
                let (outcome, action) = match job.cancelling {
                    true => (Outcome::cancelled(), RecoveryAction::Cancelled),
                    false => (Outcome::interrupted(), RecoveryAction::Interrupted),
                };
                job.finish(outcome, now);
                job.boot = Some(boot);
                found.push((graph.name, job.id.clone(), action));
            }
        }
        found
    }
}

/// Whether two requests are the same: identical, or with the key order of the first two bodies.
pub fn same_request(a: &str, b: &str) -> bool {
    let in_one_order = |wire: &str| wire.replace(BODIES[1].1, BODIES[0].1);
    in_one_order(a) == in_one_order(b)
}

/// Compares the jobs that are found by a request: newest first, all, and no others.
pub fn check_found(graph: &Graph, world: &GraphWorld, (request, wire): &(Request, String)) {
    let jobs = world.jobs.iter().enumerate().rev();
    let same: Vec<_> = jobs
        .filter(|(_, job)| same_request(&job.wire, wire))
        .collect();
    let found: Vec<Job> = graph.find(request).unwrap().map(|j| j.unwrap()).collect();
    assert_eq!(found.len(), same.len());
    for (job, (sequence, fact)) in found.iter().zip(same) {
        fact.check(job, sequence);
    }
}

pub fn assert_illegal(error: Error, job: &Fact, wanted: State) {
    match error {
        Error::IllegalTransition { id, from, to } => {
            assert_eq!((id.as_str(), from, to), (&*job.id, job.state, wanted));
        }
        other => panic!("{other:?} for a job that is {}", job.state),
    }
}

/// A list of the states whose bits are set; of all states if none is.
pub fn filter(states: u8) -> JobQuery {
    let wanted = State::ALL
        .into_iter()
        .enumerate()
        .filter(|(n, _)| states & (1 << n) != 0);
    wanted.fold(JobQuery::new(), |list, (_, state)| list.state(state))
}

/// Compares a page that begins at an offset from a sequence number, job by job and as JSON. Returns
/// where it continues.
pub fn check_page(
    graph: &Graph,
    asked: JobQuery,
    world: &GraphWorld,
    states: u8,
    (from, offset): (usize, usize),
    limit: usize,
) -> Option<(usize, Cursor)> {
    let wanted = |state: State| {
        let bit = State::ALL.iter().position(|&s| s == state).unwrap();
        states == 0 || states & (1 << bit) != 0
    };
    let matching: Vec<(usize, &Fact)> = world
        .jobs
        .iter()
        .enumerate()
        .filter(|(_, job)| wanted(job.state))
        .collect();
    let after = matching.iter().filter(|(sequence, _)| *sequence >= from);
    let after: Vec<_> = after.skip(offset).copied().collect();
    let shown = &after[..limit.min(after.len())];
    let page = graph.list(asked).unwrap();
    assert_eq!(page.total().unwrap(), matching.len() as u64);
    assert_eq!(page.len(), shown.len());
    let jobs: Vec<Job> = page.jobs().map(|job| job.unwrap()).collect();
    assert_eq!(jobs.len(), shown.len());
    for (job, (sequence, fact)) in jobs.iter().zip(shown) {
        fact.check(job, *sequence);
    }
    let texts: Vec<String> = shown.iter().map(|(_, fact)| fact.json()).collect();
    let document = format!(r#"{{"jobs":[{}],"result":"success"}}"#, texts.join(","));
    assert!(
        page.to_json().unwrap() == document.as_bytes(),
        "the JSON is another"
    );
    let next = page.next();
    assert_eq!(
        next.is_some(),
        after.len() > shown.len() && !shown.is_empty()
    );
    let last = shown.last().map(|(sequence, _)| *sequence);
    last.zip(next).map(|(last, next)| (last + 1, next))
}
