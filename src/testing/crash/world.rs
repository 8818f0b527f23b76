//! The expected content of a store, as plain values, and its actual content.
//!
//! Contains [`World`], the expected content, and [`Seen`], everything that reads return. The two
//! are compared for every way of reading: by page, JSON, filter, count, and id. If a read returns
//! an error, what it returned before is compared, too.

use std::sync::Arc;

use crate::api::graph::Graph;
use crate::model::error::Error;
use crate::model::job::Job;
use crate::model::job_query::JobQuery;
use crate::model::outcome::{Outcome, OutcomeKind};
use crate::model::request::Request;
use crate::model::states::State;
use crate::testing::crash::client::Store;

/// An expected job.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fact {
    pub(super) id: Arc<str>,
    /// The request as JSON.
    pub(super) request: Arc<str>,
    pub(super) state: State,
    pub(super) cancelling: bool,
    pub(super) end: Option<End>,
}

/// A job's completion.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct End {
    pub(super) kind: OutcomeKind,
    pub(super) recovered_at_open: Option<u64>,
    pub(super) code: Option<Arc<str>>,
    pub(super) detail: Option<Arc<str>>,
}

impl End {
    pub(super) fn of(outcome: &Outcome) -> End {
        End {
            kind: outcome.kind(),
            recovered_at_open: outcome.recovered_at_open(),
            code: outcome.code().map(Arc::from),
            detail: outcome.detail().map(Arc::from),
        }
    }
}

impl Fact {
    fn of(job: &Job) -> Fact {
        Fact {
            id: job.id().as_str().into(),
            request: job.request().as_json().into(),
            state: job.state(),
            cancelling: job.cancel_requested(),
            end: job.outcome().map(End::of),
        }
    }

    fn json(&self) -> String {
        format!(
            r#"{{"jobId":"{}","status":"{}","request":{}}}"#,
            self.id, self.state, self.request
        )
    }
}

/// A store's content.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct World {
    /// How many times the store was opened.
    pub(super) open_number: u64,
    /// The graphs and their jobs, in the order of creation.
    pub(super) graphs: Vec<(String, Vec<Fact>)>,
}

impl World {
    pub(super) fn jobs(&mut self, graph: &str) -> &mut Vec<Fact> {
        let found = self.graphs.iter_mut().find(|(name, _)| name == graph);
        &mut found.expect("the graph is there").1
    }

    /// Returns the content after one more open, which interrupts running jobs.
    pub(super) fn reopened(&self) -> World {
        let mut world = self.clone();
        world.open_number += 1;
        let open_number = world.open_number;
        for job in world.graphs.iter_mut().flat_map(|(_, jobs)| jobs) {
            if job.state == State::Running {
                let kind = match job.cancelling {
                    true => OutcomeKind::Cancelled,
                    false => OutcomeKind::Interrupted,
                };
                job.state = State::Complete;
                job.cancelling = false;
                job.end = Some(End {
                    kind,
                    recovered_at_open: Some(open_number),
                    code: None,
                    detail: None,
                });
            }
        }
        world
    }
}

/// Everything that was read from a store.
pub(super) struct Seen {
    open_number: u64,
    pub(super) graphs: Vec<SeenGraph>,
}

/// Everything that was read from a graph. The first error ends the list.
pub(super) struct SeenGraph {
    pub(super) name: String,
    total: Result<u64, Error>,
    jobs: Vec<Fact>,
    jobs_error: Option<Error>,
    json: Result<Vec<u8>, Error>,
    by_state: [SeenState; 3],
    graph: Graph,
}

/// The number of jobs in a state, as the total of a page and as the count.
struct SeenState {
    state: State,
    jobs: Result<[u64; 2], Error>,
}

impl Seen {
    pub(super) fn read(store: &Store) -> Seen {
        Seen {
            open_number: store.engine.open_event().open_number,
            graphs: store.graphs().into_iter().map(SeenGraph::read).collect(),
        }
    }

    /// Returns the first error of any read.
    pub(super) fn error(&self) -> Option<Error> {
        self.graphs.iter().find_map(SeenGraph::error)
    }

    /// Returns the first difference between what was read and what is expected. Data that could not
    /// be read because of an error is not a difference.
    pub(super) fn compare(&self, world: &World) -> Result<(), String> {
        let names: Vec<&str> = self
            .graphs
            .iter()
            .map(|graph| graph.name.as_str())
            .collect();
        let expected: Vec<&str> = world.graphs.iter().map(|(name, _)| name.as_str()).collect();
        if self.open_number != world.open_number || names != expected {
            return Err(format!(
                "open {} with graphs {names:?}, not open {} with {expected:?}",
                self.open_number, world.open_number
            ));
        }
        let mut pairs = self.graphs.iter().zip(&world.graphs);
        pairs.try_for_each(|(graph, (_, jobs))| graph.compare(jobs))
    }
}

impl SeenGraph {
    fn read(graph: Graph) -> SeenGraph {
        let (mut jobs, mut jobs_error) = (Vec::new(), None);
        let page = graph.list(JobQuery::new());
        if let Ok(page) = &page {
            for job in page {
                match job {
                    Ok(job) => jobs.push(Fact::of(&job)),
                    Err(error) => jobs_error = Some(error),
                }
            }
        }
        let by_state = State::ALL.map(|state| {
            let page = graph.list(JobQuery::new().state(state).limit(7));
            let jobs = page.and_then(|page| {
                let shown = page.jobs().try_fold(0, |n, job| job.map(|_| n + 1))?;
                assert_eq!(shown, page.total().unwrap().min(7), "a page by state");
                Ok([page.total().unwrap(), graph.count(state)?])
            });
            SeenState { state, jobs }
        });
        SeenGraph {
            name: graph.name().to_owned(),
            total: page
                .as_ref()
                .map(|page| page.total().unwrap())
                .map_err(Error::clone),
            jobs,
            jobs_error,
            json: page.and_then(|page| page.to_json()),
            by_state,
            graph,
        }
    }

    fn error(&self) -> Option<Error> {
        let by_state = self
            .by_state
            .iter()
            .filter_map(|seen| seen.jobs.as_ref().err());
        let errors = self.total.as_ref().err().into_iter();
        let errors = errors
            .chain(&self.jobs_error)
            .chain(self.json.as_ref().err());
        errors.chain(by_state).next().cloned()
    }

    /// Like [`Seen::compare`], for one graph.
    pub(super) fn compare(&self, expected: &[Fact]) -> Result<(), String> {
        let fail = |what: String| Err(format!("graph {}: {what}", self.name));
        let len = expected.len() as u64;
        if let Some(total) = self.total.as_ref().ok().filter(|&&total| total != len) {
            return fail(format!("the total is {total}, not {len}"));
        }
        let read = self.jobs.iter().zip(expected);
        if let Some((n, (seen, expected))) = read.enumerate().find(|(_, (a, b))| a != b) {
            return fail(format!("job {n} is {seen:?}, not {expected:?}"));
        }
        let whole = self.jobs_error.is_none() && self.total.is_ok();
        if self.jobs.len() > expected.len() || (whole && self.jobs.len() < expected.len()) {
            return fail(format!("{} jobs were read, not {len}", self.jobs.len()));
        }
        if let Ok(json) = &self.json {
            let jobs: Vec<String> = expected.iter().map(Fact::json).collect();
            let document = format!(r#"{{"jobs":[{}],"result":"success"}}"#, jobs.join(","));
            if document.as_bytes() != json {
                return fail("the JSON is another".to_owned());
            }
        }
        for SeenState { state, jobs } in &self.by_state {
            let there = expected.iter().filter(|job| job.state == *state).count() as u64;
            if let Some(jobs) = jobs.as_ref().ok().filter(|&&jobs| jobs != [there; 2]) {
                return fail(format!("{jobs:?} jobs are {state}, not {there}"));
            }
        }
        Ok(())
    }

    /// Looks up every `step`-th of the expected jobs by its id and by its request. Returns the
    /// first error.
    pub(super) fn look_up(&self, expected: &[Fact], step: usize) -> Result<Option<Error>, String> {
        let mut error = None;
        for fact in expected.iter().step_by(step) {
            match self.graph.job(&*fact.id) {
                Ok(Some(job)) if Fact::of(&job) == *fact => {}
                Ok(found) => return Err(format!("job {} is {found:?}, not {fact:?}", fact.id)),
                Err(e) => error = error.or(Some(e)),
            }
            let request = Request::from_json(&fact.request).expect("a request");
            let matches = self.graph.find(&request).and_then(|matches| {
                let ids = matches.map(|job| job.map(|job| job.id().to_string()));
                ids.collect::<Result<Vec<String>, Error>>()
            });
            let same = expected.iter().rev().filter(|f| f.request == fact.request);
            match matches {
                Ok(ids) if same.map(|f| &*f.id).eq(ids.iter()) => {}
                Ok(ids) => return Err(format!("by the request of {}: {ids:?}", fact.id)),
                Err(e) => error = error.or(Some(e)),
            }
        }
        Ok(error)
    }
}
