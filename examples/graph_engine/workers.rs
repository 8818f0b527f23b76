//! The worker threads. Each claims the oldest pending job with `claim_next`, executes it, and
//! claims the next one. The engine decides what a request means. When stopped, a worker finishes
//! its current job and claims no other.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use jobstore::Graph;

use crate::commands::Engine;

/// How long an idle worker sleeps before it tries again. A stop wakes it immediately.
const IDLE_PAUSE: Duration = Duration::from_millis(5);

pub struct Workers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<(), jobstore::Error>>>,
}

impl Workers {
    pub fn start(graph: &Graph, engine: &Arc<Engine>, count: usize) -> io::Result<Workers> {
        let mut workers = Workers {
            stop: Arc::new(AtomicBool::new(false)),
            threads: Vec::with_capacity(count),
        };
        for number in 1..=count {
            let graph = graph.clone();
            let engine = Arc::clone(engine);
            let stop = Arc::clone(&workers.stop);
            let thread = thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || work(&graph, &engine, &stop))?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Waits until every worker has finished its job. Returns the first error.
    pub fn stop(mut self) -> Result<(), Box<dyn Error>> {
        self.tell_to_stop();
        for thread in self.threads.drain(..) {
            // A panic is not ignored. The worker's job has already been recorded as interrupted.
            thread.join().map_err(|_| "a worker panicked")??;
        }
        Ok(())
    }

    fn tell_to_stop(&self) {
        self.stop.store(true, Ordering::Release);
        for thread in &self.threads {
            thread.thread().unpark();
        }
    }
}

impl Drop for Workers {
    /// Stops the workers, so that none claims another job if the caller returns early because of an
    /// error.
    fn drop(&mut self) {
        self.tell_to_stop();
    }
}

fn work(graph: &Graph, engine: &Engine, stop: &AtomicBool) -> Result<(), jobstore::Error> {
    while !stop.load(Ordering::Acquire) {
        match graph.claim_next()? {
            Some(run) => engine.execute(run)?,
            None => thread::park_timeout(IDLE_PAUSE),
        }
    }
    Ok(())
}
