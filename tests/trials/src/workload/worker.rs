//! One thread of a workload.
//!
//! Contains the calls that the thread makes, and the jobs that belong to it. A job that the thread
//! starts by id is not started by any other thread, so no call is refused.

use std::collections::VecDeque;
use std::slice::from_ref;

use jobstore::{Cancellation, Completion, Graph, JobId, JobQuery, JobStore, Run, Submitted};

use crate::line::{Act, Answer};
use crate::made;
use crate::plan::{PROJECT, PURGED, SCRAP, SHARED};
use crate::random::Random;
use crate::workload::{Running, Work};

pub(super) struct Worker<'a> {
    work: &'a Work<'a>,
    store: &'a JobStore,
    graphs: &'a [Graph],
    random: Random,
    prefix: String,
    made: u64,
    makes_graphs: bool,
    /// The thread's own jobs, which no other thread starts.
    pending: VecDeque<(Graph, String, JobId)>,
    running: Vec<Running>,
    scrap: Option<Graph>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(
        work: &'a Work<'a>,
        store: &'a JobStore,
        graphs: &'a [Graph],
        number: u64,
        left: Vec<Running>,
    ) -> Worker<'a> {
        Worker {
            work,
            store,
            graphs,
            random: Random(work.plan.seed ^ (number << 48)),
            prefix: format!("r{}t{number}n", work.plan.round),
            made: 0,
            makes_graphs: number == 0,
            pending: VecDeque::new(),
            running: left,
            scrap: None,
        }
    }

    pub(super) fn run(&mut self) -> Result<(), String> {
        if self.makes_graphs {
            self.drop_old_scrap()?;
        }
        for _ in 0..self.work.plan.calls {
            if self.work.is_stopped() {
                break;
            }
            self.step()?;
        }
        if self.work.plan.dies && !self.work.is_stopped() {
            std::process::exit(0);
        }
        self.let_go();
        Ok(())
    }

    fn step(&mut self) -> Result<(), String> {
        if self.makes_graphs && self.random.one_in(25) {
            return match self.random.one_in(2) {
                true => self.scrap(),
                false => self.purge(),
            };
        }
        match self.random.below(20) {
            0..=5 => self.submit(),
            6 => self.submit_all(),
            7 => self.submit_queued(),
            8..=10 => self.claim(),
            11..=13 => self.start(),
            14 => self.cancel_pending(),
            15 => self.cancel_running(),
            _ => self.end(),
        }
    }

    fn next_job(&mut self) -> (String, u64) {
        self.made += 1;
        let key = format!("{}{}", self.prefix, self.made);
        (key, self.random.any())
    }

    fn any_graph(&mut self) -> Graph {
        let n = self.random.below(self.graphs.len() as u64) as usize;
        self.graphs[n].clone()
    }

    /// Records a new job. Jobs in the shared graph can be claimed by any thread.
    fn keep(&mut self, graph: &Graph, key: String, id: JobId) {
        if graph.name() != SHARED || self.random.one_in(6) {
            self.pending.push_back((graph.clone(), key, id));
        }
    }

    fn submit(&mut self) -> Result<(), String> {
        let graph = self.any_graph();
        let (key, seed) = self.next_job();
        let request = made::request(&key, seed);
        let own_id = self.random.one_in(3);
        let act = Act::Submit {
            graph: graph.name().to_owned(),
            own_id,
            jobs: vec![(key.clone(), seed)],
        };
        let again = request.clone();
        let submit = || match own_id {
            true => Ok(graph.submit_as(&key, request)?.id().clone()),
            false => graph.submit(request),
        };
        let Some(id) = self.work.call(act, submit, |id| ids(from_ref(id)))? else {
            return Ok(());
        };
        if own_id && self.random.one_in(8) && !self.work.plan.errors_expected {
            let again = graph.submit_as(&key, again);
            if !matches!(again, Ok(Submitted::AlreadyExists(_))) {
                return Err(format!("{key} submitted again: {again:?}"));
            }
        }
        self.keep(&graph, key, id);
        Ok(())
    }

    fn submit_all(&mut self) -> Result<(), String> {
        let graph = self.any_graph();
        let count = 2 + self.random.below(8);
        let jobs: Vec<_> = (0..count).map(|_| self.next_job()).collect();
        let act = Act::Submit {
            graph: graph.name().to_owned(),
            own_id: false,
            jobs: jobs.clone(),
        };
        let requests: Vec<_> = jobs.iter().map(|(key, s)| made::request(key, *s)).collect();
        let made = self
            .work
            .call(act, || graph.submit_all(requests), |made| ids(made))?;
        for ((key, _), id) in jobs.into_iter().zip(made.into_iter().flatten()) {
            self.keep(&graph, key, id);
        }
        Ok(())
    }

    /// Queues several writes, and waits for one after the other.
    fn submit_queued(&mut self) -> Result<(), String> {
        let graph = self.any_graph();
        let mut writes = Vec::new();
        for _ in 0..1 + self.random.below(4) {
            let (key, seed) = self.next_job();
            let act = Act::Submit {
                graph: graph.name().to_owned(),
                own_id: false,
                jobs: vec![(key.clone(), seed)],
            };
            let call = self.work.try_call(act.clone());
            let write = graph.nonblocking().submit(made::request(&key, seed));
            writes.push((key, act, call, write));
        }
        for (key, act, call, write) in writes {
            let waited = write.wait();
            let id = self
                .work
                .end_call(call, &act, waited, |id| ids(from_ref(id)))?;
            if let Some(id) = id {
                self.keep(&graph, key, id);
            }
        }
        Ok(())
    }

    fn claim(&mut self) -> Result<(), String> {
        if self.running.len() > 20 {
            return self.end();
        }
        let graph = self.graphs[0].clone();
        let act = Act::Claim {
            graph: graph.name().to_owned(),
        };
        let key = |run: &Run| run.request().command().to_owned();
        let claimed = self.work.call(
            act,
            || graph.claim_next(),
            |run| Answer::Claimed {
                key: run.as_ref().map(key),
            },
        )?;
        if let Some(run) = claimed.flatten() {
            self.running.push(Running {
                key: key(&run),
                id: run.id().clone(),
                graph,
                guard: Some(run),
            });
        }
        Ok(())
    }

    /// Starts one of the thread's own jobs.
    fn start(&mut self) -> Result<(), String> {
        let place = self
            .pending
            .iter()
            .position(|(graph, ..)| graph.name() != SHARED);
        let Some((graph, key, id)) = place.and_then(|n| self.pending.remove(n)) else {
            return self.submit();
        };
        let act = Act::Start {
            graph: graph.name().to_owned(),
            key: key.clone(),
        };
        let guarded = self.random.one_in(2) && !self.work.plan.errors_expected;
        let start = || match guarded {
            true => graph.claim(&id).map(Some),
            false => graph.start(&id).map(|()| None),
        };
        if let Some(guard) = self.work.call(act, start, |_| Answer::Done)? {
            self.running.push(Running {
                graph,
                key,
                id,
                guard,
            });
        }
        Ok(())
    }

    fn cancel_pending(&mut self) -> Result<(), String> {
        match self.pending.pop_front() {
            Some((graph, key, id)) => self.cancel(&graph, key, &id),
            None => self.submit(),
        }
    }

    fn cancel_running(&mut self) -> Result<(), String> {
        let Some(job) = self.random.pick(&self.running) else {
            return self.claim();
        };
        let (graph, key, id) = (job.graph.clone(), job.key.clone(), job.id.clone());
        self.cancel(&graph, key, &id)
    }

    fn cancel(&mut self, graph: &Graph, key: String, id: &JobId) -> Result<(), String> {
        let graph_name = graph.name().to_owned();
        let act = Act::Cancel {
            graph: graph_name,
            key,
        };
        let cancelled = self.work.call(
            act,
            || graph.cancel(id),
            |cancelled| match cancelled {
                Cancellation::CancelledBeforeStart => Answer::Done,
                Cancellation::Requested => Answer::Requested,
                Cancellation::AlreadyComplete(_) => Answer::Already,
            },
        )?;
        drop(cancelled);
        Ok(())
    }

    /// Completes a running job in one of the possible ways.
    fn end(&mut self) -> Result<(), String> {
        if self.running.is_empty() {
            return self.claim();
        }
        let n = self.random.below(self.running.len() as u64) as usize;
        let job = self.running.swap_remove(n);
        let (graph, key) = (job.graph.name().to_owned(), job.key);
        let expected = self.work.plan.errors_expected;
        match (self.random.below(12), job.guard) {
            (0, guard) => {
                // The job stays running until the store is opened again.
                guard.into_iter().for_each(Run::detach);
                return Ok(());
            }
            (1, Some(guard)) => {
                // Dropping the guard does not report whether anything was recorded before the wait
                // ended.
                self.work.try_call(Act::Abandon { graph, key });
                drop(guard);
                return Ok(());
            }
            (_, guard) => {
                let outcome = self.random.any();
                let act = Act::Complete {
                    graph,
                    key: key.clone(),
                    outcome,
                };
                let made = made::outcome(outcome);
                let complete = || match guard {
                    Some(guard) if !expected => guard.complete(made),
                    guard => {
                        guard.into_iter().for_each(Run::detach);
                        job.graph.complete(&job.id, made)
                    }
                };
                let done = self.work.call(act, complete, |done| match done {
                    Completion::Done => Answer::Done,
                    Completion::AlreadyComplete(_) => Answer::Already,
                })?;
                if let Some(Completion::AlreadyComplete(_)) = done {
                    return Err(format!("{key} was complete before it was completed"));
                }
            }
        }
        // Completing a complete job again must not change it.
        if self.random.one_in(10) && !expected {
            let again = job
                .graph
                .complete(&job.id, made::outcome(self.random.any()));
            if !matches!(again, Ok(Completion::AlreadyComplete(_))) {
                return Err(format!("{key} completed again: {again:?}"));
            }
        }
        Ok(())
    }

    /// Creates a graph with some jobs, or drops it.
    fn scrap(&mut self) -> Result<(), String> {
        if let Some(graph) = self.scrap.take() {
            if !self.drop_graph(graph.name())? {
                self.scrap = Some(graph);
            }
            return Ok(());
        }
        let name = format!("{SCRAP}{}", self.work.plan.round);
        let Some(graph) = self.work.create(self.store, &name)? else {
            return Ok(());
        };
        for _ in 0..1 + self.random.below(3) {
            let count = 1 + self.random.below(6);
            let jobs: Vec<_> = (0..count).map(|_| self.next_job()).collect();
            let requests: Vec<_> = jobs.iter().map(|(key, s)| made::request(key, *s)).collect();
            let act = Act::Submit {
                graph: name.clone(),
                own_id: false,
                jobs,
            };
            let made = self
                .work
                .call(act, || graph.submit_all(requests), |made| ids(made))?;
            if made.is_some() {
                let act = Act::Claim {
                    graph: name.clone(),
                };
                let key = |run: &Run| run.request().command().to_owned();
                let run = self.work.call(
                    act,
                    || graph.claim_next(),
                    |run| Answer::Claimed {
                        key: run.as_ref().map(key),
                    },
                )?;
                run.flatten().into_iter().for_each(Run::detach);
            }
        }
        self.scrap = Some(graph);
        Ok(())
    }

    /// Submits jobs in one commit, completes some of them, and purges all complete ones.
    fn purge(&mut self) -> Result<(), String> {
        let graph = match self.store.graph(PROJECT, PURGED) {
            Ok(graph) => Some(graph),
            Err(_) => self.work.create(self.store, PURGED)?,
        };
        let Some(graph) = graph else {
            return Ok(());
        };
        let name = graph.name().to_owned();
        let count = 2 + self.random.below(30);
        let jobs: Vec<_> = (0..count).map(|_| self.next_job()).collect();
        let requests: Vec<_> = jobs.iter().map(|(key, s)| made::request(key, *s)).collect();
        let act = Act::Submit {
            graph: name.clone(),
            own_id: false,
            jobs: jobs.clone(),
        };
        let made = self
            .work
            .call(act, || graph.submit_all(requests), |made| ids(made))?;
        for ((key, _), id) in jobs.into_iter().zip(made.into_iter().flatten()) {
            if self.random.one_in(2) {
                self.cancel(&graph, key, &id)?;
            }
        }
        let act = Act::Purge { graph: name };
        self.work
            .call(act, || graph.purge(JobQuery::new()), |_| Answer::Done)?;
        Ok(())
    }

    fn drop_graph(&mut self, name: &str) -> Result<bool, String> {
        let act = Act::Drop {
            graph: name.to_owned(),
        };
        let drop = || self.store.drop_graph(PROJECT, name);
        let dropped = self.work.call(act, drop, |()| Answer::Done)?;
        Ok(dropped.is_some())
    }

    /// Drops graphs that an earlier process left behind. Their jobs do not belong to any thread,
    /// except for those that the open left running.
    fn drop_old_scrap(&mut self) -> Result<(), String> {
        let Ok(graphs) = self.store.graphs() else {
            return Ok(());
        };
        let old = |graph: &&Graph| graph.name().starts_with(SCRAP);
        for graph in graphs.iter().filter(old) {
            self.running.retain(|job| job.graph.name() != graph.name());
            self.drop_graph(graph.name())?;
        }
        Ok(())
    }

    /// Detaches running jobs, so that they stay running and the next open finds them.
    fn let_go(&mut self) {
        for job in self.running.drain(..) {
            job.guard.into_iter().for_each(Run::detach);
        }
    }
}

fn ids(ids: &[JobId]) -> Answer {
    Answer::Submitted {
        ids: ids.iter().map(JobId::to_string).collect(),
    }
}
