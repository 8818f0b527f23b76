//! One run of the driver in a child process, and the check of the store that the run leaves.
//!
//! Starts the run, enforces its limits, and counts the totals. A run that hangs is killed and
//! reported.

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use jobstore_trials::child::{wait, within};
use jobstore_trials::line::Line;
use jobstore_trials::oracle::Oracle;
use jobstore_trials::plan::options;

use crate::driver;
use crate::setting::{May, Setting};

/// The first argument of a child.
pub const WORK: &str = "work";
/// How long a run may take. Normally, it takes a fraction of a second.
const RUN_BOUND: Duration = Duration::from_secs(60);
/// The number of jobs of each graph that are looked up by their ids.
const LOOKUPS: u64 = 20;

/// The totals of all runs.
#[derive(Default)]
pub struct Sum {
    pub runs: u64,
    /// The number of runs in which a call failed.
    pub hit: u64,
    pub calls_failed: u64,
    /// The number of failures that were reported to a caller.
    pub errors: u64,
    pub acknowledged: u64,
    pub facts: u64,
    pub wrong: Vec<String>,
    pub skipped: Vec<String>,
}

impl Sum {
    pub fn wrong(&mut self, what: String) {
        println!("WRONG {what}");
        self.wrong.push(what);
    }

    pub fn add(&mut self, other: Sum) {
        self.runs += other.runs;
        self.hit += other.hit;
        self.calls_failed += other.calls_failed;
        self.errors += other.errors;
        self.acknowledged += other.acknowledged;
        self.facts += other.facts;
        self.wrong.extend(other.wrong);
        self.skipped.extend(other.skipped);
    }
}

/// Runs as a child process and returns its exit code.
pub fn child(args: &[String]) -> ExitCode {
    let Some(setting) = Setting::from_args(args) else {
        return ExitCode::from(2);
    };
    match driver::run(setting) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("the driver: {what}");
            ExitCode::from(3)
        }
    }
}

/// How a run ended, and its output.
pub struct Ran {
    pub lines: Vec<Line>,
    pub status: ExitStatus,
    pub complaint: String,
}

/// Runs the driver. `before` is a command that runs another command, or is empty.
pub fn run(setting: &Setting, before: &[String]) -> Result<Ran, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let own = own.to_string_lossy().into_owned();
    let mut words = before.to_vec();
    words.extend([own, WORK.to_owned()]);
    words.extend(setting.to_args());
    let mut child = Command::new(&words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|e| format!("{}: {e}", words[0]))?;
    let hear = |mut from: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes).ok();
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let out = child.stdout.take().ok_or("no output")?;
    let err = child.stderr.take().ok_or("no errors")?;
    let (out, err) = (hear(Box::new(out)), hear(Box::new(err)));
    let group = rustix::process::Pid::from_child(&child);
    let status = wait(&mut child, RUN_BOUND);
    if status.is_err() {
        // The program that ran the driver is dead, but the driver itself may not be.
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
    }
    let (out, err) = (
        out.join().unwrap_or_default(),
        err.join().unwrap_or_default(),
    );
    let status = status.map_err(|e| format!("{e}; {err}"))?;
    // If a kill truncated the last line, that line is ignored.
    let whole = out.rfind('\n').map_or("", |end| &out[..end]);
    Ok(Ran {
        lines: whole.lines().filter_map(Line::parse).collect(),
        status,
        complaint: err,
    })
}

/// Checks a run and the store that it left. `said` contains the lines printed before it.
pub fn check(
    dir: &Path,
    said: &[Line],
    ran: &Ran,
    may_die_of: Option<i32>,
    sum: &mut Sum,
) -> Result<(), String> {
    let died = ran.status.signal();
    if !ran.status.success() && (died.is_none() || died != may_die_of) {
        let complaint: Vec<&str> = ran.complaint.lines().take(4).collect();
        return Err(format!("{}: {}", ran.status, complaint.join(" | ")));
    }
    let mut oracle = Oracle::new();
    for line in said.iter().chain(&ran.lines) {
        oracle.hear(line)?;
        sum.errors += u64::from(matches!(line, Line::Failed { .. }));
        sum.acknowledged += u64::from(matches!(line, Line::Done { .. }));
    }
    if !dir.exists() {
        // The very first call failed, so there is no store.
        return Ok(());
    }
    // The check is repeated, because what the first open rebuilds must be equally good.
    for _ in 0..2 {
        let checked = within("a check of the store", RUN_BOUND, || {
            let store = options('I').open(dir);
            let store = store.map_err(|e| format!("the store cannot be reopened: {e}"))?;
            let seen = oracle.check(&store, LOOKUPS)?;
            oracle.settle(&seen);
            store
                .close()
                .map_err(|e| format!("it cannot be closed: {e}"))?;
            Ok::<u64, String>(seen.facts)
        });
        sum.facts += checked?;
    }
    Ok(())
}

/// Creates the store with which most runs begin. It was killed in the middle of its work, and has
/// packs that are about to be merged. Returns its lines.
pub fn make_base(dir: &Path) -> Result<Vec<Line>, String> {
    let mut said = Vec::new();
    for round in 1..=3 {
        let mut setting = Setting::new(dir, round, May::Nothing);
        setting.dies = round == 3;
        let ran = run(&setting, &[])?;
        if !ran.status.success() {
            return Err(format!("the base: {}: {}", ran.status, ran.complaint));
        }
        said.extend(ran.lines);
    }
    Ok(said)
}
