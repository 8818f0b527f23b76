//! The parent process, which outlives the cases.
//!
//! Starts children, reads their output, continues after a child has died, and prints the table. A
//! case that kills or hangs its process is reported, and the run continues with the next one.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::{Failed, Options, base};

/// How long a case may take. A case takes milliseconds, so one that takes this long hangs.
const CASE_BOUND: Duration = Duration::from_secs(60);
/// The number of cases per child.
const BATCH: u64 = 500;

#[derive(Default)]
struct Sum {
    cases: u64,
    /// The number of cases by kind of file and by result.
    table: BTreeMap<(String, String), u64>,
    deaths: u64,
    aborts_in_open: u64,
    slowest: (u64, u64),
    wrong: Vec<String>,
}

pub fn run(options: &Options) -> Result<bool, Failed> {
    let shm = Path::new("/dev/shm");
    let place = match shm.is_dir() {
        true => shm.to_path_buf(),
        false => std::env::temp_dir(),
    };
    let own = tempfile::Builder::new()
        .prefix("jobstore-damage-")
        .tempdir_in(place)?;
    let kept = options.base.clone();
    let dir = kept.unwrap_or_else(|| own.path().join("base"));
    if !base::NAMES.iter().all(|name| dir.join(name).is_dir()) {
        std::fs::create_dir_all(&dir)?;
        base::make(&dir)?;
    }
    let begun = Instant::now();
    let sum = Mutex::new(Sum::default());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..options.workers())
            .map(|n| {
                let (sum, dir, work) = (&sum, &dir, own.path().join(format!("work{n}")));
                scope.spawn(move || {
                    let worked = Worker {
                        options,
                        dir,
                        work: &work,
                        sum,
                        begun,
                    }
                    .run(n);
                    worked.map_err(|e| e.to_string())
                })
            })
            .collect();
        let ended = workers.into_iter().map(|worker| match worker.join() {
            Ok(ended) => ended,
            Err(_) => Err("a worker panicked".to_owned()),
        });
        ended.collect::<Result<Vec<()>, String>>()
    })?;
    let sum = sum.into_inner()?;
    report(&sum, begun.elapsed());
    Ok(sum.wrong.is_empty() && sum.cases > 0)
}

impl Options {
    fn workers(&self) -> u64 {
        match self.only {
            Some(_) => 1,
            None => self.jobs.max(1),
        }
    }

    /// Returns the first case of a worker, the end of its range, and the step between its cases.
    fn cases_of(&self, worker: u64) -> (u64, u64, u64) {
        if let Some(only) = self.only {
            return (only, only + 1, 1);
        }
        let (shard, shards) = self.shard;
        (shard + worker * shards, self.cases, shards * self.workers())
    }
}

struct Worker<'w> {
    options: &'w Options,
    dir: &'w Path,
    work: &'w Path,
    sum: &'w Mutex<Sum>,
    begun: Instant,
}

/// What is known about a child's current case.
#[derive(Default)]
struct Current {
    case: u64,
    kind: String,
    what: String,
    opening: bool,
    running: bool,
}

/// How a child ended.
enum ChildEnd {
    /// The child ended normally. The next child begins with this case.
    Next(u64),
    Died(Current, String),
}

impl Worker<'_> {
    fn run(&self, n: u64) -> Result<(), Failed> {
        let (mut case, end, step) = self.options.cases_of(n);
        let bound = self.options.seconds.map(Duration::from_secs);
        while case < end {
            if bound.is_some_and(|bound| self.begun.elapsed() > bound) {
                println!("stopped by --seconds before case {case}");
                break;
            }
            let upto = end.min(case + step * BATCH);
            match self.child(case, upto, step, false)? {
                ChildEnd::Next(next) => case = next,
                ChildEnd::Died(current, how) => {
                    self.died(&current, &how, step)?;
                    case = current.case + step;
                }
            }
        }
        Ok(())
    }

    fn died(&self, current: &Current, how: &str, step: u64) -> Result<(), Failed> {
        let excused = self.options.index_may_abort_once && current.opening && how == "aborted";
        let name = format!("case {} ({})", current.case, current.what);
        if !excused {
            let mut sum = self.lock();
            sum.cases += 1;
            sum.deaths += 1;
            sum.note(&current.kind, "death");
            sum.wrong(format!("{name}: {how}"));
            return Ok(());
        }
        // The store must open now as if the child had not died.
        match self.child(current.case, current.case + 1, step, true)? {
            ChildEnd::Next(_) => self.lock().aborts_in_open += 1,
            ChildEnd::Died(_, how) => {
                let mut sum = self.lock();
                sum.cases += 1;
                sum.deaths += 1;
                sum.wrong(format!("{name}: {how} in the open after an abort"));
            }
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Sum> {
        self.sum
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn child(&self, from: u64, end: u64, step: u64, again: bool) -> Result<ChildEnd, Failed> {
        let loud = self.options.only.is_some();
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--child")
            .args([self.dir, self.work])
            .args([self.options.seed, from, end, step].map(|n| n.to_string()))
            .arg(if again { "again" } else { "fresh" })
            // Each arena of the allocator reserves address space.
            .env("MALLOC_ARENA_MAX", "2")
            .stdout(Stdio::piped())
            .stderr(if loud {
                Stdio::inherit()
            } else {
                Stdio::null()
            })
            .spawn()?;
        let lines = lines_of(&mut child)?;
        let mut current = Current::default();
        loop {
            match lines.recv_timeout(CASE_BOUND) {
                Ok(line) => {
                    if loud {
                        println!("{line}");
                    }
                    if let Some(next) = self.heard(&line, &mut current, again) {
                        child.wait()?;
                        return Ok(ChildEnd::Next(next));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    child.kill()?;
                    child.wait()?;
                    return Ok(ChildEnd::Died(current, "hangs".to_owned()));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = child.wait()?;
                    if !current.running {
                        return Err(format!("a child exited outside of a case: {status}").into());
                    }
                    use std::os::unix::process::ExitStatusExt;
                    let how = match status.signal() {
                        Some(6) => "aborted".to_owned(),
                        _ => format!("died: {status}"),
                    };
                    return Ok(ChildEnd::Died(current, how));
                }
            }
        }
    }

    /// Processes a line of a child's output. If it is the last line, returns the next case.
    fn heard(&self, line: &str, current: &mut Current, again: bool) -> Option<u64> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "case" => {
                let (head, what) = rest.split_once('\t').unwrap_or((rest, ""));
                let (case, kind) = head.split_once(' ').unwrap_or((head, ""));
                *current = Current {
                    case: case.parse().unwrap_or(0),
                    kind: kind.to_owned(),
                    what: what.to_owned(),
                    opening: false,
                    running: true,
                };
            }
            "opening" => current.opening = true,
            "opened" => current.opening = false,
            "next" => return rest.parse().ok(),
            _ => {
                let mut parts = rest.splitn(3, ' ').skip(1);
                let ms = parts.next().and_then(|ms| ms.parse().ok()).unwrap_or(0);
                let outcome = parts.next().unwrap_or("");
                current.running = false;
                let mut sum = self.lock();
                sum.cases += 1;
                sum.slowest = sum.slowest.max((ms, current.case));
                if word == "end" {
                    let outcome = match again {
                        true => format!("abort, then {outcome}"),
                        false => outcome.to_owned(),
                    };
                    sum.note(&current.kind, &outcome);
                } else {
                    sum.note(&current.kind, "wrong");
                    sum.wrong(format!(
                        "case {} ({}): {outcome}",
                        current.case, current.what
                    ));
                }
            }
        }
        None
    }
}

/// Returns the lines of a child's output. A thread reads them, so that waiting for them can time
/// out.
fn lines_of(child: &mut Child) -> Result<Receiver<String>, Failed> {
    let out = child.stdout.take().ok_or("the child has no output")?;
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    Ok(lines)
}

impl Sum {
    fn note(&mut self, kind: &str, outcome: &str) {
        let key = (kind.to_owned(), outcome.to_owned());
        *self.table.entry(key).or_default() += 1;
    }

    fn wrong(&mut self, what: String) {
        println!("WRONG {what}");
        self.wrong.push(what);
    }
}

fn report(sum: &Sum, took: Duration) {
    println!("{:<16} {:<36} {:>8}", "file", "outcome", "cases");
    for ((kind, outcome), count) in &sum.table {
        println!("{kind:<16} {outcome:<36} {count:>8}");
    }
    let mut totals: BTreeMap<&str, u64> = BTreeMap::new();
    for ((_, outcome), count) in &sum.table {
        *totals.entry(outcome).or_default() += count;
    }
    for (outcome, count) in totals {
        println!("{:<16} {outcome:<36} {count:>8}", "all");
    }
    let rate = sum.cases as f64 / took.as_secs_f64().max(0.001);
    println!(
        "{} cases in {:.1} s, {rate:.0}/s; {} wrong; {} deaths; {} aborts while opening a damaged \
         index, each followed by a complete open; slowest {} ms (case {})",
        sum.cases,
        took.as_secs_f64(),
        sum.wrong.len(),
        sum.deaths,
        sum.aborts_in_open,
        sum.slowest.0,
        sum.slowest.1,
    );
}
