//! Threads that call concurrently. They are kept alive, so that starting them is not measured. This
//! is independent of what they call.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub struct Callers(Vec<Caller>);

struct Caller {
    calls: Option<Sender<u64>>,
    done: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Callers {
    /// Starts the threads. `call` gets a unique number for each call.
    pub fn new(count: u64, call: impl Fn(u64) + Send + Sync + 'static) -> Callers {
        let call = Arc::new(call);
        let caller = |first| {
            let call = call.clone();
            let (calls, to_do) = channel();
            let (say, done) = channel();
            let thread = std::thread::spawn(move || {
                let mut numbers = (first..).step_by(count as usize);
                for calls in to_do {
                    numbers.by_ref().take(calls as usize).for_each(|n| call(n));
                    say.send(()).ok();
                }
            });
            Caller {
                calls: Some(calls),
                done,
                thread: Some(thread),
            }
        };
        Callers((0..count).map(caller).collect())
    }

    /// Makes each caller call this many times, one call after another. Returns the time until the
    /// last call has ended.
    pub fn run(&self, calls_each: u64) -> Duration {
        let start = Instant::now();
        for caller in &self.0 {
            let calls = caller.calls.as_ref().expect("not dropped");
            calls.send(calls_each).expect("a caller");
        }
        for caller in &self.0 {
            caller.done.recv().expect("a caller that did not panic");
        }
        start.elapsed()
    }

    /// Returns the number of calls of each caller for a run of about this duration. It is at least
    /// 1.
    pub fn calls_for(&self, time: Duration) -> u64 {
        let mut calls = 1;
        loop {
            let took = self.run(calls);
            if took >= time / 4 {
                let fit = calls as f64 * time.as_secs_f64() / took.as_secs_f64();
                return (fit as u64).max(1);
            }
            calls *= 2;
        }
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        for caller in &mut self.0 {
            caller.calls = None;
        }
        for caller in &mut self.0 {
            // If the thread panicked, the missing result has already shown that.
            caller.thread.take().map(JoinHandle::join);
        }
    }
}
