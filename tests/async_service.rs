//! Guarantee: the example of an async service works as documented: jobs are completed, canceled,
//! requeued by a shutdown and by a kill, and present after each restart.

mod common;
#[path = "common/http.rs"]
mod http;

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use http::{Answer, ask};
use rustix::process::{Pid, Signal, kill_process};

const GRAPH: &str = "/ges/v1.0/10001/graphs/movie";
const TOKEN: (&str, &str) = ("X-Auth-Token", "s3cret");

/// Cargo builds the examples beside the tests.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().unwrap().parent().unwrap();
    profile.join("examples").join("async_service")
}

struct Service {
    child: Child,
    output: BufReader<ChildStdout>,
    address: String,
    /// Its output before it listened.
    recovered: Vec<String>,
}

impl Service {
    fn start(data: &Path) -> Service {
        let mut child = Command::new(program())
            .arg(data)
            .arg("127.0.0.1:0")
            .env("SERVICE_TOKEN", TOKEN.1)
            .stdout(Stdio::piped())
            .spawn()
            .expect("run `cargo build --all-features --example async_service` first");
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut recovered = Vec::new();
        let address = loop {
            let mut line = String::new();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "it has ended");
            match line.trim().strip_prefix("listening on http://") {
                Some(address) => break address.to_owned(),
                None => recovered.push(line.trim().to_owned()),
            }
        };
        Service {
            child,
            output,
            address,
            recovered,
        }
    }

    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        ask(
            &mut stream,
            method,
            &format!("{GRAPH}{path}"),
            &[TOKEN],
            body,
        )
    }

    fn submit(&self, steps: u32) -> String {
        let body = format!(r#"{{"steps": {steps}}}"#);
        let answer = self.ask("POST", "/action?action_id=count", body.as_bytes());
        let answer: serde_json::Value = serde_json::from_str(answer.ok()).unwrap();
        answer["jobId"].as_str().unwrap().to_owned()
    }

    fn job(&self, id: &str) -> serde_json::Value {
        let answer = self.ask("GET", &format!("/jobs/{id}/status"), b"");
        serde_json::from_str(answer.ok()).unwrap()
    }

    /// Polls until the job is in the expected state.
    fn wait(&self, id: &str, is_there: impl Fn(&serde_json::Value) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let job = self.job(id);
            if is_there(&job) {
                return;
            }
            assert!(Instant::now() < deadline, "{job}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Stops it gracefully.
    fn stop(mut self, signal: Signal) {
        self.signal(signal);
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "closed\n");
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn is(status: &str) -> impl Fn(&serde_json::Value) -> bool {
    move |job| job["status"] == status
}

const LONG: u32 = 100_000;

#[test]
fn the_service_completes_cancels_stops_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let service = Service::start(&data);
    assert!(service.recovered.is_empty());
    let unknown = {
        let mut stream = TcpStream::connect(&service.address).unwrap();
        ask(
            &mut stream,
            "POST",
            &format!("{GRAPH}/action?action_id=count"),
            &[],
            b"{}",
        )
    };
    assert_eq!(unknown.status, 401);

    // Completes.
    let quick = service.submit(1);
    service.wait(&quick, is("success"));
    let wrong = service.submit(0);
    service.wait(&wrong, is("failed"));

    // Reports its progress, and is canceled.
    let cancelled = service.submit(LONG);
    service.wait(&cancelled, |job| !job["progress"].is_null());
    service
        .ask("DELETE", &format!("/jobs/{cancelled}"), b"")
        .ok();
    service.wait(&cancelled, |job| job["outcome"]["kind"] == "cancelled");

    // A shutdown lets short work finish, and requeues the rest.
    let long = service.submit(LONG);
    service.wait(&long, is("running"));
    let short = service.submit(10);
    service.wait(&short, |job| job["status"] != "pending");
    service.stop(Signal::TERM);

    let mut service = Service::start(&data);
    assert_eq!(
        service.recovered, [""; 0],
        "a shutdown leaves nothing running"
    );
    service.wait(&short, is("success"));
    service.wait(&long, is("running"));
    service.wait(&cancelled, |job| job["outcome"]["kind"] == "cancelled");

    // After a kill it is still running, and the next start requeues it.
    service.child.kill().unwrap();
    service.child.wait().unwrap();
    drop(service);
    let service = Service::start(&data);
    assert_eq!(service.recovered, [format!("recovered {long}: Requeued")]);
    service.wait(&long, is("running"));
    let listed = service.ask("GET", "/jobs/status", b"");
    for id in [&quick, &wrong, &cancelled, &long, &short] {
        assert!(listed.ok().contains(id.as_str()), "{id} is not listed");
    }
    service.stop(Signal::INT);
}
