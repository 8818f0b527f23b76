//! Makes each system call fail once: the first, then the second, and so on until each call has
//! failed.
//!
//! Defines which calls fail and with which errors, and the corresponding arguments of strace. The
//! n-th call is left out only if no thread makes that many calls.
//!
//! strace counts the calls of each thread separately, so in one run the n-th call of each thread
//! fails.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use jobstore_trials::directory;
use jobstore_trials::line::Line;

use crate::setting::{May, Setting};
use crate::trial::{self, Ran, Sum};

/// A kind of system call, and the errors with which it can fail.
struct Kind {
    calls: &'static [&'static str],
    errors: &'static [&'static str],
    /// The errors of a short sweep.
    ci: &'static [&'static str],
}

const KINDS: &[Kind] = &[
    Kind {
        calls: &["pwrite64"],
        errors: &["EIO", "ENOSPC", "EINTR"],
        ci: &["EIO", "ENOSPC"],
    },
    Kind {
        calls: &["write"],
        errors: &["EIO", "ENOSPC", "EINTR"],
        ci: &["EIO"],
    },
    Kind {
        calls: &["fdatasync", "fsync", "sync_file_range"],
        errors: &["EIO", "ENOSPC", "EINTR"],
        ci: &["EIO"],
    },
    Kind {
        calls: &["rename", "renameat", "mkdir", "ftruncate", "fallocate"],
        errors: &["EIO", "ENOSPC"],
        ci: &["EIO"],
    },
    Kind {
        calls: &["unlink", "unlinkat", "rmdir"],
        errors: &["EIO"],
        ci: &["EIO"],
    },
    Kind {
        calls: &["openat"],
        errors: &["EIO", "EMFILE", "ENOSPC", "EINTR"],
        ci: &["EMFILE"],
    },
];

/// After this many consecutive numbers at which no call failed, the sweep ends. One is not enough,
/// because the store's threads do not make the same number of calls in each run.
const MISSES: u64 = 3;
/// After this many runs that had to be killed, a sweep is abandoned. Each of them is a failure.
const HANGS_MAX: u32 = 5;
/// A short sweep tests each call up to this number, and then every third one.
const CI_DENSE: u64 = 24;

/// Returns the reason why strace cannot be used, if there is one.
fn missing() -> Option<String> {
    let mut tried = Command::new("strace");
    tried.args([
        "-f",
        "-qq",
        "-e",
        "inject=mkdir:error=EIO:when=1",
        "-o",
        "/dev/null",
        "true",
    ]);
    match tried.stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Err(e) => Some(format!("cannot start strace: {e}")),
        Ok(status) if !status.success() => Some(format!("strace is not allowed here: {status}")),
        Ok(_) => None,
    }
}

pub fn run(ci: bool, jobs: u64, sum: &mut Sum) {
    if let Some(why) = missing() {
        sum.skipped
            .push(format!("the sweep of failing calls: {why}"));
        return;
    }
    if let Err(what) = sweep_all(ci, jobs, sum) {
        sum.wrong(what);
    }
}

/// A sweep of one system call and one error, with one store.
struct Sweep<'s> {
    call: &'static str,
    error: &'static str,
    /// The store to begin with. The next two fields are its lines and its name.
    base: Option<&'s Path>,
    said: &'s [Line],
    from: &'static str,
    ci: bool,
}

/// The result of a sweep.
#[derive(Default)]
struct Swept {
    numbers: u64,
    in_log: u64,
    in_index: u64,
    elsewhere: u64,
}

fn sweep_all(ci: bool, jobs: u64, sum: &mut Sum) -> Result<(), String> {
    let root = directory::fast().map_err(|e| e.to_string())?;
    let base = root.path().join("base");
    let said = trial::make_base(&base)?;
    let mut sweeps = Vec::new();
    for kind in KINDS {
        for &call in kind.calls {
            for &error in if ci { kind.ci } else { kind.errors } {
                let (killed, nothing) =
                    ((Some(&*base), &said[..], "killed"), (None, &[][..], "none"));
                let stores = if ci {
                    vec![killed]
                } else {
                    vec![killed, nothing]
                };
                for (base, said, from) in stores {
                    sweeps.push(Sweep {
                        call,
                        error,
                        base,
                        said,
                        from,
                        ci,
                    });
                }
            }
        }
    }
    let next = AtomicU64::new(0);
    let all = Mutex::new((std::mem::take(sum), BTreeMap::new()));
    std::thread::scope(|scope| {
        for job in 0..jobs {
            let (next, all, sweeps, root) = (&next, &all, &sweeps, root.path());
            scope.spawn(move || {
                while let Some(sweep) = sweeps.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    let mut part = Sum::default();
                    let swept = sweep.run(&root.join(format!("work{job}")), &mut part);
                    let mut all = all
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    match swept {
                        Ok(swept) => {
                            all.1.insert((sweep.call, sweep.error, sweep.from), swept);
                        }
                        Err(what) => part.wrong(what),
                    }
                    all.0.add(part);
                }
            });
        }
    });
    let (done, table) = all.into_inner().map_err(|e| e.to_string())?;
    *sum = done;
    println!(
        "{:<16} {:<8} {:<7} {:>8} {:>9} {:>9} {:>10}",
        "call", "error", "store", "numbers", "in log", "in index", "elsewhere"
    );
    for ((call, error, from), swept) in &table {
        println!(
            "{call:<16} {error:<8} {from:<7} {:>8} {:>9} {:>9} {:>10}",
            swept.numbers, swept.in_log, swept.in_index, swept.elsewhere
        );
    }
    if ci {
        println!(
            "omitted by --ci: all but one or two errors of each call, a new store, two of three \
             calls after the first {CI_DENSE}"
        );
    }
    let hits: u64 = table.values().map(|swept| swept.in_log).sum();
    match hits {
        0 => Err("no call on a log file ever failed".to_owned()),
        _ => Ok(()),
    }
}

/// Returns the lines of strace about injected failures. If a call is interleaved with another
/// thread's, it takes two lines. In that case, returns the first one, which names the file.
fn injected(text: &str) -> Vec<&str> {
    let thread = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    let (mut begun, mut hits) = (BTreeMap::new(), Vec::new());
    for line in text.lines() {
        let before = match line.contains("resumed>") {
            true => begun.remove(&thread(line)),
            false => None,
        };
        if line.contains("<unfinished") {
            begun.insert(thread(line), line);
        } else if line.contains("(INJECTED)") {
            hits.push(before.unwrap_or(line));
        }
    }
    hits
}

/// Returns whether a call names a file of the index through the handle of the store's directory.
fn is_by_handle(line: &str) -> bool {
    line.contains("\"/proc/self/fd/") && line.contains(&format!("/{}", directory::INDEX))
}

/// Returns whether two slices of a text are at the same position in it. Comparing their contents is
/// not enough, because lines repeat.
fn is_same(line: &str, other: &str) -> bool {
    std::ptr::eq(line.as_ptr(), other.as_ptr())
}

/// Returns whether the thread continued in the reserve. If so, the failed call concerned a segment
/// that was only being preallocated and contained no data, so no caller needed an error.
fn took_the_reserve(text: &str, failed: &str) -> bool {
    let thread = failed.split(' ').next();
    let later = text
        .lines()
        .skip_while(|line| !is_same(line, failed))
        .skip(1);
    let mut renames =
        later.filter(|line| line.split(' ').next() == thread && line.contains("rename"));
    renames
        .next()
        .is_some_and(|line| line.contains("\"RESERVE\""))
}

/// Returns whether an open could not overwrite with zeros what follows the end of the log, and
/// began another segment instead of continuing there.
fn began_another(text: &str, failed: &str) -> bool {
    let thread = failed.split(' ').next();
    let zeroed = failed.contains("pwrite64(") && failed.contains(".segment>, \"\\0\\0\\0\\0");
    let later = text
        .lines()
        .skip_while(|line| !is_same(line, failed))
        .filter(|line| line.split(' ').next() == thread);
    let mut created = later.filter(|line| line.contains("O_CREAT") || line.contains("rename"));
    // Reserves are created before a segment.
    let is_reserve = |line: &&str| line.contains("\"RESERVE") || line.contains("\"SCRATCH");
    let next = created.find(|line| !is_reserve(line));
    zeroed && next.is_some_and(|line| line.contains("openat(") && line.contains(".segment\""))
}

/// Returns whether the thread was creating the reserve. Nothing depends on the reserve until it is
/// taken.
fn made_the_reserve(text: &str, failed: &str) -> bool {
    let thread = failed.split(' ').next();
    let before = text.lines().take_while(|line| !is_same(line, failed));
    let own = before.filter(|line| line.split(' ').next() == thread);
    let created = own
        .filter(|line| line.contains("openat(") && line.contains("O_CREAT"))
        .last();
    created.is_some_and(|line| {
        line.contains("\"RESERVE.aside\"") || line.contains("\"SCRATCH.aside\"")
    })
}

/// Returns whether the call filled the file that is preallocated for the mark of a clean close.
/// Without that file, the close creates another one, or reports that it cannot.
fn prepared_the_mark(failed: &str) -> bool {
    failed.contains("pwrite64(") && failed.contains("/CLOSING>, \"\\0\\0\\0\\0")
}

impl Sweep<'_> {
    /// Checks that a caller whose own thread failed to write or sync got an error.
    fn check_told(&self, text: &str, log_calls: &[&str], ran: &Ran) -> Result<(), String> {
        let durable = ["pwrite64", "write", "fdatasync", "fsync"].contains(&self.call);
        // An interrupted call is retried.
        if !durable || self.error == "EINTR" {
            return Ok(());
        }
        let caller = text.split(' ').next().unwrap_or_default();
        let own = |line: &&&str| line.split(' ').next() == Some(caller);
        let told = ran
            .lines
            .iter()
            .any(|line| matches!(line, Line::Failed { .. }));
        let needless = |line: &str| {
            took_the_reserve(text, line)
                || made_the_reserve(text, line)
                || began_another(text, line)
                || prepared_the_mark(line)
        };
        let untold = |line: &&&str| own(line) && !needless(line);
        match log_calls.iter().find(untold) {
            Some(line) if !told => Err(format!("no caller got an error for {line}")),
            _ => Ok(()),
        }
    }

    fn run(&self, work: &Path, sum: &mut Sum) -> Result<Swept, String> {
        let failed = |e: std::io::Error| format!("files of the trial: {e}");
        let mut swept = Swept::default();
        let (mut number, mut misses, mut hangs) = (1, 0, 0);
        while misses < MISSES {
            std::fs::remove_dir_all(work).ok();
            let dir = work.join("store");
            std::fs::create_dir_all(work).map_err(failed)?;
            if let Some(base) = self.base {
                directory::copy(base, &dir).map_err(failed)?;
            }
            let log = work.join("strace");
            let before = [
                "strace",
                "-f",
                "-qq",
                "--seccomp-bpf",
                "-y",
                "-e",
                // The calls that create or take the reserve are needed as well.
                &format!("trace={},openat,/^rename", self.call),
                "-e",
                &format!("inject={}:error={}:when={number}", self.call, self.error),
                "-o",
                &log.to_string_lossy(),
            ]
            .map(str::to_owned);
            let may = match self.error {
                "ENOSPC" => May::DiskFull,
                "EMFILE" | "ENFILE" => May::Handles,
                _ => May::Io,
            };
            let setting = Setting::new(&dir, 9, may);
            let name = format!("{} {} of {} ({})", self.error, number, self.call, self.from);
            let ran = match trial::run(&setting, &before) {
                Ok(ran) => ran,
                Err(e) => {
                    sum.wrong(format!("{name}: {e}"));
                    number += 1;
                    hangs += 1;
                    if hangs == HANGS_MAX {
                        return Ok(swept);
                    }
                    continue;
                }
            };
            let text = std::fs::read_to_string(&log).map_err(failed)?;
            let hits = injected(&text);
            let store = dir.to_string_lossy();
            let (index, log_calls): (Vec<&str>, Vec<&str>) = hits
                .iter()
                .filter(|line| line.contains(&*store) || is_by_handle(line))
                .partition(|line| {
                    line.contains(&format!("{store}/{}", directory::INDEX)) || is_by_handle(line)
                });
            let elsewhere = hits.len() - index.len() - log_calls.len();
            swept.in_index += index.len() as u64;
            swept.in_log += log_calls.len() as u64;
            swept.elsewhere += elsewhere as u64;
            sum.runs += 1;
            sum.hit += u64::from(!hits.is_empty());
            sum.calls_failed += hits.len() as u64;
            if hits.is_empty() {
                misses += 1;
            } else {
                (misses, swept.numbers) = (0, swept.numbers + 1);
            }
            // A process that cannot even be loaded has printed nothing.
            let unborn = elsewhere > 0 && ran.lines.is_empty() && !ran.status.success();
            let checked = match unborn {
                true => Ok(()),
                false => trial::check(&dir, self.said, &ran, None, sum)
                    .and_then(|()| self.check_told(&text, &log_calls, &ran)),
            };
            if let Err(what) = checked {
                sum.wrong(format!(
                    "{name}: {what}; failed were {log_calls:?} {index:?}"
                ));
            }
            number += match self.ci && number >= CI_DENSE {
                true => 3,
                false => 1,
            };
        }
        Ok(swept)
    }
}
