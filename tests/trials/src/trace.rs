//! The calls of a process that change its files, as recorded by strace.
//!
//! Contains [`Trace`], and the code that runs strace and parses its output. The calls of all
//! threads are in the order in which they began and ended. An unreadable line is an error, and is
//! never skipped.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::child;
use crate::plan::Plan;

/// Every call that changes files or that determines which file a number denotes.
const CALLS: &str = "trace=open,openat,openat2,creat,mkdir,mkdirat,write,pwrite64,writev,pwritev,\
    pwritev2,ftruncate,truncate,fallocate,rename,renameat,renameat2,unlink,unlinkat,rmdir,link,\
    linkat,symlink,symlinkat,fsync,fdatasync,sync,syncfs,sync_file_range,close,dup,dup2,dup3,\
    fcntl,copy_file_range,sendfile,splice,msync";
/// The maximum number of bytes of a text or write that strace prints. It is never reached.
const TEXT_BYTES_MAX: &str = "67108864";
/// What strace prints instead of the rest of a call that has not ended.
const UNFINISHED: &[u8] = b" <unfinished ...>";
/// What strace prints instead of the rest of a call if the thread was killed and strace will not
/// see it again.
const DETACHED: &[u8] = b" <detached ...>";
/// The beginning of the value that strace prints for a call if the thread was killed and the value
/// could not be read. The number that follows is not an error. A real error has a name.
const UNKNOWN_VALUE: &[u8] = b"-1 (errno ";
/// The number of the signal SIGKILL.
const KILL: i32 = 9;
/// How long a traced workload may take.
const RUN_MOST: Duration = Duration::from_secs(120);

/// A process's calls.
#[derive(Debug, Default)]
pub struct Trace {
    pub calls: Vec<Call>,
    /// For each call, whether it ended.
    pub ended: Vec<bool>,
    /// The events in the order in which strace recorded them.
    pub events: Vec<Event>,
}

/// An event: the number of a call that began, or of a call that ended with this value.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    Began(usize),
    Ended(usize, i64),
}

/// A path as it was given, relative to the directory with this number.
pub type At = (Option<i64>, String);

/// A call. Calls that change nothing are not distinguished.
#[derive(Clone, Debug)]
pub enum Call {
    Open {
        path: At,
        creates: bool,
        cuts: bool,
        appends: bool,
    },
    MakeDir(At),
    Write {
        file: i64,
        at: Option<u64>,
        data: Arc<[u8]>,
    },
    SetLen {
        file: i64,
        len: u64,
    },
    Rename(At, At),
    Remove(At),
    Sync(i64),
    Close(i64),
    Dup {
        from: i64,
    },
    Nothing,
    /// A call that changes files in a way that is not modeled. It must never end.
    Unknown,
}

/// Checks whether strace is available and permitted.
///
/// # Errors
/// The reason why it is not.
pub fn available() -> Result<(), String> {
    let tried = Command::new("strace")
        .args(["-f", "--seccomp-bpf", "-o", "/dev/null", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output();
    match tried {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err("strace is not installed".to_owned()),
        Err(e) => Err(format!("cannot start strace: {e}")),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr);
            Err(format!("strace is not permitted here: {}", why.trim()))
        }
    }
}

/// What happens to a process, apart from its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    None,
    /// The n-th sync of a file fails in each thread.
    SyncFails(u64),
    /// The process is killed when a thread makes the n-th call of this kind, before the call takes
    /// effect.
    KilledAt(&'static str, u64),
}

/// Runs a plan under strace.
///
/// # Errors
/// The workload failed or hung, or its trace cannot be read.
pub fn record(plan: &Plan, into: &Path, fate: Fate) -> Result<Trace, String> {
    let failed = |e: io::Error| format!("cannot start the workload: {e}");
    let workload = child::command(plan).map_err(failed)?;
    let mut strace = Command::new("strace");
    strace.args(["-f", "--seccomp-bpf", "-qq", "-xx"]);
    strace
        .args(["-s", TEXT_BYTES_MAX, "-e", CALLS, "-o"])
        .arg(into);
    let inject = match fate {
        Fate::None => None,
        Fate::SyncFails(n) => Some(format!("inject=fdatasync:error=EIO:when={n}")),
        Fate::KilledAt(call, n) => Some(format!("inject={call}:signal=KILL:when={n}")),
    };
    if let Some(inject) = inject {
        strace.arg("-e").arg(inject);
    }
    strace.arg(workload.get_program()).args(workload.get_args());
    let mut traced = strace.stdout(Stdio::null()).spawn().map_err(failed)?;
    let status = child::wait(&mut traced, RUN_MOST)?;
    let killed = matches!(fate, Fate::KilledAt(..)) && status.signal() == Some(KILL);
    if !status.success() && !killed {
        return Err(format!("the workload exited with {status}"));
    }
    let text = fs::read(into).map_err(|e| format!("the trace: {e}"))?;
    Trace::parse(&text)
}

impl Trace {
    fn parse(text: &[u8]) -> Result<Trace, String> {
        let mut trace = Trace::default();
        // For each thread, the call that has not ended.
        let mut unfinished: HashMap<&[u8], usize> = HashMap::new();
        for line in text.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
            trace
                .line(line, &mut unfinished)
                .ok_or_else(|| format!("unexpected line in the trace: {}", excerpt(line)))?;
        }
        trace.ended = vec![false; trace.calls.len()];
        for event in &trace.events {
            if let Event::Ended(call, _) = *event {
                trace.ended[call] = true;
            }
        }
        Ok(trace)
    }

    fn line<'t>(
        &mut self,
        line: &'t [u8],
        unfinished: &mut HashMap<&'t [u8], usize>,
    ) -> Option<()> {
        let space = line.iter().position(|&b| b == b' ')?;
        let (thread, rest) = (&line[..space], line[space..].trim_ascii());
        if rest.starts_with(b"+++") || rest.starts_with(b"---") {
            return Some(());
        }
        if rest.starts_with(b"<... ") {
            let call = unfinished.remove(thread)?;
            if rest.ends_with(DETACHED) {
                return Some(());
            }
            // The rest consists of arguments that the kernel filled in.
            if let Some(value) = returned(rest) {
                self.events.push(Event::Ended(call, value));
            }
            return Some(());
        }
        let open = rest.iter().position(|&b| b == b'(')?;
        let name = std::str::from_utf8(&rest[..open]).ok()?;
        let number = self.calls.len();
        let cut_off = [UNFINISHED, DETACHED]
            .into_iter()
            .find_map(|why| rest.strip_suffix(why));
        let is_unfinished = cut_off.is_some();
        let end = match cut_off {
            Some(rest) => rest.len(),
            // The text after the value may contain parentheses, so search before it.
            None => rest[..value_at(rest)?].iter().rposition(|&b| b == b')')?,
        };
        let arguments = &rest[open + 1..end];
        // The suffix is removed even if the process ended during the call.
        let arguments = split(arguments.strip_suffix(UNFINISHED).unwrap_or(arguments));
        let value = returned(rest);
        let call = match Call::parse(name, &arguments) {
            Some(call) => call,
            // If a process is killed during a call, strace can show anything.
            None if is_unfinished || value.is_none() => Call::Unknown,
            None => return None,
        };
        self.calls.push(call);
        self.events.push(Event::Began(number));
        if is_unfinished {
            // If the thread is never seen again, the call remains without an end. It may have had
            // an effect.
            unfinished.insert(thread, number);
        } else if let Some(value) = value {
            self.events.push(Event::Ended(number, value));
        }
        Some(())
    }
}

impl Call {
    fn parse(name: &str, arguments: &[&[u8]]) -> Option<Call> {
        let argument = |n: usize| arguments.get(n).copied();
        let number = |n: usize| number(argument(n)?);
        let path = |n: usize| Some((None, String::from_utf8(text(argument(n)?)?).ok()?));
        let path_at = |n: usize| {
            let directory = argument(n)?;
            let directory = match directory {
                b"AT_FDCWD" => None,
                directory => Some(self::number(directory)?),
            };
            Some((directory, path(n + 1)?.1))
        };
        let open = |path: At, flags: &[u8]| {
            let has = |flag: &str| String::from_utf8_lossy(flags).contains(flag);
            Call::Open {
                path,
                creates: has("O_CREAT"),
                cuts: has("O_TRUNC"),
                appends: has("O_APPEND"),
            }
        };
        Some(match name {
            "open" => open(path(0)?, argument(1)?),
            "openat" => open(path_at(0)?, argument(2)?),
            "mkdir" => Call::MakeDir(path(0)?),
            "mkdirat" => Call::MakeDir(path_at(0)?),
            "write" => Call::Write {
                file: number(0)?,
                at: None,
                data: text(argument(1)?)?.into(),
            },
            "pwrite64" => Call::Write {
                file: number(0)?,
                at: Some(u64::try_from(number(3)?).ok()?),
                data: text(argument(1)?)?.into(),
            },
            "ftruncate" => Call::SetLen {
                file: number(0)?,
                len: u64::try_from(number(1)?).ok()?,
            },
            "rename" => Call::Rename(path(0)?, path(1)?),
            "renameat" | "renameat2" => Call::Rename(path_at(0)?, path_at(2)?),
            "unlink" | "rmdir" => Call::Remove(path(0)?),
            "unlinkat" => Call::Remove(path_at(0)?),
            "fsync" | "fdatasync" => Call::Sync(number(0)?),
            "close" => Call::Close(number(0)?),
            "dup" | "dup2" | "dup3" => Call::Dup { from: number(0)? },
            "fcntl" if argument(1)?.starts_with(b"F_DUPFD") => Call::Dup { from: number(0)? },
            "fcntl" => Call::Nothing,
            // This call writes data, but guarantees nothing.
            "sync_file_range" => Call::Nothing,
            // Any other call would change files in a way that is not modeled.
            _ => return None,
        })
    }
}

/// Returns the value after the last ` = `, if it is a value that the call returned.
fn returned(line: &[u8]) -> Option<i64> {
    let value = &line[value_at(line)? + 3..];
    if value.starts_with(UNKNOWN_VALUE) {
        return None;
    }
    number(value.split(|&b| b == b' ').next()?)
}

fn value_at(line: &[u8]) -> Option<usize> {
    line.windows(3).rposition(|three| three == b" = ")
}

fn number(word: &[u8]) -> Option<i64> {
    std::str::from_utf8(word).ok()?.trim().parse().ok()
}

/// Splits arguments at commas. Texts contain none, because they are in hexadecimal.
fn split(arguments: &[u8]) -> Vec<&[u8]> {
    arguments
        .split(|&b| b == b',')
        .map(<[u8]>::trim_ascii)
        .collect()
}

/// Returns the bytes of a text such as `"\x61\x62"`. `None` if the text is truncated or has another
/// form.
fn text(word: &[u8]) -> Option<Vec<u8>> {
    let inner = word.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if inner.len() % 4 != 0 {
        return None;
    }
    let digit = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
    let byte = |four: &[u8]| match *four {
        [b'\\', b'x', high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    inner.chunks(4).map(byte).collect()
}

fn excerpt(line: &[u8]) -> String {
    let (head, tail) = (line.len().min(100), line.len().saturating_sub(100));
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{} .. {}", text(&line[..head]), text(&line[tail..]))
}

#[cfg(test)]
mod tests {
    use super::{Call, Event, Trace};

    /// Returns the calls of a trace, and whether each of them ended.
    fn calls(text: &str) -> Vec<(Call, bool)> {
        let trace = Trace::parse(text.as_bytes()).unwrap();
        trace.calls.into_iter().zip(trace.ended).collect()
    }

    #[test]
    fn a_call_ends_only_with_a_value_that_it_returned() {
        let unlink = r#"1 unlinkat(4, "\x61", 0"#;
        let resumed = "1 <... unlinkat resumed>)";
        for (text, ended) in [
            (format!("{unlink}) = 0"), true),
            (
                format!("{unlink}) = -1 ENOENT (No such file or directory)"),
                true,
            ),
            (format!("{unlink} <unfinished ...>\n{resumed} = 0"), true),
            (format!("{unlink}) = ?"), false),
            (format!("{unlink} <unfinished ...>) = ?"), false),
            (format!("{unlink} <unfinished ...>"), false),
            (format!("{unlink} <detached ...>"), false),
            (
                format!("{unlink} <unfinished ...>\n1 <... unlinkat resumed> <detached ...>"),
                false,
            ),
            (
                format!("{unlink}) = -1 (errno 18446744073709551615)"),
                false,
            ),
            (
                format!("{unlink}) = -1 (errno 18446744073709551353)"),
                false,
            ),
        ] {
            let calls = calls(&format!("{text}\n1 +++ killed by SIGKILL +++\n"));
            assert!(
                matches!(&calls[..], [(Call::Remove(_), of_it)] if *of_it == ended),
                "{text}"
            );
        }
    }

    #[test]
    fn calls_of_threads_are_told_apart() {
        let trace = Trace::parse(
            b"1 fsync(3 <unfinished ...>\n2 fsync(4 <unfinished ...>\n1 <... fsync resumed>) = 0\n\
              2 <... fsync resumed>) = -1 EIO (Input/output error) (INJECTED)\n",
        );
        let events = trace.unwrap().events;
        let expected = [
            Event::Began(0),
            Event::Began(1),
            Event::Ended(0, 0),
            Event::Ended(1, -1),
        ];
        assert_eq!(format!("{events:?}"), format!("{expected:?}"));
    }
}
