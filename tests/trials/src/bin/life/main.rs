//! Lives of stores: every operation and every event, in a random order determined by a seed,
//! checked against a simple model of the expected content.
//!
//! A finding reports its seed and step. The same seed fails at the same step again, and `--shrink`
//! looks for the smallest list of operations that still fails in the same way.
//!
//! - `operations`: the operations and events, and how they are generated.
//! - `model`, `requests`: the expected content of the store.
//! - `gaps`: time that a store does not count by itself.
//! - `life`: one store, its disk, its clock, and what is in doubt after a failure.
//! - `http`, `http_writes`, `web`: the same over the HTTP routes.
//! - `writes`, `reads`, `machine`: the operations and their expected results.
//! - `cancel_all`, `store_list`: cancellations of all jobs that match, lists over all graphs.
//! - `policies`, `archives`, `secrets`: purges, archived jobs, masked values.
//! - `interrupts`: callers in the middle of a background step.
//! - `replicas`: a replica, machines that are lost, and stores that are deposed.
//! - `followers`, `follower_checks`, `line`, `history`: a follower, and what it may show.
//! - `invariants`: invariants of copies, repairs, and sizes at any point.
//! - `real`, `real_bounds`, `real_index`: the same on real directories, with the store's
//!   own threads.

#![forbid(unsafe_code)]

mod archives;
mod cancel_all;
mod claims;
mod counts;
mod follower_checks;
mod followers;
mod gaps;
mod history;
mod http;
mod http_writes;
mod interrupts;
mod invariants;
mod life;
mod line;
mod machine;
mod model;
mod observed;
mod operations;
mod policies;
mod reads;
mod real;
mod real_bounds;
mod real_index;
mod real_reserved;
mod replicas;
mod report;
mod requests;
mod secrets;
mod setup;
mod shrink;
mod store_list;
mod texts;
mod web;
mod writes;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jobstore_trials::random::Random;

use crate::life::{CHECKS, Life};
use crate::operations::Op;
use crate::report::Report;
use crate::setup::Setup;

const USAGE: &str = "life [--seed N] [--seeds A..B] [--random] [--steps N] [--seconds N] [--threads N] \
                     [--skip CHECK]... [--without OPERATION]... [--only N,N,..] [--shrink] [--trace] [--keep-going] [--real [--scenario NAME]]";
/// A step that takes longer than this hangs.
const STEP_SECONDS: u64 = 120;

/// A step that takes longer than this is reported.
const SLOW_SECONDS: u64 = 5;

struct Asked {
    /// The numbers of the generated operations to execute. All others are omitted.
    only: Option<Vec<usize>>,
    /// The names of operations that are omitted.
    without: BTreeSet<String>,
    /// Whether to run on real directories.
    real: bool,
    scenario: Option<String>,
    seeds: std::ops::Range<u64>,
    steps: usize,
    deadline: Option<Instant>,
    threads: u64,
    skip: BTreeSet<String>,
    shrink: bool,
    trace: bool,
    keep_going: bool,
}

/// How a life failed.
#[derive(Clone, Debug)]
struct Failure {
    step: usize,
    what: String,
}

fn draw(seed: u64, steps: usize) -> (Setup, Vec<Op>) {
    let mut random = Random::from_seed(seed);
    let setup = Setup::draw(&mut random);
    let ops = (0..steps).map(|_| Op::draw(&mut random, &setup.weights));
    let ops = ops.collect();
    (setup, ops)
}

/// Runs a life. If it fails, reports where.
fn live(
    asked: &Asked,
    (seed, setup): (u64, &Setup),
    ops: &[Op],
    beat: &Beat,
    report: &mut Report,
) -> Result<(), Failure> {
    beat.begin(seed, 0);
    let quiet = |what: String, step| Failure { step, what };
    let begun = catch_unwind(AssertUnwindSafe(|| {
        Life::new(setup.clone(), seed, asked.skip.clone())
    }));
    let mut life = match begun {
        Ok(Ok(life)) => life,
        Ok(Err(what)) => return Err(quiet(what, 0)),
        Err(panic) => return Err(quiet(panicked(&*panic), 0)),
    };
    life.trace = asked.trace;
    report.lives += 1;
    for (step, op) in ops.iter().enumerate() {
        beat.begin(seed, step as u64);
        if asked.trace {
            eprintln!("  {step}: {op:?}");
        }
        let begun_at = Instant::now();
        let ran = catch_unwind(AssertUnwindSafe(|| life.execute(op)));
        let seconds = begun_at.elapsed().as_secs();
        if seconds >= SLOW_SECONDS {
            eprintln!(
                "slow: seed {seed}, step {step} took {seconds} s: {}",
                op.name()
            );
        }
        match ran {
            Ok(Ok(ran)) => report.note(op, ran),
            Ok(Err(what)) => {
                abandon(life);
                return Err(quiet(what, step));
            }
            Err(panic) => {
                abandon(life);
                return Err(quiet(panicked(&*panic), step));
            }
        }
    }
    report.opens += life.opens;
    report.simulated_ms += life.now().true_ms;
    report.followers.add(life.tally);
    beat.rest();
    abandon(life);
    Ok(())
}

/// Drops a life whose store may be in any state.
fn abandon(life: Life) {
    life.disk.kill();
    if let Some(follower) = &life.follower {
        follower.directory.disk.kill();
    }
    drop(catch_unwind(AssertUnwindSafe(|| drop(life))));
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    format!("a panic: {}", text.unwrap_or("of another type"))
}

/// The current step of a thread. The watchdog reads it.
#[derive(Default)]
struct Beat {
    seed: AtomicU64,
    step: AtomicU64,
    since: Mutex<Option<Instant>>,
}

impl Beat {
    fn begin(&self, seed: u64, step: u64) {
        self.seed.store(seed, Ordering::Relaxed);
        self.step.store(step, Ordering::Relaxed);
        *self.since.lock().expect("no panic") = Some(Instant::now());
    }

    fn rest(&self) {
        *self.since.lock().expect("no panic") = None;
    }

    fn watch(beats: &[Arc<Beat>]) {
        for beat in beats {
            let since = *beat.since.lock().expect("no panic");
            if since.is_some_and(|since| since.elapsed() > Duration::from_secs(STEP_SECONDS)) {
                println!(
                    "FINDING seed {} step {}: no progress for {STEP_SECONDS} s",
                    beat.seed.load(Ordering::Relaxed),
                    beat.step.load(Ordering::Relaxed)
                );
                std::process::exit(1);
            }
        }
    }
}

/// Returns the part of a finding that is the same in all findings with the same cause.
fn essence(what: &str) -> String {
    let letters = |c: &char| c.is_ascii_alphabetic() || *c == ' ';
    what.chars().filter(letters).take(60).collect()
}

fn run(asked: &Asked, seed: u64, beat: &Beat) -> (Report, Option<String>) {
    let mut report = Report::default();
    let (setup, mut ops) = draw(seed, asked.steps);
    if let Some(only) = &asked.only {
        ops = only.iter().filter_map(|&n| ops.get(n).cloned()).collect();
    }
    ops.retain(|op| !asked.without.contains(op.name()));
    let failure = match live(asked, (seed, &setup), &ops, beat, &mut report) {
        Ok(()) => return (report, None),
        Err(failure) => failure,
    };
    let mut text = format!(
        "FINDING seed {seed} step {}: {}\n  to repeat: life --seed {seed} --steps {}{}",
        failure.step,
        failure.what,
        asked.steps,
        asked
            .skip
            .iter()
            .map(|s| format!(" --skip {s}"))
            .chain(asked.without.iter().map(|s| format!(" --without {s}")))
            .collect::<String>()
    );
    if asked.shrink {
        let ops = ops[..(failure.step + 1).min(ops.len())].to_vec();
        let numbered: Vec<(usize, Op)> = ops.into_iter().enumerate().collect();
        let wanted = essence(&failure.what);
        let mut last = failure.what.clone();
        let deadline = Instant::now() + Duration::from_secs(120);
        let fewest = shrink::shrink(numbered, |fewer| {
            let fewer: Vec<Op> = fewer.iter().map(|(_, op)| op.clone()).collect();
            if Instant::now() > deadline {
                return false;
            }
            let mut ignored = Report::default();
            match live(asked, (seed, &setup), &fewer, beat, &mut ignored) {
                Err(failure) if essence(&failure.what) == wanted => {
                    last = failure.what;
                    true
                }
                _ => false,
            }
        });
        text.push_str(&format!("\n  {setup:?}\n  {} operations:", fewest.len()));
        for (_, op) in &fewest {
            text.push_str(&format!("\n    {op:?}"));
        }
        if asked.only.is_none() {
            let numbers: Vec<String> = fewest.iter().map(|(n, _)| n.to_string()).collect();
            text.push_str(&format!("\n  minimal: --only {}", numbers.join(",")));
        }
        text.push_str(&format!("\n  -> {last}"));
    }
    beat.rest();
    (report, Some(text))
}

fn main() {
    if real::be_child() {
        return;
    }
    let asked = Arc::new(parse());
    if asked.real {
        return live_for_real(&asked);
    }
    let next = Arc::new(AtomicU64::new(asked.seeds.start));
    let beats: Vec<Arc<Beat>> = (0..asked.threads).map(|_| Arc::default()).collect();
    let total = Arc::new(Mutex::new((Report::default(), 0u64)));
    std::panic::set_hook(Box::new(|info| {
        web::note_panic();
        eprintln!("{info}");
    }));
    let begun = Instant::now();
    let threads: Vec<_> = beats
        .iter()
        .map(|beat| {
            let (asked, next, beat, total) =
                (asked.clone(), next.clone(), beat.clone(), total.clone());
            std::thread::spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    let is_late = asked.deadline.is_some_and(|at| Instant::now() >= at);
                    let failed = total.lock().expect("no panic").1 > 0;
                    if seed >= asked.seeds.end || is_late || (failed && !asked.keep_going) {
                        return;
                    }
                    let (report, finding) = run(&asked, seed, &beat);
                    let mut total = total.lock().expect("no panic");
                    total.0.add(report);
                    if let Some(finding) = finding {
                        total.1 += 1;
                        println!("{finding}");
                    }
                }
            })
        })
        .collect();
    while threads.iter().any(|thread| !thread.is_finished()) {
        Beat::watch(&beats);
        std::thread::sleep(Duration::from_millis(20));
    }
    let total = total.lock().expect("no panic");
    println!(
        "seeds {}..{} of {} steps, {} s",
        asked.seeds.start,
        next.load(Ordering::SeqCst).min(asked.seeds.end),
        asked.steps,
        begun.elapsed().as_secs()
    );
    total.0.print();
    if total.1 > 0 {
        println!("{} findings", total.1);
        std::process::exit(1);
    }
}

/// Runs lives on real directories, one after the other.
fn live_for_real(asked: &Asked) {
    let (mut lives, mut findings) = (0u64, 0u64);
    let mut ran = std::collections::BTreeMap::<&str, u64>::new();
    for seed in asked.seeds.clone() {
        let is_late = asked.deadline.is_some_and(|at| Instant::now() >= at);
        if lives > 0 && (is_late || (findings > 0 && !asked.keep_going)) {
            break;
        }
        lives += 1;
        let scenarios: Vec<Option<&str>> = match (&asked.scenario, asked.keep_going) {
            (Some(name), _) => vec![Some(name)],
            (None, true) => real::names().map(Some).collect(),
            (None, false) => vec![None],
        };
        for scenario in scenarios {
            let (names, checked) = real::live(seed, scenario);
            for name in names {
                *ran.entry(name).or_default() += 1;
            }
            if let Err(what) = checked {
                findings += 1;
                println!("FINDING seed {seed}, on a real directory: {what}");
                let scenario = scenario.map(|name| format!(" --scenario {name:?}"));
                println!(
                    "  to repeat: life --real --seed {seed}{}",
                    scenario.unwrap_or_default()
                );
            }
        }
    }
    let counts = real::names().map(|name| format!("{name} {}", ran.get(name).unwrap_or(&0)));
    println!(
        "{lives} lives on real directories: {}",
        counts.collect::<Vec<_>>().join(", ")
    );
    if findings > 0 {
        println!("{findings} findings");
        std::process::exit(1);
    }
}

fn parse() -> Asked {
    let mut asked = Asked {
        only: None,
        without: BTreeSet::new(),
        real: false,
        scenario: None,
        seeds: 1..u64::MAX,
        steps: 400,
        deadline: None,
        threads: 1,
        skip: BTreeSet::new(),
        shrink: false,
        trace: false,
        keep_going: false,
    };
    let mut bounded = false;
    let mut words = std::env::args().skip(1);
    let refuse = || -> ! {
        eprintln!("usage: {USAGE}");
        std::process::exit(2);
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_else(|| refuse());
        // A misspelled name is refused, because it would disable nothing, or run nothing.
        let one_of = |name: String, names: &[&str]| match names.contains(&&*name) {
            true => name,
            false => {
                eprintln!("{name:?} is not one of {names:?}");
                refuse()
            }
        };
        let number = |text: String| text.parse::<u64>().unwrap_or_else(|_| refuse());
        match word.as_str() {
            "--seed" => {
                let seed = number(value());
                asked.seeds = seed..seed + 1;
                bounded = true;
            }
            "--seeds" => {
                let text = value();
                let (from, to) = text.split_once("..").unwrap_or_else(|| refuse());
                asked.seeds = number(from.to_owned())..number(to.to_owned());
                bounded = true;
            }
            "--random" => {
                let now = std::time::SystemTime::now();
                let since = now.duration_since(std::time::UNIX_EPOCH);
                let seed = since.map_or(1, |since| since.as_nanos() as u64 >> 10);
                println!("seeds from {seed}");
                asked.seeds = seed..u64::MAX;
            }
            "--steps" => asked.steps = number(value()) as usize,
            "--seconds" => {
                asked.deadline = Some(Instant::now() + Duration::from_secs(number(value())));
                bounded = true;
            }
            "--threads" => asked.threads = number(value()).max(1),
            "--skip" => drop(asked.skip.insert(one_of(value(), CHECKS))),
            "--shrink" => asked.shrink = true,
            "--without" => drop(asked.without.insert(one_of(value(), Op::NAMES))),
            "--only" => {
                let numbers = value();
                let numbers = numbers.split(',').map(|n| number(n.to_owned()) as usize);
                asked.only = Some(numbers.collect());
            }
            "--real" => asked.real = true,
            "--scenario" => {
                let names: Vec<&str> = real::names().collect();
                asked.scenario = Some(one_of(value(), &names));
            }
            "--trace" => asked.trace = true,
            "--keep-going" => asked.keep_going = true,
            _ => refuse(),
        }
    }
    if !bounded {
        asked.deadline = Some(Instant::now() + Duration::from_secs(60));
    }
    asked
}
