//! Guarantee: `serve` returns what the library returns, to authorized clients, and shuts down
//! cleanly.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use jobstore::{JobQuery, JobStore};
use rustix::process::{Pid, Signal, kill_process};

use crate::net::{Answer, ask};
use crate::tool::Place;

const LIST: &str = "/ges/v1.0/10001/graphs/movie/jobs/status";

/// A running server, killed if it is not ended.
pub struct Served {
    child: Child,
    address: String,
}

impl Served {
    pub fn start(place: &Place, more: &[&str]) -> Served {
        let arguments = [&["serve", "--listen", "127.0.0.1:0"][..], more].concat();
        Served::spawn(&mut place.command(&arguments))
    }

    pub fn spawn(command: &mut Command) -> Served {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let told = child.stdout.take().unwrap();
        Served::of(child, told)
    }

    fn of(child: Child, told: impl Read) -> Served {
        let mut lines = BufReader::new(told);
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(lines.read_line(&mut line).unwrap() > 0, "no address");
            if let Some(at) = line.find("127.0.0.1:") {
                let end = line[at..].find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':');
                break line[at..at + end.unwrap_or(line.len() - at)].to_owned();
            }
        };
        Served { child, address }
    }

    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        ask(stream, "GET", path, headers, b"")
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Its standard error, which must be a pipe.
    pub fn stderr(&mut self) -> ChildStderr {
        self.child.stderr.take().unwrap()
    }

    /// Asks it to shut down; returns its exit code.
    pub fn end(self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits until it has ended; returns its exit code.
    pub fn wait(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn a_store_is_served_as_the_library_gives_it_and_closed_at_the_end() {
    let place = Place::filled();
    let expected = place.with(|movie| {
        String::from_utf8(movie.list(JobQuery::new()).unwrap().to_json().unwrap()).unwrap()
    });
    let served = Served::start(&place, &[]);
    // The list is equal byte for byte, so running jobs are still running.
    assert_eq!(served.get(LIST, &[]).ok(), expected);
    assert!(served.get("/health", &[]).is_whole);
    assert!(served.get("/metrics", &[]).ok().contains("jobstore_jobs{"));
    let document = served.get("/openapi.json", &[]);
    assert!(document.ok().contains(r#""openapi": "3.1.0""#));
    served
        .get("/nothing", &[])
        .is_failure(404, "GES.8000", "no such resource");
    // The other commands use the server.
    let listed = place.run(&["list", "--format", "json"]).fine();
    assert_eq!(listed.trim_end(), served.get(LIST, &[]).ok());
    assert_eq!(served.end(), Some(0));
    assert!(place.store().join("CLOSED").exists());
    assert!(!place.store().join("control.sock").exists());
    JobStore::open(place.store()).unwrap().close().unwrap();
}

/// In a truncated file, the last project id would be truncated: a token for 10001 would open 10.
#[test]
fn a_tokens_file_that_is_too_large_is_refused_and_not_cut() {
    let place = Place::filled();
    let tokens = place.path("tokens");
    let mut text = "#".repeat((1 << 20) - 25) + "\n";
    text.push_str("good-0123456789abcdef 10001\n");
    std::fs::write(&tokens, text).unwrap();
    std::fs::set_permissions(&tokens, PermissionsExt::from_mode(0o600)).unwrap();
    let tokens = tokens.to_str().unwrap();
    // No machine has this address (RFC 5737): the program exits in any case.
    let said = place
        .run(&["serve", "--listen", "192.0.2.1:1", "--tokens", tokens])
        .said(2);
    assert!(
        said.contains("larger than the allowed 1048576 bytes"),
        "{said}"
    );
}

#[test]
fn beyond_this_machine_a_token_is_wanted() {
    let place = Place::filled();
    let refused = place.run(&["serve", "--listen", "0.0.0.0:0"]).said(2);
    assert!(refused.contains("--tokens"), "{refused}");
    let tokens = place.path("tokens");
    std::fs::write(
        &tokens,
        "good-0123456789abcd 10001\nother-0123456789abcd 10002\nall-0123456789abcdef *\n",
    )
    .unwrap();
    let tokens_text = tokens.to_str().unwrap();
    std::fs::set_permissions(&tokens, PermissionsExt::from_mode(0o644)).unwrap();
    let lax = place.run(&["serve", "--listen", "127.0.0.1:0", "--tokens", tokens_text]);
    assert!(lax.code != 0 && lax.err.contains("chmod"), "{lax:?}");
    std::fs::set_permissions(&tokens, PermissionsExt::from_mode(0o600)).unwrap();
    let served = Served::start(&place, &["--tokens", tokens_text]);
    let with = |token: &str| served.get(LIST, &[("X-Auth-Token", token)]);
    assert!(with("good-0123456789abcd").ok().starts_with(r#"{"jobs":["#));
    assert!(
        with("all-0123456789abcdef")
            .ok()
            .starts_with(r#"{"jobs":["#)
    );
    with("other-0123456789abcd").is_failure(403, "GES.8020", "no permission");
    with("bad").is_failure(401, "GES.8007", "invalid or missing token");
    served
        .get(LIST, &[])
        .is_failure(401, "GES.8007", "invalid or missing token");
    // Metrics cover all projects.
    let metrics = |token: &str| served.get("/metrics", &[("X-Auth-Token", token)]);
    assert_eq!(metrics("bad").status, 401);
    assert_eq!(metrics("good-0123456789abcd").status, 403);
    assert!(
        metrics("all-0123456789abcdef")
            .ok()
            .contains("jobstore_jobs{")
    );
    assert_eq!(served.end(), Some(0));
}

/// Writes tokens to a file that only its owner can open.
pub fn write_tokens(place: &Place, text: &str) -> String {
    let path = place.path("tokens");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn tokens_are_read_from_a_pipe() {
    let place = Place::filled();
    let pipe = place.path("pipe");
    let made = Command::new("mkfifo")
        .args(["-m", "600"])
        .arg(&pipe)
        .status();
    assert!(made.unwrap().success());
    let to = pipe.clone();
    std::thread::spawn(move || std::fs::write(to, "good-0123456789abcd 10001\n").unwrap());
    let served = Served::start(&place, &["--tokens", pipe.to_str().unwrap()]);
    assert_eq!(served.get(LIST, &[]).status, 401);
    let token = [("X-Auth-Token", "good-0123456789abcd")];
    assert_eq!(served.get(LIST, &token).status, 200);
    assert_eq!(served.end(), Some(0));
}

#[test]
fn the_secret_keys_that_serve_names_are_recorded() {
    let place = Place::filled();
    let masks = || place.run(&["export"]).fine().contains("******");
    assert!(!masks());
    let served = Served::start(&place, &["--secret-keys", "n"]);
    assert_eq!(served.end(), Some(0));
    place.with(|movie| movie.submit(crate::tool::request("c", 1)).unwrap());
    assert!(masks());
}

#[test]
fn a_hangup_has_the_tokens_read_again() {
    let place = Place::filled();
    let tokens = write_tokens(&place, "first-0123456789abcd 10001\n");
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0", "--tokens", &tokens]);
    let mut served = Served::spawn(command.stderr(Stdio::piped()));
    let mut said = BufReader::new(served.child.stderr.take().unwrap()).lines();
    let mut next_said = || said.next().unwrap().unwrap();
    let status = |token: &str| served.get(LIST, &[("X-Auth-Token", token)]).status;
    assert_eq!(status("first-0123456789abcd"), 200);
    write_tokens(&place, "second-0123456789abcd 10001\n");
    served.signal(Signal::HUP);
    assert!(next_said().contains("reloaded "));
    assert_eq!(status("first-0123456789abcd"), 401);
    assert_eq!(status("second-0123456789abcd"), 200);
    write_tokens(&place, "canary\n");
    served.signal(Signal::HUP);
    let said = next_said() + &next_said();
    assert!(said.contains("line 1 has 1 word instead of 2"), "{said}");
    assert!(said.contains("the previous tokens remain valid"), "{said}");
    assert!(!said.contains("canary"), "{said}");
    assert_eq!(status("second-0123456789abcd"), 200);
    assert_eq!(served.end(), Some(0));
    assert!(place.store().join("CLOSED").exists());
}

#[test]
fn without_tokens_a_hangup_is_a_clean_end() {
    let place = Place::filled();
    let mut served = Served::start(&place, &[]);
    served.signal(Signal::HUP);
    // If these tests were started by nohup, the program ignores the signal.
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = u64::from_str_radix(ignored.unwrap().trim(), 16).unwrap();
    if ignored & 1 != 0 {
        std::thread::sleep(Duration::from_millis(200));
        assert!(served.child.try_wait().unwrap().is_none());
        served.signal(Signal::TERM);
    }
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
    assert!(place.store().join("CLOSED").exists());
}

#[test]
fn who_asks_twice_need_not_wait_for_the_end() {
    let place = Place::filled();
    place.with(|movie| {
        let body = "x".repeat(1 << 20);
        let body = jobstore::Body::from_json(format!("\"{body}\"")).unwrap();
        let big = jobstore::Request::new("big", "/", body).unwrap();
        movie
            .submit_all(std::iter::repeat_n(big, 40))
            .map(drop)
            .unwrap();
    });
    let mut served = Served::start(&place, &[]);
    // A client that does not read its whole response delays the shutdown.
    let mut slow = TcpStream::connect(&served.address).unwrap();
    write!(slow, "GET {LIST} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    slow.read_exact(&mut [0; 1024]).unwrap();
    served.signal(Signal::TERM);
    while TcpStream::connect(&served.address).is_ok() {
        std::thread::yield_now();
    }
    served.signal(Signal::INT);
    assert_eq!(served.child.wait().unwrap().code(), Some(1));
    // This loses nothing.
    let count = place.with(|movie| movie.list(JobQuery::new()).unwrap().total());
    assert_eq!(count, Some(245));
}

#[test]
fn a_server_whose_first_words_nobody_reads_serves_all_the_same() {
    let place = Place::filled();
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0"]);
    let (reader, writer) = UnixStream::pair().unwrap();
    drop(reader);
    let stdout = OwnedFd::from(writer);
    let mut child = command
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let told = child.stderr.take().unwrap();
    let served = Served::of(child, told);
    assert!(served.get("/health", &[]).is_whole);
    assert_eq!(served.end(), Some(0));
}

#[test]
fn nohup_keeps_it_alive_through_a_hangup() {
    let place = Place::filled();
    let mut command = Command::new("nohup");
    let serve = place.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.arg(serve.get_program()).args(serve.get_args());
    for (name, value) in serve.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.stderr(Stdio::null());
    let served = Served::spawn(&mut command);
    served.signal(Signal::HUP);
    assert!(served.get(LIST, &[]).is_whole);
    assert_eq!(served.end(), Some(0));
}

#[test]
fn many_slow_clients_cost_few_threads() {
    let place = Place::filled();
    place.with(|movie| {
        let body = "x".repeat(100_000);
        let body = jobstore::Body::from_json(format!("\"{body}\"")).unwrap();
        let big = jobstore::Request::new("big", "/", body).unwrap();
        movie.submit_all(std::iter::repeat_n(big, 100)).unwrap();
    });
    let served = Served::start(&place, &[]);
    let mut slow: Vec<TcpStream> = (0..120)
        .map(|_| {
            let mut stream = TcpStream::connect(&served.address).unwrap();
            let head = "Host: a\r\nAccept-Encoding: zstd\r\n";
            write!(stream, "GET {LIST} HTTP/1.1\r\n{head}\r\n").unwrap();
            stream
        })
        .collect();
    for stream in &mut slow {
        stream.read_exact(&mut [0; 64]).unwrap();
    }
    let status = format!("/proc/{}/status", served.child.id());
    let status = std::fs::read_to_string(status).unwrap();
    let threads = status
        .lines()
        .find_map(|line| line.strip_prefix("Threads:"));
    let threads: usize = threads.unwrap().trim().parse().unwrap();
    assert!(threads < 100, "{threads} threads");
}
