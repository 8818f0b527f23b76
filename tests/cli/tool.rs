//! Runs the program as a process, with a store and a terminal.
//!
//! A test sees what a shell would see: output, errors, exit code, and, on a terminal, the screen.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jobstore::{Body, Graph, JobStore, Outcome, Recovery, Request};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tempfile::TempDir;

/// A directory for a test, with a store in it.
pub struct Place {
    root: TempDir,
}

/// The result of a run of the program.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// The output of a successful run.
    #[track_caller]
    pub fn fine(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    /// The message of a failed run.
    #[track_caller]
    pub fn said(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:?}");
        assert!(!self.err.contains("panicked"), "{self:?}");
        self.err
    }
}

impl Place {
    pub fn new() -> Place {
        Place {
            root: tempfile::tempdir().unwrap(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// Opens the store, runs a function on a graph of it, and closes it.
    pub fn with<T>(&self, work: impl FnOnce(&Graph) -> T) -> T {
        let store = open(&self.store());
        let done = work(&store.get_or_create_graph("10001", "movie").unwrap());
        store.close().unwrap();
        done
    }

    /// A store with some jobs of every kind, with the ids in `ids`.
    pub fn filled() -> Place {
        let place = Place::new();
        place.with(|movie| {
            for (n, id) in ["done", "failed", "hangs", "stopping", "waits"]
                .iter()
                .enumerate()
            {
                movie
                    .submit_as(id, request("import_graph", n as u64))
                    .unwrap();
            }
            movie
                .claim("done")
                .unwrap()
                .complete(Outcome::succeeded())
                .unwrap();
            let outcome = Outcome::failed("GES.8012", "no such vertex")
                .with_detail_json(r#"{"vertex": 7}"#)
                .unwrap();
            movie.claim("failed").unwrap().complete(outcome).unwrap();
            movie.start("hangs").unwrap();
            movie.start("stopping").unwrap();
            movie.cancel("stopping").unwrap();
            movie
                .submit_all((0..200).map(|n| request("clear_graph", n)))
                .unwrap();
        });
        place
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jobstore"));
        command
            .args(arguments)
            .current_dir(self.root.path())
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR_FORCE")
            .env("TERM", "xterm-256color")
            .env("TZ", "UTC")
            .env("JOBSTORE_DATA", self.store());
        command
    }

    /// Runs the program with its output in pipes.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.fed(arguments, b"")
    }

    /// The same with standard input.
    pub fn fed(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        // A program that does not read its input may have exited already.
        let feeder = std::thread::spawn(move || stdin.write_all(&input).ok());
        let output = child.wait_with_output().unwrap();
        feeder.join().unwrap();
        Ran {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs the program on a terminal of this size.
    pub fn on_terminal(&self, arguments: &[&str], columns: u16) -> Screen {
        self.typed(self.command(arguments), columns, "")
    }

    /// The same, with typed input.
    pub fn typed(&self, command: Command, columns: u16, typed: &str) -> Screen {
        self.run_on_terminal(command, columns, typed, |_| {})
    }

    /// The same; `started` receives the process.
    pub fn run_on_terminal(
        &self,
        mut command: Command,
        columns: u16,
        typed: &str,
        started: impl FnOnce(u32),
    ) -> Screen {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let rows = 40;
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let noctty = rustix::fs::OFlags::NOCTTY.bits() as i32;
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(noctty);
        let slave = options.open(name.to_str().unwrap()).unwrap();
        tcsetwinsize(&slave, size).unwrap();
        command
            .stdin(slave.try_clone().unwrap())
            .stdout(slave.try_clone().unwrap())
            .stderr(slave);
        let mut child = command.spawn().unwrap();
        started(child.id());
        // The command still has the other side of the terminal open.
        drop(command);
        let mut master = std::fs::File::from(master);
        master.write_all(typed.as_bytes()).unwrap();
        let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
        // Once the other side is closed everywhere, Linux returns EIO.
        while let Ok(some @ 1..) = master.read(&mut piece) {
            bytes.extend_from_slice(&piece[..some]);
        }
        // A process that was ended by a signal has no code.
        let code = child.wait().unwrap().code().unwrap_or(-1);
        let mut parser = vt100::Parser::new(rows, columns, 0);
        parser.process(&bytes);
        Screen {
            code,
            bytes: String::from_utf8_lossy(&bytes).into_owned(),
            parser,
        }
    }
}

/// The terminal's screen after a run.
pub struct Screen {
    pub code: i32,
    /// Everything that was written to it.
    pub bytes: String,
    parser: vt100::Parser,
}

impl Screen {
    /// Its lines, without empty ones at the end.
    pub fn lines(&self) -> Vec<String> {
        let screen = self.parser.screen();
        let (_, columns) = screen.size();
        let mut lines: Vec<String> = screen.rows(0, columns).collect();
        while lines.last().is_some_and(|line| line.trim().is_empty()) {
            lines.pop();
        }
        lines
    }

    /// The color of a word on it.
    #[track_caller]
    pub fn colour_of(&self, word: &str) -> vt100::Color {
        let lines = self.lines();
        let found = lines.iter().enumerate().find_map(|(row, line)| {
            let at = line.find(word)?;
            Some((row, line[..at].chars().count()))
        });
        let (row, column) = found.unwrap_or_else(|| panic!("{word} is not on {lines:#?}"));
        let cell = self.parser.screen().cell(row as u16, column as u16);
        cell.unwrap().fgcolor()
    }
}

/// A store as this program opens it.
pub fn open(dir: &Path) -> JobStore {
    JobStore::options()
        .recovery(Recovery::Leave)
        .open(dir)
        .unwrap()
}

pub fn request(command: &str, n: u64) -> Request {
    let url = format!("/ges/v1.0/10001/graphs/movie/action?action_id={command}");
    let body = Body::from_json(format!(r#"{{"n": {n}, "alpha": 0.00001}}"#)).unwrap();
    Request::new(command, url, body).unwrap()
}
