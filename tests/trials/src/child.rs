//! A workload in a child process.
//!
//! Starts the workload with its plan, reads its output, and kills it. A line is written in one
//! call, so it is read entirely or not at all. No wait is unbounded.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::line::Line;
use crate::plan::Plan;
use crate::workload;

/// The first argument of a child.
pub const WORK: &str = "work";

/// If this process is a child process, runs its workload. Must be called first.
#[must_use]
pub fn be_child() -> Option<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().map(String::as_str) != Some(WORK) {
        return None;
    }
    Some(work(&args[1..]).map_or_else(
        |what| {
            eprintln!("the workload failed: {what}");
            ExitCode::from(3)
        },
        |()| ExitCode::SUCCESS,
    ))
}

fn work(args: &[String]) -> Result<(), String> {
    let plan = Plan::from_args(args).ok_or("the arguments are no plan")?;
    let stdout = io::stdout().as_fd().try_clone_to_owned();
    let stdout = File::from(stdout.map_err(|e| e.to_string())?);
    workload::run(&plan, &|line| {
        // If nobody reads the line, the parent has exited, and this process exits, too.
        let text = format!("{line}\n");
        if (&stdout).write_all(text.as_bytes()).is_err() {
            std::process::exit(4);
        }
    })
}

/// Returns the command that executes a plan with this program.
///
/// # Errors
/// The program's path is unknown.
pub fn command(plan: &Plan) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(WORK).args(plan.to_args());
    Ok(command)
}

/// A running child.
pub struct Working {
    child: Child,
    lines: Receiver<Vec<Line>>,
}

impl Working {
    /// Starts a child.
    ///
    /// # Errors
    /// Any error of the file system or of the process.
    pub fn start(plan: &Plan) -> io::Result<Working> {
        let mut child = command(plan)?.stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let (give, lines) = channel();
        // This thread reads all the time, so that the child never waits for the pipe.
        std::thread::spawn(move || give.send(hear(stdout)));
        Ok(Working { child, lines })
    }

    /// Kills the child after `wait`, and returns its lines.
    ///
    /// # Errors
    /// The child exited by itself, or it cannot be killed.
    pub fn kill_after(mut self, wait: Duration) -> Result<Vec<Line>, String> {
        std::thread::sleep(wait);
        let early = self.child.try_wait().map_err(|e| e.to_string())?;
        self.child.kill().ok();
        self.child.wait().map_err(|e| e.to_string())?;
        if let Some(status) = early {
            return Err(format!("the child exited by itself: {status}"));
        }
        self.said()
    }

    /// Waits, for at most `most`, until the child exits by itself.
    ///
    /// # Errors
    /// The child did not exit, or not successfully.
    pub fn wait(mut self, most: Duration) -> Result<Vec<Line>, String> {
        let status = wait(&mut self.child, most)?;
        match status.success() {
            true => self.said(),
            false => Err(format!("the child exited with {status}")),
        }
    }

    fn said(self) -> Result<Vec<Line>, String> {
        let said = self.lines.recv_timeout(Duration::from_secs(20));
        said.map_err(|_| "what the child said does not end".to_owned())
    }
}

/// Waits for a process for at most `most`. Then kills it.
///
/// # Errors
/// The process did not exit in time.
pub fn wait(child: &mut Child, most: Duration) -> Result<std::process::ExitStatus, String> {
    let deadline = Instant::now() + most;
    loop {
        if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
            return Ok(status);
        }
        if Instant::now() > deadline {
            child.kill().ok();
            child.wait().ok();
            return Err(format!("a process hangs: it did not exit within {most:?}"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Returns the lines that a child wrote.
pub fn hear(from: impl io::Read) -> Vec<Line> {
    let (mut lines, mut bytes) = (Vec::new(), Vec::new());
    let mut from = BufReader::new(from);
    while from.read_until(b'\n', &mut bytes).is_ok_and(|n| n > 0) {
        // A line without a line feed was truncated by the kill.
        if bytes.pop() == Some(b'\n') {
            let text = String::from_utf8_lossy(&bytes);
            lines.extend(Line::parse(&text));
        }
        bytes.clear();
    }
    lines
}

/// Runs a function that must not hang. If it hangs, reports this and exits the process, because a
/// thread cannot be killed.
pub fn within<T>(what: &str, most: Duration, act: impl FnOnce() -> T) -> T {
    let (done, ended) = channel::<()>();
    let said = what.to_owned();
    let watch = std::thread::spawn(move || {
        let waited = ended.recv_timeout(most);
        if waited == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            println!("FAILED: {said} hangs: it did not finish within {most:?}");
            std::process::exit(1);
        }
    });
    let value = act();
    drop(done);
    watch.join().ok();
    value
}
