// Log lines, passed to the engine on a thread of their own.

use std::ffi::c_void;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use jobstore::Error;
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use crate::call::{call, given, invalid};
use crate::callback::User;
use crate::error::jobstore_error;
use crate::text::jobstore_text;

/// Receives a log line. The levels are 1 (error), 2 (warning), 3 (info), 4 (debug), and 5 (trace).
/// It is called on a thread of its own, one line after another. The line is valid during the call.
pub type jobstore_log_fn =
    Option<extern "C" fn(user: *mut c_void, level: i32, line: jobstore_text)>;

/// How many lines wait for the callback. If it is too slow, further lines are discarded.
const LINES: usize = 1024;

/// Passes the log lines of all stores of this process to a callback, up to a level: `error`, `warn`,
/// `info`, `debug`, or `trace`. It can be set once per process, and stays set until the process ends.
/// Lines never contain the body of a request. Without this call, nothing is logged.
#[unsafe(no_mangle)]
pub extern "C" fn jobstore_set_log(
    level: jobstore_text,
    log: jobstore_log_fn,
    user: *mut c_void,
    error: Option<&mut MaybeUninit<*mut jobstore_error>>,
) -> i32 {
    let user = User(user);
    call(error, || {
        let (word, log) = (level.read("level")?, given(log, "log")?);
        let level = match word {
            "error" => LevelFilter::ERROR,
            "warn" => LevelFilter::WARN,
            "info" => LevelFilter::INFO,
            "debug" => LevelFilter::DEBUG,
            "trace" => LevelFilter::TRACE,
            _ => {
                let problem = "invalid log level; use error, warn, info, debug, or trace";
                return Err(invalid(problem.to_owned()));
            }
        };
        static IS_SET: AtomicBool = AtomicBool::new(false);
        if IS_SET.swap(true, Ordering::SeqCst) {
            let what = "the log callback is already set; it can be set once per process";
            return Err(Error::InvalidUse { what }.into());
        }
        let (lines, received) = sync_channel(LINES);
        let name = "jobstore-log".to_owned();
        let pass = move || pass_lines(&received, log, user);
        thread::Builder::new()
            .name(name)
            .spawn(pass)
            .map_err(|e| Error::Io {
                operation: "start a thread for",
                path: "the log".into(),
                kind: e.kind(),
                message: e.to_string().into(),
            })?;
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .with_level(false)
            .without_time()
            .with_writer(Lines(lines))
            .finish();
        let what = "this process already has a global tracing subscriber";
        tracing::subscriber::set_global_default(subscriber)
            .map_err(|_| Error::InvalidUse { what }.into())
    })
}

fn pass_lines(
    received: &Receiver<(i32, String)>,
    log: extern "C" fn(*mut c_void, i32, jobstore_text),
    user: User,
) {
    for (level, line) in received {
        log(user.0, level, jobstore_text::of(line.trim_end()));
    }
}

/// Makes a writer for each line.
struct Lines(SyncSender<(i32, String)>);

/// A line that is passed on when it is complete.
struct Line<'a> {
    lines: &'a Lines,
    level: i32,
    text: Vec<u8>,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        self.line(3)
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line<'a> {
        self.line(match *meta.level() {
            Level::ERROR => 1,
            Level::WARN => 2,
            Level::INFO => 3,
            Level::DEBUG => 4,
            Level::TRACE => 5,
        })
    }
}

impl Lines {
    fn line(&self, level: i32) -> Line<'_> {
        Line {
            lines: self,
            level,
            text: Vec::new(),
        }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let line = String::from_utf8_lossy(&self.text).into_owned();
        // A thread of the store must not wait for the callback.
        self.lines.0.try_send((self.level, line)).ok();
    }
}
