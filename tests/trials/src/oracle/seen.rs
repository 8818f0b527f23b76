//! Everything that can be read from a store.
//!
//! Contains [`Seen`]. All ways of reading (page, JSON, filter, count, offset, and id) must agree.
//! If not, an error says which differ.

use std::collections::HashMap;

use jobstore::{Graph, JobQuery, JobStore, Outcome, Page, State};
use xxhash_rust::xxh3::xxh3_64;

use crate::plan::{PURGED, letter};
use crate::random::Random;

/// The content of a store.
#[derive(Debug)]
pub struct Seen {
    pub boot: u64,
    pub graphs: Vec<SeenGraph>,
    /// The jobs that the open found running, by graph and key, each with the letter of the recovery
    /// action.
    pub recovered: HashMap<(String, String), char>,
    /// The number of comparisons.
    pub facts: u64,
}

/// A graph of the store.
#[derive(Debug, PartialEq)]
pub struct SeenGraph {
    pub name: String,
    pub number: u64,
    /// The jobs in the order of the list.
    pub jobs: Vec<SeenJob>,
}

/// A job of the graph.
#[derive(Debug, PartialEq)]
pub struct SeenJob {
    pub key: String,
    pub id: String,
    pub sequence: u64,
    pub state: State,
    pub cancel_requested: bool,
    pub outcome: Option<Outcome>,
    /// The hash of the request as lists show it.
    pub digest: u64,
}

impl Seen {
    /// Reads everything. In each graph, looks up about `lookups` jobs by their ids.
    ///
    /// # Errors
    /// Reports what cannot be read, or what differs between ways of reading.
    pub fn read(store: &JobStore, lookups: u64) -> Result<Seen, String> {
        let mut seen = Seen {
            boot: store.opens(),
            graphs: Vec::new(),
            recovered: HashMap::new(),
            facts: 0,
        };
        let recovered = store.recovered();
        for found in recovered.jobs() {
            let found = found.map_err(|e| format!("what was recovered: {e}"))?;
            let graph = found.graph.name().to_owned();
            let key = found.job.request().command().to_owned();
            let twice = seen.recovered.insert((graph, key), letter(found.action));
            if twice.is_some() {
                return Err(format!("{:?} was recovered twice", found.job));
            }
        }
        if recovered.len() != seen.recovered.len() {
            return Err("not all recovered jobs are reported".to_owned());
        }
        let graphs = store.graphs().map_err(|e| format!("the graphs: {e}"))?;
        for graph in graphs {
            let read = seen.read_graph(&graph, lookups);
            let read = read.map_err(|what| format!("graph {}: {what}", graph.name()))?;
            seen.graphs.push(read);
        }
        Ok(seen)
    }

    fn read_graph(&mut self, graph: &Graph, lookups: u64) -> Result<SeenGraph, String> {
        let failed = |what: &'static str| move |e: jobstore::Error| format!("{what}: {e}");
        let page = graph.list(JobQuery::new()).map_err(failed("its list"))?;
        let (mut jobs, mut texts) = (Vec::new(), Vec::new());
        for job in &page {
            let job = job.map_err(failed("a job"))?;
            let request = job.request().as_json();
            texts.push(format!(
                r#"{{"jobId":"{}","status":"{}","request":{request}}}"#,
                job.id(),
                job.state()
            ));
            let (started, finished) = (job.started_at().is_some(), job.completed_at().is_some());
            let ended = job.outcome().is_some();
            let fits = match job.state() {
                State::Pending => !started && !finished && !ended,
                State::Running => started && !finished && !ended,
                State::Complete => finished && ended,
            };
            let next = jobs.last().map_or(0, |last: &SeenJob| last.sequence + 1);
            let is_next = match graph.name() == PURGED {
                true => job.sequence() >= next,
                false => job.sequence() == next,
            };
            if !fits || !is_next {
                return Err(format!("job {} of the list is {job:?}", jobs.len()));
            }
            self.facts += 3;
            jobs.push(SeenJob {
                key: job.request().command().to_owned(),
                id: job.id().to_string(),
                sequence: job.sequence(),
                state: job.state(),
                cancel_requested: job.cancel_requested(),
                outcome: job.outcome().cloned(),
                digest: xxh3_64(request.as_bytes()),
            });
        }
        let len = jobs.len() as u64;
        if (page.total().unwrap(), page.len() as u64) != (len, len) {
            return Err(format!("{page:?} has {len} jobs"));
        }
        self.same_json("the page", &page, &texts)?;
        let mut random = Random(len);
        for state in State::ALL {
            let of_state = jobs.iter().enumerate();
            let of_state = of_state.filter(|(_, job)| job.state == state);
            let of_state: Vec<usize> = of_state.map(|(n, _)| n).collect();
            let offset = random.below(of_state.len() as u64 + 1);
            let list = JobQuery::new().state(state).offset(offset).limit(7);
            let page = graph.list(list).map_err(failed("a list of a state"))?;
            let count = graph.count(state).map_err(failed("a count"))?;
            let there = of_state.len() as u64;
            if (page.total().unwrap(), count) != (there, there) {
                return Err(format!(
                    "{there} jobs are {state}; the total is {}, the count {count}",
                    page.total().unwrap()
                ));
            }
            let shown: Vec<String> = of_state
                .iter()
                .skip(offset as usize)
                .take(7)
                .map(|&n| texts[n].clone())
                .collect();
            self.same_json("a page of a state", &page, &shown)?;
            self.facts += 2;
        }
        for job in &jobs {
            if random.below(len) < lookups {
                let found = graph.job(&job.id).map_err(failed("a job by its id"))?;
                let same = found.is_some_and(|found| {
                    found.sequence() == job.sequence && found.outcome() == job.outcome.as_ref()
                });
                if !same {
                    return Err(format!("job {} is not found by its id", job.id));
                }
                self.facts += 1;
            }
        }
        Ok(SeenGraph {
            name: graph.name().to_owned(),
            number: graph.number(),
            jobs,
        })
    }

    fn same_json(&mut self, what: &str, page: &Page, texts: &[String]) -> Result<(), String> {
        let json = page.to_json().map_err(|e| format!("{what}: {e}"))?;
        let document = format!(r#"{{"jobs":[{}],"result":"success"}}"#, texts.join(","));
        if json != document.as_bytes() {
            return Err(format!("the JSON of {what} differs from its jobs"));
        }
        self.facts += 1;
        Ok(())
    }
}
