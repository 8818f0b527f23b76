//! The duration of an operation: the wall-clock time, and the processor time of all threads.

use std::fmt;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Processor time of all threads of this process.
pub fn cpu() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
}

/// The start of a measurement.
pub struct Begun {
    at: Instant,
    cpu: Duration,
}

#[derive(Clone, Copy)]
pub struct Took {
    pub wall: Duration,
    pub cpu: Duration,
}

impl Begun {
    pub fn now() -> Begun {
        Begun {
            at: Instant::now(),
            cpu: cpu(),
        }
    }

    pub fn took(&self) -> Took {
        Took {
            wall: self.at.elapsed(),
            cpu: cpu() - self.cpu,
        }
    }
}

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        write!(
            f,
            "{:.0} ms, processor {:.0} ms",
            ms(self.wall),
            ms(self.cpu)
        )
    }
}

pub fn took<T>(work: impl FnOnce() -> T) -> (T, Took) {
    let begun = Begun::now();
    let done = work();
    (done, begun.took())
}
