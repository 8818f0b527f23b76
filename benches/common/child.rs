//! This program in a process of its own: to read its memory, or to kill it.
//!
//! What a child is to do stands in its environment; what it prints is for whoever
//! started it, and it ends when that one does.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

/// Set in a child: its role and what belongs to it, a line each.
const ROLE: &str = "JOBSTORE_BENCH_ROLE";
const READY: &str = "ready";
const SIGKILL: i32 = 9;

/// The role of this process and what belongs to it, if it is a child.
pub fn role() -> Option<Vec<String>> {
    let role = std::env::var(ROLE).ok()?;
    Some(role.lines().map(str::to_owned).collect())
}

fn command(role: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(std::env::args().skip(1));
    command.env(ROLE, role.join("\n"));
    command
}

/// Lets a child run to its end, and returns what it printed.
pub fn output(role: &[&str]) -> String {
    let command = &mut command(role);
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.expect("a process");
    assert!(output.status.success(), "{role:?}: {}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

/// Starts a child that calls [`until_killed`], and kills it as soon as it does.
pub fn kill_when_ready(role: &[&str]) {
    let command = &mut command(role);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = piped.spawn().expect("a process");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("its output");
    let heard = BufReader::new(stdout).read_line(&mut line);
    child.kill().expect("a kill");
    let status = child.wait().expect("its end");
    heard.expect("a line");
    assert_eq!(line.trim_end(), READY, "{role:?}: {status}");
    assert_eq!(status.signal(), Some(SIGKILL), "{role:?}: {status}");
}

/// Says that this child can be killed, and works until it is.
pub fn until_killed(mut work: impl FnMut() + Send + 'static) -> ! {
    std::thread::spawn(move || {
        loop {
            work();
        }
    });
    println!("{READY}");
    // Nothing comes in: this ends with the process that would send it.
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).ok();
    std::process::exit(1)
}
