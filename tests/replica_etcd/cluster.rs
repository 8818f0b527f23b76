//! Nodes of etcd that a test starts, kills, and stops.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use jobstore::replica::{EtcdReplica, Replica, ReplicaError};
use rustix::process::{Pid, Signal, kill_process};

pub struct Cluster {
    dir: tempfile::TempDir,
    /// Hosts and ports.
    pub endpoints: Vec<String>,
}

impl Cluster {
    /// Starts nodes with the script that also the gate uses.
    pub fn start(nodes: usize, options: &[&str], scheme: &str) -> Cluster {
        let dir = tempfile::tempdir().unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/.ci/replica-etcd");
        let output = Command::new(script)
            .arg(dir.path())
            .arg(nodes.to_string())
            .args(options)
            .env("SCHEME", scheme)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "etcd does not start: {errors}");
        let endpoints = String::from_utf8(output.stdout).unwrap();
        let endpoints = endpoints.trim().split(',').map(str::to_owned).collect();
        Cluster { dir, endpoints }
    }

    pub fn three() -> Cluster {
        Cluster::start(3, &[], "http")
    }

    pub fn url(&self, prefix: &str) -> String {
        format!("etcd://{}/{prefix}", self.endpoints.join(","))
    }

    pub fn replica(&self, prefix: &str) -> EtcdReplica {
        EtcdReplica::from_url(&self.url(prefix)).unwrap()
    }

    pub fn signal(&self, node: usize, signal: Signal) {
        let pid = fs::read_to_string(self.path(node, "pid")).unwrap();
        let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Starts a node that was killed.
    pub fn restart(&self, node: usize) {
        let started = Command::new("bash").arg(self.path(node, "start")).status();
        assert!(started.unwrap().success());
    }

    /// The node that was elected last, according to the logs.
    pub fn leader(&self) -> usize {
        let log = |node| fs::read_to_string(self.path(node, "log")).unwrap();
        let elected = |log: &str| {
            let (_, after) = log.rsplit_once(" became leader at term ")?;
            let digits = after.split(|c: char| !c.is_ascii_digit()).next()?;
            digits.parse::<u64>().ok()
        };
        let term = |node| elected(&log(node)).unwrap_or(0);
        (0..self.endpoints.len())
            .max_by_key(|&node| term(node))
            .unwrap()
    }

    fn path(&self, node: usize, extension: &str) -> PathBuf {
        self.dir.path().join(format!("n{node}.{extension}"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in 0..self.endpoints.len() {
            let pid = fs::read_to_string(self.path(node, "pid")).unwrap_or_default();
            if let Some(pid) = pid.trim().parse().ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

/// Calls again, as a store does, while the result is unknown.
pub fn retry<T>(mut call: impl FnMut() -> Result<T, ReplicaError>) -> T {
    let start = Instant::now();
    loop {
        match call() {
            Ok(result) => return result,
            Err(ReplicaError::Unknown { what }) => {
                assert!(start.elapsed() < Duration::from_secs(60), "{what}");
                std::thread::sleep(Duration::from_millis(100));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Bytes that look random, and differ with the seed.
pub fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Returns the chunk, which must exist.
pub fn chunk(replica: &dyn Replica, number: u64) -> Vec<u8> {
    let chunk = retry(|| replica.read(number, Duration::ZERO));
    chunk.unwrap_or_else(|| panic!("chunk {number} is missing"))
}
