//! Guarantee: under any interleaving, a job belongs to one run at a time, and requeuing loses no
//! job.

use std::sync::Arc;

use shuttle::sync::Mutex;
use shuttle::thread;

use crate::api::lifecycle::Completion;
use crate::model::outcome::Outcome;
use crate::model::states::State;
use crate::testing::schedule::explore::explore;
use crate::testing::schedule::store::{AMPLE, Store, options, request};

/// Workers requeue each job once, and then complete it.
#[test]
fn every_job_is_completed_once_by_the_run_that_holds_it() {
    explore(2000, || {
        let (store, graph) = Store::with_graph(options(AMPLE));
        for name in ["a", "b"] {
            graph.submit(request(name)).expect("a job");
        }
        let requeued = Arc::new(Mutex::new(Vec::new()));
        let worker = || {
            let (graph, requeued) = (graph.clone(), requeued.clone());
            thread::spawn(move || {
                let mut completed = 0;
                while let Some(run) = graph.claim_next().expect("it claims") {
                    let is_first = {
                        let mut requeued = requeued.lock().expect("no panic");
                        let is_first = !requeued.contains(run.id());
                        requeued.push(run.id().clone());
                        is_first
                    };
                    if is_first {
                        run.requeue().expect("it is held");
                        // This is refused, or the other worker has already completed the job.
                        let late = run.complete(Outcome::succeeded());
                        assert!(!matches!(late, Ok(Completion::Done)));
                    } else {
                        let done = run.complete(Outcome::succeeded());
                        assert_eq!(done.expect("it is held"), Completion::Done);
                        completed += 1;
                    }
                }
                completed
            })
        };
        let workers = [worker(), worker()];
        let completed: u32 = workers.map(|w| w.join().expect("no panic")).iter().sum();
        // A worker may find no job while the other one runs the last job and completes it. The sum
        // is the same.
        assert_eq!(completed, 2);
        assert_eq!(graph.count(State::Complete).expect("a count"), 2);
        store.end();
    });
}
