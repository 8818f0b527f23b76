//! Runs a test under many schedules, and one again.
//!
//! Owns: which schedulers, how many schedules, what is printed. Promise: whatever
//! fails is printed with what replays it, and the same text replays the same steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use shuttle::scheduler::{
    PctScheduler, RandomScheduler, ReplayScheduler, Scheduler,
    UncontrolledNondeterminismCheckScheduler,
};
use shuttle::{Config, Runner};

/// How many schedules of each kind, instead of what each test says.
const SCHEDULES: &str = "JOBSTORE_SCHEDULES";
/// A schedule as it was printed by a failure: only that one is run.
const REPLAY: &str = "JOBSTORE_REPLAY";

/// What the threads of a test have for their stacks.
const STACK_BYTES: usize = 512 << 10;
/// How often, at most about, the order of the threads' priorities is changed.
const DEPTHS: [usize; 2] = [3, 6];

fn config() -> Config {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.silence_warnings = true;
    // What fails is said; going on under a panic could fail or hang once more.
    config
        .ungraceful_shutdown_config
        .immediately_return_on_panic = true;
    config
}

/// Says at the end, by a panic too, how many schedules were begun.
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

/// Runs a test under so many schedules of each kind; gives how many it were in all.
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

/// Runs each of so many schedules twice: the same steps must come.
pub(super) fn replay_each(schedules: usize, test: impl Fn() + Send + Sync + 'static) {
    let random = RandomScheduler::new(schedules);
    let scheduler = UncontrolledNondeterminismCheckScheduler::new(random);
    run("random, each twice", scheduler, &Arc::new(test));
}
