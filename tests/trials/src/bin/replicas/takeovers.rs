//! Two processes with directories of their own take the replica from each other, under load. The
//! previous writer may be stopped while this happens.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use jobstore_trials::child::{self, command, hear};
use jobstore_trials::line::{Act, Answer, Line};
use jobstore_trials::plan::Plan;
use rustix::process::{Pid, Signal, kill_process};

use crate::trial::{Sum, Trial, failed};

/// How long an open, or the end of a process that was deposed, may take.
const MOST: Duration = Duration::from_secs(60);

pub fn run(trial: &mut Trial, takeovers: u64, pause: bool, sum: &mut Sum) -> Result<(), String> {
    sum.stores += 1;
    let mut writer = Writer::start(trial, 0, sum)?;
    for round in 1..=takeovers {
        work(trial, 400);
        if pause {
            writer.signal(Signal::STOP)?;
        }
        let next = Writer::start(trial, round, sum)?;
        let said = writer.said()?.len();
        if pause {
            work(trial, 400);
            writer.signal(Signal::CONT)?;
        }
        trial.hear(&writer.deposed(said)?)?;
        sum.takeovers += 1;
        writer = next;
    }
    work(trial, 400);
    let dir = writer.plan.dir.clone();
    trial.hear(&writer.kill()?)?;
    sum.kills += 1;
    trial.check(&dir, sum)
}

/// Gives the current writer time to work.
fn work(trial: &mut Trial, most_ms: u64) {
    std::thread::sleep(Duration::from_millis(trial.random.below(most_ms)));
}

/// A process, which writes its lines to a file.
struct Writer {
    child: Child,
    plan: Plan,
    said: PathBuf,
}

impl Writer {
    /// Starts a process, and waits until it has opened the store.
    fn start(trial: &mut Trial, round: u64, sum: &mut Sum) -> Result<Writer, String> {
        let root = trial.root.path().to_owned();
        let dir = root.join(format!("store{}", round % 2));
        if dir.exists() && trial.random.one_in(4) {
            fs::remove_dir_all(&dir).map_err(failed)?;
            sum.wiped += 1;
        }
        let plan = Plan {
            errors_expected: true,
            ..trial.plan(&dir, round)
        };
        let said = root.join(format!("said-{round}"));
        let stdout = File::options().create_new(true).append(true).open(&said);
        let mut command = command(&plan).map_err(failed)?;
        let child = command.stdout(stdout.map_err(failed)?).spawn();
        let mut writer = Writer {
            child: child.map_err(failed)?,
            plan,
            said,
        };
        let deadline = Instant::now() + MOST;
        while !hear(&*writer.said()?).iter().any(is_opened) {
            if let Some(status) = writer.child.try_wait().map_err(failed)? {
                return Err(format!("process {round} did not open the store: {status}"));
            }
            if Instant::now() > deadline {
                return Err(format!("the open of process {round} hangs"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(writer)
    }

    fn said(&self) -> Result<Vec<u8>, String> {
        fs::read(&self.said).map_err(failed)
    }

    fn signal(&self, signal: Signal) -> Result<(), String> {
        kill_process(Pid::from_child(&self.child), signal).map_err(failed)
    }

    /// Waits until the process exits because it was deposed, and returns its lines. Of the calls
    /// that it began after `said` bytes of lines, none may be acknowledged.
    fn deposed(&mut self, said: usize) -> Result<Vec<Line>, String> {
        let round = self.plan.round;
        let status = child::wait(&mut self.child, MOST)
            .map_err(|what| format!("process {round} was replaced: {what}"))?;
        if !status.success() {
            return Err(format!(
                "process {round} was replaced, and exited: {status}"
            ));
        }
        let text = self.said()?;
        let rest = text[said..].iter().position(|byte| *byte == b'\n');
        let (before, after) = text.split_at(rest.map_or(text.len(), |rest| said + rest + 1));
        let (mut lines, after) = (hear(before), hear(after));
        acknowledged_late(&after).map_or(Ok(()), |call| {
            Err(format!(
                "call {call} began after a takeover, and was acknowledged"
            ))
        })?;
        lines.extend(after);
        // The only error that does not make the process fail is `Deposed`.
        match lines.iter().any(|line| matches!(line, Line::Failed { .. })) {
            true => Ok(lines),
            false => Err(format!("process {round} was replaced, but no call says so")),
        }
    }

    fn kill(&mut self) -> Result<Vec<Line>, String> {
        if let Some(status) = self.child.try_wait().map_err(failed)? {
            return Err(format!("the last process exited by itself: {status}"));
        }
        self.child.kill().map_err(failed)?;
        self.child.wait().map_err(failed)?;
        Ok(hear(&*self.said()?))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn is_opened(line: &Line) -> bool {
    let Line::Done { answer, .. } = line else {
        return false;
    };
    matches!(answer, Answer::Opened { .. })
}

/// Returns a call that is both begun and acknowledged in these lines, and that wrote something.
fn acknowledged_late(lines: &[Line]) -> Option<&str> {
    let mut begun = HashSet::new();
    for line in lines {
        match line {
            Line::Tried { act, .. } if *act == Act::Close => {}
            Line::Tried { call, .. } => {
                begun.insert(call);
            }
            Line::Done { call, answer } if begun.contains(call) && wrote(answer) => {
                return Some(call);
            }
            _ => {}
        }
    }
    None
}

fn wrote(answer: &Answer) -> bool {
    // A call that finds nothing to do may return this without a write.
    let nothing = matches!(
        answer,
        Answer::Claimed { key: None } | Answer::Already | Answer::Requested
    );
    !nothing
}
