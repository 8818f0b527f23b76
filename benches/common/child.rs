//! Runs this program as a child process, to measure its memory or to kill it.
//!
//! The environment of a child contains its task. The parent reads the child's output, and the child
//! exits when the parent does.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

/// The environment variable of a child that contains its role and the role's arguments, one per
/// line.
const ROLE: &str = "JOBSTORE_BENCH_ROLE";
const READY: &str = "ready";
const SIGKILL: i32 = 9;

/// If this process is a child, returns its role and the role's arguments.
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

/// Runs a child to completion, and returns its output.
pub fn output(role: &[&str]) -> String {
    let command = &mut command(role);
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.expect("a process");
    assert!(output.status.success(), "{role:?}: {}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

/// Starts a child that calls [`until_killed`], and kills it as soon as it makes that call.
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

/// Reports that this child can be killed, and works until it is killed.
pub fn until_killed(mut work: impl FnMut() + Send + 'static) -> ! {
    std::thread::spawn(move || {
        loop {
            work();
        }
    });
    println!("{READY}");
    // There is no input, so this ends when the parent exits.
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).ok();
    std::process::exit(1)
}
