//! Validates and encodes the write of an import.
//!
//! A job is recorded with all known facts about its life cycle, in the same frame as the other jobs
//! of its batch. A job whose id already exists is not added again.

use std::sync::Arc;

use super::staging::Staging;
use crate::engine::state::calls::WriteResult;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::operation::Imported;
use crate::log::event::RecoveredAs;
use crate::model::error::{Error, Result};
use crate::model::outcome::{Outcome, OutcomeKind};
use crate::model::states::State;

impl Staging<'_> {
    pub(super) fn import(
        &mut self,
        graph: &Arc<GraphCore>,
        (jobs, stops): (&[Imported], bool),
    ) -> Result<WriteResult> {
        let (mut made, mut refused) = (0, Vec::new());
        for (n, job) in jobs.iter().enumerate() {
            match self.import_one(graph, job) {
                Ok(is_new) => made += u64::from(is_new),
                Err(error) => refused.push((n, error)),
            }
            if stops && !refused.is_empty() {
                break;
            }
        }
        Ok(WriteResult::Imported { made, refused })
    }

    /// Adds a job, unless its id already exists. Returns whether it was added.
    fn import_one(&mut self, graph: &Arc<GraphCore>, job: &Imported) -> Result<bool> {
        let now_ms = self.round.now_ms;
        let sequence = self.round.next_sequence(graph);
        let submission = &job.submission;
        self.round.now_ms = job.submitted_ms.unwrap_or(now_ms);
        let submitted = match &job.id {
            None => {
                self.submit(graph, submission);
                Ok(true)
            }
            Some(id) => {
                let known = match self.round.brought.get(&(graph.number, id.clone())) {
                    Some(known) => Ok(Some(known.clone())),
                    // Another import may have added the job after the caller checked.
                    None => self.engine.request_of(graph, id.as_str()),
                };
                match known {
                    Err(error) => Err(error),
                    Ok(Some(known)) if known == submission.masked_request.request => Ok(false),
                    Ok(Some(_)) => Err(Error::JobIdTaken { id: id.clone() }),
                    Ok(None) => self.engine.check_not_purged(graph, id).map(|()| {
                        self.record(graph, sequence, id, submission);
                        let key = (graph.number, id.clone());
                        self.round
                            .brought
                            .insert(key, submission.masked_request.request.clone());
                        true
                    }),
                }
            }
        };
        self.round.now_ms = now_ms;
        let is_new = submitted?;
        if is_new {
            self.live(graph, sequence, job);
        }
        Ok(is_new)
    }

    /// Adds the events of the job's life cycle after its submission.
    fn live(&mut self, graph: &Arc<GraphCore>, sequence: u64, job: &Imported) {
        let now_ms = self.round.now_ms;
        let is_started = job.state == State::Running || job.started_ms.is_some();
        if is_started {
            self.round.now_ms = job.started_ms.unwrap_or(now_ms);
            self.start(graph, sequence, None);
        }
        if job.cancel_requested {
            self.request_cancel(graph, sequence, now_ms);
        }
        if let Some(outcome) = &job.outcome {
            self.round.now_ms = job.completed_ms.unwrap_or(now_ms);
            match recovered_as(outcome) {
                Some(at_open) => {
                    self.recovered(graph, sequence, at_open);
                    let key = (graph.number, sequence);
                    self.round.states.insert(key, State::Complete);
                }
                None => self.complete(graph, sequence, outcome),
            }
        }
        self.round.now_ms = now_ms;
    }
}

fn recovered_as(outcome: &Outcome) -> Option<(RecoveredAs, u64)> {
    let open_number = outcome.recovered_at_open()?;
    let action = match outcome.kind() {
        OutcomeKind::Interrupted => RecoveredAs::Interrupted,
        OutcomeKind::Cancelled => RecoveredAs::Cancelled,
        _ => return None,
    };
    outcome.extra.is_none().then_some((action, open_number))
}

#[cfg(all(test, not(jobstore_shuttle)))]
mod tests {
    use super::*;
    use crate::api::store::JobStore;
    use crate::engine::state::calls::Call;
    use crate::engine::state::operation::{Action, Operation, Submission};
    use crate::model::job_query::JobQuery;
    use crate::model::request::{Body, Request};

    #[test]
    fn a_write_that_could_not_be_read_back_is_refused_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let store = JobStore::open(dir.path().join("store")).unwrap();
        let graph = store.create_graph("1", "movie").unwrap();
        let engine = graph.engine();
        let submission = || {
            let request = Request::new("c", "/", Body::empty()).unwrap();
            Submission::new(engine.store, engine.secret_keys().keep(request))
        };
        let bad = |submitted_ms, open_number| {
            let outcome = Outcome {
                recovered_at_open: Some(open_number),
                ..Outcome::interrupted()
            };
            Action::Import {
                graph: graph.core.clone(),
                jobs: vec![Imported {
                    id: None,
                    submission: submission(),
                    state: State::Complete,
                    outcome: Some(outcome),
                    submitted_ms: Some(submitted_ms),
                    started_ms: None,
                    completed_ms: None,
                    cancel_requested: false,
                }],
                stops: false,
            }
        };
        let good = || Action::Submit {
            graph: graph.core.clone(),
            submission: submission(),
        };
        // All jobs in one commit.
        let actions = [good(), bad(u64::MAX, 1), good(), bad(1, u64::MAX), good()];
        let mut committer = engine.lock_committer();
        let calls = actions.map(|action| {
            let (call, queued) = Call::new(Operation::small(action));
            engine.queue.push(queued);
            call
        });
        engine.read_clock_for_queue();
        while let Some(results) = committer.round(engine) {
            results.deliver(&engine.metrics);
        }
        drop(committer);
        let is_made = calls.map(|call| call.wait().is_ok());
        assert_eq!(is_made, [true, false, true, false, true]);
        // Each job in its own commit.
        assert!(engine.commit(Operation::small(bad(u64::MAX, 1))).is_err());
        graph
            .submit(Request::new("c", "/", Body::empty()).unwrap())
            .unwrap();
        assert!(graph.changes(None).unwrap().all(|change| change.is_ok()));
        let ids = |graph: &crate::api::graph::Graph| -> Vec<String> {
            let page = graph.list(JobQuery::new()).unwrap();
            page.jobs()
                .map(|job| job.unwrap().id().to_string())
                .collect()
        };
        let before = ids(&graph);
        assert_eq!(before.len(), 4);
        store.close().unwrap();
        drop((graph, store));
        let store = JobStore::open(dir.path().join("store")).unwrap();
        assert_eq!(ids(&store.graph("1", "movie").unwrap()), before);
    }
}
