//! A workload that exercises everything: several threads work on several graphs, with segments so
//! small that they are rotated, packed, and merged all the time.
//!
//! Defines the graphs, the threads, including a reader, and the log of calls. A line is logged
//! before each call, and another one acknowledges the call after it returned. These lines determine
//! what must be and what may be in the store.

mod worker;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use jobstore::{Error, Graph, JobId, JobQuery, JobStore, RecoveryAction, Run};

use crate::line::{Act, Answer, Line};
use crate::plan::{OWN, PROJECT, Plan, SHARED, letter};
use crate::random::Random;
use crate::workload::worker::Worker;

/// Receives the lines.
pub type Say<'a> = &'a (dyn Fn(&Line) + Sync);

/// Opens the store, works, and closes it.
///
/// # Errors
/// The first call that failed unexpectedly, and any inconsistency in what the store returns.
pub fn run(plan: &Plan, say: Say<'_>) -> Result<(), String> {
    let work = Work {
        plan,
        say,
        calls: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    };
    let recovery = plan.recovery;
    let options = plan.options()?;
    let opened = work.call(
        Act::Open { recovery },
        || {
            let store = options.open(&plan.dir)?;
            let left = work.say_found(&store)?;
            Ok((store, left))
        },
        |(store, _)| Answer::Opened {
            boot: store.opens(),
        },
    )?;
    let Some((store, left)) = opened else {
        return Ok(());
    };
    work.threads(&store, left)?;
    work.call(Act::Close, || store.close(), |()| Answer::Done)?;
    Ok(())
}

struct Work<'a> {
    plan: &'a Plan,
    say: Say<'a>,
    calls: AtomicU64,
    /// Set when a thread has failed, or the store accepts no more writes.
    stop: AtomicBool,
}

/// A running job that belongs to a thread.
struct Running {
    graph: Graph,
    key: String,
    id: JobId,
    guard: Option<Run>,
}

impl Work<'_> {
    /// Makes a call and logs it. `None` if it failed as expected.
    fn call<T>(
        &self,
        act: Act,
        call: impl FnOnce() -> Result<T, Error>,
        answer: impl FnOnce(&T) -> Answer,
    ) -> Result<Option<T>, String> {
        let name = self.try_call(act.clone());
        let returned = call();
        self.end_call(name, &act, returned, answer)
    }

    fn try_call(&self, act: Act) -> String {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let call = format!("{}.{number}", self.plan.round);
        (self.say)(&Line::Tried {
            call: call.clone(),
            act,
        });
        call
    }

    fn end_call<T>(
        &self,
        call: String,
        act: &Act,
        returned: Result<T, Error>,
        answer: impl FnOnce(&T) -> Answer,
    ) -> Result<Option<T>, String> {
        match returned {
            Ok(value) => {
                let answer = answer(&value);
                (self.say)(&Line::Done { call, answer });
                Ok(Some(value))
            }
            Err(error) if self.plan.expects(&error) => {
                // If an open failed, it is unknown what it did before. If a claim failed because
                // the request could not be read, it is unknown which job it took.
                let vague = matches!(act, Act::Open { .. } | Act::Claim { .. });
                let nothing = !vague && !matches!(error, Error::CommitUnknown { .. });
                (self.say)(&Line::Failed { call, nothing });
                if matches!(
                    error,
                    Error::ReadOnly { .. } | Error::CommitUnknown { .. } | Error::Deposed { .. }
                ) {
                    self.stop.store(true, Ordering::Relaxed);
                }
                Ok(None)
            }
            Err(error) => {
                self.stop.store(true, Ordering::Relaxed);
                Err(format!("{act} failed: {error}"))
            }
        }
    }

    /// Logs the jobs that the open found running. Returns those that it left running.
    fn say_found(&self, store: &JobStore) -> Result<Vec<Running>, Error> {
        let mut left = Vec::new();
        for found in store.recovered().jobs() {
            let found = found?;
            let key = found.job.request().command().to_owned();
            (self.say)(&Line::Found {
                boot: store.opens(),
                graph: found.graph.name().to_owned(),
                key: key.clone(),
                action: letter(found.action),
            });
            if found.action == RecoveryAction::Left {
                left.push(Running {
                    graph: found.graph.clone(),
                    key,
                    id: found.job.id().clone(),
                    guard: None,
                });
            }
        }
        Ok(left)
    }

    fn threads(&self, store: &JobStore, left: Vec<Running>) -> Result<(), String> {
        let mut graphs = Vec::new();
        for name in [SHARED, OWN[0], OWN[1]] {
            let graph = match store.graph(PROJECT, name) {
                Ok(graph) => Some(graph),
                Err(_) => self.create(store, name)?,
            };
            let Some(graph) = graph else {
                return Ok(());
            };
            graphs.push(graph);
        }
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| self.read(&graphs, &ended));
            let mut left = Some(left);
            let workers: Vec<_> = (0..self.plan.threads)
                .map(|number| {
                    // The jobs of an earlier process are given to the first thread.
                    let left = left.take().unwrap_or_default();
                    let mut worker = Worker::new(self, store, &graphs, number, left);
                    scope.spawn(move || worker.run())
                })
                .collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, Result<(), String>>| {
                thread.join().unwrap_or(Err("a thread panicked".to_owned()))
            };
            let mut results: Vec<_> = workers.into_iter().map(join).collect();
            ended.store(true, Ordering::Relaxed);
            results.push(join(reader));
            results.into_iter().collect()
        })
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn create(&self, store: &JobStore, name: &str) -> Result<Option<Graph>, String> {
        let graph = name.to_owned();
        self.call(
            Act::Create { graph },
            || store.create_graph(PROJECT, name),
            |graph| Answer::Created {
                number: graph.number(),
            },
        )
    }

    /// Lists the latest jobs again and again. What was shown once must remain.
    fn read(&self, graphs: &[Graph], ended: &AtomicBool) -> Result<(), String> {
        let mut random = Random(self.plan.seed ^ 0x5ee);
        while !ended.load(Ordering::Relaxed) && !self.is_stopped() {
            let Some(graph) = random.pick(graphs) else {
                return Ok(());
            };
            let looked = || {
                let total = graph.list(JobQuery::new().limit(1))?.total().unwrap();
                let latest = JobQuery::new().offset(total.saturating_sub(6)).limit(6);
                graph.list(latest)?.jobs().collect::<Result<Vec<_>, _>>()
            };
            match looked() {
                Ok(jobs) => {
                    let said = |job: &jobstore::Job| (job.request().command().into(), job.state());
                    (self.say)(&Line::Seen {
                        graph: graph.name().to_owned(),
                        jobs: jobs.iter().map(said).collect(),
                    });
                }
                Err(error) if self.plan.expects(&error) => {}
                Err(error) => {
                    self.stop.store(true, Ordering::Relaxed);
                    return Err(format!("a list failed: {error}"));
                }
            }
            std::thread::sleep(Duration::from_millis(3));
        }
        Ok(())
    }
}
