//! Two processes with directories of their own take the replica from each other, under load. The
//! previous writer may be stopped or disconnected while this happens, or its requests may be late.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use jobstore_trials::child::{self, command, hear};
use jobstore_trials::line::{Act, Answer, Line};
use jobstore_trials::plan::Plan;
use jobstore_trials::random::Random;
use rustix::process::{Pid, Signal, kill_process};

use crate::network::{Network, Partition};
use crate::proxy::Proxy;
use crate::trial::{Sum, Trial, failed};

/// How long an open, or the end of a process that was deposed, may take.
const MOST: Duration = Duration::from_secs(60);

/// What happens to a writer while another one takes over.
pub enum Fault {
    None,
    /// It is stopped.
    Pause,
    /// Its requests are held back.
    Delay,
    /// It cannot reach the server.
    Partition(Network),
}

impl Fault {
    /// Whether the replicas must be on an S3 server.
    pub fn needs_server(&self) -> bool {
        matches!(self, Fault::Delay | Fault::Partition(_))
    }
}

pub fn run(trial: &mut Trial, takeovers: u64, fault: &Fault, sum: &mut Sum) -> Result<(), String> {
    sum.stores += 1;
    let mut writer = Writer::start(trial, fault, 0, sum)?;
    for round in 1..=takeovers {
        work(trial, 400);
        writer.is_running()?;
        let struck = writer.strike(trial, fault)?;
        let next = Writer::start(trial, fault, round, sum)?;
        let said = writer.said()?.len();
        if matches!(fault, Fault::Pause | Fault::Partition(_)) {
            work(trial, 400);
        }
        writer.recover(struck)?;
        trial.hear(&writer.deposed(said)?)?;
        writer.late_requests_had_no_effect(&next, sum)?;
        sum.takeovers += 1;
        writer = next;
    }
    work(trial, 400);
    let dir = writer.plan.dir.clone();
    trial.hear(&writer.kill()?)?;
    sum.kills += 1;
    trial.check(&dir, sum)?;
    // Now, nothing is held back.
    match &writer.proxy {
        Some(proxy) => proxy.late().and_then(|_| trial.check(&dir, sum)),
        None => Ok(()),
    }
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
    /// If the network fails, all requests go through this.
    proxy: Option<Proxy>,
}

/// What is to be undone after a takeover.
enum Struck {
    Nothing,
    Stopped,
    Partitioned(Partition),
}

impl Writer {
    /// Starts a process, and waits until it has opened the store.
    fn start(
        trial: &mut Trial,
        fault: &Fault,
        round: u64,
        sum: &mut Sum,
    ) -> Result<Writer, String> {
        let root = trial.root.path().to_owned();
        let dir = root.join(format!("store{}", round % 2));
        if dir.exists() && trial.random.one_in(4) {
            fs::remove_dir_all(&dir).map_err(failed)?;
            sum.wiped += 1;
        }
        let mut plan = Plan {
            errors_expected: true,
            ..trial.plan(&dir, round)
        };
        let host = match fault {
            Fault::Partition(network) => Some(network.side(round).outside.as_str()),
            Fault::Delay => Some("127.0.0.1"),
            _ => None,
        };
        let holds = matches!(fault, Fault::Delay);
        let proxy = host.map(|host| before_server(trial, &mut plan, host, holds));
        let proxy = proxy.transpose()?;
        let said = root.join(format!("said-{round}"));
        let stdout = File::options().create_new(true).append(true).open(&said);
        let mut command = command(&plan).map_err(failed)?;
        if let Fault::Partition(network) = fault {
            command = network.side(round).enter(&command);
        }
        let child = command.stdout(stdout.map_err(failed)?).spawn();
        let mut writer = Writer {
            child: child.map_err(failed)?,
            plan,
            said,
            proxy,
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

    fn is_running(&mut self) -> Result<(), String> {
        match self.child.try_wait().map_err(failed)? {
            None => Ok(()),
            Some(status) => Err(format!(
                "process {} exited before it was replaced: {status}",
                self.plan.round
            )),
        }
    }

    /// Begins what happens to the process while another one takes over.
    fn strike(&self, trial: &mut Trial, fault: &Fault) -> Result<Struck, String> {
        match fault {
            Fault::None => {}
            Fault::Pause => {
                self.signal(Signal::STOP)?;
                return Ok(Struck::Stopped);
            }
            Fault::Delay => {
                self.proxy.iter().for_each(Proxy::hold_all);
                work(trial, 100);
            }
            Fault::Partition(network) => {
                let side = network.side(self.plan.round);
                let partition = side.cut(&mut trial.random)?;
                work(trial, 400);
                return Ok(Struck::Partitioned(partition));
            }
        }
        Ok(Struck::Nothing)
    }

    /// Ends it, after the takeover.
    fn recover(&self, struck: Struck) -> Result<(), String> {
        if let Some(proxy) = &self.proxy {
            proxy.client_is_replaced();
        }
        match struck {
            Struck::Nothing => {}
            Struck::Stopped => self.signal(Signal::CONT)?,
            Struck::Partitioned(partition) => partition.heal()?,
        }
        Ok(())
    }

    /// Waits until all requests of the process have reached the server. None of those that did so
    /// after the takeover may have created a chunk that another process creates, too.
    fn late_requests_had_no_effect(&self, next: &Writer, sum: &mut Sum) -> Result<(), String> {
        let (Some(proxy), Some(next)) = (&self.proxy, &next.proxy) else {
            return Ok(());
        };
        let late = proxy.late()?;
        sum.late += late.requests;
        // The next process took over with its first chunk, or with a later one. Older chunks may
        // have been removed, because a checkpoint replaces them.
        let first = next.first_chunk().unwrap_or_default();
        match late.chunks.iter().find(|chunk| **chunk >= first) {
            None => Ok(()),
            Some(chunk) => Err(format!(
                "process {} created chunk {chunk} after a takeover at chunk {first} or later",
                self.plan.round
            )),
        }
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

/// Lets the requests of a process go through a proxy with this address.
fn before_server(
    trial: &mut Trial,
    plan: &mut Plan,
    host: &str,
    holds: bool,
) -> Result<Proxy, String> {
    let url = trial.replica.strip_prefix("http://");
    let url = url.and_then(|url| url.split_once('/'));
    let (server, path) = url.ok_or("the URL must be http://HOST:PORT/BUCKET/PREFIX")?;
    let random = Random(trial.random.any());
    let proxy = Proxy::start(host, server, random, holds).map_err(failed)?;
    plan.replica = Some(format!("http://{}/{path}", proxy.address));
    Ok(proxy)
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
