//! Runs a test under many schedules, or replays one.
//!
//! Contains the schedulers, the number of schedules, and the output. Every failure prints a
//! schedule with which it can be replayed. The same schedule always runs the same steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use shuttle::scheduler::{
    PctScheduler, RandomScheduler, ReplayScheduler, Scheduler,
    UncontrolledNondeterminismCheckScheduler,
};
use shuttle::{Config, Runner};

/// The environment variable with the number of schedules of each kind. It replaces each test's own
/// number.
const SCHEDULES: &str = "JOBSTORE_SCHEDULES";
/// The environment variable with a schedule that a failure printed. Only that schedule is run.
const REPLAY: &str = "JOBSTORE_REPLAY";

/// The stack size of the threads of a test.
const STACK_BYTES: usize = 512 << 10;
/// The approximate maximum number of priority changes.
const DEPTHS: [usize; 2] = [3, 6];

fn config() -> Config {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.silence_warnings = true;
    // After a failure is printed, the test ends, because continuing after a panic could fail again
    // or hang.
    config
        .ungraceful_shutdown_config
        .immediately_return_on_panic = true;
    config
}

/// When dropped, even after a panic, prints how many schedules were begun.
struct Count {
    scheduler: &'static str,
    begun: Arc<AtomicUsize>,
    since: Instant,
}

impl Drop for Count {
    fn drop(&mut self) {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("a test");
        let (scheduler, begun) = (self.scheduler, self.begun.load(Ordering::SeqCst));
        if std::thread::panicking() {
            eprintln!(
                "{test}: {scheduler} failed in schedule {begun}; with {REPLAY} set to \
                 what is printed above it runs again"
            );
        } else {
            let seconds = self.since.elapsed().as_secs_f32();
            println!("{test}: {begun} schedules, {scheduler}, {seconds:.1} s");
        }
    }
}

fn run(
    name: &'static str,
    scheduler: impl Scheduler + 'static,
    test: &Arc<impl Fn() + Send + Sync + 'static>,
) -> usize {
    let count = Count {
        scheduler: name,
        begun: Arc::default(),
        since: Instant::now(),
    };
    let (begun, test) = (count.begun.clone(), test.clone());
    Runner::new(scheduler, config()).run(move || {
        begun.fetch_add(1, Ordering::SeqCst);
        test();
    })
}

/// Runs a test under `schedules` schedules of each kind. Returns the total number of schedules.
pub(super) fn explore(schedules: usize, test: impl Fn() + Send + Sync + 'static) -> usize {
    let test = Arc::new(test);
    if let Ok(schedule) = std::env::var(REPLAY) {
        let scheduler = ReplayScheduler::new_from_encoded(schedule.trim());
        return run("replay", scheduler, &test);
    }
    let asked = std::env::var(SCHEDULES).ok();
    let schedules = asked.map_or(schedules, |n| n.parse().expect("a number of schedules"));
    let random = run("random", RandomScheduler::new(schedules), &test);
    let by_priorities = DEPTHS.map(|depth| {
        let scheduler = PctScheduler::new(depth, schedules / 2);
        run("by changing priorities", scheduler, &test)
    });
    random + by_priorities.iter().sum::<usize>()
}

/// Runs each of `schedules` schedules twice and checks that the steps are the same.
pub(super) fn replay_each(schedules: usize, test: impl Fn() + Send + Sync + 'static) {
    let random = RandomScheduler::new(schedules);
    let scheduler = UncontrolledNondeterminismCheckScheduler::new(random);
    run("random, each twice", scheduler, &Arc::new(test));
}
