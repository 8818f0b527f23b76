//! Promise: `serve` gives what the library gives, to who may have it, and ends cleanly.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};
use std::time::Duration;

use jobstore::{JobStore, List};
use rustix::process::{Pid, Signal, kill_process};

use crate::net::{Answer, ask};
use crate::tool::Place;

const LIST: &str = "/ges/v1.0/10001/graphs/movie/jobs/status";

/// A server of the program's, killed where it is not ended.
struct Served {
    child: Child,
    address: String,
}

impl Served {
    fn start(place: &Place, more: &[&str]) -> Served {
        let arguments = [&["serve", "--listen", "127.0.0.1:0"][..], more].concat();
        let mut child = place
            .command(&arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
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

    fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        ask(stream, "GET", path, headers, b"")
    }

    /// Asks it to end, and gives its exit code.
    fn end(mut self) -> Option<i32> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
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
        String::from_utf8(movie.list(List::new()).unwrap().to_json().unwrap()).unwrap()
    });
    let served = Served::start(&place, &[]);
    // To the byte, so what was running still is.
    assert_eq!(served.get(LIST, &[]).ok(), expected);
    assert!(served.get("/health", &[]).is_whole);
    assert!(served.get("/metrics", &[]).ok().contains("jobstore_jobs{"));
    let document = served.get("/openapi.json", &[]);
    assert!(document.ok().contains(r#""openapi": "3.1.0""#));
    served
        .get("/nothing", &[])
        .is_failure(404, "GES.8000", "no such resource");
    // The other verbs ask it.
    let listed = place.run(&["list", "--format", "json"]).fine();
    assert_eq!(listed.trim_end(), served.get(LIST, &[]).ok());
    assert_eq!(served.end(), Some(0));
    assert!(place.store().join("CLOSED").exists());
    assert!(!place.store().join("control.sock").exists());
    JobStore::open(place.store()).unwrap().close().unwrap();
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
    // Numbers are of all projects.
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
